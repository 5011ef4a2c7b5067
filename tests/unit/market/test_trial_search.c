/* SPDX-License-Identifier: Apache-2.0
 * Trials of networks so small that the loss of every mixture is known: where searches end up, what is handed
 * over, the gate, goods, alignment; what is refused. */
#include "market_support.h"

#include "whet/trial.h"

/* Two inputs, two units that pass them on, two classes. Examples are (1, 0) and (0, 1) of classes 0 and 1,
 * but for a share q of them. A last layer of c times the identity makes logits differ by c, the right way
 * round for 1 - q of the examples: the loss is (1 - q) ln(1 + exp(-c)) + q ln(1 + exp(c)), least at
 * c = ln((1 - q) / q). */
enum { N = 40 };

typedef struct tiny {
    float w0[4], b0[2], w1[4], b1[2];
    whet_named_tensor items[4];
    whet_weights weights;
} tiny;

static void make_tiny(tiny *t, bool swapped, float c) {
    static const char *const names[] = {"layer0.weight", "layer0.bias", "layer1.weight",
                                        "layer1.bias"};
    float *const data[] = {t->w0, t->b0, t->w1, t->b1};
    memset(t, 0, sizeof *t);
    t->w0[swapped ? 1 : 0] = t->w0[swapped ? 2 : 3] = 1;
    t->w1[0] = t->w1[3] = c;
    for (int i = 0; i < 4; i++)
        t->items[i] = (whet_named_tensor){names[i], {data[i], WHET_F32, i % 2 ? 1 : 2, {2, 2}}};
    t->weights = (whet_weights){t->items, 4};
}

typedef struct market {
    tiny buyer, seller;
    float x[2][2 * N]; /* selection, gate */
    int32_t y[2][N];
    whet_mode_data data[2];
    whet_trial_job job;
} market;

static void make_market(market *m, int wrong) {
    make_tiny(&m->buyer, false, 0);
    make_tiny(&m->seller, false, 1.8F);
    for (int s = 0; s < 2; s++) {
        for (int i = 0; i < N; i++) {
            m->x[s][2 * i + i % 2] = 1;
            m->x[s][2 * i + 1 - i % 2] = 0;
            m->y[s][i] = i < wrong ? 1 - i % 2 : i % 2;
        }
        m->data[s] = (whet_mode_data){
            .x = m->x[s], .labels = m->y[s], .n = N, .height = 1, .width = 1, .channels = 2};
    }
    m->job = (whet_trial_job)WHET_TRIAL_JOB_INIT;
    m->job.arch = "mlp";
    m->job.buyer = &m->buyer.weights;
    m->job.seller = &m->seller.weights;
    m->job.select = &m->data[0];
}

static double loss_of(double q, double c) {
    return (1 - q) * log(1 + exp(-c)) + q * log(1 + exp(c));
}

static const float *mixed(const whet_trial_result *r, int i) { return r->mixed[i].tensor.data; }

/* ---- searches ---------------------------------------------------------------------------------------- */

static void searches_find_the_least_loss(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    static market m;
    whet_trial_result r;
    make_market(&m, N / 4);
    const double best = log(3) / 1.8; /* .6103 */
    test_ok(ctx, whet_trial_run(ctx, &m.job, &r));
    assert_int_equal(r.n_points, WHET_TRIAL_GRID_POINTS);
    for (int i = 0; i < WHET_TRIAL_GRID_POINTS; i++) {
        assert_true(r.points[i].weight == whet_trial_grid()[i] && r.points[i].group == -1);
        close_to(r.points[i].loss, loss_of(.25, 1.8 * whet_trial_grid()[i]), 1e-6);
        close_to(r.points[i].accuracy, .75, 0);
    }
    assert_true(r.weight == whet_trial_grid()[6]);
    close_to(r.before.loss, log(2), 1e-6);
    close_to(r.gain, 1 - loss_of(.25, 1.8 * r.weight) / log(2), 1e-5);
    assert_true(r.buy && !r.gated && !r.losses_before);
    close_to(r.moved, 2 * 1.8 * 1.8, 1e-6);
    close_to(mixed(&r, 2)[0], 1.8 * r.weight, 1e-6);
    whet_trial_result_free(ctx, &r);

    m.job.search = WHET_TRIAL_REFINED;
    test_ok(ctx, whet_trial_run(ctx, &m.job, &r));
    /* parabolas fit a smooth loss: fewer points than the twelve that golden section would take */
    assert_in_range(r.n_points, WHET_TRIAL_GRID_POINTS + 3, WHET_TRIAL_GRID_POINTS + 2 + 9);
    /* losses are of f32: at a parabola's foot 1e-7 of loss is 1e-3 of a share */
    assert_true(fabs(r.weight - best) < 3e-3);
    assert_true(r.after.loss <= loss_of(.25, log(3)) + 1e-6);
    whet_trial_result_free(ctx, &r);
    test_ctx_done(ctx);
}

/* Without wrong labels more of the seller is better to the end. */
static void ends_are_the_networks_themselves(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    static market m;
    whet_trial_result r;
    make_market(&m, 0);
    m.job.search = WHET_TRIAL_REFINED;
    test_ok(ctx, whet_trial_run(ctx, &m.job, &r));
    assert_true(r.weight == whet_trial_grid()[9]); /* no copy is sold as a mixture */
    close_to(r.points[WHET_TRIAL_GRID_POINTS + 1].loss, loss_of(0, 1.8), 1e-6);
    whet_trial_result_free(ctx, &r);

    m.job.outright = true;
    m.seller.w0[1] = -0.0F; /* every bit */
    test_ok(ctx, whet_trial_run(ctx, &m.job, &r));
    assert_true(r.weight == 1);
    for (int i = 0; i < 4; i++)
        assert_memory_equal(mixed(&r, i), m.seller.items[i].tensor.data, i % 2 ? 8 : 16);
    whet_trial_result_free(ctx, &r);

    m.job.buyer = &m.seller.weights;
    m.job.seller = &m.buyer.weights;
    test_ok(ctx, whet_trial_run(ctx, &m.job, &r));
    assert_true(r.weight == 0 && r.gain == 0 && !r.buy);
    for (int i = 0; i < 4; i++)
        assert_memory_equal(mixed(&r, i), m.seller.items[i].tensor.data, i % 2 ? 8 : 16);
    whet_trial_result_free(ctx, &r);
    test_ctx_done(ctx);
}

/* A layer's point is the best so far with that layer's share alone changed. */
static void check_descent(const whet_trial_result *r) {
    double best[2] = {0, 0}, least = HUGE_VAL;
    bool layers = false;
    for (int64_t i = 0; i < r->n_points; i++) {
        const whet_trial_point *p = &r->points[i];
        double shares[2] = {best[0], best[1]};
        for (int g = 0; g < 2; g++)
            if (p->group == g || p->group < 0) shares[g] = p->weight;
        close_to(p->loss, loss_of(0, (1 - 2 * shares[0]) * 1.8 * shares[1]), 1e-6);
        layers |= p->group >= 0;
        if (p->loss >= least || p->weight > .96) continue;
        least = p->loss;
        memcpy(best, shares, sizeof best);
    }
    assert_true(layers && best[0] == 0 && best[1] == whet_trial_grid()[9]);
}

/* The seller's first layer exchanges the classes, its last one is worth having: one share for both is best
 * at 1/4, where logits differ by (1 - 2/4) 1.8 / 4. */
static void layers_have_their_own_shares(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    static market m;
    whet_trial_result r;
    make_market(&m, 0);
    make_tiny(&m.seller, true, 1.8F);
    m.job.search = WHET_TRIAL_REFINED;
    test_ok(ctx, whet_trial_run(ctx, &m.job, &r));
    assert_true(fabs(r.weight - .25) < 3e-3);
    close_to(r.after.loss, loss_of(0, 1.8 / 8), 1e-6);
    whet_trial_result_free(ctx, &r);

    m.job.search = WHET_TRIAL_GROUPS;
    test_ok(ctx, whet_trial_run(ctx, &m.job, &r));
    check_descent(&r);
    assert_int_equal(r.n_groups, 2);
    assert_string_equal(r.groups[0].name, "layer0");
    assert_string_equal(r.groups[1].name, "layer1");
    assert_int_equal(r.groups[0].tensors, 2);
    assert_true(r.groups[0].weight == 0 && r.groups[1].weight == whet_trial_grid()[9]);
    close_to(r.weight, r.groups[1].weight / 2, 1e-12); /* both have six numbers */
    close_to(r.after.loss, loss_of(0, 1.8 * .95), 1e-6);
    assert_memory_equal(mixed(&r, 0), m.buyer.w0, sizeof m.buyer.w0);
    whet_trial_result_free(ctx, &r);
    test_ctx_done(ctx);
}

/* The same by slopes: both layers run into their bounds. Where a quarter of the labels is wrong, a last layer
 * of the seller's that is too large is taken as far as ln 3. */
static void slopes_lead_to_the_same_shares(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    static market m;
    whet_trial_result r;
    make_market(&m, 0);
    make_tiny(&m.seller, true, 1.8F);
    m.job.search = WHET_TRIAL_GRADIENT;
    test_ok(ctx, whet_trial_run(ctx, &m.job, &r));
    assert_true(r.groups[0].weight == 0 && r.groups[1].weight == whet_trial_grid()[9]);
    close_to(r.weight, r.groups[1].weight / 2, 1e-12);
    close_to(r.after.loss, loss_of(0, 1.8 * .95), 1e-6);
    whet_trial_result_free(ctx, &r);

    make_market(&m, N / 4);
    make_tiny(&m.seller, true, 9);
    test_ok(ctx, whet_trial_run(ctx, &m.job, &r));
    close_to(r.after.loss, loss_of(.25, log(3)), 1e-4);
    whet_trial_result_free(ctx, &r);
    test_ctx_done(ctx);
}

/* ---- before a trial ---------------------------------------------------------------------------------- */

static double slope_of(double w) { return 1.8 * (1 / (1 + exp(-1.8 * w)) - .75); }

/* The loss at share w is loss_of(q, 1.8 w): its slope is known, and the bounds hold what trials find. */
static void priors_bound_the_gain(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    static market m;
    whet_gain_prior prior = {.norm2 = -1};
    double loss = -1;
    make_market(&m, N / 4);
    const double norm2 = 2 * 1.8 * 1.8;
    test_ok(ctx, whet_trial_prior(ctx, &m.job, .5, &prior, &loss));
    close_to(loss, log(2), 1e-6);
    close_to(prior.slope, slope_of(0), 1e-6);
    close_to(prior.norm2, norm2, 1e-6);
    const double steps[] = {slope_of(.25) - slope_of(0), slope_of(.5) - slope_of(.25)};
    close_to(prior.smoothness, fmax(steps[0], steps[1]) / (.25 * norm2), 1e-5);
    for (int k = 1; k <= 10; k++) {
        const double w = k / 20.0, gain = log(2) - loss_of(.25, 1.8 * w);
        double low, high;
        test_ok(ctx, whet_gain_bounds(ctx, &prior, w, &low, &high));
        /* the largest slope of the slope is at 0, and a secant's a little less */
        assert_true(low <= gain + 2e-3 && gain <= high + 2e-3);
    }
    test_fails(ctx, whet_trial_prior(ctx, &m.job, 0, &prior, &loss), WHET_ERR_ARG);
    test_fails(ctx, whet_trial_prior(ctx, &m.job, (double)NAN, &prior, &loss), WHET_ERR_ARG);
    m.job.seller = &m.buyer.weights;
    test_fails(ctx, whet_trial_prior(ctx, &m.job, .5, &prior, &loss), WHET_ERR_DATA);
    test_says(ctx, "the buyer's own");
    close_to(prior.norm2, norm2, 1e-6);
    test_ctx_done(ctx);
}

static whet_status prior_body(whet_ctx *ctx, void *arg) {
    const market *m = arg;
    whet_gain_prior prior;
    double loss;
    return whet_trial_prior(ctx, &m->job, 1, &prior, &loss);
}

static void priors_survive_failing_allocations(void **state) {
    (void)state;
    static market m;
    make_market(&m, 2);
    assert_true(test_each_allocation(prior_body, &m) > 60);
}

/* ---- goods, units ------------------------------------------------------------------------------------ */

static void goods_alone_are_mixed(void **state) {
    (void)state;
    static const char *const goods[] = {"layer1.weight"}, *const odd[] = {"layer2.weight"};
    whet_ctx *ctx = test_ctx(1);
    static market m;
    whet_trial_result r = {.n_points = -1};
    make_market(&m, 0);
    make_tiny(&m.seller, true, 1.8F);
    const whet_weights last = {&m.seller.items[2], 1}; /* all that the seller shows */
    m.job.seller = &last;
    m.job.goods = goods;
    m.job.n_goods = 1;
    test_ok(ctx, whet_trial_run(ctx, &m.job, &r));
    assert_true(r.weight == whet_trial_grid()[9] && r.n_groups == 1 && r.groups[0].tensors == 1);
    close_to(r.moved, 2 * 1.8 * 1.8, 1e-6);
    for (int i = 0; i < 4; i++)
        if (i != 2) assert_memory_equal(mixed(&r, i), m.buyer.items[i].tensor.data, i % 2 ? 8 : 16);
    whet_trial_result_free(ctx, &r);
    r.n_points = -1;
    m.job.goods = odd;
    test_fails(ctx, whet_trial_run(ctx, &m.job, &r), WHET_ERR_ARG);
    test_says(ctx, "layer2.weight");
    m.job.n_goods = 0;
    test_fails(ctx, whet_trial_run(ctx, &m.job, &r), WHET_ERR_ARG);
    test_says(ctx, "no goods");
    m.job.goods = NULL;
    test_fails(ctx, whet_trial_run(ctx, &m.job, &r), WHET_ERR_SHAPE);
    assert_int_equal(r.n_points, -1);
    test_ctx_done(ctx);
}

/* A seller that is the buyer with its units exchanged is the buyer once it is aligned. */
static void units_are_aligned_first(void **state) {
    (void)state;
    static const char text[] =
        "{\"format\": \"whet-permutations\", \"version\": 1, \"arch\": \"mlp\", \"groups\": "
        "{\"p\": {}}, "
        "\"tensors\": {\"layer0.weight\": [\"p\", null], \"layer0.bias\": [\"p\"], "
        "\"layer1.weight\": [null, \"p\"], \"layer1.bias\": [null]}}";
    whet_ctx *ctx = test_ctx(1);
    static market m;
    whet_permutation_spec *spec;
    whet_trial_result r;
    make_market(&m, N / 4);
    make_tiny(&m.buyer, false, 1.8F);
    make_tiny(&m.seller, true, 0);
    m.seller.w1[1] = m.seller.w1[2] = 1.8F;
    test_ok(ctx, whet_permutation_spec_read(ctx, test_write_text("spec.json", text), &spec));
    test_ok(ctx, whet_trial_run(ctx, &m.job, &r));
    assert_true(r.moved > 4 && r.points[5].loss != r.before.loss);
    whet_trial_result_free(ctx, &r);
    m.job.spec = spec;
    test_ok(ctx, whet_trial_run(ctx, &m.job, &r));
    assert_true(r.moved == 0);
    for (int i = 0; i < WHET_TRIAL_GRID_POINTS; i++)
        close_to(r.points[i].loss, r.before.loss, 1e-7);
    assert_memory_equal(mixed(&r, 2), m.buyer.w1, sizeof m.buyer.w1);
    whet_trial_result_free(ctx, &r);
    whet_permutation_spec_destroy(ctx, spec);
    test_ctx_done(ctx);
}

/* ---- the gate ---------------------------------------------------------------------------------------- */

static void the_gate_judges_on_other_examples(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    static market m;
    whet_trial_result r;
    whet_gate expected;
    make_market(&m, 2);
    m.job.gate = &m.data[1];
    m.job.opts.offers = 3;
    test_ok(ctx, whet_trial_run(ctx, &m.job, &r));
    assert_true(r.gated && r.buy && r.decision.accept && r.decision.n == N);
    close_to(r.losses_before[0], log(2), 1e-6);
    close_to(r.losses_after[0], log(1 + exp(1.8 * r.weight)), 1e-6); /* a wrong label */
    close_to(r.losses_after[2], log(1 + exp(-1.8 * r.weight)), 1e-6);
    test_ok(ctx, whet_gate_losses(ctx, r.losses_before, r.losses_after, N, &m.job.opts, &expected));
    assert_true(r.decision.low == expected.low && r.decision.gain == expected.gain);
    close_to(r.accuracy_after, .95, 1e-12);
    whet_trial_result_free(ctx, &r);
    /* labels that the mixture does worse on: a gain where it was chosen, none where it counts */
    for (int i = 0; i < N; i++) m.y[1][i] = 1 - m.y[1][i];
    test_ok(ctx, whet_trial_run(ctx, &m.job, &r));
    assert_true(r.gain > 0 && r.decision.gain < 0 && !r.buy);
    close_to(r.accuracy_after, .05, 1e-12);
    whet_trial_result_free(ctx, &r);
    test_ctx_done(ctx);
}

/* What is judged is what was scored and is handed over, also where hidden units are repaired. */
static void the_gate_judges_the_mixture_that_was_chosen(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    static market m;
    whet_trial_result r;
    double plain = 0;
    make_market(&m, N / 4);
    make_tiny(&m.seller, true, 1.8F);
    m.buyer.w1[0] = .5F;
    m.job.gate = &m.data[1]; /* the same examples, elsewhere in memory */
    for (int k = 0; k < 2; k++) {
        m.data[0].repair = k;
        test_ok(ctx, whet_trial_run(ctx, &m.job, &r));
        close_to(r.decision.before, r.before.loss, 1e-6);
        close_to(r.decision.after, r.after.loss, 1e-6);
        if (k) assert_true(fabs(r.points[5].loss - plain) > 1e-3);
        plain = r.points[5].loss;
        whet_trial_result_free(ctx, &r);
    }
    test_ctx_done(ctx);
}

static void what_cannot_be_tried(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    static market m;
    whet_trial_result r = {.n_points = -1};
    make_market(&m, 2);
    whet_mode_data part = m.data[0];
    part.x += 2 * (N - 1);
    part.n = 1;
    m.job.gate = &part;
    test_fails(ctx, whet_trial_run(ctx, &m.job, &r), WHET_ERR_ARG);
    test_says(ctx, "examples that chose");
    m.job.gate = &m.data[1];
    m.job.opts.level = 2;
    test_fails(ctx, whet_trial_run(ctx, &m.job, &r), WHET_ERR_ARG);
    m.job.opts.level = .05;
    m.y[1][7] = 2;
    test_fails(ctx, whet_trial_run(ctx, &m.job, &r), WHET_ERR_DATA);
    test_says(ctx, "label of example 7 is 2");
    m.y[1][7] = 0;
    m.job.search = WHET_TRIAL_SEARCHES;
    test_fails(ctx, whet_trial_run(ctx, &m.job, &r), WHET_ERR_ARG);
    m.job.search = WHET_TRIAL_GRID;
    m.job.outright = true;
    test_fails(ctx, whet_trial_run(ctx, &m.job, &r), WHET_ERR_ARG);
    test_says(ctx, "outright with search grid");
    m.job.outright = false;
    m.job.batch = -1;
    test_fails(ctx, whet_trial_run(ctx, &m.job, &r), WHET_ERR_ARG);
    m.job.batch = 0;
    m.job.arch = "bert";
    test_fails(ctx, whet_trial_run(ctx, &m.job, &r), WHET_ERR_UNSUPPORTED);
    m.job.arch = "mlp";
    m.seller.w1[2] = (float)NAN;
    test_fails(ctx, whet_trial_run(ctx, &m.job, &r), WHET_ERR_DATA);
    test_says(ctx, "layer1.weight");
    assert_int_equal(r.n_points, -1);
    test_ctx_done(ctx);
}

/* ---- always ------------------------------------------------------------------------------------------ */

static void threads_change_nothing(void **state) {
    (void)state;
    static market m;
    whet_trial_point points[96];
    int64_t n = 0;
    make_market(&m, N / 4);
    for (int k = 0; k < 6; k++) {
        const int t = k % 3;
        whet_ctx *ctx = test_ctx((const int32_t[]){1, 2, 5}[t]);
        whet_trial_result r;
        m.job.search = k < 3 ? WHET_TRIAL_GROUPS : WHET_TRIAL_GRADIENT;
        test_ok(ctx, whet_trial_run(ctx, &m.job, &r));
        assert_true(r.n_points <= 96 && (t == 0 || r.n_points == n));
        n = r.n_points;
        if (t == 0) memcpy(points, r.points, (size_t)n * sizeof *points);
        assert_memory_equal(points, r.points, (size_t)n * sizeof *points);
        whet_trial_result_free(ctx, &r);
        test_ctx_done(ctx);
    }
}

static whet_status body(whet_ctx *ctx, void *arg) {
    const market *m = arg;
    whet_trial_result r;
    WHET_TRY(whet_trial_run(ctx, &m->job, &r));
    whet_trial_result_free(ctx, &r);
    return WHET_OK;
}

static void survives_failing_allocations(void **state) {
    (void)state;
    static market m;
    make_market(&m, 0);
    m.job.gate = &m.data[1];
    for (int search = WHET_TRIAL_REFINED; search < WHET_TRIAL_SEARCHES; search++) {
        m.job.search = (whet_trial_search)search;
        assert_true(test_each_allocation(body, &m) > 40);
    }
}

/* ---- files ------------------------------------------------------------------------------------------- */

static whet_status files_body(whet_ctx *ctx, void *arg) {
    whet_trial_result r;
    WHET_TRY(whet_trial_run_files(ctx, arg, &r));
    const bool dropped = r.mixed == NULL && r.n_mixed == 0 && r.buy;
    whet_trial_result_free(ctx, &r);
    return dropped ? WHET_OK : WHET_ERR_INTERNAL;
}

static void files_survive_failing_allocations(void **state) {
    (void)state;
    static market m;
    whet_ctx *ctx = test_ctx(1);
    whet_trial_files f = WHET_TRIAL_FILES_INIT;
    const char *const none[] = {NULL};
    make_market(&m, 2);
    for (int i = 0; i < 2 * N; i++) m.x[1][i] *= 1.25F; /* other examples */
    const whet_tensor x = {m.x[0], WHET_F32, 2, {N, 2}}, y = {m.y[0], WHET_I32, 1, {N}};
    const whet_tensor other = {m.x[1], WHET_F32, 2, {N, 2}};
    f.buyer = test_tmp("buyer.safetensors");
    f.seller = test_tmp("seller.safetensors");
    f.data = test_tmp("x.npy");
    f.labels = f.gate_labels = test_tmp("y.npy");
    f.gate_data = test_tmp("gate.npy");
    f.output = test_tmp("mixture.safetensors");
    f.align = f.force = true;
    test_ok(ctx, whet_safetensors_write(ctx, f.buyer, true, m.buyer.items, 4, none));
    test_ok(ctx, whet_safetensors_write(ctx, f.seller, true, m.seller.items, 4, none));
    test_ok(ctx, whet_npy_write(ctx, f.data, true, &x));
    test_ok(ctx, whet_npy_write(ctx, f.gate_data, true, &other));
    test_ok(ctx, whet_npy_write(ctx, f.labels, true, &y));
    assert_true(test_each_allocation(files_body, &f) > 60);
    f.force = false;
    test_fails(ctx, files_body(ctx, &f), WHET_ERR_EXISTS);
    f.force = true;
    test_ok(ctx, whet_npy_write(ctx, f.gate_data, true, &x));
    test_fails(ctx, files_body(ctx, &f), WHET_ERR_ARG);
    test_says(ctx, "gate.npy: all ");
    f.gate_data = f.data;
    test_fails(ctx, files_body(ctx, &f), WHET_ERR_ARG);
    test_says(ctx, "expected others");
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(searches_find_the_least_loss),
        cmocka_unit_test(ends_are_the_networks_themselves),
        cmocka_unit_test(layers_have_their_own_shares),
        cmocka_unit_test(slopes_lead_to_the_same_shares),
        cmocka_unit_test(priors_bound_the_gain),
        cmocka_unit_test(priors_survive_failing_allocations),
        cmocka_unit_test(goods_alone_are_mixed),
        cmocka_unit_test(units_are_aligned_first),
        cmocka_unit_test(the_gate_judges_on_other_examples),
        cmocka_unit_test(the_gate_judges_the_mixture_that_was_chosen),
        cmocka_unit_test(what_cannot_be_tried),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(survives_failing_allocations),
        cmocka_unit_test(files_survive_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
