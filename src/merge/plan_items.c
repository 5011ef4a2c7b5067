/* SPDX-License-Identifier: Apache-2.0
 * The tensors of the output: for whole models, those of the base or first model, which all others must
 * have in the same shape; for stacked slices, each layer of each slice under its new number, and what is
 * outside the layers from the first slice (tables of words) and the last (norms and heads). */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "merge/merge_plan.h"

/* Of what does not fit a sentence has room for so much. */
enum { NAME_MAX_LEN = 1100, LISTED = 700 };

whet_status whet_i_plan_mismatch(whet_ctx *ctx, whet_merge_plan *plan, const char *format, ...) {
    char text[LISTED];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    plan->n_mismatches++;
    whet_i_log(ctx, WHET_LOG_WARN, "%s", text);
    if (plan->mismatches.len && plan->mismatches.len + n >= LISTED) return WHET_OK;
    plan->n_listed++;
    return whet_i_buf_printf(ctx, &plan->mismatches, "%s%s", plan->mismatches.len ? "; " : "",
                             text);
}

/* "[3, 4]"; out holds 160 bytes. */
static const char *shape_text(char out[160], const whet_tensor *t) {
    int used = snprintf(out, 160, "[");
    for (int32_t d = 0; d < t->rank && used < 140; d++)
        used += snprintf(out + used, 160 - (size_t)used, "%s%lld", d ? ", " : "",
                         (long long)t->shape[d]);
    (void)snprintf(out + used, 160 - (size_t)used, "]");
    return out;
}

/* Not learned: the same in all models of a kind, whether or not they write it down. */
static bool is_buffer(const char *name) {
    return whet_i_ends_with(name, "position_ids") || whet_i_ends_with(name, "inv_freq") ||
           whet_i_ends_with(name, "num_batches_tracked");
}

bool whet_i_has_token_rows(const char *name) {
    static const char *const ends[] = {
        "embed_tokens.weight",   "wte.weight",       "word_embeddings.weight",
        "lm_head.weight",        "embed_in.weight",  "embed_out.weight",
        "tok_embeddings.weight", "lm_head.bias",     "output.weight",
        "decoder.bias",          "predictions.bias", "predictions.decoder.weight"};
    for (int64_t i = 0; i < WHET_COUNT_OF(ends); i++) {
        if (!whet_i_ends_with(name, ends[i])) continue;
        /* "output.weight" alone is a table only where it is the whole name. */
        return strcmp(ends[i], "output.weight") != 0 || strcmp(name, ends[i]) == 0;
    }
    return false;
}

/* ---- one tensor ------------------------------------------------------------------------------- */

/* A slice's sources as the method wants them. */
typedef struct lineup {
    const whet_i_recipe_slice *slice;
    const whet_i_recipe_source *source[WHET_MERGE_MODELS_MAX];
    int64_t model[WHET_MERGE_MODELS_MAX]; /* of the plan */
    int64_t importance[WHET_MERGE_MODELS_MAX];
    int64_t n, base;    /* base: of the plan, or -1 */
    int64_t base_first; /* its first layer; -1 = whole models */
} lineup;

/* Name of a tensor `shift` layers on. */
static void shifted(char out[NAME_MAX_LEN], const char *name, int64_t shift) {
    int64_t prefix, layer, rest;
    if (shift == 0 || !whet_i_merge_layer_of(name, &prefix, &layer, &rest))
        (void)snprintf(out, NAME_MAX_LEN, "%s", name);
    else
        (void)snprintf(out, NAME_MAX_LEN, "%.*s%" PRId64 "%s", (int)prefix, name, layer + shift,
                       name + rest);
}

/* Where `name` is in a model; false, and a mismatch, when it is nowhere. */
static whet_status place(whet_ctx *ctx, whet_merge_plan *plan, int64_t model, const char *name,
                         whet_i_merge_place *out, whet_tensor *view, bool *found) {
    const whet_i_merge_model *m = &plan->models[model];
    char quoted[WHET_QUOTE_SIZE];
    bool tied;
    *found = whet_i_merge_model_find(m, name, view, &out->file, &tied);
    if (!*found)
        return whet_i_plan_mismatch(ctx, plan, "%s is missing in %s",
                                    whet_i_quote(quoted, whet_str_from(name)), m->path);
    out->model = model;
    out->rows = view->rank ? view->shape[0] : 1;
    out->offset = whet_i_safetensors_offset(out->file->tensors, view);
    out->data = view->data;
    out->dtype = view->dtype;
    out->lora = tied ? NULL : whet_i_merge_model_addition(m, name);
    if (tied) plan->untied = true;
    return WHET_OK;
}

/* Shapes equal, but for the rows of tables where the vocabulary maps them. */
static whet_status check_shape(whet_ctx *ctx, whet_merge_plan *plan, const whet_i_merge_item *item,
                               const char *first, const whet_tensor *a, const char *model,
                               const whet_tensor *b) {
    char quoted[WHET_QUOTE_SIZE], sa[160], sb[160];
    bool same = a->rank == b->rank;
    int32_t differ = 0;
    for (int32_t d = 0; same && d < a->rank; d++) differ += a->shape[d] != b->shape[d];
    const bool rows = same && differ == 1 && a->shape[0] != b->shape[0] && item->table;
    (void)whet_i_quote(quoted, whet_str_from(item->name));
    if (whet_dtype_is_float(a->dtype) != whet_dtype_is_float(b->dtype) ||
        (!whet_dtype_is_float(a->dtype) && a->dtype != b->dtype))
        return whet_i_plan_mismatch(ctx, plan, "%s is %s in %s and %s in %s", quoted,
                                    whet_dtype_name(a->dtype), first, whet_dtype_name(b->dtype),
                                    model);
    if (same && (differ == 0 || (rows && plan->vocabulary.size))) return WHET_OK;
    if (rows)
        return whet_i_plan_mismatch(ctx, plan, "%s has %lld tokens in %s and %lld in %s", quoted,
                                    (long long)a->shape[0], first, (long long)b->shape[0], model);
    return whet_i_plan_mismatch(ctx, plan, "%s is %s in %s and %s in %s", quoted, shape_text(sa, a),
                                first, shape_text(sb, b), model);
}

static whet_status new_item(whet_ctx *ctx, whet_merge_plan *plan, const char *name,
                            int64_t n_places, whet_i_merge_item **out) {
    if (plan->n == plan->cap) {
        int64_t cap;
        WHET_TRY(whet_i_mul(ctx, plan->cap + 32, 2, &cap));
        WHET_TRY(whet_i_realloc(ctx, &plan->items, cap));
        plan->cap = cap;
    }
    whet_i_merge_item *item = &plan->items[plan->n];
    const int64_t len = (int64_t)strlen(name) + 1;
    char *copy;
    memset(item, 0, sizeof *item);
    WHET_TRY(whet_i_arena_alloc(ctx, &plan->arena, len, 1, (void *)&copy));
    memcpy(copy, name, (size_t)len);
    WHET_TRY(whet_i_arena_alloc(ctx, &plan->arena, n_places, sizeof *item->places,
                                (void *)&item->places));
    memset(item->places, 0, (size_t)n_places * sizeof *item->places);
    item->name = copy;
    item->table = whet_i_has_token_rows(copy);
    *out = item;
    return WHET_OK;
}

/* One place more in the item, of a model at layers `shift` on; the first decides the shape. */
static whet_status add_place(whet_ctx *ctx, whet_merge_plan *plan, whet_i_merge_item *item,
                             int64_t model, const char *source_name, int64_t shift,
                             const whet_i_recipe_source *source, whet_tensor *first) {
    char name[NAME_MAX_LEN];
    whet_tensor view;
    bool found;
    shifted(name, source_name, shift);
    whet_i_merge_place *p = &item->places[item->n_places];
    WHET_TRY(place(ctx, plan, model, name, p, &view, &found));
    if (!found) return WHET_OK;
    p->setting = source;
    if (item->n_places++ == 0) {
        *first = view;
        return WHET_OK;
    }
    return check_shape(ctx, plan, item, plan->models[item->places[0].model].path, first,
                       plan->models[model].path, &view);
}

/* Where rows of tables are that models take from others. */
static whet_status add_lenders(whet_ctx *ctx, whet_merge_plan *plan, whet_i_merge_item *item,
                               const char *name, const whet_tensor *first) {
    const whet_i_merge_vocabulary *v = &plan->vocabulary;
    if (!item->table || !v->size || !item->n_places) return WHET_OK;
    WHET_TRY(
        whet_i_arena_alloc(ctx, &plan->arena, v->n, sizeof *item->lenders, (void *)&item->lenders));
    memset(item->lenders, 0, (size_t)v->n * sizeof *item->lenders);
    for (int64_t m = 0; m < v->n; m++) {
        whet_tensor view;
        bool found;
        int64_t at = 0;
        if (!v->lends[m]) continue;
        while (at < item->n_places && item->places[at].model != m) at++;
        if (at < item->n_places) {
            item->lenders[m] = item->places[at];
            continue;
        }
        WHET_TRY(place(ctx, plan, m, name, &item->lenders[m], &view, &found));
        if (found)
            WHET_TRY(check_shape(ctx, plan, item, plan->models[item->places[0].model].path, first,
                                 plan->models[m].path, &view));
    }
    return WHET_OK;
}

/* What is settled once all places are known. */
static whet_status finish_item(whet_ctx *ctx, whet_merge_plan *plan, whet_i_merge_item *item,
                               const whet_tensor *first) {
    const whet_i_recipe *recipe = &plan->recipe;
    item->rank = first->rank;
    memcpy(item->shape, first->shape, sizeof item->shape);
    if (item->table && plan->vocabulary.size && first->rank > 0)
        item->shape[0] = plan->vocabulary.size;
    item->copied = !whet_dtype_is_float(first->dtype) || is_buffer(item->name);
    const whet_dtype as = item->base >= 0 ? item->places[item->base].dtype : first->dtype;
    item->dtype = item->copied              ? first->dtype
                  : plan->dtype_given       ? plan->dtype
                  : recipe->out_dtype_given ? recipe->out_dtype
                  : recipe->dtype_given     ? recipe->dtype
                                            : as;
    item->count = 1;
    for (int32_t d = 0; d < item->rank; d++)
        WHET_TRY(whet_i_mul(ctx, item->count, item->shape[d], &item->count));
    WHET_TRY(whet_i_mul(ctx, item->count, (int64_t)whet_dtype_size(item->dtype), &item->bytes));
    plan->n++;
    return WHET_OK;
}

/* name: in the first source of the lineup, at its layer; out: in the output; offset: layers from the
 * first of the slice, -1 = not in a layer. */
static whet_status add_item(whet_ctx *ctx, whet_merge_plan *plan, const lineup *l, const char *name,
                            const char *out, bool in_layer, double depth) {
    whet_i_merge_item *item;
    whet_tensor first = {0};
    const bool reference_only = is_buffer(name);
    const int64_t mismatches = plan->n_mismatches;
    WHET_TRY(new_item(ctx, plan, out, 2 * l->n + 1, &item));
    item->slice = l->slice;
    item->depth = depth;
    item->base = -1;
    for (int64_t i = 0; i < (reference_only ? 1 : l->n); i++) {
        const int64_t shift = in_layer ? l->source[i]->first - l->source[0]->first : 0;
        WHET_TRY(add_place(ctx, plan, item, l->model[i], name, shift, l->source[i], &first));
    }
    item->n_models = item->n_places;
    if (l->base >= 0 && !reference_only) {
        const int64_t shift = in_layer ? l->base_first - l->source[0]->first : 0;
        item->base = item->n_places;
        WHET_TRY(add_place(ctx, plan, item, l->base, name, shift, NULL, &first));
    }
    for (int64_t i = 0; l->importance[0] >= 0 && !reference_only && i < l->n; i++) {
        const int64_t shift = in_layer ? l->source[i]->first - l->source[0]->first : 0;
        WHET_TRY(add_place(ctx, plan, item, l->importance[i], name, shift, NULL, &first));
    }
    WHET_TRY(add_lenders(ctx, plan, item, name, &first));
    return plan->n_mismatches > mismatches ? WHET_OK : finish_item(ctx, plan, item, &first);
}

/* ---- lineups ---------------------------------------------------------------------------------- */

static whet_status line_up(whet_ctx *ctx, whet_merge_plan *plan, const whet_i_recipe_slice *slice,
                           lineup *l) {
    const whet_i_recipe *recipe = &plan->recipe;
    const whet_merge_method *method = &recipe->method->shown;
    const bool uses_base = method->base != WHET_MERGE_BASE_NONE && recipe->base;
    const bool slerp = strcmp(method->name, "slerp") == 0;
    int64_t with = 0;
    bool based = false;
    *l = (lineup){.slice = slice, .base = -1, .base_first = -1, .importance = {-1}};
    for (int64_t i = 0; i < slice->n; i++) {
        const whet_i_recipe_source *s = &slice->sources[i];
        const bool is_base = recipe->base && whet_i_merge_same_path(s->model, recipe->base) &&
                             whet_i_merge_same_path(s->lora, recipe->base_lora);
        if (is_base && uses_base) { /* its layers, not one of the models */
            l->base_first = s->first;
            continue;
        }
        const int64_t at = is_base && slerp ? 0 : l->n; /* the one to start from is first */
        if (at < l->n) {
            l->source[1] = l->source[0];
            l->model[1] = l->model[0];
        }
        l->source[at] = s;
        WHET_TRY(whet_i_plan_model(ctx, plan, s->model, s->lora, &l->model[at]));
        l->importance[at] = -1;
        if (s->importance)
            WHET_TRY(whet_i_plan_model(ctx, plan, s->importance, NULL, &l->importance[at]));
        with += s->importance != NULL;
        based |= is_base;
        l->n++;
    }
    if (slerp && recipe->base && !based)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "slerp: the base %s is not one of the models; expected "
                           "the one to start from",
                           recipe->base);
    if (with && with != l->n)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s: %lld importances of %lld models; expected one a "
                           "model",
                           method->name, (long long)with, (long long)l->n);
    if (uses_base) {
        l->base = plan->base;
        if (l->base_first < 0 && l->n) l->base_first = l->source[0]->first;
    }
    return whet_i_merge_check_models(ctx, recipe->method, l->n, l->base >= 0, with > 0);
}

/* ---- whole models ----------------------------------------------------------------------------- */

/* Behind the layers (1) or before them (0): where a gradient of values ends or begins. */
static double end_of(const char *name) {
    static const char *const behind[] = {"lm_head",       "embed_out",  "ln_f",      "final",
                                         "pooler",        "classifier", "score",     "cls.",
                                         "output.weight", "model.norm", "qa_outputs"};
    for (int64_t i = 0; i < WHET_COUNT_OF(behind); i++)
        if (strstr(name, behind[i])) return 1;
    return strncmp(name, "norm.", 5) == 0;
}

/* One layer alone is the last, as in mergekit. */
static double depth_in(int64_t layer, int64_t layers) {
    return layers > 1 ? (double)layer / (double)(layers - 1) : 1;
}

/* Layers under a prefix, the last answer kept. */
typedef struct depths {
    const whet_i_merge_model *model;
    char prefix[NAME_MAX_LEN];
    int64_t layers;
} depths;

static double depth_of(depths *d, const char *name) {
    int64_t prefix, layer, rest;
    if (!whet_i_merge_layer_of(name, &prefix, &layer, &rest)) return end_of(name);
    if (strncmp(name, d->prefix, (size_t)prefix) != 0 || d->prefix[prefix] != '\0') {
        (void)snprintf(d->prefix, sizeof d->prefix, "%.*s", (int)prefix, name);
        d->layers = whet_i_merge_model_layers(d->model, d->prefix, prefix);
    }
    return depth_in(layer, d->layers);
}

static whet_status whole_models(whet_ctx *ctx, whet_merge_plan *plan) {
    lineup l;
    WHET_TRY(line_up(ctx, plan, &plan->recipe.slices[0], &l));
    const int64_t reference = l.base >= 0 ? l.base : l.model[0];
    const whet_names *names = plan->models[reference].names;
    depths d = {.model = &plan->models[reference]};
    for (int64_t i = 0; i < whet_names_count(names); i++) {
        const char *name = whet_names_get(names, i).ptr;
        WHET_TRY(add_item(ctx, plan, &l, name, name, false, depth_of(&d, name)));
    }
    for (int64_t k = 0; k < l.n; k++) { /* what the others have beside */
        const whet_names *others = plan->models[l.model[k]].names;
        for (int64_t i = 0; i < whet_names_count(others); i++) {
            const char *name = whet_names_get(others, i).ptr;
            bool before = whet_names_find(names, whet_names_get(others, i)) >= 0;
            for (int64_t e = 0; !before && e < k; e++)
                before =
                    whet_names_find(plan->models[l.model[e]].names, whet_names_get(others, i)) >= 0;
            if (before || is_buffer(name)) continue;
            WHET_TRY(add_item(ctx, plan, &l, name, name, false, depth_of(&d, name)));
        }
    }
    return WHET_OK;
}

/* ---- stacked slices --------------------------------------------------------------------------- */

static whet_status check_layers(whet_ctx *ctx, const whet_merge_plan *plan, const lineup *l,
                                const char *prefix, int64_t len) {
    for (int64_t i = 0; i < l->n; i++) {
        const whet_i_merge_model *m = &plan->models[l->model[i]];
        const int64_t layers = whet_i_merge_model_layers(m, prefix, len);
        if (l->source[i]->last <= layers) continue;
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s: layers %lld to %lld are asked for; expected at "
                           "most the %lld that it has",
                           m->path, (long long)l->source[i]->first,
                           (long long)(l->source[i]->last - 1), (long long)layers);
    }
    return WHET_OK;
}

/* The tensors of the slice's layers that the first source has, or (ends) those outside of layers that
 * belong before (0) or behind (1) them. */
static whet_status add_slice(whet_ctx *ctx, whet_merge_plan *plan, const lineup *l, int64_t to,
                             int end) {
    const whet_names *names = plan->models[l->model[0]].names;
    const int64_t first = l->source[0]->first, n = l->source[0]->last - first;
    bool any = false, checked = false;
    for (int64_t i = 0; i < whet_names_count(names); i++) {
        const char *name = whet_names_get(names, i).ptr;
        int64_t prefix, layer, rest;
        const bool in_layer = whet_i_merge_layer_of(name, &prefix, &layer, &rest);
        if (!in_layer && end >= 0 && end_of(name) == end)
            WHET_TRY(add_item(ctx, plan, l, name, name, false, end));
        if (!in_layer || end >= 0) continue;
        any = true;
        if (!checked) WHET_TRY(check_layers(ctx, plan, l, name, prefix));
        checked = true;
        if (layer < first || layer >= first + n) continue;
        char out[NAME_MAX_LEN];
        shifted(out, name, to - first);
        WHET_TRY(add_item(ctx, plan, l, name, out, true, depth_in(layer - first, n)));
    }
    if (end < 0 && !any)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s: no layers; expected tensors with numbers in "
                           "their names, as \"model.layers.0.\"",
                           plan->models[l->model[0]].path);
    return WHET_OK;
}

/* A slice's layers go behind those of the first: tensors of one name are of one shape, also outside of layers
 * where the slice is the last, whose ends the output has. */
static whet_status check_stack(whet_ctx *ctx, whet_merge_plan *plan, int64_t first, int64_t other,
                               bool last) {
    const whet_i_merge_model *a = &plan->models[first], *b = &plan->models[other];
    for (int64_t i = 0; first != other && i < whet_names_count(a->names); i++) {
        const char *name = whet_names_get(a->names, i).ptr;
        const whet_i_merge_item item = {.name = name, .table = whet_i_has_token_rows(name)};
        int64_t prefix, layer, rest;
        const whet_i_merge_file *file;
        whet_tensor x, y;
        if (!last && !whet_i_merge_layer_of(name, &prefix, &layer, &rest)) continue;
        if (!whet_i_merge_model_find(a, name, &x, &file, NULL) ||
            !whet_i_merge_model_find(b, name, &y, &file, NULL))
            continue;
        WHET_TRY(check_shape(ctx, plan, &item, a->path, &x, b->path, &y));
    }
    return WHET_OK;
}

/* The output layer is the last slice's; where that ties it and the first does not, it is written out. */
static whet_status add_head(whet_ctx *ctx, whet_merge_plan *plan, const lineup *last,
                            int64_t first) {
    const char *head = whet_i_merge_model_head(&plan->models[first]);
    if (whet_i_merge_model_head(&plan->models[last->model[0]])) {
        if (!whet_i_merge_model_head(&plan->models[0])) plan->untied = true;
        return WHET_OK;
    }
    return head ? add_item(ctx, plan, last, head, head, false, 1) : WHET_OK;
}

static whet_status stacked_slices(whet_ctx *ctx, whet_merge_plan *plan) {
    lineup l;
    int64_t to = 0, first = 0;
    for (int64_t i = 0; i < plan->recipe.n; i++) {
        WHET_TRY(line_up(ctx, plan, &plan->recipe.slices[i], &l));
        if (i == 0) first = l.model[0];
        WHET_TRY(check_stack(ctx, plan, first, l.model[0], i == plan->recipe.n - 1));
        if (i == 0) WHET_TRY(add_slice(ctx, plan, &l, 0, 0));
        WHET_TRY(add_slice(ctx, plan, &l, to, -1));
        to += l.source[0]->last - l.source[0]->first;
    }
    WHET_TRY(add_slice(ctx, plan, &l, 0, 1));
    WHET_TRY(add_head(ctx, plan, &l, first));
    plan->layers = to;
    return WHET_OK;
}

whet_status whet_i_plan_items(whet_ctx *ctx, whet_merge_plan *plan) {
    WHET_TRY(plan->recipe.stacked ? stacked_slices(ctx, plan) : whole_models(ctx, plan));
    if (plan->n_mismatches == 0) return WHET_OK;
    char more[64] = "";
    if (plan->n_mismatches > plan->n_listed)
        (void)snprintf(more, sizeof more, "; and %lld more",
                       (long long)(plan->n_mismatches - plan->n_listed));
    return whet_i_fail(ctx, WHET_ERR_SHAPE,
                       "%lld tensors do not fit: %s%s; expected models of one architecture%s",
                       (long long)plan->n_mismatches, plan->mismatches.data, more,
                       strstr(plan->mismatches.data, " tokens in ")
                           ? "; try tokenizer_source base or union in a recipe"
                           : "");
}

whet_status whet_i_plan_settings(whet_ctx *ctx, const whet_merge_plan *plan,
                                 const whet_i_merge_item *item,
                                 double (*setting)[WHET_I_SET_COUNT]) {
    const whet_i_merge_method *method = plan->recipe.method;
    whet_i_merge_presets(method, item->n_models, setting);
    for (int64_t i = 0; i < item->n_models; i++)
        for (const whet_i_setting_use *u = method->settings; u->setting != WHET_I_SET_COUNT; u++) {
            const double value =
                whet_i_recipe_value_of(&plan->recipe, item->slice, item->places[i].setting,
                                       u->setting, item->name, item->depth);
            char quoted[WHET_QUOTE_SIZE];
            if (!isnan(value)) setting[i][u->setting] = value;
            const whet_status status =
                whet_i_merge_check_setting(ctx, method, u->setting, setting[i][u->setting]);
            if (status != WHET_OK)
                return whet_i_fail_at(ctx, status, "%s, tensor %s",
                                      plan->models[item->places[i].model].path,
                                      whet_i_quote(quoted, whet_str_from(item->name)));
        }
    return WHET_OK;
}
