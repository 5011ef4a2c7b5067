/* SPDX-License-Identifier: Apache-2.0
 * The weighted sum of adapters as one. Sums are of the layers' matrices, never of A and B apart: LoRA's
 * factors stand behind each other, of the sum of ranks; MoRe's too, where all have the same blocks and
 * ranks that are multiples of N: rows of W1[k] behind each other, and column k s + t of W2 where s counts
 * all. Else MoRe goes as the LoRA that it is. With DoRA among them the sum is DoRA (adapter_dora.c). Legend
 * as in adapter_i.h; w an adapter's weight. */
#include <math.h>

#include "tune/adapter_blocks.h"
#include "tune/adapter_parts.h"

/* The adapters, with the form that their sum has. */
typedef struct sum {
    const whet_adapter *const *items;  /* as they are added up */
    const whet_adapter *const *fitted; /* as they were given */
    const double *weights;
    int64_t n;
    bool more, dora, wholes;
    whet_i_weight_files base; /* of DoRA */
    /* of the layer that is being made: factors; of DoRA the base's rows, and what they are multiplied by */
    double *first, *second, *w, *g;
} sum;

/* ---- what fits together ----------------------------------------------------------------------- */

static bool stacks(const whet_i_adapter_shape *a, const whet_i_adapter_shape *b) {
    return a->blocks == b->blocks && a->p == b->p && a->q == b->q && a->rank % a->blocks == 0;
}

static bool can_stack(const sum *s, const whet_names *modules) {
    if (s->dora) return false;
    for (int64_t i = 0; i < s->n; i++)
        if (!s->items[i]->more) return false;
    for (int64_t m = 0; m < whet_names_count(modules); m++) {
        const whet_i_adapter_layer *first = NULL;
        for (int64_t i = 0; i < s->n; i++) {
            const whet_i_adapter_layer *l =
                whet_i_adapter_find(s->items[i], whet_names_get(modules, m).ptr);
            if (l && !stacks(&l->shape, first ? &first->shape : &l->shape)) return false;
            if (l && !first) first = l;
        }
    }
    return true;
}

static whet_status check_bases(whet_ctx *ctx, const sum *s) {
    const char *known = NULL;
    for (int64_t i = 0; i < s->n; i++) {
        const char *base = json_string_value(json_object_get(s->items[i]->json, WHET_I_BASE_KEY));
        if (base && known && strcmp(base, known) != 0)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s: is for another base than the adapters before it; expected one "
                               "base",
                               s->items[i]->path);
        if (base) known = base;
    }
    return WHET_OK;
}

/* DoRA's rows are made of the base's. */
static whet_status check_dora(whet_ctx *ctx, sum *s) {
    for (int64_t i = 0; i < s->n; i++) s->dora = s->dora || whet_i_adapter_is_dora(s->items[i]);
    for (int64_t i = 0; s->dora && i < s->n; i++)
        if (!s->items[i]->model)
            return whet_i_fail(ctx, WHET_ERR_ARG,
                               "%s: sums with DoRA need the base's rows; expected the base; try "
                               "--model",
                               s->items[i]->path);
    return WHET_OK;
}

whet_status whet_i_adapter_check_weights(whet_ctx *ctx, const double *weights, int64_t n) {
    static const double most = 1e6;
    for (int64_t i = 0; weights && i < n; i++)
        if (!(fabs(weights[i]) <= most))
            return whet_i_fail(ctx, WHET_ERR_ARG, "weight %g of adapter %lld; expected -1e6 to 1e6",
                               weights[i], (long long)i + 1);
    return WHET_OK;
}

static whet_status check_layers(whet_ctx *ctx, sum *s) {
    WHET_TRY(whet_i_adapter_check_weights(ctx, s->weights, s->n));
    for (int64_t i = 0; i < s->n; i++) WHET_TRY(whet_i_adapter_check_layers(ctx, s->items[i]));
    WHET_TRY(check_dora(ctx, s));
    return check_bases(ctx, s);
}

static whet_status list_modules(whet_ctx *ctx, const sum *s, whet_names *modules) {
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t l = 0; l < s->items[i]->n_layers; l++)
            WHET_TRY(
                whet_names_add(ctx, modules, whet_str_from(s->items[i]->layers[l].module), NULL));
    return WHET_OK;
}

/* ---- one layer -------------------------------------------------------------------------------- */

/* Products `at` onward of all, of a layer that has so many less; LoRA is MoRe of one block here. */
static void put_part(const sum *s, const whet_i_adapter_shape *all, const whet_i_adapter_layer *l,
                     double weight, int64_t at, const double *first, const double *second) {
    const whet_i_adapter_shape *o = &l->shape;
    const int64_t N = all->blocks, each = o->rank / N, sums = all->rank / N;
    for (int64_t k = 0; k < N; k++)
        memcpy(s->first + (k * all->rank + at * N) * all->p, first + k * o->rank * o->p,
               (size_t)(o->rank * o->p) * sizeof *first);
    for (int64_t row = 0; row < N * all->q; row++)
        for (int64_t k = 0; k < N; k++)
            for (int64_t t = 0; t < each; t++)
                s->second[row * all->rank + k * sums + at + t] =
                    weight * l->scale * second[row * o->rank + k * each + t];
}

/* The rank of the sum, with the sizes of the first. */
static bool shape_of(const sum *s, const char *module, whet_i_adapter_shape *all) {
    bool fits = true, any = false;
    for (int64_t i = 0; i < s->n; i++) {
        const whet_i_adapter_layer *l = whet_i_adapter_find(s->items[i], module);
        if (!l) continue;
        if (!any)
            *all = l->shape;
        else
            all->rank += l->shape.rank;
        fits = fits && l->shape.in == all->in && l->shape.out == all->out;
        any = true;
    }
    return any && fits;
}

/* Of DoRA: rows of `second` times what the layer's rows are multiplied by, which g gains. */
static whet_status scale_rows(whet_ctx *ctx, const sum *s, const whet_i_adapter_layer *l,
                              double weight, const double *first, double *second) {
    const whet_i_adapter_shape *o = &l->shape;
    double *factors;
    WHET_TRY(whet_i_alloc(ctx, o->out, &factors));
    const whet_status status = whet_i_row_factors(ctx, l, s->w, first, second, factors);
    for (int64_t row = 0; status == WHET_OK && row < o->out; row++) {
        for (int64_t t = 0; t < o->rank; t++) second[row * o->rank + t] *= factors[row];
        s->g[row] += weight * (factors[row] - 1);
    }
    whet_i_free(ctx, factors);
    return status;
}

static whet_status fill_layer(whet_ctx *ctx, const sum *s, const char *module,
                              const whet_i_adapter_shape *all) {
    int64_t at = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const whet_i_adapter_layer *l = whet_i_adapter_find(s->items[i], module);
        double *first = NULL, *second = NULL;
        if (!l) continue;
        whet_status status = whet_i_adapter_factors(ctx, l, &first, &second);
        if (status == WHET_OK && s->dora)
            status = scale_rows(ctx, s, l, s->weights[i], first, second);
        if (status == WHET_OK) put_part(s, all, l, s->weights[i], at, first, second);
        whet_i_free(ctx, first);
        whet_i_free(ctx, second);
        WHET_TRY(status);
        at += l->shape.rank / all->blocks;
    }
    return WHET_OK;
}

/* The base's rows of a module, as one of the fitted adapters calls it, and g = 1. */
static whet_status begin_dora(whet_ctx *ctx, sum *s, const char *module,
                              const whet_i_adapter_shape *all) {
    const whet_i_adapter_layer *fitted = NULL;
    for (int64_t i = 0; i < s->n && !fitted; i++)
        fitted = whet_i_adapter_find(s->fitted[i], module);
    WHET_TRY(whet_i_base_rows(ctx, &s->base, fitted, &s->w));
    WHET_TRY(whet_i_alloc(ctx, all->out, &s->g));
    for (int64_t o = 0; o < all->out; o++) s->g[o] = 1;
    return WHET_OK;
}

static whet_status sum_layer(whet_ctx *ctx, sum *s, const char *module, whet_adapter *to) {
    whet_i_adapter_shape all = {.blocks = 1};
    char quoted[WHET_QUOTE_SIZE];
    int64_t rows, n, m;
    whet_status status = WHET_OK;
    if (!shape_of(s, module, &all))
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "layer %s has other sizes in one adapter than in another; expected "
                           "adapters for one base",
                           whet_i_quote(quoted, whet_str_from(module)));
    WHET_TRY(whet_i_mul(ctx, all.blocks, all.rank, &rows));
    WHET_TRY(whet_i_mul(ctx, rows, all.p, &n));
    WHET_TRY(whet_i_mul(ctx, rows, all.q, &m));
    WHET_TRY_DONE(whet_i_calloc(ctx, n, &s->first));
    WHET_TRY_DONE(whet_i_calloc(ctx, m, &s->second));
    if (s->dora) WHET_TRY_DONE(begin_dora(ctx, s, module, &all));
    WHET_TRY_DONE(fill_layer(ctx, s, module, &all));
    status = s->dora ? whet_i_dora_put(ctx, to, module, &all, s->w, s->g, s->first, s->second)
                     : whet_i_adapter_put(ctx, to, module, &all, s->first, s->second);
done:
    whet_i_free(ctx, s->first);
    whet_i_free(ctx, s->second);
    whet_i_free(ctx, s->w);
    whet_i_free(ctx, s->g);
    s->first = s->second = s->w = s->g = NULL;
    return status;
}

/* ---- heads ------------------------------------------------------------------------------------ */

/* all [count] += weight x tensor */
static whet_status add_scaled(whet_ctx *ctx, const whet_tensor *t, double weight, double *all) {
    whet_tensor copy;
    WHET_TRY(whet_tensor_convert(ctx, t, WHET_F64, &copy));
    for (int64_t i = 0; i < whet_tensor_count(t); i++)
        all[i] += weight * ((const double *)copy.data)[i];
    whet_tensor_destroy(ctx, &copy);
    return WHET_OK;
}

/* Biases are changes of the base's, which is not at hand: where their adapters weigh 1 together, it does not
 * count. */
static whet_status put_bias(whet_ctx *ctx, const sum *s, const whet_i_adapter_whole *bias,
                            whet_adapter *to) {
    const int64_t n = whet_tensor_count(&bias->tensor);
    whet_i_adapter_whole made = *bias;
    char quoted[WHET_QUOTE_SIZE];
    double *all, weight = 0;
    WHET_TRY(whet_i_calloc(ctx, n, &all));
    whet_status status = WHET_OK;
    for (int64_t i = 0; status == WHET_OK && i < s->n; i++) {
        const whet_i_adapter_whole *w = whet_i_adapter_find_whole(s->items[i], bias->name);
        if (!w) continue;
        weight += s->weights[i];
        if (whet_tensor_count(&w->tensor) == n)
            status = add_scaled(ctx, &w->tensor, s->weights[i], all);
        else
            status = whet_i_fail(ctx, WHET_ERR_SHAPE,
                                 "%s: %s has another length than in an adapter before it; "
                                 "expected adapters for one base",
                                 s->items[i]->path, whet_i_quote(quoted, whet_str_from(w->name)));
    }
    if (status == WHET_OK && fabs(weight - 1) > 1e-12)
        status =
            whet_i_fail(ctx, WHET_ERR_ARG,
                        "%s is of weight %g, and only whet tune merge and embed weigh what the "
                        "base has itself; expected weights that sum to 1",
                        whet_i_quote(quoted, whet_str_from(bias->name)), weight);
    const whet_tensor wide = {.data = all, .dtype = WHET_F64, .rank = 1, .shape = {n}};
    if (status == WHET_OK) status = whet_tensor_convert(ctx, &wide, WHET_F32, &made.tensor);
    if (status == WHET_OK) {
        status = whet_i_adapter_put_whole(ctx, to, &made);
        whet_tensor_destroy(ctx, &made.tensor);
    }
    whet_i_free(ctx, all);
    return status;
}

/* Heads are not added up: those of one adapter, or the same in all that have them. */
static whet_status put_wholes(whet_ctx *ctx, const sum *s, whet_adapter *to) {
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t h = 0; h < s->items[i]->n_wholes; h++) {
            const whet_i_adapter_whole *w = &s->items[i]->wholes[h];
            if (whet_i_adapter_find_whole(to, w->name)) continue;
            WHET_TRY(whet_i_adapter_changes(w) ? put_bias(ctx, s, w, to)
                                               : whet_i_adapter_put_whole(ctx, to, w));
        }
    return WHET_OK;
}

/* The modules of all, each once, into an empty list; not 0 where memory is short. */
static int unite_saved(const sum *s, json_t *list) {
    int failed = 0;
    for (int64_t i = 0; i < s->n; i++) {
        json_t *names = json_object_get(s->items[i]->json, "modules_to_save"), *name;
        size_t k;
        json_array_foreach(names, k, name) {
            bool there = false;
            for (size_t o = 0; o < json_array_size(list); o++)
                there = there || json_equal(json_array_get(list, o), name);
            if (!there && json_array_append(list, name) != 0) failed = 1;
        }
    }
    return failed;
}

/* What the sum's config says of heads and biases: the first adapter's that has heads, or else biases, with
 * the modules of all. */
static whet_status describe_wholes(whet_ctx *ctx, const sum *s, json_t **out) {
    const whet_adapter *like = s->items[0], *biased = NULL;
    for (int64_t i = s->n - 1; i >= 0; i--) {
        const whet_adapter *a = s->items[i];
        if (whet_i_adapter_has_heads(a) || (a->n_wholes > 0 && !whet_i_adapter_has_heads(like)))
            like = a;
        for (int64_t h = 0; h < a->n_wholes; h++)
            if (whet_i_adapter_changes(&a->wholes[h])) biased = a;
    }
    json_t *json = json_deep_copy(like->json), *saved = json_array();
    json_t *bias = biased ? json_object_get(biased->json, "bias") : NULL;
    bool failed = !json || !saved || unite_saved(s, saved) != 0;
    if (!failed && json_array_size(saved) > 0)
        failed = json_object_set(json, "modules_to_save", saved) != 0;
    if (!failed && bias) failed = json_object_set(json, "bias", bias) != 0;
    json_decref(saved);
    if (!failed) {
        *out = json;
        return WHET_OK;
    }
    json_decref(json);
    return whet_i_fail(ctx, WHET_ERR_NOMEM, "out of memory: adapter_config.json");
}

/* ---- all of it -------------------------------------------------------------------------------- */

static whet_status make_sum(whet_ctx *ctx, sum *s, const whet_names *modules, whet_adapter **out) {
    int64_t wholes = 0;
    json_t *like;
    for (int64_t i = 0; i < s->n; i++) wholes += s->items[i]->n_wholes;
    const int64_t n = whet_names_count(modules);
    WHET_TRY(whet_i_adapter_create(ctx, "combined adapters", s->more, n, wholes, out));
    for (int64_t i = 0; i < n; i++) {
        WHET_TRY(whet_i_progress(ctx, "combine", i, n));
        WHET_TRY(sum_layer(ctx, s, whet_names_get(modules, i).ptr, *out));
    }
    if (s->wholes) WHET_TRY(put_wholes(ctx, s, *out));
    WHET_TRY(describe_wholes(ctx, s, &like));
    const whet_status status = whet_i_adapter_settle(ctx, *out, like);
    json_decref(like);
    return status;
}

/* MoRe as LoRA where they cannot be stacked; the others as they are. */
static whet_status as_lora(whet_ctx *ctx, const sum *s, whet_adapter **owned,
                           const whet_adapter **items) {
    for (int64_t i = 0; i < s->n; i++) {
        items[i] = s->items[i];
        if (!s->items[i]->more) continue;
        WHET_TRY(whet_adapter_convert(ctx, s->items[i], NULL, &owned[i], NULL));
        items[i] = owned[i];
    }
    return WHET_OK;
}

whet_status whet_adapter_combine(whet_ctx *ctx, const whet_adapter *const *adapters,
                                 const double *weights, int64_t n, whet_adapter **out) {
    return whet_i_adapter_sum(ctx, adapters, weights, n, true, out);
}

whet_status whet_i_adapter_sum(whet_ctx *ctx, const whet_adapter *const *adapters,
                               const double *weights, int64_t n, bool wholes, whet_adapter **out) {
    enum { MOST = 256 };
    whet_adapter *owned[MOST] = {NULL}, *made = NULL;
    const whet_adapter *items[MOST] = {NULL};
    whet_names *modules = NULL;
    sum s = {.items = adapters, .fitted = adapters, .weights = weights, .n = n, .wholes = wholes};
    whet_status status = WHET_OK;
    if (n < 1 || n > MOST)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%lld adapters; expected 1 to %d", (long long)n,
                           MOST);
    WHET_TRY(check_layers(ctx, &s));
    if (wholes) WHET_TRY(whet_i_adapters_check_heads(ctx, adapters, n));
    if (s.dora) WHET_TRY_DONE(whet_i_weight_files_open(ctx, adapters[0]->model, &s.base));
    WHET_TRY_DONE(whet_names_create(ctx, &modules));
    WHET_TRY_DONE(list_modules(ctx, &s, modules));
    s.more = can_stack(&s, modules);
    if (!s.more) {
        WHET_TRY_DONE(as_lora(ctx, &s, owned, items));
        s.items = items;
    }
    WHET_TRY_DONE(make_sum(ctx, &s, modules, &made));
    *out = made;
    made = NULL;
done:
    for (int64_t i = 0; i < n; i++) whet_adapter_close(ctx, owned[i]);
    whet_i_weight_files_close(ctx, &s.base);
    whet_names_destroy(ctx, modules);
    whet_adapter_close(ctx, made);
    return status;
}
