/* SPDX-License-Identifier: Apache-2.0
 * Specifications of permutations as JSON (docs/formats/permutations.md). */
#include <inttypes.h>
#include <stdio.h>

#include "io/io_i.h"
#include "merge/align_i.h"
#include "merge/spec_convolutions.h"

enum { FILE_MAX = 64 << 20, NAME_SIZE = 512 };

static const char FORMAT[] = "whet-permutations";
static const char *const PARTS[] = {"query", "key", "value", "mixed"};
static const int64_t UNITS_MOST = INT64_C(1) << 40;

typedef struct reader {
    whet_ctx *ctx;
    const char *where;
    whet_permutation_spec *spec;
} reader;

/* ---- groups --------------------------------------------------------------------------------------- */

static whet_status check_keys(const reader *r, const char *where, json_t *object,
                              const char *const *known, const char *expected) {
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        char quoted[WHET_QUOTE_SIZE];
        bool found = false;
        for (int i = 0; known[i]; i++) found = found || strcmp(known[i], key) == 0;
        if (!found)
            return whet_i_fail(r->ctx, WHET_ERR_FORMAT, "%s: key %s; expected %s", where,
                               whet_i_quote(quoted, whet_str_from(key)), expected);
    }
    return WHET_OK;
}

/* "runs" of a group: units that stay among themselves. */
static whet_status read_runs(const reader *r, const char *where, const json_t *object,
                             whet_i_run *runs, whet_i_group *g) {
    static const char *const known[] = {"first", "count", "blocks", NULL};
    const json_t *list = json_object_get(object, "runs");
    if (!list) return WHET_OK;
    if (!json_is_array(list) || json_array_size(list) < 1 ||
        json_array_size(list) > WHET_I_RUNS_MAX)
        return whet_i_fail(r->ctx, WHET_ERR_FORMAT, "%s: runs: %s; expected an array of 1 to %d",
                           where, json_is_array(list) ? "too many or none" : whet_i_json_kind(list),
                           (int)WHET_I_RUNS_MAX);
    if (!g->units)
        return whet_i_fail(r->ctx, WHET_ERR_FORMAT, "%s has runs without units; expected both",
                           where);
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *run = json_array_get(list, i);
        whet_i_run *out = &runs[g->n_runs++];
        if (!json_is_object(run))
            return whet_i_fail(r->ctx, WHET_ERR_FORMAT, "%s: a run is %s; expected an object",
                               where, whet_i_json_kind(run));
        WHET_TRY(check_keys(r, where, run, known, "first, count and blocks"));
        WHET_TRY(whet_i_json_int(r->ctx, where, run, "first", 0, UNITS_MOST, &out->first));
        WHET_TRY(whet_i_json_int(r->ctx, where, run, "count", 1, UNITS_MOST, &out->count));
        WHET_TRY(whet_i_json_int_or(r->ctx, where, run, "blocks", 1, UNITS_MOST, 1, &out->blocks));
    }
    g->runs = runs;
    return WHET_OK;
}

static whet_status read_group(const reader *r, const char *name, json_t *object) {
    static const char *const known[] = {"units",    "blocks",    "runs",      "output", "heads",
                                        "kv_heads", "head_size", "free_keys", NULL};
    whet_i_run runs[WHET_I_RUNS_MAX];
    char where[NAME_SIZE], quoted[WHET_QUOTE_SIZE];
    whet_i_group g = {.name = name};
    int32_t id;
    (void)snprintf(where, sizeof where, "%s: group %s", r->where,
                   whet_i_quote(quoted, whet_str_from(name)));
    if (!json_is_object(object))
        return whet_i_fail(r->ctx, WHET_ERR_FORMAT, "%s is %s; expected an object", where,
                           whet_i_json_kind(object));
    WHET_TRY(
        check_keys(r, where, object, known,
                   "units, blocks, runs and output, or heads, kv_heads, head_size and free_keys"));
    WHET_TRY(whet_i_json_int_or(r->ctx, where, object, "units", 1, UNITS_MOST, 0, &g.units));
    WHET_TRY(whet_i_json_int_or(r->ctx, where, object, "blocks", 1, UNITS_MOST, 0, &g.blocks));
    WHET_TRY(whet_i_json_bool_or(r->ctx, where, object, "output", false, &g.output));
    WHET_TRY(read_runs(r, where, object, runs, &g));
    g.attention = json_object_get(object, "heads") != NULL;
    if (g.attention) {
        if (g.units || g.blocks || g.n_runs || g.output)
            return whet_i_fail(r->ctx, WHET_ERR_FORMAT, "%s has %s and heads; expected one of them",
                               where,
                               g.units    ? "units"
                               : g.blocks ? "blocks"
                               : g.n_runs ? "runs"
                                          : "output");
        WHET_TRY(whet_i_json_int(r->ctx, where, object, "heads", 1, 1 << 20, &g.heads));
        WHET_TRY(whet_i_json_int_or(r->ctx, where, object, "kv_heads", 1, 1 << 20, g.heads, &g.kv));
        WHET_TRY(whet_i_json_int(r->ctx, where, object, "head_size", 1, 1 << 20, &g.size));
        WHET_TRY(whet_i_json_bool_or(r->ctx, where, object, "free_keys", false, &g.free_keys));
    }
    return whet_i_spec_group(r->ctx, r->spec, &g, &id);
}

/* ---- axes ------------------------------------------------------------------------------------------ */

/* "group", or "group.query" and so on. */
static bool find_part(const reader *r, whet_str text, whet_i_piece *out) {
    char name[NAME_SIZE];
    if (text.len >= NAME_SIZE || memchr(text.ptr, 0, (size_t)text.len)) return false;
    (void)snprintf(name, sizeof name, "%.*s", (int)text.len, text.ptr);
    *out = (whet_i_piece){whet_i_spec_find(r->spec, name), WHET_I_UNITS, 0, 0};
    if (out->group >= 0 && !r->spec->groups[out->group].attention) return true;
    char *dot = strrchr(name, '.');
    if (!dot) return false;
    *dot = 0;
    out->group = whet_i_spec_find(r->spec, name);
    for (int32_t i = 0; out->group >= 0 && i < WHET_I_PARTS; i++)
        if (strcmp(dot + 1, PARTS[i]) == 0) {
            out->part = i;
            return r->spec->groups[out->group].attention;
        }
    return false;
}

static whet_status read_part(const reader *r, const char *where, const json_t *value,
                             whet_i_piece *out) {
    char quoted[WHET_QUOTE_SIZE];
    if (!json_is_string(value))
        return whet_i_fail(r->ctx, WHET_ERR_FORMAT, "%s: an axis is %s; expected a group or null",
                           where, whet_i_json_kind(value));
    const whet_str text = {json_string_value(value), (int64_t)json_string_length(value)};
    if (!find_part(r, text, out))
        return whet_i_fail(
            r->ctx, WHET_ERR_FORMAT,
            "%s: no group %s; expected one of \"groups\", of an attention with .query, "
            ".key, .value or .mixed",
            where, whet_i_quote(quoted, text));
    return WHET_OK;
}

static whet_status read_axis(const reader *r, const char *where, const json_t *value,
                             whet_i_piece *pieces, int32_t *n) {
    static const char *const known[] = {"group", "first", "count", NULL};
    *n = 0;
    if (json_is_null(value)) return WHET_OK;
    if (!json_is_array(value)) {
        *n = 1;
        return read_part(r, where, value, &pieces[0]);
    }
    if (json_array_size(value) < 1 || json_array_size(value) > WHET_I_PIECES_MAX)
        return whet_i_fail(r->ctx, WHET_ERR_FORMAT, "%s: an axis of %zu runs; expected 1 to %d",
                           where, json_array_size(value), (int)WHET_I_PIECES_MAX);
    for (size_t i = 0; i < json_array_size(value); i++) {
        json_t *run = json_array_get(value, i);
        whet_i_piece *p = &pieces[(*n)++];
        if (!json_is_object(run))
            return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                               "%s: a run of an axis is %s; expected an "
                               "object",
                               where, whet_i_json_kind(run));
        WHET_TRY(check_keys(r, where, run, known, "group, first and count"));
        WHET_TRY(read_part(r, where, json_object_get(run, "group"), p));
        WHET_TRY(whet_i_json_int(r->ctx, where, run, "first", 0, UNITS_MOST, &p->first));
        WHET_TRY(whet_i_json_int(r->ctx, where, run, "count", 1, UNITS_MOST, &p->count));
    }
    return WHET_OK;
}

static whet_status read_tensor(const reader *r, const char *name, json_t *value) {
    static const char *const known[] = {"axes", "matched", NULL};
    char where[NAME_SIZE], quoted[WHET_QUOTE_SIZE];
    whet_i_piece pieces[WHET_I_AXES_MAX][WHET_I_PIECES_MAX];
    whet_i_spec_tensor t = {.name = name};
    bool matched = true;
    const json_t *axes = value;
    (void)snprintf(where, sizeof where, "%s: tensor %s", r->where,
                   whet_i_quote(quoted, whet_str_from(name)));
    if (json_is_object(value)) {
        WHET_TRY(check_keys(r, where, value, known, "axes and matched"));
        WHET_TRY(whet_i_json_bool_or(r->ctx, where, value, "matched", true, &matched));
        axes = json_object_get(value, "axes");
    }
    if (!json_is_array(axes) || json_array_size(axes) > WHET_I_AXES_MAX)
        return whet_i_fail(r->ctx, WHET_ERR_FORMAT, "%s has %s as axes; expected at most %d", where,
                           json_is_array(axes) ? "too many" : whet_i_json_kind(axes),
                           (int)WHET_I_AXES_MAX);
    t.unmatched = !matched;
    t.rank = (int32_t)json_array_size(axes);
    for (int32_t x = 0; x < t.rank; x++) {
        WHET_TRY(read_axis(r, where, json_array_get(axes, (size_t)x), pieces[x], &t.axes[x].n));
        t.axes[x].pieces = pieces[x];
    }
    return whet_i_spec_tensor_add(r->ctx, r->spec, &t);
}

/* ---- the document ----------------------------------------------------------------------------------- */

static whet_status read_document(const reader *r, json_t *document) {
    static const char *const known[] = {"format",  "version",      "arch", "groups",
                                        "tensors", "convolutions", NULL};
    char quoted[WHET_QUOTE_SIZE];
    const char *key;
    json_t *groups, *tensors, *value;
    whet_str format;
    int64_t version;
    if (!json_is_object(document))
        return whet_i_fail(r->ctx, WHET_ERR_FORMAT, "%s is %s; expected an object", r->where,
                           whet_i_json_kind(document));
    WHET_TRY(check_keys(r, r->where, document, known,
                        "format, version, arch, groups, tensors and convolutions"));
    WHET_TRY(whet_i_json_str(r->ctx, r->where, document, "format", &format));
    if (!whet_str_equal(format, whet_str_from(FORMAT)))
        return whet_i_fail(r->ctx, WHET_ERR_FORMAT, "%s: format %s; expected \"%s\"", r->where,
                           whet_i_quote(quoted, format), FORMAT);
    WHET_TRY(whet_i_json_int(r->ctx, r->where, document, "version", 1, 1, &version));
    WHET_TRY(whet_i_json_object(r->ctx, r->where, document, "groups", &groups));
    WHET_TRY(whet_i_json_object(r->ctx, r->where, document, "tensors", &tensors));
    json_object_foreach(groups, key, value) WHET_TRY(read_group(r, key, value));
    json_object_foreach(tensors, key, value) WHET_TRY(read_tensor(r, key, value));
    WHET_TRY(whet_i_spec_convolutions_read(r->ctx, r->where, document, r->spec));
    return whet_i_spec_check(r->ctx, r->spec, r->where);
}

/* Any name will do, but for one that is run and says nothing that is understood of its norms. */
static whet_status check_arch(whet_ctx *ctx, const char *where, const json_t *arch) {
    char quoted[WHET_QUOTE_SIZE];
    if (arch && !json_is_string(arch))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: \"arch\" is %s; expected a string", where,
                           whet_i_json_kind(arch));
    if (!arch || !whet_i_arch_is_garbled(json_string_value(arch))) return WHET_OK;
    return whet_i_fail(
        ctx, WHET_ERR_FORMAT,
        "%s: \"arch\" is %s; expected nothing behind the architecture, or what its norms are of: "
        "groups (\"resnet:8\"), or channels each (\"resnet:x16\")",
        where, whet_i_quote(quoted, whet_str_from(json_string_value(arch))));
}

static whet_status from_json(whet_ctx *ctx, const char *where, json_t *document,
                             whet_permutation_spec **out) {
    const json_t *named = json_object_get(document, "arch");
    const char *arch = json_string_value(named);
    reader r = {ctx, where, NULL};
    WHET_TRY(check_arch(ctx, where, named));
    WHET_TRY(whet_i_spec_create(ctx, arch ? arch : "", &r.spec));
    const whet_status status = read_document(&r, document);
    if (status == WHET_OK)
        *out = r.spec;
    else
        whet_permutation_spec_destroy(ctx, r.spec);
    return status;
}

whet_status whet_i_spec_parse(whet_ctx *ctx, const char *where, const char *bytes, int64_t len,
                              whet_permutation_spec **out) {
    json_t *document;
    WHET_TRY(whet_i_json_parse(ctx, where, bytes, len, &document));
    const whet_status status = from_json(ctx, where, document, out);
    json_decref(document);
    return status;
}

whet_status whet_permutation_spec_read(whet_ctx *ctx, const char *path,
                                       whet_permutation_spec **out) {
    json_t *document;
    WHET_TRY(whet_i_json_read(ctx, path, FILE_MAX, &document));
    const whet_status status = from_json(ctx, path, document, out);
    json_decref(document);
    return status;
}

/* ---- writing --------------------------------------------------------------------------------------- */

static json_t *part_json(const whet_permutation_spec *spec, const whet_i_piece *p) {
    const whet_i_group *g = &spec->groups[p->group];
    return g->attention ? json_sprintf("%s.%s", g->name, PARTS[p->part]) : json_string(g->name);
}

static json_t *axis_json(const whet_permutation_spec *spec, const whet_i_axis *axis) {
    if (axis->n == 0) return json_null();
    if (axis->n == 1 && axis->pieces[0].count == 0) return part_json(spec, &axis->pieces[0]);
    json_t *runs = json_array();
    for (int32_t i = 0; i < axis->n; i++)
        (void)json_array_append_new(runs, json_pack("{s:o, s:I, s:I}", "group",
                                                    part_json(spec, &axis->pieces[i]), "first",
                                                    (json_int_t)axis->pieces[i].first, "count",
                                                    (json_int_t)axis->pieces[i].count));
    return runs;
}

static json_t *tensor_json(const whet_permutation_spec *spec, const whet_i_spec_tensor *t) {
    json_t *axes = json_array();
    for (int32_t x = 0; x < t->rank; x++)
        (void)json_array_append_new(axes, axis_json(spec, &t->axes[x]));
    return t->unmatched ? json_pack("{s:o, s:b}", "axes", axes, "matched", 0) : axes;
}

static json_t *group_json(const whet_i_group *g) {
    if (g->attention)
        return json_pack("{s:I, s:I, s:I, s:b}", "heads", (json_int_t)g->heads, "kv_heads",
                         (json_int_t)g->kv, "head_size", (json_int_t)g->size, "free_keys",
                         (int)g->free_keys);
    json_t *object = json_object();
    if (object && g->units)
        (void)json_object_set_new(object, "units", json_integer((json_int_t)g->units));
    if (object && g->blocks)
        (void)json_object_set_new(object, "blocks", json_integer((json_int_t)g->blocks));
    if (object && g->output) (void)json_object_set_new(object, "output", json_true());
    json_t *runs = g->n_runs ? json_array() : NULL;
    for (int32_t i = 0; i < g->n_runs; i++)
        (void)json_array_append_new(
            runs, json_pack("{s:I, s:I, s:I}", "first", (json_int_t)g->runs[i].first, "count",
                            (json_int_t)g->runs[i].count, "blocks", (json_int_t)g->runs[i].blocks));
    if (runs) (void)json_object_set_new(object, "runs", runs);
    return object;
}

whet_status whet_permutation_spec_write(whet_ctx *ctx, const whet_permutation_spec *spec,
                                        const char *path, bool force) {
    json_t *groups = json_object(), *tensors = json_object();
    for (int64_t i = 0; i < spec->n_groups; i++)
        (void)json_object_set_new(groups, spec->groups[i].name, group_json(&spec->groups[i]));
    for (int64_t i = 0; i < spec->n_tensors; i++)
        (void)json_object_set_new(tensors, spec->tensors[i].name,
                                  tensor_json(spec, &spec->tensors[i]));
    const bool whole = json_object_size(groups) == (size_t)spec->n_groups &&
                       json_object_size(tensors) == (size_t)spec->n_tensors;
    json_t *document = json_pack("{s:s, s:i, s:s, s:o, s:o}", "format", FORMAT, "version", 1,
                                 "arch", spec->arch, "groups", groups, "tensors", tensors);
    const bool all = whole && document && whet_i_spec_convolutions_write(spec, document);
    const whet_status status = whet_i_json_save(ctx, all ? document : NULL, path, force);
    json_decref(document);
    return status;
}
