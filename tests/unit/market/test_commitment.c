/* SPDX-License-Identifier: Apache-2.0
 * Commitments and trees over chunks: the published vectors, the tree's recursive definition, and bytes,
 * paths and places that are not what was promised. */
#include "market_support.h"

#include <sodium.h>
#include <stdlib.h>

#include "whet/commitment.h"

/* ---- published --------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *row, const char *key) {
    const char *text = json_string_value(json_object_get(row, key));
    assert_non_null(text);
    return text;
}

static void golden_commitments(void **state) {
    (void)state;
    test_need_shared(PRICING_INDEX);
    whet_ctx *ctx = test_ctx(1);
    json_t *whole, *row;
    size_t i;
    (void)pricing_tables(ctx, &whole);
    json_array_foreach(json_object_get(whole, "commitments"), i, row) {
        size_t len;
        whet_hash salt, expected, made;
        char text[WHET_HASH_TEXT];
        bool opens;
        const char *hex = text_of(row, "payload_hex");
        const size_t room = strlen(hex) / 2 + 1;
        uint8_t *payload = malloc(room);
        assert_non_null(payload);
        assert_int_equal(sodium_hex2bin(payload, room, hex, strlen(hex), NULL, &len, NULL), 0);
        test_ok(ctx, whet_hash_parse(ctx, text_of(row, "salt_hex"), &salt));
        test_ok(ctx, whet_hash_parse(ctx, text_of(row, "commit_hex"), &expected));
        test_ok(ctx, whet_commit(ctx, text_of(row, "domain"), &salt, payload, (int64_t)len, &made));
        whet_hash_text(&made, text);
        assert_string_equal(text, text_of(row, "commit_hex"));
        test_ok(ctx, whet_commit_opens(ctx, &expected, text_of(row, "domain"), &salt, payload,
                                       (int64_t)len, &opens));
        assert_true(opens);
        free(payload);
    }
    test_need_some(i, "commitments");
    json_decref(whole);
    test_ctx_done(ctx);
}

/* "bytes(i%251 for i<N)" */
static uint8_t *fill(const char *recipe, int64_t *n) {
    const char *less = strchr(recipe, '<');
    assert_non_null(less);
    *n = strtoll(less + 1, NULL, 10);
    assert_in_range(*n, 0, 1 << 28);
    uint8_t *out = malloc((size_t)*n + 1);
    assert_non_null(out);
    for (int64_t i = 0; i < *n; i++) out[i] = (uint8_t)(i % 251);
    return out;
}

static void golden_roots(void **state) {
    (void)state;
    test_need_shared(PRICING_INDEX);
    whet_ctx *ctx = test_ctx(1);
    json_t *whole, *row;
    size_t i;
    (void)pricing_tables(ctx, &whole);
    json_array_foreach(json_object_get(whole, "merkle"), i, row) {
        const int64_t chunk = (int64_t)member(row, "chunk");
        int64_t n;
        uint8_t *payload = fill(text_of(row, "payload"), &n);
        whet_hash expected, root;
        whet_merkle *tree;
        int64_t len = -1;
        test_ok(ctx, whet_hash_parse(ctx, text_of(row, "root"), &expected));
        test_ok(ctx, whet_merkle_root(ctx, payload, n, chunk, &root));
        assert_true(whet_hash_equal(&root, &expected));
        test_ok(ctx, whet_merkle_file(ctx, test_write("payload", payload, n), chunk, &root, &len));
        assert_true(whet_hash_equal(&root, &expected) && len == n);
        test_ok(ctx, whet_merkle_create(ctx, chunk, &tree));
        for (int64_t at = 0; at < n; at += 7)
            test_ok(ctx, whet_merkle_add(ctx, tree, payload + at, n - at < 7 ? n - at : 7));
        whet_merkle_now(tree, &root);
        assert_true(whet_hash_equal(&root, &expected));
        whet_merkle_destroy(ctx, tree);
        free(payload);
    }
    test_need_some(i, "Merkle roots");
    json_decref(whole);
    test_ctx_done(ctx);
}

/* ---- commitments ------------------------------------------------------------------------------------- */

/* Another domain, salt, payload, or bytes moved from one to the next, open nothing. */
static void nothing_else_opens(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_hash salt = {{7}}, other = {{7}}, made, drawn[2];
    bool opens;
    other.bytes[31] = 1;
    test_ok(ctx, whet_commit(ctx, "offer", &salt, "abc", 3, &made));
    const struct {
        const char *domain, *payload;
        const whet_hash *salt;
        int64_t len;
    } wrong[] = {{"offeR", "abc", &salt, 3},  {"offera", "bc", &salt, 2},
                 {"offer", "abc", &other, 3}, {"offer", "abd", &salt, 3},
                 {"offer", "abc", &salt, 4},  {"offer", "abc", &salt, 2}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        opens = true;
        test_ok(ctx, whet_commit_opens(ctx, &made, wrong[i].domain, wrong[i].salt, wrong[i].payload,
                                       wrong[i].len, &opens));
        assert_false(opens);
    }
    const whet_hash kept = made;
    test_fails(ctx, whet_commit(ctx, "", &salt, "abc", 3, &made), WHET_ERR_ARG);
    test_fails(ctx, whet_commit(ctx, "offer", &salt, "abc", -1, &made), WHET_ERR_ARG);
    assert_true(whet_hash_equal(&kept, &made));
    test_ok(ctx, whet_salt_draw(ctx, &drawn[0]));
    test_ok(ctx, whet_salt_draw(ctx, &drawn[1]));
    assert_false(whet_hash_equal(&drawn[0], &drawn[1]));
    test_ctx_done(ctx);
}

static void hashes_as_text(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    char text[WHET_HASH_TEXT];
    whet_hash hash = {{0}}, kept = hash;
    static const char *const odd[] = {
        "", "00", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1g",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f00"};
    for (int i = 0; i < 5; i++) {
        test_fails(ctx, whet_hash_parse(ctx, odd[i], &hash), WHET_ERR_ARG);
        assert_true(whet_hash_equal(&hash, &kept));
    }
    test_ok(ctx,
            whet_hash_parse(ctx, "000102030405060708090A0B0C0D0E0F101112131415161718191a1b1c1d1e1f",
                            &hash));
    whet_hash_text(&hash, text);
    assert_string_equal(text, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    test_ctx_done(ctx);
}

/* ---- trees ------------------------------------------------------------------------------------------- */

enum { CHUNK = 5, LONGEST = 34 * CHUNK };

/* RFC 6962, section 2.1: the left part has the largest power of two below n leaves. */
static void root_by_definition(const uint8_t *payload, int64_t len, int64_t first, int64_t n,
                               uint8_t *out) {
    uint8_t bytes[1 + 64];
    int64_t left = 1, size = CHUNK;
    if (n == 1) {
        bytes[0] = 0;
        if (len - first * CHUNK < size) size = len - first * CHUNK;
        memcpy(bytes + 1, payload + first * CHUNK, (size_t)size);
        (void)crypto_hash_sha256(out, bytes, (unsigned long long)size + 1);
        return;
    }
    while (2 * left < n) left *= 2;
    bytes[0] = 1;
    root_by_definition(payload, len, first, left, bytes + 1);
    root_by_definition(payload, len, first + left, n - left, bytes + 33);
    (void)crypto_hash_sha256(out, bytes, sizeof bytes);
}

static void trees_are_as_defined(void **state) {
    (void)state;
    uint8_t payload[LONGEST];
    for (int threads = 1; threads <= 5; threads += 2) {
        whet_ctx *ctx = test_ctx(threads);
        whet_merkle *tree;
        for (int i = 0; i < LONGEST; i++) payload[i] = (uint8_t)(i * i % 253);
        test_ok(ctx, whet_merkle_create(ctx, CHUNK, &tree));
        for (int64_t len = 1; len <= LONGEST; len++) {
            whet_hash root, expected;
            root_by_definition(payload, len, 0, (len - 1) / CHUNK + 1, expected.bytes);
            if (threads == 1 || len % 23 == 0)
                test_ok(ctx, whet_merkle_root(ctx, payload, len, CHUNK, &root));
            else
                root = expected;
            assert_true(whet_hash_equal(&root, &expected));
            test_ok(ctx, whet_merkle_add(ctx, tree, payload + len - 1, 1));
            whet_merkle_now(tree, &root);
            assert_true(whet_hash_equal(&root, &expected));
        }
        whet_merkle_destroy(ctx, tree);
        test_ctx_done(ctx);
    }
}

/* Each chunk's proof holds for it, and for no other bytes, place, path or number of chunks. */
static void proofs_hold_for_their_chunk_alone(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    uint8_t payload[LONGEST];
    for (int i = 0; i < LONGEST; i++) payload[i] = (uint8_t)(i * 7 % 251);
    for (int64_t len = 1; len <= LONGEST; len += 4) {
        const int64_t chunks = (len - 1) / CHUNK + 1;
        whet_hash root;
        test_ok(ctx, whet_merkle_root(ctx, payload, len, CHUNK, &root));
        for (int64_t k = 0; k < chunks; k++) {
            const int64_t size = k + 1 < chunks ? CHUNK : len - k * CHUNK;
            whet_merkle_proof proof, odd;
            test_ok(ctx, whet_merkle_prove(ctx, payload, len, CHUNK, k, &proof));
            uint8_t *bytes = payload + k * CHUNK;
            assert_true(whet_merkle_holds(&root, &proof, bytes, size));
            assert_false(whet_merkle_holds(&root, &proof, bytes, size - 1));
            bytes[size - 1] ^= 128;
            assert_false(whet_merkle_holds(&root, &proof, bytes, size));
            bytes[size - 1] ^= 128;
            for (int32_t i = 0; i < proof.n; i++) {
                odd = proof;
                odd.nodes[i].bytes[i % 32] ^= 1;
                assert_false(whet_merkle_holds(&root, &odd, bytes, size));
            }
            odd = proof;
            odd.n++;
            assert_false(whet_merkle_holds(&root, &odd, bytes, size));
            odd.n = proof.n - 1;
            assert_false(whet_merkle_holds(&root, &odd, bytes, size));
            odd = proof;
            odd.chunk = -1;
            assert_false(whet_merkle_holds(&root, &odd, bytes, size));
            odd.chunk = chunks;
            assert_false(whet_merkle_holds(&root, &odd, bytes, size));
            if (chunks > 1) {
                odd.chunk = k ^ 1;
                assert_false(odd.chunk < chunks && whet_merkle_holds(&root, &odd, bytes, size));
            }
            odd = proof;
            odd.chunks = INT64_MAX; /* a path of 63 nodes: refused without reading beyond them */
            assert_false(whet_merkle_holds(&root, &odd, bytes, size));
        }
    }
    test_ctx_done(ctx);
}

/* A node's two hashes are no chunk with the node's hash. */
static void nodes_are_no_chunks(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_hash root, leaf[2], fake;
    uint8_t two[64];
    test_ok(ctx, whet_merkle_root(ctx, "ab", 2, 1, &root));
    test_ok(ctx, whet_merkle_root(ctx, "a", 1, 1, &leaf[0]));
    test_ok(ctx, whet_merkle_root(ctx, "b", 1, 1, &leaf[1]));
    memcpy(two, leaf[0].bytes, 32);
    memcpy(two + 32, leaf[1].bytes, 32);
    test_ok(ctx, whet_merkle_root(ctx, two, 64, 64, &fake));
    assert_false(whet_hash_equal(&root, &fake));
    const whet_merkle_proof none = {.chunk = 0, .chunks = 1};
    assert_false(whet_merkle_holds(&root, &none, two, 64));
    test_ctx_done(ctx);
}

static void refusals(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_hash root = {{9}};
    whet_merkle_proof proof = {.n = 9};
    whet_merkle *tree = NULL;
    test_fails(ctx, whet_merkle_root(ctx, "a", 1, 0, &root), WHET_ERR_ARG);
    test_fails(ctx, whet_merkle_root(ctx, "a", 1, (INT64_C(1) << 30) + 1, &root), WHET_ERR_ARG);
    test_fails(ctx, whet_merkle_root(ctx, "a", -1, 1, &root), WHET_ERR_ARG);
    test_fails(ctx, whet_merkle_create(ctx, -1, &tree), WHET_ERR_ARG);
    test_fails(ctx, whet_merkle_prove(ctx, "ab", 2, 1, 2, &proof), WHET_ERR_ARG);
    test_says(ctx, "chunk 2; expected 0 to 1");
    test_fails(ctx, whet_merkle_prove(ctx, "ab", 2, 1, -1, &proof), WHET_ERR_ARG);
    test_fails(ctx, whet_merkle_file(ctx, test_tmp("nowhere"), 1, &root, NULL), WHET_ERR_IO);
    test_ok(ctx, whet_merkle_create(ctx, 1, &tree));
    test_fails(ctx, whet_merkle_add(ctx, tree, "a", -1), WHET_ERR_ARG);
    test_fails(ctx, whet_merkle_add(ctx, tree, "a", INT64_MAX), WHET_ERR_LIMIT);
    whet_merkle_destroy(ctx, tree);
    assert_true(root.bytes[0] == 9 && proof.n == 9);
    test_ctx_done(ctx);
}

static whet_status body(whet_ctx *ctx, void *arg) {
    whet_hash root;
    whet_merkle_proof proof;
    whet_merkle *tree;
    (void)arg;
    WHET_TRY(whet_merkle_root(ctx, "abcde", 5, 2, &root));
    WHET_TRY(whet_merkle_prove(ctx, "abcde", 5, 2, 1, &proof));
    WHET_TRY(whet_merkle_create(ctx, 2, &tree));
    whet_merkle_destroy(ctx, tree);
    return WHET_OK;
}

static void survives_failing_allocations(void **state) {
    (void)state;
    assert_true(test_each_allocation(body, NULL) >= 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_commitments),
        cmocka_unit_test(golden_roots),
        cmocka_unit_test(nothing_else_opens),
        cmocka_unit_test(hashes_as_text),
        cmocka_unit_test(trees_are_as_defined),
        cmocka_unit_test(proofs_hold_for_their_chunk_alone),
        cmocka_unit_test(nodes_are_no_chunks),
        cmocka_unit_test(refusals),
        cmocka_unit_test(survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
