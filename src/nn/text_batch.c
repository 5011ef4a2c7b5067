/* SPDX-License-Identifier: Apache-2.0
 * Rows of tokens as a batch: behind each other, with their positions and segments. */
#include "nn/text_batch.h"

whet_status whet_i_text_batch_init(whet_ctx *ctx, whet_i_text_batch *b, int64_t tokens,
                                   int64_t rows) {
    *b = (whet_i_text_batch){.tokens = tokens, .rows = rows};
    WHET_TRY(whet_i_alloc(ctx, tokens, &b->ids));
    WHET_TRY(whet_i_alloc(ctx, tokens, &b->positions));
    WHET_TRY(whet_i_alloc(ctx, tokens, &b->types));
    WHET_TRY(whet_i_alloc(ctx, tokens, &b->asked));
    WHET_TRY(whet_i_alloc(ctx, rows + 1, &b->asked_start));
    return whet_i_alloc(ctx, rows + 1, &b->start);
}

void whet_i_text_batch_free(whet_ctx *ctx, whet_i_text_batch *b) {
    whet_i_free(ctx, b->start);
    whet_i_free(ctx, b->asked_start);
    whet_i_free(ctx, b->asked);
    whet_i_free(ctx, b->types);
    whet_i_free(ctx, b->positions);
    whet_i_free(ctx, b->ids);
    *b = (whet_i_text_batch){0};
}

void whet_i_text_batch_fill(whet_i_text_batch *b, const whet_token_rows *rows, const int64_t *which,
                            int64_t n, int64_t first_position) {
    const int32_t pad = (int32_t)first_position - 1;
    int64_t at = 0;
    b->start[0] = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t first = rows->start[which[i]], length = rows->start[which[i] + 1] - first;
        int32_t position = (int32_t)first_position;
        for (int64_t t = 0; t < length; t++, at++) {
            b->ids[at] = rows->ids[first + t];
            b->positions[at] = b->ids[at] == pad ? pad : position++;
            b->types[at] = rows->types ? rows->types[first + t] : 0;
        }
        b->start[i + 1] = at;
    }
    b->batch = (whet_i_batch){.rows = {1, n, at},
                              .start = b->start,
                              .feeds = {b->ids, b->positions, b->types},
                              .loss_scale = 1};
}

void whet_i_text_batch_ask(whet_i_text_batch *b, const int32_t *labels) {
    int64_t n = 0;
    for (int64_t i = 0; i < b->batch.rows[WHET_I_EXAMPLES]; i++) {
        b->asked_start[i] = n;
        for (int64_t t = b->start[i]; t < b->start[i + 1]; t++)
            if (labels[t] >= 0) b->asked[n++] = t;
    }
    b->asked_start[b->batch.rows[WHET_I_EXAMPLES]] = n;
    b->batch.rows[WHET_I_ASKED] = n;
    b->batch.asked = b->asked;
    b->batch.asked_start = b->asked_start;
}
