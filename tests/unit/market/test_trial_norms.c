/* SPDX-License-Identifier: Apache-2.0
 * Trade of networks with batch norms: buyer and mixture are judged by norms of the same inputs, against torch
 * (tests/golden/batch_norms); what norms gain by being measured again is nobody's gain. */
#include "trading_support.h"

#include <math.h>
#include <stdlib.h>

#include "merge/merge_i.h"
#include "whet/trial.h"

enum { CLASSES = 3, SIDE = 8, IMAGES = 24, NUMBERS = IMAGES * SIDE * SIDE * 3, TENSORS_MOST = 80 };

static const whet_i_image IMAGE = {SIDE, SIDE, 3};

static double formula(const char *network, const char *name, int64_t i) {
    int64_t key = 0;
    for (const char *c = network; *c; c++) key += *c;
    for (const char *c = name; *c; c++) key += *c;
    return sin(0.37 * ((double)i * (double)i) + (double)(key % 97));
}

typedef struct residual {
    whet_i_params *params;
    whet_i_graph *graph;
    whet_named_tensor items[TENSORS_MOST];
    whet_weights weights;
} residual;

static double parameter(const char *network, const whet_i_param *p, int64_t i) {
    const double base = formula(network, p->name, i);
    const char *last = strrchr(p->name, '.') + 1;
    if (strcmp(last, "running_mean") == 0) return .2 * base;
    if (strcmp(last, "running_var") == 0) return 1 + .5 * base;
    if (strcmp(last, "bias") == 0) return .3 * base;
    return p->rank == 1 ? 1 + .3 * base
                        : base * (1.5 / sqrt((double)p->count / (double)p->shape[0]));
}

static void make_residual(whet_ctx *ctx, residual *r, const char *network) {
    const whet_i_model_settings settings = {.image = IMAGE, .classes = CLASSES, .blocks = 1};
    whet_i_model_values values;
    whet_i_value x;
    test_ok(ctx, whet_i_params_create(ctx, WHET_F32, &r->params));
    test_ok(ctx, whet_i_graph_create(ctx, r->params, &r->graph));
    test_ok(ctx, whet_i_graph_feed(ctx, r->graph, false, WHET_I_EXAMPLES, SIDE * SIDE * 3, &x));
    test_ok(ctx, whet_i_model_record(ctx, r->graph, whet_i_model_find("resnet20"), &settings, x,
                                     &values));
    test_ok(ctx, whet_i_params_settle(ctx, r->params, 1));
    assert_true(r->params->n <= TENSORS_MOST);
    for (int64_t i = 0; i < r->params->n; i++) {
        const whet_i_param *p = &r->params->items[i];
        for (int64_t k = 0; k < p->count; k++) p->values[k] = (float)parameter(network, p, k);
        r->items[i] = (whet_named_tensor){p->name, {p->values, WHET_F32, p->rank, {0}}};
        for (int32_t k = 0; k < p->rank; k++) r->items[i].tensor.shape[k] = p->shape[k];
    }
    r->weights = (whet_weights){r->items, r->params->n};
}

static void drop_residual(whet_ctx *ctx, residual *r) {
    whet_i_graph_destroy(ctx, r->graph);
    whet_i_params_destroy(ctx, r->params);
}

/* ---- trials ---------------------------------------------------------------------------------- */

typedef struct broker {
    float x[2][NUMBERS]; /* selection, gate */
    int32_t y[IMAGES];
    whet_mode_data data[2];
    residual buyer, seller;
    whet_trial_job job;
} broker;

static void open_broker(whet_ctx *ctx, broker *b) {
    static const char *const names[] = {"select", "gate"};
    make_residual(ctx, &b->buyer, "a.");
    make_residual(ctx, &b->seller, "b.");
    for (int i = 0; i < IMAGES; i++) b->y[i] = i * 7 % CLASSES;
    for (int s = 0; s < 2; s++) {
        for (int64_t i = 0; i < NUMBERS; i++) b->x[s][i] = (float)formula("", names[s], i);
        b->data[s] = (whet_mode_data){.x = b->x[s],
                                      .labels = b->y,
                                      .n = IMAGES,
                                      .height = SIDE,
                                      .width = SIDE,
                                      .channels = 3};
    }
    b->data[0].statistics = b->x[0];
    b->data[0].n_statistics = IMAGES;
    b->job = (whet_trial_job)WHET_TRIAL_JOB_INIT;
    b->job.arch = "resnet";
    b->job.buyer = &b->buyer.weights;
    b->job.seller = &b->seller.weights;
    b->job.select = &b->data[0];
    b->job.gate = &b->data[1];
}

static void close_broker(whet_ctx *ctx, broker *b) {
    drop_residual(ctx, &b->buyer);
    drop_residual(ctx, &b->seller);
}

static void near(double got, double expected) {
    if (!(fabs(got - expected) < 2e-5)) fail_msg("%.9g; expected %.9g", got, expected);
}

static const double *array_of(const whet_safetensors *file, const char *name, int64_t n) {
    whet_tensor t = {0};
    assert_true(whet_safetensors_find(file, name, &t) && whet_tensor_count(&t) == n);
    return t.data;
}

static void as_torch_has_it(void **state) {
    static broker b;
    whet_ctx *ctx = test_ctx(2);
    whet_safetensors *file;
    whet_trial_result r;
    (void)state;
    test_ok(ctx, whet_safetensors_open(
                     ctx, test_source("tests/golden/batch_norms/expected.safetensors"), &file));
    const double *select = array_of(file, "select", WHET_TRIAL_GRID_POINTS + 1);
    const double *before = array_of(file, "gate_before", IMAGES);
    const double *after = array_of(file, "gate_after", IMAGES);
    open_broker(ctx, &b);
    b.job.search = WHET_TRIAL_GRID;
    test_ok(ctx, whet_trial_run(ctx, &b.job, &r));
    near(r.before.loss, select[0]);
    for (int i = 0; i < WHET_TRIAL_GRID_POINTS; i++) near(r.points[i].loss, select[i + 1]);
    for (int i = 0; i < IMAGES; i++) {
        near(r.losses_before[i], before[i]);
        near(r.losses_after[i], after[i]);
    }
    /* By the statistics that it came with the buyer is another network: nothing was gained of that. */
    assert_true(fabs(r.decision.before - *array_of(file, "gate_unmeasured", 1)) > .1);
    whet_trial_result_free(ctx, &r);
    close_broker(ctx, &b);
    whet_safetensors_close(ctx, file);
    test_ctx_done(ctx);
}

/* Every share of it is what the buyer has. */
static void own_copy_gains_nothing(void **state) {
    static broker b;
    whet_ctx *ctx = test_ctx(1);
    (void)state;
    open_broker(ctx, &b);
    b.job.seller = b.job.buyer;
    for (int search = WHET_TRIAL_GRID; search <= WHET_TRIAL_GROUPS; search++)
        for (int outright = 0; outright <= (search != WHET_TRIAL_GRID); outright++) {
            whet_trial_result r;
            b.job.search = (whet_trial_search)search;
            b.job.outright = outright;
            test_ok(ctx, whet_trial_run(ctx, &b.job, &r));
            for (int64_t i = 0; i < r.n_points; i++) assert_true(r.points[i].loss == r.before.loss);
            assert_true(r.gain == 0 && r.decision.gain == 0 && !r.buy);
            /* Who keeps its network keeps its statistics. */
            for (int64_t i = 0; search != WHET_TRIAL_GRID && i < r.n_mixed; i++)
                assert_memory_equal(r.mixed[i].tensor.data, b.buyer.items[i].tensor.data,
                                    (size_t)b.buyer.params->items[i].count * sizeof(float));
            whet_trial_result_free(ctx, &r);
        }
    close_broker(ctx, &b);
    test_ctx_done(ctx);
}

/* ---- markets --------------------------------------------------------------------------------- */

enum { ROWS = 60 };

static void write_images(whet_ctx *ctx, const char *x_name, const char *y_name, uint64_t seed) {
    const int64_t shape[4] = {ROWS, SIDE, SIDE, 3};
    whet_tensor x, y;
    whet_i_rng rng;
    test_ok(ctx, whet_tensor_create(ctx, WHET_F32, 4, shape, &x));
    test_ok(ctx, whet_tensor_create(ctx, WHET_I32, 1, shape, &y));
    whet_i_rng_init(&rng, seed, 7);
    for (int64_t i = 0; i < ROWS * SIDE * SIDE * 3; i++)
        ((float *)x.data)[i] = (float)whet_i_rng_normal(&rng);
    for (int64_t i = 0; i < ROWS; i++) {
        ((int32_t *)y.data)[i] = (int32_t)(i % CLASSES);
        for (int64_t k = 0; k < SIDE * SIDE; k++)
            ((float *)x.data)[(i * SIDE * SIDE + k) * 3 + i % CLASSES] += .5F;
    }
    test_ok(ctx, whet_npy_write(ctx, test_tmp(x_name), true, &x));
    test_ok(ctx, whet_npy_write(ctx, test_tmp(y_name), true, &y));
    whet_tensor_destroy(ctx, &x);
    whet_tensor_destroy(ctx, &y);
}

static int make_images(void **state) {
    whet_ctx *ctx = test_ctx(1);
    (void)state;
    write_images(ctx, "x.npy", "y.npy", 1);
    write_images(ctx, "tx.npy", "ty.npy", 2);
    test_ctx_done(ctx);
    return 0;
}

#define RESNET \
    "{" DATA ", 'broker': {'selection': 12, 'gate': 12}, 'model': {'arch': 'resnet', " \
    "'blocks': 1, 'shared_init': true}, 'training': {'epochs': 4, 'rate': 0.1, 'batch': 36}, "

static const whet_trading_score *score_of(const whet_trading_result *r, whet_arm arm, int64_t agent,
                                          int64_t epoch) {
    for (int64_t i = 0; i < r->n_scores; i++)
        if (r->scores[i].arm == arm && r->scores[i].agent == agent && r->scores[i].epoch == epoch)
            return &r->scores[i];
    fail_msg("no score");
    return NULL;
}

/* Two that have the same examples, first weights and one batch an epoch: mixtures of them are what they are,
 * in any arm. Their running statistics lag behind, and that is worth nothing to anybody. */
static void identical_agents_gain_nothing(void **state) {
    whet_ctx *ctx = test_ctx(1);
    whet_trading_result r = {0};
    (void)state;
    simulate(ctx,
             RESNET "'agents': [{}, {}], 'trading': {'start': 1, 'align': 'none'}, "
                    "'controls': ['fedavg'], 'seeds': [1]}",
             fresh_state("norms.state"), &r);
    assert_int_equal(r.n_trials, 6);
    for (int64_t i = 0; i < r.n_trials; i++) {
        assert_int_equal(r.trials[i].outcome, WHET_TRADE_NO_GAIN);
        assert_true(fabs(r.trials[i].gain) < 1e-3);
    }
    for (int64_t a = 0; a < 2; a++)
        for (int64_t e = 0; e < 4; e++) {
            const whet_trading_score *silo = score_of(&r, WHET_ARM_SILO, a, e);
            const whet_trading_score *market = score_of(&r, WHET_ARM_MARKET, a, e);
            const whet_trading_score *mean = score_of(&r, WHET_ARM_FEDAVG, a, e);
            assert_true(market->test_loss == silo->test_loss);
            assert_true(fabs(mean->test_loss - silo->test_loss) < 1e-2);
        }
    whet_trading_result_free(ctx, &r);
    test_ctx_done(ctx);
}

/* What a trial says of the buyer is what its accuracy is reported by, and of the mixture what it ends
 * with. */
static void arms_are_judged_as_trials(void **state) {
    whet_ctx *ctx = test_ctx(1);
    whet_trading_result r = {0};
    int64_t bought = 0;
    (void)state;
    simulate(ctx,
             RESNET "'agents': [{'kept': 0.2}, {'kept': 0.2}], 'trading': {'start': 3, "
                    "'gate': 'any-gain', 'outright': true}, 'controls': [], 'seeds': [1]}",
             fresh_state("norms.state"), &r);
    assert_int_equal(r.n_trials, 2);
    assert_true(r.norms_measured);
    for (int64_t i = 0; i < r.n_trials; i++) {
        const whet_trading_trial *t = &r.trials[i];
        const bool buys = t->outcome == WHET_TRADE_BOUGHT;
        near(score_of(&r, WHET_ARM_SILO, t->buyer, 3)->valid_loss, t->gate_before);
        near(score_of(&r, WHET_ARM_MARKET, t->buyer, 3)->valid_loss,
             buys ? t->gate_after : t->gate_before);
        bought += buys;
    }
    assert_true(bought > 0);
    whet_trading_result_free(ctx, &r);
    test_ctx_done(ctx);
}

/* Training goes on from the statistics that it had. */
static void measuring_changes_nothing(void **state) {
    whet_ctx *ctx = test_ctx(1);
    whet_i_market_data data = {0};
    whet_i_trader *trader;
    whet_i_trader_state was = {0}, is = {0};
    float *kept = NULL;
    double unused;
    (void)state;
    whet_trading_config *c = read_config(ctx, RESNET "'agents': [{}, {}]}");
    test_ok(ctx, whet_i_market_data_read(ctx, c, &data));
    test_ok(ctx, whet_i_trader_create(ctx, c, &data, 0, 0, &trader));
    test_ok(ctx, whet_i_trader_train(ctx, trader, &unused));
    const int64_t n = whet_i_trader_numbers(trader);
    was.numbers = malloc((size_t)n * sizeof(float));
    is.numbers = malloc((size_t)n * sizeof(float));
    whet_i_trader_get(trader, &was);
    test_ok(ctx, whet_i_trader_measure(ctx, trader, &data.held[WHET_I_FOR_SELECT][0], &kept));
    whet_i_trader_get(trader, &is);
    assert_memory_not_equal(was.numbers, is.numbers, (size_t)n * sizeof(float));
    test_ok(ctx, whet_i_trader_restore(ctx, trader, kept));
    whet_i_trader_get(trader, &is);
    assert_memory_equal(was.numbers, is.numbers, (size_t)n * sizeof(float));
    free(was.numbers);
    free(is.numbers);
    whet_i_trader_destroy(ctx, trader);
    whet_i_market_data_free(ctx, &data);
    whet_trading_config_destroy(ctx, c);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_torch_has_it),
        cmocka_unit_test(own_copy_gains_nothing),
        cmocka_unit_test(identical_agents_gain_nothing),
        cmocka_unit_test(arms_are_judged_as_trials),
        cmocka_unit_test(measuring_changes_nothing),
    };
    return cmocka_run_group_tests(tests, make_images, NULL);
}
