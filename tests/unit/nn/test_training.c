/* SPDX-License-Identifier: Apache-2.0
 * Optimisers against torch, schedules against transformers, the order of data, and runs that are
 * interrupted and go on. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/io_i.h"
#include "nn/optimizer_i.h"

enum { STEPS = 20 };

static whet_safetensors *golden(whet_ctx *ctx) {
    whet_safetensors *file;
    test_ok(ctx, whet_safetensors_open(
                     ctx, test_source("tests/golden/optimizers/expected.safetensors"), &file));
    return file;
}

static const void *tensor(const whet_safetensors *file, const char *name, int64_t count) {
    whet_tensor t;
    assert_true(whet_safetensors_find(file, name, &t));
    assert_int_equal(whet_tensor_count(&t), count);
    return t.data;
}

/* matrix [5, 3] decays, bias [4] does not; the file's bytes are aligned to 8 behind its header. */
static whet_i_params *make_params(whet_ctx *ctx, const whet_safetensors *file) {
    whet_i_params *params;
    whet_i_param_id id;
    test_ok(ctx, whet_i_params_create(ctx, WHET_F32, &params));
    test_ok(ctx, whet_i_params_add(
                     ctx, params,
                     &(whet_i_param_spec){.name = "matrix", .rank = 2, .shape = {5, 3}}, &id));
    test_ok(ctx,
            whet_i_params_add(ctx, params,
                              &(whet_i_param_spec){.name = "bias", .rank = 1, .shape = {4}}, &id));
    test_ok(ctx, whet_i_params_bind(ctx, params, file, "golden", "", NULL));
    for (int64_t i = 0; i < params->n; i++) params->items[i].trainable = true;
    test_ok(ctx, whet_i_params_settle(ctx, params, 0));
    return params;
}

static void set_gradients(whet_i_params *params, const whet_safetensors *file, int64_t step) {
    const float *m = tensor(file, "matrix_gradients", STEPS * 15);
    const float *b = tensor(file, "bias_gradients", STEPS * 4);
    memcpy(params->items[0].gradient, m + step * 15, 15 * sizeof *m);
    memcpy(params->items[1].gradient, b + step * 4, 4 * sizeof *b);
}

/* torch rounds each of a step's some ten operations as we do, in another order: 20 steps of at most
 * ten roundings of numbers near 1. */
#define BOUND (20 * 10 * 0x1p-24)

static void check_case(const char *name, const whet_i_optimizer_settings *settings) {
    whet_ctx *ctx = test_ctx(2);
    whet_safetensors *file = golden(ctx);
    whet_i_params *params = make_params(ctx, file);
    whet_i_optimizer *o;
    char full[64];
    test_ok(ctx, whet_i_optimizer_create(ctx, params, settings, &o));
    (void)snprintf(full, sizeof full, "%s.norms", name);
    const float *norms = tensor(file, full, STEPS);
    for (int64_t t = 0; t < STEPS; t++) {
        double norm;
        set_gradients(params, file, t);
        test_ok(ctx, whet_i_optimizer_step(ctx, o, 1e-2, &norm));
        assert_true(fabs(norm - (double)norms[t]) <= 1e-6 * norm);
    }
    for (int64_t i = 0; i < 2; i++) {
        const whet_i_param *p = &params->items[i];
        (void)snprintf(full, sizeof full, "%s.%s", name, p->name);
        const float *expected = tensor(file, full, p->count);
        for (int64_t j = 0; j < p->count; j++)
            assert_true(fabs((double)(p->values[j] - expected[j])) <= BOUND);
    }
    whet_i_optimizer_destroy(ctx, o);
    whet_i_params_destroy(ctx, params);
    whet_safetensors_close(ctx, file);
    test_ctx_done(ctx);
}

static void optimizers_are_torch_s(void **state) {
    (void)state;
    const whet_i_optimizer_settings adamw = {WHET_I_ADAMW, 0.9, 0.99, 1e-6, 0, false, 0.1, 0};
    whet_i_optimizer_settings s = adamw;
    check_case("adamw", &s);
    s.clip = 2;
    check_case("adamw_clip", &s);
    s = (whet_i_optimizer_settings){WHET_I_SGD, 0, 0, 0, 0, false, 0.1, 0};
    check_case("sgd", &s);
    s.momentum = 0.9;
    check_case("momentum", &s);
    s.nesterov = true;
    check_case("nesterov", &s);
}

static void a_parameter_s_rate_scales_its_step(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_safetensors *file = golden(ctx);
    whet_i_params *params = make_params(ctx, file);
    whet_i_optimizer *o;
    double norm;
    const whet_i_optimizer_settings s = {WHET_I_SGD, 0, 0, 0, 0, false, 0, 0};
    test_ok(ctx, whet_i_optimizer_create(ctx, params, &s, &o));
    params->items[1].rate = 10;
    set_gradients(params, file, 0);
    const whet_i_real before[] = {params->items[0].values[2], params->items[1].values[2]};
    test_ok(ctx, whet_i_optimizer_step(ctx, o, 0.5, &norm));
    assert_true(params->items[0].values[2] == before[0] - 0.5f * params->items[0].gradient[2]);
    assert_true(params->items[1].values[2] == before[1] - 5.0f * params->items[1].gradient[2]);
    whet_i_optimizer_destroy(ctx, o);
    whet_i_params_destroy(ctx, params);
    whet_safetensors_close(ctx, file);
    test_ctx_done(ctx);
}

static void a_gradient_that_is_no_number_is_named(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_safetensors *file = golden(ctx);
    whet_i_params *params = make_params(ctx, file);
    whet_i_optimizer *o;
    double norm = 7;
    const whet_i_optimizer_settings s = WHET_I_OPTIMIZER_SETTINGS_INIT;
    test_ok(ctx, whet_i_optimizer_create(ctx, params, &s, &o));
    set_gradients(params, file, 0);
    params->items[1].gradient[3] = NAN;
    const whet_i_real before = params->items[0].values[0];
    test_fails(ctx, whet_i_optimizer_step(ctx, o, 0.5, &norm), WHET_ERR_NUMERIC);
    test_says(ctx, "\"bias\"");
    assert_true(norm == 7 && params->items[0].values[0] == before && o->steps == 0);
    whet_i_optimizer_destroy(ctx, o);
    whet_i_params_destroy(ctx, params);
    whet_safetensors_close(ctx, file);
    test_ctx_done(ctx);
}

static void schedules_are_transformers(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_safetensors *file = golden(ctx);
    const double *linear = tensor(file, "schedule.linear", STEPS);
    const double *cosine = tensor(file, "schedule.cosine", STEPS);
    for (int64_t t = 0; t < STEPS; t++) {
        assert_true(fabs(whet_i_schedule_at(WHET_I_SCHEDULE_LINEAR, t, STEPS, 3, 0) - linear[t]) <
                    1e-12);
        assert_true(fabs(whet_i_schedule_at(WHET_I_SCHEDULE_COSINE, t, STEPS, 3, 0) - cosine[t]) <
                    1e-12);
        assert_true(whet_i_schedule_at(WHET_I_SCHEDULE_CONSTANT, t, STEPS, 0, 0) == 1);
    }
    assert_true(whet_i_schedule_at(WHET_I_SCHEDULE_LINEAR, 20, STEPS, 3, 0.1) == 0.1);
    assert_true(whet_i_schedule_at(WHET_I_SCHEDULE_LINEAR, 0, 1, 0, 0) == 1);
    whet_safetensors_close(ctx, file);
    test_ctx_done(ctx);
}

/* ---- the order of data ------------------------------------------------------------------------ */

static void check_batches(int64_t n, const whet_i_batches_opts *opts) {
    whet_ctx *ctx = test_ctx(1);
    whet_i_batches b, again;
    int64_t *lengths = calloc((size_t)n + 1, sizeof *lengths),
            *seen = calloc((size_t)n + 1, sizeof *seen);
    for (int64_t i = 0; i < n; i++) lengths[i] = (i * 7919) % 50;
    test_ok(ctx, whet_i_batches_make(ctx, lengths, n, opts, &b));
    test_ok(ctx, whet_i_batches_make(ctx, lengths, n, opts, &again));
    assert_memory_equal(b.order, again.order, (size_t)n * sizeof *b.order);
    assert_int_equal(b.n_steps, (n + opts->batch_size - 1) / opts->batch_size);
    for (int64_t i = 0; i < n; i++) seen[b.order[i]]++;
    for (int64_t i = 0; i < n; i++) assert_int_equal(seen[i], 1);
    assert_int_equal(b.micro_start[b.n_micro], n);
    assert_int_equal(b.step_start[b.n_steps], b.n_micro);
    for (int64_t s = 0; s < b.n_steps; s++) {
        const int64_t examples =
            b.micro_start[b.step_start[s + 1]] - b.micro_start[b.step_start[s]];
        assert_int_equal(examples, s + 1 < b.n_steps ? opts->batch_size : n - s * opts->batch_size);
        for (int64_t m = b.step_start[s]; m < b.step_start[s + 1]; m++) {
            int64_t tokens = 0;
            for (int64_t i = b.micro_start[m]; i < b.micro_start[m + 1]; i++)
                tokens += lengths[b.order[i]];
            assert_true(b.micro_start[m + 1] > b.micro_start[m]);
            assert_true(tokens <= opts->token_budget ||
                        b.micro_start[m + 1] - b.micro_start[m] == 1);
        }
    }
    whet_i_batches_free(ctx, &again);
    whet_i_batches_free(ctx, &b);
    free(seen);
    free(lengths);
    test_ctx_done(ctx);
}

/* Where torch's ReduceLROnPlateau with its defaults cuts on these losses, from 0.005: in the eleventh epoch
 * without a loss below (1 - 1e-4) of the least, and no more when that would change a rate by under 1e-8. */
static void rates_fall_on_plateaus_as_torch_s(void **state) {
    (void)state;
    static const struct {
        int64_t epochs;
        double loss;
    } parts[] = {{1, 10}, {1, 9}, {11, 8.9995}, {1, 8}, {11, 8}, {3, 7.9999}, {60, 9}};
    static const struct {
        int64_t epoch;
        double rate;
    } cuts[] = {{12, 5e-4}, {24, 5e-5}, {35, 5e-6}, {46, 5e-7}, {57, 5e-8}, {68, 5e-9}};
    whet_i_plateau plateau = WHET_I_PLATEAU_INIT;
    double rate = .005;
    int64_t epoch = 0, cut = 0;
    for (int64_t p = 0; p < WHET_COUNT_OF(parts); p++)
        for (int64_t i = 0; i < parts[p].epochs; i++, epoch++) {
            const double next = whet_i_plateau_next(&plateau, rate, parts[p].loss);
            if (next == rate) continue;
            assert_true(cut < WHET_COUNT_OF(cuts) && cuts[cut].epoch == epoch);
            assert_true(fabs(next / cuts[cut++].rate - 1) < 1e-12);
            rate = next;
        }
    assert_int_equal(cut, WHET_COUNT_OF(cuts));
}

static void every_example_once_an_epoch(void **state) {
    (void)state;
    for (int64_t n = 0; n < 100; n += n < 4 ? 1 : 13)
        for (int flags = 0; flags < 4; flags++)
            for (int64_t size = 1; size < 40; size += 12)
                check_batches(n, &(whet_i_batches_opts){size, 60, flags & 1, flags & 2, 5, 2});
    check_batches(3000, &(whet_i_batches_opts){8, 100, true, true, 5, 0});
}

/* Rows of one batch: different ones; each class there has several, where it has them. */
static void check_balanced_batch(const int32_t *labels, const int64_t *sizes, int64_t k,
                                 const int64_t *rows, int64_t size, int64_t *uses) {
    int64_t count[64] = {0}, fewest = size, most = 0, present = 0;
    bool all_have_two = true;
    for (int64_t c = 0; c < k; c++) all_have_two &= sizes[c] != 1;
    for (int64_t i = 0; i < size; i++) {
        for (int64_t j = 0; j < i; j++) assert_true(rows[i] != rows[j]);
        count[labels[rows[i]]]++;
        uses[rows[i]]++;
    }
    for (int64_t c = 0; c < k; c++) {
        if (count[c] == 0) continue;
        if (count[c] > most) most = count[c];
        if (count[c] < sizes[c] && count[c] < fewest) fewest = count[c];
        present++;
    }
    /* Those that have more rows have nearly as many as any other. */
    if (size >= 2 * k) assert_true(fewest == size || most - fewest <= 1);
    /* With many classes of two rows and more, a few of them have two each. */
    if (size >= 4 && size % 2 == 0 && all_have_two) assert_true(present <= size / 2);
}

static void check_balanced(int64_t n, int64_t k, int64_t size, int skew) {
    whet_ctx *ctx = test_ctx(1);
    whet_i_batches b, again, next;
    int32_t labels[200];
    int64_t sizes[64] = {0}, uses[200] = {0};
    for (int64_t i = 0; i < n; i++) {
        labels[i] = (int32_t)(skew ? (i * i / 7) % (i % 3 + 1) % k : i % k);
        sizes[labels[i]]++;
    }
    test_ok(ctx, whet_i_balanced_batches_make(ctx, labels, n, k, size, 5, 1, &b));
    test_ok(ctx, whet_i_balanced_batches_make(ctx, labels, n, k, size, 5, 1, &again));
    test_ok(ctx, whet_i_balanced_batches_make(ctx, labels, n, k, size, 5, 2, &next));
    const int64_t each = size < n ? size : n;
    assert_int_equal(b.n_steps, n ? (n + each - 1) / each : 0);
    assert_int_equal(b.n, b.n_steps * each);
    assert_memory_equal(b.order, again.order, (size_t)b.n * sizeof *b.order);
    if (n > 10) assert_true(memcmp(b.order, next.order, (size_t)b.n * sizeof *b.order) != 0);
    for (int64_t s = 0; s < b.n_steps; s++) {
        assert_int_equal(b.step_start[s + 1] - b.step_start[s], 1);
        assert_int_equal(b.micro_start[s + 1] - b.micro_start[s], each);
        check_balanced_batch(labels, sizes, k, b.order + b.micro_start[s], each, uses);
    }
    for (int64_t i = 0; i < n; i++) /* the rows of a class come equally often */
        for (int64_t j = 0; j < i; j++)
            assert_true(labels[i] != labels[j] || llabs(uses[i] - uses[j]) <= 1);
    whet_i_batches_free(ctx, &next);
    whet_i_batches_free(ctx, &again);
    whet_i_batches_free(ctx, &b);
    test_ctx_done(ctx);
}

static void balanced_batches_have_several_rows_of_each_class(void **state) {
    (void)state;
    for (int64_t n = 0; n <= 200; n += n < 4 ? 1 : 28)
        for (int64_t k = 1; k <= 64; k = 3 * k + 1)
            for (int64_t size = 1; size <= 41; size += size == 27 ? 1 : 13)
                for (int skew = 0; skew < 2; skew++) check_balanced(n, k, size, skew);
}

/* Buckets: the texts of a batch are of like length, and epochs differ. */
static void buckets_hold_like_lengths(void **state) {
    (void)state;
    enum { N = 4096, SIZE = 16 };
    whet_ctx *ctx = test_ctx(1);
    int64_t *lengths = calloc(N, sizeof *lengths), waste[2] = {0};
    whet_i_batches b[2];
    for (int64_t i = 0; i < N; i++) lengths[i] = 1 + (i * 7919) % 100;
    for (int epoch = 0; epoch < 2; epoch++) {
        const whet_i_batches_opts opts = {SIZE, 1 << 20, true, true, 1, epoch};
        test_ok(ctx, whet_i_batches_make(ctx, lengths, N, &opts, &b[epoch]));
        for (int64_t i = 0; i < N; i += SIZE) {
            int64_t most = 0;
            for (int64_t j = i; j < i + SIZE; j++)
                most = lengths[b[epoch].order[j]] > most ? lengths[b[epoch].order[j]] : most;
            for (int64_t j = i; j < i + SIZE; j++)
                waste[epoch] += most - lengths[b[epoch].order[j]];
        }
        /* Padding would waste nearly half without buckets, a sixteenth of that with them. */
        assert_true(waste[epoch] < (int64_t)N * 100 / 16);
    }
    assert_memory_not_equal(b[0].order, b[1].order, N * sizeof *b[0].order);
    for (int epoch = 0; epoch < 2; epoch++) whet_i_batches_free(ctx, &b[epoch]);
    free(lengths);
    test_ctx_done(ctx);
}

/* ---- going on --------------------------------------------------------------------------------- */

static void an_interrupted_run_goes_on_to_the_same_bits(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    whet_safetensors *file = golden(ctx);
    whet_i_params *params[2] = {make_params(ctx, file), make_params(ctx, file)};
    whet_i_optimizer *o[2];
    const whet_i_optimizer_settings s = WHET_I_OPTIMIZER_SETTINGS_INIT;
    const char *path = test_tmp("state.safetensors");
    whet_i_training_state in = {7, 2, 3, 0.1 + 0.2, 5, 1, -0.0, 9, 1}, out = {0};
    double norm;
    for (int i = 0; i < 2; i++) test_ok(ctx, whet_i_optimizer_create(ctx, params[i], &s, &o[i]));
    for (int64_t t = 0; t < STEPS; t++) {
        set_gradients(params[0], file, t);
        test_ok(ctx, whet_i_optimizer_step(ctx, o[0], 1e-2, &norm));
        if (t == 7) test_ok(ctx, whet_i_training_save(ctx, path, o[0], &in, "abc"));
    }
    test_fails(ctx, whet_i_training_load(ctx, path, o[1], &out, "abd"), WHET_ERR_DATA);
    assert_true(params[1]->items[0].values[0] != params[0]->items[0].values[0] && out.step == 0);
    test_ok(ctx, whet_i_training_load(ctx, path, o[1], &out, "abc"));
    assert_memory_equal(&in, &out, sizeof in);
    for (int64_t t = 8; t < STEPS; t++) {
        set_gradients(params[1], file, t);
        test_ok(ctx, whet_i_optimizer_step(ctx, o[1], 1e-2, &norm));
    }
    for (int i = 0; i < 2; i++)
        assert_memory_equal(params[0]->items[i].values, params[1]->items[i].values,
                            (size_t)params[0]->items[i].count * sizeof(float));
    for (int i = 0; i < 2; i++) {
        whet_i_optimizer_destroy(ctx, o[i]);
        whet_i_params_destroy(ctx, params[i]);
    }
    whet_safetensors_close(ctx, file);
    test_ctx_done(ctx);
}

/* One bit of any byte of a state file is flipped, of its values or of what says what they are: it is refused,
 * with nothing changed; but for the padding behind the header, which says nothing. */
static void damage_anywhere_is_told(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_safetensors *file = golden(ctx);
    whet_i_params *params = make_params(ctx, file);
    const whet_i_optimizer_settings s = WHET_I_OPTIMIZER_SETTINGS_INIT;
    whet_i_training_state st = {7, 2, 3, 0.5, 5, 1, 0.25, 9, 1}, out = {0};
    whet_i_optimizer *o;
    char path[1024], *bytes;
    int64_t len, damaged = 0;
    (void)snprintf(path, sizeof path, "%s", test_tmp("damage.safetensors"));
    test_ok(ctx, whet_i_optimizer_create(ctx, params, &s, &o));
    test_ok(ctx, whet_i_training_save(ctx, path, o, &st, "abc"));
    const float before = params->items[0].values[0];
    test_ok(ctx, whet_i_file_read(ctx, path, 1 << 20, &bytes, &len));
    for (int64_t i = 0; i < len; i++) {
        bytes[i] ^= (char)(1 << i % 8);
        FILE *f = fopen(path, "wb");
        assert_true(f && fwrite(bytes, 1, (size_t)len, f) == (size_t)len && fclose(f) == 0);
        bytes[i] ^= (char)(1 << i % 8);
        const whet_status status = whet_i_training_load(ctx, path, o, &out, "abc");
        damaged += strstr(whet_error(ctx), "is damaged") != NULL;
        if (status == WHET_OK)
            assert_true(bytes[i] == ' ' || (bytes[i] >= 'a' && bytes[i] <= 'z'));
        else
            assert_true(out.step == 0 && params->items[0].values[0] == before);
        out = (whet_i_training_state){0};
    }
    /* 3 x (5 x 3 + ..) numbers at least. */
    assert_true(damaged > 3 * 15 * 4);
    whet_i_free(ctx, bytes);
    whet_i_optimizer_destroy(ctx, o);
    whet_i_params_destroy(ctx, params);
    whet_safetensors_close(ctx, file);
    test_ctx_done(ctx);
}

static void states_of_something_else_are_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_safetensors *file = golden(ctx);
    whet_i_params *params = make_params(ctx, file);
    whet_i_optimizer *o;
    const whet_i_optimizer_settings s = WHET_I_OPTIMIZER_SETTINGS_INIT;
    whet_i_training_state st = {0};
    test_ok(ctx, whet_i_optimizer_create(ctx, params, &s, &o));
    test_fails(ctx,
               whet_i_training_load(
                   ctx, test_source("tests/golden/optimizers/expected.safetensors"), o, &st, "x"),
               WHET_ERR_FORMAT);
    test_says(ctx, "whet_training");
    test_fails(ctx, whet_i_training_load(ctx, test_tmp("none"), o, &st, "x"), WHET_ERR_IO);
    /* The right metadata, a tensor of the wrong shape. */
    float number = 1;
    const whet_named_tensor items[] = {{"matrix", {&number, WHET_F32, 1, {1}}}};
    const char *const meta[] = {"whet_training",
                                "1",
                                "optimizer_steps",
                                "0",
                                "step",
                                "0",
                                "epoch",
                                "0",
                                "batch",
                                "0",
                                "best_step",
                                "0",
                                "bad",
                                "0",
                                "loss_steps",
                                "0",
                                "pending",
                                "0",
                                "best",
                                "0",
                                "loss_sum",
                                "0",
                                "fingerprint",
                                "x",
                                NULL};
    test_ok(ctx, whet_safetensors_write(ctx, test_tmp("wrong.safetensors"), true, items, 1, meta));
    test_fails(ctx, whet_i_training_load(ctx, test_tmp("wrong.safetensors"), o, &st, "x"),
               WHET_ERR_SHAPE);
    test_says(ctx, "[5, 3]");
    whet_i_optimizer_destroy(ctx, o);
    whet_i_params_destroy(ctx, params);
    whet_safetensors_close(ctx, file);
    test_ctx_done(ctx);
}

static whet_status everything(whet_ctx *ctx, void *arg) {
    const whet_i_optimizer_settings s = WHET_I_OPTIMIZER_SETTINGS_INIT;
    whet_i_params *params = NULL;
    whet_i_optimizer *o = NULL;
    whet_i_batches b = {0}, balanced = {0};
    whet_i_param_id id;
    double norm;
    const int64_t lengths[] = {3, 4, 5};
    const int32_t labels[] = {1, 0, 1};
    const whet_i_param_spec spec = {.name = "w", .rank = 1, .shape = {3}, .init = WHET_I_INIT_ONE};
    (void)arg;
    whet_status status;
    WHET_TRY_DONE(whet_i_params_create(ctx, WHET_F32, &params));
    WHET_TRY_DONE(whet_i_params_add(ctx, params, &spec, &id));
    params->items[0].trainable = true;
    WHET_TRY_DONE(whet_i_params_settle(ctx, params, 0));
    WHET_TRY_DONE(whet_i_optimizer_create(ctx, params, &s, &o));
    WHET_TRY_DONE(whet_i_optimizer_step(ctx, o, 0.1, &norm));
    WHET_TRY_DONE(
        whet_i_batches_make(ctx, lengths, 3, &(whet_i_batches_opts){2, 8, true, true, 0, 0}, &b));
    WHET_TRY_DONE(whet_i_balanced_batches_make(ctx, labels, 3, 2, 2, 0, 0, &balanced));
done:
    whet_i_batches_free(ctx, &balanced);
    whet_i_batches_free(ctx, &b);
    whet_i_optimizer_destroy(ctx, o);
    whet_i_params_destroy(ctx, params);
    return status;
}

static void allocations_may_fail(void **state) {
    (void)state;
    assert_true(test_each_allocation(everything, NULL) > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(optimizers_are_torch_s),
        cmocka_unit_test(a_parameter_s_rate_scales_its_step),
        cmocka_unit_test(a_gradient_that_is_no_number_is_named),
        cmocka_unit_test(schedules_are_transformers),
        cmocka_unit_test(rates_fall_on_plateaus_as_torch_s),
        cmocka_unit_test(every_example_once_an_epoch),
        cmocka_unit_test(balanced_batches_have_several_rows_of_each_class),
        cmocka_unit_test(buckets_hold_like_lengths),
        cmocka_unit_test(an_interrupted_run_goes_on_to_the_same_bits),
        cmocka_unit_test(damage_anywhere_is_told),
        cmocka_unit_test(states_of_something_else_are_refused),
        cmocka_unit_test(allocations_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
