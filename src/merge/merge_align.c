/* SPDX-License-Identifier: Apache-2.0
 * Models renumbered to one of them before they are merged: what trained networks agree about is not the
 * order of their hidden units, and a mean of weights that stand for other units is worth nothing.
 * Permutations are those of weight matching against the base, or the first model; nothing is written:
 * sources are read in their new order. Importances move with their model.
 * Source: Git Re-Basin (Ainsworth et al. 2023, arXiv 2209.04836). */
#include <inttypes.h>

#include "merge/align_files.h"
#include "merge/merge_plan.h"

/* ---- before any work ---------------------------------------------------------------------------- */

/* All tensors of a model, as views; where it ties its output layer and another has one, its table once more
 * under that layer's name. head NULL: none has one. */
static whet_status list_weights(whet_ctx *ctx, const whet_i_merge_model *model, const char *head,
                                whet_i_merge_numbering *out) {
    int64_t n = whet_names_count(model->names);
    WHET_TRY(whet_i_calloc(ctx, n + 1, &out->items));
    for (int64_t i = 0; i < n; i++) {
        const whet_i_merge_file *file;
        out->items[i].name = whet_names_get(model->names, i).ptr;
        (void)whet_i_merge_model_find(model, out->items[i].name, &out->items[i].tensor, &file,
                                      NULL);
    }
    const whet_i_merge_file *file;
    if (head && !whet_i_merge_model_head(model) &&
        whet_i_merge_model_find(model, head, &out->items[n].tensor, &file, NULL))
        out->items[n++].name = head;
    out->weights = (whet_weights){out->items, n};
    return WHET_OK;
}

/* The output layer of some model that is aligned. */
static const char *find_head(const whet_merge_plan *plan) {
    const whet_i_merge_aligning *a = plan->aligning;
    const char *head = whet_i_merge_model_head(&plan->models[a->reference]);
    for (int64_t m = 0; m < a->n && !head; m++)
        if (a->models[m].moves) head = whet_i_merge_model_head(&plan->models[m]);
    return head;
}

/* The specification is made of the reference's files: where it ties its output layer, that moves as its
 * table. */
static whet_status add_head(whet_ctx *ctx, const whet_weights *reference, const char *head,
                            whet_permutation_spec *spec) {
    const whet_named_tensor *last = &reference->items[reference->n - 1];
    if (!head || strcmp(last->name, head) != 0 ||
        whet_names_find(spec->names, whet_str_from(head)) >= 0)
        return WHET_OK;
    for (int64_t i = 0; i < reference->n - 1; i++) {
        const int64_t at = whet_names_find(spec->names, whet_str_from(reference->items[i].name));
        if (at < 0 || reference->items[i].tensor.data != last->tensor.data) continue;
        whet_i_spec_tensor tensor = spec->tensors[at];
        tensor.name = head;
        return whet_i_spec_tensor_add(ctx, spec, &tensor);
    }
    return WHET_OK;
}

static whet_status make_spec(whet_ctx *ctx, whet_merge_plan *plan, const char *arch) {
    const whet_i_merge_aligning *a = plan->aligning;
    const whet_i_merge_model *m = &plan->models[a->reference];
    const whet_permutation_hints none = {0};
    whet_safetensors *joined = NULL, **files = NULL;
    whet_status status = WHET_OK;
    for (int64_t i = 0; i < plan->n_models; i++) /* folders have said theirs */
        if (!plan->models[i].folder)
            WHET_TRY(whet_i_read_heads(ctx, plan->models[i].path, false, &plan->heads));
    WHET_TRY_DONE(whet_i_alloc_(ctx, m->n_files, sizeof(void *), false, &files));
    for (int64_t i = 0; i < m->n_files; i++) files[i] = m->files[i].tensors;
    WHET_TRY_DONE(whet_i_safetensors_join(ctx, m->path, files, m->n_files, &joined));
    status = whet_i_spec_of_files(ctx, arch, m->path, joined, &a->models[a->reference].weights,
                                  &none, &plan->heads, &plan->aligning->spec);
done:
    whet_safetensors_close(ctx, joined);
    whet_i_free(ctx, files);
    return status;
}

/* What cannot be renumbered. */
static whet_status check(whet_ctx *ctx, const whet_merge_plan *plan, int64_t restarts) {
    if (restarts < 0 || restarts > 1000)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%" PRId64 " restarts; expected 1 to 1000", restarts);
    if (plan->vocabulary.size)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "models are to be aligned, and have vocabularies of their own; expected "
                           "one vocabulary");
    for (int64_t m = 0; m < plan->n_models; m++)
        if (plan->models[m].lora)
            return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                               "%s+%s: a model with an adapter is to be aligned; expected whole "
                               "models; try whet tune merge first",
                               plan->models[m].path, plan->models[m].lora);
    return WHET_OK;
}

/* Whether a model is renumbered: one that is merged, and not the one that others are matched to. */
static bool mark_moved(const whet_merge_plan *plan) {
    whet_i_merge_aligning *a = plan->aligning;
    bool any = false;
    for (int64_t i = 0; i < plan->n; i++)
        for (int64_t k = 0; k < plan->items[i].n_models; k++) {
            const int64_t model = plan->items[i].places[k].model;
            if (model != a->reference) a->models[model].moves = any = true;
        }
    return any;
}

whet_status whet_i_plan_align(whet_ctx *ctx, whet_merge_plan *plan, const char *arch,
                              int64_t restarts) {
    whet_i_merge_aligning *a;
    WHET_TRY(check(ctx, plan, restarts));
    WHET_TRY(whet_i_calloc(ctx, 1, &plan->aligning));
    a = plan->aligning;
    WHET_TRY(whet_i_calloc(ctx, plan->n_models, &a->models));
    a->n = plan->n_models;
    a->restarts = restarts ? restarts : 1;
    a->reference = plan->base >= 0 ? plan->base : 0;
    if (!mark_moved(plan))
        return whet_i_fail(
            ctx, WHET_ERR_ARG,
            "%s alone is merged, and would be aligned to itself; expected another model",
            plan->models[a->reference].path);
    const char *head = find_head(plan);
    WHET_TRY(list_weights(ctx, &plan->models[a->reference], head, &a->models[a->reference]));
    WHET_TRY(make_spec(ctx, plan, arch));
    WHET_TRY(add_head(ctx, &a->models[a->reference].weights, head, a->spec));
    for (int64_t m = 0; m < a->n; m++) {
        if (!a->models[m].moves) continue;
        WHET_TRY(list_weights(ctx, &plan->models[m], head, &a->models[m]));
        const whet_status status = whet_i_bind(ctx, a->spec, &a->models[a->reference].weights,
                                               &a->models[m].weights, false, &a->models[m].bound);
        if (status != WHET_OK)
            return whet_i_fail_at(ctx, status, "%s and %s", plan->models[a->reference].path,
                                  plan->models[m].path);
    }
    return WHET_OK;
}

void whet_i_plan_align_clear(whet_ctx *ctx, whet_merge_plan *plan) {
    whet_i_merge_aligning *a = plan->aligning;
    if (!a) return;
    for (int64_t m = 0; m < a->n; m++) {
        whet_i_free(ctx, a->models[m].items);
        whet_alignment_destroy(ctx, a->models[m].alignment);
        whet_i_bound_free(ctx, &a->models[m].bound);
    }
    whet_permutation_spec_destroy(ctx, a->spec);
    whet_i_free(ctx, a->models);
    whet_i_free(ctx, a);
    plan->aligning = NULL;
}

/* ---- the permutations --------------------------------------------------------------------------- */

whet_status whet_i_plan_match(whet_ctx *ctx, const whet_merge_plan *plan) {
    whet_i_merge_aligning *a = plan->aligning;
    whet_align_opts opts = WHET_ALIGN_OPTS_INIT;
    opts.restarts = a->restarts;
    opts.seed = plan->seed;
    for (int64_t m = 0; m < a->n; m++) {
        whet_i_merge_numbering *model = &a->models[m];
        if (!model->moves || model->alignment) continue;
        whet_i_note(ctx, "%s", plan->models[m].path);
        const whet_status status =
            whet_align_weights(ctx, a->spec, &a->models[a->reference].weights, &model->weights,
                               &opts, &model->alignment);
        if (status != WHET_OK)
            return whet_i_fail_at(ctx, status, "%s and %s", plan->models[a->reference].path,
                                  plan->models[m].path);
    }
    return WHET_OK;
}

bool whet_merge_plan_aligned(const whet_merge_plan *plan, int64_t i, whet_merge_aligned *out) {
    const whet_i_merge_aligning *a = plan->aligning;
    for (int64_t m = 0; a && m < a->n; m++) {
        const whet_alignment *found = a->models[m].alignment;
        if (!found || i-- > 0) continue;
        *out = (whet_merge_aligned){.model = plan->models[m].path,
                                    .to = plan->models[a->reference].path};
        whet_alignment_distance(found, &out->distance_before, &out->distance);
        for (int64_t g = 0; g < found->n_groups; g++)
            for (int64_t u = 0; u < found->count[g][0]; u++) {
                out->units++;
                out->moved += found->order[g][0][u] != u;
            }
        return true;
    }
    return false;
}

/* ---- where a tensor's numbers come from ----------------------------------------------------------- */

/* The place of the model whose numbering place k of an item has: importances have their model's. */
static const whet_i_merge_place *owner_of(const whet_i_merge_item *item, int64_t k) {
    const int64_t importances = item->n_models + (item->base >= 0);
    return &item->places[k < importances ? k : k - importances];
}

/* The tensor of a specification that is at this place of model m. */
static int64_t spec_tensor_at(const whet_i_merge_aligning *a, int64_t m, const void *data) {
    for (int64_t i = 0; i < a->spec->n_tensors; i++)
        if (a->models[m].bound.b[i].data == data) return i;
    return -1;
}

/* Numbers `first` axis and on of one index of those before: from [width]. */
static whet_status gather(whet_ctx *ctx, const whet_i_merge_numbering *model,
                          const whet_i_spec_tensor *s, const whet_i_merge_item *item, int32_t first,
                          int64_t width, int64_t **out) {
    int64_t *from, *axis, n = 1;
    WHET_TRY(whet_i_alloc(ctx, width, &from));
    from[0] = 0;
    for (int32_t x = first; x < item->rank; x++) {
        const int64_t len = item->shape[x];
        const whet_status status = whet_i_alloc(ctx, len, &axis);
        if (status != WHET_OK) {
            whet_i_free(ctx, from);
            return status;
        }
        whet_i_axis_source(&model->bound, model->alignment, &s->axes[x], len, axis);
        for (int64_t i = n - 1; i >= 0; i--) { /* from behind: what is read is not yet replaced */
            const int64_t before = from[i];
            for (int64_t j = 0; j < len; j++) from[i * len + j] = before * len + axis[j];
        }
        n *= len;
        whet_i_free(ctx, axis);
    }
    *out = from;
    return WHET_OK;
}

static bool axes_move(const whet_i_spec_tensor *s, int32_t first, int32_t last) {
    for (int32_t x = first; x < last && x < WHET_I_AXES_MAX; x++)
        if (s->axes[x].n > 0) return true;
    return false;
}

whet_status whet_i_plan_moves(whet_ctx *ctx, const whet_merge_plan *plan,
                              const whet_i_merge_item *item, int64_t k, whet_i_merge_moves *out) {
    const whet_i_merge_aligning *a = plan->aligning;
    const whet_i_merge_place *owner = owner_of(item, k);
    if (!a || item->count == 0 || item->rank == 0 || !a->models[owner->model].moves) return WHET_OK;
    const whet_i_merge_numbering *model = &a->models[owner->model];
    const int64_t at = spec_tensor_at(a, owner->model, owner->data);
    if (at < 0) return WHET_OK;
    const whet_i_spec_tensor *s = &a->spec->tensors[at];
    const int32_t first = item->rank > 1 ? 1 : 0;
    out->width = first ? item->count / item->shape[0] : item->count;
    if (axes_move(s, first, item->rank))
        WHET_TRY(gather(ctx, model, s, item, first, out->width, &out->columns));
    if (!first || !axes_move(s, 0, 1)) return WHET_OK;
    WHET_TRY(whet_i_alloc(ctx, item->shape[0], &out->rows));
    whet_i_axis_source(&model->bound, model->alignment, &s->axes[0], item->shape[0], out->rows);
    return WHET_OK;
}

void whet_i_merge_moves_free(whet_ctx *ctx, whet_i_merge_moves *moves) {
    whet_i_free(ctx, moves->rows);
    whet_i_free(ctx, moves->columns);
    *moves = (whet_i_merge_moves){0};
}
