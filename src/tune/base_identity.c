/* SPDX-License-Identifier: Apache-2.0
 * Which model this is: a hash of its weights, so that adapters are not put on another one. The sum of a hash
 * of each tensor, so that neither their order nor the files they are in count. Not for security: it tells
 * models apart that differ by accident. */
#include <stdio.h>

#include "tune/base_identity.h"

enum { LANES = 4 };

/* Bytes eight at a time in four lanes, each a multiplication and a rotation (xxHash64, Collet). */
static uint64_t hash_bytes(const char *bytes, int64_t len) {
    static const uint64_t a = 0x9e3779b185ebca87u, b = 0xc2b2ae3d27d4eb4fu;
    uint64_t lane[LANES] = {a + b, b, 0, 0 - a}, word;
    int64_t at = 0;
    for (; at + 8 * LANES <= len; at += 8 * LANES)
        for (int i = 0; i < LANES; i++) {
            memcpy(&word, bytes + at + 8 * i, 8);
            lane[i] += word * b;
            lane[i] = (lane[i] << 31 | lane[i] >> 33) * a;
        }
    uint64_t hash = whet_i_hash_bytes(bytes + at, len - at) ^ whet_i_hash_u64((uint64_t)len);
    for (int i = 0; i < LANES; i++) hash = whet_i_hash_u64(hash ^ lane[i]);
    return hash;
}

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
    uint64_t hash = hash_bytes(t.data, whet_tensor_count(&t) * (int64_t)whet_dtype_size(t.dtype));
    hash ^= whet_i_hash_u64((uint64_t)t.dtype + 1);
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
