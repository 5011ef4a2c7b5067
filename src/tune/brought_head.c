/* SPDX-License-Identifier: Apache-2.0
 * The head that the model's folder brings, or the adapters that are gone on from: which class each of its
 * outputs is, and which of them the labels' classes begin with. Classes are matched by name: config.json's
 * "id2label" names them, but for names such as LABEL_0, which say nothing. */
#include <inttypes.h>
#include <stdio.h>

#include "tune/adapter_set.h"
#include "tune/tune_i.h"

/* ---- what there is ---------------------------------------------------------------------------- */

/* Whether it is of the last layer of a head: "<head>.weight", "<head>.bias". */
static bool is_last_layer(const whet_i_tune *run, const char *name, bool *bias) {
    const size_t n = strlen(run->backbone.head[0]);
    if (strncmp(name, run->backbone.head[0], n) != 0) return false;
    *bias = strcmp(name + n, ".bias") == 0;
    return *bias || strcmp(name + n, ".weight") == 0;
}

static void find_started(const whet_i_tune *run, whet_i_tune_head *head) {
    for (int64_t i = 0; run->start && i < run->start->n_wholes; i++) {
        const whet_i_adapter_whole *w = &run->start->wholes[i];
        bool bias;
        if (!is_last_layer(run, w->name, &bias)) continue;
        *(bias ? &head->bias : &head->weight) = w->tensor;
        head->started = true;
    }
}

static void find_in_folder(const whet_i_tune *run, whet_i_tune_head *head) {
    static const char *const ends[] = {".weight", ".bias"};
    for (int i = 0; i < 2; i++) {
        char name[256];
        whet_tensor *t = i ? &head->bias : &head->weight;
        (void)snprintf(name, sizeof name, "%s%s", run->backbone.head[0], ends[i]);
        if (whet_i_weight_files_find(&run->backbone.files, name, t)) continue;
        (void)snprintf(name, sizeof name, "%s%s%s", run->backbone.prefix, run->backbone.head[0],
                       ends[i]);
        (void)whet_i_weight_files_find(&run->backbone.files, name, t);
    }
}

/* Whether it reads the pooled embedding: 1, 0, or -1 where the folder does not say. */
static int reads_pooled(const whet_i_tune *run, bool started) {
    const json_t *config = run->backbone.config_json, *a;
    const char *kind = json_string_value(json_object_get(config, WHET_I_HEAD_KEY));
    size_t i;
    if (started) return whet_i_adapter_head_is_pooled(run->start);
    if (kind) return strcmp(kind, WHET_I_HEAD_POOLED_NAME) == 0;
    json_array_foreach(json_object_get(config, "architectures"), i,
                       a) if (json_is_string(a) &&
                              strcmp(json_string_value(a), run->backbone.classifier) == 0) return 0;
    return -1;
}

/* A head of the other kind has the right shape, and other inputs. */
static bool is_of_other_kind(whet_ctx *ctx, const whet_i_tune *run, bool started) {
    const bool pooled = run->job.head == WHET_TUNE_HEAD_POOLED;
    const int reads = reads_pooled(run, started);
    if (reads < 0 || (reads == 1) == pooled) return false;
    if (!run->job.new_head)
        whet_i_log(ctx, WHET_LOG_WARN,
                   "the head that is there is %s, and one %s is trained: it is a new one",
                   reads ? "on the pooled embedding" : "that of the model's family",
                   pooled ? "on the pooled embedding" : "of the family");
    return true;
}

/* Names of all outputs, or NULL where one has none, says nothing or is there twice. */
static whet_status read_names(whet_ctx *ctx, const json_t *config, int64_t k, whet_names **out) {
    const json_t *labels = json_object_get(config, "id2label");
    whet_names *names;
    bool all = json_is_object(labels) && (int64_t)json_object_size(labels) == k;
    WHET_TRY(whet_names_create(ctx, &names));
    for (int64_t c = 0; all && c < k; c++) {
        char number[24];
        (void)snprintf(number, sizeof number, "%" PRId64, c);
        const json_t *name = json_object_get(labels, number);
        all = json_is_string(name) && strncmp(json_string_value(name), "LABEL_", 6) != 0;
        if (!all) break;
        const whet_str text = {json_string_value(name), (int64_t)json_string_length(name)};
        const whet_status status = whet_names_add(ctx, names, text, NULL);
        if (status != WHET_OK) {
            whet_names_destroy(ctx, names);
            return status;
        }
    }
    if (all && whet_names_count(names) == k) {
        *out = names;
        return WHET_OK;
    }
    whet_names_destroy(ctx, names);
    return WHET_OK;
}

whet_status whet_i_tune_open_head(whet_ctx *ctx, whet_i_tune *run) {
    whet_i_tune_head head = {0};
    find_started(run, &head);
    if (!head.started) find_in_folder(run, &head);
    const whet_dtype type = head.weight.dtype;
    if (!head.weight.data || head.weight.rank != 2 || head.weight.shape[0] == 0) return WHET_OK;
    if (type != WHET_F32 && type != WHET_F16 && type != WHET_BF16) return WHET_OK;
    head.there = true;
    head.k = head.weight.shape[0];
    /* Rows in memory are another module's, which brings no head of its own. */
    head.fresh = run->given || run->job.new_head || is_of_other_kind(ctx, run, head.started);
    if (!head.fresh)
        WHET_TRY(read_names(ctx, head.started ? run->start->json : run->backbone.config_json,
                            head.k, &head.names));
    run->head = head;
    return WHET_OK;
}

/* ---- classes ---------------------------------------------------------------------------------- */

bool whet_i_tune_head_names_all(const whet_i_tune *run, const whet_i_given_labels *given) {
    if (!run->head.names) return false;
    for (int64_t i = 0; i < given->n; i++)
        if (whet_names_find(run->head.names, given->items[i].name) < 0) return false;
    return true;
}

/* 0 to k - 1: they say which output is meant, and nothing of its name. */
static bool are_numbers(const whet_names *classes, int64_t k) {
    for (int64_t c = 0; c < k; c++) {
        char number[24];
        (void)snprintf(number, sizeof number, "%" PRId64, c);
        if (!whet_str_equal(whet_names_get(classes, c), whet_str_from(number))) return false;
    }
    return whet_names_count(classes) == k;
}

static whet_status other_classes(whet_ctx *ctx, const whet_i_tune *run, whet_str name,
                                 const whet_i_given_labels *given) {
    char quoted[WHET_QUOTE_SIZE], near_quoted[WHET_QUOTE_SIZE], line[32] = "";
    const char *list = run->job.classes;
    const int64_t near = whet_i_nearest_name(run->head.names, name);
    for (int64_t i = 0; !list && given && i < given->n && !line[0]; i++)
        if (whet_str_equal(given->items[i].name, name))
            (void)snprintf(line, sizeof line, ":%" PRId64, given->items[i].line);
    return whet_i_fail(
        ctx, WHET_ERR_DATA,
        "%s%s: %s %s is none of the %" PRId64
        " classes of the head that is there%s%s; expected one of them, or a new head (--new-head)",
        list ? list : run->job.train, line, list ? "class" : "label", whet_i_quote(quoted, name),
        run->head.k, near < 0 ? "" : ", of which the nearest is ",
        near < 0 ? "" : whet_i_quote(near_quoted, whet_names_get(run->head.names, near)));
}

static whet_status take_names(whet_ctx *ctx, whet_i_tune *run) {
    whet_names *names;
    WHET_TRY(whet_names_create(ctx, &names));
    whet_names_destroy(ctx, run->classes);
    run->classes = names;
    for (int64_t c = 0; c < run->head.k; c++)
        WHET_TRY(whet_names_add(ctx, names, whet_names_get(run->head.names, c), NULL));
    return WHET_OK;
}

whet_status whet_i_tune_match_head(whet_ctx *ctx, whet_i_tune *run,
                                   const whet_i_given_labels *given, bool free_order) {
    whet_i_tune_head *head = &run->head;
    const int64_t n = whet_names_count(run->classes);
    bool same = n == head->k;
    char theirs[WHET_QUOTE_SIZE];
    if (!head->names || run->kind->embeds) return WHET_OK;
    WHET_TRY(whet_i_arena_alloc(ctx, &run->arena, n, sizeof *head->rows, &head->rows));
    for (int64_t c = 0; c < n; c++) {
        head->rows[c] = whet_names_find(head->names, whet_names_get(run->classes, c));
        same = same && head->rows[c] == c;
        if (head->rows[c] >= 0) continue;
        head->rows = NULL;
        if (!are_numbers(run->classes, head->k))
            return other_classes(ctx, run, whet_names_get(run->classes, c), given);
        whet_i_log(ctx, WHET_LOG_WARN,
                   "labels are numbers, and outputs of the head that is there have names: 0 is "
                   "taken for its first, %s",
                   whet_i_quote(theirs, whet_names_get(head->names, 0)));
        return WHET_OK;
    }
    if (same || free_order) head->rows = NULL;
    return !same && free_order ? take_names(ctx, run) : WHET_OK;
}

/* ---- its tensors ------------------------------------------------------------------------------ */

/* Rows `rows` [k] of a tensor, in the arena. */
static whet_status gather(whet_ctx *ctx, whet_i_tune *run, const whet_tensor *from,
                          whet_tensor *out) {
    const size_t size =
        (size_t)(whet_tensor_count(from) / from->shape[0]) * (size_t)whet_dtype_size(from->dtype);
    char *made;
    WHET_TRY(whet_i_arena_alloc(ctx, &run->arena, run->k, size, &made));
    for (int64_t c = 0; c < run->k; c++)
        memcpy(made + (size_t)c * size, (const char *)from->data + (size_t)run->head.rows[c] * size,
               size);
    *out = *from;
    out->data = made;
    out->shape[0] = run->k;
    return WHET_OK;
}

whet_status whet_i_tune_head_tensor(whet_ctx *ctx, whet_i_tune *run, const char *name, bool *is,
                                    whet_tensor *out) {
    bool bias;
    *is = is_last_layer(run, name, &bias);
    *out = (whet_tensor){0};
    if (!*is || run->head.fresh) return WHET_OK;
    const whet_tensor *t = bias ? &run->head.bias : &run->head.weight;
    if (t->data && run->head.rows && t->shape[0] == run->head.k) return gather(ctx, run, t, out);
    *out = *t;
    return WHET_OK;
}

static whet_status check_outputs(whet_ctx *ctx, const whet_i_tune *run) {
    const whet_i_tune_head *h = &run->head;
    char quoted[WHET_QUOTE_SIZE];
    if (!h->there || h->fresh || h->rows || h->k == run->k) return WHET_OK;
    const char *folder = h->started ? run->job.init_adapter : run->job.model;
    return whet_i_fail(ctx, WHET_ERR_SHAPE,
                       "%s: its head has %" PRId64 " output%s; expected %" PRId64
                       ", %s, or a new head (--new-head)",
                       whet_i_quote(quoted, whet_str_from(folder)), h->k, h->k == 1 ? "" : "s",
                       run->k, run->regression ? "for numbers" : "one a class of the labels");
}

whet_status whet_i_tune_bind_head(whet_ctx *ctx, whet_i_tune *run) {
    if (run->kind->embeds || run->kind->targets == WHET_I_TARGET_TOKENS) return WHET_OK;
    WHET_TRY(check_outputs(ctx, run));
    for (int64_t i = 0; i < run->params->n; i++) {
        whet_i_param *p = &run->params->items[i];
        bool is;
        whet_tensor t;
        WHET_TRY(whet_i_tune_head_tensor(ctx, run, p->name, &is, &t));
        if (!is) continue;
        if (run->head.fresh || run->head.started)
            p->filled = true; /* the folder's is not bound to it */
        else if (run->head.rows && whet_tensor_count(&t) == p->count && t.rank == p->rank)
            p->source = t;
    }
    return WHET_OK;
}

void whet_i_tune_bound_head(whet_i_tune *run) {
    for (int64_t i = 0; i < run->params->n; i++) run->params->items[i].filled = false;
}
