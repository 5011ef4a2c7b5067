/* SPDX-License-Identifier: Apache-2.0
 * Adapters held against a base: is it theirs, are their layers there, do the shapes fit. Names may differ
 * in what they begin with ("bert."): the first layer tells how, and all others follow. */
#include <stdio.h>

#include "tune/adapter_parts.h"

enum { NAME_ROOM = 1024 };

/* Names of the base: those of the adapter without their first `less` bytes and behind `more`. */
typedef struct renaming {
    const char *prefix; /* `less` bytes of the adapter's names */
    int64_t less;
    char more[256];
} renaming;

static bool find(const whet_i_weight_files *files, const char *module, const char *end,
                 whet_tensor *out) {
    char name[NAME_ROOM];
    const int n = snprintf(name, sizeof name, "%s%s", module, end);
    return n > 0 && (size_t)n < sizeof name && whet_i_weight_files_find(files, name, out);
}

/* What stands before ".<module><last>" in a name of the base. */
static bool find_longer(const whet_i_weight_files *files, const char *module, const char *last,
                        renaming *r) {
    char end[NAME_ROOM];
    const int n = snprintf(end, sizeof end, ".%s%s", module, last);
    if (n < 0 || (size_t)n >= sizeof end) return false;
    for (int64_t f = 0; f < files->n; f++)
        for (int64_t i = 0; i < whet_safetensors_count(files->items[f].tensors); i++) {
            const whet_str name = whet_safetensors_name(files->items[f].tensors, i);
            const int64_t before = name.len - n + 1; /* with the point */
            if (before < 2 || before >= (int64_t)sizeof r->more ||
                memcmp(name.ptr + before - 1, end, (size_t)n) != 0)
                continue;
            memcpy(r->more, name.ptr, (size_t)before);
            r->more[before] = '\0';
            return true;
        }
    return false;
}

/* A tensor of the adapter that the base has: the first layer's, or the first weight of the base itself. */
static const char *first_name(const whet_adapter *a, const char **end) {
    *end = a->n_layers > 0 ? ".weight" : "";
    if (a->n_layers > 0) return a->layers[0].module;
    for (int64_t i = 0; i < a->n_wholes; i++)
        if (a->wholes[i].own) return a->wholes[i].name;
    return NULL;
}

static renaming renaming_of(const whet_i_weight_files *files, const whet_adapter *a) {
    renaming r = {0};
    whet_tensor t;
    const char *end;
    r.prefix = first_name(a, &end);
    for (const char *at = r.prefix; at; at = strchr(at, '.') ? strchr(at, '.') + 1 : NULL)
        if (find(files, at, end, &t)) {
            r.less = at - r.prefix;
            return r;
        }
    if (r.prefix) (void)find_longer(files, r.prefix, end, &r);
    return r;
}

static whet_status base_name(whet_ctx *ctx, whet_adapter *a, const renaming *r, const char *name,
                             const char *end, const char **out) {
    const bool begins = r->less > 0 && strncmp(name, r->prefix, (size_t)r->less) == 0;
    const char *rest = begins ? name + r->less : name;
    const size_t length = strlen(r->more) + strlen(rest) + strlen(end) + 1;
    char *made;
    WHET_TRY(whet_i_arena_alloc(ctx, &a->arena, (int64_t)length, 1, &made));
    (void)snprintf(made, length, "%s%s%s", r->more, rest, end);
    *out = made;
    return WHET_OK;
}

static bool fits(const whet_adapter *a, const whet_i_adapter_shape *s, int64_t out, int64_t in) {
    if (!a->more) return s->in == in && s->out == out;
    return in <= s->blocks * s->p && in > (s->blocks - 1) * s->p && out <= s->blocks * s->q;
}

static whet_status fit_layer(whet_ctx *ctx, whet_adapter *a, whet_i_adapter_layer *l,
                             const whet_i_weight_files *files, whet_i_problems *problems) {
    char quoted[WHET_QUOTE_SIZE], shape[WHET_I_SHAPE_TEXT];
    const whet_i_adapter_shape *s = &l->shape;
    whet_tensor w;
    (void)whet_i_quote(quoted, whet_str_from(l->module));
    if (!whet_i_weight_files_find(files, l->base, &w))
        return whet_i_problem(ctx, problems, "the base has no layer %s", quoted);
    if (!whet_dtype_is_float(w.dtype))
        return whet_i_problem(ctx, problems, "layer %s is of %s numbers in the base", quoted,
                              whet_dtype_name(w.dtype));
    if (w.rank == 2 && fits(a, s, w.shape[0], w.shape[1])) {
        l->shape.out = w.shape[0];
        l->shape.in = w.shape[1];
        return WHET_OK;
    }
    return whet_i_problem(ctx, problems, "layer %s is for a weight [%lld, %lld], the base's is %s",
                          quoted, (long long)s->out, (long long)s->in,
                          whet_i_shape_text(shape, w.rank, w.shape));
}

static whet_status keep_prefix(whet_ctx *ctx, whet_adapter *a, const renaming *r) {
    char *copy;
    a->prefix = NULL;
    if (r->less == 0) return WHET_OK;
    WHET_TRY(whet_i_arena_alloc(ctx, &a->arena, r->less + 1, 1, &copy));
    memcpy(copy, r->prefix, (size_t)r->less);
    copy[r->less] = '\0';
    a->prefix = copy;
    return WHET_OK;
}

/* Biases that only the adapter has, such as a new pooler's, stand for themselves. */
static void settle_bias(whet_i_adapter_whole *w, const whet_i_weight_files *files) {
    whet_tensor t;
    w->plain_bias = w->plain_bias && whet_i_weight_files_find(files, w->base, &t);
}

/* What changes the base must be there and as long; heads may be new or of another size. */
static whet_status fit_whole(whet_ctx *ctx, const whet_i_adapter_whole *w,
                             const whet_i_weight_files *files, whet_i_problems *problems) {
    char quoted[WHET_QUOTE_SIZE];
    whet_tensor t;
    if (!whet_i_adapter_changes(w)) return WHET_OK;
    if (whet_i_weight_files_find(files, w->base, &t) &&
        whet_tensor_count(&t) == whet_tensor_count(&w->tensor))
        return WHET_OK;
    return whet_i_problem(ctx, problems, "the base has no %s %s of that length",
                          w->layer_bias ? "bias" : "tensor",
                          whet_i_quote(quoted, whet_str_from(w->name)));
}

static whet_status check_identity(whet_ctx *ctx, const whet_adapter *a, const char *identity,
                                  bool any_base) {
    char quoted[WHET_QUOTE_SIZE];
    const json_t *value = json_object_get(a->json, WHET_I_BASE_KEY);
    if (!json_is_string(value)) {
        whet_i_log(ctx, WHET_LOG_WARN, "%s: says nothing of the base's weights; taken as theirs",
                   a->path);
        return WHET_OK;
    }
    if (strcmp(json_string_value(value), identity) == 0) return WHET_OK;
    (void)whet_i_quote(quoted, whet_str_from(json_string_value(value)));
    if (!any_base)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s: is for a base whose weights have the hash %s, not \"%s\"; expected "
                           "the model that it was trained on",
                           a->path, quoted, identity);
    whet_i_log(ctx, WHET_LOG_WARN, "%s: is for a base whose weights have the hash %s, not \"%s\"",
               a->path, quoted, identity);
    return WHET_OK;
}

static whet_status keep_model(whet_ctx *ctx, whet_adapter *a, const char *model) {
    whet_i_free(ctx, a->model);
    a->model = NULL;
    return whet_i_strdup(ctx, whet_str_from(model), &a->model);
}

whet_status whet_i_adapter_fit(whet_ctx *ctx, whet_adapter *a, const char *model,
                               const whet_i_weight_files *files, const char *identity,
                               bool any_base) {
    const renaming r = renaming_of(files, a);
    whet_i_problems problems = {0};
    whet_status status = check_identity(ctx, a, identity, any_base);
    if (status == WHET_OK) status = keep_model(ctx, a, model);
    if (status == WHET_OK) status = keep_prefix(ctx, a, &r);
    for (int64_t i = 0; status == WHET_OK && i < a->n_layers; i++) {
        whet_i_adapter_layer *l = &a->layers[i];
        status = base_name(ctx, a, &r, l->module, ".weight", &l->base);
        if (status == WHET_OK) status = fit_layer(ctx, a, l, files, &problems);
    }
    for (int64_t i = 0; status == WHET_OK && i < a->n_wholes; i++) {
        whet_i_adapter_whole *w = &a->wholes[i];
        status = base_name(ctx, a, &r, w->name, "", &w->base);
        if (status == WHET_OK) settle_bias(w, files);
        if (status == WHET_OK) status = fit_whole(ctx, w, files, &problems);
    }
    const whet_status ended = whet_i_problems_end(ctx, WHET_ERR_SHAPE, a->path, &problems);
    return status != WHET_OK ? status : ended;
}

whet_status whet_adapter_fit(whet_ctx *ctx, whet_adapter *adapter, const char *model,
                             bool any_base) {
    char identity[WHET_I_IDENTITY], quoted[WHET_QUOTE_SIZE];
    whet_i_weight_files files = {0};
    whet_status status = whet_i_weight_files_open(ctx, model, &files);
    if (status != WHET_OK)
        status =
            whet_i_fail_at(ctx, status, "model %s", whet_i_quote(quoted, whet_str_from(model)));
    if (status == WHET_OK) status = whet_i_base_identity(ctx, &files, identity);
    if (status == WHET_OK)
        status = whet_i_adapter_fit(ctx, adapter, model, &files, identity, any_base);
    whet_i_weight_files_close(ctx, &files);
    return status;
}
