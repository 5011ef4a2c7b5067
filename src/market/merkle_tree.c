/* SPDX-License-Identifier: Apache-2.0
 * Merkle trees over the chunks of a payload. Levels are joined in pairs from the left, an odd one out moves
 * up: the tree of RFC 6962, whose left part is the largest power of two. Byte 0 before leaves and byte 1
 * before nodes keep a node from passing for a chunk.
 * Bytes that come in pieces: complete subtrees wait on a stack, sizes falling from the bottom, as the binary
 * digits of the number of chunks; joined from the top they are the root. */
#include <inttypes.h>
#include <sodium.h>

#include "whet/commitment.h"

#include "io/io_i.h"

enum { LEAVES_AN_ITEM = 16 };
static const int64_t MOST = INT64_C(1) << 61; /* bytes that SHA-256 counts */

/* ---- hashes ------------------------------------------------------------------------------------------ */

static void begin_hash(crypto_hash_sha256_state *state, uint8_t kind) {
    (void)crypto_hash_sha256_init(state);
    (void)crypto_hash_sha256_update(state, &kind, 1);
}

static void hash_leaf(const void *bytes, int64_t len, whet_hash *out) {
    crypto_hash_sha256_state state;
    begin_hash(&state, 0);
    (void)crypto_hash_sha256_update(&state, bytes, (unsigned long long)len);
    (void)crypto_hash_sha256_final(&state, out->bytes);
}

static void hash_node(const whet_hash *left, const whet_hash *right, whet_hash *out) {
    crypto_hash_sha256_state state;
    begin_hash(&state, 1);
    (void)crypto_hash_sha256_update(&state, left->bytes, sizeof left->bytes);
    (void)crypto_hash_sha256_update(&state, right->bytes, sizeof right->bytes);
    (void)crypto_hash_sha256_final(&state, out->bytes);
}

/* ---- whole payloads ---------------------------------------------------------------------------------- */

typedef struct leaves {
    const char *payload;
    int64_t len, chunk, n;
    whet_hash *hashes; /* [n] */
} leaves;

static void hash_leaves(void *arg, int64_t item, int32_t worker) {
    const leaves *l = arg;
    const int64_t first = item * LEAVES_AN_ITEM, left = l->n - first;
    (void)worker;
    for (int64_t i = first; i < first + (left < LEAVES_AN_ITEM ? left : LEAVES_AN_ITEM); i++) {
        const int64_t at = i * l->chunk, rest = l->len - at;
        hash_leaf(l->payload + at, rest < l->chunk ? rest : l->chunk, &l->hashes[i]);
    }
}

static whet_status check_sizes(whet_ctx *ctx, int64_t len, int64_t chunk) {
    if (chunk >= 1 && chunk <= INT64_C(1) << 30 && len >= 0) return WHET_OK;
    return whet_i_fail(
        ctx, WHET_ERR_ARG,
        "chunks of %" PRId64 " bytes of %" PRId64 "; expected 1 to 2^30, of 0 or more", chunk, len);
}

/* Owned by the caller, also on failure. */
static whet_status make_leaves(whet_ctx *ctx, const void *payload, int64_t len, int64_t chunk,
                               leaves *l) {
    *l = (leaves){.payload = payload, .len = len, .chunk = chunk};
    WHET_TRY(check_sizes(ctx, len, chunk));
    l->n = len ? (len - 1) / chunk + 1 : 1;
    WHET_TRY(whet_i_alloc(ctx, l->n, &l->hashes));
    return whet_i_parallel_for(ctx, "hashing", (l->n - 1) / LEAVES_AN_ITEM + 1, hash_leaves, l);
}

/* Joins a level in place; the number of nodes of the next. */
static int64_t join_level(whet_hash *nodes, int64_t n) {
    for (int64_t i = 0; i + 1 < n; i += 2) hash_node(&nodes[i], &nodes[i + 1], &nodes[i / 2]);
    if (n % 2) nodes[n / 2] = nodes[n - 1];
    return (n + 1) / 2;
}

whet_status whet_merkle_root(whet_ctx *ctx, const void *payload, int64_t len, int64_t chunk,
                             whet_hash *root) {
    leaves l;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(make_leaves(ctx, payload, len, chunk, &l));
    for (int64_t n = l.n; n > 1;) n = join_level(l.hashes, n);
    *root = l.hashes[0];
done:
    whet_i_free(ctx, l.hashes);
    return status;
}

whet_status whet_merkle_file(whet_ctx *ctx, const char *path, int64_t chunk, whet_hash *root,
                             int64_t *len) {
    whet_i_map map;
    WHET_TRY(whet_i_map_open(ctx, path, &map));
    const whet_status status = whet_merkle_root(ctx, map.ptr, map.len, chunk, root);
    if (status == WHET_OK && len) *len = map.len;
    whet_i_map_close(&map);
    return status;
}

/* ---- as bytes come ----------------------------------------------------------------------------------- */

struct whet_merkle {
    int64_t added;                 /* bytes */
    int64_t chunk, chunks, filled; /* complete chunks; bytes of the one that is not */
    crypto_hash_sha256_state open; /* of that one */
    int32_t n;
    whet_hash stack[WHET_MERKLE_DEPTH];
};

whet_status whet_merkle_create(whet_ctx *ctx, int64_t chunk, whet_merkle **out) {
    whet_merkle *tree;
    WHET_TRY(check_sizes(ctx, 0, chunk));
    WHET_TRY(whet_i_calloc(ctx, 1, &tree));
    tree->chunk = chunk;
    begin_hash(&tree->open, 0);
    *out = tree;
    return WHET_OK;
}

void whet_merkle_destroy(whet_ctx *ctx, whet_merkle *tree) { whet_i_free(ctx, tree); }

/* One more leaf: as many subtrees are complete as the number of chunks ends in ones. */
static void push_leaf(whet_merkle *tree) {
    whet_hash hash;
    (void)crypto_hash_sha256_final(&tree->open, hash.bytes);
    for (int64_t ones = tree->chunks; ones & 1; ones >>= 1)
        hash_node(&tree->stack[--tree->n], &hash, &hash);
    tree->stack[tree->n++] = hash;
    tree->chunks++;
    tree->filled = 0;
    begin_hash(&tree->open, 0);
}

whet_status whet_merkle_add(whet_ctx *ctx, whet_merkle *tree, const void *bytes, int64_t len) {
    const uint8_t *from = bytes;
    if (len < 0)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%" PRId64 " bytes; expected 0 or more", len);
    if (len > MOST - tree->added)
        return whet_i_fail(ctx, WHET_ERR_LIMIT, "more than 2^61 bytes; expected fewer");
    tree->added += len;
    while (len > 0) {
        const int64_t room = tree->chunk - tree->filled, take = len < room ? len : room;
        (void)crypto_hash_sha256_update(&tree->open, from, (unsigned long long)take);
        tree->filled += take;
        from += take;
        len -= take;
        if (tree->filled == tree->chunk) push_leaf(tree);
    }
    return WHET_OK;
}

void whet_merkle_now(const whet_merkle *tree, whet_hash *root) {
    crypto_hash_sha256_state open = tree->open;
    int32_t n = tree->n;
    if (tree->filled || tree->chunks == 0)
        (void)crypto_hash_sha256_final(&open, root->bytes);
    else
        *root = tree->stack[--n];
    while (n > 0) hash_node(&tree->stack[--n], root, root);
}

/* ---- one chunk --------------------------------------------------------------------------------------- */

whet_status whet_merkle_prove(whet_ctx *ctx, const void *payload, int64_t len, int64_t chunk,
                              int64_t which, whet_merkle_proof *out) {
    leaves l;
    whet_merkle_proof proof = {.chunk = which};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(make_leaves(ctx, payload, len, chunk, &l));
    proof.chunks = l.n;
    if (which < 0 || which >= l.n) {
        status = whet_i_fail(ctx, WHET_ERR_ARG, "chunk %" PRId64 "; expected 0 to %" PRId64, which,
                             l.n - 1);
        goto done;
    }
    for (int64_t n = l.n; n > 1; which /= 2) {
        const int64_t neighbour = which ^ 1;
        if (neighbour < n) proof.nodes[proof.n++] = l.hashes[neighbour];
        n = join_level(l.hashes, n);
    }
    *out = proof;
done:
    whet_i_free(ctx, l.hashes);
    return status;
}

bool whet_merkle_holds(const whet_hash *root, const whet_merkle_proof *proof, const void *bytes,
                       int64_t len) {
    whet_hash hash;
    int32_t used = 0;
    int64_t at = proof->chunk, n = proof->chunks;
    if (at < 0 || at >= n || len < 0 || proof->n < 0 || proof->n > WHET_MERKLE_DEPTH) return false;
    hash_leaf(bytes, len, &hash);
    for (; n > 1; at /= 2, n = n / 2 + n % 2) {
        if ((at ^ 1) >= n) continue; /* without a neighbour */
        if (used == proof->n) return false;
        const whet_hash *other = &proof->nodes[used++];
        hash_node(at & 1 ? other : &hash, at & 1 ? &hash : other, &hash);
    }
    return used == proof->n && whet_hash_equal(&hash, root);
}
