/* SPDX-License-Identifier: Apache-2.0
 * Specifications of transformers are verified by running them: what whet makes itself is right, of every
 * family with every kind of head; a wrong axis anywhere is refused, or changes nothing. And what it makes
 * finds planted permutations again, to the bit. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "io/io_i.h"
#include "merge/align_i.h"

enum { TENSORS_MOST = 64, NUMBERS = 20000, LAYERS = 2, UNITS = 16, NAME = 96 };

typedef struct model {
    const char *label, *arch; /* arch: of the specification */
    const char *family;       /* bert, roberta, distilbert; NULL: Llama */
    bool bare;                /* names without a prefix */
    bool pooler, dense, classes;
    int64_t heads, kv, size;
    bool tied, biases, all_biases, score, norms; /* of Llama */
} model;

/* Units of all kinds are as many, so that each can be taken for another. */
static const model MODELS[] = {
    {.label = "sentence encoder", .arch = "bert", .family = "bert", .bare = true, .pooler = true},
    {.label = "encoder alone", .arch = "bert", .family = "bert", .bare = true},
    {.label = "bert with classes",
     .arch = "bert",
     .family = "bert",
     .pooler = true,
     .classes = true},
    {.label = "bert, classes of tokens", .arch = "bert", .family = "bert", .classes = true},
    {.label = "roberta", .arch = "roberta", .family = "roberta", .dense = true, .classes = true},
    {.label = "roberta alone", .arch = "roberta", .family = "roberta"},
    {.label = "roberta, bare", .arch = "bert", .family = "roberta", .bare = true, .pooler = true},
    {.label = "distilbert",
     .arch = "distilbert",
     .family = "distilbert",
     .dense = true,
     .classes = true},
    {.label = "distilbert alone", .arch = "distilbert", .family = "distilbert", .bare = true},
    {.label = "llama", .arch = "llama", .heads = 4, .kv = 4, .size = 4},
    {.label = "llama, grouped", .arch = "llama", .heads = 4, .kv = 2, .size = 4},
    {.label = "llama, one key", .arch = "llama", .heads = 4, .kv = 1, .size = 4, .tied = true},
    {.label = "llama, wide heads", .arch = "llama", .heads = 2, .kv = 1, .size = 16, .tied = true},
    {.label = "qwen2",
     .arch = "llama",
     .heads = 4,
     .kv = 2,
     .size = 4,
     .tied = true,
     .biases = true},
    {.label = "qwen3", .arch = "llama", .heads = 2, .kv = 1, .size = 16, .norms = true},
    {.label = "llama alone",
     .arch = "llama",
     .bare = true,
     .heads = 4,
     .kv = 2,
     .size = 4,
     .tied = true},
    {.label = "llama, biases", .arch = "llama", .heads = 4, .kv = 2, .size = 4, .all_biases = true},
    {.label = "llama with classes",
     .arch = "llama",
     .heads = 4,
     .kv = 2,
     .size = 4,
     .score = true,
     .tied = true},
};

typedef struct built {
    whet_ctx *ctx;
    char warning[TEST_WARNING];
    char names[TENSORS_MOST][NAME];
    whet_named_tensor items[TENSORS_MOST];
    float numbers[NUMBERS];
    int64_t n, used;
    whet_safetensors *file;
    whet_named_tensor read[TENSORS_MOST];
    whet_weights weights;
    whet_permutation_spec *spec;
    whet_permutation_hints hints;
} built;

/* ---- models ---------------------------------------------------------------------------------------- */

static void add(built *b, const char *prefix, const char *name, const char *end, int64_t rows,
                int64_t columns) {
    assert_true(b->n < TENSORS_MOST);
    (void)snprintf(b->names[b->n], NAME, "%s%s%s", prefix, name, end);
    b->items[b->n].name = b->names[b->n];
    b->items[b->n].tensor = (whet_tensor){.data = b->numbers + b->used,
                                          .dtype = WHET_F32,
                                          .rank = columns ? 2 : 1,
                                          .shape = {rows, columns}};
    b->used += rows * (columns ? columns : 1);
    assert_true(b->used <= NUMBERS);
    b->n++;
}

static void layer(built *b, const char *prefix, const char *name, int64_t rows, int64_t columns,
                  bool bias) {
    add(b, prefix, name, ".weight", rows, columns);
    if (bias) add(b, prefix, name, ".bias", rows, 0);
}

static void make_encoder(built *b, const model *m) {
    const bool distilled = strcmp(m->family, "distilbert") == 0;
    static const char *const names[2][8] = {
        {"attention.self.query", "attention.self.key", "attention.self.value",
         "attention.output.dense", "attention.output.LayerNorm", "intermediate.dense",
         "output.dense", "output.LayerNorm"},
        {"attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin",
         "sa_layer_norm", "ffn.lin1", "ffn.lin2", "output_layer_norm"}};
    char prefix[32] = "", at[64];
    if (!m->bare) (void)snprintf(prefix, sizeof prefix, "%s.", m->family);
    layer(b, prefix, "embeddings.word_embeddings", UNITS, UNITS, false);
    layer(b, prefix, "embeddings.position_embeddings", UNITS, UNITS, false);
    if (!distilled) layer(b, prefix, "embeddings.token_type_embeddings", 2, UNITS, false);
    layer(b, prefix, "embeddings.LayerNorm", UNITS, 0, true);
    for (int i = 0; i < LAYERS; i++) {
        (void)snprintf(at, sizeof at, "%s%s.%d.", prefix,
                       distilled ? "transformer.layer" : "encoder.layer", i);
        for (int k = 0; k < 8; k++)
            layer(b, at, names[distilled][k], UNITS, k == 4 || k == 7 ? 0 : UNITS, true);
    }
    if (m->pooler) layer(b, prefix, "pooler.dense", UNITS, UNITS, true);
    if (m->dense)
        layer(b, "", distilled ? "pre_classifier" : "classifier.dense", UNITS, UNITS, true);
    if (m->classes)
        layer(b, "", strcmp(m->family, "roberta") == 0 ? "classifier.out_proj" : "classifier",
              UNITS, UNITS, true);
    b->hints = (whet_permutation_hints){4, 0, 0, 0};
}

static void make_llama(built *b, const model *m) {
    const int64_t q = m->heads * m->size, kv = m->kv * m->size;
    const bool biases = m->biases || m->all_biases;
    const char *prefix = m->bare ? "" : "model.";
    layer(b, prefix, "embed_tokens", UNITS, UNITS, false);
    for (int i = 0; i < LAYERS; i++) {
        char at[64];
        (void)snprintf(at, sizeof at, "%slayers.%d.", prefix, i);
        layer(b, at, "input_layernorm", UNITS, 0, false);
        layer(b, at, "self_attn.q_proj", q, UNITS, biases);
        layer(b, at, "self_attn.k_proj", kv, UNITS, biases);
        layer(b, at, "self_attn.v_proj", kv, UNITS, biases);
        layer(b, at, "self_attn.o_proj", UNITS, q, m->all_biases);
        layer(b, at, "post_attention_layernorm", UNITS, 0, false);
        if (m->norms) layer(b, at, "self_attn.q_norm", m->size, 0, false);
        if (m->norms) layer(b, at, "self_attn.k_norm", m->size, 0, false);
        layer(b, at, "mlp.gate_proj", UNITS, UNITS, m->all_biases);
        layer(b, at, "mlp.up_proj", UNITS, UNITS, m->all_biases);
        layer(b, at, "mlp.down_proj", UNITS, UNITS, m->all_biases);
    }
    layer(b, prefix, "norm", UNITS, 0, false);
    if (!m->tied) layer(b, "", "lm_head", UNITS, UNITS, false);
    if (m->score) layer(b, "", "score", UNITS, UNITS, false);
    b->hints = (whet_permutation_hints){m->heads, m->kv, m->size, 0};
}

static void build(built *b, const model *m) {
    whet_i_rng rng;
    memset(b, 0, sizeof *b);
    b->ctx = test_ctx_warned(b->warning);
    (m->family ? make_encoder : make_llama)(b, m);
    whet_i_rng_init(&rng, 6, 0);
    for (int64_t i = 0; i < b->used; i++) b->numbers[i] = (float)whet_i_rng_normal(&rng);
    const char *path = test_tmp("model.safetensors");
    test_ok(b->ctx, whet_safetensors_write(b->ctx, path, true, b->items, b->n, NULL));
    test_ok(b->ctx, whet_safetensors_open(b->ctx, path, &b->file));
    for (int64_t i = 0; i < b->n; i++) {
        b->read[i].name = whet_safetensors_name(b->file, i).ptr;
        assert_true(whet_safetensors_find(b->file, b->read[i].name, &b->read[i].tensor));
    }
    b->weights = (whet_weights){b->read, b->n};
    test_ok(b->ctx, whet_permutation_spec_for(b->ctx, m->arch, b->file, &b->hints, &b->spec));
}

static void drop(built *b) {
    whet_permutation_spec_destroy(b->ctx, b->spec);
    whet_safetensors_close(b->ctx, b->file);
    test_ctx_done(b->ctx);
}

/* ---- what whet makes is right ---------------------------------------------------------------------- */

static void check_planted(const built *b) {
    static whet_named_tensor moved[TENSORS_MOST], back[TENSORS_MOST];
    whet_align_opts opts = WHET_ALIGN_OPTS_INIT;
    opts.restarts = 8;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        whet_alignment *drawn, *found;
        int64_t different = 0;
        test_ok(b->ctx, whet_alignment_random(b->ctx, b->spec, &b->weights, seed, &drawn));
        test_ok(b->ctx, whet_alignment_apply(b->ctx, b->spec, drawn, &b->weights, moved));
        const whet_weights other = {moved, b->n};
        test_ok(b->ctx, whet_align_weights(b->ctx, b->spec, &b->weights, &other, &opts, &found));
        test_ok(b->ctx, whet_alignment_apply(b->ctx, b->spec, found, &other, back));
        for (int64_t i = 0; i < b->n; i++) {
            const whet_tensor *t = &b->read[i].tensor;
            const size_t bytes = (size_t)whet_tensor_count(t) * sizeof(float);
            different += memcmp(t->data, moved[i].tensor.data, bytes) != 0;
            assert_memory_equal(t->data, back[i].tensor.data, bytes);
            whet_tensor_destroy(b->ctx, &moved[i].tensor);
            whet_tensor_destroy(b->ctx, &back[i].tensor);
        }
        assert_true(different > b->n / 2);
        whet_alignment_destroy(b->ctx, found);
        whet_alignment_destroy(b->ctx, drawn);
    }
}

static void own_specifications_are_verified(void **state) {
    (void)state;
    static built b;
    for (int64_t i = 0; i < WHET_COUNT_OF(MODELS); i++) {
        const model *m = &MODELS[i];
        build(&b, m);
        test_ok(b.ctx, whet_permutation_spec_verify(b.ctx, b.spec, &b.weights));
        test_ok(b.ctx, whet_i_verify_transformer(b.ctx, "s", b.spec, &b.weights,
                                                 m->family  ? m->family
                                                 : m->norms ? "qwen3"
                                                            : "mistral",
                                                 &b.hints));
        assert_string_equal(b.warning, "");
        for (int64_t g = 0; g < whet_permutation_spec_groups(b.spec); g++) {
            const char *name = whet_permutation_spec_group(b.spec, g);
            const bool out = strcmp(name, "stream") == 0 || strcmp(name, "pooler") == 0;
            assert_int_equal(whet_permutation_spec_output(b.spec, g),
                             (m->family ? !m->classes : m->bare) && out);
        }
        check_planted(&b);
        drop(&b);
    }
}

/* ---- one wrong axis -------------------------------------------------------------------------------- */

/* Scores of one query differ by the same number for every key: nothing of them is left. */
static bool is_key_bias(const char *name) {
    return strstr(name, "self.key.bias") || strstr(name, "k_lin.bias");
}

/* Where each query head has a key of its own, both parts are one. */
static bool is_same_part(const whet_i_group *g, int32_t x, int32_t y) {
    if (x == y) return true;
    if (g->heads != g->kv) return false;
    return (x == WHET_I_QUERY || x == WHET_I_KEY) == (y == WHET_I_QUERY || y == WHET_I_KEY);
}

/* One key that turns: no order of it is another. */
static bool stands(const built *b, const whet_i_axis *axis) {
    if (axis->n == 0) return true;
    const whet_i_group *g = &b->spec->groups[axis->pieces[0].group];
    return axis->pieces[0].part == WHET_I_KEY && g->kv == 1 && !g->free_keys;
}

typedef struct tally {
    int64_t refused, harmless, not_valid, exchanged;
} tally;

static void check_wrong(built *b, const model *m, int64_t tensor, int32_t x,
                        const whet_i_axis *axis, tally *found) {
    whet_i_spec_tensor *s = &b->spec->tensors[tensor];
    const whet_i_axis right = s->axes[x];
    s->axes[x] = *axis;
    whet_status status = whet_i_spec_check(b->ctx, b->spec, "s");
    if (status != WHET_OK) {
        found->not_valid++;
        assert_int_equal(status, WHET_ERR_FORMAT);
    } else {
        status = whet_permutation_spec_verify(b->ctx, b->spec, &b->weights);
        const bool harmless = (m->family && is_key_bias(s->name)) ||
                              (right.n && stands(b, &right) && stands(b, axis));
        if (harmless != (status == WHET_OK))
            fail_msg("%s: %s, axis %d with group %d: %d", m->label, s->name, (int)x,
                     axis->n ? (int)axis->pieces[0].group : -1, (int)status);
        if (!harmless) assert_int_equal(status, WHET_ERR_DATA);
        found->refused += !harmless;
        found->harmless += harmless;
    }
    s->axes[x] = right;
}

/* The axis without its group, and with other parts of all groups that have as many units: every third of
 * those (all of them, 6,751, are refused as well, in a minute under sanitizers). */
static void check_axis(built *b, const model *m, int64_t tensor, int32_t x, tally *found) {
    static const whet_i_axis none = {0};
    const whet_i_spec_tensor *s = &b->spec->tensors[tensor];
    const whet_i_piece *own = s->axes[x].n ? &s->axes[x].pieces[0] : NULL;
    whet_tensor t;
    assert_true(whet_safetensors_find(b->file, s->name, &t));
    if (own) check_wrong(b, m, tensor, x, &none, found);
    for (int32_t g = 0; g < (int32_t)b->spec->n_groups; g++) {
        const whet_i_group *group = &b->spec->groups[g];
        for (int32_t part = 0; part < WHET_I_PARTS; part++) {
            const int64_t units = group->attention ? whet_i_part_count(group, part)
                                  : part == 0      ? UNITS
                                                   : 0;
            const whet_i_piece piece = {g, part, 0, 0};
            const whet_i_axis axis = {1, &piece};
            if (units != t.shape[x]) continue;
            if (own && own->group == g && is_same_part(group, own->part, part)) continue;
            if (found->exchanged++ % 3 == 0) check_wrong(b, m, tensor, x, &axis, found);
        }
    }
}

static void wrong_axes_are_refused(void **state) {
    (void)state;
    static built b;
    tally all = {0};
    for (int64_t i = 0; i < WHET_COUNT_OF(MODELS); i++) {
        build(&b, &MODELS[i]);
        for (int64_t k = 0; k < b.spec->n_tensors; k++)
            for (int32_t x = 0; x < b.spec->tensors[k].rank; x++)
                check_axis(&b, &MODELS[i], k, x, &all);
        drop(&b);
    }
    print_message("%lld refused, %lld harmless, %lld not valid\n", (long long)all.refused,
                  (long long)all.harmless, (long long)all.not_valid);
    assert_true(all.refused > 2000);
}

/* ---- other wrong things, and what cannot be told --------------------------------------------------- */

static whet_status verify(built *b, const char *type, const whet_permutation_hints *hints) {
    return whet_i_verify_transformer(b->ctx, "s.json", b->spec, &b->weights, type, hints);
}

static int64_t group_of(const built *b, const char *name) {
    const int32_t g = whet_i_spec_find(b->spec, name);
    assert_true(g >= 0);
    return g;
}

static const model LLAMA = {.label = "llama", .arch = "llama", .heads = 4, .kv = 2, .size = 4};
static const model ENCODER = {
    .label = "sentence encoder", .arch = "bert", .family = "bert", .bare = true, .pooler = true};

/* Rotary embeddings number what is inside queries and keys. */
static void turned_keys_stay(void **state) {
    (void)state;
    static built b;
    build(&b, &LLAMA);
    b.spec->groups[group_of(&b, "heads.1")].free_keys = true;
    test_fails(b.ctx, verify(&b, "llama", &b.hints), WHET_ERR_DATA);
    test_says(b.ctx,
              "specification: drawn permutations of \"heads.1\" change hidden states of layer 1");
    drop(&b);
}

/* Of heads that are others than config.json says, the number tells. */
static void heads_are_the_networks(void **state) {
    (void)state;
    static const int64_t wrong[][3] = {{8, 4, 2}, {2, 1, 8}, {16, 8, 1}};
    static built b;
    build(&b, &LLAMA);
    for (int64_t i = 0; i < WHET_COUNT_OF(wrong); i++) {
        for (int64_t g = 0; g < b.spec->n_groups; g++) {
            whet_i_group *group = &b.spec->groups[g];
            if (!group->attention) continue;
            group->heads = wrong[i][0];
            group->kv = wrong[i][1];
            group->size = wrong[i][2];
        }
        test_fails(b.ctx, verify(&b, NULL, &b.hints), WHET_ERR_DATA);
        test_says(b.ctx, "expected the network's 4, 2 and 4");
    }
    drop(&b);
}

/* Whoever moves what the network is there for says so. */
static void outputs_are_told(void **state) {
    (void)state;
    static built b;
    build(&b, &ENCODER);
    b.spec->groups[group_of(&b, "stream")].output = false;
    test_fails(b.ctx, verify(&b, NULL, &b.hints), WHET_ERR_DATA);
    test_says(b.ctx, "group \"stream\" numbers hidden states, which nothing reads");
    b.spec->groups[group_of(&b, "stream")].output = true;
    b.spec->groups[group_of(&b, "pooler")].output = false;
    test_fails(b.ctx, verify(&b, NULL, &b.hints), WHET_ERR_DATA);
    test_says(b.ctx, "group \"pooler\" numbers what the pooler gives");
    /* As JSON and back. */
    whet_permutation_spec *again;
    const char *path = test_tmp("s.json");
    test_ok(b.ctx, whet_permutation_spec_write(b.ctx, b.spec, path, true));
    test_ok(b.ctx, whet_permutation_spec_read(b.ctx, path, &again));
    assert_true(whet_permutation_spec_output(again, group_of(&b, "stream")));
    assert_false(whet_permutation_spec_output(again, group_of(&b, "pooler")));
    whet_permutation_spec_destroy(b.ctx, again);
    drop(&b);
}

static void what_cannot_be_run_is_told(void **state) {
    (void)state;
    static const whet_permutation_hints none = {0};
    static built b;
    const whet_permutation_hints odd = {3, 0, 0, 0};
    build(&b, &LLAMA);
    test_fails(b.ctx, verify(&b, "gpt_neox", &b.hints), WHET_ERR_UNSUPPORTED);
    test_says(b.ctx, "\"model_type\" is \"gpt_neox\"");
    test_fails(b.ctx, verify(&b, "bert", &b.hints), WHET_ERR_UNSUPPORTED);
    test_says(b.ctx, "no query of a first layer");
    test_fails(b.ctx, verify(&b, NULL, &odd), WHET_ERR_UNSUPPORTED);
    test_says(b.ctx, "in 3 heads; expected as many rows a head");
    b.spec->groups[group_of(&b, "heads.0")].attention = false;
    b.spec->groups[group_of(&b, "heads.1")].attention = false;
    assert_true(verify(&b, NULL, &none) != WHET_OK);
    b.spec->groups[group_of(&b, "heads.0")].attention = true;
    b.spec->groups[group_of(&b, "heads.1")].attention = true;
    test_ok(b.ctx, verify(&b, NULL, &none));
    assert_string_equal(b.warning, "");
    drop(&b);
}

/* What no network that is known has is moved, and not verified; a table under another name is no matter. */
static void what_is_not_read_is_told(void **state) {
    (void)state;
    static built b;
    build(&b, &LLAMA);
    const whet_i_piece stream = {(int32_t)group_of(&b, "stream"), WHET_I_UNITS, 0, 0};
    test_ok(b.ctx, whet_i_spec_put(b.ctx, b.spec, "other.weight", 1, stream, stream));
    b.read[b.n] = b.read[0];
    b.read[b.n].name = "other.weight";
    b.read[b.n].tensor.rank = 1;
    b.read[b.n].tensor.shape[0] = UNITS;
    b.weights.n = b.n + 1;
    test_ok(b.ctx, verify(&b, NULL, &b.hints));
    assert_non_null(strstr(b.warning, "s.json: 1 tensors (\"other.weight\") are of no network"));
    b.weights.n = b.n;
    test_fails(b.ctx, verify(&b, NULL, &b.hints), WHET_ERR_SHAPE);
    drop(&b);
    build(&b, &LLAMA);
    b.read[b.n] = b.read[0];
    b.read[b.n].name = "twice.weight";
    b.weights.n = b.n + 1;
    test_ok(b.ctx, verify(&b, NULL, &b.hints));
    assert_string_equal(b.warning, "");
    drop(&b);
    /* A head that is not known may read hidden states, which are then nobody's to keep. */
    build(&b, &ENCODER);
    for (int64_t g = 0; g < b.spec->n_groups; g++) b.spec->groups[g].output = false;
    const whet_i_piece same = {(int32_t)group_of(&b, "stream"), WHET_I_UNITS, 0, 0};
    test_ok(b.ctx,
            whet_i_spec_put(b.ctx, b.spec, "cls.weight", 2, same, (whet_i_piece){.group = -1}));
    b.read[b.n] = b.read[0];
    b.read[b.n].name = "cls.weight";
    b.weights.n = b.n + 1;
    test_ok(b.ctx, verify(&b, NULL, &b.hints));
    assert_non_null(strstr(b.warning, "\"cls.weight\""));
    drop(&b);
}

/* Orders that a specification does not use are its own affair. */
static void narrower_specifications_are_right(void **state) {
    (void)state;
    static built b;
    for (int k = 0; k < 2; k++) {
        build(&b, k ? &LLAMA : &ENCODER);
        const int32_t first = (int32_t)group_of(&b, "inner.0"),
                      heads = (int32_t)group_of(&b, "heads.0");
        const whet_i_piece piece = {first, WHET_I_UNITS, 0, 0};
        b.spec->groups[first].blocks = 4;
        b.spec->groups[heads].free_keys = false;
        for (int64_t i = 0; i < b.spec->n_tensors; i++)
            for (int32_t x = 0; x < b.spec->tensors[i].rank; x++) {
                whet_i_axis *axis = &b.spec->tensors[i].axes[x];
                if (axis->n == 0) continue;
                if (axis->pieces[0].group == group_of(&b, "inner.1")) axis->pieces = &piece;
                if (axis->pieces[0].group == group_of(&b, "heads.1")) axis->n = 0;
            }
        test_ok(b.ctx, verify(&b, NULL, &b.hints));
        assert_string_equal(b.warning, "");
        drop(&b);
    }
}

/* Norms inside attention: of each head they stay where they are; of all heads together they would have to
 * move, and are not known. */
static void norms_of_heads_are_not_those_of_one(void **state) {
    (void)state;
    static built b;
    for (int k = 0; k < 2; k++) {
        whet_safetensors *file;
        whet_permutation_spec *spec;
        build(&b, &LLAMA);
        add(&b, "model.layers.0.self_attn.", "q_norm", ".weight", k ? UNITS : LLAMA.size, 0);
        const char *path = test_tmp("normed.safetensors");
        test_ok(b.ctx, whet_safetensors_write(b.ctx, path, true, b.items, b.n, NULL));
        test_ok(b.ctx, whet_safetensors_open(b.ctx, path, &file));
        test_ok(b.ctx, whet_permutation_spec_for(b.ctx, "llama", file, &b.hints, &spec));
        const int64_t at = whet_names_find(spec->names, whet_str_from(b.items[b.n - 1].name));
        assert_int_equal(at < 0, k);
        if (at >= 0) assert_int_equal(spec->tensors[at].axes[0].n, 0);
        whet_permutation_spec_destroy(b.ctx, spec);
        whet_safetensors_close(b.ctx, file);
        drop(&b);
    }
}

static whet_status verify_alone(whet_ctx *ctx, void *arg) {
    const built *b = arg;
    return whet_permutation_spec_verify(ctx, b->spec, &b->weights);
}

static whet_status refuse_alone(whet_ctx *ctx, void *arg) {
    const whet_status status = verify_alone(ctx, arg);
    return status == WHET_ERR_DATA ? WHET_OK : status == WHET_OK ? WHET_ERR_INTERNAL : status;
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    static built b;
    build(&b, &LLAMA);
    assert_true(test_each_allocation(verify_alone, &b) > 100);
    b.spec->groups[group_of(&b, "heads.0")].free_keys = true;
    assert_true(test_each_allocation(refuse_alone, &b) > 100);
    drop(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_specifications_are_verified),
        cmocka_unit_test(wrong_axes_are_refused),
        cmocka_unit_test(turned_keys_stay),
        cmocka_unit_test(heads_are_the_networks),
        cmocka_unit_test(outputs_are_told),
        cmocka_unit_test(what_cannot_be_run_is_told),
        cmocka_unit_test(what_is_not_read_is_told),
        cmocka_unit_test(narrower_specifications_are_right),
        cmocka_unit_test(norms_of_heads_are_not_those_of_one),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
