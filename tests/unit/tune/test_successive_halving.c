/* SPDX-License-Identifier: Apache-2.0
 * What a search does next, on made-up scores: by hand, beside the paper's algorithm written down once more,
 * by several workers, and at the end of a budget. */
#include "support.h"

#include <math.h>
#include <string.h>

#include "tune/search_i.h"

enum { MOST = 60, K = 2 };

typedef struct world {
    whet_i_search_state state;
    whet_i_search_trial trials[MOST + 1];
    whet_i_search_rules rules;
} world;

static void begin(whet_ctx *ctx, world *w, int32_t rungs) {
    memset(w, 0, sizeof *w);
    w->state.head = (whet_i_search_head){
        .rungs = rungs, .replicates = K, .folds = K, .step_seconds = 1, .final_steps = 10};
    for (int32_t l = 0, steps = 1; l < rungs; l++, steps *= 3) w->state.head.steps[l] = steps;
    test_ok(ctx, whet_i_calloc(ctx, MOST, &w->state.rows));
    for (int64_t t = 0; t <= MOST; t++) {
        w->trials[t].job.adapter = t % 2 ? WHET_TUNE_LORA : WHET_TUNE_MORE;
        w->trials[t].parameters = 100;
        w->trials[t].pair = -1;
    }
    w->rules = (whet_i_search_rules){.state = &w->state, .trials = w->trials, .most = MOST};
}

static whet_i_search_cell *at(world *w, whet_i_search_unit u) {
    if (u.trial >= w->state.n_trials) w->state.n_trials = u.trial + 1;
    return &w->state.rows[u.trial].cell[u.level][u.replicate];
}

static void finish(world *w, whet_i_search_unit u, double metric) {
    whet_i_search_cell *c = at(w, u);
    *c = (whet_i_search_cell){.state = WHET_I_CELL_DONE,
                              .metric = metric,
                              .loss = NAN,
                              .seconds = (double)w->state.head.steps[u.level],
                              .steps = w->state.head.steps[u.level]};
    w->state.spent += c->seconds;
}

static void expect(world *w, int64_t trial, int32_t level, double metric) {
    for (int32_t k = 0; k < K; k++) {
        whet_i_search_unit u;
        assert_int_equal(whet_i_search_next(&w->rules, &u), WHET_I_SEARCH_WORK);
        assert_int_equal(u.trial, trial);
        assert_int_equal(u.level, level);
        assert_int_equal(u.replicate, k);
        finish(w, u, metric);
    }
}

/* Two rungs, each trial better than the one before: of three the best goes on, of four the new best too, and
 * none more until there are six. */
static void by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    world w;
    whet_i_search_unit u;
    begin(ctx, &w, 2);
    w.rules.most = 6;
    for (int64_t t = 0; t < 3; t++) expect(&w, t, 0, 0.1 * (double)t);
    expect(&w, 2, 1, 0.9);
    expect(&w, 3, 0, 0.3);
    expect(&w, 3, 1, 0.6);
    expect(&w, 4, 0, 0.01); /* the best floor(5 / 3) = 1 has gone on */
    expect(&w, 5, 0, 0.02); /* floor(6 / 3) = 2: trials 3 and 2 have gone on */
    /* Nothing new may begin. MoRe's best is 2, LoRA's 3, at whole length both: they are compared. */
    for (int64_t t = 2; t < 4; t++)
        for (int32_t k = K; k < 2 * K; k++) {
            assert_int_equal(whet_i_search_next(&w.rules, &u), WHET_I_SEARCH_WORK);
            assert_true(u.trial == t && u.level == 1 && u.replicate == k);
            finish(&w, u, 0.5);
        }
    assert_int_equal(whet_i_search_winner(&w.rules), 2);
    assert_int_equal(whet_i_search_rival(&w.rules, 2), 3);
    assert_int_equal(whet_i_search_next(&w.rules, &u), WHET_I_SEARCH_TRAIN);
    assert_true(u.trial == 2 && u.level == 2 && u.replicate == 0);
    finish(&w, u, NAN);
    assert_int_equal(whet_i_search_next(&w.rules, &u), WHET_I_SEARCH_OVER);
    whet_i_free(ctx, w.state.rows);
    test_ctx_done(ctx);
}

/* Scores without ties that change from rung to rung. */
static double score_of(int64_t trial, int32_t level) {
    return (double)(whet_i_hash_u64((uint64_t)(trial * 8 + level)) % 1000003) / 1000003;
}

/* The paper's get_job: rungs from the top; the best floor(n / eta) in order, the first that has not gone
 * on. */
static whet_i_search_unit paper(int64_t n, int32_t rungs, bool done[][WHET_I_SEARCH_RUNGS]) {
    for (int32_t l = rungs - 2; l >= 0; l--) {
        int64_t order[MOST], m = 0;
        for (int64_t t = 0; t < n; t++)
            if (done[t][l]) order[m++] = t;
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = i + 1; j < m; j++)
                if (score_of(order[j], l) > score_of(order[i], l)) {
                    const int64_t swap = order[i];
                    order[i] = order[j];
                    order[j] = swap;
                }
        for (int64_t i = 0; i < m / 3; i++)
            if (!done[order[i]][l + 1]) return (whet_i_search_unit){order[i], l + 1, 0};
    }
    return (whet_i_search_unit){n, 0, 0};
}

static void as_the_paper_says(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    bool done[MOST][WHET_I_SEARCH_RUNGS] = {{false}};
    int64_t n = 0;
    world w;
    begin(ctx, &w, 4);
    for (;;) {
        const whet_i_search_unit next = paper(n, 4, done);
        if (next.trial == MOST) break;
        expect(&w, next.trial, next.level, score_of(next.trial, next.level));
        done[next.trial][next.level] = true;
        if (next.trial == n) n++;
    }
    int64_t whole = 0;
    for (int64_t t = 0; t < n; t++) whole += done[t][3];
    assert_true(whole >= MOST / 27);
    whet_i_free(ctx, w.state.rows);
    test_ctx_done(ctx);
}

/* Workers take units at random times; one dies with what it has. Each unit ends once, the end comes, and the
 * winner is the best that came to the whole length. */
static void shared_by_workers(void **state) {
    (void)state;
    enum { WORKERS = 4 };
    whet_ctx *ctx = test_ctx(1);
    whet_i_rng rng;
    world w;
    whet_i_search_unit held[WORKERS];
    bool busy[WORKERS] = {false}, died = false;
    int64_t trained = 0, waits = 0;
    begin(ctx, &w, 3);
    w.rules.most = 20;
    whet_i_rng_init(&rng, 3, 0);
    for (int64_t turn = 0; turn < 20000; turn++) {
        const int64_t i = whet_i_rng_below(&rng, WORKERS);
        if (busy[i]) {
            whet_i_search_cell *c = at(&w, held[i]);
            assert_int_equal(c->state, WHET_I_CELL_CLAIMED);
            busy[i] = false;
            if (turn >= 40 && !died) {
                c->until = 0; /* dead: another one's */
                died = true;
                continue;
            }
            finish(&w, held[i], score_of(held[i].trial, held[i].level));
            continue;
        }
        const whet_i_search_step step = whet_i_search_next(&w.rules, &held[i]);
        if (step == WHET_I_SEARCH_OVER) {
            if (trained) break;
            continue;
        }
        waits += step == WHET_I_SEARCH_WAIT;
        if (step == WHET_I_SEARCH_WAIT) continue;
        trained += step == WHET_I_SEARCH_TRAIN;
        whet_i_search_cell *c = at(&w, held[i]);
        assert_true(c->state == WHET_I_CELL_EMPTY ||
                    (c->state == WHET_I_CELL_CLAIMED && c->until == 0));
        *c = (whet_i_search_cell){.state = WHET_I_CELL_CLAIMED, .worker = i, .until = INFINITY};
        busy[i] = true;
    }
    assert_int_equal(trained, 1);
    assert_true(waits > 0 && died);
    assert_int_equal(w.state.n_trials, 20);
    for (int64_t t = 0; t < 20; t++) /* what the dead one had, too */
        for (int32_t l = 0; l < 3; l++)
            for (int32_t k = 0; k < 2 * K; k++)
                assert_int_not_equal(w.state.rows[t].cell[l][k].state, WHET_I_CELL_CLAIMED);
    const int64_t winner = whet_i_search_winner(&w.rules);
    for (int64_t t = 0; t < 20; t++) {
        const whet_i_search_mean m = whet_i_search_mean_of(&w.state, t, 2, 0, K);
        if (m.whole) assert_true(score_of(t, 2) <= score_of(winner, 2));
    }
    whet_i_free(ctx, w.state.rows);
    test_ctx_done(ctx);
}

/* Failed trials and those without a number are the worst; a trial that fails at whole length makes way
 * for the next best; when all fail there is no winner. */
static void failures_make_way(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    world w;
    whet_i_search_unit u;
    begin(ctx, &w, 2);
    w.rules.most = 2;
    expect(&w, 0, 0, 0.5);
    assert_int_equal(whet_i_search_next(&w.rules, &u), WHET_I_SEARCH_WORK);
    at(&w, u)->state = WHET_I_CELL_FAILED; /* its other replicate is not run */
    assert_true(whet_i_search_better(&w.rules, 0, 0, 1));
    assert_int_equal(whet_i_search_next(&w.rules, &u), WHET_I_SEARCH_WORK);
    assert_true(u.trial == 0 && u.level == 1);
    finish(&w, u, NAN);
    assert_int_equal(whet_i_search_next(&w.rules, &u), WHET_I_SEARCH_WORK);
    finish(&w, u, 0.5);
    assert_int_equal(whet_i_search_next(&w.rules, &u), WHET_I_SEARCH_OVER);
    assert_int_equal(whet_i_search_winner(&w.rules), -1);
    whet_i_free(ctx, w.state.rows);
    test_ctx_done(ctx);
}

/* Ties: by loss, then fewer parameters, then the first; a metric whose lower values are better turns all. */
static void ties_and_directions(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    world w;
    begin(ctx, &w, 1);
    for (int64_t t = 0; t < 4; t++)
        for (int32_t k = 0; k < K; k++)
            finish(&w, (whet_i_search_unit){t, 0, k}, t == 3 ? 0.7 : 0.5);
    assert_true(whet_i_search_better(&w.rules, 0, 0, 1) &&
                !whet_i_search_better(&w.rules, 0, 1, 0));
    w.trials[1].parameters = 50;
    assert_true(whet_i_search_better(&w.rules, 0, 1, 0));
    for (int64_t t = 0; t < 2; t++)
        for (int32_t k = 0; k < K; k++)
            at(&w, (whet_i_search_unit){t, 0, k})->loss = t == 0 ? 0.1 : 0.2;
    assert_true(whet_i_search_better(&w.rules, 0, 0, 1));
    assert_true(whet_i_search_better(&w.rules, 0, 3, 0));
    w.rules.lower = true;
    assert_true(whet_i_search_better(&w.rules, 0, 0, 3));
    whet_i_free(ctx, w.state.rows);
    test_ctx_done(ctx);
}

/* A rival has no more parameters than the winner; of a LoRA it is MoRe. */
static void rivals(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    world w;
    begin(ctx, &w, 1);
    const double metrics[] = {0.9, 0.8, 0.7, 0.6};
    for (int64_t t = 0; t < 4; t++)
        for (int32_t k = 0; k < K; k++) finish(&w, (whet_i_search_unit){t, 0, k}, metrics[t]);
    assert_int_equal(whet_i_search_rival(&w.rules, 0), 1);
    w.trials[1].parameters = 102; /* beyond a hundredth more */
    assert_int_equal(whet_i_search_rival(&w.rules, 0), 3);
    w.trials[1].parameters = 101;
    assert_int_equal(whet_i_search_rival(&w.rules, 0), 1);
    assert_int_equal(whet_i_search_rival(&w.rules, 1), 0);
    w.trials[0].parameters = w.trials[2].parameters = 1000;
    assert_int_equal(whet_i_search_rival(&w.rules, 1), -1);
    whet_i_free(ctx, w.state.rows);
    test_ctx_done(ctx);
}

/* A unit that takes a second a step, less those of the rung that it goes on from. */
static void take_steps(world *w, whet_i_search_unit u, double metric) {
    const int32_t passed = whet_i_search_passed(&w->state, u);
    const int64_t steps =
        w->state.head.steps[u.level] - (passed < 0 ? 0 : w->state.head.steps[passed]);
    assert_true(fabs(whet_i_search_expected(&w->rules, u) - (double)steps) < 1e-9);
    finish(w, u, metric);
    whet_i_search_cell *c = at(w, u);
    w->state.spent += (double)steps - c->seconds;
    c->seconds = (double)steps;
    c->steps = steps;
}

/* Under a budget of seconds, one a step: what is done fits in it, one trial comes to the whole length in
 * any case, and a larger budget tries more. */
static void seconds_are_kept(void **state) {
    (void)state;
    int64_t before = 0;
    for (int budget = 28; budget <= 224; budget *= 2) {
        whet_ctx *ctx = test_ctx(1);
        world w;
        whet_i_search_unit u;
        whet_i_search_step step;
        begin(ctx, &w, 3);
        w.rules.most = 0;
        w.rules.seconds = budget;
        while ((step = whet_i_search_next(&w.rules, &u)) == WHET_I_SEARCH_WORK) {
            assert_true(u.trial < MOST);
            take_steps(&w, u, score_of(u.trial, u.level));
        }
        assert_int_equal(step, WHET_I_SEARCH_TRAIN);
        /* 2 x 9 steps of one trial and 10 of the training are the least. */
        assert_true(w.state.spent + 10 <= budget);
        assert_true(w.state.n_trials >= before);
        before = w.state.n_trials;
        whet_i_free(ctx, w.state.rows);
        test_ctx_done(ctx);
    }
    assert_true(before > 20);
}

/* Rungs of 1 and 3 steps, each trial worse than the one before; a trial's first rung takes 2 seconds, the
 * second 4, the training 10. Kept for the end: 10 and four times 4, but no more than half of the budget.
 * Of 49 s: three trials and trial 0 on to the second rung are 10 s, three more and trial 1 are 20; trials 6
 * and 7 begin at 20 and 22, for 22 + 2 + 24.5 <= 49; at 24 none does. Of 52 s trial 8 begins, for 24 + 2 + 26
 * <= 52, and trial 2, of the best third now, does not go on, for 26 + 4 + 26 is more. */
static void half_is_kept_for_the_end(void **state) {
    (void)state;
    for (int seconds = 49; seconds <= 52; seconds += 3) {
        whet_ctx *ctx = test_ctx(1);
        world w;
        whet_i_search_unit u;
        begin(ctx, &w, 2);
        w.rules.most = 0;
        w.rules.seconds = seconds;
        while (whet_i_search_next(&w.rules, &u) == WHET_I_SEARCH_WORK) {
            assert_true(u.trial < MOST);
            take_steps(&w, u, 1 - 0.01 * (double)u.trial);
        }
        assert_int_equal(w.state.n_trials, seconds == 49 ? 8 : 9);
        for (int64_t t = 0; t < w.state.n_trials; t++)
            assert_int_equal(whet_i_search_mean_of(&w.state, t, 1, 0, K).begun, t < 2);
        /* Both were compared: 2 x 2 x 3 steps, which leave the training its 10. */
        assert_true(w.state.spent + 10 <= seconds);
        for (int64_t t = 0; t < 2; t++)
            assert_true(whet_i_search_mean_of(&w.state, t, 1, K, 2 * K).whole);
        whet_i_free(ctx, w.state.rows);
        test_ctx_done(ctx);
    }
}

/* What others are at counts as spent: of 30 s, 2 are, and 15 are kept; behind 5 trials of 2 s at which
 * somebody is another one begins, for 2 + 10 + 2 + 15 <= 30, behind 6 none. */
static void claims_count_as_spent(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    world w;
    whet_i_search_unit u;
    begin(ctx, &w, 2);
    w.rules.most = 0;
    w.rules.seconds = 30;
    expect(&w, 0, 0, 0.5);
    for (int64_t t = 1; t <= 6; t++) {
        assert_int_equal(whet_i_search_next(&w.rules, &u), WHET_I_SEARCH_WORK);
        assert_true(u.trial == t && u.level == 0);
        for (int32_t k = 0; k < K; k++)
            at(&w, (whet_i_search_unit){t, 0, k})[0] =
                (whet_i_search_cell){.state = WHET_I_CELL_CLAIMED, .until = INFINITY};
    }
    assert_int_equal(whet_i_search_next(&w.rules, &u), WHET_I_SEARCH_WAIT);
    whet_i_free(ctx, w.state.rows);
    test_ctx_done(ctx);
}

/* At the end the winner's rival goes on to the whole length, though a LoRA of more parameters was better, and
 * then the best of each kind that nobody stands for there. */
static void kinds_come_to_the_whole_length(void **state) {
    (void)state;
    static const whet_tune_adapter kinds[] = {WHET_TUNE_MORE, WHET_TUNE_LORA, WHET_TUNE_FULL,
                                              WHET_TUNE_LORA, WHET_TUNE_FULL};
    static const double scores[] = {0.9, 0.5, 0.2, 0.4, 0.3};
    whet_ctx *ctx = test_ctx(1);
    world w;
    begin(ctx, &w, 2);
    w.rules.most = 5;
    for (int64_t t = 0; t < 5; t++) w.trials[t].job.adapter = kinds[t];
    w.trials[1].parameters = w.trials[2].parameters = w.trials[4].parameters = 1000;
    for (int64_t t = 0; t < 3; t++) expect(&w, t, 0, scores[t]);
    expect(&w, 0, 1, 0.9);
    for (int64_t t = 3; t < 5; t++) expect(&w, t, 0, scores[t]);
    expect(&w, 3, 1, 0.4);
    expect(&w, 4, 1, 0.3);
    assert_int_equal(whet_i_search_winner(&w.rules), 0);
    assert_int_equal(whet_i_search_rival(&w.rules, 0), 3);
    whet_i_free(ctx, w.state.rows);
    test_ctx_done(ctx);
}

/* The winner's partner is its rival, though it was the worst of all at the first rung and another LoRA came
 * to the whole length; where it fails, the other one is. */
static void partners_come_to_the_whole_length(void **state) {
    (void)state;
    static const double scores[] = {0.9, 0.1, 0.2, 0.8, 0.3, 0.4};
    for (int fails = 0; fails < 2; fails++) {
        whet_ctx *ctx = test_ctx(1);
        whet_i_search_unit u;
        world w;
        begin(ctx, &w, 2);
        w.rules.most = 6;
        for (int64_t t = 0; t < 6; t++) w.trials[t].pair = t / 2 * 2;
        for (int64_t t = 0; t < 3; t++) expect(&w, t, 0, scores[t]);
        expect(&w, 0, 1, 0.9);
        for (int64_t t = 3; t < 6; t++) expect(&w, t, 0, scores[t]);
        expect(&w, 3, 1, 0.8);
        assert_int_equal(whet_i_search_partner(&w.rules, 0), 1);
        assert_int_equal(whet_i_search_partner(&w.rules, 3), 2);
        assert_int_equal(whet_i_search_rival(&w.rules, 0), 3);
        expect(&w, 1, 1, fails ? (double)NAN : 0.5);
        assert_int_equal(whet_i_search_rival(&w.rules, 0), fails ? 3 : 1);
        for (int64_t i = 0; i < 2 * K; i++) {
            assert_int_equal(whet_i_search_next(&w.rules, &u), WHET_I_SEARCH_WORK);
            assert_int_equal(u.trial, i < K ? 0 : fails ? 3 : 1);
            assert_int_equal(u.replicate, K + i % K);
            finish(&w, u, 0.5);
        }
        assert_int_equal(whet_i_search_next(&w.rules, &u), WHET_I_SEARCH_TRAIN);
        whet_i_free(ctx, w.state.rows);
        test_ctx_done(ctx);
    }
}

/* A winner whose partner is the next trial: that begins where the budget lets it. Of 24 s, six trials take
 * 12; a new one needs 2, and half of the budget for the end; the partner 2, and the training its 10. A limit
 * of trials is kept. */
static void a_partner_may_begin_at_the_end(void **state) {
    (void)state;
    for (int limited = 0; limited < 2; limited++) {
        whet_ctx *ctx = test_ctx(1);
        whet_i_search_unit u;
        world w;
        begin(ctx, &w, 1);
        w.rules.most = limited ? 6 : 0;
        w.rules.seconds = 24;
        w.trials[5].pair = w.trials[6].pair = 5;
        for (int64_t t = 0; t < 6; t++) expect(&w, t, 0, 0.1 * (double)t);
        if (!limited) expect(&w, 6, 0, 0.4);
        assert_int_equal(whet_i_search_rival(&w.rules, 5), limited ? 4 : 6);
        /* To compare them takes 4 s more, which are not there. */
        assert_int_equal(whet_i_search_next(&w.rules, &u), WHET_I_SEARCH_TRAIN);
        assert_int_equal(u.trial, 5);
        whet_i_free(ctx, w.state.rows);
        test_ctx_done(ctx);
    }
}

/* What a rung is expected to take: the steps behind the one before; of full tuning, which leaves no
 * checkpoints, all; at the rate of its own kind. */
static void expectations_by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    world w;
    begin(ctx, &w, 2);
    w.state.head.overhead = 0.5;
    w.trials[0].job.adapter = WHET_TUNE_FULL;
    for (int64_t t = 0; t < 2; t++)
        for (int32_t k = 0; k < K; k++) {
            const whet_i_search_unit u = {t, 0, k};
            finish(&w, u, 0.5);
            at(&w, u)->seconds = t == 0 ? 4.5 : 2.5; /* 4 and 2 without what stands around a step */
        }
    assert_true(whet_i_search_expected(&w.rules, (whet_i_search_unit){0, 1, 0}) == 3 * 4 + 0.5);
    assert_true(whet_i_search_expected(&w.rules, (whet_i_search_unit){1, 1, 0}) == 2 * 2 + 0.5);
    assert_true(whet_i_search_expected(&w.rules, (whet_i_search_unit){2, 1, 0}) == 3 * 1 + 0.5);
    assert_true(whet_i_search_expected(&w.rules, (whet_i_search_unit){1, 2, 0}) == 10 * 2 + 1);
    /* On new replicates nothing was passed. */
    assert_true(whet_i_search_expected(&w.rules, (whet_i_search_unit){1, 1, K}) == 3 * 2 + 0.5);
    whet_i_free(ctx, w.state.rows);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),
        cmocka_unit_test(as_the_paper_says),
        cmocka_unit_test(shared_by_workers),
        cmocka_unit_test(failures_make_way),
        cmocka_unit_test(ties_and_directions),
        cmocka_unit_test(rivals),
        cmocka_unit_test(seconds_are_kept),
        cmocka_unit_test(half_is_kept_for_the_end),
        cmocka_unit_test(claims_count_as_spent),
        cmocka_unit_test(kinds_come_to_the_whole_length),
        cmocka_unit_test(partners_come_to_the_whole_length),
        cmocka_unit_test(a_partner_may_begin_at_the_end),
        cmocka_unit_test(expectations_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
