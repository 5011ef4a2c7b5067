/* SPDX-License-Identifier: Apache-2.0
 * Activation matching: units go where their activations correlate most. What a layer puts out is that of a
 * group when its weights' rows are numbered by it: both networks are run on the same inputs, and every layer
 * adds its correlations to its group. Sums are of differences to the first sample, so that nothing is lost
 * where a unit hardly varies.
 * Legend: c channels of an observed value, samples are rows x places. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "merge/image_network.h"
#include "tensor/tensor_i.h"

enum { ROWS = 32, OBSERVED_MOST = 400, NAME_SIZE = 192 };

/* A layer whose output is watched, and sums over samples so far. */
typedef struct observed {
    const whet_i_axis *axis; /* of its rows */
    whet_i_value value;
    int64_t c, samples;
    double *center[2]; /* [c] of A and of B */
    double *sum[2], *squares[2];
    double *products; /* [c, c] */
} observed;

typedef struct watcher {
    whet_ctx *ctx;
    const whet_i_bound *bound;
    whet_i_image_network net[2];
    whet_named_tensor *copies[2]; /* f32 */
    int64_t n_copies[2];
    whet_i_plan *plan[2];
    whet_i_executor *executor[2];
    observed *items;
    int64_t n;
    double *rows[2]; /* [samples of a batch, c] of the largest */
    whet_i_arena arena;
} watcher;

/* ---- what is watched -------------------------------------------------------------------------------- */

static const whet_i_spec_tensor *find_tensor(const whet_permutation_spec *spec, const char *name) {
    char full[NAME_SIZE];
    int64_t at = whet_names_find(spec->names, whet_str_from(name));
    if (at < 0) {
        (void)snprintf(full, sizeof full, "module.%s", name);
        at = whet_names_find(spec->names, whet_str_from(full));
    }
    return at < 0 ? NULL : &spec->tensors[at];
}

static whet_status add_observed(watcher *w, const whet_i_node *node) {
    const whet_i_graph *g = w->net[0].graph;
    const whet_i_param *p = &g->params->items[node->params[0]];
    const whet_i_spec_tensor *t = find_tensor(w->bound->spec, p->name);
    if (!t || t->axes[0].n == 0 || t->unmatched) return WHET_OK;
    if (w->n == OBSERVED_MOST)
        return whet_i_fail(w->ctx, WHET_ERR_UNSUPPORTED,
                           "more than %d layers and norms to match by activations; expected at "
                           "most as many; try by weights",
                           (int)OBSERVED_MOST);
    const int64_t c = p->shape[0];
    observed *o = &w->items[w->n];
    *o = (observed){.axis = &t->axes[0], .value = node->outputs[0], .c = c};
    if (c < 1 || whet_i_columns(g, o->value) % c != 0) return WHET_OK;
    for (int k = 0; k < 2; k++) {
        double **const all[] = {&o->center[k], &o->sum[k], &o->squares[k]};
        for (int i = 0; i < 3; i++) {
            WHET_TRY(whet_i_arena_alloc(w->ctx, &w->arena, c, sizeof(double), all[i]));
            memset(*all[i], 0, (size_t)c * sizeof(double));
        }
    }
    WHET_TRY(whet_i_arena_alloc(w->ctx, &w->arena, c * c, sizeof(double), &o->products));
    memset(o->products, 0, (size_t)(c * c) * sizeof(double));
    w->n++;
    return WHET_OK;
}

static whet_status copy_weights(watcher *w, int k, const whet_weights *weights) {
    WHET_TRY(whet_i_calloc(w->ctx, weights->n, &w->copies[k]));
    w->n_copies[k] = weights->n;
    for (int64_t i = 0; i < weights->n; i++) {
        w->copies[k][i].name = weights->items[i].name;
        WHET_TRY(whet_tensor_convert(w->ctx, &weights->items[i].tensor, WHET_F32,
                                     &w->copies[k][i].tensor));
    }
    return WHET_OK;
}

static whet_status prepare(watcher *w, const whet_weights *const weights[2],
                           const whet_mode_data *data) {
    const whet_i_image image = {data->height, data->width, data->channels};
    whet_i_value keep[OBSERVED_MOST];
    int64_t widest = 1;
    for (int k = 0; k < 2; k++) {
        WHET_TRY(copy_weights(w, k, weights[k]));
        const whet_weights f32 = {w->copies[k], w->n_copies[k]};
        WHET_TRY(whet_i_image_network_make(w->ctx, w->bound->spec->arch, w->bound->spec, &f32,
                                           &image, &w->net[k]));
    }
    WHET_TRY(whet_i_calloc(w->ctx, OBSERVED_MOST, &w->items));
    const whet_i_graph *g = w->net[0].graph;
    for (int64_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].n_params > 0) WHET_TRY(add_observed(w, &g->nodes[i]));
    for (int64_t i = 0; i < w->n; i++) {
        const int64_t columns = whet_i_columns(g, w->items[i].value);
        keep[i] = w->items[i].value;
        widest = columns > widest ? columns : widest;
    }
    const whet_i_plan_opts opts = {
        .sizes = {.rows = {1, ROWS, 0}, .workers = whet_ctx_threads(w->ctx)},
        .loss = WHET_I_NONE,
        .keep = keep,
        .n_keep = w->n};
    int64_t cells;
    WHET_TRY(whet_i_mul(w->ctx, widest, ROWS, &cells));
    for (int k = 0; k < 2; k++) {
        WHET_TRY(whet_i_plan_create(w->ctx, w->net[k].graph, &opts, &w->plan[k]));
        WHET_TRY(whet_i_params_pack(w->ctx, w->net[k].params));
        WHET_TRY(whet_i_executor_create(w->ctx, w->plan[k], &w->executor[k]));
        WHET_TRY(whet_i_alloc(w->ctx, cells, &w->rows[k]));
    }
    return WHET_OK;
}

/* ---- sums ------------------------------------------------------------------------------------------- */

static whet_status add_batch(watcher *w, observed *o, int64_t rows) {
    const int64_t c = o->c;
    const int64_t samples = rows * (whet_i_columns(w->net[0].graph, o->value) / c);
    for (int k = 0; k < 2; k++) {
        const whet_i_real *x = whet_i_executor_value(w->executor[k], o->value);
        if (o->samples == 0)
            for (int64_t j = 0; j < c; j++) o->center[k][j] = (double)x[j];
        for (int64_t s = 0; s < samples; s++)
            for (int64_t j = 0; j < c; j++) {
                const double d = (double)x[s * c + j] - o->center[k][j];
                w->rows[k][s * c + j] = d;
                o->sum[k][j] += d;
                o->squares[k][j] += d * d;
            }
    }
    o->samples += samples;
    return whet_i_matmul_f64(w->ctx, true, false, c, c, samples, w->rows[0], c, w->rows[1], c, 1,
                             o->products, c);
}

static whet_status watch(watcher *w, const whet_mode_data *data) {
    for (int64_t first = 0; first < data->n; first += ROWS) {
        const int64_t rows = data->n - first < ROWS ? data->n - first : ROWS;
        const whet_i_batch batch = {
            .rows = {1, rows, 0}, .feeds = {data->x + first * w->net[0].d}, .loss_scale = 1};
        WHET_TRY(whet_i_progress(w->ctx, "activations", first, data->n));
        for (int k = 0; k < 2; k++) whet_i_executor_run(w->executor[k], &batch);
        for (int64_t i = 0; i < w->n; i++) WHET_TRY(add_batch(w, &w->items[i], rows));
    }
    return WHET_OK;
}

/* The sum of squared deviations; 0 for a unit that never changes, but for rounding. */
static double spread(const observed *o, int k, int64_t j) {
    const double mean = o->sum[k][j] / (double)o->samples;
    const double all = o->squares[k][j] - mean * o->sum[k][j];
    return all > 1e-12 * o->squares[k][j] ? all : 0;
}

static double correlation(const observed *o, int64_t i, int64_t j) {
    const double size = spread(o, 0, i) * spread(o, 1, j);
    return size > 0
               ? (o->products[i * o->c + j] - o->sum[0][i] * o->sum[1][j] / (double)o->samples) /
                     sqrt(size)
               : 0;
}

/* ---- assignments ------------------------------------------------------------------------------------ */

/* gain [n, n] of a part of a group += correlations of all layers that it numbers. */
static void add_gains(const watcher *w, int32_t g, int32_t part, int64_t n, int64_t *places,
                      double *gain) {
    for (int64_t k = 0; k < w->n; k++) {
        const observed *o = &w->items[k];
        whet_i_axis_places(w->bound, o->axis, o->c, g, part, places);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; places[i] >= 0 && j < n; j++)
                if (places[j] >= 0) gain[i * n + j] += correlation(o, places[i], places[j]);
    }
}

/* Channels of convolutions in groups, which move as heads do. */
static whet_status match_grouped(watcher *w, int32_t g, whet_alignment *alignment) {
    double *gain[WHET_I_PARTS] = {0}, before, after;
    int64_t *places = NULL;
    whet_status status = WHET_OK;
    for (int32_t part = 0; part < WHET_I_PARTS; part++) {
        const int64_t n = whet_i_part_count(&w->bound->groups[g], part);
        int64_t cells;
        WHET_TRY_DONE(whet_i_mul(w->ctx, n, n, &cells));
        WHET_TRY_DONE(whet_i_calloc(w->ctx, cells, &gain[part]));
        WHET_TRY_DONE(whet_i_realloc(w->ctx, &places, n));
        add_gains(w, g, part, n, places, gain[part]);
    }
    WHET_TRY_DONE(whet_i_match_heads(w->ctx, &w->bound->groups[g], gain, alignment->order[g],
                                     &before, &after));
    const whet_align_visit visit = {0, 0, g, before, after};
    status = whet_i_alignment_visit(w->ctx, alignment, &visit);
done:
    for (int32_t part = 0; part < WHET_I_PARTS; part++) whet_i_free(w->ctx, gain[part]);
    whet_i_free(w->ctx, places);
    return status;
}

static whet_status match_group(watcher *w, int32_t g, whet_alignment *alignment) {
    const int64_t n = w->bound->groups[g].units;
    int64_t cells, *places = NULL;
    double *gain = NULL, before = 0, after = 0;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_mul(w->ctx, n, n, &cells));
    WHET_TRY_DONE(whet_i_calloc(w->ctx, cells, &gain));
    WHET_TRY_DONE(whet_i_alloc(w->ctx, n, &places));
    add_gains(w, g, WHET_I_UNITS, n, places, gain);
    for (int64_t i = 0; i < n; i++) before += gain[i * n + i];
    WHET_TRY_DONE(whet_i_match_units(w->ctx, &w->bound->groups[g], gain, places));
    for (int64_t i = 0; i < n; i++) after += gain[i * n + places[i]];
    if (whet_i_is_better(after, before))
        memcpy(alignment->order[g][WHET_I_UNITS], places, (size_t)n * sizeof *places);
    else
        after = before;
    const whet_align_visit visit = {0, 0, g, before, after};
    status = whet_i_alignment_visit(w->ctx, alignment, &visit);
done:
    whet_i_free(w->ctx, places);
    whet_i_free(w->ctx, gain);
    return status;
}

static whet_status run(watcher *w, const whet_weights *a, const whet_weights *b,
                       const whet_mode_data *data, whet_alignment **out) {
    const whet_weights *const both[] = {a, b};
    const char *arch = w->bound->spec->arch;
    for (int64_t g = 0; g < w->bound->spec->n_groups; g++)
        if (w->bound->groups[g].attention && !whet_i_image_network_knows(arch))
            return whet_i_fail(
                w->ctx, WHET_ERR_UNSUPPORTED,
                "activations of attention heads cannot be matched; expected a network "
                "of images or vectors; try the method of weights");
    if (data->n < 1)
        return whet_i_fail(w->ctx, WHET_ERR_ARG,
                           "no examples to match activations on; expected one");
    WHET_TRY(prepare(w, both, data));
    WHET_TRY(watch(w, data));
    WHET_TRY(whet_i_alignment_create(w->ctx, w->bound, out));
    WHET_TRY(whet_i_objective(w->ctx, w->bound, *out, &(*out)->identity, &(*out)->distance_before));
    for (int64_t g = 0; g < w->bound->spec->n_groups; g++)
        WHET_TRY(w->bound->groups[g].attention ? match_grouped(w, (int32_t)g, *out)
                                               : match_group(w, (int32_t)g, *out));
    return whet_i_objective(w->ctx, w->bound, *out, &(*out)->objective, &(*out)->distance_after);
}

whet_status whet_align_activations(whet_ctx *ctx, const whet_permutation_spec *spec,
                                   const whet_weights *a, const whet_weights *b,
                                   const whet_mode_data *data, whet_alignment **out) {
    whet_i_bound bound;
    watcher w = {.ctx = ctx, .bound = &bound};
    whet_alignment *alignment = NULL;
    whet_status status = whet_i_bind(ctx, spec, a, b, true, &bound);
    if (status == WHET_OK) status = run(&w, a, b, data, &alignment);
    if (status == WHET_OK)
        *out = alignment;
    else
        whet_alignment_destroy(ctx, alignment);
    for (int k = 0; k < 2; k++) {
        whet_i_free(ctx, w.rows[k]);
        whet_i_executor_destroy(ctx, w.executor[k]);
        whet_i_plan_destroy(ctx, w.plan[k]);
        whet_i_image_network_free(ctx, &w.net[k]);
        for (int64_t i = 0; i < w.n_copies[k]; i++)
            whet_tensor_destroy(ctx, &w.copies[k][i].tensor);
        whet_i_free(ctx, w.copies[k]);
    }
    whet_i_free(ctx, w.items);
    whet_i_arena_free(ctx, &w.arena);
    whet_i_bound_free(ctx, &bound);
    return status;
}
