/* SPDX-License-Identifier: Apache-2.0
 * A network's tensors by name, of a file or in memory: what specifications and running are made from. */
#ifndef WHET_MERGE_NETWORK_TENSORS_H
#define WHET_MERGE_NETWORK_TENSORS_H

#include "merge/align_i.h"

/* A network's tensors: a file's, or in memory. */
typedef struct whet_i_tensors {
    const whet_safetensors *file;
    const whet_weights *weights;
    const char *prefix; /* what DataParallel sets before all names, or "" */
} whet_i_tensors;
whet_i_tensors whet_i_tensors_of_file(const whet_safetensors *file);
whet_i_tensors whet_i_tensors_of_weights(const whet_weights *weights);
int64_t whet_i_tensors_count(const whet_i_tensors *t);
whet_str whet_i_tensors_name(const whet_i_tensors *t, int64_t i);
/* <module>.<part>, of that many dimensions (0 = any); out may be NULL. */
bool whet_i_tensors_find(const whet_i_tensors *t, const char *module, const char *part,
                         int32_t rank, whet_tensor *out);

#endif
