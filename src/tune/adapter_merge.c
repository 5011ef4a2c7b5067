/* SPDX-License-Identifier: Apache-2.0
 * Adapters merged into their base: which tensors the new model has, and what is told of it. Each adapter's
 * change is of the base alone: W + sum of weight (W_adapter - W), so that the order does not count. */
#include <stdio.h>

#include "tune/adapter_merge.h"
#include "tune/adapter_parts.h"

enum { JSON_BYTES_MAX = 1 << 26 };

const whet_i_adapter_layer *whet_i_merging_layer(const whet_i_merging *m, int64_t i,
                                                 const char *base) {
    const whet_adapter *a = m->adapters[i];
    for (int64_t j = 0; j < a->n_layers; j++)
        if (strcmp(a->layers[j].base, base) == 0) return &a->layers[j];
    return NULL;
}

/* ---- opening ---------------------------------------------------------------------------------- */

static whet_status open_all(whet_ctx *ctx, whet_i_merging *m) {
    const whet_adapter_merge_job *j = m->job;
    char quoted[WHET_QUOTE_SIZE];
    const whet_status status = whet_i_weight_files_open(ctx, j->model, &m->files);
    if (status != WHET_OK)
        return whet_i_fail_at(ctx, status, "model %s",
                              whet_i_quote(quoted, whet_str_from(j->model)));
    WHET_TRY(whet_i_base_identity(ctx, &m->files, m->identity));
    WHET_TRY(whet_i_alloc_(ctx, j->n, sizeof(void *), true, &m->adapters));
    for (int64_t i = 0; i < j->n; i++) {
        WHET_TRY(whet_adapter_open(ctx, j->adapters[i], &m->adapters[i]));
        WHET_TRY(
            whet_i_adapter_fit(ctx, m->adapters[i], j->model, &m->files, m->identity, j->any_base));
    }
    WHET_TRY(whet_i_adapters_take_heads(ctx, m->adapters, j->adapters, j->n, j->heads_of));
    return whet_i_adapters_check_heads(ctx, (const whet_adapter *const *)m->adapters, j->n);
}

/* ---- what is written -------------------------------------------------------------------------- */

static whet_dtype type_of(const whet_i_merging *m, whet_dtype type) {
    return m->job->cast && whet_dtype_is_float(type) ? m->job->dtype : type;
}

static whet_status join(whet_ctx *ctx, whet_i_merging *m, const char *prefix, const char *name,
                        const char **out) {
    const size_t length = strlen(prefix) + strlen(name) + 1;
    char *made;
    WHET_TRY(whet_i_arena_alloc(ctx, &m->arena, (int64_t)length, 1, &made));
    (void)snprintf(made, length, "%s%s", prefix, name);
    *out = made;
    return WHET_OK;
}

static void look_up(whet_i_merging *m, const char *base, whet_i_merged_tensor *t) {
    bool own = false;
    for (int64_t i = 0; i < m->job->n; i++) {
        const whet_adapter *a = m->adapters[i];
        t->adapted = t->adapted || whet_i_merging_layer(m, i, base);
        for (int64_t h = 0; h < a->n_wholes; h++) {
            if (strcmp(a->wholes[h].base, base) != 0) continue;
            if (whet_i_adapter_changes(&a->wholes[h]))
                t->changed = true;
            else
                t->whole = a->wholes[h].tensor;
            own = own || a->wholes[h].own;
        }
    }
    m->n_own += own;
    m->n_adapted += t->adapted;
    m->n_heads += t->whole.data != NULL;
}

static whet_status plan_file(whet_ctx *ctx, whet_i_merging *m, int64_t f, int64_t more) {
    const whet_safetensors *from = m->files.items[f].tensors;
    const int64_t n = whet_safetensors_count(from);
    whet_i_merged_file *out = &m->out[f];
    *out = (whet_i_merged_file){.name = m->files.items[f].name, .from = from};
    WHET_TRY(whet_i_calloc(ctx, n + more, &out->items));
    for (int64_t i = 0; i < n; i++) {
        const char *base = whet_safetensors_name(from, i).ptr;
        whet_i_merged_tensor *t = &out->items[out->n++];
        (void)whet_safetensors_find(from, base, &t->base);
        WHET_TRY(join(ctx, m, m->prefix, base, &t->name));
        look_up(m, base, t);
        t->dtype = type_of(m, t->base.dtype);
    }
    return WHET_OK;
}

/* Whether an adapter before this one has it too, the same then. */
static bool has_before(const whet_i_merging *m, int64_t adapter, const char *name) {
    for (int64_t i = 0; i < adapter; i++)
        if (whet_i_adapter_find_whole(m->adapters[i], name)) return true;
    return false;
}

static whet_status put_new(whet_ctx *ctx, whet_i_merging *m, const char *name,
                           const whet_tensor *tensor) {
    whet_i_merged_file *last = &m->out[m->files.n - 1];
    whet_i_merged_tensor *made = &last->items[last->n++];
    made->whole = *tensor;
    made->dtype = type_of(m, tensor->dtype);
    return join(ctx, m, "", name, &made->name);
}

/* Of a base whose head is its word vectors the head keeps them, where the adapters have others. */
static whet_status plan_head(whet_ctx *ctx, whet_i_merging *m) {
    const whet_adapter *const *items = (const whet_adapter *const *)m->adapters;
    const whet_i_adapter_whole *words = whet_i_adapters_words(items, m->job->n);
    whet_tensor t;
    if (!m->parts_head || !words || whet_i_adapters_next(items, m->job->n) || !m->tied ||
        !whet_i_weight_files_find(&m->files, words->base, &t))
        return WHET_OK;
    return put_new(ctx, m, "lm_head.weight", &t);
}

/* Those that the base lacks go behind its last file's. */
static whet_status plan_new(whet_ctx *ctx, whet_i_merging *m) {
    const whet_adapter *const *items = (const whet_adapter *const *)m->adapters;
    const whet_i_adapter_whole *next = whet_i_adapters_next(items, m->job->n);
    whet_tensor t;
    for (int64_t i = 0; i < m->job->n; i++)
        for (int64_t h = 0; h < m->adapters[i]->n_wholes; h++) {
            const whet_i_adapter_whole *w = &m->adapters[i]->wholes[h];
            if (whet_i_weight_files_find(&m->files, w->base, &t) || has_before(m, i, w->name))
                continue;
            /* the word vectors are the head, as they have been */
            if (m->tied && !m->parts_head && next && strcmp(w->name, next->name) == 0) continue;
            m->n_heads++;
            WHET_TRY(put_new(ctx, m, w->name, &w->tensor));
        }
    return plan_head(ctx, m);
}

/* A base without the prefix that the adapter's names have ("bert.") gets it with a head: without,
 * transformers would take the head's names for the encoder's. */
static void choose_prefix(whet_i_merging *m) {
    m->prefix = "";
    for (int64_t i = 0; i < m->job->n; i++) {
        const whet_adapter *a = m->adapters[i];
        m->heads = m->heads || whet_i_adapter_has_heads(a);
        if (m->heads && a->prefix) m->prefix = a->prefix;
    }
}

/* Whether the base has no head but its word vectors, and does not say otherwise. */
static whet_status read_tied(whet_ctx *ctx, whet_i_merging *m) {
    whet_tensor t;
    char *path;
    json_t *config = NULL;
    WHET_TRY(whet_i_join_path(ctx, m->job->model, "config.json", &path));
    const whet_status status = whet_i_json_read(ctx, path, JSON_BYTES_MAX, &config);
    whet_i_free(ctx, path);
    if (status == WHET_ERR_NOMEM || status == WHET_ERR_CANCELLED) return status;
    m->tied = !whet_i_weight_files_find(&m->files, "lm_head.weight", &t) &&
              !json_is_false(json_object_get(config, "tie_word_embeddings"));
    json_decref(config);
    return WHET_OK;
}

static whet_status plan(whet_ctx *ctx, whet_i_merging *m) {
    int64_t wholes = 1; /* and a head that parts */
    choose_prefix(m);
    m->parts_head = whet_i_adapters_part_head((const whet_adapter *const *)m->adapters, m->job->n);
    WHET_TRY(read_tied(ctx, m));
    for (int64_t i = 0; i < m->job->n; i++) wholes += m->adapters[i]->n_wholes;
    WHET_TRY(whet_i_calloc(ctx, m->files.n, &m->out));
    for (int64_t f = 0; f < m->files.n; f++)
        WHET_TRY(plan_file(ctx, m, f, f == m->files.n - 1 ? wholes : 0));
    return plan_new(ctx, m);
}

/* ---- the report ------------------------------------------------------------------------------- */

static json_t *adapters_json(const whet_i_merging *m) {
    json_t *list = json_array();
    for (int64_t i = 0; i < m->job->n; i++)
        (void)json_array_append_new(list,
                                    json_pack("{s:s, s:f, s:I}", "adapter", m->adapters[i]->path,
                                              "weight", whet_i_merging_weight(m, i), "layers",
                                              (json_int_t)m->adapters[i]->n_layers));
    return list;
}

static json_t *probe_json(const whet_i_merging *m) {
    json_t *model = m->scale > 0 ? json_pack("{s:I, s:I, s:f, s:f}", "texts", (json_int_t)m->texts,
                                             "tokens", (json_int_t)m->tokens, "max_difference",
                                             m->difference, "largest", m->scale)
                                 : json_null();
    json_t *probe = json_pack("{s:{s:f, s:f}, s:o}", "layers", "max_difference",
                              m->layer_difference, "largest", m->layer_scale, "model", model);
    if (m->head_scale > 0)
        (void)json_object_set_new(probe, "head",
                                  json_pack("{s:f, s:f}", "max_difference", m->head_difference,
                                            "largest", m->head_scale));
    return probe;
}

static json_t *report_json(const whet_i_merging *m) {
    return json_pack(
        "{s:s, s:s, s:o, s:I, s:I, s:I, s:s, s:o}", "base", m->job->model, WHET_I_BASE_KEY,
        m->identity, "adapters", adapters_json(m), "layers", (json_int_t)m->n_adapted, "heads",
        (json_int_t)m->n_heads, "own", (json_int_t)m->n_own, "dtype",
        m->job->cast ? whet_dtype_name(m->job->dtype) : "keep", "probe", probe_json(m));
}

static whet_status write_report(whet_ctx *ctx, const whet_i_merging *m, const char *dir,
                                whet_i_buf *text) {
    char *path = NULL;
    whet_out *out = NULL;
    json_t *root = report_json(m);
    whet_status status = whet_i_json_dump(ctx, root, JSON_INDENT(2), text);
    json_decref(root);
    WHET_TRY(status);
    WHET_TRY_DONE(whet_i_join_path(ctx, dir, "merge.json", &path));
    WHET_TRY_DONE(whet_out_open(ctx, path, true, &out));
    WHET_TRY_DONE(whet_out_write(ctx, out, text->data, text->len));
    status = whet_out_commit(ctx, out);
    out = NULL;
done:
    whet_out_abort(ctx, out);
    whet_i_free(ctx, path);
    return status;
}

/* ---- all of it -------------------------------------------------------------------------------- */

static whet_status check_job(whet_ctx *ctx, const whet_adapter_merge_job *j) {
    if (!j->model || !j->output || j->n < 1)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "model, output and adapters; expected all, and one adapter at least");
    if (j->cast && j->dtype != WHET_F32 && j->dtype != WHET_BF16 && j->dtype != WHET_F16)
        return whet_i_fail(ctx, WHET_ERR_ARG, "dtype is %s; expected f32, bf16 or f16",
                           whet_dtype_name(j->dtype));
    WHET_TRY(whet_i_out_check_apart(ctx, j->output, j->model));
    for (int64_t i = 0; i < j->n; i++)
        WHET_TRY(whet_i_out_check_apart(ctx, j->output, j->adapters[i]));
    return whet_i_adapter_check_weights(ctx, j->weights, j->n);
}

static void free_merging(whet_ctx *ctx, whet_i_merging *m) {
    for (int64_t i = 0; m->adapters && i < m->job->n; i++) whet_adapter_close(ctx, m->adapters[i]);
    for (int64_t f = 0; m->out && f < m->files.n; f++) whet_i_free(ctx, m->out[f].items);
    whet_i_free(ctx, m->adapters);
    whet_i_free(ctx, m->out);
    whet_i_weight_files_close(ctx, &m->files);
    whet_i_arena_free(ctx, &m->arena);
}

whet_status whet_adapter_merge(whet_ctx *ctx, const whet_adapter_merge_job *job, char **report) {
    whet_adapter_merge_job j = WHET_ADAPTER_MERGE_JOB_INIT;
    whet_i_merging m = {.job = &j};
    whet_out_dir *dir = NULL;
    whet_i_buf text = {0};
    whet_status status = whet_i_opts(ctx, job, &j, sizeof j, "whet_adapter_merge_job");
    if (status == WHET_OK) status = check_job(ctx, &j);
    if (status != WHET_OK) return status;
    WHET_TRY_DONE(open_all(ctx, &m));
    WHET_TRY_DONE(plan(ctx, &m));
    WHET_TRY_DONE(whet_out_dir_open(ctx, j.output, j.force, &dir));
    WHET_TRY_DONE(whet_i_merged_weights(ctx, &m, whet_out_dir_path(dir)));
    WHET_TRY_DONE(whet_i_merged_files(ctx, &m, whet_out_dir_path(dir)));
    WHET_TRY_DONE(whet_i_merged_probe(ctx, &m, whet_out_dir_path(dir)));
    WHET_TRY_DONE(write_report(ctx, &m, whet_out_dir_path(dir), &text));
    status = whet_out_dir_commit(ctx, dir);
    dir = NULL;
    if (status == WHET_OK && report) {
        *report = text.data;
        text = (whet_i_buf){0};
    }
done:
    whet_i_buf_free(ctx, &text);
    whet_out_dir_abort(ctx, dir);
    free_merging(ctx, &m);
    return status;
}
