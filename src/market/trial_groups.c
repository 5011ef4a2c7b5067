/* SPDX-License-Identifier: Apache-2.0
 * Layers of a network, for shares by layer: tensors whose names are one before the last dot. A layer without
 * a matrix (a norm) goes with the one before it: its scale is worth nothing with another layer's weights. */
#include "market/trial_i.h"

static int64_t stem(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot ? dot - name : (int64_t)strlen(name);
}

static bool same_layer(const char *a, const char *b) {
    return stem(a) == stem(b) && memcmp(a, b, (size_t)stem(a)) == 0;
}

static bool has_matrix(const whet_i_mixture *m, int64_t i) {
    for (int64_t k = 0; k < m->n; k++)
        if (m->a[k].tensor.rank > 1 && same_layer(m->a[k].name, m->a[i].name)) return true;
    return false;
}

/* The layer of each tensor, numbered in order; tensors of one layer need not be neighbours. */
static int64_t number_layers(const whet_i_mixture *m, int64_t *layer) {
    int64_t n = 0, last = -1;
    for (int64_t i = 0; i < m->n; i++) {
        layer[i] = -1;
        for (int64_t k = 0; k < i && layer[i] < 0; k++)
            if (same_layer(m->a[k].name, m->a[i].name)) layer[i] = layer[k];
        if (layer[i] < 0) layer[i] = last >= 0 && !has_matrix(m, i) ? last : n++;
        last = layer[i];
    }
    return n;
}

whet_status whet_i_trial_layers(whet_i_trial *t) {
    const whet_i_mixture *m = &t->mixture;
    int64_t *place = NULL; /* of a layer among those that have goods */
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(t->ctx, m->n, &t->group_of));
    const int64_t layers = number_layers(m, t->group_of);
    WHET_TRY_DONE(whet_i_calloc(t->ctx, layers, &t->groups));
    WHET_TRY_DONE(whet_i_calloc(t->ctx, layers, &place));
    for (int64_t i = 0; i < m->n; i++) {
        const int64_t layer = t->group_of[i];
        t->group_of[i] = -1;
        if (!m->b[i].tensor.data) continue;
        if (place[layer] == 0) {
            char *name;
            const whet_str text = {m->a[i].name, stem(m->a[i].name)};
            WHET_TRY_DONE(whet_i_strdup(t->ctx, text, &name));
            t->groups[t->n_groups++].name = name;
            place[layer] = t->n_groups;
        }
        t->group_of[i] = place[layer] - 1;
        t->groups[place[layer] - 1].tensors++;
    }
done:
    whet_i_free(t->ctx, place);
    return status;
}
