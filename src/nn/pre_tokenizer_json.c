/* SPDX-License-Identifier: Apache-2.0
 * The pre_tokenizer of a tokenizer.json. (A step of classes alone before WordPiece has a fast way of
 * its own in tokenizer.c.) */
#include "nn/tokenizer_i.h"

#define MAX_DEPTH 4

static const char *const CLASSES[] = {[WHET_I_PRE_BERT] = "BertPreTokenizer",
                                      [WHET_I_PRE_WHITESPACE] = "Whitespace",
                                      [WHET_I_PRE_WHITESPACE_SPLIT] = "WhitespaceSplit"};

static whet_status class_of(whet_ctx *ctx, void *arg, uint32_t code, uint32_t *value) {
    (void)ctx;
    const whet_i_pre pre = *(const whet_i_pre *)arg;
    const uint32_t bits = whet_i_unicode_bits(code);
    if (pre == WHET_I_PRE_NONE)
        *value = WHET_I_CLASS_A;
    else if (bits & WHET_I_CHAR_SPACE)
        *value = WHET_I_CLASS_SPACE;
    else if (pre == WHET_I_PRE_BERT && bits & WHET_I_CHAR_PUNCT)
        *value = WHET_I_CLASS_ALONE;
    else
        *value = pre == WHET_I_PRE_WHITESPACE && !(bits & WHET_I_CHAR_WORD) ? WHET_I_CLASS_B
                                                                            : WHET_I_CLASS_A;
    return WHET_OK;
}

static whet_status read_behavior(whet_ctx *ctx, const char *part, const json_t *json,
                                 whet_i_behavior *out) {
    static const char *const NAMES[] = {[WHET_I_ISOLATED] = "Isolated",
                                        [WHET_I_REMOVED] = "Removed",
                                        [WHET_I_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
                                        [WHET_I_MERGED_WITH_NEXT] = "MergedWithNext",
                                        [WHET_I_CONTIGUOUS] = "Contiguous"};
    char quoted[WHET_QUOTE_SIZE];
    const json_t *name = json_object_get(json, "behavior");
    for (int i = 0; i < (int)WHET_COUNT_OF(NAMES); i++) {
        if (!whet_i_json_is(name, NAMES[i])) continue;
        *out = (whet_i_behavior)i;
        return WHET_OK;
    }
    return whet_i_fail(
        ctx, WHET_ERR_UNSUPPORTED,
        "%s: behavior %s; expected Isolated, Removed, MergedWithPrevious, "
        "MergedWithNext or Contiguous",
        part, json_is_string(name) ? whet_i_quote(quoted, whet_i_json_text(name)) : "missing");
}

static whet_status read_split(whet_ctx *ctx, whet_tokenizer *tok, const json_t *json,
                              whet_i_pre_step *step) {
    const char *part = "pre_tokenizer Split";
    const json_t *pattern = json_object_get(json, "pattern");
    const json_t *regex = json_object_get(pattern, "Regex");
    step->op = WHET_I_PRE_SPLIT;
    WHET_TRY(read_behavior(ctx, part, json, &step->behavior));
    WHET_TRY(whet_i_tokenizer_bool(ctx, part, json, "invert", &step->invert));
    if (json_is_string(regex))
        return whet_i_regex_build(ctx, part, whet_i_json_text(regex), &step->regex);
    WHET_TRY(whet_i_tokenizer_string(ctx, tok, part, pattern, "String", false, &step->text));
    if (step->text.len == 0)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED, "%s: an empty pattern; expected a text",
                           part);
    return WHET_OK;
}

/* Files of before 2024 say add_prefix_space, later ones prepend_scheme and split. */
static whet_status read_metaspace(whet_ctx *ctx, whet_tokenizer *tok, const json_t *json,
                                  whet_i_pre_step *step) {
    const char *part = "pre_tokenizer Metaspace";
    const json_t *scheme = json_object_get(json, "prepend_scheme");
    const json_t *prefix = json_object_get(json, "add_prefix_space");
    const uint8_t *next;
    step->op = WHET_I_PRE_METASPACE;
    step->split = true;
    if (json_object_get(json, "split"))
        WHET_TRY(whet_i_tokenizer_bool(ctx, part, json, "split", &step->split));
    WHET_TRY(whet_i_tokenizer_string(ctx, tok, part, json, "replacement", false, &step->text));
    const uint8_t *mark = (const uint8_t *)step->text.ptr;
    if (step->text.len > 0) (void)whet_i_utf8_decode(mark, mark + step->text.len, &next);
    if (step->text.len == 0 || next != mark + step->text.len)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: \"replacement\" is no single character; expected one", part);
    step->prepend = json_is_false(prefix) ? WHET_I_NEVER : WHET_I_ALWAYS;
    if (!scheme) return WHET_OK;
    step->prepend = whet_i_json_is(scheme, "first")    ? WHET_I_FIRST
                    : whet_i_json_is(scheme, "always") ? WHET_I_ALWAYS
                                                       : WHET_I_NEVER;
    if ((step->prepend == WHET_I_NEVER && !whet_i_json_is(scheme, "never")) ||
        (step->prepend != WHET_I_NEVER && json_is_false(prefix)))
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "%s: its prepend_scheme is unknown, or not that of add_prefix_space; "
                           "expected always, first or never",
                           part);
    /* "first" asks where in the text a piece came from, which a normaliser may have moved. */
    if (step->prepend == WHET_I_FIRST && (tok->norm.n_ops > 0 || tok->n_text_steps > 0))
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "%s: prepend_scheme \"first\" behind a normalizer; expected none", part);
    return WHET_OK;
}

static whet_status read_byte_level(whet_ctx *ctx, const json_t *json, whet_i_pre_step *step) {
    const char *part = "pre_tokenizer ByteLevel";
    bool prefix, regex = true;
    step->op = WHET_I_PRE_BYTE_LEVEL;
    WHET_TRY(whet_i_tokenizer_bool(ctx, part, json, "add_prefix_space", &prefix));
    if (json_object_get(json, "use_regex"))
        WHET_TRY(whet_i_tokenizer_bool(ctx, part, json, "use_regex", &regex));
    step->prepend = prefix ? WHET_I_ALWAYS : WHET_I_NEVER;
    return regex ? whet_i_regex_build(ctx, part, whet_str_from(WHET_I_GPT2_PATTERN), &step->regex)
                 : WHET_OK;
}

static whet_status read_classes(whet_ctx *ctx, whet_tokenizer *tok, whet_i_pre pre,
                                whet_i_pre_step *step) {
    step->op = WHET_I_PRE_CLASSES;
    if (tok->pre != WHET_I_PRE_NONE && tok->pre != pre)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "pre_tokenizer: both %s and %s; expected one of them", CLASSES[tok->pre],
                           CLASSES[pre]);
    tok->pre = pre;
    return WHET_OK;
}

static whet_status read_one(whet_ctx *ctx, whet_tokenizer *tok, const json_t *json) {
    const json_t *type = json_object_get(json, "type");
    if (tok->n_pre_steps == WHET_I_MAX_STEPS)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "pre_tokenizer: over %d steps; expected fewer", WHET_I_MAX_STEPS);
    if (tok->n_pre_steps > 0 && tok->pre_steps[tok->n_pre_steps - 1].op == WHET_I_PRE_BYTE_LEVEL)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "pre_tokenizer: a step behind ByteLevel; expected it to be the last");
    whet_i_pre_step *step = &tok->pre_steps[tok->n_pre_steps++];
    if (whet_i_json_is(type, "ByteLevel")) return read_byte_level(ctx, json, step);
    if (whet_i_json_is(type, "Split")) return read_split(ctx, tok, json, step);
    if (whet_i_json_is(type, "Metaspace")) return read_metaspace(ctx, tok, json, step);
    if (whet_i_json_is(type, "Digits")) {
        bool each = false;
        step->op = WHET_I_PRE_DIGITS;
        WHET_TRY(
            whet_i_tokenizer_bool(ctx, "pre_tokenizer Digits", json, "individual_digits", &each));
        step->behavior = each ? WHET_I_ISOLATED : WHET_I_CONTIGUOUS;
        return WHET_OK;
    }
    if (whet_i_json_is(type, "Punctuation")) {
        step->op = WHET_I_PRE_PUNCTUATION;
        return json_object_get(json, "behavior")
                   ? read_behavior(ctx, "pre_tokenizer Punctuation", json, &step->behavior)
                   : WHET_OK;
    }
    for (int i = WHET_I_PRE_BERT; i < (int)WHET_COUNT_OF(CLASSES); i++)
        if (whet_i_json_is(type, CLASSES[i])) return read_classes(ctx, tok, (whet_i_pre)i, step);
    return whet_i_tokenizer_unsupported(
        ctx, "pre_tokenizer", type,
        "ByteLevel, Split, Metaspace, Digits, Punctuation, BertPreTokenizer, Whitespace, "
        "WhitespaceSplit, or a Sequence of them");
}

static whet_status read_steps(whet_ctx *ctx, whet_tokenizer *tok, const json_t *json, int depth) {
    if (!whet_i_json_is(json_object_get(json, "type"), "Sequence") || depth == MAX_DEPTH)
        return read_one(ctx, tok, json);
    const json_t *steps = json_object_get(json, "pretokenizers");
    if (!json_is_array(steps))
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "pre_tokenizer Sequence: \"pretokenizers\" is no list; expected one");
    for (size_t i = 0; i < json_array_size(steps); i++)
        WHET_TRY(read_steps(ctx, tok, json_array_get(steps, i), depth + 1));
    return WHET_OK;
}

whet_status whet_i_pre_tokenizer_read(whet_ctx *ctx, whet_tokenizer *tok, const json_t *json) {
    if (json && !json_is_null(json)) WHET_TRY(read_steps(ctx, tok, json, 0));
    WHET_TRY(whet_i_charmap_build(ctx, &tok->classes, class_of, &tok->pre));
    for (uint32_t b = 0; b < 256; b++)
        tok->class_of[b] = b < 128 ? (uint8_t)whet_i_charmap_get(&tok->classes, b) : 4;
    return WHET_OK;
}
