/* SPDX-License-Identifier: Apache-2.0
 * Which model this is: a hash of its weights, so that adapters are not put on another one. The sum of a hash
 * of each tensor, so that neither their order nor the files they are in count. Not for security: it tells
 * models apart that differ by accident. */
#include <stdio.h>

#include "tune/base_identity.h"

typedef struct hashing {
    const whet_safetensors *file;
    uint64_t *hashes; /* [tensors of the file] */
} hashing;

static void hash_tensor(void *arg, int64_t i, int32_t worker) {
    const hashing *h = arg;
    const whet_str name = whet_safetensors_name(h->file, i);
    whet_tensor t;
    (void)worker;
    (void)whet_safetensors_find(h->file, name.ptr, &t);
    const int64_t bytes = whet_tensor_count(&t) * (int64_t)whet_dtype_size(t.dtype);
    uint64_t hash = whet_i_hash_long(t.data, bytes) ^ whet_i_hash_u64((uint64_t)t.dtype + 1);
    for (int32_t d = 0; d < t.rank; d++) hash = whet_i_hash_u64(hash + (uint64_t)t.shape[d]);
    h->hashes[i] = whet_i_hash_u64(hash ^ whet_i_hash_bytes(name.ptr, name.len));
}

whet_status whet_i_base_identity(whet_ctx *ctx, const whet_i_weight_files *files,
                                 char out[WHET_I_IDENTITY]) {
    uint64_t sum = 0;
    for (int64_t f = 0; f < files->n; f++) {
        hashing h = {.file = files->items[f].tensors};
        const int64_t n = whet_safetensors_count(h.file);
        WHET_TRY(whet_i_alloc(ctx, n, &h.hashes));
        const whet_status status = whet_i_parallel_for(ctx, "hash of the base", n, hash_tensor, &h);
        for (int64_t i = 0; status == WHET_OK && i < n; i++) sum += h.hashes[i];
        whet_i_free(ctx, h.hashes);
        WHET_TRY(status);
    }
    (void)snprintf(out, WHET_I_IDENTITY, "%016llx", (unsigned long long)sum);
    return WHET_OK;
}
