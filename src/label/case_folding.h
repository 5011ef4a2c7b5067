/* SPDX-License-Identifier: Apache-2.0
 * Texts without case: composed (NFC) and case-folded by utf8proc. */
#ifndef WHET_LABEL_CASE_FOLDING_H
#define WHET_LABEL_CASE_FOLDING_H

#include "core/core_i.h"

/* No byte is beyond ASCII: folding is then A to Z alone, which callers do by themselves. Pure. */
bool whet_i_is_ascii(whet_str text);

/* The text as valid UTF-8, each wrong byte as U+FFFD, to out, which has room for 3 bytes for each of the
 * text's. Returns its length. Pure. */
int64_t whet_i_clean_utf8(whet_str text, char *out);

/* Room for folding texts of up to `most` bytes without asking for memory again, 11 bytes for each. */
typedef struct whet_i_fold_room {
    char *clean;
    int32_t *code;
} whet_i_fold_room;
WHET_CHECKED whet_status whet_i_fold_room_make(whet_ctx *ctx, int64_t most, whet_i_fold_room *out);
void whet_i_fold_room_free(whet_ctx *ctx, whet_i_fold_room *room); /* {0} is fine */
/* The folded text, in the room until the next call. On any thread. */
whet_str whet_i_fold(whet_str text, whet_i_fold_room *room);

#endif
