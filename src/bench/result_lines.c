/* SPDX-License-Identifier: Apache-2.0
 * Results as lines of a file; see bench_i.h. */
#include <unistd.h>

#include "bench/bench_i.h"

enum { BYTES_MAX = 1 << 28 };

typedef struct reader {
    whet_i_lines *lines;
    bool force, other; /* other: the file is of other settings */
    whet_i_take_line take;
    void *arg;
} reader;

void whet_i_lines_close(whet_ctx *ctx, whet_i_lines *lines) {
    whet_i_free(ctx, lines->path);
    whet_i_buf_free(ctx, &lines->text);
    json_decref(lines->settings);
    *lines = (whet_i_lines){0};
}

static whet_status append(whet_ctx *ctx, whet_i_lines *lines, const json_t *object) {
    WHET_TRY(whet_i_json_dump(ctx, object, JSON_COMPACT | JSON_REAL_PRECISION(9), &lines->text));
    return whet_i_buf_append(ctx, &lines->text, "\n", 1);
}

static whet_status take_object(whet_ctx *ctx, reader *r, int64_t number, const json_t *o) {
    if (number > 1) {
        WHET_TRY(append(ctx, r->lines, o));
        return r->take(ctx, r->arg, o);
    }
    r->other = !json_equal(o, r->lines->settings);
    if (!r->other || r->force) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_EXISTS,
                       "%s has results of other settings; expected the same, another output, or "
                       "force",
                       r->lines->path);
}

static whet_status take_line(whet_ctx *ctx, reader *r, int64_t number, const char *line,
                             int64_t len) {
    json_t *o = json_loadb(line, (size_t)len, 0, NULL);
    whet_status status;
    if (json_is_object(o))
        status = take_object(ctx, r, number, o);
    else
        status = whet_i_fail(ctx, WHET_ERR_FORMAT, "%s:%lld: not a JSON object; expected a result",
                             r->lines->path, (long long)number);
    json_decref(o);
    return status;
}

static whet_status take_file(whet_ctx *ctx, reader *r) {
    char *bytes;
    int64_t len;
    whet_status status = WHET_OK;
    if (access(r->lines->path, F_OK) != 0) return WHET_OK;
    WHET_TRY(whet_i_file_read(ctx, r->lines->path, BYTES_MAX, &bytes, &len));
    for (int64_t at = 0, line = 1; status == WHET_OK && at < len && !r->other; line++) {
        const char *end = memchr(bytes + at, '\n', (size_t)(len - at));
        if (!end) break; /* cut short */
        status = take_line(ctx, r, line, bytes + at, end - bytes - at);
        at = end - bytes + 1;
    }
    whet_i_free(ctx, bytes);
    return status;
}

whet_status whet_i_lines_open(whet_ctx *ctx, const char *path, json_t *settings, bool force,
                              whet_i_take_line take, void *arg, whet_i_lines *out) {
    whet_i_lines lines = {.settings = json_incref(settings)};
    reader r = {.lines = &lines, .force = force, .take = take, .arg = arg};
    whet_status status = WHET_OK;
    if (!settings) return whet_i_fail(ctx, WHET_ERR_NOMEM, "out of memory: settings");
    WHET_TRY_DONE(whet_i_strdup(ctx, whet_str_from(path), &lines.path));
    WHET_TRY_DONE(append(ctx, &lines, settings));
    WHET_TRY_DONE(take_file(ctx, &r));
    *out = lines;
    return WHET_OK;
done:
    whet_i_lines_close(ctx, &lines);
    return status;
}

whet_status whet_i_lines_add(whet_ctx *ctx, whet_i_lines *lines, json_t *object) {
    whet_out *out;
    whet_status status = append(ctx, lines, object);
    json_decref(object);
    WHET_TRY(status);
    WHET_TRY(whet_out_open(ctx, lines->path, true, &out));
    status = whet_out_write(ctx, out, lines->text.data, lines->text.len);
    if (status == WHET_OK) return whet_out_commit(ctx, out);
    whet_out_abort(ctx, out);
    return status;
}
