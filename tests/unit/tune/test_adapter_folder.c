/* SPDX-License-Identifier: Apache-2.0
 * Folders of adapters: PEFT's own, ones made here, what does not fit, and the base that they are for. */
#include "adapter_support.h"

/* ---- PEFT's ----------------------------------------------------------------------------------- */

/* A folder with a model.safetensors that is a link to the file. */
static const char *base_folder(const char *name, const char *file) {
    char link[1024], real[4096];
    const char *path = folder(name);
    (void)snprintf(link, sizeof link, "%s/model.safetensors", path);
    assert_non_null(realpath(file, real));
    assert_int_equal(symlink(real, link), 0);
    return path;
}

static void peft_s_own_folder(void **state) {
    (void)state;
    test_need_shared("golden/more/peft_lora_demo");
    whet_ctx *ctx = test_ctx(2);
    whet_adapter *a, *again;
    const char *demo = test_shared("golden/more/peft_lora_demo");
    test_ok(ctx, whet_adapter_open(ctx, demo, &a));
    assert_int_equal(a->n_layers, 2);
    assert_string_equal(a->layers[0].module, "layer.0.query");
    assert_int_equal(a->layers[0].shape.rank, 4);
    assert_true(a->layers[0].scale == 2); /* 8 / 4; value has rank 2 by its pattern */
    assert_int_equal(a->layers[1].shape.rank, 2);
    assert_true(a->layers[1].scale == 4);
    assert_int_equal(a->n_wholes, 4);
    assert_string_equal(a->wholes[0].name, "classifier.bias");
    assert_string_equal(a->wholes[3].name, "layer.0.value.bias");
    assert_true(a->wholes[3].layer_bias && !a->wholes[0].layer_bias);
    const char *base =
        base_folder("demo-base", test_shared("golden/more/peft_lora_demo/base.safetensors"));
    test_ok(ctx, whet_adapter_fit(ctx, a, base, false));
    assert_string_equal(a->layers[1].base, "layer.0.value.weight");
    /* The weights come out as PEFT wrote them, to the byte, and everything again as it was saved. */
    test_ok(ctx, whet_adapter_save(ctx, a, test_tmp("demo-1"), false));
    test_fails(ctx, whet_adapter_save(ctx, a, test_tmp("demo-1"), false), WHET_ERR_EXISTS);
    assert_true(same_file(demo, test_tmp("demo-1"), "adapter_model.safetensors"));
    test_ok(ctx, whet_adapter_open(ctx, test_tmp("demo-1"), &again));
    test_ok(ctx, whet_adapter_save(ctx, again, test_tmp("demo-2"), false));
    assert_true(same_file(test_tmp("demo-1"), test_tmp("demo-2"), "adapter_model.safetensors"));
    assert_true(same_file(test_tmp("demo-1"), test_tmp("demo-2"), "adapter_config.json"));
    whet_adapter_close(ctx, again);
    whet_adapter_close(ctx, a);
    test_ctx_done(ctx);
}

/* Parameters that are told are those of the tensors. */
static void what_is_told(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    tensors t = {0};
    whet_adapter *a;
    char *text;
    (void)add(&t, PEFT "m.1.more_w1", 4, 2, 3);
    (void)add(&t, PEFT "m.1.more_w2", 4, 9, 2);
    (void)add(&t, PEFT "score.weight", 3, 5, 0);
    const char *dir = write_adapter(
        "told",
        "\"peft_type\": \"MORE\", \"r\": 2, \"nblocks\": 4, \"modules_to_save\": [\"score\"], "
        "\"whet_sizes\": {\"m.1\": [35, 11]}",
        &t);
    test_ok(ctx, whet_adapter_open(ctx, dir, &a));
    test_ok(ctx, whet_adapter_describe(ctx, a, &text));
    json_t *root = json_loads(text, 0, NULL);
    const json_t *layer = json_array_get(json_object_get(root, "layers"), 0);
    assert_string_equal(json_string_value(json_object_get(root, "kind")), "more");
    assert_int_equal(json_integer_value(json_object_get(root, "adapter_parameters")), 24 + 72);
    assert_int_equal(json_integer_value(json_object_get(root, "other_parameters")), 15);
    assert_int_equal(json_integer_value(json_object_get(layer, "in")), 11);
    assert_int_equal(json_integer_value(json_object_get(layer, "out")), 35);
    json_decref(root);
    whet_free_text(ctx, text);
    whet_adapter_close(ctx, a);
    tensors_free(&t);
    test_ctx_done(ctx);
}

/* ---- the reference's names, subfolders, scales ------------------------------------------------ */

static void names_and_scales(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    tensors t = {0}, u = {0};
    whet_adapter *a;
    (void)add(&t, "m.query.blkdiag1", 2, 2, 3); /* without PEFT's prefix */
    (void)add(&t, "m.query.blkdiag2", 2, 4, 2);
    (void)folder("named");
    (void)write_adapter("named/one", "\"peft_type\": \"MORE\", \"r\": 2", &t);
    test_ok(ctx, whet_adapter_open(ctx, test_tmp("named"), &a)); /* the only one */
    assert_true(a->more && a->layers[0].scale == 1 && a->layers[0].shape.out == 8);
    whet_adapter_close(ctx, a);
    (void)write_adapter("named/two", "\"peft_type\": \"MORE\", \"r\": 2", &t);
    test_fails(ctx, whet_adapter_open(ctx, test_tmp("named"), &a), WHET_ERR_ARG);
    test_says(ctx, "\"two\"");
    test_says(ctx, "\"one\"");
    (void)add(&u, PEFT "a.q.lora_A.weight", 4, 3, 0);
    (void)add(&u, PEFT "a.q.lora_B.weight", 5, 4, 0);
    (void)add(&u, PEFT "a.k.lora_A.weight", 2, 3, 0);
    (void)add(&u, PEFT "a.k.lora_B.weight", 5, 2, 0);
    const char *dir =
        write_adapter("scales",
                      "\"peft_type\": \"LORA\", \"r\": 4, \"lora_alpha\": 8, \"use_rslora\": true, "
                      "\"rank_pattern\": {\"k\": 2}, \"alpha_pattern\": {\"a.k\": 3}, "
                      "\"target_modules\": [\"q\", \"k\"], "
                      "\"new_member\": 1",
                      &u);
    test_ok(ctx, whet_adapter_open(ctx, dir, &a));
    assert_true(a->layers[1].scale == 8 / sqrt(4));
    assert_true(a->layers[0].scale == 3 / sqrt(2));
    whet_adapter_close(ctx, a);
    tensors_free(&t);
    tensors_free(&u);
    test_ctx_done(ctx);
}

/* ---- GraLoRA ---------------------------------------------------------------------------------- */

/* Entry by entry as its definition has it; and by MoRe with the factors of spec 1.9, whose row j N + l is
 * its row l q + j. */
static void gralora_is_read_as_lora(void **state) {
    (void)state;
    enum { K = 2, R = 4, P = 3, Q = 5, H = 2, IN = K * P, OUT = K * Q, S = R / K };
    whet_ctx *ctx = test_ctx(1);
    tensors t = {0};
    whet_adapter *a;
    const float *x = add(&t, PEFT "m.gralora_A", K, P, R),
                *y = add(&t, PEFT "m.gralora_B", K, R, Q);
    const float *gx = add(&t, PEFT "m.gralora_A_general.weight", H, IN, 0);
    const float *gy = add(&t, PEFT "m.gralora_B_general.weight", OUT, H, 0);
    const char *dir = write_adapter("gralora",
                                    "\"peft_type\": \"GRALORA\", \"r\": 4, \"gralora_k\": 2, "
                                    "\"hybrid_r\": 2, \"alpha\": 3, \"bias\": \"none\"",
                                    &t);
    test_ok(ctx, whet_adapter_open(ctx, dir, &a));
    assert_int_equal(a->layers[0].shape.rank, K * R + H);
    double *m = matrix_of(ctx, &a->layers[0]);
    float w1[K][R][P], w2[K][Q][R];
    for (int k = 0; k < K; k++)
        for (int l = 0; l < K; l++)
            for (int s = 0; s < S; s++) {
                for (int i = 0; i < P; i++) w1[k][s * K + l][i] = x[(k * P + i) * R + l * S + s];
                for (int j = 0; j < Q; j++) w2[l][j][k * S + s] = y[(l * R + k * S + s) * Q + j];
            }
    const whet_i_adapter_layer more = {.shape = {IN, OUT, K, R, P, Q},
                                       .scale = 1,
                                       .first = {w1, WHET_F32, 3, {K, R, P}},
                                       .second = {w2, WHET_F32, 3, {K, Q, R}}};
    double *permuted = matrix_of(ctx, &more);
    for (int l = 0; l < K; l++)
        for (int j = 0; j < Q; j++)
            for (int i = 0; i < IN; i++) {
                const int o = l * Q + j;
                double sum = 0, beside = 0;
                for (int s = 0; s < S; s++)
                    sum +=
                        (double)x[i * R + l * S + s] * (double)y[(l * R + i / P * S + s) * Q + j];
                for (int h = 0; h < H; h++)
                    beside += (double)gx[h * IN + i] * (double)gy[o * H + h];
                /* factors were rounded to f32 with the scale in one of them */
                assert_true(fabs(m[o * IN + i] - 3. / (R + H) * (sum + beside)) < 1e-5);
                assert_true(fabs(permuted[(j * K + l) * IN + i] - sum) < 1e-12);
            }
    test_ok(ctx, whet_adapter_save(ctx, a, test_tmp("gralora-lora"), false));
    whet_adapter_close(ctx, a);
    test_ok(ctx, whet_adapter_open(ctx, test_tmp("gralora-lora"), &a));
    double *read = matrix_of(ctx, &a->layers[0]);
    assert_true(farthest(m, read, IN * OUT) == 0);
    free(read);
    free(permuted);
    free(m);
    whet_adapter_close(ctx, a);
    tensors_free(&t);
    test_ctx_done(ctx);
}

/* ---- bases ------------------------------------------------------------------------------------ */

static void bases_are_told_apart(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    tensors t = {0}, base = {0};
    whet_adapter *a;
    char config[256], identity[WHET_I_IDENTITY];
    whet_i_weight_files files = {0};
    float *w = add(&base, "encoder.m.weight", 8, 6, 0);
    (void)add(&base, "encoder.other.weight", 3, 3, 0);
    (void)folder("base");
    write_tensors("base", "model.safetensors", &base);
    test_ok(ctx, whet_i_weight_files_open(ctx, test_tmp("base"), &files));
    test_ok(ctx, whet_i_base_identity(ctx, &files, identity));
    whet_i_weight_files_close(ctx, &files);
    (void)add(&t, PEFT "bert.encoder.m.lora_A.weight", 2, 6, 0); /* a prefix that the base lacks */
    (void)add(&t, PEFT "bert.encoder.m.lora_B.weight", 8, 2, 0);
    (void)snprintf(config, sizeof config,
                   "\"peft_type\": \"LORA\", \"r\": 2, \"whet_base\": \"%s\"", identity);
    const char *dir = write_adapter("for-base", config, &t);
    test_ok(ctx, whet_adapter_open(ctx, dir, &a));
    test_ok(ctx, whet_adapter_fit(ctx, a, test_tmp("base"), false));
    assert_string_equal(a->layers[0].base, "encoder.m.weight");
    /* One bit of one number of another layer. */
    (void)w;
    ((uint32_t *)base.items[1].tensor.data)[4] ^= 1;
    write_tensors("base", "model.safetensors", &base);
    test_fails(ctx, whet_adapter_fit(ctx, a, test_tmp("base"), false), WHET_ERR_DATA);
    test_says(ctx, identity);
    test_ok(ctx, whet_adapter_fit(ctx, a, test_tmp("base"), true));
    whet_adapter_close(ctx, a);
    /* The other way round: the base's names are longer. */
    tensors_free(&t);
    (void)add(&t, PEFT "m.lora_A.weight", 2, 6, 0);
    (void)add(&t, PEFT "m.lora_B.weight", 8, 2, 0);
    test_ok(ctx, whet_adapter_open(
                     ctx, write_adapter("shorter", "\"peft_type\": \"LORA\", \"r\": 2", &t), &a));
    test_ok(ctx, whet_adapter_fit(ctx, a, test_tmp("base"), false));
    assert_string_equal(a->layers[0].base, "encoder.m.weight");
    whet_adapter_close(ctx, a);
    /* All that does not fit is told at once. */
    (void)add(&t, PEFT "other.lora_A.weight", 2, 6, 0);
    (void)add(&t, PEFT "other.lora_B.weight", 8, 2, 0);
    (void)add(&t, PEFT "third.lora_A.weight", 2, 6, 0);
    (void)add(&t, PEFT "third.lora_B.weight", 8, 2, 0);
    test_ok(ctx, whet_adapter_open(
                     ctx, write_adapter("misfit", "\"peft_type\": \"LORA\", \"r\": 2", &t), &a));
    test_fails(ctx, whet_adapter_fit(ctx, a, test_tmp("base"), false), WHET_ERR_SHAPE);
    test_says(ctx, "layer \"other\" is for a weight [8, 6], the base's is [3, 3]");
    test_says(ctx, "the base has no layer \"third\"");
    whet_adapter_close(ctx, a);
    tensors_free(&base);
    tensors_free(&t);
    test_ctx_done(ctx);
}

/* ---- what is refused -------------------------------------------------------------------------- */

static void configs_that_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *config, *says;
        whet_status status;
    } cases[] = {
        {"\"r\": 2", "\"peft_type\" is missing", WHET_ERR_FORMAT},
        {"\"peft_type\": \"IA3\"", "expected LORA, MORE, GRALORA, LN_TUNING or",
         WHET_ERR_UNSUPPORTED},
        {"\"peft_type\": \"LORA\", \"r\": 0", "\"r\"", WHET_ERR_FORMAT},
        {"\"peft_type\": \"LORA\", \"r\": 2, \"fan_in_fan_out\": true", "fan_in_fan_out",
         WHET_ERR_UNSUPPORTED},
        {"\"peft_type\": \"LORA\", \"r\": 2, \"lora_bias\": true", "lora_bias",
         WHET_ERR_UNSUPPORTED},
        {"\"peft_type\": \"LORA\", \"r\": 2, \"alora_invocation_tokens\": [1]", "alora",
         WHET_ERR_UNSUPPORTED},
        {"\"peft_type\": \"LORA\", \"r\": 2, \"layer_replication\": [[0, 1]]", "layer_replication",
         WHET_ERR_UNSUPPORTED},
        {"\"peft_type\": \"LORA\", \"r\": 2, \"init_lora_weights\": \"pissa_niter_4\"", "pissa",
         WHET_ERR_UNSUPPORTED},
        {"\"peft_type\": \"LORA\", \"r\": 2, \"target_modules\": [1]", "target_modules",
         WHET_ERR_FORMAT},
        {"\"peft_type\": \"LORA\", \"r\": 2, \"rank_pattern\": {\"m\": 1.5}", "rank_pattern",
         WHET_ERR_FORMAT},
        {"\"peft_type\": \"LORA\", \"r\": 2, \"rank_pattern\": {\"(\": 1}", "does not compile",
         WHET_ERR_UNSUPPORTED},
        {"\"peft_type\": \"LORA\", \"r\": 2, \"layers_to_transform\": [-1]", "layers_to",
         WHET_ERR_FORMAT},
        {"\"peft_type\": \"GRALORA\", \"r\": 3, \"gralora_k\": 2", "a multiple of the 2 blocks",
         WHET_ERR_FORMAT},
        {"\"peft_type\": \"LORA\", \"r\": 3", "layer \"m\" has rank 2; expected 3", WHET_ERR_SHAPE},
        {"\"peft_type\": \"LORA\", \"r\": 2, \"target_modules\": [\"q\"]",
         "none of adapter_config.json's targets", WHET_ERR_SHAPE},
        {"\"peft_type\": \"LORA\", \"r\": 2, \"use_dora\": true", "lora_magnitude_vector",
         WHET_ERR_SHAPE},
        {"\"peft_type\": \"MORE\", \"r\": 2", "expected [N, r, p] and [N, q, r]", WHET_ERR_SHAPE},
    };
    whet_ctx *ctx = test_ctx(1);
    whet_adapter *a = NULL;
    tensors t = {0};
    (void)add(&t, PEFT "m.lora_A.weight", 2, 6, 0);
    (void)add(&t, PEFT "m.lora_B.weight", 8, 2, 0);
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        test_fails(ctx, whet_adapter_open(ctx, write_adapter("refused", cases[i].config, &t), &a),
                   cases[i].status);
        test_says(ctx, cases[i].says);
        assert_null(a);
    }
    tensors_free(&t);
    test_ctx_done(ctx);
}

static void tensors_that_are_refused(void **state) {
    (void)state;
    static const char config[] = "\"peft_type\": \"LORA\", \"r\": 2";
    static const struct {
        const char *name, *says;
        whet_status status;
    } cases[] = {
        {PEFT "e.lora_embedding_A", "word vectors", WHET_ERR_UNSUPPORTED},
        {PEFT "m.lora_B.bias", "not known here", WHET_ERR_UNSUPPORTED},
        {PEFT "m.base_layer.weight", "the base itself", WHET_ERR_UNSUPPORTED},
        {PEFT "m.ia3_l", "no part of an adapter", WHET_ERR_UNSUPPORTED},
        {PEFT "n.lora_A.weight", "factors [2, 6] and none", WHET_ERR_SHAPE},
    };
    whet_ctx *ctx = test_ctx(1);
    whet_adapter *a = NULL;
    tensors t = {0};
    float *w = add(&t, PEFT "m.lora_A.weight", 2, 6, 0);
    (void)add(&t, PEFT "m.lora_B.weight", 8, 2, 0);
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        (void)add(&t, cases[i].name, 2, 6, 0);
        test_fails(ctx, whet_adapter_open(ctx, write_adapter("odd", config, &t), &a),
                   cases[i].status);
        test_says(ctx, cases[i].says);
        free(t.items[--t.n].tensor.data);
    }
    w[7] = NAN;
    test_fails(ctx, whet_adapter_open(ctx, write_adapter("odd", config, &t), &a), WHET_ERR_DATA);
    test_says(ctx, "m.lora_A.weight\": [1,1] is NaN");
    w[7] = 0;
    const char *dir = write_adapter("odd", config, &t);
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/adapter_model.safetensors", dir);
    assert_int_equal(truncate(path, 200), 0);
    test_fails(ctx, whet_adapter_open(ctx, dir, &a), WHET_ERR_FORMAT);
    assert_int_equal(remove(path), 0);
    test_fails(ctx, whet_adapter_open(ctx, dir, &a), WHET_ERR_IO);
    (void)test_write_text("odd/adapter_model.bin", "PK");
    test_fails(ctx, whet_adapter_open(ctx, dir, &a), WHET_ERR_UNSUPPORTED);
    test_says(ctx, "pickled");
    test_fails(ctx, whet_adapter_open(ctx, test_tmp("nowhere"), &a), WHET_ERR_IO);
    assert_null(a);
    tensors_free(&t);
    test_ctx_done(ctx);
}

/* A name with and without the prefix, or in two spellings: which one counts must not be left to the order. */
static void names_that_come_twice(void **state) {
    (void)state;
    static const struct {
        const char *config, *names[2];
    } cases[] = {
        {"\"peft_type\": \"LORA\", \"r\": 2", {PEFT "m.lora_A.weight", "m.lora_A.weight"}},
        {"\"peft_type\": \"LORA\", \"r\": 2", {PEFT "head.weight", "head.weight"}},
        {"\"peft_type\": \"LORA\", \"r\": 2, \"use_dora\": true",
         {PEFT "m.lora_magnitude_vector", PEFT "m.lora_magnitude_vector.weight"}},
        {"\"peft_type\": \"MORE\", \"r\": 2", {PEFT "m.more_w1", PEFT "m.blkdiag1"}},
    };
    whet_ctx *ctx = test_ctx(1);
    whet_adapter *a = NULL;
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        tensors t = {0};
        for (int k = 0; k < 2; k++) (void)add(&t, cases[i].names[k], 2, 6, 0);
        test_fails(ctx, whet_adapter_open(ctx, write_adapter("twice", cases[i].config, &t), &a),
                   WHET_ERR_FORMAT);
        test_says(ctx, "under another name as well");
        assert_null(a);
        tensors_free(&t);
    }
    test_ctx_done(ctx);
}

/* ---- memory ----------------------------------------------------------------------------------- */

static whet_status open_and_save(whet_ctx *ctx, void *arg) {
    const char *const *dirs = arg;
    whet_adapter *a = NULL;
    whet_status status = whet_adapter_open(ctx, dirs[0], &a);
    if (status == WHET_OK) status = whet_adapter_fit(ctx, a, dirs[1], false);
    if (status == WHET_OK) status = whet_adapter_save(ctx, a, dirs[2], true);
    whet_adapter_close(ctx, a);
    return status;
}

static void each_allocation(void **state) {
    (void)state;
    tensors t = {0}, base = {0};
    (void)add(&base, "m.weight", 4, 4, 0);
    (void)folder("tiny-base");
    write_tensors("tiny-base", "model.safetensors", &base);
    (void)add(&t, PEFT "m.gralora_A", 2, 2, 2);
    (void)add(&t, PEFT "m.gralora_B", 2, 2, 2);
    (void)add(&t, PEFT "head.weight", 1, 2, 0);
    const char *dirs[3];
    dirs[0] = write_adapter(
        "tiny", "\"peft_type\": \"GRALORA\", \"r\": 2, \"target_modules\": [\"m\"]", &t);
    dirs[1] = test_tmp("tiny-base");
    dirs[2] = test_tmp("tiny-saved");
    assert_true(test_each_allocation(open_and_save, dirs) > 30);
    tensors_free(&t);
    tensors_free(&base);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peft_s_own_folder),        cmocka_unit_test(what_is_told),
        cmocka_unit_test(names_and_scales),         cmocka_unit_test(gralora_is_read_as_lora),
        cmocka_unit_test(bases_are_told_apart),     cmocka_unit_test(configs_that_are_refused),
        cmocka_unit_test(tensors_that_are_refused), cmocka_unit_test(names_that_come_twice),
        cmocka_unit_test(each_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
