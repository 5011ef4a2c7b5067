/* SPDX-License-Identifier: Apache-2.0
 * Commitments: SHA-256 over bytes that can be read in one way only. */
#include <inttypes.h>
#include <sodium.h>

#include "whet/commitment.h"

#include "core/core_i.h"

_Static_assert(WHET_HASH_SIZE == crypto_hash_sha256_BYTES, "a hash is one of SHA-256");

bool whet_hash_equal(const whet_hash *a, const whet_hash *b) {
    return sodium_memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

void whet_hash_text(const whet_hash *hash, char out[WHET_HASH_TEXT]) {
    (void)sodium_bin2hex(out, WHET_HASH_TEXT, hash->bytes, sizeof hash->bytes);
}

whet_status whet_hash_parse(whet_ctx *ctx, const char *text, whet_hash *out) {
    whet_hash hash;
    size_t bytes = 0;
    const char *end = text;
    const int bad =
        sodium_hex2bin(hash.bytes, sizeof hash.bytes, text, strlen(text), NULL, &bytes, &end);
    if (bad || bytes != sizeof hash.bytes || *end) {
        char quoted[WHET_QUOTE_SIZE];
        return whet_i_fail(ctx, WHET_ERR_ARG, "hash %s; expected 64 hexadecimal digits",
                           whet_i_quote(quoted, whet_str_from(text)));
    }
    *out = hash;
    return WHET_OK;
}

whet_status whet_salt_draw(whet_ctx *ctx, whet_hash *out) {
    if (sodium_init() < 0)
        return whet_i_fail(ctx, WHET_ERR_IO, "the system gives no random bytes; expected 32");
    randombytes_buf(out->bytes, sizeof out->bytes);
    return WHET_OK;
}

static void put_little(uint64_t x, int bytes, uint8_t *to) {
    for (int i = 0; i < bytes; i++) to[i] = (uint8_t)(x >> (8 * i));
}

whet_status whet_commit(whet_ctx *ctx, const char *domain, const whet_hash *salt,
                        const void *payload, int64_t len, whet_hash *out) {
    static const uint8_t tag[] = {'P', 'M', 'K', 'T', '1', 0};
    const size_t name = strlen(domain);
    uint8_t size[8];
    crypto_hash_sha256_state state;
    if (name < 1 || name > 255 || len < 0)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "a domain of %zu bytes, a payload of %" PRId64
                           "; expected 1 to 255 and 0 or more",
                           name, len);
    (void)crypto_hash_sha256_init(&state); /* these three cannot fail */
    (void)crypto_hash_sha256_update(&state, tag, sizeof tag);
    put_little(name, 4, size);
    (void)crypto_hash_sha256_update(&state, size, 4);
    (void)crypto_hash_sha256_update(&state, (const uint8_t *)domain, name);
    (void)crypto_hash_sha256_update(&state, salt->bytes, sizeof salt->bytes);
    put_little((uint64_t)len, 8, size);
    (void)crypto_hash_sha256_update(&state, size, 8);
    (void)crypto_hash_sha256_update(&state, payload, (unsigned long long)len);
    (void)crypto_hash_sha256_final(&state, out->bytes);
    return WHET_OK;
}

whet_status whet_commit_opens(whet_ctx *ctx, const whet_hash *commitment, const char *domain,
                              const whet_hash *salt, const void *payload, int64_t len,
                              bool *opens) {
    whet_hash made;
    WHET_TRY(whet_commit(ctx, domain, salt, payload, len, &made));
    *opens = whet_hash_equal(&made, commitment);
    return WHET_OK;
}
