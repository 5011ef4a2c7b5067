/* SPDX-License-Identifier: Apache-2.0
 * Kernels of merging: differences of two models, which of them are large, sums over models. Written once in
 * vectors and compiled for each instruction set, as plain_votes.h is; every number is by itself, and nothing
 * is contracted: every table has the same bits. Included by the tables' files. */
#if defined __AVX512F__ || defined __AVX2__
#include <immintrin.h>
#endif

#include "kernels/kernels_i.h"

#define MERGE_INLINE static inline __attribute__((always_inline))

/* Bytes of a vector of f64: as many as the instruction set has, for the compiler takes others apart badly. */
#ifdef __AVX512F__
#define MERGE_BYTES 64
#else
#define MERGE_BYTES 32
#endif
enum { MERGE_LANES = MERGE_BYTES / 8, MERGE_VECS = 8, MERGE_BLOCK = MERGE_LANES * MERGE_VECS };
/* Keys in a vector; models whose differences are kept while signs are elected: 4 KB. */
enum { MERGE_KEYS = 16, MERGE_KEPT = 8 };

typedef double merge_vec __attribute__((vector_size(MERGE_BYTES), aligned(8), may_alias));
typedef int64_t merge_mask __attribute__((vector_size(MERGE_BYTES), aligned(8), may_alias));
typedef float merge_half __attribute__((vector_size(MERGE_BYTES / 2), aligned(4), may_alias));
typedef int32_t merge_half_mask
    __attribute__((vector_size(MERGE_BYTES / 2), aligned(4), may_alias));
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
#elif defined __AVX2__
    enum { SIGN = INT32_MIN, AT_ONCE = 8 };
    const __m256i sign = _mm256_set1_epi32(SIGN);
    const __m256i least = _mm256_set1_epi32((int)low ^ SIGN),
                  most = _mm256_set1_epi32((int)high ^ SIGN);
    for (; i + AT_ONCE <= n; i += AT_ONCE) {
        const __m256i k =
            _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(const void *)(key + i)), sign);
        const __m256i over = _mm256_cmpgt_epi32(k, most), under = _mm256_cmpgt_epi32(least, k);
        more += __builtin_popcount((unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(over)));
        const __m256i beside = _mm256_or_si256(over, under);
        unsigned in = ~(unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(beside)) & 0xff;
        for (; in; in &= in - 1) out[count++] = key[i + __builtin_ctz(in)];
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

/* A vector of numbers; or, where not `whole`, as many as are left, and zeros. */
MERGE_INLINE merge_half merge_part(const float *x, bool whole, int64_t left) {
    merge_half part = {0};
    if (whole || left >= MERGE_LANES)
        part = *(const merge_half *)x;
    else
        memcpy(&part, x, (size_t)left * sizeof *x);
    return part;
}
MERGE_INLINE void merge_widen(const merge_half *part, merge_vec *out) {
#ifdef __AVX512F__
    *out = (merge_vec)_mm512_cvtps_pd((__m256)*part); /* GCC 12 makes it of two halves */
#else
    *out = __builtin_convertvector(*part, merge_vec);
#endif
}
MERGE_INLINE void merge_load(const float *x, bool whole, int64_t left, merge_vec *out) {
    const merge_half part = merge_part(x, whole, left);
    merge_widen(&part, out);
}
MERGE_INLINE void merge_store(float *to, bool whole, int64_t left, const merge_vec *x) {
#ifdef __AVX512F__
    const merge_half part = (merge_half)_mm512_cvtpd_ps((__m512d)*x);
#else
    const merge_half part = __builtin_convertvector(*x, merge_half);
#endif
    if (whole || left >= MERGE_LANES)
        *(merge_half *)to = part;
    else
        memcpy(to, &part, (size_t)left * sizeof *to);
}

/* Which numbers of a vector: bits, or all bits of each. */
#ifdef __AVX512F__
typedef __mmask8 merge_which;
#else
typedef merge_mask merge_which;
#endif

/* Those of which |x - base|, as f32, has bits of `least` at least. */
MERGE_INLINE void merge_large(const merge_half *x, const merge_half *base, int32_t least,
                              merge_which *out) {
    const merge_half apart = *x - *base;
    const merge_half_mask size = (merge_half_mask)apart & INT32_MAX;
#ifdef __AVX512F__
    *out = _mm256_cmpge_epi32_mask((__m256i)size, _mm256_set1_epi32(least));
#else
    *out = __builtin_convertvector(size >= least, merge_mask);
#endif
}
/* x with the sign bits turned round that `sign` has: those above 0. */
MERGE_INLINE void merge_agrees(const merge_vec *x, const merge_mask *sign, merge_which *out) {
    const merge_vec turned = (merge_vec)((merge_mask)*x ^ *sign);
#ifdef __AVX512F__
    *out = _mm512_cmp_pd_mask((__m512d)turned, _mm512_setzero_pd(), _CMP_GT_OQ);
#else
    *out = turned > 0;
#endif
}
/* sum += x where it is, and 0 elsewhere. */
MERGE_INLINE void merge_add_where(const merge_which *in, const merge_vec *x, merge_vec *sum) {
#ifdef __AVX512F__
    *sum = (merge_vec)_mm512_mask_add_pd((__m512d)*sum, *in, (__m512d)*sum, (__m512d)*x);
#else
    *sum += (merge_vec)((merge_mask)*x & *in);
#endif
}
/* x where it is, 0 elsewhere. */
MERGE_INLINE void merge_keep_where(const merge_which *in, merge_vec *x) {
#ifdef __AVX512F__
    *x = (merge_vec)_mm512_maskz_mov_pd(*in, (__m512d)*x);
#else
    *x = (merge_vec)((merge_mask)*x & *in);
#endif
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

/* What may be known of all numbers of an election, so that less is done. */
typedef struct merge_known {
    bool alike;  /* votes are weights, of at most MERGE_KEPT models */
    bool large;  /* masks are by the sizes of differences */
    bool two;    /* models */
    bool halves; /* divisors are powers of two, or small: their inverses are exact */
} merge_known;

/* value [vecs] = (x - base) mask factor of model i, from number e on; `large`: the mask is by `least`. */
MERGE_INLINE void merge_masked(const whet_i_election *a, int64_t i, int64_t e, bool whole,
                               bool large, int vecs, const merge_vec *base, merge_vec *value) {
    const float *x = a->x[i] + e;
    const float *mask = !large && a->mask ? a->mask + i * a->ld_mask + e : NULL;
    const bool all = large && a->least[i] < 1U << 31;
    const int32_t least = all || !large ? 0 : (int32_t)(a->least[i] & INT32_MAX);
    merge_vec one;
    for (int v = 0; v < vecs; v++) {
        const merge_half part = merge_part(x + v * MERGE_LANES, whole, a->n - e);
        merge_widen(&part, &one);
        value[v] = one - base[v];
        if (!large) continue;
        const merge_half other = merge_part(a->base + e + v * MERGE_LANES, whole, a->n - e);
        merge_which in;
        merge_large(&part, &other, least, &in);
        merge_keep_where(&in, &value[v]);
    }
    for (int v = 0; mask && v < vecs; v++) {
        merge_load(mask + v * MERGE_LANES, whole, a->n - e, &one);
        value[v] *= one;
    }
    for (int v = 0; a->factor[i] != 1 && v < vecs; v++) value[v] *= a->factor[i];
}

MERGE_INLINE void merge_add_all(const whet_i_election *a, merge_known known, int64_t e, bool whole,
                                int vecs, const merge_vec *base, merge_vec *sum,
                                merge_vec *divisor) {
    merge_vec value[MERGE_VECS];
    double weights = 0;
    for (int64_t i = 0; i < a->models; i++) {
        merge_masked(a, i, e, whole, known.large, vecs, base, value);
        for (int v = 0; v < vecs; v++) sum[v] += a->weight[i] * value[v];
        weights += a->weight[i];
    }
    for (int v = 0; v < vecs; v++) divisor[v] += weights;
}

/* The same where every model votes with its weight: what it votes with is what it adds. `models` are a's, as
 * a constant where it is one: then what is kept need not leave the registers. */
MERGE_INLINE void merge_add_agreeing_alike(const whet_i_election *a, merge_known known,
                                           int64_t models, int64_t e, bool whole, int vecs,
                                           const merge_vec *base, merge_vec *sum,
                                           merge_vec *divisor) {
    merge_vec kept[MERGE_KEPT][MERGE_VECS], votes[MERGE_VECS];
    merge_mask sign[MERGE_VECS];
    for (int64_t i = 0; i < models; i++) {
        merge_masked(a, i, e, whole, known.large, vecs, base, kept[i]);
        for (int v = 0; v < vecs; v++) {
            kept[i][v] *= a->weight[i];
            if (i == 0)
                votes[v] = kept[i][v];
            else
                votes[v] += kept[i][v];
        }
    }
    for (int v = 0; v < vecs; v++) sign[v] = (votes[v] < 0) & INT64_MIN;
    for (int64_t i = 0; i < models; i++) {
        const merge_vec weight = a->weight[i] - (merge_vec){0};
        for (int v = 0; v < vecs; v++) {
            merge_which in;
            merge_agrees(&kept[i][v], &sign[v], &in);
            merge_add_where(&in, &kept[i][v], &sum[v]);
            merge_add_where(&in, &weight, &divisor[v]);
        }
    }
}

/* Those that agree with the sign of the votes' sum. */
MERGE_INLINE void merge_add_agreeing(const whet_i_election *a, merge_known known, int64_t e,
                                     bool whole, int vecs, const merge_vec *base, merge_vec *sum,
                                     merge_vec *divisor) {
    merge_vec kept[MERGE_KEPT][MERGE_VECS], more[MERGE_VECS], votes[MERGE_VECS] = {{0}};
    merge_mask sign[MERGE_VECS];
    for (int64_t i = 0; i < a->models; i++) {
        merge_vec *value = i < MERGE_KEPT ? kept[i] : more;
        merge_masked(a, i, e, whole, known.large, vecs, base, value);
        for (int v = 0; v < vecs; v++) votes[v] += a->vote[i] * value[v];
    }
    for (int v = 0; v < vecs; v++) sign[v] = (votes[v] < 0) & INT64_MIN;
    for (int64_t i = 0; i < a->models; i++) {
        const merge_vec *value = i < MERGE_KEPT ? kept[i] : more;
        const merge_vec weight = a->weight[i] - (merge_vec){0};
        if (i >= MERGE_KEPT) merge_masked(a, i, e, whole, known.large, vecs, base, more);
        for (int v = 0; v < vecs; v++) {
            const merge_vec voted = (merge_vec)((merge_mask)(a->vote[i] * value[v]) ^ sign[v]);
            const merge_vec in = (merge_vec)((merge_mask)weight & (voted > 0));
            sum[v] += in * value[v];
            divisor[v] += in;
        }
    }
}

MERGE_INLINE void merge_divide(const whet_i_election *a, merge_known known, int vecs,
                               merge_vec *sum, const merge_vec *divisor) {
    static const int64_t inverse = 0x7fe0000000000000; /* bits of 2^k and of 2^-k, together */
    const merge_vec one = (a->clamp_divisor ? 1e-6 : 1) - (merge_vec){0};
    for (int v = 0; v < vecs; v++) {
        const merge_mask small =
            a->clamp_divisor ? divisor[v] < 1e-6 : (divisor[v] < 1e-8) & (divisor[v] > -1e-8);
        const merge_mask by = ((merge_mask)divisor[v] & ~small) | ((merge_mask)one & small);
        if (known.halves) /* where nothing agrees, 0 times 2^1023 */
            sum[v] *= (merge_vec)(inverse - (merge_mask)divisor[v]);
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
        merge_add_agreeing_alike(a, known, known.two ? 2 : a->models, e, whole, vecs, base, sum,
                                 divisor);
    else if (a->consensus)
        merge_add_agreeing(a, known, e, whole, vecs, base, sum, divisor);
    else
        merge_add_all(a, known, e, whole, vecs, base, sum, divisor);
    if (a->normalize) merge_divide(a, known, vecs, sum, divisor);
    for (int v = 0; v < vecs; v++) {
        if (a->lambda != 1) sum[v] *= a->lambda;
        sum[v] += base[v];
        merge_store(a->out + e + v * MERGE_LANES, whole, a->n - e, &sum[v]);
    }
}

static bool merge_is_power_of_two(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return x > 1e-6 && x < 1e6 && (bits & ((1ULL << 52) - 1)) == 0;
}

static merge_known merge_known_of(const whet_i_election *a) {
    merge_known known = {.alike = a->consensus && a->models <= MERGE_KEPT,
                         .large = a->least != NULL,
                         .two = a->models == 2};
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

/* The blocks of an election of which so much is known; how many numbers those are. */
MERGE_INLINE int64_t merge_elect_blocks(const whet_i_election *a, merge_known known) {
    enum { VECS = MERGE_VECS / 2, BLOCK = MERGE_LANES * VECS };
    int64_t e = 0;
    for (; e + BLOCK <= a->n; e += BLOCK) merge_elect_some(a, known, e, true, VECS);
    return e;
}

static void merge_elect(const whet_i_election *a) {
    const merge_known known = merge_known_of(a);
    int64_t e;
    if (!known.alike)
        e = known.large ? merge_elect_blocks(a, (merge_known){.large = true})
                        : merge_elect_blocks(a, (merge_known){0});
    else if (!known.two)
        e = known.large ? merge_elect_blocks(a, (merge_known){.alike = true, .large = true})
                        : merge_elect_blocks(a, (merge_known){.alike = true});
    else if (!known.halves)
        e = known.large ? merge_elect_blocks(a, (merge_known){true, true, .two = true})
                        : merge_elect_blocks(a, (merge_known){.alike = true, .two = true});
    else
        e = known.large ? merge_elect_blocks(a, (merge_known){true, true, true, true})
                        : merge_elect_blocks(a, (merge_known){true, false, true, true});
    for (; !known.large && e < a->n; e += MERGE_LANES)
        merge_elect_some(a, (merge_known){0}, e, false, 1);
    for (; e < a->n; e += MERGE_LANES)
        merge_elect_some(a, (merge_known){.large = true}, e, false, 1);
}

/* Two chains of eight numbers each, in as many vectors as those take. */
static void merge_difference_sums(int64_t n, const float *x, const float *base, const float *mask,
                                  double *all, double *kept) {
    enum { EIGHT = 8 / MERGE_LANES, CHAINS = 2 * EIGHT };
    merge_vec whole[CHAINS] = {{0}}, part[CHAINS] = {{0}};
    for (int64_t e = 0; e < n; e += MERGE_LANES) {
        const int chain = (int)(e / MERGE_LANES % CHAINS);
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
    for (int v = 0; v < EIGHT; v++) {
        whole[v] += whole[EIGHT + v];
        part[v] += part[EIGHT + v];
        for (int l = 0; l < MERGE_LANES; l++) {
            *all += whole[v][l];
            *kept += part[v][l];
        }
    }
}

/* whet_i_hash_u64 of a vector's. */
static void merge_drawn_mask(int64_t n, uint64_t stream, int64_t first, double share, float *m) {
    typedef uint64_t words __attribute__((vector_size(MERGE_BYTES)));
    const double scaled = share * 0x1p53;
    uint64_t limit = (uint64_t)scaled; /* of 53 bits: as many are below share as below this */
    words lane;
    for (int l = 0; l < MERGE_LANES; l++) lane[l] = (uint64_t)l;
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
