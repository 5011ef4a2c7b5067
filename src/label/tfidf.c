/* SPDX-License-Identifier: Apache-2.0
 * Features of texts without a pretrained model: TF-IDF rows projected on their first right singular
 * vectors (latent semantic analysis). weight = (1 + ln tf) (ln((1 + n) / (1 + df)) + 1), rows of
 * unit length; the singular vectors come from the smaller of A A^T and A^T A, known by products
 * alone, to a residual of TOLERANCE. Sources: Salton & Buckley 1988; Deerwester et al. 1990.
 * Legend: n texts, v terms, A [n, v] sparse by rows, dim columns kept. */
#include "label/tfidf_i.h"

#include <math.h>
#include <stdlib.h>

#include "tensor/tensor_i.h"

enum { SLAB = 16 };
#define TOLERANCE 1e-7

struct whet_tfidf {
    whet_names *names; /* the terms kept */
    double *idf;       /* [v] */
    float *projection; /* [v, dim] */
    int64_t v, dim;
};

/* A sparse matrix by rows: row i has columns col[start[i] .. start[i + 1]). */
typedef struct sparse {
    int64_t n, nonzeros, cap;
    int64_t *start; /* [n + 1] */
    int32_t *col;
    float *value;
} sparse;

static void sparse_free(whet_ctx *ctx, sparse *a) {
    whet_i_free(ctx, a->start);
    whet_i_free(ctx, a->col);
    whet_i_free(ctx, a->value);
    *a = (sparse){0};
}

void whet_tfidf_destroy(whet_ctx *ctx, whet_tfidf *tfidf) {
    if (!tfidf) return;
    whet_names_destroy(ctx, tfidf->names);
    whet_i_free(ctx, tfidf->idf);
    whet_i_free(ctx, tfidf->projection);
    whet_i_free(ctx, tfidf);
}

int64_t whet_tfidf_dim(const whet_tfidf *tfidf) { return tfidf->dim; }
int64_t whet_tfidf_terms(const whet_tfidf *tfidf) { return tfidf->v; }

/* ---- counts ---------------------------------------------------------------------------------- */

/* Counts of terms in each text: value = tf, columns as `names` numbers them. */
static whet_status count(whet_ctx *ctx, const whet_str *texts, int64_t n, whet_names *names,
                         bool grow, const char *stage, sparse *out) {
    whet_status status = WHET_OK;
    whet_i_terms terms = {0};
    sparse a = {.n = n};
    WHET_TRY_DONE(whet_i_calloc(ctx, n + 1, &a.start));
    for (int64_t i = 0; i < n; i++) {
        if (i % 256 == 0) WHET_TRY_DONE(whet_i_progress(ctx, stage, i, n));
        WHET_TRY_DONE(whet_i_terms_extract(ctx, &terms, texts[i], names, grow));
        if (a.nonzeros + terms.n_ids > a.cap) {
            int64_t cap = a.cap < 1024 ? 1024 : a.cap;
            while (cap < a.nonzeros + terms.n_ids) cap *= 2;
            WHET_TRY_DONE(whet_i_realloc(ctx, &a.col, cap));
            WHET_TRY_DONE(whet_i_realloc(ctx, &a.value, cap));
            a.cap = cap;
        }
        for (int64_t j = 0; j < terms.n_ids; j++) {
            if (j > 0 && terms.ids[j] == terms.ids[j - 1]) {
                a.value[a.nonzeros - 1] += 1;
                continue;
            }
            a.col[a.nonzeros] = (int32_t)terms.ids[j];
            a.value[a.nonzeros++] = 1;
        }
        a.start[i + 1] = a.nonzeros;
        if (whet_names_count(names) >= INT32_MAX) {
            status = whet_i_fail(ctx, WHET_ERR_LIMIT, "over 2^31 distinct terms");
            goto done;
        }
    }
    *out = a;
    a = (sparse){0};
done:
    sparse_free(ctx, &a);
    whet_i_terms_free(ctx, &terms);
    return status;
}

/* Counts become weights, each row of unit length. */
static void weigh(sparse *a, const double *idf) {
    for (int64_t i = 0; i < a->n; i++) {
        double square = 0;
        for (int64_t j = a->start[i]; j < a->start[i + 1]; j++) {
            const double w = (1 + log((double)a->value[j])) * idf[a->col[j]];
            a->value[j] = (float)w;
            square += w * w;
        }
        const double scale = square > 0 ? 1 / sqrt(square) : 0;
        for (int64_t j = a->start[i]; j < a->start[i + 1]; j++)
            a->value[j] = (float)((double)a->value[j] * scale);
    }
}

/* ---- which terms are kept -------------------------------------------------------------------- */

typedef struct frequency {
    int64_t term, texts;
} frequency;

static int most_frequent_first(const void *a, const void *b) {
    const frequency *x = a, *y = b;
    if (x->texts != y->texts) return x->texts < y->texts ? 1 : -1;
    return (x->term > y->term) - (x->term < y->term);
}

/* place [all]: the new number of a term that is kept, else -1; names and idf of those kept. */
static whet_status choose_terms(whet_ctx *ctx, const sparse *a, const whet_names *all,
                                const whet_tfidf_opts *opts, int64_t *place, whet_tfidf *out) {
    const int64_t n_all = whet_names_count(all);
    whet_status status = WHET_OK;
    frequency *seen = NULL;
    WHET_TRY(whet_i_alloc(ctx, n_all, &seen));
    for (int64_t t = 0; t < n_all; t++) seen[t] = (frequency){t, 0};
    for (int64_t j = 0; j < a->nonzeros; j++) seen[a->col[j]].texts++;
    for (int64_t t = 0; t < n_all; t++) place[t] = seen[t].texts;
    qsort(seen, (size_t)n_all, sizeof *seen, most_frequent_first);
    /* With few texts no term may occur in as many as asked: then all count. */
    const int64_t least = n_all > 0 && seen[0].texts < opts->min_texts ? 1 : opts->min_texts;
    int64_t kept = 0;
    while (kept < n_all && kept < opts->max_terms && seen[kept].texts >= least) kept++;
    WHET_TRY_DONE(whet_i_alloc(ctx, kept, &out->idf));
    WHET_TRY_DONE(whet_names_create(ctx, &out->names));
    const frequency last = kept ? seen[kept - 1] : (frequency){-1, INT64_MAX};
    for (int64_t t = 0; t < n_all; t++) {
        const frequency f = {t, place[t]};
        place[t] = -1;
        if (kept == 0 || most_frequent_first(&f, &last) > 0) continue;
        place[t] = whet_names_count(out->names);
        out->idf[place[t]] = log((1 + (double)a->n) / (1 + (double)f.texts)) + 1;
        WHET_TRY_DONE(whet_names_add(ctx, out->names, whet_names_get(all, t), NULL));
    }
    out->v = kept;
done:
    whet_i_free(ctx, seen);
    return status;
}

/* Drops the columns that are not kept and renumbers the others. */
static void keep_columns(sparse *a, const int64_t *place) {
    int64_t at = 0, begin = 0;
    for (int64_t i = 0; i < a->n; i++) {
        const int64_t end = a->start[i + 1];
        for (int64_t j = begin; j < end; j++) {
            if (place[a->col[j]] < 0) continue;
            a->col[at] = (int32_t)place[a->col[j]];
            a->value[at++] = a->value[j];
        }
        begin = end;
        a->start[i + 1] = at;
    }
    a->nonzeros = at;
}

/* ---- products with A, in slabs of columns, each the work of one thread ------------------------ */

typedef struct gram {
    const sparse *a;
    int64_t v, m;
    bool by_rows; /* A A^T, else A^T A */
    const double *in;
    double *out;
    double *between; /* a worker's [v or n, SLAB] */
    int64_t between_size;
} gram;

/* y [v, SLAB] += A^T x, columns c..c+w of x [n, m]. */
static void add_transposed(const sparse *a, const double *x, int64_t m, int64_t c, int64_t w,
                           double *y, int64_t ym, int64_t yc) {
    for (int64_t i = 0; i < a->n; i++)
        for (int64_t j = a->start[i]; j < a->start[i + 1]; j++) {
            const double value = (double)a->value[j];
            double *to = y + (int64_t)a->col[j] * ym + yc;
            for (int64_t s = 0; s < w; s++) to[s] += value * x[i * m + c + s];
        }
}

/* y [n, .] = A x. */
static void multiply(const sparse *a, const double *x, int64_t xm, int64_t xc, int64_t w, double *y,
                     int64_t ym, int64_t yc) {
    for (int64_t i = 0; i < a->n; i++) {
        double *to = y + i * ym + yc;
        for (int64_t s = 0; s < w; s++) to[s] = 0;
        for (int64_t j = a->start[i]; j < a->start[i + 1]; j++) {
            const double value = (double)a->value[j];
            const double *from = x + (int64_t)a->col[j] * xm + xc;
            for (int64_t s = 0; s < w; s++) to[s] += value * from[s];
        }
    }
}

static void gram_slab(void *arg, int64_t slab, int32_t worker) {
    const gram *g = arg;
    const int64_t c = slab * SLAB, w = g->m - c < SLAB ? g->m - c : SLAB;
    double *between = g->between + worker * g->between_size;
    if (g->by_rows) {
        memset(between, 0, (size_t)g->between_size * sizeof *between);
        add_transposed(g->a, g->in, g->m, c, w, between, SLAB, 0);
        multiply(g->a, between, SLAB, 0, w, g->out, g->m, c);
    } else {
        multiply(g->a, g->in, g->m, c, w, between, SLAB, 0);
        for (int64_t t = 0; t < g->v; t++)
            memset(g->out + t * g->m + c, 0, (size_t)w * sizeof *g->out);
        add_transposed(g->a, between, SLAB, 0, w, g->out, g->m, c);
    }
}

static whet_status apply_gram(whet_ctx *ctx, void *arg, int64_t m, const double *in, double *out) {
    gram *g = arg;
    g->m = m;
    g->in = in;
    g->out = out;
    return whet_i_parallel_for(ctx, NULL, (m + SLAB - 1) / SLAB, gram_slab, g);
}

/* projection [v, dim] = A^T U / sigma from eigenvectors U [n, dim] of A A^T. */
static whet_status from_rows(whet_ctx *ctx, const sparse *a, int64_t v, const double *values,
                             const double *u, int64_t stride, int64_t dim, float *projection) {
    double *right;
    int64_t size;
    WHET_TRY(whet_i_mul(ctx, v, SLAB, &size));
    WHET_TRY(whet_i_alloc(ctx, size, &right));
    for (int64_t c = 0; c < dim; c += SLAB) {
        const int64_t w = dim - c < SLAB ? dim - c : SLAB;
        memset(right, 0, (size_t)size * sizeof *right);
        add_transposed(a, u, stride, c, w, right, SLAB, 0);
        for (int64_t t = 0; t < v; t++)
            for (int64_t s = 0; s < w; s++)
                projection[t * dim + c + s] = (float)(right[t * SLAB + s] / sqrt(values[c + s]));
    }
    whet_i_free(ctx, right);
    return WHET_OK;
}

static whet_status project(whet_ctx *ctx, const sparse *a, const whet_tfidf_opts *opts,
                           whet_tfidf *out) {
    whet_status status = WHET_OK;
    const int64_t v = out->v, size = a->n < v ? a->n : v;
    const int64_t dim = opts->dim < size ? opts->dim : size;
    double *values = NULL, *vectors = NULL;
    gram g = {.a = a, .v = v, .by_rows = a->n <= v};
    int64_t found = 0, room;
    WHET_TRY_DONE(whet_i_mul(ctx, g.by_rows ? v : a->n, SLAB, &g.between_size));
    WHET_TRY_DONE(whet_i_mul(ctx, g.between_size, whet_ctx_threads(ctx), &room));
    WHET_TRY_DONE(whet_i_alloc(ctx, room, &g.between));
    WHET_TRY_DONE(whet_i_mul(ctx, size, dim, &room));
    WHET_TRY_DONE(whet_i_alloc(ctx, dim, &values));
    WHET_TRY_DONE(whet_i_alloc(ctx, room, &vectors));
    WHET_TRY_DONE(whet_i_top_eigen(ctx, size, dim, TOLERANCE, 0, opts->seed, apply_gram, &g, values,
                                   vectors, &found));
    int64_t kept = 0; /* directions that are more than rounding */
    while (kept < found && values[kept] > 1e-10 * values[0] && values[kept] > 0) kept++;
    WHET_TRY_DONE(whet_i_mul(ctx, v, kept, &room));
    WHET_TRY_DONE(whet_i_alloc(ctx, room, &out->projection));
    if (g.by_rows) {
        WHET_TRY_DONE(from_rows(ctx, a, v, values, vectors, dim, kept, out->projection));
    } else {
        for (int64_t t = 0; t < v; t++)
            for (int64_t c = 0; c < kept; c++)
                out->projection[t * kept + c] = (float)vectors[t * dim + c];
    }
    out->dim = kept;
done:
    whet_i_free(ctx, vectors);
    whet_i_free(ctx, values);
    whet_i_free(ctx, g.between);
    return status;
}

/* ---- fit and transform ----------------------------------------------------------------------- */

whet_status whet_tfidf_fit(whet_ctx *ctx, const whet_str *texts, int64_t n,
                           const whet_tfidf_opts *opts, whet_tfidf **out) {
    whet_tfidf_opts o = WHET_TFIDF_OPTS_INIT;
    WHET_TRY(whet_i_opts(ctx, opts, &o, sizeof o, "whet_tfidf_opts"));
    if (o.dim < 1 || o.dim > 1024 || o.min_texts < 1 || o.max_terms < 1)
        return whet_i_fail(
            ctx, WHET_ERR_ARG,
            "tfidf: dim %d, min_texts %d, max_terms %lld; expected 1 to 1024, and at "
            "least 1",
            o.dim, o.min_texts, (long long)o.max_terms);
    if (n < 1) return whet_i_fail(ctx, WHET_ERR_DATA, "tfidf: no texts; expected at least one");
    whet_status status = WHET_OK;
    whet_names *all = NULL;
    int64_t *place = NULL;
    sparse a = {0};
    whet_tfidf *tfidf = NULL;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &tfidf));
    WHET_TRY_DONE(whet_names_create(ctx, &all));
    WHET_TRY_DONE(count(ctx, texts, n, all, true, "terms", &a));
    if (a.nonzeros == 0) {
        status = whet_i_fail(ctx, WHET_ERR_DATA, "tfidf: no text holds a word; expected some");
        goto done;
    }
    WHET_TRY_DONE(whet_i_alloc(ctx, whet_names_count(all), &place));
    WHET_TRY_DONE(choose_terms(ctx, &a, all, &o, place, tfidf));
    keep_columns(&a, place);
    weigh(&a, tfidf->idf);
    WHET_TRY_DONE(project(ctx, &a, &o, tfidf));
    *out = tfidf;
    tfidf = NULL;
done:
    whet_tfidf_destroy(ctx, tfidf);
    sparse_free(ctx, &a);
    whet_i_free(ctx, place);
    whet_names_destroy(ctx, all);
    return status;
}

typedef struct projection_job {
    const whet_tfidf *tfidf;
    const sparse *a;
    float *out;
} projection_job;

/* One row: the sum over its terms in f64, then unit length. */
static void project_row(void *arg, int64_t i, int32_t worker) {
    (void)worker;
    const projection_job *job = arg;
    const int64_t dim = job->tfidf->dim;
    float *out = job->out + i * dim;
    double square = 0;
    for (int64_t c = 0; c < dim; c++) {
        double sum = 0;
        for (int64_t j = job->a->start[i]; j < job->a->start[i + 1]; j++)
            sum += (double)job->a->value[j] *
                   (double)job->tfidf->projection[(int64_t)job->a->col[j] * dim + c];
        out[c] = (float)sum;
        square += sum * sum;
    }
    const double scale = square > 1e-24 ? 1 / sqrt(square) : 0;
    for (int64_t c = 0; c < dim; c++) out[c] = (float)((double)out[c] * scale);
}

whet_status whet_tfidf_transform(whet_ctx *ctx, const whet_tfidf *tfidf, const whet_str *texts,
                                 int64_t n, float *out) {
    sparse a = {0};
    /* The names are only looked up: grow is false. */
    WHET_TRY(count(ctx, texts, n, tfidf->names, false, NULL, &a));
    weigh(&a, tfidf->idf);
    projection_job job = {tfidf, &a, out};
    const whet_status status = whet_i_parallel_for(ctx, "embed", n, project_row, &job);
    sparse_free(ctx, &a);
    return status;
}

/* ---- saved and restored ---------------------------------------------------------------------- */

whet_i_tfidf_arrays whet_i_tfidf_view(const whet_tfidf *tfidf) {
    return (whet_i_tfidf_arrays){tfidf->v, tfidf->dim, tfidf->idf, tfidf->projection};
}

whet_status whet_i_tfidf_write_terms(whet_ctx *ctx, const whet_tfidf *tfidf, whet_i_buf *out) {
    for (int64_t t = 0; t < tfidf->v; t++) {
        const whet_str term = whet_names_get(tfidf->names, t);
        WHET_TRY(whet_i_buf_append(ctx, out, term.ptr, term.len));
        WHET_TRY(whet_i_buf_append(ctx, out, "\n", 1));
    }
    return WHET_OK;
}

static whet_status restore_terms(whet_ctx *ctx, const char *terms, int64_t len, int64_t v,
                                 whet_names *names) {
    while (len > 0) {
        const char *end = memchr(terms, '\n', (size_t)len);
        const int64_t term = end ? end - terms : len, before = whet_names_count(names);
        WHET_TRY(whet_names_add(ctx, names, (whet_str){terms, term}, NULL));
        if (!end || term == 0 || whet_names_count(names) == before || before == v)
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "term %lld is empty, repeated, unended or too many; expected %lld "
                               "distinct lines",
                               (long long)before, (long long)v);
        terms += term + 1;
        len -= term + 1;
    }
    if (whet_names_count(names) != v)
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%lld terms; expected %lld",
                           (long long)whet_names_count(names), (long long)v);
    return WHET_OK;
}

whet_status whet_i_tfidf_restore(whet_ctx *ctx, const char *terms, int64_t len,
                                 const whet_i_tfidf_arrays *arrays, whet_tfidf **out) {
    whet_status status = WHET_OK;
    whet_tfidf *tfidf = NULL;
    int64_t size;
    WHET_TRY_DONE(whet_i_mul(ctx, arrays->terms, arrays->dim, &size));
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &tfidf));
    WHET_TRY_DONE(whet_names_create(ctx, &tfidf->names));
    WHET_TRY_DONE(restore_terms(ctx, terms, len, arrays->terms, tfidf->names));
    WHET_TRY_DONE(whet_i_alloc(ctx, arrays->terms, &tfidf->idf));
    WHET_TRY_DONE(whet_i_alloc(ctx, size, &tfidf->projection));
    tfidf->v = arrays->terms;
    tfidf->dim = arrays->dim;
    memcpy(tfidf->idf, arrays->idf, (size_t)arrays->terms * sizeof *tfidf->idf);
    memcpy(tfidf->projection, arrays->projection, (size_t)size * sizeof *tfidf->projection);
    bool finite = true;
    for (int64_t t = 0; t < tfidf->v; t++) finite = finite && isfinite(tfidf->idf[t]);
    for (int64_t i = 0; i < size; i++) finite = finite && isfinite(tfidf->projection[i]);
    if (!finite) {
        status = whet_i_fail(ctx, WHET_ERR_FORMAT, "a weight of a term is not finite");
        goto done;
    }
    *out = tfidf;
    tfidf = NULL;
done:
    whet_tfidf_destroy(ctx, tfidf);
    return status;
}
