/* SPDX-License-Identifier: Apache-2.0
 * Hashes as anybody may write them: taken are 64 hexadecimal digits of either case and nothing else, a text
 * that is taken is written as it was but for the case, and one that is not leaves the hash as it was. */
#include "fuzz.h"

#include "whet/commitment.h"

static int digit_of(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* What the contract says, in other words. */
static bool is_hash(const char *text, whet_hash *out) {
    if (strlen(text) != WHET_HASH_TEXT - 1) return false;
    for (int i = 0; i < WHET_HASH_SIZE; i++) {
        const int high = digit_of(text[2 * i]), low = digit_of(text[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        out->bytes[i] = (uint8_t)(16 * high + low);
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    whet_ctx *ctx = fuzz_begin();
    char *text = malloc(size + 1); /* as long as it is: what reads beyond is seen */
    whet_hash expected, before, hash;
    FUZZ_REQUIRE(text);
    if (size) memcpy(text, data, size);
    text[size] = '\0';
    memset(&before, 0x5A, sizeof before);
    hash = before;
    const whet_status status = whet_hash_parse(ctx, text, &hash);
    FUZZ_REQUIRE((status == WHET_OK) == is_hash(text, &expected));
    FUZZ_REQUIRE(status == WHET_OK || status == WHET_ERR_ARG);
    FUZZ_REQUIRE(whet_hash_equal(&hash, status == WHET_OK ? &expected : &before));
    if (status == WHET_OK) {
        char written[WHET_HASH_TEXT];
        whet_hash again;
        whet_hash_text(&hash, written);
        FUZZ_REQUIRE(whet_hash_parse(ctx, written, &again) == WHET_OK);
        FUZZ_REQUIRE(whet_hash_equal(&hash, &again));
    }
    free(text);
    fuzz_end(ctx, status);
    return 0;
}
