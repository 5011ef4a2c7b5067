/* SPDX-License-Identifier: Apache-2.0
 * Tensors by name, with or without what DataParallel sets before all names. */
#include <stdio.h>

#include "merge/network_tensors.h"

enum { NAME_SIZE = 512 };

static const char PARALLEL[] = "module.";

static bool find_exactly(const whet_i_tensors *t, const char *name, whet_tensor *out) {
    if (t->file) return whet_safetensors_find(t->file, name, out);
    for (int64_t i = 0; i < t->weights->n; i++)
        if (strcmp(t->weights->items[i].name, name) == 0) {
            *out = t->weights->items[i].tensor;
            return true;
        }
    return false;
}

static whet_i_tensors with_prefix(whet_i_tensors t) {
    whet_tensor found;
    t.prefix = find_exactly(&t, "module.conv1.weight", &found) ? PARALLEL : "";
    return t;
}

whet_i_tensors whet_i_tensors_of_file(const whet_safetensors *file) {
    return with_prefix((whet_i_tensors){.file = file});
}

whet_i_tensors whet_i_tensors_of_weights(const whet_weights *weights) {
    return with_prefix((whet_i_tensors){.weights = weights});
}

int64_t whet_i_tensors_count(const whet_i_tensors *t) {
    return t->file ? whet_safetensors_count(t->file) : t->weights->n;
}

whet_str whet_i_tensors_name(const whet_i_tensors *t, int64_t i) {
    return t->file ? whet_safetensors_name(t->file, i) : whet_str_from(t->weights->items[i].name);
}

bool whet_i_tensors_find(const whet_i_tensors *t, const char *module, const char *part,
                         int32_t rank, whet_tensor *out) {
    char name[NAME_SIZE];
    whet_tensor found;
    (void)snprintf(name, sizeof name, "%s%s.%s", t->prefix, module, part);
    if (!find_exactly(t, name, &found) || (rank && found.rank != rank)) return false;
    if (out) *out = found;
    return true;
}
