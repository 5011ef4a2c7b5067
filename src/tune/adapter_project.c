/* SPDX-License-Identifier: Apache-2.0
 * What training changed of a model, or an adapter, onto adapters of few numbers. A rank more of a layer
 * is worth the squares of the singular values that it keeps, and costs its numbers; the singular values
 * of all layers are pooled, and ranks are given where they are worth most for their cost, until the
 * budget is full. Gains of a layer fall with its rank, so that taking the best each time is the best of
 * its size but for the last bit of the budget. Legend: D [out, in] the change of a layer, N blocks (LoRA:
 * 1); a step of s is N ranks. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "nn/nn_i.h"
#include "tune/adapter_blocks.h"
#include "tune/adapter_targets.h"

enum { JSON_BYTES_MAX = 1 << 26, TOLD_MAX = 20 };

/* A layer that may get an adapter. */
typedef struct item {
    const char *module;
    whet_tensor before, after;         /* of the base, of the tuned model; no data with `layer` */
    const whet_i_adapter_layer *layer; /* of the adapter that is projected */
    whet_i_adapter_shape shape;        /* its rank is what is chosen; 0 = none */
    double *gains;                     /* [min(p, q)] */
    double whole, dropped;             /* squares */
} item;

typedef struct project {
    const whet_adapter_project_job *job;
    whet_i_weight_files base, tuned;
    char identity[WHET_I_IDENTITY];
    whet_adapter *from;
    whet_i_adapter_config config; /* its targets */
    const char **modules;         /* [n_modules] of linear layers, changed or not */
    int64_t n_modules;
    item *items;
    whet_i_adapter_whole *heads;
    int64_t n, n_heads, n_left;
    const char *left[TOLD_MAX]; /* names of other changed tensors */
    double left_square;
    int64_t parameters;
    whet_i_arena arena;
} project;

/* ---- differences ------------------------------------------------------------------------------ */

static whet_status difference(whet_ctx *ctx, const whet_tensor *before, const whet_tensor *after,
                              double **out) {
    whet_tensor a = {0}, b = {0};
    whet_status status = whet_tensor_convert(ctx, after, WHET_F64, &a);
    if (status == WHET_OK) status = whet_tensor_convert(ctx, before, WHET_F64, &b);
    if (status == WHET_OK) {
        double *to = a.data;
        for (int64_t i = 0; i < whet_tensor_count(&a); i++) to[i] -= ((const double *)b.data)[i];
        *out = to;
        a = (whet_tensor){0};
    }
    whet_tensor_destroy(ctx, &a);
    whet_tensor_destroy(ctx, &b);
    return status;
}

static whet_status change_of(whet_ctx *ctx, const whet_i_weight_files *base, const item *it,
                             double **out) {
    return it->layer ? whet_i_layer_change(ctx, base, it->layer, out)
                     : difference(ctx, &it->before, &it->after, out);
}

static double square_of(const double *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * x[i];
    return sum;
}

static bool same_bytes(const whet_tensor *a, const whet_tensor *b) {
    return a->dtype == b->dtype &&
           memcmp(a->data, b->data, (size_t)whet_tensor_count(a) * whet_dtype_size(a->dtype)) == 0;
}

static bool same_shape(const whet_tensor *a, const whet_tensor *b) {
    return a->rank == b->rank &&
           memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0;
}

/* ---- which layers ----------------------------------------------------------------------------- */

/* The base may lack what the tuned model's names begin with. */
static bool find_base(const project *p, const char *name, whet_tensor *out) {
    for (const char *at = name; at; at = strchr(at, '.') ? strchr(at, '.') + 1 : NULL)
        if (whet_i_weight_files_find(&p->base, at, out)) return true;
    return false;
}

static bool is_head(const char *name) {
    static const char *const heads[] = {"classifier.", "score.", "pre_classifier."};
    for (int64_t i = 0; i < WHET_COUNT_OF(heads); i++)
        if (strncmp(name, heads[i], strlen(heads[i])) == 0) return true;
    return false;
}

/* A weight of a linear layer inside the model. */
static bool is_linear(const char *name, const whet_tensor *t) {
    const size_t n = strlen(name);
    return t->rank == 2 && n > 7 && strcmp(name + n - 7, ".weight") == 0 &&
           !strstr(name, "embed") && !strstr(name, "lm_head") && !is_head(name);
}

static whet_status keep(whet_ctx *ctx, project *p, const char *name, size_t length,
                        const char **out) {
    char *copy;
    WHET_TRY(whet_i_arena_alloc(ctx, &p->arena, (int64_t)length + 1, 1, &copy));
    memcpy(copy, name, length);
    copy[length] = '\0';
    *out = copy;
    return WHET_OK;
}

static whet_i_adapter_shape shape_for(const project *p, int64_t in, int64_t out) {
    const whet_adapter_project_job *j = p->job;
    const bool more = j->form == WHET_ADAPTER_FORM_MORE;
    return whet_i_adapter_shape_of(in, out, more ? j->blocks ? j->blocks : 4 : 1, j->rank);
}

static whet_status leave_out(whet_ctx *ctx, project *p, const char *name, const whet_tensor *before,
                             const whet_tensor *after) {
    double *d;
    WHET_TRY(difference(ctx, before, after, &d));
    p->left_square += square_of(d, whet_tensor_count(after));
    whet_i_free(ctx, d);
    if (p->n_left < TOLD_MAX) p->left[p->n_left] = name;
    p->n_left++;
    return WHET_OK;
}

/* Another model, not this one tuned. */
static whet_status other_shape(whet_ctx *ctx, const char *name, const whet_tensor *before,
                               const whet_tensor *after) {
    char quoted[WHET_QUOTE_SIZE], a[WHET_I_SHAPE_TEXT], b[WHET_I_SHAPE_TEXT];
    return whet_i_fail(ctx, WHET_ERR_SHAPE,
                       "tensor %s is %s in the tuned model and %s in the base; expected the same "
                       "shape; try the model that it was tuned from",
                       whet_i_quote(quoted, whet_str_from(name)),
                       whet_i_shape_text(a, after->rank, after->shape),
                       whet_i_shape_text(b, before->rank, before->shape));
}

static whet_status add_tensor(whet_ctx *ctx, project *p, const char *name, const whet_tensor *t) {
    whet_tensor before;
    const bool known = find_base(p, name, &before), has = known && same_shape(&before, t);
    if (known && !has && is_linear(name, t)) return other_shape(ctx, name, &before, t);
    if (is_linear(name, t))
        WHET_TRY(keep(ctx, p, name, strlen(name) - 7, &p->modules[p->n_modules++]));
    if (!has || (is_head(name) && !same_bytes(&before, t))) {
        p->heads[p->n_heads++] = (whet_i_adapter_whole){.name = name, .tensor = *t};
        return WHET_OK;
    }
    if (same_bytes(&before, t)) return WHET_OK;
    item *it = &p->items[p->n];
    WHET_TRY(keep(ctx, p, name, strlen(name) - (is_linear(name, t) ? 7 : 0), &it->module));
    if (!is_linear(name, t) || !whet_i_adapter_config_has(&p->config, it->module))
        return leave_out(ctx, p, name, &before, t);
    it->before = before;
    it->after = *t;
    it->shape = shape_for(p, t->shape[1], t->shape[0]);
    p->n++;
    return WHET_OK;
}

static whet_status list_tuned(whet_ctx *ctx, project *p) {
    int64_t n = 0;
    WHET_TRY(whet_i_weight_files_open(ctx, p->job->tuned, &p->tuned));
    for (int64_t f = 0; f < p->tuned.n; f++) n += whet_safetensors_count(p->tuned.items[f].tensors);
    WHET_TRY(whet_i_calloc(ctx, n, &p->items));
    WHET_TRY(whet_i_calloc(ctx, n, &p->heads));
    WHET_TRY(whet_i_calloc(ctx, n, &p->modules));
    for (int64_t f = 0; f < p->tuned.n; f++) {
        const whet_safetensors *file = p->tuned.items[f].tensors;
        for (int64_t i = 0; i < whet_safetensors_count(file); i++) {
            const char *name = whet_safetensors_name(file, i).ptr;
            whet_tensor t;
            (void)whet_safetensors_find(file, name, &t);
            WHET_TRY(add_tensor(ctx, p, name, &t));
        }
    }
    return WHET_OK;
}

static whet_status list_adapter(whet_ctx *ctx, project *p) {
    const whet_adapter *a = p->from;
    WHET_TRY(whet_i_calloc(ctx, a->n_layers, &p->items));
    WHET_TRY(whet_i_calloc(ctx, a->n_wholes, &p->heads));
    WHET_TRY(whet_i_calloc(ctx, a->n_layers, &p->modules));
    for (int64_t i = 0; i < a->n_layers; i++) {
        const whet_i_adapter_layer *l = &a->layers[i];
        p->modules[p->n_modules++] = l->module;
        if (!whet_i_adapter_config_has(&p->config, l->module)) continue;
        p->items[p->n++] = (item){
            .module = l->module, .layer = l, .shape = shape_for(p, l->shape.in, l->shape.out)};
    }
    for (int64_t i = 0; i < a->n_wholes; i++) p->heads[p->n_heads++] = a->wholes[i];
    return WHET_OK;
}

static whet_status open_all(whet_ctx *ctx, project *p) {
    const whet_adapter_project_job *j = p->job;
    WHET_TRY(whet_i_adapter_config_init(ctx, &p->config));
    WHET_TRY(whet_i_modules_parse(ctx, &p->config, &p->config.targets, "targets",
                                  j->targets ? j->targets : "all-linear"));
    WHET_TRY(whet_i_weight_files_open(ctx, j->model, &p->base));
    WHET_TRY(whet_i_base_identity(ctx, &p->base, p->identity));
    if (j->adapter) {
        WHET_TRY(whet_adapter_open(ctx, j->adapter, &p->from));
        WHET_TRY(whet_i_adapter_check_layers(ctx, p->from));
        WHET_TRY(whet_i_adapter_fit(ctx, p->from, j->model, &p->base, p->identity, j->any_base));
        WHET_TRY(list_adapter(ctx, p));
    } else {
        WHET_TRY(list_tuned(ctx, p));
    }
    return whet_i_targets_check(ctx, &p->config, p->modules, p->n_modules);
}

/* ---- ranks ------------------------------------------------------------------------------------ */

static int64_t most_steps(const whet_i_adapter_shape *s) { return s->p < s->q ? s->p : s->q; }
static int64_t cost_of(const whet_i_adapter_shape *s) {
    return s->blocks * s->blocks * (s->p + s->q);
}

typedef struct step {
    double worth; /* squares a number */
    int64_t item, s;
} step;

/* The most worth first; equal ones in the order of layers and ranks. */
static int by_worth(const void *a, const void *b) {
    const step *x = a, *y = b;
    if (x->worth != y->worth) return x->worth > y->worth ? -1 : 1;
    if (x->item != y->item) return x->item < y->item ? -1 : 1;
    return (x->s > y->s) - (x->s < y->s);
}

static whet_status measure(whet_ctx *ctx, project *p) {
    for (int64_t i = 0; i < p->n; i++) {
        item *it = &p->items[i];
        double *d;
        WHET_TRY(whet_i_progress(ctx, "singular values", i, p->n));
        WHET_TRY(whet_i_arena_alloc(ctx, &p->arena, most_steps(&it->shape), sizeof *it->gains,
                                    &it->gains));
        WHET_TRY(change_of(ctx, &p->base, it, &d));
        const whet_status status = whet_i_block_gains(ctx, &it->shape, d, it->gains);
        whet_i_free(ctx, d);
        WHET_TRY(status);
    }
    return WHET_OK;
}

static void give_ranks(project *p, const step *steps, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        item *it = &p->items[steps[i].item];
        const int64_t cost = cost_of(&it->shape);
        /* A step that did not fit keeps those behind it out; what is rounding alone is worth nothing. */
        if (it->gains[steps[i].s] <= 1e-10 * it->gains[0] ||
            it->shape.rank != steps[i].s * it->shape.blocks)
            continue;
        if (p->parameters + cost > p->job->budget) continue;
        it->shape.rank += it->shape.blocks;
        p->parameters += cost;
    }
}

static whet_status choose_ranks(whet_ctx *ctx, project *p) {
    int64_t n = 0, cheapest = INT64_MAX;
    step *steps;
    WHET_TRY(measure(ctx, p));
    for (int64_t i = 0; i < p->n; i++) {
        const int64_t cost = cost_of(&p->items[i].shape);
        cheapest = cost < cheapest ? cost : cheapest;
        WHET_TRY(whet_i_add(ctx, n, most_steps(&p->items[i].shape), &n));
    }
    WHET_TRY(whet_i_alloc(ctx, n, &steps));
    n = 0;
    for (int64_t i = 0; i < p->n; i++)
        for (int64_t s = 0; s < most_steps(&p->items[i].shape); s++)
            steps[n++] = (step){p->items[i].gains[s] / (double)cost_of(&p->items[i].shape), i, s};
    qsort(steps, (size_t)n, sizeof *steps, by_worth);
    give_ranks(p, steps, n);
    whet_i_free(ctx, steps);
    if (p->parameters > 0) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_ARG,
                       "a budget of %lld numbers has room for no layer; expected %lld at least",
                       (long long)p->job->budget, (long long)cheapest);
}

/* The same rank everywhere, of layers that have it. */
static whet_status check_ranks(whet_ctx *ctx, project *p) {
    for (int64_t i = 0; i < p->n; i++) {
        const whet_i_adapter_shape *s = &p->items[i].shape;
        char quoted[WHET_QUOTE_SIZE];
        const int64_t most = s->blocks * most_steps(s);
        if (s->rank > most)
            return whet_i_fail(ctx, WHET_ERR_ARG, "layer %s: rank %lld; expected at most %lld",
                               whet_i_quote(quoted, whet_str_from(p->items[i].module)),
                               (long long)s->rank, (long long)most);
        p->parameters += s->blocks * s->rank * (s->p + s->q);
    }
    return WHET_OK;
}

/* ---- the adapter ------------------------------------------------------------------------------ */

static whet_status put_layer(whet_ctx *ctx, const project *p, item *it, whet_adapter *to) {
    const whet_i_adapter_shape *s = &it->shape;
    double *d = NULL, *w1 = NULL, *w2 = NULL;
    int64_t rows, n, m;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(change_of(ctx, &p->base, it, &d));
    it->whole = it->dropped = square_of(d, s->in * s->out);
    if (s->rank == 0) goto done;
    WHET_TRY_DONE(whet_i_mul(ctx, s->blocks, s->rank, &rows));
    WHET_TRY_DONE(whet_i_mul(ctx, rows, s->p, &n));
    WHET_TRY_DONE(whet_i_mul(ctx, rows, s->q, &m));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &w1));
    WHET_TRY_DONE(whet_i_alloc(ctx, m, &w2));
    WHET_TRY_DONE(whet_i_project_blocks(ctx, s, d, w1, w2, &it->dropped));
    status = whet_i_adapter_put(ctx, to, it->module, s, w1, w2);
done:
    whet_i_free(ctx, d);
    whet_i_free(ctx, w1);
    whet_i_free(ctx, w2);
    return status;
}

/* The modules of heads, each once, by what stands before the first point. */
static json_t *head_modules(const project *p) {
    json_t *list = json_array();
    for (int64_t i = 0; i < p->n_heads; i++) {
        const char *name = p->heads[i].name, *end = strrchr(name, '.');
        const size_t length = is_head(name) ? strcspn(name, ".")
                              : end         ? (size_t)(end - name)
                                            : strlen(name);
        json_t *module = json_stringn(name, length);
        bool known = false;
        for (size_t j = 0; j < json_array_size(list); j++)
            known = known || json_equal(json_array_get(list, j), module);
        if (!known) (void)json_array_append(list, module);
        json_decref(module);
    }
    return list;
}

/* What the config of an adapter for the tuned model says: base, heads, classes. */
static whet_status like_tuned(whet_ctx *ctx, const project *p, json_t **out) {
    static const char *const keys[] = {"id2label", "label2id", "problem_type"};
    json_t *config = NULL;
    char *path;
    WHET_TRY(whet_i_join_path(ctx, p->job->tuned, "config.json", &path));
    json_t *like = json_pack("{s:s, s:s}", "base_model_name_or_path", p->job->model,
                             WHET_I_BASE_KEY, p->identity);
    const whet_status status = whet_i_json_read(ctx, path, JSON_BYTES_MAX, &config);
    whet_i_free(ctx, path);
    if (status != WHET_OK && !(status == WHET_ERR_IO && whet_error_errno(ctx) == ENOENT)) {
        json_decref(like);
        return status;
    }
    if (p->n_heads > 0) {
        (void)json_object_set_new(like, "modules_to_save", head_modules(p));
        (void)json_object_set_new(like, "task_type", json_string("SEQ_CLS"));
        for (int64_t i = 0; i < WHET_COUNT_OF(keys); i++)
            if (json_object_get(config, keys[i]))
                (void)json_object_set(like, keys[i], json_object_get(config, keys[i]));
    }
    json_decref(config);
    *out = like;
    return WHET_OK;
}

static whet_status make(whet_ctx *ctx, project *p, whet_adapter **out) {
    const bool more = p->job->form == WHET_ADAPTER_FORM_MORE;
    json_t *like = NULL;
    WHET_TRY(whet_i_adapter_create(ctx, "projected adapter", more, p->n, p->n_heads, out));
    for (int64_t i = 0; i < p->n; i++) {
        WHET_TRY(whet_i_progress(ctx, "project", i, p->n));
        WHET_TRY(put_layer(ctx, p, &p->items[i], *out));
    }
    for (int64_t i = 0; i < p->n_heads; i++)
        WHET_TRY(whet_i_adapter_put_whole(ctx, *out, &p->heads[i]));
    if (p->from) return whet_i_adapter_settle(ctx, *out, p->from->json);
    WHET_TRY(like_tuned(ctx, p, &like));
    const whet_status status = whet_i_adapter_settle(ctx, *out, like);
    json_decref(like);
    return status;
}

/* ---- the report ------------------------------------------------------------------------------- */

static double ratio(double part, double whole) { return whole > 0 ? sqrt(part / whole) : 0; }

static json_t *layers_json(const project *p) {
    json_t *list = json_array();
    for (int64_t i = 0; i < p->n; i++) {
        const item *it = &p->items[i];
        const int64_t parameters = it->shape.blocks * it->shape.rank * (it->shape.p + it->shape.q);
        (void)json_array_append_new(
            list, json_pack("{s:s, s:I, s:I, s:I, s:f, s:f}", "module", it->module, "rank",
                            (json_int_t)it->shape.rank, "blocks", (json_int_t)it->shape.blocks,
                            "parameters", (json_int_t)parameters, "norm", sqrt(it->whole),
                            "residual", ratio(it->dropped, it->whole)));
    }
    return list;
}

static json_t *report_json(const project *p) {
    double whole = 0, dropped = 0;
    json_t *left = json_array();
    for (int64_t i = 0; i < p->n; i++) {
        whole += p->items[i].whole;
        dropped += p->items[i].dropped;
    }
    for (int64_t i = 0; i < p->n_left && i < TOLD_MAX; i++)
        (void)json_array_append_new(left, json_string(p->left[i]));
    return json_pack("{s:s, s:I, s:f, s:o, s:I, s:I, s:f, s:o}", "kind",
                     p->job->form == WHET_ADAPTER_FORM_MORE ? "more" : "lora", "parameters",
                     (json_int_t)p->parameters, "residual", ratio(dropped, whole), "layers",
                     layers_json(p), "heads", (json_int_t)p->n_heads, "left_out",
                     (json_int_t)p->n_left, "left_out_share",
                     ratio(p->left_square, p->left_square + whole), "left_out_names", left);
}

/* ---- all of it -------------------------------------------------------------------------------- */

static whet_status check_job(whet_ctx *ctx, const whet_adapter_project_job *j) {
    if (!j->model || !j->tuned == !j->adapter)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "model, and tuned or adapter; expected the base and one of the two");
    if ((j->rank > 0) == (j->budget > 0) || j->rank < 0 || j->budget < 0 || j->rank > 1 << 16)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "rank %lld, budget %lld; expected one of them above 0",
                           (long long)j->rank, (long long)j->budget);
    if (j->blocks < 0 || j->blocks > 1 << 16 ||
        (j->blocks > 0 && j->form != WHET_ADAPTER_FORM_MORE))
        return whet_i_fail(ctx, WHET_ERR_ARG, "blocks %lld; expected 1 to 65536, of MoRe",
                           (long long)j->blocks);
    return WHET_OK;
}

static void free_project(whet_ctx *ctx, project *p) {
    whet_adapter_close(ctx, p->from);
    whet_i_weight_files_close(ctx, &p->base);
    whet_i_weight_files_close(ctx, &p->tuned);
    whet_i_adapter_config_free(ctx, &p->config);
    whet_i_free(ctx, p->modules);
    whet_i_free(ctx, p->items);
    whet_i_free(ctx, p->heads);
    whet_i_arena_free(ctx, &p->arena);
}

whet_status whet_adapter_project(whet_ctx *ctx, const whet_adapter_project_job *job,
                                 whet_adapter **out, char **report) {
    whet_adapter_project_job j = WHET_ADAPTER_PROJECT_JOB_INIT;
    project p = {.job = &j};
    whet_adapter *made = NULL;
    whet_i_buf text = {0};
    whet_status status = whet_i_opts(ctx, job, &j, sizeof j, "whet_adapter_project_job");
    if (status == WHET_OK) status = check_job(ctx, &j);
    if (status != WHET_OK) return status;
    WHET_TRY_DONE(open_all(ctx, &p));
    if (p.n == 0) {
        status = whet_i_fail(
            ctx, WHET_ERR_DATA,
            "none of the linear layers that the targets match has changed; expected one "
            "that differs from the base's");
        goto done;
    }
    WHET_TRY_DONE(j.budget ? choose_ranks(ctx, &p) : check_ranks(ctx, &p));
    WHET_TRY_DONE(make(ctx, &p, &made));
    if (report) {
        json_t *root = report_json(&p);
        status = whet_i_json_dump(ctx, root, JSON_INDENT(2), &text);
        json_decref(root);
        if (status != WHET_OK) goto done;
        *report = text.data;
        text = (whet_i_buf){0};
    }
    *out = made;
    made = NULL;
done:
    whet_i_buf_free(ctx, &text);
    whet_adapter_close(ctx, made);
    free_project(ctx, &p);
    return status;
}
