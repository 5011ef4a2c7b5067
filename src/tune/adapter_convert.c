/* SPDX-License-Identifier: Apache-2.0
 * Adapters of one form as those of another. MoRe of N blocks and rank r is LoRA of rank N r, and LoRA of
 * rank R is MoRe of rank N R, both exactly (up to the rounding of their numbers); at a smaller rank the
 * nearest one is taken, and what is lost is told. All of them are DoRA whose rows are as long as they were,
 * given the base. Legend as in adapter_i.h. */
#include <math.h>
#include <stdio.h>

#include "tune/adapter_blocks.h"
#include "tune/adapter_parts.h"

typedef struct factors {
    double *first, *second;
} factors;

/* One layer on its way: from `layer` to shape `to`. */
typedef struct conversion {
    const whet_i_adapter_layer *layer;
    whet_i_adapter_shape to;
    bool from_more, to_more, to_dora;
    const whet_i_weight_files *base; /* of DoRA, where it is needed */
    double dropped;                  /* square of what is lost */
    double whole; /* square of the norm of the matrix; where something may be lost */
} conversion;

/* ---- exact forms ------------------------------------------------------------------------------ */

/* A[k r + a] is W1[k][a] on block k; column c N + l of B has W2[l][s][c] in row s N + l. */
static void more_as_lora(const whet_i_adapter_shape *s, double scale, const factors *from,
                         factors *to) {
    const int64_t rank = s->blocks * s->rank;
    for (int64_t z = 0; z < rank; z++) {
        const int64_t first = z / s->rank * s->p;
        for (int64_t i = 0; i < s->p && first + i < s->in; i++)
            to->first[z * s->in + first + i] = from->first[z * s->p + i];
    }
    for (int64_t row = 0; row < s->out; row++) {
        const int64_t l = row % s->blocks, at = row / s->blocks;
        for (int64_t c = 0; c < s->rank; c++)
            to->second[row * rank + c * s->blocks + l] =
                scale * from->second[(l * s->q + at) * s->rank + c];
    }
}

/* W1[k][t N + l] is block k of A[t], for every l; W2[l][s][k R + t] is B[s N + l][t]; rank N R. */
static void lora_as_more(const whet_i_adapter_shape *to, int64_t R, double scale,
                         const factors *from, factors *made) {
    const int64_t N = to->blocks, r = to->rank;
    for (int64_t k = 0; k < N; k++)
        for (int64_t t = 0; t < R; t++)
            for (int64_t l = 0; l < N; l++)
                for (int64_t i = 0; i < to->p && k * to->p + i < to->in; i++)
                    made->first[(k * r + t * N + l) * to->p + i] =
                        from->first[t * to->in + k * to->p + i];
    for (int64_t row = 0; row < to->out; row++)
        for (int64_t k = 0; k < N; k++)
            for (int64_t t = 0; t < R; t++)
                made->second[(row % N * to->q + row / N) * r + k * R + t] =
                    scale * from->second[row * R + t];
}

/* ---- one layer -------------------------------------------------------------------------------- */

static whet_status make_factors(whet_ctx *ctx, const whet_i_adapter_shape *s, factors *f) {
    int64_t rows, n;
    WHET_TRY(whet_i_mul(ctx, s->blocks, s->rank, &rows));
    WHET_TRY(whet_i_mul(ctx, rows, s->p, &n));
    WHET_TRY(whet_i_calloc(ctx, n, &f->first));
    WHET_TRY(whet_i_mul(ctx, rows, s->q, &n));
    return whet_i_calloc(ctx, n, &f->second);
}

static void free_factors(whet_ctx *ctx, factors *f) {
    whet_i_free(ctx, f->first);
    whet_i_free(ctx, f->second);
}

static double square_of(const double *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * x[i];
    return sum;
}

static whet_i_adapter_shape lora_shape(const whet_i_adapter_shape *s, int64_t rank) {
    return (whet_i_adapter_shape){
        .in = s->in, .out = s->out, .blocks = 1, .rank = rank, .p = s->in, .q = s->out};
}

/* The rank that loses nothing. */
static int64_t full_rank(const whet_i_adapter_layer *l) { return l->shape.blocks * l->shape.rank; }

/* LoRA of the rank that is asked for; rows of DoRA times `rows` [out], where that is given. */
static whet_status to_lora(whet_ctx *ctx, conversion *c, const factors *from, const double *rows,
                           factors *made) {
    const whet_i_adapter_layer *l = c->layer;
    const whet_i_adapter_shape full = lora_shape(&l->shape, full_rank(l));
    factors exact = {0};
    whet_status status = WHET_OK;
    if (full.rank == c->to.rank) {
        more_as_lora(&l->shape, l->scale, from, made); /* LoRA is MoRe of one block */
        return WHET_OK;
    }
    WHET_TRY_DONE(make_factors(ctx, &full, &exact));
    more_as_lora(&l->shape, l->scale, from, &exact);
    for (int64_t k = 0; rows && k < full.out * full.rank; k++)
        exact.second[k] *= rows[k / full.rank];
    WHET_TRY_DONE(whet_i_truncate_low_rank(ctx, full.in, full.out, full.rank, exact.first,
                                           exact.second, c->to.rank, made->first, made->second,
                                           &c->dropped));
    c->whole = c->dropped;
    for (int64_t t = 0; t < c->to.rank; t++) { /* rows of both are orthogonal: squares add up */
        double a = 0, b = 0;
        for (int64_t i = 0; i < full.in; i++)
            a += made->first[t * full.in + i] * made->first[t * full.in + i];
        for (int64_t o = 0; o < full.out; o++)
            b += made->second[o * c->to.rank + t] * made->second[o * c->to.rank + t];
        c->whole += a * b;
    }
done:
    free_factors(ctx, &exact);
    return status;
}

static whet_status to_more(whet_ctx *ctx, conversion *c, const factors *from, factors *made) {
    const whet_i_adapter_layer *l = c->layer;
    double *matrix = NULL;
    if (!c->from_more && c->to.rank == c->to.blocks * l->shape.rank) {
        lora_as_more(&c->to, l->shape.rank, l->scale, from, made);
        return WHET_OK;
    }
    if (c->from_more && c->to.rank == l->shape.rank && c->to.p == l->shape.p &&
        c->to.q == l->shape.q) {
        const int64_t rows = c->to.blocks * c->to.rank;
        memcpy(made->first, from->first, (size_t)(rows * c->to.p) * sizeof(double));
        memcpy(made->second, from->second, (size_t)(rows * c->to.q) * sizeof(double));
        return WHET_OK;
    }
    WHET_TRY(whet_i_layer_matrix(ctx, l, &matrix));
    c->whole = square_of(matrix, c->to.in * c->to.out);
    const whet_status status =
        whet_i_project_blocks(ctx, &c->to, matrix, made->first, made->second, &c->dropped);
    whet_i_free(ctx, matrix);
    return status;
}

/* Whether the base's rows are needed: not where magnitudes stay as they are. */
static bool needs_base(const conversion *c) {
    return c->to_dora && !(c->layer->magnitude.data && c->to.rank == full_rank(c->layer));
}

/* DoRA as it is. */
static whet_status keep_dora(whet_ctx *ctx, conversion *c, const factors *from, factors *made,
                             whet_adapter *to) {
    whet_tensor m;
    WHET_TRY(to_lora(ctx, c, from, NULL, made));
    WHET_TRY(whet_i_adapter_put(ctx, to, c->layer->module, &c->to, made->first, made->second));
    WHET_TRY(whet_tensor_convert(ctx, &c->layer->magnitude, WHET_F64, &m));
    const whet_status status = whet_i_adapter_put_magnitude(ctx, to, m.data);
    whet_tensor_destroy(ctx, &m);
    return status;
}

/* With the base: rows F (W + s B A), F as they have it; of a smaller rank the nearest F s B A. */
static whet_status to_dora(whet_ctx *ctx, conversion *c, const factors *from, factors *made,
                           whet_adapter *to) {
    const whet_i_adapter_layer *l = c->layer;
    const bool cut = c->to.rank < full_rank(l);
    double *w = NULL, *rows = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_base_rows(ctx, c->base, l, &w));
    WHET_TRY_DONE(whet_i_alloc(ctx, l->shape.out, &rows));
    WHET_TRY_DONE(whet_i_row_factors(ctx, l, w, from->first, from->second, rows));
    WHET_TRY_DONE(to_lora(ctx, c, from, cut ? rows : NULL, made));
    for (int64_t k = 0; k < c->to.out * c->to.rank; k++) {
        const double row = rows[k / c->to.rank];
        /* rows of zeros stay so: what a truncation has there is rounding */
        made->second[k] *= row == 0 ? 0 : cut ? 1 : row;
    }
    status = whet_i_dora_put(ctx, to, l->module, &c->to, w, rows, made->first, made->second);
done:
    whet_i_free(ctx, rows);
    whet_i_free(ctx, w);
    return status;
}

static whet_status convert_layer(whet_ctx *ctx, conversion *c, whet_adapter *to) {
    factors from = {0}, made = {0};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_adapter_factors(ctx, c->layer, &from.first, &from.second));
    WHET_TRY_DONE(make_factors(ctx, &c->to, &made));
    if (c->to_dora) {
        status = (needs_base(c) ? to_dora : keep_dora)(ctx, c, &from, &made, to);
        goto done;
    }
    WHET_TRY_DONE(c->to_more ? to_more(ctx, c, &from, &made) : to_lora(ctx, c, &from, NULL, &made));
    status = whet_i_adapter_put(ctx, to, c->layer->module, &c->to, made.first, made.second);
done:
    free_factors(ctx, &from);
    free_factors(ctx, &made);
    return status;
}

/* ---- what is asked for ------------------------------------------------------------------------ */

static conversion plan(const whet_adapter *a, const whet_i_adapter_layer *l,
                       const whet_adapter_convert_opts *o) {
    const whet_i_adapter_shape *s = &l->shape;
    conversion c = {.layer = l,
                    .from_more = a->more,
                    .to_more = o->form == WHET_ADAPTER_FORM_MORE,
                    .to_dora = o->form == WHET_ADAPTER_FORM_DORA};
    if (!c.to_more) {
        c.to = lora_shape(s, o->rank ? o->rank : s->blocks * s->rank);
        return c;
    }
    const int64_t N = o->blocks ? o->blocks : a->more ? s->blocks : 4;
    c.to = whet_i_adapter_shape_of(s->in, s->out, N, o->rank);
    const bool same = a->more && c.to.blocks == s->blocks;
    if (same) { /* the folder's own blocks, whatever rule made them */
        c.to.p = s->p;
        c.to.q = s->q;
    }
    if (!o->rank) c.to.rank = same ? s->rank : c.to.blocks * s->blocks * s->rank;
    return c;
}

/* A rank that is asked for must be one that the layers have. */
static whet_status check(whet_ctx *ctx, const whet_adapter *a, const whet_adapter_convert_opts *o) {
    whet_i_problems problems = {0};
    whet_status status = WHET_OK;
    if (o->rank < 0 || o->blocks < 0 || o->rank > 1 << 16 || o->blocks > 1 << 16)
        return whet_i_fail(ctx, WHET_ERR_ARG, "rank %lld, blocks %lld; expected 0 to 65536 of both",
                           (long long)o->rank, (long long)o->blocks);
    for (int64_t i = 0; status == WHET_OK && i < a->n_layers; i++) {
        const whet_i_adapter_layer *l = &a->layers[i];
        const conversion c = plan(a, l, o);
        const int64_t most = c.to.blocks * (c.to.p < c.to.q ? c.to.p : c.to.q);
        char quoted[WHET_QUOTE_SIZE];
        (void)whet_i_quote(quoted, whet_str_from(l->module));
        if (l->magnitude.data && !c.to_dora)
            return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                               "layer %s: DoRA scales the rows of the weights, which no LoRA or "
                               "MoRe does; expected the form DoRA; for the nearest of a rank try "
                               "whet tune project --adapter",
                               quoted);
        if (needs_base(&c) && !a->model)
            return whet_i_fail(ctx, WHET_ERR_ARG,
                               "layer %s: the lengths of DoRA's rows are made of the base's; "
                               "expected the base; try --model",
                               quoted);
        if (o->rank > most)
            status = whet_i_problem(ctx, &problems, "layer %s: rank %lld; expected at most %lld",
                                    quoted, (long long)o->rank, (long long)most);
    }
    const whet_status ended = whet_i_problems_end(ctx, WHET_ERR_ARG, a->path, &problems);
    return status != WHET_OK ? status : ended;
}

static double ratio(double part, double whole) { return whole > 0 ? sqrt(part / whole) : 0; }

static json_t *layer_report(const conversion *c) {
    const int64_t parameters =
        c->to.blocks * c->to.rank * (c->to.p + c->to.q) + (c->to_dora ? c->to.out : 0);
    return json_pack("{s:s, s:I, s:I, s:I, s:f}", "module", c->layer->module, "rank",
                     (json_int_t)c->to.rank, "blocks", (json_int_t)c->to.blocks, "parameters",
                     (json_int_t)parameters, "residual", ratio(c->dropped, c->whole));
}

/* The square of the norm of a layer that loses nothing. */
static whet_status add_square(whet_ctx *ctx, const whet_i_adapter_layer *l, double *sum) {
    double *matrix;
    WHET_TRY(whet_i_layer_matrix(ctx, l, &matrix));
    *sum += square_of(matrix, l->shape.in * l->shape.out);
    whet_i_free(ctx, matrix);
    return WHET_OK;
}

static whet_status convert_all(whet_ctx *ctx, const whet_adapter *a,
                               const whet_adapter_convert_opts *o, const whet_i_weight_files *base,
                               whet_adapter *made, json_t *layers, double *residual) {
    double dropped = 0, whole = 0;
    for (int64_t i = 0; i < a->n_layers; i++) {
        conversion c = plan(a, &a->layers[i], o);
        c.base = base;
        WHET_TRY(whet_i_progress(ctx, "convert", i, a->n_layers));
        WHET_TRY(convert_layer(ctx, &c, made));
        (void)json_array_append_new(layers, layer_report(&c));
        dropped += c.dropped;
        whole += c.whole;
        /* Only where a rank is asked for is anything lost, and the whole asked for. */
        if (o->rank && c.whole <= 0) WHET_TRY(add_square(ctx, c.layer, &whole));
    }
    *residual = ratio(dropped, whole);
    for (int64_t i = 0; i < a->n_wholes; i++)
        WHET_TRY(whet_i_adapter_put_whole(ctx, made, &a->wholes[i]));
    return whet_i_adapter_settle(ctx, made, a->json);
}

/* MoRe's blocks may have room for more than the layer has: folders that are not from here do not tell. */
static void warn_of_sizes(whet_ctx *ctx, const whet_adapter *a, bool more) {
    const bool told =
        json_object_get(a->json, WHET_I_SIZES_KEY) || json_object_get(a->json, WHET_I_BASE_KEY);
    if (!a->more || more || a->model || told || a->layers[0].shape.blocks == 1) return;
    whet_i_log(ctx, WHET_LOG_WARN,
               "%s: does not tell the sizes of its layers, which are taken as all that its blocks "
               "have room for; if the base's are smaller, it will not fit: try --model",
               a->path);
}

whet_status whet_adapter_convert(whet_ctx *ctx, const whet_adapter *a,
                                 const whet_adapter_convert_opts *opts, whet_adapter **out,
                                 char **report) {
    whet_adapter_convert_opts o = WHET_ADAPTER_CONVERT_OPTS_INIT;
    whet_adapter *made = NULL;
    whet_i_weight_files base = {0};
    whet_i_buf text = {0};
    double residual = 0;
    WHET_TRY(whet_i_opts(ctx, opts, &o, sizeof o, "whet_adapter_convert_opts"));
    WHET_TRY(whet_i_adapter_check_layers(ctx, a));
    WHET_TRY(check(ctx, a, &o));
    whet_status status = WHET_OK;
    const bool more = o.form == WHET_ADAPTER_FORM_MORE, dora = o.form == WHET_ADAPTER_FORM_DORA;
    json_t *layers = json_array();
    warn_of_sizes(ctx, a, more);
    if (dora && a->model) WHET_TRY_DONE(whet_i_weight_files_open(ctx, a->model, &base));
    WHET_TRY_DONE(whet_i_adapter_create(ctx, a->path, more, a->n_layers, a->n_wholes, &made));
    WHET_TRY_DONE(convert_all(ctx, a, &o, &base, made, layers, &residual));
    json_t *root = json_pack("{s:s, s:f, s:O}", "kind",
                             more   ? "more"
                             : dora ? "dora"
                                    : "lora",
                             "residual", residual, "layers", layers);
    if (report) status = whet_i_json_dump(ctx, root, JSON_INDENT(2), &text);
    json_decref(root);
    if (status != WHET_OK) goto done;
    if (report) *report = text.data;
    *out = made;
    made = NULL;
    text = (whet_i_buf){0};
done:
    whet_i_weight_files_close(ctx, &base);
    whet_i_buf_free(ctx, &text);
    json_decref(layers);
    whet_adapter_close(ctx, made);
    return status;
}
