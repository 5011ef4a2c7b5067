/* SPDX-License-Identifier: Apache-2.0
 * What stands beside a tokenizer.json in a folder of a model: transformers (5) makes the tokenizers of the
 * classes below anew of the vocabulary alone, from tokenizer_config.json and defaults, whatever
 * tokenizer.json says; of other classes tokenizer.json holds. So do folders here: the parsed file is changed
 * before it is read. Where that changes more than how the same is said, it is told. */
#include <errno.h>

#include "io/io_i.h"
#include "nn/tokenizer_i.h"

#define MAX_CONFIG_BYTES ((int64_t)16 << 20)
#define MARK "\xE2\x96\x81"

/* What transformers has to go by. */
typedef struct folder {
    json_t *tokenizer; /* tokenizer_config.json, or NULL */
    json_t *model;     /* config.json, or NULL */
} folder;

static whet_status read_optional(whet_ctx *ctx, const char *dir, const char *name, json_t **out) {
    char *path;
    WHET_TRY(whet_i_join_path(ctx, dir, name, &path));
    whet_status status = whet_i_json_read(ctx, path, MAX_CONFIG_BYTES, out);
    if (status == WHET_ERR_IO && whet_error_errno(ctx) == ENOENT) status = WHET_OK;
    whet_i_free(ctx, path);
    return status;
}

static bool flag(const folder *f, const char *key, bool fallback) {
    const json_t *value = json_object_get(f->tokenizer, key);
    return json_is_boolean(value) ? json_is_true(value) : fallback;
}

static const char *word(bool on) { return on ? "true" : "false"; }

/* Takes the value, also on failure; NULL is out of memory. */
static whet_status set(whet_ctx *ctx, json_t *object, const char *key, json_t *value) {
    if (json_object_set_new(object, key, value) == 0) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_NOMEM, "out of memory: tokenizer.json");
}

/* ---- what stands around texts -------------------------------------------------------------------- */

/* A special token: named in tokenizer_config.json, or as it is by default. */
static const char *special(const folder *f, const char *key, const char *fallback) {
    const json_t *token = json_object_get(f->tokenizer, key);
    if (json_is_object(token)) token = json_object_get(token, "content");
    return json_is_string(token) ? json_string_value(token) : fallback;
}

/* A token's id, or -1. */
static json_int_t id_of(const json_t *root, const char *token) {
    const json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab");
    const json_t *added = json_object_get(root, "added_tokens");
    const json_t *id = json_object_get(vocab, token);
    for (size_t i = 0; i < json_array_size(added); i++)
        if (whet_i_json_is(json_object_get(json_array_get(added, i), "content"), token))
            id = json_object_get(json_array_get(added, i), "id");
    if (json_is_integer(id)) return json_integer_value(id);
    for (size_t i = 0; i < json_array_size(vocab); i++)
        if (whet_i_json_is(json_array_get(json_array_get(vocab, i), 0), token))
            return (json_int_t)i;
    return -1;
}

static bool is_special(const json_t *piece, const char *token) {
    return whet_i_json_is(json_object_get(json_object_get(piece, "SpecialToken"), "id"), token);
}

/* Whether texts come to stand between these tokens. */
static bool adds(const json_t *processor, const char *first, const char *last) {
    const json_t *single = json_object_get(processor, "single");
    const json_t *type = json_object_get(processor, "type");
    if (whet_i_json_is(type, "BertProcessing") || whet_i_json_is(type, "RobertaProcessing"))
        return whet_i_json_is(json_array_get(json_object_get(processor, "cls"), 0), first) &&
               whet_i_json_is(json_array_get(json_object_get(processor, "sep"), 0), last);
    return whet_i_json_is(type, "TemplateProcessing") && json_array_size(single) == 3 &&
           is_special(json_array_get(single, 0), first) &&
           json_object_get(json_array_get(single, 1), "Sequence") &&
           is_special(json_array_get(single, 2), last);
}

/* These classes add their special tokens whatever tokenizer.json's post_processor does. */
static whet_status put_processor(whet_ctx *ctx, json_t *root, const char *type, const char *first,
                                 const char *last) {
    const json_t *old = json_object_get(root, "post_processor");
    const json_int_t ids[2] = {id_of(root, first), id_of(root, last)};
    char begin[WHET_QUOTE_SIZE], end[WHET_QUOTE_SIZE];
    if (adds(old, first, last) || ids[0] < 0 || ids[1] < 0) return WHET_OK;
    whet_i_log(ctx, WHET_LOG_WARN,
               "tokenizer.json has %s post_processor; texts begin with %s and end with %s all the "
               "same, as in transformers",
               old && !json_is_null(old) ? "another" : "no",
               whet_i_quote(begin, whet_str_from(first)), whet_i_quote(end, whet_str_from(last)));
    return set(ctx, root, "post_processor",
               json_pack("{s:s, s:[s, I], s:[s, I]}", "type", type, "cls", first, ids[0], "sep",
                         last, ids[1]));
}

/* ---- BertTokenizer ------------------------------------------------------------------------------ */

static bool is_bert(const json_t *old, bool lower, bool accents, bool chinese) {
    const json_t *given = json_object_get(old, "strip_accents");
    const bool lowers = json_is_true(json_object_get(old, "lowercase"));
    const bool strips = json_is_boolean(given) ? json_is_true(given) : lowers;
    return whet_i_json_is(json_object_get(old, "type"), "BertNormalizer") && lowers == lower &&
           strips == accents && json_is_true(json_object_get(old, "clean_text")) &&
           json_is_true(json_object_get(old, "handle_chinese_chars")) == chinese;
}

static whet_status make_bert(whet_ctx *ctx, const folder *f, json_t *root) {
    const bool lower = flag(f, "do_lower_case", true);
    const bool accents = flag(f, "strip_accents", lower);
    const bool chinese = flag(f, "tokenize_chinese_chars", true);
    if (!is_bert(json_object_get(root, "normalizer"), lower, accents, chinese))
        whet_i_log(
            ctx, WHET_LOG_WARN,
            "tokenizer.json has another normalizer than tokenizer_config.json asks for or leaves "
            "to defaults (do_lower_case %s, strip_accents %s, tokenize_chinese_chars %s); the "
            "latter hold, as in transformers",
            word(lower), word(accents), word(chinese));
    WHET_TRY(put_processor(ctx, root, "BertProcessing", special(f, "cls_token", "[CLS]"),
                           special(f, "sep_token", "[SEP]")));
    json_t *model = json_object_get(root, "model");
    const char *unknown = special(f, "unk_token", "[UNK]");
    if (id_of(root, unknown) >= 0) WHET_TRY(set(ctx, model, "unk_token", json_string(unknown)));
    WHET_TRY(set(ctx, model, "max_input_chars_per_word", json_integer(100)));
    WHET_TRY(set(ctx, model, "continuing_subword_prefix", json_string("##")));
    WHET_TRY(set(ctx, root, "normalizer",
                 json_pack("{s:s, s:b, s:b, s:b, s:b}", "type", "BertNormalizer", "clean_text", 1,
                           "handle_chinese_chars", (int)chinese, "strip_accents", (int)accents,
                           "lowercase", (int)lower)));
    return set(ctx, root, "pre_tokenizer", json_pack("{s:s}", "type", "BertPreTokenizer"));
}

/* ---- RobertaTokenizer ---------------------------------------------------------------------------- */

static void warn_of_prefix(whet_ctx *ctx, bool before, bool after) {
    if (before != after)
        whet_i_log(
            ctx, WHET_LOG_WARN,
            "\"add_prefix_space\" is %s by tokenizer.json and %s by tokenizer_config.json or its "
            "default; the latter holds, as in transformers",
            word(before), word(after));
}

static whet_status make_roberta(whet_ctx *ctx, const folder *f, json_t *root) {
    const bool prefix = flag(f, "add_prefix_space", false);
    const json_t *old = json_object_get(root, "pre_tokenizer");
    warn_of_prefix(ctx, json_is_true(json_object_get(old, "add_prefix_space")), prefix);
    WHET_TRY(put_processor(ctx, root, "RobertaProcessing", special(f, "cls_token", "<s>"),
                           special(f, "sep_token", "</s>")));
    WHET_TRY(set(ctx, root, "normalizer", json_null()));
    return set(ctx, root, "pre_tokenizer",
               json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space",
                         (int)prefix, "trim_offsets", 1, "use_regex", 1));
}

/* ---- XLMRobertaTokenizer, CamembertTokenizer ------------------------------------------------------ */

/* The Precompiled among the steps, by itself, or null. */
static json_t *precompiled_of(const json_t *normalizer) {
    const json_t *steps = json_object_get(normalizer, "normalizers");
    if (whet_i_json_is(json_object_get(normalizer, "type"), "Precompiled"))
        return json_deep_copy(normalizer);
    for (size_t i = 0; i < json_array_size(steps); i++)
        if (whet_i_json_is(json_object_get(json_array_get(steps, i), "type"), "Precompiled"))
            return json_deep_copy(json_array_get(steps, i));
    return json_null();
}

/* Whether the Metaspace among the steps begins texts with a mark; `fallback` without one. */
static bool prepends(const json_t *pre, bool fallback) {
    const json_t *steps = json_object_get(pre, "pretokenizers");
    if (whet_i_json_is(json_object_get(pre, "type"), "Metaspace"))
        return !json_is_false(json_object_get(pre, "add_prefix_space")) &&
               !whet_i_json_is(json_object_get(pre, "prepend_scheme"), "never");
    for (size_t i = 0; i < json_array_size(steps); i++)
        fallback = prepends(json_array_get(steps, i), fallback);
    return fallback;
}

/* The place of CamemBERT's unknown token, or 0; XLM-RoBERTa's is 3. */
static json_int_t unknown_of(const folder *f, const json_t *vocab, bool camembert) {
    const char *text = special(f, "unk_token", "<unk>");
    for (size_t i = 0; camembert && i < json_array_size(vocab); i++)
        if (whet_i_json_is(json_array_get(json_array_get(vocab, i), 0), text)) return (json_int_t)i;
    return camembert ? 0 : 3;
}

static whet_status make_sentencepiece(whet_ctx *ctx, const folder *f, json_t *root,
                                      bool camembert) {
    const bool prefix = flag(f, "add_prefix_space", true);
    json_t *model = json_object_get(root, "model");
    warn_of_prefix(ctx, prepends(json_object_get(root, "pre_tokenizer"), prefix), prefix);
    WHET_TRY(set(ctx, root, "normalizer", precompiled_of(json_object_get(root, "normalizer"))));
    WHET_TRY(
        set(ctx, root, "pre_tokenizer",
            json_pack("{s:s, s:[{s:s}, {s:s, s:s, s:s, s:b}]}", "type", "Sequence", "pretokenizers",
                      "type", "WhitespaceSplit", "type", "Metaspace", "replacement", MARK,
                      "prepend_scheme", prefix ? "always" : "never", "split", 1)));
    WHET_TRY(put_processor(ctx, root, "RobertaProcessing", special(f, "bos_token", "<s>"),
                           special(f, "eos_token", "</s>")));
    WHET_TRY(set(ctx, model, "byte_fallback", json_false()));
    return set(ctx, model, "unk_id",
               json_integer(unknown_of(f, json_object_get(model, "vocab"), camembert)));
}

/* ---- which -------------------------------------------------------------------------------------- */

typedef enum kind { BERT, ROBERTA, XLM_ROBERTA, CAMEMBERT } kind;

static const struct {
    const char *class, *model_type; /* whose tokenizer it is where none is named */
    const char *model; /* that tokenizer.json must have: transformers fails with another */
    kind kind;
} CLASSES[] = {{"BertTokenizer", "bert", "WordPiece", BERT},
               {"DistilBertTokenizer", "distilbert", "WordPiece", BERT},
               {"RobertaTokenizer", "roberta", "BPE", ROBERTA},
               /* Other names of these two. */
               {"ElectraTokenizer", "", "WordPiece", BERT},
               {"LayoutLMTokenizer", "", "WordPiece", BERT},
               {"LxmertTokenizer", "", "WordPiece", BERT},
               {"MobileBertTokenizer", "", "WordPiece", BERT},
               {"SqueezeBertTokenizer", "", "WordPiece", BERT},
               {"BartTokenizer", "", "BPE", ROBERTA},
               {"LEDTokenizer", "", "BPE", ROBERTA},
               {"LongformerTokenizer", "", "BPE", ROBERTA},
               {"MvpTokenizer", "", "BPE", ROBERTA},
               {"XLMRobertaTokenizer", "xlm-roberta", "Unigram", XLM_ROBERTA},
               {"CamembertTokenizer", "camembert", "Unigram", CAMEMBERT}};

/* The row of the folder's class, or -1. */
static int64_t row_of(const folder *f) {
    const json_t *named = json_object_get(f->tokenizer, "tokenizer_class");
    const json_t *type = json_object_get(f->model, "model_type");
    if (!json_is_string(named)) named = json_object_get(f->model, "tokenizer_class");
    for (int64_t i = 0; i < WHET_COUNT_OF(CLASSES); i++) {
        whet_str name = whet_i_json_text(named);
        if (name.len > 4 && memcmp(name.ptr + name.len - 4, "Fast", 4) == 0) name.len -= 4;
        if (json_is_string(named) ? whet_str_equal(name, whet_str_from(CLASSES[i].class))
                                  : whet_i_json_is(type, CLASSES[i].model_type))
            return i;
    }
    return -1;
}

static whet_status apply(whet_ctx *ctx, const folder *f, json_t *root) {
    const int64_t i = row_of(f);
    const json_t *model = json_object_get(root, "model");
    if (i < 0 || !whet_i_json_is(json_object_get(model, "type"), CLASSES[i].model)) return WHET_OK;
    switch (CLASSES[i].kind) {
    case BERT: return make_bert(ctx, f, root);
    case ROBERTA: return make_roberta(ctx, f, root);
    case XLM_ROBERTA:
    case CAMEMBERT: break;
    }
    return make_sentencepiece(ctx, f, root, CLASSES[i].kind == CAMEMBERT);
}

whet_status whet_i_tokenizer_config_apply(whet_ctx *ctx, const char *dir, json_t *root) {
    folder f = {0};
    whet_status status = read_optional(ctx, dir, "tokenizer_config.json", &f.tokenizer);
    if (status == WHET_OK) status = read_optional(ctx, dir, "config.json", &f.model);
    if (status == WHET_OK) status = apply(ctx, &f, root);
    json_decref(f.tokenizer);
    json_decref(f.model);
    return status;
}
