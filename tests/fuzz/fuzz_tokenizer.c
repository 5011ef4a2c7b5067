/* SPDX-License-Identifier: Apache-2.0
 * tokenizer.json from anybody: the bytes up to the first NUL are the file, the rest is a text.
 * What loads must encode the text, whole and cut to 5 tokens, with ids in range and the same first
 * ones; pair its halves; and decode what it gave. */
#include "fuzz.h"

#include "io/io_i.h"
#include "nn/tokenizer_i.h"

static void check(const whet_tokenizer *tokenizer, const whet_token_rows *full,
                  const whet_token_rows *cut, int64_t max) {
    const int64_t n = full->start[1], after = tokenizer->single.end[1] - tokenizer->single.end[0];
    FUZZ_REQUIRE(cut->start[1] == (n < max ? n : max));
    for (int64_t i = 0; i < n; i++)
        FUZZ_REQUIRE(full->ids[i] >= 0 && full->ids[i] < whet_tokenizer_vocab_size(tokenizer));
    for (int64_t i = 0; i < cut->start[1] - after; i++) FUZZ_REQUIRE(cut->ids[i] == full->ids[i]);
}

/* The two halves of a text as a pair, cut too. */
static whet_status pair(whet_ctx *ctx, const whet_tokenizer *tokenizer, whet_str text) {
    const whet_str first = {text.ptr, text.len / 2};
    const whet_str second = {text.ptr + first.len, text.len - first.len};
    const int64_t specials = whet_i_template_specials(&tokenizer->pair);
    whet_token_rows rows = {0};
    int64_t truncated = 0;
    const whet_status status = whet_tokenizer_encode_pairs(ctx, tokenizer, &first, &second, 1,
                                                           specials + 5, &rows, &truncated);
    if (status == WHET_OK) FUZZ_REQUIRE(rows.start[1] - specials <= 5);
    if (status == WHET_OK) FUZZ_REQUIRE(!truncated || rows.start[1] - specials == 5);
    whet_token_rows_destroy(ctx, &rows);
    return status;
}

static whet_status decode(whet_ctx *ctx, const whet_tokenizer *tokenizer,
                          const whet_token_rows *rows) {
    char *text = NULL;
    int64_t len;
    whet_status status =
        whet_tokenizer_decode(ctx, tokenizer, rows->ids, rows->start[1], true, &text, &len);
    whet_free_text(ctx, text);
    text = NULL;
    for (int64_t i = 0; i < rows->start[1] && i < 64 && status == WHET_OK; i++) {
        status = whet_tokenizer_token_bytes(ctx, tokenizer, rows->ids[i], &text, &len);
        whet_free_text(ctx, text);
        text = NULL;
    }
    return status;
}

static whet_status load(whet_ctx *ctx, const char *bytes, int64_t len, whet_tokenizer **out) {
    json_t *root = NULL;
    whet_status status = whet_i_json_parse(ctx, "f", bytes, len, &root);
    if (status == WHET_OK) status = whet_i_tokenizer_from_json(ctx, root, out);
    json_decref(root);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    whet_ctx *ctx = fuzz_begin();
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    const int64_t len = end ? end - data : (int64_t)size;
    whet_str text = {(const char *)data, (int64_t)size};
    if (end) text = (whet_str){(const char *)end + 1, (int64_t)size - len - 1};
    whet_tokenizer *tokenizer = NULL;
    whet_token_rows full = {0}, cut = {0};
    whet_status status = load(ctx, (const char *)data, len, &tokenizer);
    if (status == WHET_OK) {
        const int64_t max = whet_i_template_specials(&tokenizer->single) + 5;
        status = whet_tokenizer_encode(ctx, tokenizer, &text, 1, 0, &full);
        if (status == WHET_OK) status = whet_tokenizer_encode(ctx, tokenizer, &text, 1, max, &cut);
        if (status == WHET_OK) check(tokenizer, &full, &cut, max);
        if (status == WHET_OK) status = decode(ctx, tokenizer, &full);
        if (status == WHET_OK && tokenizer->pair.n_sequences) status = pair(ctx, tokenizer, text);
    }
    whet_token_rows_destroy(ctx, &full);
    whet_token_rows_destroy(ctx, &cut);
    whet_tokenizer_destroy(ctx, tokenizer);
    fuzz_end(ctx, status);
    return 0;
}
