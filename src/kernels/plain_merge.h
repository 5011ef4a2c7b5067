/* SPDX-License-Identifier: Apache-2.0
 * Kernels of merging: differences of two models, which of them are large, sums over models. Written once in
 * vectors and compiled for each instruction set, as plain_votes.h is; every number is by itself, and nothing
 * is contracted: every table has the same bits. Included by the tables' files. */
#ifdef __AVX512F__
#include <immintrin.h>
#endif

#include "kernels/kernels_i.h"

#define MERGE_INLINE static inline __attribute__((always_inline))

enum { MERGE_LANES = 8, MERGE_VECS = 8, MERGE_BLOCK = MERGE_LANES * MERGE_VECS };
/* Keys in a vector; models whose differences are kept while signs are elected: 4 KB. */
enum { MERGE_KEYS = 16, MERGE_KEPT = 8 };

typedef double merge_vec __attribute__((vector_size(64), aligned(8), may_alias));
typedef int64_t merge_mask __attribute__((vector_size(64), aligned(8), may_alias));
typedef float merge_half __attribute__((vector_size(32), aligned(4), may_alias));
typedef uint32_t merge_bits __attribute__((vector_size(64), aligned(4), may_alias));

/* The first number of size `limit` or more, as bits of a float without sign; n when there is none. */
static int64_t merge_first_from(int64_t n, const float *x, uint32_t limit) {
    enum { PART = 8 * MERGE_KEYS };
    const uint32_t *bits = (const uint32_t *)(const void *)x;
    for (int64_t first = 0; first < n; first += PART) {
        const int64_t last = first + PART < n ? first + PART : n;
        merge_bits any = {0};
        int64_t i = first;
        for (; i + MERGE_KEYS <= last; i += MERGE_KEYS)
            any |= (merge_bits)((*(const merge_bits *)(bits + i) & 0x7fffffffU) >= limit);
        uint32_t found = i < last;
        for (int l = 0; l < MERGE_KEYS; l++) found |= any[l];
        for (i = first; found && i < last; i++) {
            uint32_t one;
            memcpy(&one, x + i, sizeof one);
            if ((one & 0x7fffffffU) >= limit) return i;
        }
    }
    return n;
}

static void merge_difference_keys(int64_t n, const float *x, const float *base, uint32_t *key) {
    for (int64_t i = 0; i < n; i++) {
        const float apart = x[i] - base[i];
        uint32_t bits;
        memcpy(&bits, &apart, sizeof bits);
        key[i] = bits | 0x80000000U;
    }
}

static int64_t merge_keys_between(int64_t n, const uint32_t *key, uint32_t low, uint32_t high,
                                  int64_t *above, uint32_t *out) {
    int64_t count = 0, more = 0, i = 0;
#ifdef __AVX512F__
    const __m512i least = _mm512_set1_epi32((int)low), most = _mm512_set1_epi32((int)high);
    for (; i + MERGE_KEYS <= n; i += MERGE_KEYS) {
        const __m512i k = _mm512_loadu_si512(key + i);
        const __mmask16 over = _mm512_cmpgt_epu32_mask(k, most);
        const __mmask16 in = _mm512_cmpge_epu32_mask(k, least) & (__mmask16)~over;
        more += __builtin_popcount(over);
        const int found = __builtin_popcount(in);
        _mm512_mask_storeu_epi32(out + count, (__mmask16)((1U << found) - 1),
                                 _mm512_maskz_compress_epi32(in, k));
        count += found;
    }
#endif
    for (; i < n; i++) {
        out[count] = key[i];
        count += key[i] >= low && key[i] <= high;
        more += key[i] > high;
    }
    *above += more;
    return count;
}

static void merge_keys_mask(int64_t n, const uint32_t *key, uint32_t least, float *m) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, key + i, sizeof bits);
        m[i] = bits >= least ? 1.0F : 0.0F;
    }
}

/* Eight numbers; or, where not `whole`, as many as are left, and zeros. */
MERGE_INLINE void merge_load(const float *x, bool whole, int64_t left, merge_vec *out) {
    merge_half part = {0};
    if (whole || left >= MERGE_LANES)
        part = *(const merge_half *)x;
    else
        memcpy(&part, x, (size_t)left * sizeof *x);
#ifdef __AVX512F__
    *out = (merge_vec)_mm512_cvtps_pd((__m256)part); /* GCC 12 makes it of two halves */
#else
    *out = __builtin_convertvector(part, merge_vec);
#endif
}
MERGE_INLINE void merge_store(float *to, bool whole, int64_t left, const merge_vec *x) {
    const merge_half part = __builtin_convertvector(*x, merge_half);
    if (whole || left >= MERGE_LANES)
        *(merge_half *)to = part;
    else
        memcpy(to, &part, (size_t)left * sizeof *to);
}

/* Some vectors at once, so that the processor need not wait for one before it begins the next. */
MERGE_INLINE void merge_combine_some(int64_t left, bool whole, int vecs, int64_t sources,
                                     const float *const *x, int64_t e, const double *factor,
                                     float *out) {
    merge_vec sum[MERGE_VECS] = {{0}}, one;
    for (int64_t s = 0; s < sources; s++) {
        if (factor[s] == 0) continue;
        for (int v = 0; v < vecs; v++) {
            merge_load(x[s] + e + v * MERGE_LANES, whole, left, &one);
            sum[v] += factor[s] * one;
        }
    }
    for (int v = 0; v < vecs; v++) merge_store(out + e + v * MERGE_LANES, whole, left, &sum[v]);
}

static void merge_combine(int64_t n, int64_t sources, const float *const *x, const double *factor,
                          float *out) {
    int64_t e = 0;
    for (; e + MERGE_BLOCK <= n; e += MERGE_BLOCK)
        merge_combine_some(n - e, true, MERGE_VECS, sources, x, e, factor, out);
    for (; e < n; e += MERGE_LANES) merge_combine_some(n - e, false, 1, sources, x, e, factor, out);
}

/* value [vecs] = (x - base) mask factor of model i, from number e on. */
MERGE_INLINE void merge_masked(const whet_i_election *a, int64_t i, int64_t e, bool whole, int vecs,
                               const merge_vec *base, merge_vec *value) {
    const float *x = a->x[i] + e, *mask = a->mask ? a->mask + i * a->ld_mask + e : NULL;
    merge_vec one;
    for (int v = 0; v < vecs; v++) {
        merge_load(x + v * MERGE_LANES, whole, a->n - e, &one);
        value[v] = one - base[v];
    }
    for (int v = 0; mask && v < vecs; v++) {
        merge_load(mask + v * MERGE_LANES, whole, a->n - e, &one);
        value[v] *= one;
    }
    for (int v = 0; a->factor[i] != 1 && v < vecs; v++) value[v] *= a->factor[i];
}

MERGE_INLINE void merge_add_all(const whet_i_election *a, int64_t e, bool whole, int vecs,
                                const merge_vec *base, merge_vec *sum, merge_vec *divisor) {
    merge_vec value[MERGE_VECS];
    double weights = 0;
    for (int64_t i = 0; i < a->models; i++) {
        merge_masked(a, i, e, whole, vecs, base, value);
        for (int v = 0; v < vecs; v++) sum[v] += a->weight[i] * value[v];
        weights += a->weight[i];
    }
    for (int v = 0; v < vecs; v++) divisor[v] += weights;
}

/* The same where every model votes with its weight: what it votes with is what it adds. */
MERGE_INLINE void merge_add_agreeing_alike(const whet_i_election *a, int64_t e, bool whole,
                                           int vecs, const merge_vec *base, merge_vec *sum,
                                           merge_vec *divisor) {
    merge_vec kept[MERGE_KEPT][MERGE_VECS], votes[MERGE_VECS] = {{0}};
    merge_mask sign[MERGE_VECS];
    for (int64_t i = 0; i < a->models; i++) {
        merge_masked(a, i, e, whole, vecs, base, kept[i]);
        for (int v = 0; v < vecs; v++) {
            kept[i][v] *= a->weight[i];
            votes[v] += kept[i][v];
        }
    }
    for (int v = 0; v < vecs; v++) sign[v] = (votes[v] < 0) & INT64_MIN;
    for (int64_t i = 0; i < a->models; i++) {
        const merge_vec weight = a->weight[i] - (merge_vec){0};
        for (int v = 0; v < vecs; v++) {
            const merge_mask in = (merge_vec)((merge_mask)kept[i][v] ^ sign[v]) > 0;
            sum[v] += (merge_vec)((merge_mask)kept[i][v] & in);
            divisor[v] += (merge_vec)((merge_mask)weight & in);
        }
    }
}

/* Those that agree with the sign of the votes' sum. */
MERGE_INLINE void merge_add_agreeing(const whet_i_election *a, int64_t e, bool whole, int vecs,
                                     const merge_vec *base, merge_vec *sum, merge_vec *divisor) {
    merge_vec kept[MERGE_KEPT][MERGE_VECS], more[MERGE_VECS], votes[MERGE_VECS] = {{0}};
    merge_mask sign[MERGE_VECS];
    for (int64_t i = 0; i < a->models; i++) {
        merge_vec *value = i < MERGE_KEPT ? kept[i] : more;
        merge_masked(a, i, e, whole, vecs, base, value);
        for (int v = 0; v < vecs; v++) votes[v] += a->vote[i] * value[v];
    }
    for (int v = 0; v < vecs; v++) sign[v] = (votes[v] < 0) & INT64_MIN;
    for (int64_t i = 0; i < a->models; i++) {
        const merge_vec *value = i < MERGE_KEPT ? kept[i] : more;
        const merge_vec weight = a->weight[i] - (merge_vec){0};
        if (i >= MERGE_KEPT) merge_masked(a, i, e, whole, vecs, base, more);
        for (int v = 0; v < vecs; v++) {
            const merge_vec voted = (merge_vec)((merge_mask)(a->vote[i] * value[v]) ^ sign[v]);
            const merge_vec in = (merge_vec)((merge_mask)weight & (voted > 0));
            sum[v] += in * value[v];
            divisor[v] += in;
        }
    }
}

/* What may be known of all numbers of an election, so that less is done. */
typedef struct merge_known {
    bool alike;  /* votes are weights, of at most MERGE_KEPT models */
    bool halves; /* divisors are powers of two, or small: their inverses are exact */
} merge_known;

MERGE_INLINE void merge_divide(const whet_i_election *a, merge_known known, int vecs,
                               merge_vec *sum, const merge_vec *divisor) {
    static const int64_t inverse = 0x7fe0000000000000; /* bits of 2^k and of 2^-k, together */
    const merge_vec one = (a->clamp_divisor ? 1e-6 : 1) - (merge_vec){0};
    for (int v = 0; v < vecs; v++) {
        const merge_mask small =
            a->clamp_divisor ? divisor[v] < 1e-6 : (divisor[v] < 1e-8) & (divisor[v] > -1e-8);
        const merge_mask by = ((merge_mask)divisor[v] & ~small) | ((merge_mask)one & small);
        if (known.halves)
            sum[v] *= (merge_vec)(inverse - by);
        else
            sum[v] /= (merge_vec)by;
    }
}

MERGE_INLINE void merge_elect_some(const whet_i_election *a, merge_known known, int64_t e,
                                   bool whole, int vecs) {
    merge_vec base[MERGE_VECS], sum[MERGE_VECS] = {{0}}, divisor[MERGE_VECS] = {{0}};
    for (int v = 0; v < vecs; v++)
        merge_load(a->base + e + v * MERGE_LANES, whole, a->n - e, &base[v]);
    if (a->consensus && known.alike)
        merge_add_agreeing_alike(a, e, whole, vecs, base, sum, divisor);
    else if (a->consensus)
        merge_add_agreeing(a, e, whole, vecs, base, sum, divisor);
    else
        merge_add_all(a, e, whole, vecs, base, sum, divisor);
    if (a->normalize) merge_divide(a, known, vecs, sum, divisor);
    for (int v = 0; v < vecs; v++) {
        sum[v] = base[v] + a->lambda * sum[v];
        merge_store(a->out + e + v * MERGE_LANES, whole, a->n - e, &sum[v]);
    }
}

static bool merge_is_power_of_two(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return x > 1e-6 && x < 1e6 && (bits & ((1ULL << 52) - 1)) == 0;
}

static merge_known merge_known_of(const whet_i_election *a) {
    merge_known known = {.alike = a->consensus && a->models <= MERGE_KEPT};
    double all = 0;
    for (int64_t i = 0; i < a->models; i++) {
        known.alike = known.alike && a->vote[i] == a->weight[i];
        all += a->weight[i];
    }
    known.halves = a->models <= 2 && !a->clamp_divisor && merge_is_power_of_two(all);
    for (int64_t i = 0; a->consensus && i < a->models; i++)
        known.halves = known.halves && merge_is_power_of_two(a->weight[i]);
    return known;
}

static void merge_elect(const whet_i_election *a) {
    enum { VECS = MERGE_VECS / 2, BLOCK = MERGE_LANES * VECS };
    static const merge_known nothing = {0}, alike = {.alike = true}, both = {true, true};
    const merge_known known = merge_known_of(a);
    int64_t e = 0;
    for (; known.alike && known.halves && e + BLOCK <= a->n; e += BLOCK)
        merge_elect_some(a, both, e, true, VECS);
    for (; known.alike && e + BLOCK <= a->n; e += BLOCK) merge_elect_some(a, alike, e, true, VECS);
    for (; e + BLOCK <= a->n; e += BLOCK) merge_elect_some(a, nothing, e, true, VECS);
    for (; e < a->n; e += MERGE_LANES) merge_elect_some(a, nothing, e, false, 1);
}

static void merge_difference_sums(int64_t n, const float *x, const float *base, const float *mask,
                                  double *all, double *kept) {
    merge_vec whole[2] = {{0}}, part[2] = {{0}};
    for (int64_t e = 0; e < n; e += MERGE_LANES) {
        const int chain = (int)(e / MERGE_LANES % 2);
        merge_vec value, other;
        merge_load(x + e, false, n - e, &value);
        merge_load(base + e, false, n - e, &other);
        value = (merge_vec)((merge_mask)(value - other) & INT64_MAX);
        whole[chain] += value;
        if (mask) {
            merge_load(mask + e, false, n - e, &other);
            value *= other;
        }
        part[chain] += value;
    }
    whole[0] += whole[1];
    part[0] += part[1];
    for (int l = 0; l < MERGE_LANES; l++) {
        *all += whole[0][l];
        *kept += part[0][l];
    }
}

/* whet_i_hash_u64 of eight. */
static void merge_drawn_mask(int64_t n, uint64_t stream, int64_t first, double share, float *m) {
    typedef uint64_t words __attribute__((vector_size(64)));
    static const words lane = {0, 1, 2, 3, 4, 5, 6, 7};
    const double scaled = share * 0x1p53;
    uint64_t limit = (uint64_t)scaled; /* of 53 bits: as many are below share as below this */
    if ((double)limit < scaled) limit++;
    for (int64_t e = 0; e < n; e += MERGE_LANES) {
        words x = ((uint64_t)(first + e) + lane) ^ stream;
        x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9U;
        x = (x ^ x >> 27) * 0x94d049bb133111ebU;
        x = (x ^ x >> 31) >> 11;
        const merge_mask in = (merge_mask)(x < limit);
        const merge_vec value = (merge_vec)(in & (merge_mask)(1.0 - (merge_vec){0}));
        merge_store(m + e, false, n - e, &value);
    }
}

#define MERGE_SLOTS \
    .difference_sums = merge_difference_sums, .drawn_mask = merge_drawn_mask, \
    .first_from = merge_first_from, .difference_keys = merge_difference_keys, \
    .keys_between = merge_keys_between, .keys_mask = merge_keys_mask, .combine = merge_combine, \
    .elect = merge_elect
