/* SPDX-License-Identifier: Apache-2.0
 * Parameters: declared by models, bound to files or drawn, packed for the kernels.
 * Legend: n rows and k columns of a weight. */
#include "nn/params_i.h"

#include <math.h>
#include <stdio.h>

#include "nn/shape_text.h"

enum {
    FEW = 1 << 17 /* numbers to pack */,
    NAME_SIZE = 512,
    LIVE_STEP = 8 /* the optimizer's sums run in so many chains */
};

whet_status whet_i_params_create(whet_ctx *ctx, whet_dtype dtype, whet_i_params **out) {
    whet_i_params *p;
    WHET_TRY(whet_i_calloc(ctx, 1, &p));
    p->kernels = whet_i_kernels(ctx);
    p->dtype = dtype;
    const whet_status status = whet_names_create(ctx, &p->names);
    if (status != WHET_OK) {
        whet_i_free(ctx, p);
        return status;
    }
    *out = p;
    return WHET_OK;
}

void whet_i_params_destroy(whet_ctx *ctx, whet_i_params *params) {
    if (!params) return;
    for (int64_t i = 0; i < params->n; i++) {
        whet_i_free(ctx, params->items[i].gradient);
        whet_i_free(ctx, params->items[i].live);
        if (!params->items[i].borrowed) whet_i_free(ctx, params->items[i].values);
    }
    for (int64_t i = 0; i < params->n_weights; i++) {
        whet_i_free(ctx, params->weights[i].forward);
        whet_i_free(ctx, params->weights[i].backward);
    }
    whet_i_free(ctx, params->pack_space);
    whet_i_free(ctx, params->pack_items);
    whet_i_free(ctx, params->items);
    whet_i_free(ctx, params->weights);
    whet_names_destroy(ctx, params->names);
    whet_i_arena_free(ctx, &params->arena);
    whet_i_free(ctx, params);
}

/* ---- declaring -------------------------------------------------------------------------------- */

static whet_status same_shape(whet_ctx *ctx, const whet_i_param *p, const whet_i_param_spec *spec) {
    char found[WHET_I_SHAPE_TEXT], expected[WHET_I_SHAPE_TEXT];
    bool same = p->rank == spec->rank;
    for (int32_t i = 0; same && i < p->rank; i++) same = p->shape[i] == spec->shape[i];
    if (same) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_INTERNAL, "parameter \"%s\" is %s; expected %s", p->name,
                       whet_i_shape_text(found, p->rank, p->shape),
                       whet_i_shape_text(expected, spec->rank, spec->shape));
}

static whet_status append(whet_ctx *ctx, whet_i_params *params, const whet_i_param_spec *spec,
                          const char *name) {
    if (params->n == params->cap) {
        const int64_t cap = params->cap ? 2 * params->cap : 64;
        WHET_TRY(whet_i_realloc(ctx, &params->items, cap));
        params->cap = cap;
    }
    whet_i_param p = {.name = name,
                      .rank = spec->rank,
                      .count = 1,
                      .init = spec->init,
                      .init_scale = spec->init_scale,
                      .decays = spec->rank > 1,
                      .rate = 1,
                      .statistics = spec->statistics};
    for (int32_t i = 0; i < spec->rank; i++) {
        p.shape[i] = spec->shape[i];
        WHET_TRY(whet_i_mul(ctx, p.count, spec->shape[i], &p.count));
    }
    params->items[params->n++] = p;
    return WHET_OK;
}

whet_status whet_i_params_add(whet_ctx *ctx, whet_i_params *params, const whet_i_param_spec *spec,
                              whet_i_param_id *out) {
    int64_t index = whet_names_find(params->names, whet_str_from(spec->name));
    if (index >= 0) {
        WHET_TRY(same_shape(ctx, &params->items[index], spec));
        *out = (whet_i_param_id)index;
        return WHET_OK;
    }
    const whet_str text = whet_str_from(spec->name);
    char *name;
    WHET_TRY(whet_i_arena_alloc(ctx, &params->arena, text.len + 1, 1, &name));
    memcpy(name, text.ptr, (size_t)text.len + 1);
    WHET_TRY(append(ctx, params, spec, name));
    const whet_status status = whet_names_add(ctx, params->names, text, &index);
    if (status != WHET_OK) params->n--;
    if (status == WHET_OK) *out = (whet_i_param_id)index;
    return status;
}

whet_i_param_id whet_i_params_find(const whet_i_params *params, const char *name) {
    return (whet_i_param_id)whet_names_find(params->names, whet_str_from(name));
}

whet_status whet_i_params_join(whet_ctx *ctx, whet_i_params *params, whet_i_param_id first,
                               int32_t count) {
    if (params->items[first].joined >= count) return WHET_OK;
    if (params->items[first].values)
        return whet_i_fail(ctx, WHET_ERR_INTERNAL, "parameter \"%s\" is joined too late",
                           params->items[first].name);
    params->items[first].joined = count;
    return WHET_OK;
}

whet_status whet_i_params_weight(whet_ctx *ctx, whet_i_params *params, whet_i_param_id first,
                                 int32_t parts, int32_t *out) {
    for (int64_t i = 0; i < params->n_weights; i++) {
        if (params->weights[i].first != first || params->weights[i].parts != parts) continue;
        *out = (int32_t)i;
        return WHET_OK;
    }
    if (params->n_weights == params->cap_weights) {
        const int64_t cap = params->cap_weights ? 2 * params->cap_weights : 32;
        WHET_TRY(whet_i_realloc(ctx, &params->weights, cap));
        params->cap_weights = cap;
    }
    whet_i_weight w = {.first = first, .parts = parts, .k = params->items[first].shape[1]};
    for (int32_t i = 0; i < parts; i++) {
        if (params->items[first + i].shape[1] != w.k)
            return whet_i_fail(ctx, WHET_ERR_INTERNAL, "weight \"%s\": parts of several widths",
                               params->items[first].name);
        w.n += params->items[first + i].shape[0];
    }
    for (int32_t i = 0; i < parts; i++) {
        whet_i_param *p = &params->items[first + i];
        p->by_product = true;
        if (p->live) memset(p->live, 1, (size_t)p->shape[0]);
    }
    *out = (int32_t)params->n_weights;
    params->weights[params->n_weights++] = w;
    return WHET_OK;
}

/* ---- files ------------------------------------------------------------------------------------ */

static whet_status bind_one(whet_ctx *ctx, whet_i_param *p, const whet_tensor *t, const char *file,
                            const char *name) {
    char found[WHET_I_SHAPE_TEXT], expected[WHET_I_SHAPE_TEXT];
    bool same = t->rank == p->rank;
    for (int32_t i = 0; same && i < p->rank; i++) same = t->shape[i] == p->shape[i];
    if (!same)
        return whet_i_fail(ctx, WHET_ERR_SHAPE, "%s: tensor \"%s\" is %s; expected %s", file, name,
                           whet_i_shape_text(found, t->rank, t->shape),
                           whet_i_shape_text(expected, p->rank, p->shape));
    if (t->dtype != WHET_F32 && t->dtype != WHET_F16 && t->dtype != WHET_BF16)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "%s: tensor \"%s\" is %s; expected f32, f16 or bf16", file, name,
                           whet_dtype_name(t->dtype));
    p->source = *t;
    return WHET_OK;
}

/* Or as TensorFlow's checkpoints called it, and those of BERT's time still do: LayerNorm.gamma, beta; `full`
 * is then that name. */
static bool find_old_or_new(const whet_safetensors *tensors, char full[NAME_SIZE],
                            whet_tensor *out) {
    static const char *const names[][2] = {{"LayerNorm.weight", "LayerNorm.gamma"},
                                           {"LayerNorm.bias", "LayerNorm.beta"}};
    const size_t n = strlen(full);
    if (whet_safetensors_find(tensors, full, out)) return true;
    for (int64_t i = 0; i < WHET_COUNT_OF(names); i++) {
        const size_t m = strlen(names[i][0]);
        if (n < m || strcmp(full + n - m, names[i][0]) != 0) continue;
        (void)snprintf(full + n - m, NAME_SIZE - (n - m), "%s", names[i][1]);
        return whet_safetensors_find(tensors, full, out);
    }
    return false;
}

/* The tensor of a name that in the file may carry `prefix`, or lack it. */
static bool find_tensor(const whet_safetensors *tensors, const char *prefix, const char *name,
                        char full[NAME_SIZE], whet_tensor *out) {
    const size_t length = strlen(prefix);
    (void)snprintf(full, NAME_SIZE, "%s", name);
    if (find_old_or_new(tensors, full, out)) return true;
    if (length && strncmp(name, prefix, length) == 0)
        (void)snprintf(full, NAME_SIZE, "%s", name + length);
    else if (length)
        (void)snprintf(full, NAME_SIZE, "%s%s", prefix, name);
    if (length && find_old_or_new(tensors, full, out)) return true;
    (void)snprintf(full, NAME_SIZE, "%s", name);
    return false;
}

whet_status whet_i_params_bind(whet_ctx *ctx, whet_i_params *params,
                               const whet_safetensors *tensors, const char *file,
                               const char *prefix, int64_t *missing) {
    char full[NAME_SIZE], expected[WHET_I_SHAPE_TEXT];
    int64_t absent = 0;
    for (int64_t i = 0; i < params->n; i++) {
        whet_i_param *p = &params->items[i];
        whet_tensor t;
        if (p->source.data || p->filled) continue;
        if (find_tensor(tensors, prefix, p->name, full, &t)) {
            WHET_TRY(bind_one(ctx, p, &t, file, full));
            continue;
        }
        absent++;
        if (!missing && p->init == WHET_I_INIT_REQUIRED)
            return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: tensor \"%s\" is missing; expected %s",
                               file, full, whet_i_shape_text(expected, p->rank, p->shape));
    }
    if (missing) *missing = absent;
    return WHET_OK;
}

/* Numbers first .. first + n of a tensor in a file, whose bytes may be unaligned for their type. */
static void read_source(const whet_i_params *params, const whet_tensor *t, int64_t first, int64_t n,
                        whet_i_real *out) {
    const char *at = (const char *)t->data + (size_t)first * whet_dtype_size(t->dtype);
    float wide[256];
    uint16_t half[256];
    for (int64_t i = 0; i < n; i += WHET_COUNT_OF(wide)) {
        const int64_t len = n - i < WHET_COUNT_OF(wide) ? n - i : WHET_COUNT_OF(wide);
        if (t->dtype == WHET_F32) {
            memcpy(wide, at + (size_t)i * sizeof *wide, (size_t)len * sizeof *wide);
        } else {
            memcpy(half, at + (size_t)i * sizeof *half, (size_t)len * sizeof *half);
            (t->dtype == WHET_F16 ? params->kernels->f32_from_f16
                                  : params->kernels->f32_from_bf16)(len, half, wide);
        }
        for (int64_t j = 0; j < len; j++) out[i + j] = (whet_i_real)wide[j];
    }
}

void whet_i_param_read(const whet_i_params *params, whet_i_param_id id, int64_t first, int64_t n,
                       whet_i_real *out) {
    const whet_i_param *p = &params->items[id];
    if (p->values)
        memcpy(out, p->values + first, (size_t)n * sizeof *out);
    else
        read_source(params, &p->source, first, n, out);
}

/* ---- values ----------------------------------------------------------------------------------- */

static void draw(whet_i_param *p, uint64_t seed) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, seed, whet_i_hash_bytes(p->name, (int64_t)strlen(p->name)));
    for (int64_t i = 0; i < p->count; i++) {
        double x = 0;
        if (p->init == WHET_I_INIT_ONE) x = 1;
        if (p->init == WHET_I_INIT_NORMAL) x = p->init_scale * whet_i_rng_normal(&rng);
        if (p->init == WHET_I_INIT_UNIFORM) x = p->init_scale * (2 * whet_i_rng_uniform(&rng) - 1);
        p->values[i] = (whet_i_real)x;
    }
}

/* What a frozen matrix with a file does not need: its packed form and single rows are made from the
 * file. */
static bool needs_values(const whet_i_param *p) {
    return p->trainable || p->rank != 2 || !p->source.data;
}

static whet_status give_memory(whet_ctx *ctx, whet_i_params *params, int64_t index) {
    whet_i_param *p = &params->items[index];
    int64_t count = p->count, at = p->count;
    for (int32_t i = 1; i < p->joined; i++) WHET_TRY(whet_i_add(ctx, count, p[i].count, &count));
    WHET_TRY(whet_i_alloc(ctx, count, &p->values));
    for (int32_t i = 1; i < p->joined; i++) {
        p[i].values = p->values + at;
        p[i].borrowed = true;
        at += p[i].count;
    }
    return WHET_OK;
}

static whet_status settle_one(whet_ctx *ctx, whet_i_params *params, int64_t index, uint64_t seed) {
    whet_i_param *p = &params->items[index];
    if (!p->filled && needs_values(p)) {
        if (!p->source.data && p->init == WHET_I_INIT_REQUIRED)
            return whet_i_fail(ctx, WHET_ERR_FORMAT, "parameter \"%s\" has no values", p->name);
        if (!p->values) WHET_TRY(give_memory(ctx, params, index));
        if (p->source.data)
            read_source(params, &p->source, 0, p->count, p->values);
        else
            draw(p, seed);
        p->filled = true;
    }
    if (p->trainable && !p->gradient) WHET_TRY(whet_i_calloc(ctx, p->count, &p->gradient));
    if (p->trainable && !p->live && p->by_rows && !p->by_product && p->shape[1] % LIVE_STEP == 0)
        WHET_TRY(whet_i_calloc(ctx, p->shape[0], &p->live));
    return WHET_OK;
}

whet_status whet_i_params_settle(whet_ctx *ctx, whet_i_params *params, uint64_t seed) {
    for (int64_t i = 0; i < params->n; i++) WHET_TRY(settle_one(ctx, params, i, seed));
    return WHET_OK;
}

int64_t whet_i_params_trainable(const whet_i_params *params) {
    int64_t sum = 0;
    for (int64_t i = 0; i < params->n; i++)
        if (params->items[i].trainable) sum += params->items[i].count;
    return sum;
}

/* ---- packing ---------------------------------------------------------------------------------- */

/* One item is one panel of one form of one weight. Panels of the forward form are cut from rows of
 * w, those of the backward form from columns; a panel may span parts. */
typedef struct pack_item {
    const whet_i_weight *weight;
    int64_t panel;
    bool backward;
} pack_item;

typedef struct packing {
    const whet_i_params *params;
    pack_item *items;
    whet_i_real *space; /* [workers, WHET_I_PANEL x longest] */
    int64_t space_count;
} packing;

static bool is_half(const whet_i_params *params) { return params->dtype == WHET_BF16; }

/* rows [n, k] of the stacked parts from row `first` on, into to (rows k apart). */
static void gather_rows(const whet_i_params *params, const whet_i_weight *w, int64_t first,
                        int64_t n, whet_i_real *to) {
    int64_t base = 0;
    for (int32_t i = 0; i < w->parts; i++) {
        const int64_t rows = params->items[w->first + i].shape[0];
        for (int64_t r = first; r < first + n; r++)
            if (r >= base && r < base + rows)
                whet_i_param_read(params, w->first + i, (r - base) * w->k, w->k,
                                  to + (r - first) * w->k);
        base += rows;
    }
}

/* columns [n, count] of the stacked parts from column `first` on, into to (rows `count` apart). */
static void gather_columns(const whet_i_params *params, const whet_i_weight *w, int64_t first,
                           int64_t count, whet_i_real *to) {
    int64_t row = 0;
    for (int32_t i = 0; i < w->parts; i++)
        for (int64_t r = 0; r < params->items[w->first + i].shape[0]; r++, row++)
            whet_i_param_read(params, w->first + i, r * w->k + first, count, to + row * count);
}

static void pack_one(void *arg, int64_t index, int32_t worker) {
    const packing *p = arg;
    const pack_item *item = &p->items[index];
    const whet_i_weight *w = item->weight;
    const whet_kernels *kernels = p->params->kernels;
    whet_i_real *space = p->space + worker * p->space_count;
    const int64_t n = item->backward ? w->k : w->n, k = item->backward ? w->n : w->k;
    const int64_t first = item->panel * WHET_I_PANEL;
    const int64_t rows = n - first < WHET_I_PANEL ? n - first : WHET_I_PANEL;
    const int64_t at = item->panel * whet_i_panel_step(k);
    const whet_i_real *from = w->parts == 1 ? p->params->items[w->first].values : NULL;
    int64_t row = item->backward ? 1 : k, column = 1;
    if (from) { /* as it lies */
        from += item->backward ? first : first * k;
        if (item->backward) column = w->k;
    } else if (item->backward) {
        gather_columns(p->params, w, first, rows, space);
        column = rows;
    } else {
        gather_rows(p->params, w, first, rows, space);
    }
    if (!from) from = space;
    void *to = item->backward ? w->backward : w->forward;
    if (is_half(p->params))
        kernels->pack_bf16(rows, k, from, row, column, (uint16_t *)to + at);
    else
        kernels->pack_f32(rows, k, from, row, column, (whet_i_real *)to + at);
}

static whet_status make_room(whet_ctx *ctx, const whet_i_params *params, int64_t n, int64_t k,
                             void **packed) {
    int64_t rows, count;
    if (*packed) return WHET_OK;
    WHET_TRY(whet_i_add(ctx, n, WHET_I_PANEL, &rows));
    WHET_TRY(whet_i_mul(ctx, rows, k + 1, &count)); /* that the count below is representable */
    return whet_i_alloc_(ctx, whet_i_packed_count(n, k),
                         is_half(params) ? sizeof(uint16_t) : sizeof(whet_i_real), false, packed);
}

static int64_t panels_of(int64_t n) { return (n + WHET_I_PANEL - 1) / WHET_I_PANEL; }

static bool trains(const whet_i_params *params, const whet_i_weight *w) {
    bool any = false;
    for (int32_t i = 0; i < w->parts; i++) any |= params->items[w->first + i].trainable;
    return any;
}

/* Lists what is to be packed; items NULL = counts only. */
static int64_t list_items(const whet_i_params *params, pack_item *items, int64_t *longest) {
    int64_t n = 0;
    for (int64_t i = 0; i < params->n_weights; i++) {
        const whet_i_weight *w = &params->weights[i];
        for (int back = 0; back < 2; back++) {
            const bool need = back ? w->need_backward : w->need_forward;
            const bool packed = back ? w->packed_backward : w->packed_forward;
            if (!need || (packed && !trains(params, w))) continue;
            const int64_t length = back ? w->n : w->k, count = panels_of(back ? w->k : w->n);
            if (length > *longest) *longest = length;
            for (int64_t panel = 0; panel < count; panel++, n++)
                if (items) items[n] = (pack_item){w, panel, back == 1};
        }
    }
    return n;
}

/* What packing works in is kept: training packs after every step. */
static whet_status reserve(whet_ctx *ctx, whet_i_params *params, int64_t n, int64_t longest) {
    int64_t total;
    if (n > params->pack_cap) {
        WHET_TRY(whet_i_realloc_(ctx, &params->pack_items, n, sizeof(pack_item)));
        params->pack_cap = n;
    }
    WHET_TRY(whet_i_mul(ctx, whet_ctx_threads(ctx), WHET_I_PANEL * longest, &total));
    if (total > params->pack_space_count) {
        WHET_TRY(whet_i_realloc(ctx, &params->pack_space, total));
        params->pack_space_count = total;
    }
    return WHET_OK;
}

whet_status whet_i_params_pack(whet_ctx *ctx, whet_i_params *params) {
    int64_t longest = 0;
    const int64_t n = list_items(params, NULL, &longest);
    if (n == 0) return WHET_OK;
    for (int64_t i = 0; i < params->n_weights; i++) {
        whet_i_weight *w = &params->weights[i];
        if (w->need_forward) WHET_TRY(make_room(ctx, params, w->n, w->k, &w->forward));
        if (w->need_backward) WHET_TRY(make_room(ctx, params, w->k, w->n, &w->backward));
    }
    WHET_TRY(reserve(ctx, params, n, longest));
    packing p = {params, params->pack_items, params->pack_space, WHET_I_PANEL * longest};
    (void)list_items(params, p.items, &longest);
    if (n * p.space_count > FEW) /* else it is done before another thread has woken up */
        WHET_TRY(whet_i_parallel_for(ctx, NULL, n, pack_one, &p));
    else
        for (int64_t i = 0; i < n; i++) pack_one(&p, i, 0);
    for (int64_t i = 0; i < params->n_weights; i++) {
        params->weights[i].packed_forward = params->weights[i].need_forward;
        params->weights[i].packed_backward = params->weights[i].need_backward;
    }
    return WHET_OK;
}
