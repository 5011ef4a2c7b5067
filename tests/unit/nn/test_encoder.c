/* SPDX-License-Identifier: Apache-2.0
 * The encoder against torch (tests/golden/bert_tiny), against a plain forward pass in f64 written
 * here, and against its own promises. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/nn_i.h"

/* Unit vectors of some 50 numbers, after at most 2 layers of f32 sums of at most 100 products: a
 * number is off by about 1e-6; 2e-5 is over ten times that and far below any real difference. */
#define F32_BOUND 2e-5
/* Weights of bfloat16 (relative 2^-9 each, independent), where the processor rounds activations
 * too: measured 0.02 on random weights; a wrong product gives about 1. */
#define BF16_BOUND 0.1

static const char *golden(const char *folder) {
    static char path[512];
    (void)snprintf(path, sizeof path, "tests/golden/bert_tiny/%s", folder);
    return test_source(path);
}

/* Copies, so that they are aligned whatever the file's header. */
static whet_tensor read_golden(whet_ctx *ctx, const char *folder, const char *name) {
    char path[1024];
    whet_safetensors *file = NULL;
    whet_tensor view = {0}, copy = {0};
    (void)snprintf(path, sizeof path, "%s/expected.safetensors", golden(folder));
    test_ok(ctx, whet_safetensors_open(ctx, path, &file));
    assert_true(whet_safetensors_find(file, name, &view));
    test_ok(ctx, whet_tensor_convert(ctx, &view, view.dtype, &copy));
    whet_safetensors_close(ctx, file);
    return copy;
}

static void compare(const float *got, const float *expected, int64_t n, double bound) {
    for (int64_t i = 0; i < n; i++) {
        if (fabs((double)got[i] - (double)expected[i]) <= bound) continue;
        print_error("number %lld is %g; expected %g\n", (long long)i, (double)got[i],
                    (double)expected[i]);
        fail();
    }
}

/* ---- torch ------------------------------------------------------------------------------------ */

static void check_golden(const char *folder, whet_dtype dtype, const char *kernels, double bound) {
    whet_ctx *ctx = test_ctx(2);
    test_ok(ctx, whet_kernels_select(ctx, kernels));
    whet_encoder_opts opts = WHET_ENCODER_OPTS_INIT;
    opts.dtype = dtype;
    whet_encoder *e = NULL;
    test_ok(ctx, whet_encoder_load(ctx, golden(folder), &opts, &e));
    whet_tensor ids = read_golden(ctx, folder, "ids");
    whet_tensor start = read_golden(ctx, folder, "start");
    whet_tensor expected = read_golden(ctx, folder, "expected");
    const whet_token_rows rows = {start.shape[0] - 1, start.data, ids.data, NULL};
    assert_int_equal(expected.shape[0], rows.n_rows);
    assert_int_equal(expected.shape[1], whet_encoder_dim(e));
    float *out = malloc(sizeof *out * (size_t)whet_tensor_count(&expected));
    test_ok(ctx, whet_i_encoder_forward(ctx, e, &rows, out));
    compare(out, expected.data, whet_tensor_count(&expected), bound);
    free(out);
    whet_tensor_destroy(ctx, &ids);
    whet_tensor_destroy(ctx, &start);
    whet_tensor_destroy(ctx, &expected);
    whet_encoder_destroy(ctx, e);
    test_ctx_done(ctx);
}

static void token_rows_are_embedded_as_torch_does(void **state) {
    (void)state;
    for (const whet_kernels *const *t = whet_i_kernels_all(); *t; t++) {
        if (!(*t)->supported()) continue;
        check_golden("even", WHET_F32, (*t)->name, F32_BOUND);
        check_golden("odd", WHET_F32, (*t)->name, F32_BOUND);
        check_golden("even", WHET_BF16, (*t)->name, BF16_BOUND);
        /* The weights of `odd` are bfloat16 in the file: nothing is lost. */
        check_golden("odd", WHET_BF16, (*t)->name, (*t)->bf16_products ? BF16_BOUND : F32_BOUND);
    }
}

/* Lines of a file beside the models; the bytes live as long as `bytes`. */
static int64_t read_texts(const char *name, char *bytes, size_t size, whet_str *texts) {
    FILE *file = fopen(golden(name), "rb");
    assert_non_null(file);
    const size_t len = fread(bytes, 1, size, file);
    assert_int_equal(fclose(file), 0);
    int64_t n = 0;
    for (size_t at = 0; at < len; n++) {
        const char *end = memchr(bytes + at, '\n', len - at);
        texts[n] = (whet_str){bytes + at, end - bytes - (int64_t)at};
        at = (size_t)(end - bytes) + 1;
    }
    return n;
}

static void texts_are_embedded_as_torch_does(void **state) {
    (void)state;
    static const char *const folders[] = {"even", "odd"};
    char bytes[4096];
    whet_str texts[64];
    const int64_t n = read_texts("texts.txt", bytes, sizeof bytes, texts);
    for (int i = 0; i < 2; i++) {
        whet_ctx *ctx = test_ctx(1);
        whet_encoder *e = NULL;
        test_ok(ctx, whet_encoder_load(ctx, golden(folders[i]), NULL, &e));
        whet_tensor expected = read_golden(ctx, folders[i], "expected");
        assert_int_equal(expected.shape[0], n);
        float out[64 * 60];
        test_ok(ctx, whet_encoder_embed(ctx, e, texts, n, out));
        compare(out, expected.data, whet_tensor_count(&expected), F32_BOUND);
        test_ok(ctx, whet_encoder_embed(ctx, e, NULL, 0, out));
        whet_tensor_destroy(ctx, &expected);
        whet_encoder_destroy(ctx, e);
        test_ctx_done(ctx);
    }
}

/* Folders as transformers saves them, SentencePiece's tokenizer and all. */
static void encoders_with_sentencepiece_are_as_transformers_has_them(void **state) {
    (void)state;
    static const char *const folders[] = {"../xlmr_tiny/xlm-roberta", "../xlmr_tiny/camembert",
                                          "../xlmr_tiny/bert"};
    char bytes[4096];
    whet_str texts[64];
    const int64_t n = read_texts("../xlmr_tiny/texts.txt", bytes, sizeof bytes, texts);
    for (int i = 0; i < WHET_COUNT_OF(folders); i++) {
        whet_ctx *ctx = test_ctx(1);
        whet_encoder *e = NULL;
        test_ok(ctx, whet_encoder_load(ctx, golden(folders[i]), NULL, &e));
        assert_true(i > 0 || e->files.n > 2);
        whet_tensor expected = read_golden(ctx, folders[i], "expected");
        assert_int_equal(expected.shape[0], n);
        float out[64 * 16];
        test_ok(ctx, whet_encoder_embed(ctx, e, texts, n, out));
        compare(out, expected.data, whet_tensor_count(&expected), F32_BOUND);
        whet_tensor_destroy(ctx, &expected);
        whet_encoder_destroy(ctx, e);
        test_ctx_done(ctx);
    }
}

/* What products may leave out, 3.1 x 2^-16 of each (whet_i_linear), grows by no more than the four
 * products of each of two layers; where f32 is not cut into parts nothing is left out. */
static void coarse_embeddings_are_near(void **state) {
    (void)state;
    static const double bound = 8 * 3.1 * 0x1p-16;
    char bytes[4096];
    whet_str texts[64];
    const int64_t n = read_texts("texts.txt", bytes, sizeof bytes, texts);
    for (const whet_kernels *const *t = whet_i_kernels_all(); *t; t++) {
        float out[2][64 * 60] = {{0}};
        int64_t d = 0;
        for (int coarse = 0; coarse < 2 && (*t)->supported(); coarse++) {
            whet_ctx *ctx = test_ctx(1);
            whet_encoder_opts opts = WHET_ENCODER_OPTS_INIT;
            whet_encoder *e = NULL;
            opts.coarse = coarse;
            test_ok(ctx, whet_kernels_select(ctx, (*t)->name));
            test_ok(ctx, whet_encoder_load(ctx, golden("even"), &opts, &e));
            d = whet_encoder_dim(e);
            test_ok(ctx, whet_encoder_embed(ctx, e, texts, n, out[coarse]));
            whet_encoder_destroy(ctx, e);
            test_ctx_done(ctx);
        }
        const bool cuts = (*t)->supported() && strcmp((*t)->name, "amx") == 0;
        compare(out[1], out[0], n * d, cuts ? bound : 0);
    }
}

/* all-MiniLM-L6-v2, where WHET_TEST_MODEL names its folder (tests/golden/minilm). */
static void a_real_model_is_embedded_as_torch_does(void **state) {
    (void)state;
    const char *folder = getenv("WHET_TEST_MODEL");
    if (!folder) {
        print_message("[   NOTE   ] WHET_TEST_MODEL names no model; skipped\n");
        skip();
    }
    enum { DIM = 384, BYTES = 16384 };
    char *bytes = malloc(BYTES);
    whet_str texts[64];
    const int64_t n = read_texts("../minilm/texts.txt", bytes, BYTES, texts);
    float *out = malloc(sizeof *out * (size_t)n * DIM);
    for (int form = 0; form < 3; form++) {
        const bool half = form == 1;
        whet_ctx *ctx = test_ctx(2);
        whet_encoder_opts opts = WHET_ENCODER_OPTS_INIT;
        opts.dtype = half ? WHET_BF16 : WHET_F32;
        opts.coarse = form == 2;
        whet_encoder *e = NULL;
        test_ok(ctx, whet_encoder_load(ctx, folder, &opts, &e));
        whet_tensor expected = read_golden(ctx, "../minilm", "expected");
        assert_int_equal(expected.shape[0], n);
        assert_int_equal(whet_encoder_dim(e), DIM);
        test_ok(ctx, whet_encoder_embed(ctx, e, texts, n, out));
        for (int64_t i = 0; i < n; i++) {
            double cosine = 0; /* both are unit vectors */
            for (int64_t j = i * DIM; j < (i + 1) * DIM; j++)
                cosine += (double)out[j] * (double)((float *)expected.data)[j];
            assert_true(cosine > (half ? 0.999 : 0.99999));
        }
        whet_tensor_destroy(ctx, &expected);
        whet_encoder_destroy(ctx, e);
        test_ctx_done(ctx);
    }
    free(out);
    free(bytes);
}

/* ---- a plain forward pass in f64 --------------------------------------------------------------- */

typedef struct model {
    int hidden, layers, heads, inner, vocab, positions;
    const char *activation, *prefix;
    whet_dtype dtype;
    const char *dir;
    whet_safetensors *file;
} model;

/* "m.0": tensors are random, made from their names. */
static void add_tensor(whet_ctx *ctx, const model *m, whet_named_tensor *items, int *n,
                       const char *name, int64_t rows, int64_t columns) {
    char *full = malloc(160);
    whet_tensor wide = {0};
    whet_i_rng rng;
    (void)snprintf(full, 160, "%s%s", m->prefix, name);
    whet_i_rng_init(&rng, whet_i_hash_bytes(name, (int64_t)strlen(name)), 0);
    test_ok(ctx,
            whet_tensor_create(ctx, WHET_F32, columns ? 2 : 1, (int64_t[]){rows, columns}, &wide));
    const bool gamma = !columns && strstr(name, "LayerNorm.weight");
    for (int64_t i = 0; i < whet_tensor_count(&wide); i++)
        ((float *)wide.data)[i] = (float)(gamma + 0.2 * whet_i_rng_normal(&rng));
    items[*n].name = full;
    test_ok(ctx, whet_tensor_convert(ctx, &wide, m->dtype, &items[*n].tensor));
    (*n)++;
    whet_tensor_destroy(ctx, &wide);
}

enum { TENSORS_MAX = 64 };

static int model_tensors(whet_ctx *ctx, const model *m, whet_named_tensor *items) {
    static const struct {
        const char *name;
        char rows, columns; /* h hidden, i inner, - none */
    } layer[] = {
        {"attention.self.query.weight", 'h', 'h'},
        {"attention.self.query.bias", 'h', '-'},
        {"attention.self.key.weight", 'h', 'h'},
        {"attention.self.key.bias", 'h', '-'},
        {"attention.self.value.weight", 'h', 'h'},
        {"attention.self.value.bias", 'h', '-'},
        {"attention.output.dense.weight", 'h', 'h'},
        {"attention.output.dense.bias", 'h', '-'},
        {"attention.output.LayerNorm.weight", 'h', '-'},
        {"attention.output.LayerNorm.bias", 'h', '-'},
        {"intermediate.dense.weight", 'i', 'h'},
        {"intermediate.dense.bias", 'i', '-'},
        {"output.dense.weight", 'h', 'i'},
        {"output.dense.bias", 'h', '-'},
        {"output.LayerNorm.weight", 'h', '-'},
        {"output.LayerNorm.bias", 'h', '-'},
    };
    int n = 0;
    add_tensor(ctx, m, items, &n, "embeddings.word_embeddings.weight", m->vocab, m->hidden);
    add_tensor(ctx, m, items, &n, "embeddings.position_embeddings.weight", m->positions, m->hidden);
    add_tensor(ctx, m, items, &n, "embeddings.token_type_embeddings.weight", 2, m->hidden);
    add_tensor(ctx, m, items, &n, "embeddings.LayerNorm.weight", m->hidden, 0);
    add_tensor(ctx, m, items, &n, "embeddings.LayerNorm.bias", m->hidden, 0);
    for (int l = 0; l < m->layers; l++) {
        for (int64_t i = 0; i < WHET_COUNT_OF(layer); i++) {
            char name[120];
            (void)snprintf(name, sizeof name, "encoder.layer.%d.%s", l, layer[i].name);
            add_tensor(ctx, m, items, &n, name, layer[i].rows == 'h' ? m->hidden : m->inner,
                       layer[i].columns == 'h' ? m->hidden
                                               : (layer[i].columns == 'i' ? m->inner : 0));
        }
    }
    add_tensor(ctx, m, items, &n, "pooler.dense.weight", m->hidden, m->hidden);
    return n;
}

/* A tokenizer of as many tokens as `vocab` says. */
static void write_tokenizer(const char *dir, int vocab) {
    char path[512];
    (void)snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    (void)fprintf(f, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,"
                     "\"added_tokens\":[],\"normalizer\":{\"type\":\"BertNormalizer\","
                     "\"clean_text\":true,\"handle_chinese_chars\":true,\"strip_accents\":null,"
                     "\"lowercase\":true},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"
                     "\"post_processor\":null,\"decoder\":null,\"model\":{\"type\":\"WordPiece\","
                     "\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\","
                     "\"max_input_chars_per_word\":100,\"vocab\":{\"[UNK]\":0");
    for (int i = 1; i < vocab; i++) (void)fprintf(f, ",\"t%d\":%d", i, i);
    (void)fprintf(f, "}}}");
    assert_int_equal(fclose(f), 0);
}

static void write_in(const char *dir, const char *name, const char *text) {
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void write_config(const model *m, const char *extra) {
    char text[1024];
    (void)snprintf(text, sizeof text,
                   "{\"model_type\":\"bert\",\"hidden_size\":%d,\"num_hidden_layers\":%d,"
                   "\"num_attention_heads\":%d,\"intermediate_size\":%d,\"hidden_act\":\"%s\","
                   "\"layer_norm_eps\":1e-5,\"vocab_size\":%d,\"max_position_embeddings\":%d,"
                   "\"type_vocab_size\":2%s}",
                   m->hidden, m->layers, m->heads, m->inner, m->activation, m->vocab, m->positions,
                   extra);
    write_in(m->dir, "config.json", text);
}

static void write_model(whet_ctx *ctx, model *m, const char *name) {
    static char dirs[8][256];
    static int next;
    whet_named_tensor items[TENSORS_MAX] = {0};
    char path[300], command[320];
    m->dir = dirs[next % 8];
    (void)snprintf(dirs[next++ % 8], sizeof dirs[0], "%s", test_tmp(name));
    (void)snprintf(command, sizeof command, "mkdir -p '%s'", m->dir);
    assert_int_equal(system(command), 0);
    const int n = model_tensors(ctx, m, items);
    (void)snprintf(path, sizeof path, "%s/model.safetensors", m->dir);
    test_ok(ctx, whet_safetensors_write(ctx, path, true, items, n, NULL));
    for (int i = 0; i < n; i++) {
        whet_tensor_destroy(ctx, &items[i].tensor);
        free((void *)(uintptr_t)items[i].name);
    }
    write_config(m, "");
    write_tokenizer(m->dir, m->vocab);
}

static double *plain_tensor(whet_ctx *ctx, const model *m, const char *name) {
    char full[160];
    whet_tensor view = {0}, wide = {0};
    (void)snprintf(full, sizeof full, "%s%s", m->prefix, name);
    assert_true(whet_safetensors_find(m->file, full, &view));
    test_ok(ctx, whet_tensor_convert(ctx, &view, WHET_F64, &wide));
    const size_t bytes = sizeof(double) * (size_t)whet_tensor_count(&wide);
    double *copy = malloc(bytes);
    memcpy(copy, wide.data, bytes);
    whet_tensor_destroy(ctx, &wide);
    return copy;
}

static void plain_linear(whet_ctx *ctx, const model *m, const char *name, int rows, int n, int k,
                         const double *x, double *y) {
    char full[160];
    (void)snprintf(full, sizeof full, "%s.weight", name);
    double *w = plain_tensor(ctx, m, full);
    (void)snprintf(full, sizeof full, "%s.bias", name);
    double *b = plain_tensor(ctx, m, full);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < n; j++) {
            y[i * n + j] = b[j];
            for (int t = 0; t < k; t++) y[i * n + j] += x[i * k + t] * w[j * k + t];
        }
    free(w);
    free(b);
}

static void plain_norm(whet_ctx *ctx, const model *m, const char *name, int rows, double *x) {
    char full[160];
    const int n = m->hidden;
    (void)snprintf(full, sizeof full, "%s.weight", name);
    double *gamma = plain_tensor(ctx, m, full);
    (void)snprintf(full, sizeof full, "%s.bias", name);
    double *beta = plain_tensor(ctx, m, full);
    for (int i = 0; i < rows; i++, x += n) {
        double mean = 0, var = 0;
        for (int j = 0; j < n; j++) mean += x[j] / n;
        for (int j = 0; j < n; j++) var += (x[j] - mean) * (x[j] - mean) / n;
        for (int j = 0; j < n; j++) x[j] = (x[j] - mean) / sqrt(var + 1e-5) * gamma[j] + beta[j];
    }
    free(gamma);
    free(beta);
}

static void plain_attention(const model *m, int t, const double *q, const double *k,
                            const double *v, double *out) {
    const int h = m->hidden, d = h / m->heads;
    double *p = malloc(sizeof *p * (size_t)t);
    for (int at = 0; at < h; at += d)
        for (int i = 0; i < t; i++) {
            double sum = 0;
            for (int j = 0; j < t; j++) {
                double dot = 0;
                for (int c = at; c < at + d; c++) dot += q[i * h + c] * k[j * h + c];
                sum += p[j] = exp(dot / sqrt(d));
            }
            for (int c = at; c < at + d; c++) {
                out[i * h + c] = 0;
                for (int j = 0; j < t; j++) out[i * h + c] += p[j] / sum * v[j * h + c];
            }
        }
    free(p);
}

static double plain_act(const model *m, double x) {
    if (strcmp(m->activation, "relu") == 0) return x > 0 ? x : 0;
    if (strcmp(m->activation, "silu") == 0) return x / (1 + exp(-x));
    if (strcmp(m->activation, "gelu_new") == 0)
        return 0.5 * x * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
    return 0.5 * x * (1 + erf(x * sqrt(0.5)));
}

/* The mean of the last layer over t tokens, not normalised. */
static void plain_forward(whet_ctx *ctx, const model *m, const int32_t *ids, int t, double *out) {
    const int h = m->hidden, wide = m->inner > h ? m->inner : h;
    double *word = plain_tensor(ctx, m, "embeddings.word_embeddings.weight");
    double *position = plain_tensor(ctx, m, "embeddings.position_embeddings.weight");
    double *type = plain_tensor(ctx, m, "embeddings.token_type_embeddings.weight");
    double *b[6];
    for (int i = 0; i < 6; i++) b[i] = malloc(sizeof(double) * (size_t)(t * wide + 1));
    double *x = b[0], *y = b[5];
    for (int i = 0; i < t; i++)
        for (int j = 0; j < h; j++)
            x[i * h + j] = word[ids[i] * h + j] + position[i * h + j] + type[j];
    plain_norm(ctx, m, "embeddings.LayerNorm", t, x);
    for (int l = 0; l < m->layers; l++) {
        char name[7][120];
        static const char *const parts[] = {"attention.self.query",
                                            "attention.self.key",
                                            "attention.self.value",
                                            "attention.output.dense",
                                            "attention.output.LayerNorm",
                                            "intermediate.dense",
                                            "output.dense"};
        for (int i = 0; i < 7; i++)
            (void)snprintf(name[i], sizeof name[i], "encoder.layer.%d.%s", l, parts[i]);
        for (int i = 0; i < 3; i++) plain_linear(ctx, m, name[i], t, h, h, x, b[i + 1]);
        plain_attention(m, t, b[1], b[2], b[3], b[4]);
        plain_linear(ctx, m, name[3], t, h, h, b[4], y);
        for (int i = 0; i < t * h; i++) x[i] += y[i];
        plain_norm(ctx, m, name[4], t, x);
        plain_linear(ctx, m, name[5], t, m->inner, h, x, b[1]);
        for (int i = 0; i < t * m->inner; i++) b[1][i] = plain_act(m, b[1][i]);
        plain_linear(ctx, m, name[6], t, h, m->inner, b[1], y);
        for (int i = 0; i < t * h; i++) x[i] += y[i];
        (void)snprintf(name[0], sizeof name[0], "encoder.layer.%d.output.LayerNorm", l);
        plain_norm(ctx, m, name[0], t, x);
    }
    for (int j = 0; j < h; j++) {
        out[j] = 0;
        for (int i = 0; i < t; i++) out[j] += x[i * h + j] / t;
    }
    for (int i = 0; i < 6; i++) free(b[i]);
    free(word);
    free(position);
    free(type);
}

static void check_plain(model *m, const char *name) {
    whet_ctx *ctx = test_ctx(2);
    char path[300];
    write_model(ctx, m, name);
    (void)snprintf(path, sizeof path, "%s/model.safetensors", m->dir);
    test_ok(ctx, whet_safetensors_open(ctx, path, &m->file));
    whet_encoder_opts opts = WHET_ENCODER_OPTS_INIT;
    opts.no_normalize = true;
    whet_encoder *e = NULL;
    test_ok(ctx, whet_encoder_load(ctx, m->dir, &opts, &e));
    static const int lengths[] = {1, 2, 17, 30};
    int32_t ids[50];
    int64_t start[5] = {0};
    for (int i = 0; i < 50; i++) ids[i] = (i * 7 + 3) % m->vocab;
    for (int i = 0; i < 4; i++) start[i + 1] = start[i] + lengths[i];
    const whet_token_rows rows = {4, start, ids, NULL};
    float *out = malloc(sizeof *out * 4 * (size_t)m->hidden);
    double *expected = malloc(sizeof *expected * (size_t)m->hidden);
    test_ok(ctx, whet_i_encoder_forward(ctx, e, &rows, out));
    for (int i = 0; i < 4; i++) {
        plain_forward(ctx, m, ids + start[i], lengths[i], expected);
        /* Numbers are of size 1 here, not 1 / sqrt(h). */
        for (int j = 0; j < m->hidden; j++) {
            const double off = fabs((double)out[i * m->hidden + j] - expected[j]);
            if (off >= 10 * F32_BOUND)
                print_error("model %s, row %d, number %d: off by %g\n", name, i, j, off);
            assert_true(off < 10 * F32_BOUND);
        }
    }
    free(out);
    free(expected);
    whet_encoder_destroy(ctx, e);
    whet_safetensors_close(ctx, m->file);
    test_ctx_done(ctx);
}

static void shapes_and_types_agree_with_a_plain_forward_pass(void **state) {
    (void)state;
    model a = {24, 2, 3, 50, 20, 32, "gelu", "", WHET_F32, NULL, NULL};
    model b = {64, 1, 1, 16, 11, 30, "relu", "bert.", WHET_F16, NULL, NULL};
    model c = {70, 1, 10, 65, 9, 64, "silu", "", WHET_BF16, NULL, NULL};
    model d = {33, 3, 11, 129, 40, 31, "gelu_new", "", WHET_F32, NULL, NULL};
    check_plain(&a, "a");
    check_plain(&b, "b");
    check_plain(&c, "c");
    check_plain(&d, "d");
}

/* ---- promises --------------------------------------------------------------------------------- */

static void an_embedding_depends_on_its_text_alone(void **state) {
    (void)state;
    enum { ROWS = 40, H = 60 };
    static const int32_t threads[] = {1, 2, 5};
    static const int64_t batches[] = {0, 1, 20, 1000};
    int32_t ids[ROWS * 48];
    int64_t start[ROWS + 1] = {0};
    for (int i = 0; i < ROWS * 48; i++) ids[i] = (i * 31 + i / 7) % 73;
    for (int i = 0; i < ROWS; i++) start[i + 1] = start[i] + (i * 13) % 49;
    const whet_token_rows rows = {ROWS, start, ids, NULL};
    for (int dtype = 0; dtype < 2; dtype++) {
        float first[ROWS * H], out[ROWS * H], one[H];
        bool have = false;
        for (int t = 0; t < 3; t++)
            for (int b = 0; b < 4; b++) {
                whet_ctx *ctx = test_ctx(threads[t]);
                whet_encoder_opts opts = WHET_ENCODER_OPTS_INIT;
                opts.dtype = dtype ? WHET_BF16 : WHET_F32;
                opts.batch_tokens = batches[b];
                whet_encoder *e = NULL;
                test_ok(ctx, whet_encoder_load(ctx, golden("odd"), &opts, &e));
                test_ok(ctx, whet_i_encoder_forward(ctx, e, &rows, have ? out : first));
                if (have) assert_memory_equal(out, first, sizeof out);
                have = true;
                for (int i = 0; i < ROWS; i++) {
                    int64_t alone[2] = {0, start[i + 1] - start[i]};
                    const whet_token_rows row = {1, alone, ids + start[i], NULL};
                    test_ok(ctx, whet_i_encoder_forward(ctx, e, &row, one));
                    assert_memory_equal(one, first + i * H, sizeof one);
                }
                whet_encoder_destroy(ctx, e);
                test_ctx_done(ctx);
            }
    }
}

static void rows_are_unit_or_zero(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_encoder *e = NULL;
    test_ok(ctx, whet_encoder_load(ctx, golden("even"), NULL, &e));
    int32_t ids[] = {5, 6, 7};
    int64_t start[] = {0, 0, 3};
    const whet_token_rows rows = {2, start, ids, NULL};
    float out[64];
    test_ok(ctx, whet_i_encoder_forward(ctx, e, &rows, out));
    double norm = 0;
    for (int i = 0; i < 32; i++) {
        assert_true(out[i] == 0);
        norm += (double)out[32 + i] * (double)out[32 + i];
    }
    assert_true(fabs(norm - 1) < 1e-6);
    ids[1] = 73;
    test_fails(ctx, whet_i_encoder_forward(ctx, e, &rows, out), WHET_ERR_DATA);
    test_says(ctx, "row 1: token id 73; expected 0 to 72");
    int32_t many[50] = {0};
    int64_t span[] = {0, 41};
    const whet_token_rows over = {1, span, many, NULL};
    test_fails(ctx, whet_i_encoder_forward(ctx, e, &over, out), WHET_ERR_DATA);
    whet_encoder_destroy(ctx, e);
    test_ctx_done(ctx);
}

static void fingerprints_tell_encoders_apart(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_encoder_opts opts = WHET_ENCODER_OPTS_INIT;
    char seen[4][17];
    for (int i = 0; i < 4; i++) {
        whet_encoder *e = NULL;
        opts.no_normalize = i == 1;
        opts.batch_tokens = i == 3 ? 100 : 0;
        test_ok(ctx, whet_encoder_load(ctx, golden(i == 2 ? "odd" : "even"), &opts, &e));
        memcpy(seen[i], whet_encoder_fingerprint(e), sizeof seen[i]);
        assert_int_equal(strlen(seen[i]), 16);
        whet_encoder_destroy(ctx, e);
    }
    assert_string_not_equal(seen[0], seen[1]);
    assert_string_not_equal(seen[0], seen[2]);
    assert_string_equal(seen[0], seen[3]); /* slabs decide nothing */
    test_ctx_done(ctx);
}

/* ---- folders that are not right ---------------------------------------------------------------- */

static void refused(whet_ctx *ctx, const model *m, const whet_encoder_opts *opts,
                    whet_status status, const char *sentence) {
    whet_encoder *e = NULL;
    test_fails(ctx, whet_encoder_load(ctx, m->dir, opts, &e), status);
    test_says(ctx, sentence);
    assert_null(e);
}

static void folders_that_cannot_be_honoured_are_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    model m = {24, 1, 3, 50, 20, 32, "gelu", "", WHET_F32, NULL, NULL};
    write_model(ctx, &m, "refused");
    whet_encoder_opts opts = WHET_ENCODER_OPTS_INIT;
    opts.max_length = 33;
    refused(ctx, &m, &opts, WHET_ERR_ARG, "max_length is 33; expected 0 to 32");
    opts.max_length = 0;
    opts.dtype = WHET_F16;
    refused(ctx, &m, &opts, WHET_ERR_ARG, "dtype is f16; expected f32 or bf16");

    write_config(&m, ",\"position_embedding_type\":\"relative_key\"");
    refused(ctx, &m, NULL, WHET_ERR_UNSUPPORTED,
            "\"position_embedding_type\" is \"relative_key\"; expected \"absolute\"");
    write_config(&m, ",\"is_decoder\":true");
    refused(ctx, &m, NULL, WHET_ERR_UNSUPPORTED, "\"is_decoder\" is true");
    m.activation = "mish";
    write_config(&m, "");
    refused(ctx, &m, NULL, WHET_ERR_UNSUPPORTED, "\"hidden_act\" is \"mish\"; expected \"gelu\"");
    m.activation = "gelu";
    m.heads = 5;
    write_config(&m, "");
    refused(ctx, &m, NULL, WHET_ERR_FORMAT, "\"num_attention_heads\" is 5; expected a multiple");
    m.heads = 3;
    m.inner = 51;
    write_config(&m, "");
    refused(ctx, &m, NULL, WHET_ERR_SHAPE,
            "tensor \"encoder.layer.0.intermediate.dense.weight\" is [50, 24]; expected [51, 24]");
    m.inner = 50;
    m.layers = 2;
    write_config(&m, "");
    refused(ctx, &m, NULL, WHET_ERR_FORMAT,
            "tensor \"encoder.layer.1.attention.self.query.weight\" is missing");
    m.layers = 1;
    m.vocab = 19;
    write_config(&m, "");
    refused(ctx, &m, NULL, WHET_ERR_SHAPE, "tokenizer.json has 20 tokens; expected at most 19");
    m.hidden = 1 << 24;
    m.heads = 1;
    m.inner = 1 << 24;
    m.vocab = 20;
    write_config(&m, "");
    refused(ctx, &m, NULL, WHET_ERR_SHAPE, "is [20, 24]; expected [20, 16777216]");
    write_in(m.dir, "config.json", "{\"model_type\":\"llama\"}");
    refused(ctx, &m, NULL, WHET_ERR_UNSUPPORTED, "\"model_type\" is \"llama\"; expected \"bert\"");
    write_in(m.dir, "config.json", "[1");
    refused(ctx, &m, NULL, WHET_ERR_FORMAT, "config.json:1:");
    write_in(m.dir, "config.json", "3");
    refused(ctx, &m, NULL, WHET_ERR_FORMAT, "config.json:1:");
    test_ctx_done(ctx);
}

/* A layer that config.json does not count; not the pooler, which folders have or lack. */
static void tensors_that_are_not_read_are_told(void **state) {
    (void)state;
    char told[TEST_WARNING];
    whet_ctx *ctx = test_ctx_warned(told);
    model m = {24, 2, 3, 50, 20, 32, "gelu", "", WHET_F32, NULL, NULL};
    write_model(ctx, &m, "unread");
    whet_encoder *e = NULL;
    test_ok(ctx, whet_encoder_load(ctx, m.dir, NULL, &e));
    whet_encoder_destroy(ctx, e);
    assert_string_equal(told, "");
    m.layers = 1;
    write_config(&m, "");
    test_ok(ctx, whet_encoder_load(ctx, m.dir, NULL, &e));
    whet_encoder_destroy(ctx, e);
    assert_non_null(strstr(told, "model.safetensors: 16 of "));
    assert_non_null(strstr(told, "and are not read; the first is \"encoder.layer.1."));
    test_ctx_done(ctx);
}

static void sentence_transformers_files_are_honoured(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    model m = {24, 1, 3, 50, 20, 32, "gelu", "", WHET_F32, NULL, NULL};
    write_model(ctx, &m, "modules");
    write_in(m.dir, "sentence_bert_config.json", "{\"max_seq_length\": 9}");
    whet_encoder *e = NULL;
    test_ok(ctx, whet_encoder_load(ctx, m.dir, NULL, &e));
    assert_int_equal(e->config.max_length, 9);
    assert_int_equal(e->config.pooling, WHET_POOL_MEAN);
    whet_encoder_destroy(ctx, e);

    char command[320];
    (void)snprintf(command, sizeof command, "mkdir -p '%s/1_Pooling'", m.dir);
    assert_int_equal(system(command), 0);
    write_in(m.dir, "1_Pooling/config.json", "{\"pooling_mode_max_tokens\": true}");
    refused(ctx, &m, NULL, WHET_ERR_UNSUPPORTED, "\"pooling_mode_max_tokens\" is true");
    whet_encoder_opts opts = WHET_ENCODER_OPTS_INIT;
    opts.pooling_given = true;
    opts.pooling = WHET_POOL_CLS;
    e = NULL;
    test_ok(ctx, whet_encoder_load(ctx, m.dir, &opts, &e));
    assert_int_equal(e->config.pooling, WHET_POOL_CLS);
    whet_encoder_destroy(ctx, e);
    write_in(m.dir, "modules.json",
             "[{\"type\": \"sentence_transformers.models.Transformer\"},"
             "{\"type\": \"sentence_transformers.models.Dense\"}]");
    refused(ctx, &m, &opts, WHET_ERR_UNSUPPORTED,
            "module 1 is \"sentence_transformers.models.Dense\"");
    test_ctx_done(ctx);
}

static whet_status load_and_embed(whet_ctx *ctx, void *arg) {
    (void)arg;
    whet_encoder *e = NULL;
    float out[2 * 60];
    const whet_str texts[] = {whet_str_from("a good video"), whet_str_from("bad")};
    whet_status status = whet_encoder_load(ctx, golden("odd"), NULL, &e);
    if (status == WHET_OK) status = whet_encoder_embed(ctx, e, texts, 2, out);
    whet_encoder_destroy(ctx, e);
    return status;
}

static void failed_allocations_leak_nothing(void **state) {
    (void)state;
    assert_true(test_each_allocation(load_and_embed, NULL) > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_rows_are_embedded_as_torch_does),
        cmocka_unit_test(texts_are_embedded_as_torch_does),
        cmocka_unit_test(encoders_with_sentencepiece_are_as_transformers_has_them),
        cmocka_unit_test(coarse_embeddings_are_near),
        cmocka_unit_test(a_real_model_is_embedded_as_torch_does),
        cmocka_unit_test(shapes_and_types_agree_with_a_plain_forward_pass),
        cmocka_unit_test(an_embedding_depends_on_its_text_alone),
        cmocka_unit_test(rows_are_unit_or_zero),
        cmocka_unit_test(fingerprints_tell_encoders_apart),
        cmocka_unit_test(folders_that_cannot_be_honoured_are_refused),
        cmocka_unit_test(tensors_that_are_not_read_are_told),
        cmocka_unit_test(sentence_transformers_files_are_honoured),
        cmocka_unit_test(failed_allocations_leak_nothing),
    };
    return cmocka_run_group_tests_name("nn/encoder", tests, NULL, NULL);
}
