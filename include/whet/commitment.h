/* SPDX-License-Identifier: Apache-2.0
 * market: promises about bytes that are kept back: commitments, and Merkle trees over chunks.
 *
 * A commitment binds who made it to a payload and, while the salt is secret, tells nothing of it: the SHA-256
 * of "PMKT1" NUL, the domain behind its length (32 bits), the salt, the payload behind its length (64 bits);
 * numbers little-endian, so that no two openings are the same bytes. The tree over a payload's chunks lets
 * one chunk be shown and checked without the others: a leaf is the hash of byte 0 and the chunk, a node that
 * of byte 1 and its children, a node without a neighbour moves up as it is (the shape of RFC 6962). An empty
 * payload is one empty chunk. Hashes are libsodium's. Calls keep no state. */
#ifndef WHET_COMMITMENT_H
#define WHET_COMMITMENT_H

#include "whet/core.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { WHET_HASH_SIZE = 32, WHET_HASH_TEXT = 2 * WHET_HASH_SIZE + 1 };
typedef struct whet_hash {
    uint8_t bytes[WHET_HASH_SIZE];
} whet_hash;

/* In time that does not depend on where they differ. Pure. */
WHET_API bool whet_hash_equal(const whet_hash *a, const whet_hash *b);
/* 64 lower-case digits and a NUL, in constant time. Pure. */
WHET_API void whet_hash_text(const whet_hash *hash, char out[WHET_HASH_TEXT]);
/* From 64 hexadecimal digits of either case. Errors: ARG; *out is then as it was. */
WHET_API WHET_CHECKED whet_status whet_hash_parse(whet_ctx *ctx, const char *text, whet_hash *out);

/* ---- commitments ------------------------------------------------------------------------------------- */

/* 32 bytes from the system's randomness: the one thing here that no seed repeats. Errors: IO. */
WHET_API WHET_CHECKED whet_status whet_salt_draw(whet_ctx *ctx, whet_hash *out);
/* domain: what is promised ("offer", "blob"), 1 to 255 bytes; payload [len], len >= 0. A salt is used once.
 * Errors: ARG. O(len). */
WHET_API WHET_CHECKED whet_status whet_commit(whet_ctx *ctx, const char *domain,
                                              const whet_hash *salt, const void *payload,
                                              int64_t len, whet_hash *out);
/* Whether these open the commitment; compared in constant time. Errors: ARG. */
WHET_API WHET_CHECKED whet_status whet_commit_opens(whet_ctx *ctx, const whet_hash *commitment,
                                                    const char *domain, const whet_hash *salt,
                                                    const void *payload, int64_t len, bool *opens);

/* ---- trees over chunks ------------------------------------------------------------------------------- */

/* chunk: bytes of one, 1..2^30, the last may be short. Leaves are hashed on all threads. Errors: ARG, NOMEM,
 * LIMIT, CANCELLED; of a file IO. O(len), 32 bytes a chunk. Progress "hashing". */
WHET_API WHET_CHECKED whet_status whet_merkle_root(whet_ctx *ctx, const void *payload, int64_t len,
                                                   int64_t chunk, whet_hash *root);
/* The same of a regular file, which is mapped; *len its bytes, may be NULL. */
WHET_API WHET_CHECKED whet_status whet_merkle_file(whet_ctx *ctx, const char *path, int64_t chunk,
                                                   whet_hash *root, int64_t *len);

/* Bytes as they come, in pieces of any length: memory of one path, one thread. */
typedef struct whet_merkle whet_merkle;
/* Errors: ARG, NOMEM. */
WHET_API WHET_CHECKED whet_status whet_merkle_create(whet_ctx *ctx, int64_t chunk,
                                                     whet_merkle **out);
/* Errors: ARG (len < 0), LIMIT (2^61 bytes in all). */
WHET_API WHET_CHECKED whet_status whet_merkle_add(whet_ctx *ctx, whet_merkle *tree,
                                                  const void *bytes, int64_t len);
/* The root of what has been added so far; more may follow. */
WHET_API void whet_merkle_now(const whet_merkle *tree, whet_hash *root);
WHET_API void whet_merkle_destroy(whet_ctx *ctx, whet_merkle *tree); /* NULL is fine */

/* The neighbours of a chunk's path to the root, from the leaf up. */
enum { WHET_MERKLE_DEPTH = 62 };
typedef struct whet_merkle_proof {
    int64_t chunk, chunks; /* which one of how many */
    int32_t n;
    whet_hash nodes[WHET_MERKLE_DEPTH];
} whet_merkle_proof;
/* That chunk number `which` of the payload belongs to its root. Errors: ARG (no such chunk), as above. */
WHET_API WHET_CHECKED whet_status whet_merkle_prove(whet_ctx *ctx, const void *payload, int64_t len,
                                                    int64_t chunk, int64_t which,
                                                    whet_merkle_proof *out);
/* Whether bytes [len] are that chunk under the root. A proof may come from anywhere: numbers that fit no tree
 * are a no, not an error. O(len + log chunks). Pure. */
WHET_API bool whet_merkle_holds(const whet_hash *root, const whet_merkle_proof *proof,
                                const void *bytes, int64_t len);

#ifdef __cplusplus
}
#endif
#endif
