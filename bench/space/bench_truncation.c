/* SPDX-License-Identifier: Apache-2.0
 * What exact bounds would spare whole rows over a graph or a matrix, beside what the product takes as it is:
 *  - truncation: the k largest probabilities alone, by entries; delta, the mass left out, costs every
 *    candidate y at least delta max(0, g - d(c, y))^2, c the most probable class, g^2 what it costs c: g(y) =
 *    sqrt(R(y) / delta) is 1-Lipschitz. Candidates whose bound is not over the cost of the best of the
 *    truncated row must be summed whole.
 *  - balls: G(y) = sqrt(F(y) / S) is 1-Lipschitz too: candidates by the nearest of N / 512 centres, those of
 *    balls of which G(centre) - radius is not over G of the best must be looked at.
 * Rows: labels anywhere, logits -SHARP d^2 / (2 s^2) and a standard normal, s the typical distance of a label
 * from the nearest observed class.
 * Usage: bench_truncation random|mesh|plane NODES CLASSES LARGEST SHARP ROWS THREADS
 * Prints one JSON object; shares are means over rows. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../clock.h"
#include "space/frechet_i.h"

typedef struct problem {
    int64_t n, k, largest, rows, n_balls;
    double sharp;
    whet_space *space;
    int64_t *observed, *first, *best, *centre;
    int32_t *column;
    double *d; /* [k, n] */
    double *probs, *p;
    float *at;
    double dense, entries, mass, summed, looked;
} problem;

static double uniform(whet_i_rng *rng) { return whet_i_rng_uniform(rng); }

/* A mesh, or a random graph of mean degree 5. */
static whet_status open_graph(whet_ctx *ctx, problem *p, bool mesh) {
    whet_i_rng rng;
    whet_edges e = {.n_edges = mesh ? 2 * p->n : p->n * 5 / 2};
    whet_status status = WHET_OK;
    int64_t side = (int64_t)sqrt((double)p->n), m = 0;
    whet_i_rng_init(&rng, 1, 0);
    if (mesh) p->n = side * side;
    WHET_TRY_DONE(whet_i_names_numbered(ctx, p->n, &e.names));
    WHET_TRY_DONE(whet_i_alloc(ctx, e.n_edges, &e.from));
    WHET_TRY_DONE(whet_i_alloc(ctx, e.n_edges, &e.to));
    WHET_TRY_DONE(whet_i_alloc(ctx, e.n_edges, &e.length));
    for (int64_t v = 0; mesh && v < p->n; v++) {
        if (v % side) e.from[m] = v, e.to[m++] = v - 1;
        if (v >= side) e.from[m] = v, e.to[m++] = v - side;
    }
    for (; !mesh && m < e.n_edges; m++) {
        e.to[m] = m < p->n - 1 ? m + 1 : whet_i_rng_below(&rng, p->n);
        e.from[m] = m < p->n - 1 ? whet_i_rng_below(&rng, m + 1)
                                 : (e.to[m] + 1 + whet_i_rng_below(&rng, p->n - 1)) % p->n;
    }
    e.n_edges = m;
    for (int64_t i = 0; i < m; i++) e.length[i] = 1;
    WHET_TRY_DONE(whet_i_space_from_graph(ctx, &e, &p->space));
done:
    whet_edges_destroy(ctx, &e);
    return status;
}

/* Distances of random points in the plane. */
static whet_status open_plane(whet_ctx *ctx, problem *p) {
    whet_tensor t;
    whet_i_rng rng;
    const int64_t shape[2] = {p->n, p->n};
    whet_i_rng_init(&rng, 1, 0);
    WHET_TRY(whet_tensor_create(ctx, WHET_F32, 2, shape, &t));
    whet_status status = whet_i_alloc(ctx, 2 * p->n, &p->at);
    float *d = t.data;
    for (int64_t i = 0; status == WHET_OK && i < 2 * p->n; i++) p->at[i] = (float)uniform(&rng);
    for (int64_t i = 0; status == WHET_OK && i < p->n; i++)
        for (int64_t j = 0; j < p->n; j++)
            d[i * p->n + j] =
                hypotf(p->at[2 * i] - p->at[2 * j], p->at[2 * i + 1] - p->at[2 * j + 1]);
    if (status == WHET_OK) status = whet_i_space_from_matrix(ctx, NULL, &t, true, &p->space);
    whet_tensor_destroy(ctx, &t);
    return status;
}

/* Distances [n] from a point. */
static whet_status distances(whet_ctx *ctx, const problem *p, int64_t from, double *out) {
    if (p->space->kind == SPACE_GRAPH)
        return whet_i_graph_distances(ctx, &p->space->graph, p->n, from, out);
    for (int64_t v = 0; v < p->n; v++) out[v] = whet_space_distance(p->space, from, v);
    return WHET_OK;
}

static whet_status make_rows(whet_ctx *ctx, problem *p) {
    whet_i_rng rng;
    double typical = 0;
    whet_i_rng_init(&rng, 2, 0);
    WHET_TRY(whet_i_alloc(ctx, p->n, &p->observed));
    WHET_TRY(whet_i_alloc(ctx, p->k * p->n, &p->d));
    WHET_TRY(whet_i_alloc(ctx, p->rows * p->k, &p->probs));
    for (int64_t v = 0; v < p->n; v++) p->observed[v] = v;
    for (int64_t j = 0; j < p->k; j++) {
        const int64_t other = j + whet_i_rng_below(&rng, p->n - j), kept = p->observed[j];
        p->observed[j] = p->observed[other];
        p->observed[other] = kept;
        WHET_TRY(distances(ctx, p, p->observed[j], p->d + j * p->n));
    }
    for (int pass = 0; pass < 2; pass++) {
        whet_i_rng_init(&rng, 3, 0);
        for (int64_t i = 0; i < p->rows; i++) {
            const int64_t label = whet_i_rng_below(&rng, p->n);
            double near = INFINITY;
            for (int64_t j = 0; j < p->k; j++) {
                const double d = p->d[j * p->n + label];
                near = fmin(near, d);
                p->probs[i * p->k + j] =
                    exp(whet_i_rng_normal(&rng) - (pass ? p->sharp * d * d / (2 * typical) : 0));
            }
            if (!pass) typical += near * near / (double)p->rows;
        }
    }
    return WHET_OK;
}

/* The `largest` of each row. */
static whet_status cut_rows(whet_ctx *ctx, problem *p) {
    WHET_TRY(whet_i_alloc(ctx, p->rows + 1, &p->first));
    WHET_TRY(whet_i_alloc(ctx, p->rows * p->largest, &p->column));
    WHET_TRY(whet_i_alloc(ctx, p->rows * p->largest, &p->p));
    for (int64_t i = 0, e = 0; i < p->rows; i++) {
        double *row = p->probs + i * p->k, sum = 0, kept = 0;
        p->first[i] = e;
        for (int64_t j = 0; j < p->k; j++) sum += row[j];
        for (int64_t j = 0; j < p->k; j++) row[j] /= sum;
        for (; e < p->first[i] + p->largest; e++) { /* in descending order */
            int64_t most = 0;
            for (int64_t j = 1; j < p->k; j++)
                if (row[j] > row[most]) most = j;
            p->column[e] = (int32_t)most;
            p->p[e] = row[most];
            row[most] = -row[most];
            kept += p->p[e];
        }
        for (int64_t j = 0; j < p->k; j++) row[j] = fabs(row[j]);
        p->mass += kept / (double)p->rows;
        p->first[i + 1] = e;
    }
    return WHET_OK;
}

/* ---- what the bounds leave ------------------------------------------------------------------- */

/* Costs of all candidates for row i: of entries from .. to - 1 by size (of all: largest = 0). */
static void costs(const problem *p, const double *row, double *out) {
    memset(out, 0, sizeof *out * (size_t)p->n);
    for (int64_t j = 0; j < p->k; j++)
        if (row[j] > 0)
            for (int64_t v = 0; v < p->n; v++)
                out[v] += row[j] * p->d[j * p->n + v] * p->d[j * p->n + v];
}

static whet_status look(whet_ctx *ctx, problem *p, const int32_t *ball, const double *radius,
                        int64_t tried) {
    whet_status status = WHET_OK;
    double *whole = NULL, *cut = NULL, *row = NULL;
    WHET_TRY_DONE(whet_i_alloc(ctx, p->n, &whole));
    WHET_TRY_DONE(whet_i_alloc(ctx, p->n, &cut));
    WHET_TRY_DONE(whet_i_alloc(ctx, p->k, &row));
    for (int64_t i = 0; i < tried; i++) {
        double delta = 1, least = INFINITY, told = INFINITY;
        int64_t best = 0, summed = 0, looked = 0;
        memset(row, 0, sizeof *row * (size_t)p->k);
        for (int64_t e = p->first[i]; e < p->first[i + 1]; e++) {
            row[p->column[e]] = p->p[e];
            delta -= p->p[e];
        }
        delta = fmax(delta, 0);
        costs(p, p->probs + i * p->k, whole);
        costs(p, row, cut);
        for (int64_t v = 0; v < p->n; v++) {
            if (cut[v] < cut[best]) best = v;
            least = fmin(least, whole[v]);
        }
        told = whole[best];
        const double *c = p->d + p->column[p->first[i]] * p->n;
        const int64_t centre = p->observed[p->column[p->first[i]]];
        const double g = delta > 0 ? sqrt((whole[centre] - cut[centre]) / delta) : 0;
        for (int64_t v = 0; v < p->n; v++) {
            const double left = fmax(g - c[v], 0);
            const int64_t at = p->centre[ball[v]];
            summed += cut[v] + delta * left * left <= told * (1 + 1e-9);
            looked += sqrt(whole[at]) - radius[ball[v]] <= sqrt(least) * (1 + 1e-9);
        }
        p->summed += (double)summed / (double)p->n / (double)tried;
        p->looked += (double)looked / (double)p->n / (double)tried;
    }
done:
    whet_i_free(ctx, row);
    whet_i_free(ctx, cut);
    whet_i_free(ctx, whole);
    return status;
}

static whet_status bounds(whet_ctx *ctx, problem *p) {
    whet_status status = WHET_OK;
    int32_t *ball = NULL;
    double *far = NULL, *radius = NULL, *d = NULL;
    whet_i_rng rng;
    whet_i_rng_init(&rng, 4, 0);
    p->n_balls = p->n / 512 < 1024 ? p->n / 512 + 1 : 1024;
    WHET_TRY_DONE(whet_i_alloc(ctx, p->n_balls, &p->centre));
    WHET_TRY_DONE(whet_i_calloc(ctx, p->n, &ball));
    WHET_TRY_DONE(whet_i_alloc(ctx, p->n, &far));
    WHET_TRY_DONE(whet_i_alloc(ctx, p->n, &d));
    WHET_TRY_DONE(whet_i_calloc(ctx, p->n_balls, &radius));
    for (int64_t v = 0; v < p->n; v++) far[v] = INFINITY;
    for (int64_t b = 0; b < p->n_balls; b++) {
        p->centre[b] = whet_i_rng_below(&rng, p->n);
        WHET_TRY_DONE(distances(ctx, p, p->centre[b], d));
        for (int64_t v = 0; v < p->n; v++)
            if (d[v] < far[v]) far[v] = d[v], ball[v] = (int32_t)b;
    }
    for (int64_t v = 0; v < p->n; v++) radius[ball[v]] = fmax(radius[ball[v]], far[v]);
    WHET_TRY_DONE(look(ctx, p, ball, radius, p->rows < 32 ? p->rows : 32));
done:
    whet_i_free(ctx, d);
    whet_i_free(ctx, radius);
    whet_i_free(ctx, far);
    whet_i_free(ctx, ball);
    return status;
}

/* ---- times ----------------------------------------------------------------------------------- */

static whet_status time_way(whet_ctx *ctx, const problem *p, bool sparse, double *out) {
    enum { TIMES = 3 };
    double times[TIMES];
    whet_frechet *f;
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    whet_status status = WHET_OK;
    opts.sparse = sparse;
    opts.method = sparse ? "table-entries" : NULL;
    WHET_TRY(whet_frechet_create(ctx, p->space, p->observed, p->k, &opts, &f));
    const whet_sparse_rows rows = {p->first, p->column, p->p, p->rows};
    for (int i = 0; i < TIMES; i++) {
        const double begin = seconds(CLOCK_PROCESS_CPUTIME_ID);
        WHET_TRY_DONE(sparse
                          ? whet_frechet_run_sparse(ctx, f, &rows, p->best, NULL, NULL, NULL)
                          : whet_frechet_run(ctx, f, p->probs, p->rows, p->best, NULL, NULL, NULL));
        times[i] = seconds(CLOCK_PROCESS_CPUTIME_ID) - begin;
    }
    *out = 1e3 * median(times, TIMES) / (double)p->rows;
done:
    whet_frechet_destroy(ctx, f);
    return status;
}

static whet_status bench(whet_ctx *ctx, problem *p, const char *kind) {
    if (strcmp(kind, "plane") == 0)
        WHET_TRY(open_plane(ctx, p));
    else
        WHET_TRY(open_graph(ctx, p, strcmp(kind, "mesh") == 0));
    WHET_TRY(make_rows(ctx, p));
    WHET_TRY(cut_rows(ctx, p));
    WHET_TRY(whet_i_alloc(ctx, p->rows, &p->best));
    WHET_TRY(bounds(ctx, p));
    WHET_TRY(time_way(ctx, p, false, &p->dense));
    return time_way(ctx, p, true, &p->entries);
}

int main(int argc, char **argv) {
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    whet_ctx *ctx;
    problem p = {0};
    if (argc != 8) {
        (void)fprintf(stderr,
                      "usage: %s random|mesh|plane NODES CLASSES LARGEST SHARP ROWS THREADS\n",
                      argv[0]);
        return 2;
    }
    p.n = strtoll(argv[2], NULL, 10);
    p.k = strtoll(argv[3], NULL, 10);
    p.largest = strtoll(argv[4], NULL, 10);
    p.sharp = strtod(argv[5], NULL);
    p.rows = strtoll(argv[6], NULL, 10);
    opts.threads = (int32_t)strtol(argv[7], NULL, 10);
    if (whet_ctx_create(&opts, &ctx) != WHET_OK) return 5;
    const whet_status status = bench(ctx, &p, argv[1]);
    if (status != WHET_OK)
        (void)fprintf(stderr, "%s\n", whet_error(ctx));
    else
        (void)printf("{\"space\": \"%s\", \"nodes\": %lld, \"classes\": %lld, \"largest\": %lld, "
                     "\"sharp\": %g, \"mass_kept\": %.4f, \"cpu_ms_a_row_product\": %.4f, "
                     "\"cpu_ms_a_row_entries_alone\": %.4f, \"share_to_sum_whole\": %.5f, "
                     "\"share_in_balls\": %.4f}\n",
                     argv[1], (long long)p.n, (long long)p.k, (long long)p.largest, p.sharp, p.mass,
                     p.dense, p.entries, p.summed, p.looked);
    whet_space_destroy(ctx, p.space);
    whet_i_free(ctx, p.observed);
    whet_i_free(ctx, p.first);
    whet_i_free(ctx, p.best);
    whet_i_free(ctx, p.column);
    whet_i_free(ctx, p.centre);
    whet_i_free(ctx, p.d);
    whet_i_free(ctx, p.probs);
    whet_i_free(ctx, p.p);
    whet_i_free(ctx, p.at);
    whet_ctx_destroy(ctx);
    return status == WHET_OK ? 0 : 1;
}
