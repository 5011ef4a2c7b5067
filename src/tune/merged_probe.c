/* SPDX-License-Identifier: Apache-2.0
 * Does the merged model do what the base with its adapters does? Each layer on a random input, by the
 * factors one after the other rather than by their matrix; and, where this library runs the model, the
 * last hidden states of a few texts: the base with adapters in its layers against the folder that was
 * written. */
#include <math.h>
#include <stdio.h>

#include "tune/adapter_attach.h"
#include "tune/adapter_merge.h"
#include "tune/backbone.h"

enum { ROWS = 256, TEXTS_MAX = 64, LENGTH = 64 };

/* ---- layers ----------------------------------------------------------------------------------- */

typedef struct layer_probe {
    const whet_i_merging *m;
    int64_t in;
    double *x;       /* [in] */
    double **z;      /* [adapters] first factor x; NULL = no such layer */
    double **second; /* [adapters] */
    double **first;
} layer_probe;

static double dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static whet_status reals_of_row(whet_ctx *ctx, const whet_tensor *t, int64_t row, double **out) {
    const int64_t in = t->shape[1], size = (int64_t)whet_dtype_size(t->dtype);
    const whet_tensor view = {
        .data = (char *)t->data + row * in * size, .dtype = t->dtype, .rank = 1, .shape = {in}};
    whet_tensor copy;
    WHET_TRY(whet_tensor_convert(ctx, &view, WHET_F64, &copy));
    *out = copy.data;
    return WHET_OK;
}

/* z [N r] = W1 x, block by block. */
static whet_status first_stage(whet_ctx *ctx, layer_probe *p, int64_t i,
                               const whet_i_adapter_layer *l) {
    const whet_i_adapter_shape *s = &l->shape;
    WHET_TRY(whet_i_adapter_factors(ctx, l, &p->first[i], &p->second[i]));
    WHET_TRY(whet_i_alloc(ctx, s->blocks * s->rank, &p->z[i]));
    for (int64_t k = 0; k < s->blocks * s->rank; k++) {
        const int64_t at = k / s->rank * s->p, n = s->in - at < s->p ? s->in - at : s->p;
        p->z[i][k] = dot(p->first[i] + k * s->p, p->x + at, n);
    }
    return WHET_OK;
}

/* Output `row` of the adapter, and of DoRA what the whole row becomes. */
static whet_status change_of_row(whet_ctx *ctx, const layer_probe *p, int64_t i,
                                 const whet_i_adapter_layer *l, int64_t row, const double *w,
                                 double y, double *out) {
    const whet_i_adapter_shape *s = &l->shape;
    const double *second = p->second[i] + (row % s->blocks * s->q + row / s->blocks) * s->rank;
    double sum = 0, *full;
    for (int64_t c = 0; c < s->rank; c++)
        sum += second[c] * p->z[i][c * s->blocks + row % s->blocks];
    *out = l->scale * sum;
    if (!l->magnitude.data) return WHET_OK;
    const whet_tensor one = {.data = (char *)l->magnitude.data +
                                     row * (int64_t)whet_dtype_size(l->magnitude.dtype),
                             .dtype = l->magnitude.dtype,
                             .rank = 2,
                             .shape = {1, 1}};
    double *m;
    WHET_TRY(reals_of_row(ctx, &one, 0, &m));
    const double magnitude = *m;
    whet_i_free(ctx, m);
    WHET_TRY(whet_i_alloc(ctx, s->in, &full));
    memcpy(full, w, (size_t)s->in * sizeof *full);
    whet_i_factors_row(s, l->scale, p->first[i], p->second[i], row, full);
    const double norm = sqrt(dot(full, full, s->in));
    whet_i_free(ctx, full);
    *out = (norm > 0 ? magnitude / norm : 0) * (y + *out) - y;
    return WHET_OK;
}

static whet_status probe_row(whet_ctx *ctx, whet_i_merging *m, const layer_probe *p,
                             const char *name, const whet_tensor *base, const whet_tensor *merged,
                             int64_t row) {
    double *w = NULL, *v = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(reals_of_row(ctx, base, row, &w));
    WHET_TRY_DONE(reals_of_row(ctx, merged, row, &v));
    const double y = dot(w, p->x, p->in);
    double expected = y;
    for (int64_t i = 0; i < m->job->n; i++) {
        const whet_i_adapter_layer *l = whet_i_merging_layer(m, i, name);
        double change;
        if (!l) continue;
        WHET_TRY_DONE(change_of_row(ctx, p, i, l, row, w, y, &change));
        expected += whet_i_merging_weight(m, i) * change;
    }
    m->layer_difference = fmax(m->layer_difference, fabs(dot(v, p->x, p->in) - expected));
    m->layer_scale = fmax(m->layer_scale, fabs(expected));
done:
    whet_i_free(ctx, w);
    whet_i_free(ctx, v);
    return status;
}

static void free_probe(whet_ctx *ctx, layer_probe *p) {
    for (int64_t i = 0; i < p->m->job->n; i++) {
        if (p->z) whet_i_free(ctx, p->z[i]);
        if (p->first) whet_i_free(ctx, p->first[i]);
        if (p->second) whet_i_free(ctx, p->second[i]);
    }
    whet_i_free(ctx, p->z);
    whet_i_free(ctx, p->first);
    whet_i_free(ctx, p->second);
    whet_i_free(ctx, p->x);
}

/* Some rows of one layer. */
static whet_status probe_layer(whet_ctx *ctx, whet_i_merging *m, const char *name,
                               const whet_tensor *base, const whet_tensor *merged) {
    layer_probe p = {.m = m, .in = base->shape[1]};
    const int64_t rows = base->shape[0], step = rows > ROWS ? rows / ROWS : 1;
    whet_i_rng rng;
    whet_status status = WHET_OK;
    whet_i_rng_init(&rng, 7, 0);
    WHET_TRY_DONE(whet_i_calloc(ctx, m->job->n, &p.z));
    WHET_TRY_DONE(whet_i_calloc(ctx, m->job->n, &p.first));
    WHET_TRY_DONE(whet_i_calloc(ctx, m->job->n, &p.second));
    WHET_TRY_DONE(whet_i_alloc(ctx, p.in, &p.x));
    for (int64_t i = 0; i < p.in; i++) p.x[i] = whet_i_rng_normal(&rng);
    for (int64_t i = 0; i < m->job->n; i++) {
        const whet_i_adapter_layer *l = whet_i_merging_layer(m, i, name);
        if (l) WHET_TRY_DONE(first_stage(ctx, &p, i, l));
    }
    for (int64_t row = 0; row < rows; row += step)
        WHET_TRY_DONE(probe_row(ctx, m, &p, name, base, merged, row));
done:
    free_probe(ctx, &p);
    return status;
}

static whet_status probe_layers(whet_ctx *ctx, whet_i_merging *m, const char *dir) {
    whet_i_weight_files files = {0};
    int64_t done = 0;
    whet_status status = whet_i_weight_files_open(ctx, dir, &files);
    for (int64_t f = 0; status == WHET_OK && f < m->files.n; f++)
        for (int64_t i = 0; status == WHET_OK && i < m->out[f].n; i++) {
            const whet_i_merged_tensor *t = &m->out[f].items[i];
            whet_tensor merged;
            if (!t->adapted || !t->base.data) continue;
            if (!whet_i_weight_files_find(&files, t->name, &merged)) continue;
            const char *base = whet_safetensors_name(m->out[f].from, i).ptr;
            status = whet_i_progress(ctx, "compare layers", done++, m->n_adapted);
            if (status == WHET_OK) status = probe_layer(ctx, m, base, &t->base, &merged);
        }
    whet_i_weight_files_close(ctx, &files);
    return status;
}

/* ---- the model -------------------------------------------------------------------------------- */

typedef struct model_run {
    whet_i_attached *at; /* NULL = the model alone */
    whet_i_backbone backbone;
    whet_i_params *params;
    whet_i_graph *graph;
    whet_i_plan *plan;
    whet_i_executor *executor;
    whet_i_text_batch batch;
    whet_token_rows rows;
    int64_t tokens, width, vocab;
    float *hidden; /* [tokens, width] */
    float *logits; /* [texts, vocab] of the token behind each; NULL = no head for next tokens */
} model_run;

typedef struct outputs {
    whet_i_value hidden, logits; /* logits NONE = no head for next tokens */
} outputs;

static whet_status at_stage(whet_ctx *ctx, const model_run *r, whet_i_load_stage stage) {
    return r->at ? whet_i_attached_at(ctx, r->at, stage, r->params) : WHET_OK;
}

static whet_status record_head(whet_ctx *ctx, model_run *r, outputs *out) {
    whet_i_value last;
    out->logits = WHET_I_NONE;
    if (!r->backbone.causal) return WHET_OK;
    WHET_TRY(whet_i_pool_tokens(ctx, r->graph, out->hidden, WHET_I_POOL_LAST, &last));
    return whet_i_llama_head(ctx, r->graph, &r->backbone.llama, last, &out->logits);
}

static whet_status record(whet_ctx *ctx, model_run *r, outputs *out) {
    WHET_TRY(whet_i_params_create(ctx, WHET_F32, &r->params));
    WHET_TRY(whet_i_graph_create(ctx, r->params, &r->graph));
    if (r->at) {
        r->at->prefix = r->backbone.prefix;
        r->graph->adapters = &r->at->hook;
        if (r->at->parts_head) r->backbone.llama.tied = false;
    }
    WHET_TRY(
        whet_i_backbone_record(ctx, r->graph, &r->backbone, true, WHET_I_ALL_TOKENS, &out->hidden));
    WHET_TRY(record_head(ctx, r, out));
    WHET_TRY(at_stage(ctx, r, WHET_I_LOAD_RECORDED));
    WHET_TRY(whet_i_weight_files_bind(ctx, &r->backbone.files, r->params, r->backbone.prefix));
    WHET_TRY(at_stage(ctx, r, WHET_I_LOAD_BOUND));
    WHET_TRY(whet_i_params_settle(ctx, r->params, 0));
    return at_stage(ctx, r, WHET_I_LOAD_SETTLED);
}

static whet_status keep_value(whet_ctx *ctx, const model_run *r, whet_i_value value, int64_t rows,
                              int64_t *columns, float **out) {
    *columns = whet_i_columns(r->graph, value);
    WHET_TRY(whet_i_alloc(ctx, rows * *columns, out));
    memcpy(*out, whet_i_executor_value(r->executor, value),
           (size_t)(rows * *columns) * sizeof(float));
    return WHET_OK;
}

static whet_status run_graph(whet_ctx *ctx, model_run *r, const outputs *out) {
    const int64_t n = r->rows.n_rows;
    int64_t which[TEXTS_MAX], longest = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t length = r->rows.start[i + 1] - r->rows.start[i];
        which[i] = i;
        longest = length > longest ? length : longest;
    }
    r->tokens = r->rows.start[n];
    const whet_i_value kept[] = {out->hidden, out->logits};
    const whet_i_plan_opts opts = {.sizes = {.rows = {1, n, r->tokens, n},
                                             .longest = longest,
                                             .workers = whet_ctx_threads(ctx)},
                                   .loss = WHET_I_NONE,
                                   .keep = kept,
                                   .n_keep = out->logits == WHET_I_NONE ? 1 : 2};
    WHET_TRY(whet_i_plan_create(ctx, r->graph, &opts, &r->plan));
    WHET_TRY(whet_i_executor_create(ctx, r->plan, &r->executor));
    WHET_TRY(whet_i_params_pack(ctx, r->params));
    WHET_TRY(whet_i_text_batch_init(ctx, &r->batch, r->tokens, n));
    whet_i_text_batch_fill(&r->batch, &r->rows, which, n, r->backbone.first_position);
    whet_i_executor_run(r->executor, &r->batch.batch);
    WHET_TRY(keep_value(ctx, r, out->hidden, r->tokens, &r->width, &r->hidden));
    if (out->logits == WHET_I_NONE) return WHET_OK;
    return keep_value(ctx, r, out->logits, n, &r->vocab, &r->logits);
}

static whet_status run_model(whet_ctx *ctx, model_run *r, const char *dir, const whet_str *texts,
                             int64_t n) {
    outputs out;
    WHET_TRY(whet_i_backbone_open(ctx, dir, 0, 0, &r->backbone));
    const int64_t most = r->backbone.max_length < LENGTH ? r->backbone.max_length : LENGTH;
    WHET_TRY(whet_tokenizer_encode(ctx, r->backbone.tokenizer, texts, n, most, &r->rows));
    WHET_TRY(record(ctx, r, &out));
    return run_graph(ctx, r, &out);
}

static void free_run(whet_ctx *ctx, model_run *r) {
    whet_i_free(ctx, r->logits);
    whet_i_free(ctx, r->hidden);
    whet_token_rows_destroy(ctx, &r->rows);
    whet_i_text_batch_free(ctx, &r->batch);
    whet_i_executor_destroy(ctx, r->executor);
    whet_i_plan_destroy(ctx, r->plan);
    whet_i_graph_destroy(ctx, r->graph);
    whet_i_params_destroy(ctx, r->params);
    whet_i_backbone_close(ctx, &r->backbone);
}

/* ---- texts ------------------------------------------------------------------------------------ */

static const char *const sentences[] = {
    "The committee will meet again on Thursday to discuss the new proposal.",
    "I did not like the film at all, although the actors were good.",
    "How far is it from the station to the old town?",
    "Congratulations! You have won a prize, call this number now.",
    "Water boils at a lower temperature on top of a mountain.",
    "She opened the door, looked around, and quietly closed it again.",
    "Profits fell by 12 % in the third quarter of 2019.",
    "ok",
};

/* The first rows of the table, or a few sentences. */
static whet_status take_texts(whet_ctx *ctx, const whet_adapter_merge_job *j, whet_table **table,
                              whet_str *texts, int64_t *n) {
    int64_t column;
    *n = WHET_COUNT_OF(sentences);
    for (int64_t i = 0; i < *n; i++) texts[i] = whet_str_from(sentences[i]);
    if (!j->probe) return WHET_OK;
    WHET_TRY(whet_table_read(ctx, j->probe, table));
    WHET_TRY(whet_table_find(ctx, *table, j->text ? j->text : "text", &column));
    *n = whet_table_rows(*table) < TEXTS_MAX ? whet_table_rows(*table) : TEXTS_MAX;
    for (int64_t i = 0; i < *n; i++) texts[i] = whet_table_cell(*table, i, column);
    if (*n > 0) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_DATA, "%s: no rows; expected texts", j->probe);
}

/* Whether this library knows how to run the model; a folder without tokenizer or config.json is none. */
static whet_status can_run(whet_ctx *ctx, const whet_i_merging *m, bool *out) {
    whet_i_backbone b = {0};
    const whet_status status = whet_i_backbone_open(ctx, m->job->model, 0, 0, &b);
    whet_i_backbone_close(ctx, &b);
    *out = status == WHET_OK;
    return status == WHET_ERR_NOMEM || status == WHET_ERR_CANCELLED ? status : WHET_OK;
}

static void compare(const float *base, const float *merged, int64_t n, double *difference,
                    double *scale) {
    for (int64_t i = 0; i < n; i++) {
        *difference = fmax(*difference, fabs((double)base[i] - (double)merged[i]));
        *scale = fmax(*scale, fabs((double)base[i]));
    }
}

static whet_status compare_models(whet_ctx *ctx, whet_i_merging *m, const char *dir,
                                  whet_i_attached *at, const whet_str *texts, int64_t n) {
    model_run base = {.at = at};
    model_run merged = {0};
    whet_status status = whet_i_progress(ctx, "compare models", 0, 2);
    if (status == WHET_OK) status = run_model(ctx, &base, m->job->model, texts, n);
    if (status == WHET_OK) status = whet_i_progress(ctx, "compare models", 1, 2);
    if (status == WHET_OK) status = run_model(ctx, &merged, dir, texts, n);
    if (status == WHET_OK)
        compare(base.hidden, merged.hidden, base.tokens * base.width, &m->difference, &m->scale);
    if (status == WHET_OK && base.logits && merged.logits)
        compare(base.logits, merged.logits, n * base.vocab, &m->head_difference, &m->head_scale);
    m->texts = n;
    m->tokens = base.tokens;
    free_run(ctx, &merged);
    free_run(ctx, &base);
    return status;
}

static whet_status probe_model(whet_ctx *ctx, whet_i_merging *m, const char *dir,
                               const whet_str *texts, int64_t n) {
    const whet_adapter **items;
    whet_i_attached at = {.n = m->job->n};
    double *weights = NULL;
    bool can = false;
    whet_status status = can_run(ctx, m, &can);
    if (status != WHET_OK || !can) return status;
    WHET_TRY(whet_i_alloc_(ctx, at.n, sizeof(void *), true, &items));
    WHET_TRY_DONE(whet_i_alloc(ctx, at.n, &weights));
    for (int64_t i = 0; i < at.n; i++) {
        items[i] = m->adapters[i];
        weights[i] = whet_i_merging_weight(m, i);
    }
    at.items = items;
    at.weights = weights;
    status = whet_i_attach(ctx, &at, m->job->model, &m->files, m->identity);
    if (status == WHET_OK)
        status = compare_models(ctx, m, dir, &at, texts, n);
    else if (status == WHET_ERR_NUMERIC)
        status = WHET_OK; /* weights of DoRA that the engine has no DoRA for */
done:
    whet_i_attached_free(ctx, &at);
    whet_i_free(ctx, weights);
    whet_i_free(ctx, items);
    return status;
}

whet_status whet_i_merged_probe(whet_ctx *ctx, whet_i_merging *m, const char *dir) {
    whet_str texts[TEXTS_MAX];
    whet_table *table = NULL;
    int64_t n;
    WHET_TRY(probe_layers(ctx, m, dir));
    whet_status status = take_texts(ctx, m->job, &table, texts, &n);
    if (status == WHET_OK) status = probe_model(ctx, m, dir, texts, n);
    whet_table_destroy(ctx, table);
    return status;
}
