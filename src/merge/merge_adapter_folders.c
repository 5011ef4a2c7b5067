/* SPDX-License-Identifier: Apache-2.0
 * Adapter folders merged into one: LoRA by concatenation (exact, ranks add up) or cut to a rank by singular
 * values; Monarch adapters (MoRe) by concatenation in their blocks. What else was trained (heads, biases)
 * is the mean by weights. */
#include "merge/low_rank.h"

#include <math.h>
#include <stdio.h>

#include "io/io_i.h"

enum { JSON_BYTES_MAX = 1 << 24, RANK_MAX = 65536, NAME_MAX_LEN = 1100 };
static const char config_name[] = "adapter_config.json";
static const char weights_name[] = "adapter_model.safetensors";

typedef struct folder {
    char *config_path, *weights_path;
    json_t *config;
    whet_safetensors *file;
    double weight;
} folder;

typedef struct merging {
    const whet_merge_adapters_job *job;
    folder *folders; /* [n] */
    int64_t n;
    bool monarch, svd;
    int64_t blocks, rank; /* of the output */
    double lost;          /* largest of a layer */
    int64_t layers;
    whet_names *names; /* all tensors */
    whet_named_tensor *items;
    int64_t n_items;
    whet_i_arena arena;
} merging;

/* ---- reading ---------------------------------------------------------------------------------- */

whet_status whet_i_merge_adapter_config(whet_ctx *ctx, const char *path, json_t **out) {
    json_t *config;
    bool dora;
    WHET_TRY(whet_i_json_read(ctx, path, JSON_BYTES_MAX, &config));
    whet_status status = whet_i_peft_check(ctx, path, config);
    if (status == WHET_OK)
        status = whet_i_json_bool_or(ctx, path, config, "use_dora", false, &dora);
    if (status == WHET_OK && dora)
        status = whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                             "%s: DoRA, whose lengths are no sum; expected LoRA; try merging each "
                             "into its model",
                             path);
    if (status == WHET_OK)
        *out = config;
    else
        json_decref(config);
    return status;
}

static whet_status open_folder(whet_ctx *ctx, const char *path, folder *f) {
    WHET_TRY(whet_i_join_path(ctx, path, config_name, &f->config_path));
    WHET_TRY(whet_i_join_path(ctx, path, weights_name, &f->weights_path));
    WHET_TRY(whet_i_merge_adapter_config(ctx, f->config_path, &f->config));
    return whet_safetensors_open(ctx, f->weights_path, &f->file);
}

static whet_status kind_of(whet_ctx *ctx, const folder *f, bool *monarch) {
    whet_str kind;
    char quoted[WHET_QUOTE_SIZE];
    WHET_TRY(whet_i_json_str(ctx, f->config_path, f->config, "peft_type", &kind));
    *monarch = whet_str_equal(kind, whet_str_from("MORE"));
    if (*monarch || whet_str_equal(kind, whet_str_from("LORA"))) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                       "%s: an adapter of type %s; expected LORA or MORE", f->config_path,
                       whet_i_quote(quoted, kind));
}

/* Patterns and "all-linear" are not united, neither with another nor with a list; layers stored the other
 * way round are so in all. */
static whet_status check_lists(whet_ctx *ctx, const folder *first, const folder *f) {
    static const char *const keys[] = {"target_modules", "exclude_modules", "layers_to_transform"};
    static const char turned[] = "fan_in_fan_out";
    if (whet_i_peft_says(first->config, turned) != whet_i_peft_says(f->config, turned))
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s: \"%s\" is another than in %s; expected the same", f->config_path,
                           turned, first->config_path);
    for (int64_t i = 0; i < WHET_COUNT_OF(keys); i++) {
        const json_t *a = json_object_get(first->config, keys[i]);
        const json_t *b = json_object_get(f->config, keys[i]);
        const bool lists = (!a || json_is_null(a) || json_is_array(a)) &&
                           (!b || json_is_null(b) || json_is_array(b));
        if ((i != 1 && lists) || json_equal(a, b) ||
            (lists && !whet_i_peft_says(first->config, keys[i]) &&
             !whet_i_peft_says(f->config, keys[i])))
            continue;
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "%s: \"%s\" is another than in %s; expected %s", f->config_path, keys[i],
                           first->config_path, i == 1 ? "the same" : "lists, or the same");
    }
    return WHET_OK;
}

static whet_status open_all(whet_ctx *ctx, merging *m) {
    for (int64_t i = 0; i < m->n; i++) {
        folder *f = &m->folders[i];
        bool monarch;
        WHET_TRY(open_folder(ctx, m->job->adapters[i], f));
        WHET_TRY(kind_of(ctx, f, &monarch));
        WHET_TRY(check_lists(ctx, &m->folders[0], f));
        if (i == 0) m->monarch = monarch;
        if (monarch != m->monarch)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s: %s beside %s; expected adapters of one kind", f->config_path,
                               monarch ? "MoRe" : "LoRA", monarch ? "LoRA" : "MoRe");
        for (int64_t k = 0; k < whet_safetensors_count(f->file); k++) {
            const whet_str name = whet_safetensors_name(f->file, k);
            if (name.len == 0 || name.len > 1000)
                return whet_i_fail(ctx, WHET_ERR_FORMAT,
                                   "%s: a tensor's name has %lld characters; "
                                   "expected 1 to 1000",
                                   f->weights_path, (long long)name.len);
            WHET_TRY(whet_names_add(ctx, m->names, name, NULL));
        }
        if (monarch) {
            int64_t blocks;
            WHET_TRY(
                whet_i_json_int(ctx, f->config_path, f->config, "nblocks", 1, 1 << 16, &blocks));
            if (i && blocks != m->blocks)
                return whet_i_fail(ctx, WHET_ERR_SHAPE,
                                   "%s: %lld blocks; expected the %lld of the "
                                   "first",
                                   f->config_path, (long long)blocks, (long long)m->blocks);
            m->blocks = blocks;
        }
    }
    return WHET_OK;
}

/* ---- layers ----------------------------------------------------------------------------------- */

static bool ends_with(whet_str text, const char *end) {
    const int64_t len = (int64_t)strlen(end);
    return text.len >= len && memcmp(text.ptr + text.len - len, end, (size_t)len) == 0;
}

/* The second factor's name, by the first's end and its own. */
static void partner(char out[NAME_MAX_LEN], whet_str name, const char *end, const char *own) {
    (void)snprintf(out, NAME_MAX_LEN, "%.*s%s", (int)(name.len - (int64_t)strlen(end)), name.ptr,
                   own);
}

static whet_status add_item(whet_ctx *ctx, merging *m, const char *name, const whet_tensor *t) {
    const int64_t len = (int64_t)strlen(name) + 1;
    char *copy;
    WHET_TRY(whet_i_arena_alloc(ctx, &m->arena, len, 1, (void *)&copy));
    memcpy(copy, name, (size_t)len);
    m->items[m->n_items++] = (whet_named_tensor){copy, *t};
    return WHET_OK;
}

/* A copy as f64 in the arena, finite. */
static whet_status widen(whet_ctx *ctx, merging *m, const char *where, const char *name,
                         const whet_tensor *view, double **out) {
    whet_tensor wide;
    char quoted[WHET_QUOTE_SIZE];
    const int64_t n = whet_tensor_count(view);
    WHET_TRY(whet_tensor_convert(ctx, view, WHET_F64, &wide));
    whet_status status = whet_i_arena_alloc(ctx, &m->arena, n, sizeof **out, (void *)out);
    for (int64_t i = 0; status == WHET_OK && i < n; i++) {
        (*out)[i] = ((const double *)wide.data)[i];
        if (!isfinite((*out)[i]))
            status = whet_i_fail(ctx, WHET_ERR_DATA,
                                 "%s: tensor %s is NaN or infinite at %lld; "
                                 "expected finite numbers",
                                 where, whet_i_quote(quoted, whet_str_from(name)), (long long)i);
    }
    whet_tensor_destroy(ctx, &wide);
    return status;
}

static whet_status narrowed(whet_ctx *ctx, merging *m, int64_t rows, int64_t columns,
                            const double *x, const char *name) {
    whet_tensor t = {.dtype = WHET_F32, .rank = 2, .shape = {rows, columns}};
    float *values;
    WHET_TRY(whet_i_arena_alloc(ctx, &m->arena, rows * columns, sizeof *values, (void *)&values));
    for (int64_t i = 0; i < rows * columns; i++) values[i] = (float)x[i];
    t.data = values;
    return add_item(ctx, m, name, &t);
}

/* A layer's terms, of the adapters that have it; both factors must fit the first's. */
static whet_status terms_of(whet_ctx *ctx, merging *m, const char *a_name, const char *b_name,
                            whet_i_low_rank *terms, int64_t *n, int64_t *in, int64_t *out) {
    char quoted[WHET_QUOTE_SIZE];
    whet_str module = whet_str_from(a_name);
    module.len -= (int64_t)strlen(".lora_A.weight");
    *n = 0;
    for (int64_t i = 0; i < m->n; i++) {
        const folder *f = &m->folders[i];
        whet_tensor a, b;
        double *wide_a, *wide_b, scale;
        const bool has_a = whet_safetensors_find(f->file, a_name, &a);
        const bool has_b = whet_safetensors_find(f->file, b_name, &b);
        if (!has_a && !has_b) continue;
        if (!has_a || !has_b || a.rank != 2 || b.rank != 2 || a.shape[0] != b.shape[1] ||
            a.shape[0] < 1 || a.shape[0] > RANK_MAX ||
            (*n && (a.shape[1] != *in || b.shape[0] != *out)))
            return whet_i_fail(ctx, WHET_ERR_SHAPE,
                               "%s: %s does not fit its lora_B, or the layer of "
                               "the adapters before; expected [rank, in] and [out, rank]",
                               f->weights_path, whet_i_quote(quoted, whet_str_from(a_name)));
        *in = a.shape[1];
        *out = b.shape[0];
        WHET_TRY(widen(ctx, m, f->weights_path, a_name, &a, &wide_a));
        WHET_TRY(widen(ctx, m, f->weights_path, b_name, &b, &wide_b));
        WHET_TRY(
            whet_i_peft_lora_scale(ctx, f->config_path, f->config, module, a.shape[0], &scale));
        terms[(*n)++] = (whet_i_low_rank){a.shape[0], wide_a, wide_b, scale * f->weight};
    }
    return WHET_OK;
}

static whet_status merge_lora(whet_ctx *ctx, merging *m, whet_str name) {
    whet_i_low_rank terms[WHET_MERGE_MODELS_MAX];
    char b_name[NAME_MAX_LEN];
    double *a = NULL, *b = NULL, lost = 0;
    int64_t n, in = 0, out = 0;
    whet_status status = WHET_OK;
    partner(b_name, name, ".lora_A.weight", ".lora_B.weight");
    WHET_TRY(terms_of(ctx, m, name.ptr, b_name, terms, &n, &in, &out));
    WHET_TRY_DONE(whet_i_alloc(ctx, m->rank * in, &a));
    WHET_TRY_DONE(whet_i_alloc(ctx, out * m->rank, &b));
    if (m->svd)
        WHET_TRY_DONE(whet_i_low_rank_truncate(ctx, terms, n, out, in, m->rank, a, b, &lost));
    else
        whet_i_low_rank_concat(terms, n, out, in, m->rank, a, b);
    if (lost > m->lost) m->lost = lost;
    m->layers++;
    WHET_TRY_DONE(narrowed(ctx, m, m->rank, in, a, name.ptr));
    status = narrowed(ctx, m, out, m->rank, b, b_name);
done:
    whet_i_free(ctx, a);
    whet_i_free(ctx, b);
    return status;
}

static whet_status merge_monarch(whet_ctx *ctx, merging *m, whet_str name) {
    whet_i_monarch_term terms[WHET_MERGE_MODELS_MAX];
    whet_tensor w1[WHET_MERGE_MODELS_MAX], w2[WHET_MERGE_MODELS_MAX];
    char other[NAME_MAX_LEN], quoted[WHET_QUOTE_SIZE];
    int64_t n = 0, rank = 0;
    partner(other, name, "more_w1", "more_w2");
    for (int64_t i = 0; i < m->n; i++) {
        const folder *f = &m->folders[i];
        const bool first = whet_safetensors_find(f->file, name.ptr, &w1[n]);
        if (!first && !whet_safetensors_find(f->file, other, &w2[n])) continue;
        if (!first || !whet_safetensors_find(f->file, other, &w2[n]) || w1[n].rank != 3 ||
            w2[n].rank != 3 || w1[n].shape[0] != m->blocks || w2[n].shape[0] != m->blocks ||
            w1[n].shape[1] != w2[n].shape[2] || w1[n].shape[1] < 1 || w1[n].shape[1] > RANK_MAX ||
            w1[n].shape[2] != w1[0].shape[2] || w2[n].shape[1] != w2[0].shape[1])
            return whet_i_fail(ctx, WHET_ERR_SHAPE,
                               "%s: %s does not fit its more_w2, or the layer "
                               "of the adapters before; expected [blocks, rank, p] and [blocks, q, "
                               "rank]",
                               f->weights_path, whet_i_quote(quoted, name));
        if (w1[n].shape[1] % m->blocks != 0)
            return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                               "%s: rank %lld of %s is no multiple of "
                               "its %lld blocks, and sums have no such form; try whet tune merge "
                               "into the model",
                               f->weights_path, (long long)w1[n].shape[1],
                               whet_i_quote(quoted, name), (long long)m->blocks);
        double *wide1, *wide2; /* finite */
        WHET_TRY(widen(ctx, m, f->weights_path, name.ptr, &w1[n], &wide1));
        WHET_TRY(widen(ctx, m, f->weights_path, other, &w2[n], &wide2));
        float *values;
        const int64_t c1 = whet_tensor_count(&w1[n]), c2 = whet_tensor_count(&w2[n]);
        WHET_TRY(whet_i_arena_alloc(ctx, &m->arena, c1 + c2, sizeof *values, (void *)&values));
        for (int64_t k = 0; k < c1; k++) values[k] = (float)wide1[k];
        for (int64_t k = 0; k < c2; k++) values[c1 + k] = (float)wide2[k];
        rank += w1[n].shape[1];
        terms[n] = (whet_i_monarch_term){w1[n].shape[1], values, values + c1, f->weight};
        n++;
    }
    const int64_t p = w1[0].shape[2], q = w2[0].shape[1];
    whet_tensor out1 = {.dtype = WHET_F32, .rank = 3, .shape = {m->blocks, rank, p}};
    whet_tensor out2 = {.dtype = WHET_F32, .rank = 3, .shape = {m->blocks, q, rank}};
    WHET_TRY(whet_i_arena_alloc(ctx, &m->arena, whet_tensor_count(&out1), sizeof(float),
                                (void *)&out1.data));
    WHET_TRY(whet_i_arena_alloc(ctx, &m->arena, whet_tensor_count(&out2), sizeof(float),
                                (void *)&out2.data));
    whet_i_monarch_terms_concat(terms, n, m->blocks, p, q, out1.data, out2.data);
    m->layers++;
    if (rank > m->rank) m->rank = rank;
    WHET_TRY(add_item(ctx, m, name.ptr, &out1));
    return add_item(ctx, m, other, &out2);
}

/* The mean by weights, of the adapters that have it. */
static whet_status merge_other(whet_ctx *ctx, merging *m, whet_str name) {
    whet_tensor first = {0};
    double *sum = NULL, weights = 0;
    char quoted[WHET_QUOTE_SIZE];
    for (int64_t i = 0; i < m->n; i++) {
        const folder *f = &m->folders[i];
        whet_tensor view;
        double *wide;
        if (!whet_safetensors_find(f->file, name.ptr, &view)) continue;
        if (sum && (view.rank != first.rank ||
                    memcmp(view.shape, first.shape, (size_t)view.rank * sizeof *view.shape) != 0))
            return whet_i_fail(ctx, WHET_ERR_SHAPE,
                               "%s: tensor %s has another shape than in the "
                               "adapters before; expected heads of the same classes",
                               f->weights_path, whet_i_quote(quoted, name));
        WHET_TRY(widen(ctx, m, f->weights_path, name.ptr, &view, &wide));
        for (int64_t k = 0; k < whet_tensor_count(&view); k++)
            wide[k] = f->weight * wide[k] + (sum ? sum[k] : 0);
        sum = wide;
        first = view;
        weights += f->weight;
    }
    if (fabs(weights) < 1e-8)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "weights of tensor %s sum to %g; expected another sum "
                           "than 0",
                           whet_i_quote(quoted, name), weights);
    whet_tensor t = {.dtype = WHET_F32, .rank = first.rank};
    memcpy(t.shape, first.shape, sizeof t.shape);
    float *values;
    const int64_t n = whet_tensor_count(&t);
    WHET_TRY(whet_i_arena_alloc(ctx, &m->arena, n, sizeof *values, (void *)&values));
    for (int64_t k = 0; k < n; k++) values[k] = (float)(sum[k] / weights);
    t.data = values;
    return add_item(ctx, m, name.ptr, &t);
}

/* The rank of the output: as asked for; the sum, or the largest, of any layer. */
static whet_status find_rank(whet_ctx *ctx, merging *m) {
    int64_t sum = 0, largest = 0;
    for (int64_t k = 0; k < whet_names_count(m->names); k++) {
        const whet_str name = whet_names_get(m->names, k);
        int64_t here = 0;
        whet_tensor a;
        if (!ends_with(name, ".lora_A.weight")) continue;
        for (int64_t i = 0; i < m->n; i++) {
            if (!whet_safetensors_find(m->folders[i].file, name.ptr, &a) || a.rank != 2) continue;
            if (a.shape[0] > largest) largest = a.shape[0];
            here += a.shape[0];
        }
        if (here > sum) sum = here;
    }
    if (!m->monarch && (largest < 1 || sum > RANK_MAX))
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s: %s; expected lora_A and lora_B of ranks that sum "
                           "to at most %d",
                           m->folders[0].weights_path,
                           largest ? "ranks are too large" : "no layers", RANK_MAX);
    m->rank = !m->svd ? sum : m->job->rank ? m->job->rank : largest;
    return WHET_OK;
}

static whet_status merge_all(whet_ctx *ctx, merging *m) {
    const int64_t n = whet_names_count(m->names);
    char quoted[WHET_QUOTE_SIZE];
    if (!m->monarch) WHET_TRY(find_rank(ctx, m));
    WHET_TRY(whet_i_calloc(ctx, 2 * n + 1, &m->items));
    for (int64_t k = 0; k < n; k++) {
        const whet_str name = whet_names_get(m->names, k);
        if (ends_with(name, ".lora_B.weight") || ends_with(name, "more_w2")) continue;
        if (strstr(name.ptr, ".lora_embedding_") || ends_with(name, ".lora_B.bias"))
            return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                               "%s: %s is of a table of words, or a bias behind the factors; "
                               "expected LoRA of linear layers; try merging each into its model",
                               m->folders[0].weights_path, whet_i_quote(quoted, name));
        if (ends_with(name, "lora_magnitude_vector"))
            return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED, "%s: DoRA; expected LoRA",
                               m->folders[0].weights_path);
        WHET_TRY(ends_with(name, ".lora_A.weight") ? merge_lora(ctx, m, name)
                 : ends_with(name, "more_w1")      ? merge_monarch(ctx, m, name)
                                                   : merge_other(ctx, m, name));
        WHET_TRY(whet_i_progress(ctx, "merge", k + 1, n));
    }
    if (m->layers) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_DATA, "%s: no layers; expected an adapter",
                       m->folders[0].weights_path);
}

/* ---- writing ---------------------------------------------------------------------------------- */

/* Lists of all, each member once. Where one has none (null): its layers are all layers there are, its modules
 * to save none. */
static int unite_list(json_t *config, const json_t *other, const char *key, bool null_is_all) {
    json_t *list = json_object_get(config, key);
    json_t *more = json_object_get(other, key), *value;
    size_t i, k;
    const json_t *has;
    int failed = 0;
    const bool none = !json_is_array(list), none_more = !json_is_array(more);
    if (none && none_more) return 0; /* the same, or check_lists has told */
    if (null_is_all && (none || none_more)) return json_object_set_new(config, key, json_null());
    if (none) return json_object_set(config, key, more);
    json_array_foreach(more, i, value) {
        bool there = false;
        json_array_foreach(list, k, has) there |= json_equal(has, value) != 0;
        if (!there) failed |= json_array_append(list, value);
    }
    return failed;
}

static json_t *merged_config(const merging *m) {
    json_t *config = json_deep_copy(m->folders[0].config);
    if (!config) return NULL;
    int failed = json_object_set_new(config, "r", json_integer(m->rank));
    if (!m->monarch) { /* what B and A multiply into is the change itself */
        failed |= json_object_set_new(config, "lora_alpha", json_integer(m->rank));
        failed |= json_object_set_new(config, "use_rslora", json_false());
        failed |= json_object_set_new(config, "rank_pattern", json_object());
        failed |= json_object_set_new(config, "alpha_pattern", json_object());
    }
    for (int64_t i = 1; i < m->n; i++) {
        failed |= unite_list(config, m->folders[i].config, "target_modules", false);
        failed |= unite_list(config, m->folders[i].config, "modules_to_save", false);
        failed |= unite_list(config, m->folders[i].config, "layers_to_transform", true);
    }
    if (!failed) return config;
    json_decref(config);
    return NULL;
}

static whet_status write_folder(whet_ctx *ctx, const merging *m) {
    static const char *const metadata[] = {"format", "pt", NULL};
    whet_out_dir *dir = NULL;
    char *path = NULL;
    json_t *config = NULL;
    whet_status status = whet_out_dir_open(ctx, m->job->output, m->job->force, &dir);
    if (status != WHET_OK) return status;
    WHET_TRY_DONE(whet_i_join_path(ctx, whet_out_dir_path(dir), weights_name, &path));
    WHET_TRY_DONE(whet_safetensors_write(ctx, path, false, m->items, m->n_items, metadata));
    whet_i_free(ctx, path);
    path = NULL;
    WHET_TRY_DONE(whet_i_join_path(ctx, whet_out_dir_path(dir), config_name, &path));
    config = merged_config(m);
    WHET_TRY_DONE(whet_i_json_save(ctx, config, path, false));
    whet_out_dir *finished = dir;
    dir = NULL;
    status = whet_out_dir_commit(ctx, finished);
done:
    json_decref(config);
    whet_i_free(ctx, path);
    whet_out_dir_abort(ctx, dir);
    return status;
}

/* ---- the whole -------------------------------------------------------------------------------- */

static whet_status check_job(whet_ctx *ctx, const whet_merge_adapters_job *job) {
    if (job->n < 1 || job->n > WHET_MERGE_MODELS_MAX || !job->output || !*job->output)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%lld adapters, %s output; expected 1 to %d, and one",
                           (long long)job->n, job->output && *job->output ? "an" : "no",
                           WHET_MERGE_MODELS_MAX);
    if (whet_i_has_extension(job->output, ".safetensors"))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s: adapters are merged to a folder; expected a name of one",
                           job->output);
    if (job->rank < 0 || job->rank > RANK_MAX || (job->rank && !job->svd))
        return whet_i_fail(ctx, WHET_ERR_ARG, "rank %lld; expected 1 to %d, and svd",
                           (long long)job->rank, RANK_MAX);
    for (int64_t i = 0; i < job->n; i++)
        WHET_TRY(whet_i_out_check_apart(ctx, job->output, job->adapters[i]));
    for (int64_t i = 0; job->weights && i < job->n; i++)
        if (!(fabs(job->weights[i]) <= 1e6))
            return whet_i_fail(ctx, WHET_ERR_ARG, "weight %g; expected -1e6 to 1e6",
                               job->weights[i]);
    return WHET_OK;
}

whet_status whet_merge_adapters(whet_ctx *ctx, const whet_merge_adapters_job *given,
                                whet_merge_adapters_summary *out) {
    whet_merge_adapters_job job = WHET_MERGE_ADAPTERS_JOB_INIT;
    merging m = {0};
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_opts(ctx, given, &job, sizeof job, "whet_merge_adapters_job"));
    WHET_TRY(check_job(ctx, &job));
    m.job = &job;
    m.svd = job.svd;
    WHET_TRY_DONE(whet_i_calloc(ctx, job.n, &m.folders));
    m.n = job.n;
    for (int64_t i = 0; i < m.n; i++) m.folders[i].weight = job.weights ? job.weights[i] : 1;
    WHET_TRY_DONE(whet_names_create(ctx, &m.names));
    WHET_TRY_DONE(open_all(ctx, &m));
    if (m.monarch && m.svd) {
        status =
            whet_i_fail(ctx, WHET_ERR_UNSUPPORTED, "%s: MoRe has no rank to cut; expected concat",
                        m.folders[0].config_path);
        goto done;
    }
    WHET_TRY_DONE(merge_all(ctx, &m));
    WHET_TRY_DONE(write_folder(ctx, &m));
    if (out) *out = (whet_merge_adapters_summary){m.layers, m.rank, m.lost};
done:
    for (int64_t i = 0; i < m.n; i++) {
        whet_safetensors_close(ctx, m.folders[i].file);
        json_decref(m.folders[i].config);
        whet_i_free(ctx, m.folders[i].config_path);
        whet_i_free(ctx, m.folders[i].weights_path);
    }
    whet_i_free(ctx, m.folders);
    whet_i_free(ctx, m.items);
    whet_names_destroy(ctx, m.names);
    whet_i_arena_free(ctx, &m.arena);
    return status;
}
