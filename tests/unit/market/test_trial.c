/* SPDX-License-Identifier: Apache-2.0
 * The broker's trial: against the published two-agent market, and networks whose losses are known. */
#include "market_support.h"

#include <jansson.h>
#include <stdlib.h>

#include "io/io_i.h"
#include "whet/trial.h"

#define AGENTS "golden/market/trade/two_agent_mlp.safetensors"

/* ---- published --------------------------------------------------------------------------------------- */

enum { LAYERS = 5, TENSORS = 2 * LAYERS };

static const char *const NAMES[TENSORS] = {
    "layer0.weight", "layer0.bias",   "layer1.weight", "layer1.bias",   "layer2.weight",
    "layer2.bias",   "layer3.weight", "layer3.bias",   "layer4.weight", "layer4.bias"};

/* One agent's tensors: views into the file. */
typedef struct agent {
    whet_named_tensor items[TENSORS];
    whet_weights weights;
} agent;

static whet_tensor tensor_of(const whet_safetensors *file, const char *name) {
    whet_tensor t = {0};
    if (!whet_safetensors_find(file, name, &t)) fail_msg("no tensor %s", name);
    return t;
}

static void find_agent(const whet_safetensors *file, const char *scenario, char who, agent *out) {
    char name[128];
    for (int i = 0; i < TENSORS; i++) {
        (void)snprintf(name, sizeof name, "%s/%c/%s", scenario, who, NAMES[i]);
        out->items[i] = (whet_named_tensor){NAMES[i], tensor_of(file, name)};
    }
    out->weights = (whet_weights){out->items, TENSORS};
}

/* The seller in the order that the published matcher found. */
static void move_units(const whet_safetensors *file, const char *scenario, const char *side,
                       agent *seller, float **room) {
    const int32_t *order[LAYERS] = {0};
    char name[128];
    for (int i = 0; i + 1 < LAYERS; i++) {
        (void)snprintf(name, sizeof name, "%s/perm/%s/P_%d", scenario, side, i);
        order[i] = tensor_of(file, name).data;
    }
    for (int i = 0; i < TENSORS; i++) {
        whet_tensor *t = &seller->items[i].tensor;
        const int64_t rows = t->shape[0], columns = t->rank > 1 ? t->shape[1] : 1;
        const int32_t *by_row = order[i / 2],
                      *by_column = i > 1 && i % 2 == 0 ? order[i / 2 - 1] : NULL;
        const float *from = t->data;
        float *to = room[i] = malloc((size_t)(rows * columns) * sizeof *to);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < columns; c++)
                to[r * columns + c] =
                    from[(by_row ? by_row[r] : r) * columns + (by_column ? by_column[c] : c)];
        t->data = to;
    }
}

static double item(const json_t *list, size_t i) {
    return json_number_value(json_array_get(list, i));
}
/* Losses of the file are of f64 networks. Ours are of f32: a logit of some 10 is within a few 1e-6. */
static void check_side(whet_ctx *ctx, const json_t *side, const whet_trial_job *job) {
    const json_t *losses = json_object_get(side, job->batch ? "losses_batchmeans_512" : "losses");
    const json_t *accuracies = json_object_get(side, "accs");
    const double before =
        member(side, job->batch ? "buyer_loss_mean_of_batch_means_512" : "buyer_loss");
    whet_trial_result r;
    test_ok(ctx, whet_trial_run(ctx, job, &r));
    assert_int_equal(r.n_points, WHET_TRIAL_GRID_POINTS);
    for (size_t i = 0; i < WHET_TRIAL_GRID_POINTS; i++) {
        close_to(r.points[i].loss, item(losses, i), 2e-6);
        assert_true(fabs(r.points[i].accuracy - item(accuracies, i)) < 1e-12);
    }
    close_to(r.before.loss, before, 2e-6);
    close_to(r.before.accuracy, member(side, "buyer_acc"), 1e-12);
    if (!job->batch) {
        assert_int_equal(r.best, (int64_t)member(side, "best_index"));
        assert_true(r.weight == member(side, "best_alpha"));
        close_to(r.gain, member(side, "relative_gain"), 1e-5);
        assert_int_equal(r.buy, json_is_true(json_object_get(side, "buy")));
    }
    whet_trial_result_free(ctx, &r);
}

static void golden_sides(void **state) {
    (void)state;
    test_need_shared(PRICING_INDEX);
    test_need_shared(AGENTS);
    whet_ctx *ctx = test_ctx(1);
    json_t *whole = NULL, *side;
    whet_safetensors *file;
    size_t i;
    test_ok(ctx, whet_i_json_read(ctx, test_shared(PRICING_INDEX), (int64_t)1 << 24, &whole));
    test_ok(ctx, whet_safetensors_open(ctx, test_shared(AGENTS), &file));
    const whet_tensor x = tensor_of(file, "val_x"), y = tensor_of(file, "val_y");
    const whet_mode_data data = {.x = x.data,
                                 .labels = y.data,
                                 .n = x.shape[0],
                                 .height = 1,
                                 .width = 1,
                                 .channels = x.shape[1]};
    json_array_foreach(json_object_get(whole, "sides"), i, side) {
        const char *scenario = json_string_value(json_object_get(side, "scenario"));
        const char *name = json_string_value(json_object_get(side, "name"));
        const bool aligned = (int)member(side, "aligned");
        agent buyer, seller;
        float *room[TENSORS] = {0};
        find_agent(file, scenario, name[0], &buyer);
        find_agent(file, scenario, name[strlen(name) - 1], &seller);
        if (aligned) move_units(file, scenario, name, &seller, room);
        whet_trial_job job = WHET_TRIAL_JOB_INIT;
        job.arch = "mlp";
        job.buyer = &buyer.weights;
        job.seller = &seller.weights;
        job.select = &data;
        check_side(ctx, side, &job);
        job.batch = 512;
        check_side(ctx, side, &job);
        for (int k = 0; k < TENSORS; k++) free(room[k]);
    }
    test_need_some(i, "sides of a trade");
    whet_safetensors_close(ctx, file);
    json_decref(whole);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_sides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
