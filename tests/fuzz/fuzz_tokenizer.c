/* SPDX-License-Identifier: Apache-2.0
 * tokenizer.json from anybody: the bytes up to the first NUL are the file, the rest is a text.
 * What loads must encode the text, whole and cut to 5 tokens, with ids in range and the same first
 * ones. */
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
    }
    whet_token_rows_destroy(ctx, &full);
    whet_token_rows_destroy(ctx, &cut);
    whet_tokenizer_destroy(ctx, tokenizer);
    fuzz_end(ctx, status);
    return 0;
}
