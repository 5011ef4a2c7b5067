/* SPDX-License-Identifier: Apache-2.0
 * Weights as files of a folder: which tensor goes where, names, what is written and read again. */
#include "support.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "merge/weight_shards.h"
#include "nn/model_folder.h"

static void cuts_by_hand(void **state) {
    (void)state;
    static const struct {
        int64_t bytes[5], n, most, files, shards[5];
    } cases[] = {
        {{3, 4, 5}, 3, 7, 2, {0, 0, 1}}, /* full to the byte */
        {{3, 4, 5}, 3, 6, 3, {0, 1, 2}},         {{9, 1, 9}, 3, 5, 3, {0, 1, 2}}, /* none is cut */
        {{0, 0, 5}, 3, 5, 1, {0, 0, 0}}, /* nothing fills nothing */
        {{5, 0, 1}, 3, 5, 2, {0, 0, 1}},         {{0, 9, 1}, 3, 5, 2, {0, 0, 1}},
        {{1, 1, 1, 1, 1}, 5, INT64_MAX, 1, {0}}, {{0}, 0, 5, 0, {0}}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        whet_i_sharded items[5] = {{0}};
        for (int i = 0; i < 5; i++) items[i].bytes = cases[c].bytes[i];
        assert_int_equal(whet_i_cut_shards(items, cases[c].n, cases[c].most), cases[c].files);
        for (int64_t i = 0; i < cases[c].n; i++)
            assert_int_equal(items[i].shard, cases[c].shards[i]);
    }
}

/* In order, no file above its size unless of one tensor, and none that the next tensor would have fitted. */
static void cuts_drawn_sizes(void **state) {
    enum { N = 40 };
    whet_i_rng rng;
    (void)state;
    whet_i_rng_init(&rng, 9, 0);
    for (int round = 0; round < 2000; round++) {
        whet_i_sharded items[N];
        int64_t sizes[N] = {0}, counts[N] = {0};
        const int64_t n = 1 + whet_i_rng_below(&rng, N), most = 1 + whet_i_rng_below(&rng, 50);
        for (int64_t i = 0; i < n; i++) items[i].bytes = whet_i_rng_below(&rng, 30);
        const int64_t files = whet_i_cut_shards(items, n, most);
        assert_int_equal(items[0].shard, 0);
        assert_int_equal(items[n - 1].shard, files - 1);
        for (int64_t i = 0; i < n; i++) {
            if (i > 0 && items[i].shard != items[i - 1].shard) {
                assert_int_equal(items[i].shard, items[i - 1].shard + 1);
                assert_true(sizes[items[i - 1].shard] + items[i].bytes > most);
            }
            sizes[items[i].shard] += items[i].bytes;
            counts[items[i].shard] += items[i].bytes > 0;
        }
        for (int64_t k = 0; k < files; k++) assert_true(sizes[k] <= most || counts[k] == 1);
    }
}

static void names_files(void **state) {
    char name[WHET_I_SHARD_NAME];
    (void)state;
    whet_i_shard_name(0, 1, name);
    assert_string_equal(name, "model.safetensors");
    whet_i_shard_name(11, 123456, name);
    assert_string_equal(name, "model-00012-of-123456.safetensors");
}

static const float VALUES[] = {1, 2, 3, 4, 5, 6};
static const whet_named_tensor ITEMS[] = {
    {"b", {(void *)(uintptr_t)VALUES, WHET_F32, 1, {2}}},
    {"a", {(void *)(uintptr_t)(VALUES + 2), WHET_F32, 2, {1, 3}}},
    {"empty", {(void *)(uintptr_t)VALUES, WHET_F32, 1, {0}}},
    {"c", {(void *)(uintptr_t)(VALUES + 5), WHET_F32, 0, {0}}}};

static whet_status body(whet_ctx *ctx, void *arg) {
    static const char *const none[] = {NULL};
    int64_t files;
    return whet_i_write_weights(ctx, arg, ITEMS, 4, none, 12, &files);
}

static void reads_what_it_wrote(void **state) {
    whet_ctx *ctx = test_ctx(1);
    static const char *const metadata[] = {"format", "pt", NULL};
    char folder[4096];
    whet_i_weight_files found = {0};
    int64_t files;
    (void)state;
    (void)snprintf(folder, sizeof folder, "%s", test_tmp("shards"));
    assert_int_equal(mkdir(folder, 0777), 0);
    test_ok(ctx, whet_i_write_weights(ctx, folder, ITEMS, 4, metadata, 12, &files));
    assert_int_equal(files, 3); /* 8; 12 and 0; 4 */
    test_ok(ctx, whet_i_weight_files_open(ctx, folder, &found));
    assert_int_equal(found.n, 3);
    for (int i = 0; i < 4; i++) {
        whet_tensor t;
        assert_true(whet_i_weight_files_find(&found, ITEMS[i].name, &t));
        assert_int_equal(t.rank, ITEMS[i].tensor.rank);
        assert_int_equal(whet_tensor_count(&t), whet_tensor_count(&ITEMS[i].tensor));
        assert_memory_equal(t.data, ITEMS[i].tensor.data,
                            (size_t)whet_tensor_count(&t) * sizeof(float));
    }
    assert_true(whet_str_equal(whet_safetensors_metadata(found.items[0].tensors, "format"),
                               whet_str_from("pt")));
    whet_i_weight_files_close(ctx, &found);
    assert_true(test_each_allocation(body, folder) > 10);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_by_hand), cmocka_unit_test(cuts_drawn_sizes),
        cmocka_unit_test(names_files), cmocka_unit_test(reads_what_it_wrote)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
