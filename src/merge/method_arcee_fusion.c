/* SPDX-License-Identifier: Apache-2.0
 * Arcee Fusion: the base, and those differences from it that matter most: importance is |difference| times
 * the Kullback-Leibler divergence of the softmax of the model's row from that of the base's; kept is what
 * reaches median + 1.5 (upper - lower quartile) of all importances of the tensor. Quantiles are exact for
 * any size, by order statistics. */
#include <math.h>

#include "merge/merging_i.h"

static double largest(const float *x, int64_t n) {
    double most = (double)x[0];
    for (int64_t e = 1; e < n; e++) most = (double)x[e] > most ? (double)x[e] : most;
    return most;
}

/* ln(1 + u) for 0 <= u <= SMALL, to 1e-15: what is left out is u^8 / 8. */
static const double SMALL = 0.01, ADDED = 1e-8;
static inline double log_of_more(double u) {
    return u *
           (1 - u * (1. / 2 - u * (1. / 3 - u * (1. / 4 - u * (1. / 5 - u * (1. / 6 - u / 7))))));
}

enum { PART = 256 };

/* What a softmax of a row is made of: exp(x - most) / sum. */
typedef struct softmax {
    const float *x;
    double most, sum, log_sum;
} softmax;

/* exp(x - most) of `n` numbers from e on. */
static void exponentials(const whet_i_merge_tensor *t, const softmax *s, int64_t e, int64_t n,
                         double *out) {
    for (int64_t k = 0; k < n; k++) out[k] = (double)s->x[e + k] - s->most;
    t->kernels->exp_f64(n, out);
}

static softmax softmax_of(const whet_i_merge_tensor *t, const float *x, int64_t n) {
    softmax s = {.x = x, .most = largest(x, n)};
    double part[PART];
    for (int64_t e = 0; e < n; e += PART) {
        const int64_t m = n - e < PART ? n - e : PART;
        exponentials(t, &s, e, m, part);
        for (int64_t k = 0; k < m; k++) s.sum += part[k];
    }
    s.log_sum = log(s.sum);
    return s;
}

/* sum p ln(p / q), p and q the softmaxes of x and y, 1e-8 added to each. What that adds to a logarithm is
 * ln(1 + 1e-8 / p), a few products where p is not tiny, and the rest of it needs no logarithm. */
static double divergence(const whet_i_merge_tensor *t, const float *x, const float *y, int64_t n) {
    const softmax a = softmax_of(t, x, n), b = softmax_of(t, y, n);
    double p[PART], q[PART], sum = 0;
    for (int64_t e = 0; e < n; e += PART) {
        const int64_t m = n - e < PART ? n - e : PART;
        double least = 1, part = 0;
        exponentials(t, &a, e, m, p);
        exponentials(t, &b, e, m, q);
        for (int64_t k = 0; k < m; k++) {
            p[k] /= a.sum;
            q[k] /= b.sum;
            least = p[k] < least ? p[k] : least;
            least = q[k] < least ? q[k] : least;
        }
        if (least * SMALL < ADDED) {
            for (int64_t k = 0; k < m; k++)
                sum += (p[k] + ADDED) * log((p[k] + ADDED) / (q[k] + ADDED));
            continue;
        }
        for (int64_t k = 0; k < m; k++) {
            const double apart =
                ((double)x[e + k] - a.most - a.log_sum) - ((double)y[e + k] - b.most - b.log_sum);
            part +=
                (p[k] + ADDED) * (apart + log_of_more(ADDED / p[k]) - log_of_more(ADDED / q[k]));
        }
        sum += part;
    }
    return sum;
}

/* Divergences of rows are found once, unless there are so many that they would take more than 32 MB. */
enum { ROWS_MOST = 1 << 22 };
typedef struct fusion {
    double *rows; /* [rows] divergences; NULL: found anew */
    double least; /* importance that is kept */
} fusion;

static int64_t rows_held(const whet_i_merge_tensor *t) {
    const int64_t rows = t->count / t->row;
    return rows > 0 && rows <= ROWS_MOST ? rows : 0;
}

static int64_t beside(const whet_i_merge_tensor *t) {
    return rows_held(t) * (int64_t)sizeof(double);
}

static void find_rows(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, void *arg) {
    const fusion *f = arg;
    for (int64_t at = 0; at < c->n; at += t->row)
        f->rows[(c->first + at) / t->row] = divergence(t, c->x[0] + at, c->x[t->base] + at, t->row);
}

/* The importances of a chunk to the worker's scratch. */
static void importances(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c,
                        const fusion *f) {
    const float *x = c->x[0], *base = c->x[t->base];
    for (int64_t at = 0; at < c->n; at += t->row) {
        const double d =
            f->rows ? f->rows[(c->first + at) / t->row] : divergence(t, x + at, base + at, t->row);
        for (int64_t e = at; e < at + t->row; e++)
            c->scratch[e] = (float)(fabs((double)x[e] - (double)base[e]) * d);
    }
}

static void keys_of(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, int64_t stream,
                    void *arg, uint32_t *keys) {
    (void)stream;
    importances(t, c, arg);
    for (int64_t e = 0; e < c->n; e++) keys[e] = whet_i_merge_key(c->scratch[e]);
}

static void write_pass(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, void *arg) {
    const fusion *f = arg;
    importances(t, c, f);
    for (int64_t e = 0; e < c->n; e++)
        c->out[e] = (double)c->scratch[e] >= f->least ? c->x[0][e] : c->x[t->base][e];
}

static const double quantiles[] = {0.25, 0.5, 0.75};
enum { FEW = 4 }; /* numbers, of which the quartiles reach the least */

static void collect(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, void *arg) {
    importances(t, c, arg);
    for (int64_t e = 0; e < c->n; e++) c->sums[c->first + e] = (double)c->scratch[e];
}

static whet_status quartiles_of_few(whet_ctx *ctx, whet_i_merge_tensor *t, fusion *f,
                                    double value[3]) {
    double x[FEW];
    WHET_TRY(whet_i_merge_sums(ctx, t, collect, f, t->count, x));
    for (int64_t i = 1; i < t->count; i++)
        for (int64_t j = i; j > 0 && x[j] < x[j - 1]; j--) {
            const double kept = x[j];
            x[j] = x[j - 1];
            x[j - 1] = kept;
        }
    for (int64_t k = 0; k < 3; k++) {
        const double place = quantiles[k] * (double)(t->count - 1);
        const int64_t low = (int64_t)floor(place), high = low + 1 < t->count ? low + 1 : low;
        value[k] = x[low] + (place - floor(place)) * (x[high] - x[low]);
    }
    return WHET_OK;
}

static whet_status quartiles_of_many(whet_ctx *ctx, whet_i_merge_tensor *t, fusion *f,
                                     double value[3]) {
    whet_i_merge_top tops[6];
    for (int64_t k = 0; k < 6; k++) {
        const int64_t below = (int64_t)floor(quantiles[k / 2] * (double)(t->count - 1));
        const int64_t index = below + k % 2 < t->count ? below + k % 2 : t->count - 1;
        tops[k] = (whet_i_merge_top){.rank = t->count - index}; /* the index-th from below */
    }
    whet_status status = whet_i_merge_select(ctx, t, keys_of, f, 1, tops, 6);
    for (int64_t k = 0; k < 6; k++) whet_i_free(ctx, tops[k].before);
    WHET_TRY(status);
    for (int64_t k = 0; k < 3; k++) {
        const double place = quantiles[k] * (double)(t->count - 1), part = place - floor(place);
        const double low = (double)whet_i_merge_key_value(tops[2 * k].least);
        const double high = (double)whet_i_merge_key_value(tops[2 * k + 1].least);
        value[k] = low + part * (high - low);
    }
    return WHET_OK;
}

static whet_status run(whet_ctx *ctx, whet_i_merge_tensor *t) {
    double value[3] = {0}, none;
    fusion f = {0};
    whet_status status = WHET_OK;
    if (rows_held(t) > 0) {
        WHET_TRY(whet_i_alloc(ctx, rows_held(t), &f.rows));
        WHET_TRY_DONE(whet_i_merge_sums(ctx, t, find_rows, &f, 1, &none));
    }
    if (t->count > 0)
        WHET_TRY_DONE(t->count <= FEW ? quartiles_of_few(ctx, t, &f, value)
                                      : quartiles_of_many(ctx, t, &f, value));
    f.least = value[1] + 1.5 * (value[2] - value[0]);
    status = whet_i_merge_write(ctx, t, write_pass, &f);
done:
    whet_i_free(ctx, f.rows);
    return status;
}

static int64_t scratch(int64_t n, int64_t chunk) {
    (void)n;
    return chunk;
}

static const whet_i_setting_use settings[] = {{WHET_I_SET_COUNT, 0}};

const whet_i_merge_method whet_i_merge_arcee_fusion = {
    .shown = {"arcee_fusion", "the base, and the differences that matter most", 1, 1,
              WHET_MERGE_BASE_REQUIRED, WHET_MERGE_TENSOR, false},
    .settings = settings,
    .by_row = true,
    .passes = 5,
    .streams = 6,
    .scratch = scratch,
    .beside = beside,
    .run = run};
