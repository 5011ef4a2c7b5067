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
                               "%s: sums with DoRA need the base's rows; expected the base: "
                               "whet_adapter_fit, --model",
                               s->items[i]->path);
    return WHET_OK;
}

static whet_status check_layers(whet_ctx *ctx, sum *s) {
    for (int64_t i = 0; i < s->n; i++) {
        WHET_TRY(whet_i_adapter_check_layers(ctx, s->items[i]));
        if (!isfinite(s->weights[i]))
            return whet_i_fail(ctx, WHET_ERR_ARG, "weight %lld is not finite; expected numbers",
                               (long long)i + 1);
    }
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

static bool same_tensor(const whet_tensor *a, const whet_tensor *b) {
    const size_t bytes = (size_t)whet_tensor_count(a) * whet_dtype_size(a->dtype);
    return a->dtype == b->dtype && whet_tensor_count(a) == whet_tensor_count(b) &&
           memcmp(a->data, b->data, bytes) == 0;
}

/* Biases are changes of the base's, which is not at hand: they are as they should be where their adapters
 * weigh 1 together. */
static whet_status check_changes(whet_ctx *ctx, const sum *s, const whet_i_adapter_whole *w) {
    char quoted[WHET_QUOTE_SIZE];
    double weight = 0;
    if (!whet_i_adapter_changes(w)) return WHET_OK;
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t h = 0; h < s->items[i]->n_wholes; h++)
            if (strcmp(s->items[i]->wholes[h].name, w->name) == 0) weight += s->weights[i];
    if (fabs(weight - 1) < 1e-12) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_ARG,
                       "%s is of weight %g, and only whet tune merge and embed weigh what the base "
                       "has itself; expected weight 1",
                       whet_i_quote(quoted, whet_str_from(w->name)), weight);
}

/* Heads and biases are not added up: those of one adapter, or the same in all that have them. */
static whet_status put_wholes(whet_ctx *ctx, const sum *s, whet_adapter *to) {
    char quoted[WHET_QUOTE_SIZE];
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t h = 0; h < s->items[i]->n_wholes; h++) {
            const whet_i_adapter_whole *w = &s->items[i]->wholes[h], *there = NULL;
            for (int64_t o = 0; o < to->n_wholes; o++)
                if (strcmp(to->wholes[o].name, w->name) == 0) there = &to->wholes[o];
            if (there && !same_tensor(&there->tensor, &w->tensor))
                return whet_i_fail(ctx, WHET_ERR_ARG,
                                   "%s: has another %s than an adapter before it; expected heads "
                                   "and biases of one adapter",
                                   s->items[i]->path, whet_i_quote(quoted, whet_str_from(w->name)));
            WHET_TRY(check_changes(ctx, s, w));
            if (!there) WHET_TRY(whet_i_adapter_put_whole(ctx, to, w));
        }
    return WHET_OK;
}

/* ---- all of it -------------------------------------------------------------------------------- */

static whet_status make_sum(whet_ctx *ctx, sum *s, const whet_names *modules, whet_adapter **out) {
    const json_t *like = s->items[0]->json;
    int64_t wholes = 0;
    for (int64_t i = 0; i < s->n; i++) {
        wholes += s->items[i]->n_wholes;
        if (s->items[i]->n_wholes > 0) like = s->items[i]->json;
    }
    const int64_t n = whet_names_count(modules);
    WHET_TRY(whet_i_adapter_create(ctx, "combined adapters", s->more, n, wholes, out));
    for (int64_t i = 0; i < n; i++) {
        WHET_TRY(whet_i_progress(ctx, "combine", i, n));
        WHET_TRY(sum_layer(ctx, s, whet_names_get(modules, i).ptr, *out));
    }
    if (s->wholes) WHET_TRY(put_wholes(ctx, s, *out));
    return whet_i_adapter_settle(ctx, *out, like);
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
