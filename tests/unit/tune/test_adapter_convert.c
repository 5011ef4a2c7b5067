/* SPDX-License-Identifier: Apache-2.0
 * Adapters in other forms: the reference's projections and exports, matrices that must not change, losses
 * held against other algorithms, bits at any thread count. */
#include "adapter_support.h"

#include "tune/adapter_blocks.h"

/* ---- the reference's vectors ------------------------------------------------------------------ */

typedef struct golden {
    whet_ctx *ctx;
    whet_safetensors *file;
} golden;

static double *values(const golden *g, const char *name, whet_tensor *shape) {
    whet_tensor copy;
    assert_true(whet_safetensors_find(g->file, name, shape));
    test_ok(g->ctx, whet_tensor_convert(g->ctx, shape, WHET_F64, &copy));
    return copy.data;
}

/* Runs `check` on each file of the folder whose name begins so; how many. */
static int64_t each_golden(const char *begin, void (*check)(const golden *g)) {
    char **path;
    const int64_t n = test_shared_files("golden/more", begin, ".safetensors", &path);
    for (int64_t i = 0; i < n; i++) {
        golden g = {.ctx = test_ctx(2)};
        test_ok(g.ctx, whet_safetensors_open(g.ctx, test_shared(path[i]), &g.file));
        check(&g);
        whet_safetensors_close(g.ctx, g.file);
        test_ctx_done(g.ctx);
    }
    test_free_files(path, n);
    return n;
}

/* What project(d) is as a matrix, and what it drops; shape with its rank. */
static double *projected(whet_ctx *ctx, const whet_i_adapter_shape *s, const double *d,
                         double *dropped) {
    double *w1, *w2, *m = calloc((size_t)(s->in * s->out), sizeof *m);
    test_ok(ctx, whet_i_alloc(ctx, s->blocks * s->rank * s->p, &w1));
    test_ok(ctx, whet_i_alloc(ctx, s->blocks * s->rank * s->q, &w2));
    test_ok(ctx, whet_i_project_blocks(ctx, s, d, w1, w2, dropped));
    for (int64_t row = 0; row < s->out; row++)
        whet_i_factors_row(s, 1, w1, w2, row, m + row * s->in);
    whet_i_free(ctx, w1);
    whet_i_free(ctx, w2);
    return m;
}

/* b NULL: to zero. */
static double distance(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const double off = a[i] - (b ? b[i] : 0);
        sum += off * off;
    }
    return sum;
}

static void check_projection(const golden *g) {
    whet_tensor t, w1;
    double dropped, more;
    double *d = values(g, "M", &t), *expected = values(g, "M_hat", &t);
    assert_true(whet_safetensors_find(g->file, "blkdiag1", &w1));
    whet_i_adapter_shape s =
        whet_i_adapter_shape_of(t.shape[1], t.shape[0], w1.shape[0], w1.shape[1]);
    const int64_t n = s.in * s.out;
    double *m = projected(g->ctx, &s, d, &dropped);
    const double size = fmax(1, sqrt(distance(d, NULL, n)));
    assert_true(farthest(m, expected, n) < 1e-10 * size); /* the vectors' own tolerance */
    assert_true(fabs(dropped - distance(m, d, n)) < 1e-10 * size * size);
    double *again = projected(g->ctx, &s, m, &more);
    /* what is of the class stays, to roundings of the matrix's size */
    assert_true(farthest(again, m, n) < 1e-12 * size && more < 1e-20 * size * size);
    s.rank += s.blocks; /* one product a block more */
    double *larger = projected(g->ctx, &s, d, &more);
    assert_true(more <= dropped);
    free(larger);
    free(again);
    free(m);
    whet_i_free(g->ctx, d);
    whet_i_free(g->ctx, expected);
}

/* What is dropped at every rank is the sum of the squares of the blocks' later singular values. */
static void check_values(const golden *g) {
    whet_tensor t, w1, all;
    double *d = values(g, "M", &t), *sigma = values(g, "block_singular_values", &all);
    assert_true(whet_safetensors_find(g->file, "blkdiag1", &w1));
    const int64_t blocks = w1.shape[0], most = all.shape[2], pairs = whet_tensor_count(&all) / most;
    const double norm = distance(d, NULL, t.shape[0] * t.shape[1]);
    assert_int_equal(pairs, blocks * blocks);
    for (int64_t kept = 0; kept <= most; kept++) {
        double later = 0, dropped = norm;
        for (int64_t b = 0; b < pairs; b++)
            for (int64_t i = kept; i < most; i++)
                later += sigma[b * most + i] * sigma[b * most + i];
        if (kept > 0) {
            const whet_i_adapter_shape s =
                whet_i_adapter_shape_of(t.shape[1], t.shape[0], blocks, blocks * kept);
            free(projected(g->ctx, &s, d, &dropped));
        }
        assert_true(fabs(dropped - later) < 1e-10 * fmax(1, norm));
    }
    whet_i_free(g->ctx, d);
    whet_i_free(g->ctx, sigma);
}

/* The product of the blocks as a matrix; files in f32 were computed in f32. */
static void check_core(const golden *g) {
    whet_tensor w1, w2, t;
    if (!whet_safetensors_find(g->file, "M", &t)) return; /* large ones are without */
    double *first = values(g, "blkdiag1", &w1), *second = values(g, "blkdiag2", &w2);
    double *m = values(g, "M", &t),
           norm = fmax(1, sqrt(distance(m, NULL, t.shape[0] * t.shape[1])));
    const whet_i_adapter_shape s =
        whet_i_adapter_shape_of(t.shape[1], t.shape[0], w1.shape[0], w1.shape[1]);
    double *row = malloc(sizeof *row * (size_t)s.in);
    assert_non_null(row);
    for (int64_t i = 0; i < s.out; i++) {
        memset(row, 0, sizeof *row * (size_t)s.in);
        whet_i_factors_row(&s, 1, first, second, i, row);
        assert_true(farthest(row, m + i * s.in, s.in) <=
                    (t.dtype == WHET_F32 ? 1e-5 : 1e-10) * norm);
    }
    free(row);
    whet_i_free(g->ctx, first);
    whet_i_free(g->ctx, second);
    whet_i_free(g->ctx, m);
}

static double *product_of(const golden *g, const char *first, const char *second, int64_t in,
                          int64_t out) {
    whet_tensor a, b;
    double *w1 = values(g, first, &a), *w2 = values(g, second, &b);
    double *m = calloc((size_t)(in * out), sizeof *m);
    const whet_i_adapter_shape s = whet_i_adapter_shape_of(in, out, a.shape[0], a.shape[1]);
    assert_non_null(m);
    for (int64_t i = 0; i < out; i++) whet_i_factors_row(&s, 1, w1, w2, i, m + i * in);
    whet_i_free(g->ctx, w1);
    whet_i_free(g->ctx, w2);
    return m;
}

/* Blocks whose units are in another order are the matrix with its rows and columns in it; out = x M^T. */
static void permuted_blocks_are_the_reference_s(void **state) {
    (void)state;
    test_need_shared("golden/market/tf/more_perm.safetensors");
    golden g = {.ctx = test_ctx(1)};
    whet_tensor t, rows, columns, xs;
    test_ok(g.ctx, whet_safetensors_open(
                       g.ctx, test_shared("golden/market/tf/more_perm.safetensors"), &g.file));
    double *dense = values(&g, "dense", &t), *x = values(&g, "x", &xs), *y = values(&g, "y", &rows);
    const int64_t out = t.shape[0], in = t.shape[1];
    double *row = values(&g, "out_gather", &rows), *column = values(&g, "in_gather", &columns);
    double *m = product_of(&g, "w1", "w2", in, out);
    double *moved = product_of(&g, "w1_perm", "w2_perm", in, out);
    assert_true(farthest(m, dense, in * out) < 1e-12);
    for (int64_t o = 0; o < out; o++)
        for (int64_t i = 0; i < in; i++)
            assert_true(fabs(moved[o * in + i] - m[(int64_t)row[o] * in + (int64_t)column[i]]) <
                        1e-12);
    for (int64_t s = 0; s < xs.shape[0]; s++)
        for (int64_t o = 0; o < out; o++) {
            double sum = 0;
            for (int64_t i = 0; i < in; i++) sum += m[o * in + i] * x[s * in + i];
            assert_true(fabs(sum - y[s * out + o]) < 1e-12);
        }
    free(m);
    free(moved);
    double *const all[] = {dense, x, y, row, column};
    for (int i = 0; i < 5; i++) whet_i_free(g.ctx, all[i]);
    whet_safetensors_close(g.ctx, g.file);
    test_ctx_done(g.ctx);
}

static void products_are_the_reference_s(void **state) {
    (void)state;
    test_need_some(each_golden("core_", check_core), "products of MoRe");
}

static void projections_are_the_reference_s(void **state) {
    (void)state;
    (void)each_golden("proj_", check_values);
    test_need_some(each_golden("proj_", check_projection), "projections");
}

/* An adapter of one layer "m" with these factors in f64. */
static whet_adapter *one_layer(whet_ctx *ctx, const char *config, const char *first,
                               const whet_tensor *a, const char *second, const whet_tensor *b) {
    tensors t = {.items = {{first, *a}, {second, *b}}, .n = 2};
    whet_adapter *made;
    test_ok(ctx, whet_adapter_open(ctx, write_adapter("one", config, &t), &made));
    return made;
}

static whet_adapter *more_of(whet_ctx *ctx, const whet_tensor *w1, const whet_tensor *w2,
                             int64_t in, int64_t out) {
    char config[256];
    (void)snprintf(config, sizeof config,
                   "\"peft_type\": \"MORE\", \"r\": %lld, \"nblocks\": %lld, \"whet_sizes\": "
                   "{\"m\": [%lld, %lld]}",
                   (long long)w1->shape[1], (long long)w1->shape[0], (long long)out, (long long)in);
    return one_layer(ctx, config, PEFT "m.more_w1", w1, PEFT "m.more_w2", w2);
}

static whet_adapter *converted(whet_ctx *ctx, const whet_adapter *a, whet_adapter_form form,
                               int64_t blocks, int64_t rank, double *residual) {
    whet_adapter_convert_opts opts = WHET_ADAPTER_CONVERT_OPTS_INIT;
    whet_adapter *made;
    char *report;
    opts.form = form;
    opts.blocks = blocks;
    opts.rank = rank;
    test_ok(ctx, whet_adapter_convert(ctx, a, &opts, &made, &report));
    json_t *root = json_loads(report, 0, NULL);
    *residual = json_real_value(json_object_get(root, "residual"));
    json_decref(root);
    whet_free_text(ctx, report);
    return made;
}

/* The file's x through the layer is its out. */
static void check_outputs(const golden *g, const whet_i_adapter_layer *l, double tolerance) {
    whet_tensor xs, outs;
    double *x = values(g, "x", &xs), *out = values(g, "out", &outs), *m;
    test_ok(g->ctx, whet_i_layer_matrix(g->ctx, l, &m));
    for (int64_t t = 0; t < xs.shape[0]; t++)
        for (int64_t o = 0; o < outs.shape[1]; o++) {
            double sum = 0, size = 1;
            for (int64_t i = 0; i < xs.shape[1]; i++) {
                sum += m[o * xs.shape[1] + i] * x[t * xs.shape[1] + i];
                size += fabs(m[o * xs.shape[1] + i] * x[t * xs.shape[1] + i]);
            }
            assert_true(fabs(sum - out[t * outs.shape[1] + o]) <= tolerance * size);
        }
    whet_i_free(g->ctx, x);
    whet_i_free(g->ctx, out);
    whet_i_free(g->ctx, m);
}

/* The factors of the LoRA are the reference's, rounded to f32. */
static void check_export(const golden *g) {
    whet_tensor w1, w2, a, b;
    double residual;
    assert_true(whet_safetensors_find(g->file, "blkdiag1", &w1));
    assert_true(whet_safetensors_find(g->file, "blkdiag2", &w2));
    double *la = values(g, "lora_A", &a), *lb = values(g, "lora_B", &b);
    whet_adapter *more = more_of(g->ctx, &w1, &w2, a.shape[1], b.shape[0]);
    whet_adapter *lora = converted(g->ctx, more, WHET_ADAPTER_FORM_LORA, 0, 0, &residual);
    const whet_i_adapter_layer *l = &lora->layers[0];
    assert_true(residual == 0);
    assert_int_equal(l->shape.rank, a.shape[0]);
    for (int64_t i = 0; i < a.shape[0] * a.shape[1]; i++)
        assert_true(((const float *)l->first.data)[i] == (float)la[i]);
    for (int64_t i = 0; i < b.shape[0] * b.shape[1]; i++)
        assert_true(((const float *)l->second.data)[i] == (float)lb[i]);
    check_outputs(g, l, 1e-5); /* factors rounded to f32 */
    check_outputs(g, &more->layers[0], 1e-10);
    whet_adapter_close(g->ctx, lora);
    whet_adapter_close(g->ctx, more);
    whet_i_free(g->ctx, la);
    whet_i_free(g->ctx, lb);
}

/* MoRe as a matrix is the reference's delta_W, with sizes that blocks do not divide. */
static void check_module(const golden *g) {
    whet_tensor w1, w2, t;
    double *matrix, residual;
    assert_true(whet_safetensors_find(g->file, "blkdiag1", &w1));
    assert_true(whet_safetensors_find(g->file, "blkdiag2", &w2));
    double *delta = values(g, "delta_W", &t);
    const int64_t n = t.shape[0] * t.shape[1];
    whet_adapter *more = more_of(g->ctx, &w1, &w2, t.shape[1], t.shape[0]);
    test_ok(g->ctx, whet_i_layer_matrix(g->ctx, &more->layers[0], &matrix));
    assert_true(farthest(matrix, delta, n) < 1e-10);
    whet_adapter *lora = converted(g->ctx, more, WHET_ADAPTER_FORM_LORA, 0, 0, &residual);
    double *m = matrix_of(g->ctx, &lora->layers[0]);
    assert_true(farthest(m, delta, n) < 1e-5); /* factors of about 1, rounded to f32 */
    free(m);
    whet_i_free(g->ctx, matrix);
    whet_i_free(g->ctx, delta);
    whet_adapter_close(g->ctx, lora);
    whet_adapter_close(g->ctx, more);
}

static void exports_are_the_reference_s(void **state) {
    (void)state;
    const int64_t exports = each_golden("lora_export", check_export);
    test_need_some(exports + each_golden("module_", check_module), "exports");
}

/* ---- there and back --------------------------------------------------------------------------- */

static whet_adapter *lora_of(whet_ctx *ctx, tensors *t, int64_t in, int64_t out, int64_t rank) {
    char config[256];
    whet_adapter *a;
    (void)add(t, PEFT "m.lora_A.weight", rank, in, 0);
    (void)add(t, PEFT "m.lora_B.weight", out, rank, 0);
    (void)snprintf(config, sizeof config, "\"peft_type\": \"LORA\", \"r\": %lld, \"lora_alpha\": 6",
                   (long long)rank);
    test_ok(ctx, whet_adapter_open(ctx, write_adapter("lora", config, t), &a));
    return a;
}

/* Sums of a few products of f32 numbers of about 3, whose scale was rounded into one side. */
static const double rounding = 2e-5;

static void nothing_is_lost_without_a_rank(void **state) {
    (void)state;
    static const int64_t cases[][4] = {/* in, out, R, N */
                                       {24, 16, 2, 4}, {16, 24, 3, 2}, {13, 29, 2, 4},
                                       {9, 9, 1, 8},   {10, 7, 2, 1},  {7, 10, 3, 7}};
    whet_ctx *ctx = test_ctx(3);
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        const int64_t *c = cases[i], n = c[0] * c[1];
        tensors t = {0};
        double residual;
        whet_adapter *lora = lora_of(ctx, &t, c[0], c[1], c[2]), *again;
        whet_adapter *more = converted(ctx, lora, WHET_ADAPTER_FORM_MORE, c[3], 0, &residual);
        assert_true(residual == 0);
        double *m = matrix_of(ctx, &lora->layers[0]), *as_more = matrix_of(ctx, &more->layers[0]);
        assert_true(farthest(m, as_more, n) < rounding);
        test_ok(ctx, whet_adapter_save(ctx, more, test_tmp("as-more"), true));
        test_ok(ctx, whet_adapter_open(ctx, test_tmp("as-more"), &again)); /* with its sizes */
        whet_adapter *back = converted(ctx, again, WHET_ADAPTER_FORM_LORA, 0, 0, &residual);
        double *as_lora = matrix_of(ctx, &back->layers[0]);
        assert_true(residual == 0 && farthest(as_lora, as_more, n) == 0);
        /* Its rank is R, whatever the form says. */
        whet_adapter *small = converted(ctx, back, WHET_ADAPTER_FORM_LORA, 0, c[2], &residual);
        double *smaller = matrix_of(ctx, &small->layers[0]);
        assert_true(residual < 1e-6 && farthest(smaller, m, n) < 10 * rounding);
        double *const all[] = {m, as_more, as_lora, smaller};
        for (int j = 0; j < 4; j++) free(all[j]);
        whet_adapter *const adapters[] = {lora, more, again, back, small};
        for (int j = 0; j < 5; j++) whet_adapter_close(ctx, adapters[j]);
        tensors_free(&t);
    }
    test_ctx_done(ctx);
}

/* The distance told is that of the matrices, and no block of it can be nearer: each block's dropped
 * squares are the small eigenvalues of its Gram matrix. */
static void what_is_lost_is_told(void **state) {
    (void)state;
    enum { IN = 12, OUT = 8, N = 2, P = IN / N, Q = OUT / N };
    whet_ctx *ctx = test_ctx(1);
    tensors t = {0};
    double residual, gram[Q * Q], roots[Q], dropped = 0, whole = 0;
    whet_adapter *lora = lora_of(ctx, &t, IN, OUT, 4);
    whet_adapter *more = converted(ctx, lora, WHET_ADAPTER_FORM_MORE, N, 2 * N, &residual);
    double *m = matrix_of(ctx, &lora->layers[0]), *got = matrix_of(ctx, &more->layers[0]);
    for (int l = 0; l < N; l++)
        for (int k = 0; k < N; k++) {
            for (int i = 0; i < Q; i++)
                for (int j = 0; j < Q; j++) {
                    gram[i * Q + j] = 0;
                    for (int c = 0; c < P; c++)
                        gram[i * Q + j] +=
                            m[(i * N + l) * IN + k * P + c] * m[(j * N + l) * IN + k * P + c];
                }
            test_ok(ctx, whet_i_eigh(ctx, Q, gram, roots));
            for (int i = 2; i < Q; i++) dropped += roots[i];
        }
    for (int i = 0; i < IN * OUT; i++) whole += m[i] * m[i];
    assert_true(fabs(residual - sqrt(dropped / whole)) < 1e-9);
    assert_true(fabs(residual - sqrt(distance(m, got, (int64_t)IN * OUT) / whole)) < 1e-6);
    assert_true(residual > 0.01);
    free(m);
    free(got);
    whet_adapter_close(ctx, more);
    whet_adapter_close(ctx, lora);
    tensors_free(&t);
    test_ctx_done(ctx);
}

/* B A of rank 6 as rank 3: no nearer than the singular values of B A itself say, and no farther. */
/* A layer that loses nothing counts, too: of squares 2500 and 1 + .25, the .25 is lost. */
static void what_is_lost_is_of_all_layers(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    tensors t = {0};
    double residual;
    whet_adapter *a;
    float *x = add(&t, PEFT "large.lora_A.weight", 1, 2, 0);
    float *y = add(&t, PEFT "large.lora_B.weight", 2, 1, 0);
    x[0] = 50, x[1] = 0, y[0] = 1, y[1] = 0;
    x = add(&t, PEFT "small.lora_A.weight", 2, 2, 0);
    y = add(&t, PEFT "small.lora_B.weight", 2, 2, 0);
    x[0] = x[3] = 1, x[1] = x[2] = 0;
    y[0] = 1, y[3] = .5F, y[1] = y[2] = 0;
    test_ok(ctx,
            whet_adapter_open(ctx,
                              write_adapter("of-all",
                                            "\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": "
                                            "2, \"rank_pattern\": {\"large\": 1}, "
                                            "\"alpha_pattern\": {\"large\": 1}",
                                            &t),
                              &a));
    whet_adapter *made = converted(ctx, a, WHET_ADAPTER_FORM_LORA, 0, 1, &residual);
    assert_true(fabs(residual - sqrt(.25 / (2500 + 1.25))) < 1e-12);
    whet_adapter_close(ctx, made);
    whet_adapter_close(ctx, a);
    tensors_free(&t);
    test_ctx_done(ctx);
}

static void low_ranks_are_the_nearest(void **state) {
    (void)state;
    enum { IN = 11, OUT = 7, R = 6, KEPT = 3 };
    whet_ctx *ctx = test_ctx(1);
    tensors t = {0};
    double residual, roots[OUT], all = 0, lost = 0;
    whet_adapter *lora = lora_of(ctx, &t, IN, OUT, R);
    whet_adapter *small = converted(ctx, lora, WHET_ADAPTER_FORM_LORA, 0, KEPT, &residual);
    double *m = matrix_of(ctx, &lora->layers[0]), *got = matrix_of(ctx, &small->layers[0]);
    const double between = distance(m, got, (int64_t)IN * OUT);
    test_ok(ctx, whet_i_svd(ctx, OUT, IN, m, roots, NULL, NULL));
    for (int i = 0; i < OUT; i++) {
        all += roots[i] * roots[i];
        if (i >= KEPT) lost += roots[i] * roots[i];
    }
    assert_true(fabs(residual - sqrt(lost / all)) < 1e-9);
    assert_true(fabs(sqrt(between / all) - residual) < 1e-6);
    free(m);
    free(got);
    whet_adapter_close(ctx, small);
    whet_adapter_close(ctx, lora);
    tensors_free(&t);
    test_ctx_done(ctx);
}

static void bits_do_not_depend_on_threads(void **state) {
    (void)state;
    static const int32_t threads[] = {1, 2, 5};
    tensors t = {0};
    float kept[4 * 8 * 6];
    for (int i = 0; i < 3; i++) {
        whet_ctx *ctx = test_ctx(threads[i]);
        double residual;
        t.n = 0;
        whet_adapter *lora = lora_of(ctx, &t, 24, 32, 5);
        whet_adapter *more = converted(ctx, lora, WHET_ADAPTER_FORM_MORE, 4, 8, &residual);
        const float *w1 = more->layers[0].first.data;
        if (i == 0) memcpy(kept, w1, sizeof kept);
        assert_memory_equal(kept, w1, sizeof kept);
        whet_adapter_close(ctx, more);
        whet_adapter_close(ctx, lora);
        tensors_free(&t);
        test_ctx_done(ctx);
    }
}

/* ---- what is refused -------------------------------------------------------------------------- */

static void refusals(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    tensors t = {0};
    whet_adapter_convert_opts opts = WHET_ADAPTER_CONVERT_OPTS_INIT;
    whet_adapter *made = NULL, *dora;
    whet_adapter *lora = lora_of(ctx, &t, 12, 8, 2);
    opts.rank = 9;
    test_fails(ctx, whet_adapter_convert(ctx, lora, &opts, &made, NULL), WHET_ERR_ARG);
    test_says(ctx, "layer \"m\": rank 9; expected at most 8");
    opts.form = WHET_ADAPTER_FORM_MORE;
    opts.blocks = -1;
    test_fails(ctx, whet_adapter_convert(ctx, lora, &opts, &made, NULL), WHET_ERR_ARG);
    (void)add(&t, PEFT "m.lora_magnitude_vector", 8, 0, 0);
    test_ok(ctx,
            whet_adapter_open(
                ctx,
                write_adapter("dora", "\"peft_type\": \"LORA\", \"r\": 2, \"use_dora\": true", &t),
                &dora));
    test_fails(ctx, whet_adapter_convert(ctx, dora, NULL, &made, NULL), WHET_ERR_UNSUPPORTED);
    assert_null(made);
    whet_adapter_close(ctx, dora);
    whet_adapter_close(ctx, lora);
    tensors_free(&t);
    test_ctx_done(ctx);
}

static whet_status convert(whet_ctx *ctx, void *arg) {
    whet_adapter_convert_opts opts = WHET_ADAPTER_CONVERT_OPTS_INIT;
    whet_adapter *a = NULL, *made = NULL, *small = NULL;
    char *report = NULL;
    opts.form = WHET_ADAPTER_FORM_MORE;
    opts.rank = 4;
    whet_status status = whet_adapter_open(ctx, arg, &a);
    if (status == WHET_OK) status = whet_adapter_convert(ctx, a, &opts, &made, &report);
    opts.form = WHET_ADAPTER_FORM_LORA;
    opts.rank = 1;
    if (status == WHET_OK) status = whet_adapter_convert(ctx, made, &opts, &small, NULL);
    whet_free_text(ctx, report);
    whet_adapter_close(ctx, small);
    whet_adapter_close(ctx, made);
    whet_adapter_close(ctx, a);
    return status;
}

static void each_allocation(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    tensors t = {0};
    whet_adapter_close(ctx, lora_of(ctx, &t, 8, 8, 2));
    test_ctx_done(ctx);
    char *dir = strdup(test_tmp("lora"));
    assert_true(test_each_allocation(convert, dir) > 50);
    free(dir);
    tensors_free(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_the_reference_s),
        cmocka_unit_test(permuted_blocks_are_the_reference_s),
        cmocka_unit_test(projections_are_the_reference_s),
        cmocka_unit_test(exports_are_the_reference_s),
        cmocka_unit_test(nothing_is_lost_without_a_rank),
        cmocka_unit_test(what_is_lost_is_told),
        cmocka_unit_test(what_is_lost_is_of_all_layers),
        cmocka_unit_test(low_ranks_are_the_nearest),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(refusals),
        cmocka_unit_test(each_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
