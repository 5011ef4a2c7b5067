/* SPDX-License-Identifier: Apache-2.0
 * Warns of class names that look the same: equal once case, the ways to write one character, kinds of
 * spaces and characters that are not seen are taken away (NFKD of the folded text; The Unicode Standard,
 * 3.13, after identifiers' NFKC_Casefold). They stay two classes: which is meant is the writer's. */
#include <inttypes.h>
#include <stdio.h>
#include <utf8proc.h>

#include "io/io_i.h"

static const utf8proc_option_t FOLD =
    UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD | UTF8PROC_IGNORE;

/* Code points of the folded name: how many, of which `room` are written. */
static int64_t fold(whet_str name, utf8proc_int32_t *codes, int64_t room) {
    const utf8proc_ssize_t n =
        utf8proc_decompose((const utf8proc_uint8_t *)name.ptr, name.len, codes, room, FOLD);
    return n < 0 ? 0 : n; /* of names that are UTF-8 never */
}

/* Pairs of names [k] that look the same: how many, and the first. */
static whet_status find_pairs(whet_ctx *ctx, const whet_names *names, int64_t pair[2], int64_t *n) {
    const int64_t k = whet_names_count(names);
    utf8proc_int32_t *codes = NULL;
    whet_names *folded = NULL;
    int64_t *first = NULL, room = 1;
    whet_status status = WHET_OK;
    *n = 0;
    for (int64_t i = 0; i < k; i++) {
        const int64_t needed = fold(whet_names_get(names, i), NULL, 0);
        room = needed > room ? needed : room;
    }
    WHET_TRY_DONE(whet_i_alloc(ctx, room, &codes));
    WHET_TRY_DONE(whet_i_alloc(ctx, k, &first));
    WHET_TRY_DONE(whet_names_create(ctx, &folded));
    for (int64_t i = 0; i < k; i++) {
        const int64_t length = fold(whet_names_get(names, i), codes, room);
        const int64_t known = whet_names_count(folded);
        int64_t at;
        WHET_TRY_DONE(whet_names_add(
            ctx, folded, (whet_str){(const char *)codes, length * (int64_t)sizeof *codes}, &at));
        if (at == known) {
            first[at] = i;
        } else if ((*n)++ == 0) {
            pair[0] = first[at];
            pair[1] = i;
        }
    }
done:
    whet_names_destroy(ctx, folded);
    whet_i_free(ctx, first);
    whet_i_free(ctx, codes);
    return status;
}

whet_status whet_i_warn_of_names(whet_ctx *ctx, const char *path, const whet_names *names) {
    char one[WHET_QUOTE_SIZE], other[WHET_QUOTE_SIZE], more[64] = "";
    int64_t pair[2] = {0}, n;
    WHET_TRY(find_pairs(ctx, names, pair, &n));
    if (n == 0) return WHET_OK;
    if (n > 1) (void)snprintf(more, sizeof more, " (of %" PRId64 " such pairs the first)", n);
    whet_i_log(ctx, WHET_LOG_WARN,
               "%s: labels %s and %s differ only in case, or in bytes that look the same; they are "
               "two classes%s",
               path, whet_i_quote(one, whet_names_get(names, pair[0])),
               whet_i_quote(other, whet_names_get(names, pair[1])), more);
    return WHET_OK;
}
