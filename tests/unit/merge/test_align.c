/* SPDX-License-Identifier: Apache-2.0
 * Weight matching against the golden vectors (planted permutations, an independent descent in f64 with its
 * trace, transformers), its properties, and what is refused. */
#include "support.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "merge/align_i.h"

/* ---- networks of golden files -------------------------------------------------------------------- */

typedef struct network {
    whet_named_tensor *items;
    whet_weights weights;
} network;

/* The tensors whose names begin so, which the names then lack. */
static network take_network(const whet_safetensors *file, const char *prefix) {
    network net = {calloc((size_t)whet_safetensors_count(file), sizeof *net.items), {NULL, 0}};
    const size_t skip = strlen(prefix);
    for (int64_t i = 0; i < whet_safetensors_count(file); i++) {
        const char *name = whet_safetensors_name(file, i).ptr;
        if (strncmp(name, prefix, skip) != 0) continue;
        net.items[net.weights.n].name = name + skip;
        assert_true(whet_safetensors_find(file, name, &net.items[net.weights.n].tensor));
        net.weights.n++;
    }
    net.weights.items = net.items;
    return net;
}

static whet_permutation_spec *parse(whet_ctx *ctx, const char *text) {
    whet_permutation_spec *spec;
    test_ok(ctx, whet_i_spec_parse(ctx, "spec", text, (int64_t)strlen(text), &spec));
    return spec;
}

/* "axes_to_perm" and "visiting_order_fixed" of index.json as a specification. */
static whet_permutation_spec *spec_of_case(whet_ctx *ctx, const json_t *c) {
    json_t *groups = json_object(), *order = json_object_get(c, "visiting_order_fixed");
    for (size_t i = 0; i < json_array_size(order); i++)
        json_object_set_new(groups, json_string_value(json_array_get(order, i)), json_object());
    json_t *document =
        json_pack("{s:s, s:i, s:o, s:O}", "format", "whet-permutations", "version", 1, "groups",
                  groups, "tensors", json_object_get(c, "axes_to_perm"));
    char *text = json_dumps(document, 0);
    whet_permutation_spec *spec = parse(ctx, text);
    free(text);
    json_decref(document);
    return spec;
}

static whet_safetensors *open_golden(whet_ctx *ctx, const char *folder, const char *name) {
    char path[256];
    whet_safetensors *file;
    (void)snprintf(path, sizeof path, "golden/market/%s/%s", folder, name);
    test_ok(ctx, whet_safetensors_open(ctx, test_shared(path), &file));
    return file;
}

/* Whether the permutations are those of "<prefix>/<group>", int32. */
static bool same_orders(const whet_safetensors *file, const char *prefix,
                        const whet_permutation_spec *spec, const whet_alignment *alignment) {
    for (int64_t g = 0; g < whet_permutation_spec_groups(spec); g++) {
        char name[128];
        whet_tensor t;
        int64_t n;
        const int64_t *order = whet_alignment_order(alignment, g, 0, &n);
        (void)snprintf(name, sizeof name, "%s/%s", prefix, whet_permutation_spec_group(spec, g));
        assert_true(whet_safetensors_find(file, name, &t));
        assert_int_equal(t.shape[0], n);
        for (int64_t i = 0; i < n; i++)
            if (((const int32_t *)t.data)[i] != order[i]) return false;
    }
    return true;
}

static double number_of(const json_t *c, const char *key) {
    return json_number_value(json_object_get(c, key));
}

/* The objective of each visit, as the independent descent in f64 has it. Sums of up to 10^5 products in
 * another order: 1e-9 of their size is ample. */
static void check_trace(const json_t *c, const whet_permutation_spec *spec,
                        const whet_alignment *alignment) {
    const json_t *trace = json_object_get(c, "bcd64_trace");
    int64_t n;
    const whet_align_visit *v = whet_alignment_visits(alignment, &n);
    assert_int_equal(n, json_array_size(trace));
    for (int64_t i = 0; i < n; i++) {
        const json_t *t = json_array_get(trace, (size_t)i);
        assert_int_equal(v[i].sweep, json_integer_value(json_object_get(t, "iter")));
        assert_string_equal(whet_permutation_spec_group(spec, v[i].group),
                            json_string_value(json_object_get(t, "perm")));
        const double size = 1 + fabs(number_of(t, "new"));
        assert_true(fabs(v[i].before - number_of(t, "old")) < 1e-9 * size);
        assert_true(fabs(v[i].after - number_of(t, "new")) < 1e-9 * size);
    }
}

static void golden_case(whet_ctx *ctx, const json_t *c) {
    whet_safetensors *file = open_golden(ctx, "wm", json_string_value(json_object_get(c, "file")));
    whet_permutation_spec *spec = spec_of_case(ctx, c);
    network a = take_network(file, "A/"), b = take_network(file, "B/");
    whet_alignment *alignment;
    double before, after;
    test_ok(ctx, whet_align_weights(ctx, spec, &a.weights, &b.weights, NULL, &alignment));
    const double wanted = number_of(c, "objective_bcd64_fixed_order");
    const double got = whet_alignment_objective(alignment);
    assert_true(fabs(got - wanted) <= 1e-9 * fabs(wanted));
    assert_true(fabs(whet_alignment_identity(alignment) - number_of(c, "objective_identity")) <=
                1e-9 * (1 + fabs(wanted)));
    whet_alignment_distance(alignment, &before, &after);
    assert_true(fabs(sqrt(before) - number_of(c, "l2_identity")) < 1e-6);
    assert_true(fabs(sqrt(after) - number_of(c, "l2_bcd64")) < 1e-6);
    assert_true(same_orders(file, "perm_bcd64", spec, alignment));
    if (json_is_true(json_object_get(c, "bcd64_recovers")))
        assert_true(same_orders(file, "perm_true", spec, alignment));
    check_trace(c, spec, alignment);
    whet_alignment_destroy(ctx, alignment);
    free(a.items);
    free(b.items);
    whet_permutation_spec_destroy(ctx, spec);
    whet_safetensors_close(ctx, file);
}

static void golden_descents(void **state) {
    (void)state;
    test_need_shared("golden/market/wm/index.json");
    whet_ctx *ctx = test_ctx(1);
    json_t *index = json_load_file(test_shared("golden/market/wm/index.json"), 0, NULL);
    const json_t *cases = json_object_get(index, "cases");
    int64_t run = 0;
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        if (!json_is_true(json_object_get(c, "params_stored"))) continue;
        golden_case(ctx, c);
        run++;
    }
    json_decref(index);
    test_need_some(run, "networks to align");
    test_ctx_done(ctx);
}

/* ---- transformers ----------------------------------------------------------------------------------- */

static void add_tensor(json_t *tensors, const char *name, const char *rows, const char *columns) {
    json_t *axes = json_array();
    json_array_append_new(axes, *rows ? json_string(rows) : json_null());
    if (columns) json_array_append_new(axes, *columns ? json_string(columns) : json_null());
    json_object_set_new(tensors, name, axes);
}

static whet_permutation_spec *finish_spec(whet_ctx *ctx, json_t *groups, json_t *tensors) {
    json_t *document = json_pack("{s:s, s:i, s:o, s:o}", "format", "whet-permutations", "version",
                                 1, "groups", groups, "tensors", tensors);
    char *text = json_dumps(document, 0);
    whet_permutation_spec *spec = parse(ctx, text);
    free(text);
    json_decref(document);
    return spec;
}

static whet_permutation_spec *golden_llama(whet_ctx *ctx) {
    json_t *groups = json_pack("{s:{}}", "stream"), *tensors = json_object();
    add_tensor(tensors, "embed.weight", "", "stream");
    add_tensor(tensors, "norm.weight", "stream", NULL);
    add_tensor(tensors, "lm_head.weight", "", "stream");
    for (int i = 0; i < 2; i++) {
        static const char *const rows[][3] = {
            {"q", "h%d.query", "stream"}, {"k", "h%d.key", "stream"}, {"v", "h%d.value", "stream"},
            {"o", "stream", "h%d.mixed"}, {"ln1", "stream", NULL},    {"ln2", "stream", NULL},
            {"gate", "ff%d", "stream"},   {"up", "ff%d", "stream"},   {"down", "stream", "ff%d"}};
        char name[64], row[64], column[64];
        (void)snprintf(name, sizeof name, "h%d", i);
        json_object_set_new(
            groups, name, json_pack("{s:i, s:i, s:i}", "heads", 4, "kv_heads", 2, "head_size", 6));
        (void)snprintf(name, sizeof name, "ff%d", i);
        json_object_set_new(groups, name, json_object());
        for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
            (void)snprintf(name, sizeof name, "layers.%d.%s.weight", i, rows[k][0]);
            (void)snprintf(row, sizeof row, strchr(rows[k][1], '%') ? "%.*s%d%s" : "%.*s",
                           (int)strcspn(rows[k][1], "%"), rows[k][1], i,
                           strchr(rows[k][1], '%') ? strchr(rows[k][1], '%') + 2 : "");
            if (rows[k][2])
                (void)snprintf(column, sizeof column, strchr(rows[k][2], '%') ? "%.*s%d%s" : "%.*s",
                               (int)strcspn(rows[k][2], "%"), rows[k][2], i,
                               strchr(rows[k][2], '%') ? strchr(rows[k][2], '%') + 2 : "");
            add_tensor(tensors, name, row, rows[k][2] ? column : NULL);
        }
    }
    return finish_spec(ctx, groups, tensors);
}

/* B aligned is A to the bit: what was planted is found, all of it. */
static void check_recovered(whet_ctx *ctx, const whet_permutation_spec *spec, const network *a,
                            const network *b, int64_t keep) {
    whet_alignment *alignment;
    whet_named_tensor out[128];
    whet_align_opts opts = WHET_ALIGN_OPTS_INIT;
    opts.restarts = 8;
    opts.keep = keep;
    assert_true(b->weights.n <= 128);
    test_ok(ctx, whet_align_weights(ctx, spec, &a->weights, &b->weights, &opts, &alignment));
    test_ok(ctx, whet_alignment_apply(ctx, spec, alignment, &b->weights, out));
    for (int64_t i = 0; i < b->weights.n; i++) {
        const whet_tensor *t = &out[i].tensor;
        for (int64_t k = 0; k < a->weights.n; k++)
            if (strcmp(a->items[k].name, out[i].name) == 0)
                assert_memory_equal(t->data, a->items[k].tensor.data,
                                    (size_t)whet_tensor_count(t) * whet_dtype_size(t->dtype));
        whet_tensor_destroy(ctx, &out[i].tensor);
    }
    whet_alignment_destroy(ctx, alignment);
}

static void golden_llama_is_recovered(void **state) {
    (void)state;
    test_need_shared("golden/market/tf/llama_planted.safetensors");
    whet_ctx *ctx = test_ctx(1);
    whet_safetensors *file = open_golden(ctx, "tf", "llama_planted.safetensors");
    network a = take_network(file, "A/"), b = take_network(file, "B/");
    whet_permutation_spec *spec = golden_llama(ctx);
    check_recovered(ctx, spec, &a, &b, 1 << 30);
    check_recovered(ctx, spec, &b, &a, 0);
    whet_permutation_spec_destroy(ctx, spec);
    free(a.items);
    free(b.items);
    whet_safetensors_close(ctx, file);
    test_ctx_done(ctx);
}

static whet_permutation_spec *golden_bert(whet_ctx *ctx) {
    static const char *const rows[][3] = {
        {"q", "h%d.query", "stream"}, {"k", "h%d.key", "stream"}, {"v", "h%d.value", "stream"},
        {"o", "stream", "h%d.mixed"}, {"ln1", "stream", ""},      {"ln2", "stream", ""},
        {"up", "ff%d", "stream"},     {"down", "stream", "ff%d"}};
    json_t *groups = json_pack("{s:{}, s:{}}", "stream", "pool"), *tensors = json_object();
    add_tensor(tensors, "emb.word", "", "stream");
    add_tensor(tensors, "emb.pos", "", "stream");
    add_tensor(tensors, "emb.type", "", "stream");
    add_tensor(tensors, "emb.ln.w", "stream", NULL);
    add_tensor(tensors, "emb.ln.b", "stream", NULL);
    add_tensor(tensors, "pool.w", "pool", "stream");
    add_tensor(tensors, "pool.b", "pool", NULL);
    add_tensor(tensors, "cls.w", "", "pool");
    add_tensor(tensors, "cls.b", "", NULL);
    for (int i = 0; i < 2; i++) {
        char name[64], row[64], column[64];
        (void)snprintf(name, sizeof name, "h%d", i);
        json_object_set_new(
            groups, name, json_pack("{s:i, s:i, s:b}", "heads", 3, "head_size", 4, "free_keys", 1));
        (void)snprintf(name, sizeof name, "ff%d", i);
        json_object_set_new(groups, name, json_object());
        for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
            const bool vector = !*rows[k][2];
            for (int b = 0; b < 2; b++) {
                (void)snprintf(name, sizeof name, "l%d.%s.%s", i, rows[k][0], b ? "b" : "w");
                const char *mark = strchr(rows[k][1], '%'), *mark2 = strchr(rows[k][2], '%');
                (void)snprintf(row, sizeof row, mark ? "%.*s%d%s" : "%.*s",
                               (int)strcspn(rows[k][1], "%"), rows[k][1], i, mark ? mark + 2 : "");
                (void)snprintf(column, sizeof column, mark2 ? "%.*s%d%s" : "%.*s",
                               (int)strcspn(rows[k][2], "%"), rows[k][2], i,
                               mark2 ? mark2 + 2 : "");
                add_tensor(tensors, name, row, b || vector ? NULL : column);
            }
        }
    }
    return finish_spec(ctx, groups, tensors);
}

static void golden_bert_is_recovered(void **state) {
    (void)state;
    test_need_shared("golden/market/tf/bert_planted.safetensors");
    whet_ctx *ctx = test_ctx(1);
    whet_safetensors *file = open_golden(ctx, "tf", "bert_planted.safetensors");
    network a = take_network(file, "A/"), b = take_network(file, "B/");
    whet_permutation_spec *spec = golden_bert(ctx);
    check_recovered(ctx, spec, &a, &b, 1 << 30);
    check_recovered(ctx, spec, &b, &a, 0);
    whet_permutation_spec_destroy(ctx, spec);
    free(a.items);
    free(b.items);
    whet_safetensors_close(ctx, file);
    test_ctx_done(ctx);
}

/* ---- properties ------------------------------------------------------------------------------------- */

/* Perceptrons 7-N-N-3 of drawn weights. */
enum { UNITS = 24, IN = 7, OUT = 3, TENSORS = 6 };

typedef struct made {
    float w0[UNITS * IN], b0[UNITS], w1[UNITS * UNITS], b1[UNITS], w2[OUT * UNITS], b2[OUT];
    whet_named_tensor items[TENSORS];
    whet_weights weights;
} made;

static void make(made *m, uint64_t seed) {
    static const char *const names[] = {"layer0.weight", "layer0.bias",   "layer1.weight",
                                        "layer1.bias",   "layer2.weight", "layer2.bias"};
    const int64_t shapes[][2] = {{UNITS, IN}, {UNITS},      {UNITS, UNITS},
                                 {UNITS},     {OUT, UNITS}, {OUT}};
    float *const data[] = {m->w0, m->b0, m->w1, m->b1, m->w2, m->b2};
    whet_i_rng rng;
    whet_i_rng_init(&rng, seed, 0);
    for (int i = 0; i < TENSORS; i++) {
        const int64_t n = shapes[i][0] * (shapes[i][1] ? shapes[i][1] : 1);
        for (int64_t k = 0; k < n; k++) data[i][k] = (float)whet_i_rng_normal(&rng);
        m->items[i] = (whet_named_tensor){
            names[i], {data[i], WHET_F32, shapes[i][1] ? 2 : 1, {shapes[i][0], shapes[i][1]}}};
    }
    m->weights = (whet_weights){m->items, TENSORS};
}

static const char PERCEPTRON[] =
    "{\"format\": \"whet-permutations\", \"version\": 1, \"groups\": {\"p\": {}, \"q\": {}}, "
    "\"tensors\": {"
    "\"layer0.weight\": [\"p\", null], \"layer0.bias\": [\"p\"], \"layer1.weight\": [\"q\", \"p\"],"
    "\"layer1.bias\": [\"q\"], \"layer2.weight\": [null, \"q\"], \"layer2.bias\": [null]}}";

static bool is_identity(const whet_alignment *a, int64_t group) {
    int64_t n;
    const int64_t *order = whet_alignment_order(a, group, 0, &n);
    for (int64_t i = 0; i < n; i++)
        if (order[i] != i) return false;
    return n > 0;
}

static void a_network_is_aligned_with_itself(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    static made a;
    whet_alignment *found;
    whet_permutation_spec *spec = parse(ctx, PERCEPTRON);
    make(&a, 1);
    test_ok(ctx, whet_align_weights(ctx, spec, &a.weights, &a.weights, NULL, &found));
    assert_true(is_identity(found, 0) && is_identity(found, 1));
    assert_true(whet_alignment_objective(found) == whet_alignment_identity(found));
    whet_alignment_destroy(ctx, found);
    whet_permutation_spec_destroy(ctx, spec);
    test_ctx_done(ctx);
}

/* to's unit order[i] is from's unit i, but for noise, in every row and column. */
static void plant(const made *from, const int64_t *p, const int64_t *q, double noise, made *to) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, 99, 0);
    make(to, 1);
    for (int64_t i = 0; i < UNITS; i++) {
        memcpy(to->w0 + p[i] * IN, from->w0 + i * IN, IN * sizeof(float));
        to->b0[p[i]] = from->b0[i];
        to->b1[q[i]] = from->b1[i];
        for (int64_t k = 0; k < UNITS; k++) to->w1[q[i] * UNITS + p[k]] = from->w1[i * UNITS + k];
        for (int64_t o = 0; o < OUT; o++) to->w2[o * UNITS + q[i]] = from->w2[o * UNITS + i];
    }
    for (int t = 0; t < TENSORS; t++) {
        float *x = to->items[t].tensor.data;
        for (int64_t k = 0; k < whet_tensor_count(&to->items[t].tensor); k++)
            x[k] += (float)(noise * whet_i_rng_normal(&rng));
    }
}

/* Who is aligned with whom does not matter: the other way round it is the inverse, to the same objective. */
static void roles_may_be_swapped(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    static made a, b;
    whet_permutation_spec *spec = parse(ctx, PERCEPTRON);
    whet_align_opts opts = WHET_ALIGN_OPTS_INIT;
    opts.restarts = 10;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        int64_t planted[2][UNITS], n;
        whet_alignment *there, *back;
        whet_i_rng rng;
        whet_i_rng_init(&rng, seed, 1);
        for (int g = 0; g < 2; g++) {
            for (int64_t i = 0; i < UNITS; i++) planted[g][i] = i;
            whet_i_rng_shuffle(&rng, planted[g], UNITS);
        }
        make(&a, seed);
        plant(&a, planted[0], planted[1], .05, &b);
        test_ok(ctx, whet_align_weights(ctx, spec, &a.weights, &b.weights, &opts, &there));
        test_ok(ctx, whet_align_weights(ctx, spec, &b.weights, &a.weights, &opts, &back));
        for (int g = 0; g < 2; g++) {
            const int64_t *forth = whet_alignment_order(there, g, 0, &n);
            const int64_t *inverse = whet_alignment_order(back, g, 0, &n);
            assert_int_equal(n, UNITS);
            for (int64_t i = 0; i < UNITS; i++) {
                assert_int_equal(forth[i], planted[g][i]);
                assert_int_equal(inverse[forth[i]], i);
            }
        }
        const double one = whet_alignment_objective(there), other = whet_alignment_objective(back);
        assert_true(fabs(one - other) <= 1e-9 * one);
        whet_alignment_destroy(ctx, there);
        whet_alignment_destroy(ctx, back);
    }
    whet_permutation_spec_destroy(ctx, spec);
    test_ctx_done(ctx);
}

/* The objective of a visit never falls, nor is the whole one below the identity's; more restarts are never
 * worse; and B aligned has the products that are claimed. */
static void the_objective_only_rises(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    static made a, b;
    whet_permutation_spec *spec = parse(ctx, PERCEPTRON);
    double last = -1e300;
    make(&a, 1);
    make(&b, 2);
    for (int64_t restarts = 1; restarts <= 9; restarts += 4) {
        whet_align_opts opts = WHET_ALIGN_OPTS_INIT;
        whet_alignment *found;
        whet_named_tensor out[TENSORS];
        int64_t n;
        double sum = 0, before, after;
        opts.restarts = restarts;
        test_ok(ctx, whet_align_weights(ctx, spec, &a.weights, &b.weights, &opts, &found));
        const whet_align_visit *v = whet_alignment_visits(found, &n);
        for (int64_t i = 0; i < n; i++) assert_true(v[i].after >= v[i].before);
        assert_true(v[n - 1].restart == restarts - 1);
        assert_true(whet_alignment_objective(found) > whet_alignment_identity(found));
        assert_true(whet_alignment_objective(found) >= last);
        last = whet_alignment_objective(found);
        test_ok(ctx, whet_alignment_apply(ctx, spec, found, &b.weights, out));
        for (int i = 0; i < TENSORS - 1; i++) /* the last one does not move */
            for (int64_t k = 0; k < whet_tensor_count(&out[i].tensor); k++)
                sum += (double)((float *)out[i].tensor.data)[k] *
                       (double)((float *)a.items[i].tensor.data)[k];
        assert_true(fabs(sum - last) < 1e-9);
        whet_alignment_distance(found, &before, &after);
        assert_true(fabs((before - after) - 2 * (last - whet_alignment_identity(found))) < 1e-9);
        for (int i = 0; i < TENSORS; i++) whet_tensor_destroy(ctx, &out[i].tensor);
        whet_alignment_destroy(ctx, found);
    }
    whet_permutation_spec_destroy(ctx, spec);
    test_ctx_done(ctx);
}

/* Products that are made anew at each visit give the same permutations, of heads as well. */
static void nothing_has_to_be_kept(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    static made a, b;
    whet_permutation_spec *spec = parse(ctx, PERCEPTRON);
    for (uint64_t seed = 1; seed <= 5; seed++) {
        whet_align_opts opts = WHET_ALIGN_OPTS_INIT;
        whet_alignment *kept, *anew;
        make(&a, seed);
        make(&b, seed + 100);
        test_ok(ctx, whet_align_weights(ctx, spec, &a.weights, &b.weights, &opts, &kept));
        opts.keep = 0;
        test_ok(ctx, whet_align_weights(ctx, spec, &a.weights, &b.weights, &opts, &anew));
        for (int g = 0; g < 2; g++) {
            int64_t n;
            const int64_t *order = whet_alignment_order(kept, g, 0, &n);
            assert_memory_equal(order, whet_alignment_order(anew, g, 0, &n), sizeof *order * UNITS);
        }
        whet_alignment_destroy(ctx, kept);
        whet_alignment_destroy(ctx, anew);
    }
    whet_permutation_spec_destroy(ctx, spec);
    test_ctx_done(ctx);
}

static void threads_change_no_bit(void **state) {
    (void)state;
    static made a, b;
    double first = 0;
    int64_t orders[2][UNITS];
    make(&a, 3);
    make(&b, 4);
    for (int t = 0; t < 3; t++) {
        whet_ctx *ctx = test_ctx((const int32_t[]){1, 2, 5}[t]);
        whet_permutation_spec *spec = parse(ctx, PERCEPTRON);
        whet_align_opts opts = WHET_ALIGN_OPTS_INIT;
        whet_alignment *found;
        opts.restarts = 3;
        test_ok(ctx, whet_align_weights(ctx, spec, &a.weights, &b.weights, &opts, &found));
        for (int g = 0; g < 2; g++) {
            int64_t n;
            const int64_t *order = whet_alignment_order(found, g, 0, &n);
            assert_int_equal(n, UNITS);
            if (t == 0)
                memcpy(orders[g], order, sizeof orders[g]);
            else
                assert_memory_equal(orders[g], order, sizeof orders[g]);
        }
        if (t == 0) first = whet_alignment_objective(found);
        assert_true(first == whet_alignment_objective(found));
        whet_alignment_destroy(ctx, found);
        whet_permutation_spec_destroy(ctx, spec);
        test_ctx_done(ctx);
    }
}

static whet_status align_once(whet_ctx *ctx, void *arg) {
    const made *m = arg;
    whet_permutation_spec *spec = NULL;
    whet_alignment *found = NULL;
    whet_named_tensor out[TENSORS];
    whet_status status = whet_i_spec_parse(ctx, "spec", PERCEPTRON, sizeof PERCEPTRON - 1, &spec);
    if (status == WHET_OK)
        status = whet_align_weights(ctx, spec, &m->weights, &m->weights, NULL, &found);
    if (status == WHET_OK) status = whet_alignment_apply(ctx, spec, found, &m->weights, out);
    for (int i = 0; status == WHET_OK && i < TENSORS; i++) whet_tensor_destroy(ctx, &out[i].tensor);
    whet_alignment_destroy(ctx, found);
    whet_permutation_spec_destroy(ctx, spec);
    return status;
}

static void survives_failing_allocations(void **state) {
    (void)state;
    static made a;
    make(&a, 1);
    assert_true(test_each_allocation(align_once, &a) > 30);
}

/* ---- refusals --------------------------------------------------------------------------------------- */

/* All that does not fit is in one sentence. */
static void what_does_not_fit_is_told_at_once(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    static made a, b;
    whet_alignment *found = NULL;
    whet_permutation_spec *spec = parse(ctx, PERCEPTRON);
    make(&a, 1);
    make(&b, 2);
    b.items[1].name = "layer0.bais";
    b.items[2].tensor.shape[0] = UNITS - 1;
    b.items[4].tensor.dtype = WHET_I32;
    test_fails(ctx, whet_align_weights(ctx, spec, &a.weights, &b.weights, NULL, &found),
               WHET_ERR_SHAPE);
    test_says(ctx, "\"layer0.bias\" is not in the second");
    test_says(ctx, "\"layer0.bais\" of the second is not in the specification");
    test_says(ctx, "\"layer1.weight\" is f32 [24, 24] and f32 [23, 24]");
    test_says(ctx, "\"layer2.weight\" is f32 [3, 24] and i32 [3, 24]");
    make(&b, 2);
    b.w1[5] = NAN;
    test_fails(ctx, whet_align_weights(ctx, spec, &a.weights, &b.weights, NULL, &found),
               WHET_ERR_DATA);
    test_says(ctx, "\"layer1.weight\" of the second has NaN");
    make(&b, 2);
    b.items[0].tensor.dtype = a.items[0].tensor.dtype = WHET_I32;
    test_fails(ctx, whet_align_weights(ctx, spec, &a.weights, &b.weights, NULL, &found),
               WHET_ERR_UNSUPPORTED);
    make(&a, 1);
    make(&b, 2);
    whet_align_opts opts = WHET_ALIGN_OPTS_INIT;
    opts.restarts = 0;
    test_fails(ctx, whet_align_weights(ctx, spec, &a.weights, &b.weights, &opts, &found),
               WHET_ERR_ARG);
    assert_null(found);
    whet_permutation_spec_destroy(ctx, spec);
    test_ctx_done(ctx);
}

static void bad_specifications(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"[]", "is an array; expected an object"},
        {"{\"format\": \"x\", \"groups\": {}, \"tensors\": {}}", "format \"x\""},
        {"{\"format\": \"whet-permutations\", \"version\": 1, \"groups\": {}, \"tensors\": {}}",
         "no group"},
        {"{\"format\": \"whet-permutations\", \"version\": 1, \"group\": {}, \"tensors\": {}}",
         "key \"group\""},
        {"{\"format\": \"whet-permutations\", \"version\": 1, \"groups\": {\"p\": {}}, "
         "\"tensors\": {\"w\": "
         "[\"q\"]}}",
         "no group \"q\""},
        {"{\"format\": \"whet-permutations\", \"version\": 1, \"groups\": {\"p\": {}}, "
         "\"tensors\": {\"w\": "
         "[\"p\", \"p\"]}}",
         "group \"p\" is on axes 0 and 1"},
        {"{\"format\": \"whet-permutations\", \"version\": 1, \"groups\": {\"p\": {}, \"q\": {}}, "
         "\"tensors\": "
         "{\"w\": [\"p\"]}}",
         "group \"q\" is on no axis"},
        {"{\"format\": \"whet-permutations\", \"version\": 1, \"groups\": {\"h\": {\"heads\": 3, "
         "\"kv_heads\": "
         "2, "
         "\"head_size\": 4}}, \"tensors\": {\"w\": [\"h.query\"]}}",
         "3 heads, 2"},
        {"{\"format\": \"whet-permutations\", \"version\": 1, \"groups\": {\"p\": {}}, "
         "\"tensors\": {\"w\": "
         "[\"p.query\"]}}",
         "no group \"p.query\""},
        {"{\"format\": \"whet-permutations\", \"version\": 1, \"groups\": {\"p\": {\"units\": 0}}, "
         "\"tensors\": "
         "{\"w\": [\"p\"]}}",
         "units"},
        {"{\"format\": \"whet-permutations\", \"version\": 1, \"groups\": {\"p\": {}}, "
         "\"tensors\": {\"w\": "
         "[[]]}}",
         "an axis of 0 runs"},
        {"{\"format\": \"whet-permutations\", \"version\": 1, \"groups\": {\"p\": {}}, "
         "\"tensors\": {\"w\": "
         "[[{\"group\": \"p\", \"first\": 0}]]}}",
         "count"},
    };
    whet_ctx *ctx = test_ctx(1);
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        whet_permutation_spec *spec = NULL;
        test_fails(ctx,
                   whet_i_spec_parse(ctx, "spec.json", cases[i].text,
                                     (int64_t)strlen(cases[i].text), &spec),
                   WHET_ERR_FORMAT);
        test_says(ctx, cases[i].says);
        assert_null(spec);
    }
    test_ctx_done(ctx);
}

/* Specifications that fit their text but not the network. */
static void axes_must_fit_their_groups(void **state) {
    (void)state;
    static const char wrong[] =
        "{\"format\": \"whet-permutations\", \"version\": 1, \"groups\": {\"p\": {}, \"q\": "
        "{\"units\": 10}}, "
        "\"tensors\": {\"layer0.weight\": [\"p\", null], \"layer0.bias\": [\"p\"], "
        "\"layer1.weight\": [\"q\", [{\"group\": \"p\", \"first\": 0, \"count\": 20}]], "
        "\"layer1.bias\": [null], \"layer2.weight\": [null, null], \"layer2.bias\": [null]}}";
    static const char twice[] =
        "{\"format\": \"whet-permutations\", \"version\": 1, \"groups\": {\"p\": {\"units\": 12}}, "
        "\"tensors\": {\"layer0.weight\": [[{\"group\": \"p\", \"first\": 0, \"count\": 12}, "
        "{\"group\": \"p\", \"first\": 0, \"count\": 12}], null], \"layer0.bias\": [null], "
        "\"layer1.weight\": [null, null], "
        "\"layer1.bias\": [null], \"layer2.weight\": [null, null], \"layer2.bias\": [null]}}";
    whet_ctx *ctx = test_ctx(1);
    static made a;
    whet_alignment *found = NULL;
    whet_permutation_spec *spec = parse(ctx, wrong);
    make(&a, 1);
    test_fails(ctx, whet_align_weights(ctx, spec, &a.weights, &a.weights, NULL, &found),
               WHET_ERR_SHAPE);
    test_says(ctx, "\"layer1.weight\" has 24 on axis 0, whose groups have 10 units");
    test_says(ctx, "\"layer1.weight\" has 24 on axis 1, whose groups have 20 units");
    whet_permutation_spec_destroy(ctx, spec);
    spec = parse(ctx, twice);
    test_fails(ctx, whet_align_weights(ctx, spec, &a.weights, &a.weights, NULL, &found),
               WHET_ERR_SHAPE);
    test_says(ctx, "\"layer0.weight\" has runs on axis 0");
    whet_permutation_spec_destroy(ctx, spec);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_descents),
        cmocka_unit_test(golden_llama_is_recovered),
        cmocka_unit_test(golden_bert_is_recovered),
        cmocka_unit_test(a_network_is_aligned_with_itself),
        cmocka_unit_test(roles_may_be_swapped),
        cmocka_unit_test(the_objective_only_rises),
        cmocka_unit_test(nothing_has_to_be_kept),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(survives_failing_allocations),
        cmocka_unit_test(what_does_not_fit_is_told_at_once),
        cmocka_unit_test(bad_specifications),
        cmocka_unit_test(axes_must_fit_their_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
