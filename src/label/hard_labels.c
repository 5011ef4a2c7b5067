/* SPDX-License-Identifier: Apache-2.0
 * Probabilities to classes, by a stated rule for ties. The rule "hash" is snorkel's "random": of t
 * tied classes the one number SHA-1(row in decimal) mod t, so that a row's answer never changes.
 * Source of SHA-1: FIPS 180-4, section 6.1; here for one block and nothing secret. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "label/vote_model.h"

#define TIE 1e-5

static uint32_t turned(uint32_t x, int by) { return x << by | x >> (32 - by); }

/* A text of at most 55 bytes; hash [5], the first word the most significant. */
static void sha1_of_short(const char *text, int64_t len, uint32_t hash[5]) {
    uint32_t w[80] = {0}, s[5];
    static const uint32_t first[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    for (int64_t i = 0; i < len; i++)
        w[i / 4] |= (uint32_t)(unsigned char)text[i] << (24 - 8 * (i % 4));
    w[len / 4] |= (uint32_t)0x80 << (24 - 8 * (len % 4));
    w[15] = (uint32_t)(8 * len);
    for (int i = 16; i < 80; i++) w[i] = turned(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    memcpy(s, first, sizeof s);
    for (int i = 0; i < 80; i++) {
        const uint32_t b = s[1], c = s[2], d = s[3];
        const uint32_t mixed = i < 20   ? (b & c) | (~b & d)
                               : i < 40 ? b ^ c ^ d
                               : i < 60 ? (b & c) | (b & d) | (c & d)
                                        : b ^ c ^ d;
        const uint32_t constant = i < 20   ? 0x5a827999
                                  : i < 40 ? 0x6ed9eba1
                                  : i < 60 ? 0x8f1bbcdc
                                           : 0xca62c1d6;
        const uint32_t next = turned(s[0], 5) + mixed + s[4] + constant + w[i];
        s[4] = s[3];
        s[3] = s[2];
        s[2] = turned(s[1], 30);
        s[1] = s[0];
        s[0] = next;
    }
    for (int i = 0; i < 5; i++) hash[i] = first[i] + s[i];
}

static int64_t hash_mod(int64_t row, int64_t ties) {
    char digits[24];
    uint32_t hash[5];
    uint64_t left = 0;
    const int len = snprintf(digits, sizeof digits, "%" PRId64, row);
    sha1_of_short(digits, len, hash);
    for (int i = 0; i < 5; i++) left = (left << 32 | hash[i]) % (uint64_t)ties;
    return (int64_t)left;
}

static int32_t hard_label(const double *row, int64_t k, whet_tie_policy policy, int64_t name) {
    double top = row[0];
    int64_t ties = 0;
    for (int64_t c = 1; c < k; c++) top = row[c] > top ? row[c] : top;
    if (policy == WHET_TIE_LOWEST) return (int32_t)whet_i_argmax(row, k);
    for (int64_t c = 0; c < k; c++) ties += top - row[c] < TIE ? 1 : 0;
    if (policy == WHET_TIE_ABSTAIN && ties > 1) return -1;
    int64_t skip = ties > 1 ? hash_mod(name, ties) : 0;
    for (int64_t c = 0; c < k; c++)
        if (top - row[c] < TIE && skip-- == 0) return (int32_t)c;
    return -1; /* not reached: the top ties with itself */
}

whet_status whet_hard_labels(whet_ctx *ctx, const double *probs, int64_t n, int64_t k,
                             whet_tie_policy policy, int64_t first_row, int32_t *labels) {
    if (n < 0 || k < 1 || k > INT32_MAX || policy < WHET_TIE_LOWEST || policy > WHET_TIE_HASH)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "hard labels of %" PRId64 " rows and %" PRId64
                           " classes by rule %d; expected at least 0 and 1, and a rule there is",
                           n, k, (int)policy);
    for (int64_t i = 0; i < n * k; i++)
        if (!isfinite(probs[i]))
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "probability [%" PRId64 ", %" PRId64 "] is not a number", i / k,
                               i % k);
    for (int64_t i = 0; i < n; i++) labels[i] = hard_label(probs + i * k, k, policy, first_row + i);
    return WHET_OK;
}
