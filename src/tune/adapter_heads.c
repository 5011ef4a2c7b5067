/* SPDX-License-Identifier: Apache-2.0
 * Modules that adapters have whole, such as heads: they are one adapter's, not a sum, and of several adapters
 * it is said whose. */
#include "tune/adapter_set.h"

static bool same_tensor(const whet_tensor *a, const whet_tensor *b) {
    const size_t bytes = (size_t)whet_tensor_count(a) * whet_dtype_size(a->dtype);
    return a->dtype == b->dtype && a->rank == b->rank &&
           memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0 &&
           memcmp(a->data, b->data, bytes) == 0;
}

const whet_i_adapter_whole *whet_i_adapter_find_whole(const whet_adapter *a, const char *name) {
    for (int64_t i = 0; i < a->n_wholes; i++)
        if (strcmp(a->wholes[i].name, name) == 0) return &a->wholes[i];
    return NULL;
}

bool whet_i_adapter_has_heads(const whet_adapter *a) {
    for (int64_t i = 0; i < a->n_wholes; i++)
        if (!whet_i_adapter_changes(&a->wholes[i])) return true;
    return false;
}

/* Whether a tensor is the weight of a layer that the adapter is for. */
static bool adapts(const whet_adapter *a, const char *tensor) {
    for (int64_t i = 0; i < a->n_layers; i++) {
        const size_t n = strlen(a->layers[i].module);
        if (strncmp(a->layers[i].module, tensor, n) == 0 && strcmp(tensor + n, ".weight") == 0)
            return true;
    }
    return false;
}

whet_status whet_i_adapter_check_head(whet_ctx *ctx, const whet_adapter *const *items, int64_t n,
                                      int64_t i, const whet_i_adapter_whole *w) {
    char quoted[WHET_QUOTE_SIZE];
    (void)whet_i_quote(quoted, whet_str_from(w->name));
    for (int64_t k = 0; k < n && !whet_i_adapter_changes(w); k++) {
        const whet_i_adapter_whole *other =
            k < i ? whet_i_adapter_find_whole(items[k], w->name) : NULL;
        if (adapts(items[k], w->name))
            return whet_i_fail(ctx, WHET_ERR_SHAPE,
                               "%s: has %s itself, and %s an adapter of it; expected one of both",
                               items[i]->path, quoted, items[k]->path);
        if (other && !same_tensor(&other->tensor, &w->tensor))
            return whet_i_fail(ctx, WHET_ERR_ARG,
                               "%s and %s have each a %s of its own; expected heads of one "
                               "adapter: heads_of, --heads-of",
                               items[k]->path, items[i]->path, quoted);
    }
    return WHET_OK;
}

whet_status whet_i_adapters_check_heads(whet_ctx *ctx, const whet_adapter *const *items,
                                        int64_t n) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t h = 0; h < items[i]->n_wholes; h++)
            WHET_TRY(whet_i_adapter_check_head(ctx, items, n, i, &items[i]->wholes[h]));
    return WHET_OK;
}

/* ---- heads that are the word vectors ---------------------------------------------------------- */

static const char next_name[] = "lm_head.weight";

static const whet_i_adapter_whole *find_base(const whet_adapter *const *items, int64_t n,
                                             bool (*is)(const char *base)) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t h = 0; h < items[i]->n_wholes; h++) {
            const whet_i_adapter_whole *w = &items[i]->wholes[h];
            if (!whet_i_adapter_changes(w) && w->base && is(w->base)) return w;
        }
    return NULL;
}

/* As Llama and its relatives, and GPT-2, call them. */
static bool is_words(const char *base) {
    return whet_i_ends_with(base, "embed_tokens.weight") || whet_i_ends_with(base, "wte.weight");
}

static bool is_next(const char *base) { return strcmp(base, next_name) == 0; }

/* Of language models, which have no other head then. */
static bool is_for_classes(const char *base) { return whet_i_ends_with(base, "score.weight"); }

static bool tells_classes(const whet_adapter *a) {
    const char *task = json_string_value(json_object_get(a->json, "task_type"));
    return task && whet_i_ends_with(task, "_CLS");
}

/* Folders from here once told of the word vectors alone where the head was trained along with them. PEFT's
 * have no whet_base, and those that tell of both have ensure_weight_tying. */
static bool tells_words_of_both(const whet_adapter *a) {
    const char *task = json_string_value(json_object_get(a->json, "task_type"));
    return task && strcmp(task, "CAUSAL_LM") == 0 &&
           json_is_string(json_object_get(a->json, WHET_I_BASE_KEY)) &&
           !json_object_get(a->json, "ensure_weight_tying");
}

const whet_i_adapter_whole *whet_i_adapters_words(const whet_adapter *const *items, int64_t n) {
    return find_base(items, n, is_words);
}

const whet_i_adapter_whole *whet_i_adapters_next(const whet_adapter *const *items, int64_t n) {
    return find_base(items, n, is_next);
}

bool whet_i_adapters_part_head(const whet_adapter *const *items, int64_t n) {
    const whet_i_adapter_whole *words = whet_i_adapters_words(items, n);
    const whet_i_adapter_whole *next = whet_i_adapters_next(items, n);
    bool both = false;
    for (int64_t i = 0; i < n; i++) {
        if (tells_classes(items[i])) return false;
        if (adapts(items[i], next_name)) return true;
        both = both || (find_base(&items[i], 1, is_words) && tells_words_of_both(items[i]));
    }
    if (find_base(items, n, is_for_classes)) return false;
    if (next) return !words || !same_tensor(&words->tensor, &next->tensor);
    return words && words->saved && !both;
}

void whet_adapter_drop_heads(whet_adapter *adapter) {
    static const char *const told[] = {"modules_to_save", "id2label", "label2id", "problem_type",
                                       WHET_I_HEAD_KEY};
    int64_t n = 0;
    for (int64_t i = 0; i < adapter->n_wholes; i++)
        if (whet_i_adapter_changes(&adapter->wholes[i])) adapter->wholes[n++] = adapter->wholes[i];
    adapter->n_wholes = n;
    for (int64_t i = 0; i < WHET_COUNT_OF(told); i++) (void)json_object_del(adapter->json, told[i]);
}

whet_status whet_i_adapters_take_heads(whet_ctx *ctx, whet_adapter *const *items,
                                       const char *const *dirs, int64_t n, const char *heads_of) {
    char quoted[WHET_QUOTE_SIZE];
    bool found = !heads_of;
    for (int64_t i = 0; heads_of && i < n; i++) {
        if (strcmp(dirs[i], heads_of) == 0)
            found = true;
        else
            whet_adapter_drop_heads(items[i]);
    }
    if (found) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_ARG, "heads_of: %s is none of the adapters; expected one",
                       whet_i_quote(quoted, whet_str_from(heads_of)));
}
