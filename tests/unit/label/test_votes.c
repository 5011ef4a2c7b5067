/* SPDX-License-Identifier: Apache-2.0
 * Votes and their counts: against plain loops, in all three forms, for any number of threads. */
#include "support.h"

#include <math.h>

#include "votes_support.h"

static void bad_votes_are_told_with_their_place(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    const int8_t fine[] = {0, -1, 2, 1, 1, -1}, high[] = {0, -1, 2, 1, 3, -1},
                 low[] = {0, -1, 2, -2, 1, -1};
    const int32_t wide[] = {0, -1, 2, 1, 1, 1000};
    whet_votes v = {.n = 2, .m = 3, .k = 3, .narrow = fine};
    test_ok(ctx, whet_votes_check(ctx, &v));
    v.narrow = high;
    test_fails(ctx, whet_votes_check(ctx, &v), WHET_ERR_DATA);
    test_says(ctx, "vote [1, 1] is 3; expected -1 to 2");
    v.narrow = low;
    test_fails(ctx, whet_votes_check(ctx, &v), WHET_ERR_DATA);
    test_says(ctx, "vote [1, 0] is -2");
    v.wide = wide;
    test_fails(ctx, whet_votes_check(ctx, &v), WHET_ERR_ARG);
    v.narrow = NULL;
    test_fails(ctx, whet_votes_check(ctx, &v), WHET_ERR_DATA);
    test_says(ctx, "vote [1, 2] is 1000");
    v.k = 1;
    test_fails(ctx, whet_votes_check(ctx, &v), WHET_ERR_ARG);
    v = (whet_votes){.n = 1, .m = INT32_MAX, .k = 2, .narrow = fine};
    test_fails(ctx, whet_votes_check(ctx, &v), WHET_ERR_LIMIT);
    const int64_t start[] = {0, 2, 3}, back[] = {0, 2, 1};
    const int32_t rule[] = {0, 2, 1}, twice[] = {2, 2, 1}, vote[] = {0, 2, 1}, none[] = {0, -1, 1};
    v = (whet_votes){.n = 2, .m = 3, .k = 3, .start = start, .rule = rule, .vote = vote};
    test_ok(ctx, whet_votes_check(ctx, &v));
    v.rule = twice;
    test_fails(ctx, whet_votes_check(ctx, &v), WHET_ERR_DATA);
    test_says(ctx, "votes of row 0");
    v.rule = rule;
    v.vote = none;
    test_fails(ctx, whet_votes_check(ctx, &v), WHET_ERR_DATA);
    v.vote = vote;
    v.start = back;
    test_fails(ctx, whet_votes_check(ctx, &v), WHET_ERR_DATA);
    test_says(ctx, "votes of row 1");
    test_ctx_done(ctx);
}

static void counts_equal_plain_loops(const whet_vote_counts *counts, const whet_votes *v) {
    assert_int_equal(whet_vote_counts_rows(counts), v->n);
    for (int64_t a = 0; a < v->m; a++)
        for (int64_t b = 0; b < v->m; b++)
            for (int32_t x = 0; x < v->k; x++)
                for (int32_t y = 0; y < v->k; y++) {
                    int64_t sum = 0;
                    for (int64_t i = 0; i < v->n; i++)
                        sum += v->narrow[i * v->m + a] == x && v->narrow[i * v->m + b] == y ? 1 : 0;
                    if (whet_vote_counts_of(counts, a, x, b, y) != sum)
                        fail_msg("counts of (%d, %d) and (%d, %d)", (int)a, x, (int)b, y);
                }
}

/* Sizes around a word of 64 rows; few classes go by bits, many row by row. */
static void counts_are_those_of_loops_in_every_form(void **state) {
    (void)state;
    static const int64_t ns[] = {0, 1, 63, 64, 65, 1000}, ks[] = {2, 5, 16, 17};
    for (int64_t s = 0; s < WHET_COUNT_OF(ns); s++)
        for (int64_t t = 0; t < WHET_COUNT_OF(ks); t++) {
            whet_ctx *ctx = test_ctx(s % 2 ? 1 : 3);
            drawn_votes d = draw_votes(ctx, ns[s], 4, ks[t], 7);
            int32_t *wide;
            whet_votes as_wide = wide_form(ctx, &d.votes, &wide);
            listed_votes list = list_form(ctx, &d.votes);
            const whet_votes *forms[] = {&d.votes, &as_wide, &list.votes};
            for (int f = 0; f < 3; f++) {
                whet_vote_counts *counts;
                test_ok(ctx, whet_vote_counts_create(ctx, 4, ks[t], &counts));
                test_ok(ctx, whet_vote_counts_add(ctx, counts, forms[f]));
                counts_equal_plain_loops(counts, &d.votes);
                whet_vote_counts_destroy(ctx, counts);
            }
            free_list(ctx, &list);
            whet_i_free(ctx, wide);
            free_votes(ctx, &d);
            test_ctx_done(ctx);
        }
}

static void shards_add_up(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    drawn_votes d = draw_votes(ctx, 500, 5, 3, 8);
    whet_vote_counts *first, *second, *other;
    test_ok(ctx, whet_vote_counts_create(ctx, 5, 3, &first));
    test_ok(ctx, whet_vote_counts_create(ctx, 5, 3, &second));
    test_ok(ctx, whet_vote_counts_create(ctx, 4, 3, &other));
    whet_votes part = d.votes;
    part.n = 123;
    test_ok(ctx, whet_vote_counts_add(ctx, first, &part));
    part.narrow += 123 * 5;
    part.n = 77;
    test_ok(ctx, whet_vote_counts_add(ctx, first, &part));
    part.narrow += 77 * 5;
    part.n = 300;
    test_ok(ctx, whet_vote_counts_add(ctx, second, &part));
    test_ok(ctx, whet_vote_counts_merge(ctx, first, second));
    counts_equal_plain_loops(first, &d.votes);
    test_fails(ctx, whet_vote_counts_merge(ctx, first, other), WHET_ERR_ARG);
    test_fails(ctx, whet_vote_counts_add(ctx, other, &d.votes), WHET_ERR_ARG);
    test_says(ctx, "votes of 5 rules and 3 classes; expected 4 and 3");
    test_fails(ctx, whet_vote_counts_create(ctx, 1 << 20, 1 << 9, &other), WHET_ERR_LIMIT);
    whet_vote_counts_destroy(ctx, first);
    whet_vote_counts_destroy(ctx, second);
    whet_vote_counts_destroy(ctx, other);
    free_votes(ctx, &d);
    test_ctx_done(ctx);
}

/* The expected classes are python's: tied[int(hashlib.sha1(b"0").hexdigest(), 16) % len(tied)]. */
static void ties_follow_their_rule(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const double probs[] = {.4, .2, .4, .4, .3, .3, 1. / 3, 1. / 3, 1. / 3};
    int32_t got[3];
    test_ok(ctx, whet_hard_labels(ctx, probs, 3, 3, WHET_TIE_LOWEST, 0, got));
    assert_true(got[0] == 0 && got[1] == 0 && got[2] == 0);
    test_ok(ctx, whet_hard_labels(ctx, probs, 3, 3, WHET_TIE_ABSTAIN, 0, got));
    assert_true(got[0] == -1 && got[1] == 0 && got[2] == -1);
    test_ok(ctx, whet_hard_labels(ctx, probs, 3, 3, WHET_TIE_HASH, 0, got));
    assert_true(got[0] == 0 && got[1] == 0 && got[2] == 0);
    test_ok(ctx, whet_hard_labels(ctx, probs + 6, 1, 3, WHET_TIE_HASH, 123456789, got));
    assert_int_equal(got[0], 2);
    const double nan[] = {(double)NAN, 1};
    test_fails(ctx, whet_hard_labels(ctx, nan, 1, 2, WHET_TIE_LOWEST, 0, got), WHET_ERR_DATA);
    test_says(ctx, "[0, 0]");
    test_ctx_done(ctx);
}

static whet_status count(whet_ctx *ctx, void *arg) {
    const whet_votes *votes = arg;
    whet_vote_counts *counts;
    WHET_TRY(whet_vote_counts_create(ctx, votes->m, votes->k, &counts));
    const whet_status status = whet_vote_counts_add(ctx, counts, votes);
    assert_int_equal(whet_vote_counts_rows(counts), status == WHET_OK ? votes->n : 0);
    whet_vote_counts_destroy(ctx, counts);
    return status;
}

static void survives_failing_allocations(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    for (int64_t k = 2; k < 20; k += 17) {
        drawn_votes d = draw_votes(ctx, 100, 3, k, 9);
        assert_true(test_each_allocation(count, &d.votes) > 4);
        free_votes(ctx, &d);
    }
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_votes_are_told_with_their_place),
        cmocka_unit_test(counts_are_those_of_loops_in_every_form),
        cmocka_unit_test(shards_add_up),
        cmocka_unit_test(ties_follow_their_rule),
        cmocka_unit_test(survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
