/* SPDX-License-Identifier: Apache-2.0
 * What a specification tells of convolutions: strides, padding, dilation, groups, and the pool that stands
 * behind one. What is told is all of it: nothing of an entry is taken from what is usual elsewhere. */
#include <inttypes.h>
#include <stdio.h>

#include "merge/spec_convolutions.h"

enum { NUMBER_MOST = 1 << 12, NAME_SIZE = 512 };

/* ---- what is told ----------------------------------------------------------------------------------- */

static const char *bare(const char *module) {
    static const char parallel[] = "module.";
    const size_t n = sizeof parallel - 1;
    return strncmp(module, parallel, n) == 0 ? module + n : module;
}

const whet_i_told *whet_i_spec_told(const whet_permutation_spec *spec, const char *module) {
    for (int64_t i = 0; spec && i < spec->n_told; i++)
        if (strcmp(spec->told[i].module, bare(module)) == 0) return &spec->told[i];
    return NULL;
}

whet_status whet_i_spec_tell(whet_ctx *ctx, whet_permutation_spec *spec, const whet_i_told *told) {
    const char *module = bare(told->module);
    const int64_t size = (int64_t)strlen(module) + 1;
    char quoted[WHET_QUOTE_SIZE], *name;
    if (whet_i_spec_told(spec, module))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "convolution %s is told twice; expected once",
                           whet_i_quote(quoted, whet_str_from(module)));
    if (spec->n_told == spec->cap_told) {
        const int64_t cap = 2 * spec->cap_told + 8;
        WHET_TRY(whet_i_realloc(ctx, &spec->told, cap));
        spec->cap_told = cap;
    }
    WHET_TRY(whet_i_arena_alloc(ctx, &spec->arena, size, 1, &name));
    memcpy(name, module, (size_t)size);
    spec->told[spec->n_told] = *told;
    spec->told[spec->n_told++].module = name;
    return WHET_OK;
}

/* ---- JSON ------------------------------------------------------------------------------------------- */

static whet_status check_keys(whet_ctx *ctx, const char *where, json_t *object,
                              const char *const *known, const char *expected) {
    char quoted[WHET_QUOTE_SIZE];
    const char *key;
    json_t *value;
    if (!json_is_object(object))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s is %s; expected an object", where,
                           whet_i_json_kind(object));
    json_object_foreach(object, key, value) {
        bool found = false;
        for (int i = 0; known[i]; i++) found = found || strcmp(known[i], key) == 0;
        if (!found)
            return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: key %s; expected %s", where,
                               whet_i_quote(quoted, whet_str_from(key)), expected);
    }
    return WHET_OK;
}

static whet_status read_pool(whet_ctx *ctx, const char *of, json_t *object, whet_i_told_pool *out) {
    static const char *const known[] = {"kind", "size", "stride", "padding", NULL};
    char where[NAME_SIZE], quoted[WHET_QUOTE_SIZE];
    whet_str kind;
    if (!object) return WHET_OK;
    (void)snprintf(where, sizeof where, "%.*s: pool", NAME_SIZE - 8, of);
    WHET_TRY(check_keys(ctx, where, object, known, "kind, size, stride and padding"));
    WHET_TRY(whet_i_json_str(ctx, where, object, "kind", &kind));
    out->largest = whet_str_equal(kind, whet_str_from("max"));
    if (!out->largest && !whet_str_equal(kind, whet_str_from("mean")))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: kind %s; expected max or mean", where,
                           whet_i_quote(quoted, kind));
    WHET_TRY(whet_i_json_int(ctx, where, object, "size", 1, NUMBER_MOST, &out->size));
    WHET_TRY(
        whet_i_json_int_or(ctx, where, object, "stride", 1, NUMBER_MOST, out->size, &out->stride));
    WHET_TRY(whet_i_json_int_or(ctx, where, object, "padding", 0, NUMBER_MOST, 0, &out->padding));
    if (2 * out->padding > out->size)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: a padding of %" PRId64 " of windows of %" PRId64
                           "; expected half of them at most",
                           where, out->padding, out->size);
    return WHET_OK;
}

static whet_status read_one(whet_ctx *ctx, const char *file, const char *module, json_t *object,
                            whet_permutation_spec *spec) {
    static const char *const known[] = {"stride", "padding", "dilation", "groups", "pool", NULL};
    whet_i_told told = {.module = module};
    char where[NAME_SIZE], quoted[WHET_QUOTE_SIZE];
    (void)snprintf(where, sizeof where, "%s: convolution %s", file,
                   whet_i_quote(quoted, whet_str_from(module)));
    WHET_TRY(check_keys(ctx, where, object, known, "stride, padding, dilation, groups and pool"));
    WHET_TRY(whet_i_json_int_or(ctx, where, object, "stride", 1, NUMBER_MOST, 1, &told.stride));
    WHET_TRY(whet_i_json_int_or(ctx, where, object, "padding", 0, NUMBER_MOST, WHET_I_SAME_SIZE,
                                &told.padding));
    WHET_TRY(whet_i_json_int_or(ctx, where, object, "dilation", 1, NUMBER_MOST, 1, &told.dilation));
    WHET_TRY(whet_i_json_int_or(ctx, where, object, "groups", 1, 1 << 20, 0, &told.groups));
    WHET_TRY(read_pool(ctx, where, json_object_get(object, "pool"), &told.pool));
    const whet_status status = whet_i_spec_tell(ctx, spec, &told);
    return status == WHET_ERR_FORMAT ? whet_i_fail_at(ctx, status, "%s", file) : status;
}

whet_status whet_i_spec_convolutions_read(whet_ctx *ctx, const char *where, const json_t *document,
                                          whet_permutation_spec *spec) {
    json_t *all = json_object_get(document, "convolutions"), *value;
    const char *key;
    if (!all) return WHET_OK;
    if (!json_is_object(all))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: \"convolutions\" is %s; expected an object",
                           where, whet_i_json_kind(all));
    json_object_foreach(all, key, value) WHET_TRY(read_one(ctx, where, key, value, spec));
    return WHET_OK;
}

static json_t *told_json(const whet_i_told *t) {
    json_t *object = json_pack("{s:I, s:I}", "stride", (json_int_t)t->stride, "dilation",
                               (json_int_t)t->dilation);
    bool whole = object != NULL;
    if (t->padding != WHET_I_SAME_SIZE)
        whole =
            !json_object_set_new(object, "padding", json_integer((json_int_t)t->padding)) && whole;
    if (t->groups)
        whole =
            !json_object_set_new(object, "groups", json_integer((json_int_t)t->groups)) && whole;
    if (t->pool.size)
        whole =
            !json_object_set_new(
                object, "pool",
                json_pack("{s:s, s:I, s:I, s:I}", "kind", t->pool.largest ? "max" : "mean", "size",
                          (json_int_t)t->pool.size, "stride", (json_int_t)t->pool.stride, "padding",
                          (json_int_t)t->pool.padding)) &&
            whole;
    if (whole) return object;
    json_decref(object);
    return NULL;
}

bool whet_i_spec_convolutions_write(const whet_permutation_spec *spec, json_t *document) {
    json_t *all = spec->n_told ? json_object() : NULL;
    if (spec->n_told == 0) return true;
    bool whole = all != NULL;
    for (int64_t i = 0; whole && i < spec->n_told; i++)
        whole = json_object_set_new(all, spec->told[i].module, told_json(&spec->told[i])) == 0;
    return json_object_set_new(document, "convolutions", all) == 0 && whole;
}
