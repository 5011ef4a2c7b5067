/* SPDX-License-Identifier: Apache-2.0
 * The k largest keys of a tensor against a sort: few and many equals, ranks at the ends, several of one
 * stream, a sample that misleads, keys too many to be kept; threads; allocations that fail. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "merge/merge_passes.h"

enum { COUNT = 5 * WHET_I_MERGE_CHUNK + 77, PIECE = 256, TOPS = 7 };

static const whet_i_merge_method method = {.passes = 1, .streams = -1};

/* What is asked, and of what. */
typedef struct task {
    float *x;
    int64_t count;
    bool lies; /* pieces of a sample show nothing of what is there */
    whet_i_merge_top tops[TOPS];
} task;

static void keys_of(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, int64_t stream,
                    void *arg, uint32_t *keys) {
    const task *s = arg;
    (void)t;
    for (int64_t e = 0; e < c->n; e++)
        keys[e] = whet_i_merge_key(stream ? -c->x[0][e] : c->x[0][e]);
    for (int64_t e = 0; s->lies && c->n == PIECE && e < c->n; e++) keys[e] = (uint32_t)e;
}

static whet_status select_all(whet_ctx *ctx, task *s, bool *found) {
    const whet_i_merge_source source = {.model = "x", .values = s->x};
    whet_i_merge_tensor t = {.method = &method,
                             .name = "t",
                             .rank = 1,
                             .shape = {s->count},
                             .count = s->count,
                             .n = 1,
                             .base = -1,
                             .sources = 1,
                             .source = &source};
    whet_status status = whet_i_merge_room_create(ctx, &t);
    if (status == WHET_OK && found)
        status = whet_i_merge_bracket(ctx, &t, keys_of, s, 2, s->tops, TOPS, found);
    else if (status == WHET_OK)
        status = whet_i_merge_select(ctx, &t, keys_of, s, 2, s->tops, TOPS);
    whet_i_merge_room_destroy(ctx, &t);
    return status;
}

static int64_t free_tops(whet_ctx *ctx, task *s) {
    int64_t told_apart = 0;
    for (int k = 0; k < TOPS; k++) {
        told_apart += s->tops[k].before ? 1 : 0;
        whet_i_free(ctx, s->tops[k].before);
        s->tops[k].before = NULL;
    }
    return told_apart;
}

static int descending(const void *a, const void *b) {
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x < y) - (x > y);
}

/* Of one top: its key, its equals and where they are, by a sort. */
static void check_top(whet_ctx *ctx, const task *s, const whet_i_merge_top *top) {
    const int64_t n = s->count, chunk = WHET_I_MERGE_CHUNK;
    uint32_t *key = malloc((size_t)n * sizeof *key), *sorted = malloc((size_t)n * sizeof *key);
    float *m = malloc((size_t)chunk * sizeof *m);
    const whet_i_merge_tensor t = {.kernels = whet_i_kernels(ctx)};
    int64_t equal = 0, in = 0, left;
    for (int64_t i = 0; i < n; i++)
        sorted[i] = key[i] = whet_i_merge_key(top->stream ? -s->x[i] : s->x[i]);
    qsort(sorted, (size_t)n, sizeof *sorted, descending);
    const bool ends = top->rank == 0 || top->rank >= n;
    if (!ends) {
        assert_int_equal(top->least, sorted[top->rank - 1]);
        for (int64_t i = 0; i < top->rank; i++) equal += sorted[i] == top->least;
        assert_int_equal(top->equals, equal);
    }
    left = top->equals;
    for (int64_t first = 0; first < n; first += chunk) {
        const int64_t len = n - first < chunk ? n - first : chunk;
        whet_i_merge_top_mask(&t, top, first / chunk, len, key + first, m);
        for (int64_t e = 0; e < len; e++) {
            const uint32_t k = key[first + e];
            const bool want =
                ends ? top->rank > 0 : k > top->least || (k == top->least && left > 0);
            left -= k == top->least;
            assert_true(m[e] == (want ? 1.0F : 0.0F));
            in += want;
        }
    }
    assert_int_equal(in, top->rank);
    free(key);
    free(sorted);
    free(m);
}

/* Ranks from end to end, of both streams. */
static void ask(task *s) {
    const int64_t n = s->count;
    const whet_i_merge_top tops[TOPS] = {{.rank = 0},
                                         {.rank = 1},
                                         {.rank = n / 2},
                                         {.rank = n - n / 100},
                                         {.rank = n},
                                         {.stream = 1, .rank = n / 100},
                                         {.stream = 1, .rank = n - 1}};
    memcpy(s->tops, tops, sizeof tops);
}

/* Numbers of several kinds; form 1 has halves, as differences of bfloat16 have equals; 2 one number on
 * most places; 3 only that; 4 the large ones all at the end. */
static void fill(task *s, int form) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, 3, (uint64_t)form);
    for (int64_t i = 0; i < s->count; i++) {
        const double z = whet_i_rng_normal(&rng);
        s->x[i] = form == 0   ? (float)z
                  : form == 1 ? (float)(rint(32 * z) / 32)
                  : form == 2 ? (whet_i_rng_below(&rng, 10) ? 1.5F : (float)z)
                  : form == 3 ? -2.0F
                              : (float)(z + (double)(i / 1000));
    }
}

static void check_form(whet_ctx *ctx, task *s, bool finds) {
    bool found;
    ask(s);
    test_ok(ctx, select_all(ctx, s, &found));
    assert_int_equal(found, finds);
    (void)free_tops(ctx, s);
    ask(s);
    test_ok(ctx, select_all(ctx, s, NULL));
    for (int k = 0; k < TOPS; k++) check_top(ctx, s, &s->tops[k]);
}

/* In one pass, and, where the sample shows keys that are not there, by histograms. */
static void the_largest_of_a_sort(void **state) {
    (void)state;
    static const int32_t threads[] = {1, 2, 5, 1, 2};
    task s = {.x = malloc(COUNT * sizeof(float))};
    for (int form = 0; form < 5; form++)
        for (int size = 0; size < 3; size++) { /* all at once, a sample, and one that lies */
            whet_ctx *ctx = test_ctx(threads[form]);
            s.count = size == 0 ? 1000 : COUNT;
            s.lies = size == 2;
            fill(&s, form);
            check_form(ctx, &s, size < 2);
            const int64_t told_apart = free_tops(ctx, &s);
            if (form == 2 || form == 3) assert_true(told_apart > 0);
            test_ctx_done(ctx);
        }
    free(s.x);
}

/* A sample of three chunks, which more threads than three would have no room for. */
static void more_threads_than_chunks(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(16);
    task s = {.x = malloc(COUNT * sizeof(float)), .count = 2 * WHET_I_MERGE_CHUNK + 77};
    fill(&s, 0);
    for (int repeat = 0; repeat < 20; repeat++) {
        ask(&s);
        test_ok(ctx, select_all(ctx, &s, NULL));
        for (int k = 0; k < TOPS; k++) check_top(ctx, &s, &s.tops[k]);
        (void)free_tops(ctx, &s);
    }
    free(s.x);
    test_ctx_done(ctx);
}

/* Two keys, each on half of the places, are more than may be kept: counted instead. */
static void keys_too_many_to_keep(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    bool found = true;
    task s = {.count = 12 << 20};
    s.x = malloc((size_t)s.count * sizeof *s.x);
    for (int64_t i = 0; i < s.count; i++) s.x[i] = i % 2 ? 1.0F : 2.0F;
    for (int k = 0; k < TOPS; k++) s.tops[k] = (whet_i_merge_top){.rank = s.count / 2 + 1 + k};
    test_ok(ctx, select_all(ctx, &s, &found));
    assert_false(found);
    test_ok(ctx, select_all(ctx, &s, NULL));
    for (int k = 0; k < TOPS; k++) {
        assert_int_equal(s.tops[k].least, whet_i_merge_key(1));
        assert_int_equal(s.tops[k].equals, 1 + k);
    }
    (void)free_tops(ctx, &s);
    free(s.x);
    test_ctx_done(ctx);
}

static whet_status body(whet_ctx *ctx, void *arg) {
    task *s = arg;
    ask(s);
    const whet_status status = select_all(ctx, s, NULL);
    (void)free_tops(ctx, s);
    return status;
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    task s = {.x = malloc(COUNT * sizeof(float)), .count = COUNT};
    fill(&s, 2);
    for (int lies = 0; lies < 2; lies++) {
        s.lies = lies;
        assert_true(test_each_allocation(body, &s) > 10);
    }
    free(s.x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_largest_of_a_sort),
        cmocka_unit_test(more_threads_than_chunks),
        cmocka_unit_test(keys_too_many_to_keep),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
