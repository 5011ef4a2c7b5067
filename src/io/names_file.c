/* SPDX-License-Identifier: Apache-2.0
 * Class lists: one name a line, without the spaces around it, as labels are; blank lines skipped. */
#include "io/io_i.h"

/* The line that begins at `at`, less white space at its ends; *next is behind its line feed. */
static whet_str name_at(const char *bytes, int64_t len, int64_t at, int64_t *next) {
    const char *feed = memchr(bytes + at, '\n', (size_t)(len - at));
    const int64_t end = feed ? feed - bytes : len;
    *next = end + 1;
    return whet_i_trim((whet_str){bytes + at, end - at});
}

/* Line of the n-th (0-based) name: lines are counted again only for the sentence. */
static int64_t line_of_name(const char *bytes, int64_t len, int64_t n) {
    int64_t line = 1;
    for (int64_t at = 0; at < len; line++)
        if (name_at(bytes, len, at, &at).len && n-- == 0) return line;
    return line;
}

whet_status whet_i_names_parse(whet_ctx *ctx, const char *where, const char *bytes, int64_t len,
                               whet_names **out) {
    whet_names *names = NULL;
    if (len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) {
        bytes += 3;
        len -= 3;
    }
    WHET_TRY(whet_names_create(ctx, &names));
    whet_status status = WHET_OK;
    int64_t line = 1;
    for (int64_t at = 0; at < len; line++) {
        const whet_str name = name_at(bytes, len, at, &at);
        const int64_t count = whet_names_count(names);
        int64_t index;
        if (name.len == 0) continue;
        WHET_TRY_DONE(whet_names_add(ctx, names, name, &index));
        if (index == count) continue;
        char quoted[WHET_QUOTE_SIZE];
        status = whet_i_fail(ctx, WHET_ERR_FORMAT,
                             "%s:%lld: %s is on line %lld already; expected distinct names", where,
                             (long long)line, whet_i_quote(quoted, name),
                             (long long)line_of_name(bytes, len, index));
        goto done;
    }
    *out = names;
    return WHET_OK;
done:
    whet_names_destroy(ctx, names);
    return status;
}

whet_status whet_names_read(whet_ctx *ctx, const char *path, whet_names **out) {
    char *bytes;
    int64_t len;
    WHET_TRY(whet_i_file_read(ctx, path, WHET_FILE_MAX, &bytes, &len));
    const whet_status status = whet_i_names_parse(ctx, path, bytes, len, out);
    whet_i_free(ctx, bytes);
    return status;
}
