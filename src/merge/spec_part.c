/* SPDX-License-Identifier: Apache-2.0
 * The specification of a part of a network, of which the other tensors are not known. Units may be
 * renumbered only where all weights that make them are in the part: the rest of what makes or reads the
 * others is out of reach, so that those groups are its boundary and stay as they are. */
#include "merge/align_i.h"
#include "merge/merge_i.h"

/* Marks groups that some unknown tensor makes; heads, whose parts hang together, where any is unknown. */
static void drop_made(const whet_permutation_spec *spec, const whet_i_spec_tensor *t, bool *free) {
    for (int32_t x = 0; x < t->rank; x++)
        for (int32_t p = 0; p < t->axes[x].n; p++) {
            const int32_t g = t->axes[x].pieces[p].group;
            if (spec->groups[g].attention || (x == 0 && t->rank > 1)) free[g] = false;
        }
}

/* Pieces behind each other keep their places only together. Whether something changed. */
static bool drop_neighbours(const whet_i_spec_tensor *t, bool *free) {
    bool changed = false;
    for (int32_t x = 0; x < t->rank; x++) {
        bool all = true;
        for (int32_t p = 0; p < t->axes[x].n; p++) all = all && free[t->axes[x].pieces[p].group];
        for (int32_t p = 0; !all && p < t->axes[x].n; p++) {
            changed = changed || free[t->axes[x].pieces[p].group];
            free[t->axes[x].pieces[p].group] = false;
        }
    }
    return changed;
}

/* A known tensor, its groups by their new numbers; -1: none. */
static whet_status add_tensor(whet_ctx *ctx, const whet_i_spec_tensor *t, const int32_t *number,
                              whet_permutation_spec *part) {
    whet_i_piece pieces[WHET_I_AXES_MAX][WHET_I_PIECES_MAX];
    whet_i_spec_tensor copy = *t;
    for (int32_t x = 0; x < t->rank; x++) {
        const int32_t n = t->axes[x].n;
        for (int32_t p = 0; p < n; p++) {
            pieces[x][p] = t->axes[x].pieces[p];
            pieces[x][p].group = number[pieces[x][p].group];
        }
        copy.axes[x] = (whet_i_axis){n > 0 && pieces[x][0].group < 0 ? 0 : n, pieces[x]};
    }
    return whet_i_spec_tensor_add(ctx, part, &copy);
}

static whet_status make_part(whet_ctx *ctx, const whet_permutation_spec *spec, const bool *known,
                             const bool *free, int32_t *number, whet_permutation_spec *part) {
    for (int64_t g = 0; g < spec->n_groups; g++) {
        number[g] = -1;
        if (free[g]) WHET_TRY(whet_i_spec_group(ctx, part, &spec->groups[g], &number[g]));
    }
    for (int64_t i = 0; i < spec->n_tensors; i++)
        if (known[i]) WHET_TRY(add_tensor(ctx, &spec->tensors[i], number, part));
    return WHET_OK;
}

whet_status whet_i_spec_part(whet_ctx *ctx, const whet_permutation_spec *spec,
                             const whet_weights *weights, const bool *revealed,
                             whet_permutation_spec **out) {
    bool *known = NULL, *free = NULL, changed = true, any = false;
    int32_t *number = NULL;
    whet_permutation_spec *part = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_calloc(ctx, spec->n_tensors, &known));
    WHET_TRY_DONE(whet_i_alloc(ctx, spec->n_groups, &free));
    WHET_TRY_DONE(whet_i_alloc(ctx, spec->n_groups, &number));
    for (int64_t i = 0; i < weights->n; i++) {
        const int64_t at = whet_names_find(spec->names, whet_str_from(weights->items[i].name));
        if (at >= 0) known[at] = revealed[i];
    }
    for (int64_t g = 0; g < spec->n_groups; g++) free[g] = true;
    for (int64_t i = 0; i < spec->n_tensors; i++)
        if (!known[i]) drop_made(spec, &spec->tensors[i], free);
    while (changed) {
        changed = false;
        for (int64_t i = 0; i < spec->n_tensors; i++)
            if (known[i] && drop_neighbours(&spec->tensors[i], free)) changed = true;
    }
    for (int64_t g = 0; g < spec->n_groups; g++) any = any || free[g];
    if (any) {
        WHET_TRY_DONE(whet_i_spec_create(ctx, "", &part));
        WHET_TRY_DONE(make_part(ctx, spec, known, free, number, part));
        WHET_TRY_DONE(whet_i_spec_check(ctx, part, "a part"));
    }
    *out = part;
    part = NULL;
done:
    whet_permutation_spec_destroy(ctx, part);
    whet_i_free(ctx, number);
    whet_i_free(ctx, free);
    whet_i_free(ctx, known);
    return status;
}
