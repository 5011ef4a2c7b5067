/* SPDX-License-Identifier: Apache-2.0
 * Lists of names that are asked for, and files of results. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/bench_i.h"

static whet_status no_such(whet_ctx *ctx, const char *what, whet_str name, whet_i_name_of name_of,
                           int64_t n) {
    char quoted[WHET_QUOTE_SIZE];
    whet_i_buf all = {0};
    whet_status status = WHET_OK;
    for (int64_t i = 0; status == WHET_OK && i < n; i++)
        status = whet_i_buf_printf(ctx, &all, "%s%s", i ? ", " : "", name_of(i));
    if (status == WHET_OK)
        status = whet_i_fail(ctx, WHET_ERR_ARG, "%s is no %s; expected %s",
                             whet_i_quote(quoted, name), what, all.data);
    whet_i_buf_free(ctx, &all);
    return status;
}

whet_status whet_i_name_list(whet_ctx *ctx, const char *what, const char *list,
                             whet_i_name_of name_of, int64_t n, bool *out) {
    for (int64_t i = 0; i < n; i++) out[i] = !list;
    for (const char *at = list; at && *at;) {
        const char *end = strchr(at, ',');
        const whet_str name = whet_i_trim((whet_str){at, end ? end - at : (int64_t)strlen(at)});
        int64_t place = -1;
        for (int64_t i = 0; i < n; i++)
            if (whet_str_equal(name, whet_str_from(name_of(i)))) place = i;
        if (place < 0) return no_such(ctx, what, name, name_of, n);
        if (out[place])
            return whet_i_fail(ctx, WHET_ERR_ARG, "%s %s is asked for twice; expected it once",
                               what, name_of(place));
        out[place] = true;
        at = end ? end + 1 : at + strlen(at);
    }
    return WHET_OK;
}

whet_status whet_i_bench_require(whet_ctx *ctx, bool given, const char *name, const char *data,
                                 const char *file, bool there, bool *wanted) {
    if (!*wanted || there) return WHET_OK;
    if (given) return whet_i_fail(ctx, WHET_ERR_IO, "%s/%s cannot be read", data, file);
    whet_i_log(ctx, WHET_LOG_WARN, "%s is left out: %s/%s cannot be read", name, data, file);
    *wanted = false;
    return WHET_OK;
}

whet_status whet_i_bench_data(whet_ctx *ctx, const char *data) {
    struct stat info;
    if (stat(data, &info) != 0)
        return whet_i_fail(ctx, WHET_ERR_IO, "%s: %s; expected a folder of data", data,
                           strerror(errno));
    if (S_ISDIR(info.st_mode)) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_IO, "%s is no folder; expected a folder of data", data);
}

whet_status whet_i_bench_any(whet_ctx *ctx, const char *data, const char *what, const bool *wanted,
                             whet_i_name_of name_of, const char *suffix, int64_t n) {
    whet_i_buf all = {0};
    whet_status status = WHET_OK;
    for (int64_t i = 0; i < n; i++)
        if (wanted[i]) return WHET_OK;
    for (int64_t i = 0; status == WHET_OK && i < n; i++)
        status = whet_i_buf_printf(ctx, &all, "%s%s%s", i ? ", " : "", name_of(i), suffix);
    if (status == WHET_OK)
        status =
            whet_i_fail(ctx, WHET_ERR_DATA, "%s: no %s; expected one of %s", data, what, all.data);
    whet_i_buf_free(ctx, &all);
    return status;
}

static whet_status make_folder(whet_ctx *ctx, const char *path, bool *made) {
    *made = mkdir(path, 0777) == 0;
    if (*made || errno == EEXIST) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_IO, "%s: %s", path, strerror(errno));
}

whet_status whet_i_bench_folders(whet_ctx *ctx, const char *path, const char *inner,
                                 const char *file, whet_i_bench_place *place, char **file_path) {
    bool made_inner;
    place->path = path;
    WHET_TRY(make_folder(ctx, path, &place->made));
    WHET_TRY(whet_i_join_path(ctx, path, inner, &place->inner));
    WHET_TRY(make_folder(ctx, place->inner, &made_inner));
    return whet_i_join_path(ctx, path, file, file_path);
}

void whet_i_bench_leave(whet_ctx *ctx, whet_i_bench_place *place) {
    if (place->inner) (void)rmdir(place->inner); /* fails where it holds something */
    if (place->made) (void)rmdir(place->path);
    whet_i_free(ctx, place->inner);
    *place = (whet_i_bench_place){0};
}

whet_status whet_i_bench_mix_file(whet_ctx *ctx, const char *data, const char *file,
                                  uint64_t *hash) {
    whet_i_map map = {0};
    char *path;
    WHET_TRY(whet_i_join_path(ctx, data, file, &path));
    const whet_status status = whet_i_map_open(ctx, path, &map);
    if (status == WHET_OK) *hash = whet_i_hash_u64(*hash ^ whet_i_hash_long(map.ptr, map.len)) | 1;
    whet_i_map_close(&map);
    whet_i_free(ctx, path);
    return status;
}

static void hash_text(uint64_t hash, char text[20]) {
    (void)snprintf(text, 20, "%016llx", (unsigned long long)hash);
}

json_t *whet_i_bench_hash_json(uint64_t hash) {
    char text[20];
    hash_text(hash, text);
    return json_string(text);
}

bool whet_i_bench_is_hash(const json_t *value, uint64_t hash) {
    char text[20];
    hash_text(hash, text);
    return json_is_string(value) && strcmp(json_string_value(value), text) == 0;
}

whet_status whet_i_bench_write(whet_ctx *ctx, const char *folder, const char *name,
                               const whet_i_buf *text) {
    char *path;
    whet_out *out;
    WHET_TRY(whet_i_join_path(ctx, folder, name, &path));
    whet_status status = whet_out_open(ctx, path, true, &out);
    whet_i_free(ctx, path);
    WHET_TRY(status);
    status = whet_out_write(ctx, out, text->data, text->len);
    if (status == WHET_OK) return whet_out_commit(ctx, out);
    whet_out_abort(ctx, out);
    return status;
}
