/* SPDX-License-Identifier: Apache-2.0
 * xoshiro256++ (Blackman & Vigna 2019, arXiv 1805.01407), seeded by splitmix64; bounded integers by
 * Lemire 2019 (arXiv 1805.10941). Same seed and stream, same numbers, on every machine. */
#include <math.h>

#include "core/core_i.h"

__extension__ typedef unsigned __int128 u128;

uint64_t whet_i_hash_u64(uint64_t x) {
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9U;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

uint64_t whet_i_hash_bytes(const void *bytes, int64_t len) {
    const unsigned char *p = bytes;
    uint64_t h = 0xcbf29ce484222325U;
    for (int64_t i = 0; i < len; i++) h = (h ^ p[i]) * 0x100000001b3U;
    return whet_i_hash_u64(h);
}

/* Bytes eight at a time, each lane a multiplication and a rotation (xxHash64, Collet). */
uint64_t whet_i_hash_long(const void *bytes, int64_t len) {
    enum { LANES = 4 };
    static const uint64_t a = 0x9e3779b185ebca87u, b = 0xc2b2ae3d27d4eb4fu;
    const char *p = bytes;
    uint64_t lane[LANES] = {a + b, b, 0, 0 - a}, word;
    int64_t at = 0;
    for (; at + 8 * LANES <= len; at += 8 * LANES)
        for (int i = 0; i < LANES; i++) {
            memcpy(&word, p + at + 8 * i, 8);
            lane[i] += word * b;
            lane[i] = (lane[i] << 31 | lane[i] >> 33) * a;
        }
    uint64_t hash = whet_i_hash_bytes(p + at, len - at) ^ whet_i_hash_u64((uint64_t)len);
    for (int i = 0; i < LANES; i++) hash = whet_i_hash_u64(hash ^ lane[i]);
    return hash;
}

void whet_i_rng_init(whet_i_rng *rng, uint64_t seed, uint64_t stream) {
    uint64_t x = whet_i_hash_u64(seed) ^ whet_i_hash_u64(stream * 0x9e3779b97f4a7c15U + 1);
    for (int i = 0; i < 4; i++) rng->s[i] = whet_i_hash_u64(x += 0x9e3779b97f4a7c15U);
}

static uint64_t rotl(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

uint64_t whet_i_rng_u64(whet_i_rng *rng) {
    uint64_t *s = rng->s;
    const uint64_t result = rotl(s[0] + s[3], 23) + s[0];
    const uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

int64_t whet_i_rng_below(whet_i_rng *rng, int64_t n) {
    const uint64_t bound = (uint64_t)n;
    u128 product = (u128)whet_i_rng_u64(rng) * bound;
    if ((uint64_t)product < bound) {
        const uint64_t threshold = (0 - bound) % bound;
        while ((uint64_t)product < threshold) product = (u128)whet_i_rng_u64(rng) * bound;
    }
    return (int64_t)(product >> 64);
}

double whet_i_rng_uniform(whet_i_rng *rng) {
    return (double)(whet_i_rng_u64(rng) >> 11) * 0x1.0p-53;
}

double whet_i_rng_normal(whet_i_rng *rng) {
    const double u = 1.0 - whet_i_rng_uniform(rng); /* (0, 1]: the logarithm is finite */
    const double v = whet_i_rng_uniform(rng);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586476925 * v);
}

void whet_i_rng_shuffle(whet_i_rng *rng, int64_t *values, int64_t n) {
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t j = whet_i_rng_below(rng, i + 1);
        const int64_t kept = values[i];
        values[i] = values[j];
        values[j] = kept;
    }
}
