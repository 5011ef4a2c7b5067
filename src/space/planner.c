/* SPDX-License-Identifier: Apache-2.0
 * The planner: which method computes the Frechet means of a space, why, and what memory that takes. The
 * table is in order of preference: of the methods that serve, the first that pays is taken. What would not
 * fit into the memory that can be had is refused before any of it is made. */
#include <math.h>

#include "space/frechet_i.h"
#include "space/graph_rows.h"

static const frechet_method *const TABLE[] = {
    &whet_i_method_tree_entries,  &whet_i_method_tree_gates,       &whet_i_method_tree_pass,
    &whet_i_method_argmax,        &whet_i_method_nearest_mean_f32, &whet_i_method_nearest_mean,
    &whet_i_method_grid_sums,     &whet_i_method_hop_searches,     &whet_i_method_length_searches,
    &whet_i_method_table_entries, &whet_i_method_table_f32,        &whet_i_method_table,
};

/* ---- sizes ----------------------------------------------------------------------------------- */

frechet_sizes whet_i_block_sizes(const whet_frechet *f, double held, int64_t lanes, double weights,
                                 double costs, double scratch) {
    const double values = (weights + costs + 4) * (double)lanes + scratch;
    return (frechet_sizes){
        held, held, values * sizeof(double) + (double)f->n_candidates * sizeof(frechet_choice)};
}

whet_status whet_i_graph_width(whet_ctx *ctx, const whet_frechet *f, double *out) {
    int64_t longest;
    *out = sizeof(double);
    if (f->space->graph.length) return WHET_OK;
    WHET_TRY(whet_i_graph_longest(ctx, f->space, f->observed, f->k, &longest));
    *out = longest < UINT8_MAX ? 1 : longest < UINT16_MAX ? 2 : 4;
    return WHET_OK;
}

whet_status whet_i_graph_table_bytes(whet_ctx *ctx, const whet_frechet *f, double *out) {
    double width;
    WHET_TRY(whet_i_graph_width(ctx, f, &width));
    /* Hops lie by point, in whole lines of 64. */
    const int64_t k = f->space->graph.length ? f->k : (f->k + 63) / 64 * 64;
    *out = width * (double)k * (double)f->space->n;
    return WHET_OK;
}

double whet_i_graph_search_bytes(const whet_ctx *ctx, const whet_frechet *f, double width,
                                 bool turned) {
    const double blocks = turned ? 64 * width : 0; /* of 64 observed points */
    if (f->space->graph.length) return blocks * (double)f->space->n;
    return (double)whet_ctx_threads(ctx) * (double)f->space->n * (36 + blocks);
}

/* A table takes a search from every observed point; searches by entries one an entry. */
bool whet_i_graph_table_is_large(const whet_frechet *f) {
    enum { MOST_BYTES = 512 << 20 }; /* at a byte a hop */
    const int64_t width = f->space->graph.length ? 8 : 1;
    const double most_bytes = (double)f->k * (double)f->n_candidates * (double)(width < 2 ? 2 : 8);
    if (f->k <= MOST_BYTES / width / f->n_candidates) return false;
    return f->k > f->entries / 2 || most_bytes > f->room / 2;
}

/* What the plan needs at most, while it is made or when rows run. */
static double most_of(whet_ctx *ctx, const frechet_sizes *s) {
    return fmax(s->making, s->held + (double)whet_ctx_threads(ctx) * s->thread);
}

/* The advice where a plan does not fit: another method that would, or less of everything. */
static whet_status advise(whet_ctx *ctx, const whet_frechet *f, whet_i_buf *out) {
    const whet_i_room room = whet_i_room_below(ctx, "");
    for (int64_t i = 0; i < WHET_COUNT_OF(TABLE); i++) {
        frechet_sizes s;
        if (TABLE[i] == f->method || !TABLE[i]->serves(f)) continue;
        WHET_TRY(TABLE[i]->sizes(ctx, f, &s));
        if (most_of(ctx, &s) <= room.bytes)
            return whet_i_buf_printf(ctx, out, "method %s, which needs %.1f MB", TABLE[i]->name,
                                     most_of(ctx, &s) / 1e6);
    }
    return whet_i_buf_printf(ctx, out, "fewer observed classes, candidates or threads");
}

static whet_status check_room(whet_ctx *ctx, whet_frechet *f) {
    whet_i_buf what = {0}, advice = {0};
    whet_status status = WHET_OK;
    WHET_TRY(f->method->sizes(ctx, f, &f->sizes));
    const double most = most_of(ctx, &f->sizes);
    if (most <= whet_i_room_below(ctx, "").bytes) return WHET_OK;
    WHET_TRY_DONE(advise(ctx, f, &advice));
    WHET_TRY_DONE(whet_i_buf_printf(
        ctx, &what, "the plan (%s, %lld observed classes, %lld candidates, %d threads)",
        f->method->title, (long long)f->k, (long long)f->n_candidates, (int)whet_ctx_threads(ctx)));
    status = whet_i_check_room(ctx, what.data, most, advice.data);
done:
    whet_i_buf_free(ctx, &what);
    whet_i_buf_free(ctx, &advice);
    return status;
}

whet_status whet_i_frechet_places(whet_ctx *ctx, const whet_frechet *f, int32_t **out) {
    *out = NULL;
    if (f->n_candidates == f->space->n) return WHET_OK;
    WHET_TRY(whet_i_alloc(ctx, f->space->n, out));
    for (int64_t v = 0; v < f->space->n; v++) (*out)[v] = -1;
    for (int64_t c = 0; c < f->n_candidates; c++) (*out)[f->candidates[c]] = (int32_t)c;
    return WHET_OK;
}

/* ---- the choice ------------------------------------------------------------------------------ */

static const frechet_method *choose(const whet_frechet *f) {
    for (int64_t i = 0; i < WHET_COUNT_OF(TABLE); i++)
        if (TABLE[i]->serves(f) && (!TABLE[i]->pays || TABLE[i]->pays(f))) return TABLE[i];
    return &whet_i_method_table; /* serves everything */
}

/* "auto, tree-pass or table": what serves. */
static whet_status list_serving(whet_ctx *ctx, const whet_frechet *f, whet_i_buf *out) {
    int64_t last = -1;
    for (int64_t i = 0; i < WHET_COUNT_OF(TABLE); i++)
        if (TABLE[i]->serves(f)) last = i;
    WHET_TRY(whet_i_buf_printf(ctx, out, "auto"));
    for (int64_t i = 0; i <= last; i++)
        if (TABLE[i]->serves(f))
            WHET_TRY(
                whet_i_buf_printf(ctx, out, "%s%s", i == last ? " or " : ", ", TABLE[i]->name));
    return WHET_OK;
}

static whet_status refuse(whet_ctx *ctx, const char *name, const frechet_method *known,
                          const whet_frechet *f) {
    char quoted[WHET_QUOTE_SIZE];
    whet_i_buf list = {0};
    whet_status status = list_serving(ctx, f, &list);
    if (status == WHET_OK && known)
        status = whet_i_fail(ctx, WHET_ERR_ARG,
                             "method %s does not serve here: it needs %s; "
                             "expected %s",
                             name, known->needs, list.data);
    else if (status == WHET_OK)
        status = whet_i_fail(ctx, WHET_ERR_ARG, "no method %s; expected %s",
                             whet_i_quote(quoted, whet_str_from(name)), list.data);
    whet_i_buf_free(ctx, &list);
    return status;
}

static whet_status find(whet_ctx *ctx, const char *name, const whet_frechet *f,
                        const frechet_method **out) {
    const frechet_method *known = NULL;
    for (int64_t i = 0; i < WHET_COUNT_OF(TABLE); i++)
        if (strcmp(name, TABLE[i]->name) == 0) known = TABLE[i];
    if (!known || !known->serves(f)) return refuse(ctx, name, known, f);
    *out = known;
    return WHET_OK;
}

whet_status whet_i_frechet_plan(whet_ctx *ctx, const char *name, whet_frechet *f) {
    if (name && strcmp(name, "auto") != 0) {
        WHET_TRY(find(ctx, name, f, &f->method));
        f->why = "it was asked for";
    } else {
        f->room = whet_i_room_below(ctx, "").bytes;
        f->method = choose(f);
        f->why = f->method->why(f);
    }
    WHET_TRY(check_room(ctx, f));
    return f->method->make(ctx, f);
}

whet_frechet_plan whet_frechet_explain(const whet_frechet *f) {
    const frechet_method *m = f->method;
    const int64_t values = (f->n_weights + f->n_costs + 4) * f->lanes + f->n_scratch;
    const size_t blocks =
        (size_t)values * sizeof(double) + (size_t)f->n_candidates * sizeof(frechet_choice);
    const size_t thread = m->entries ? (size_t)f->sizes.thread : blocks;
    return (whet_frechet_plan){m->title, f->why, m->cost, f->bytes, thread, m->name};
}
