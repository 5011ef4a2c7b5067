/* SPDX-License-Identifier: Apache-2.0
 * The normalizer of a tokenizer.json. Steps on single code points are compiled together; others
 * stand between them. */
#include "nn/tokenizer_i.h"

#define MAX_DEPTH 4
#define MAX_TEXT 256 /* bytes that a step inserts */

static whet_status add_step(whet_ctx *ctx, whet_tokenizer *tok, whet_i_text_op op,
                            whet_i_text_step **out) {
    if (tok->n_text_steps == WHET_I_MAX_STEPS)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED, "normalizer: over %d steps; expected fewer",
                           WHET_I_MAX_STEPS);
    *out = &tok->text_steps[tok->n_text_steps++];
    **out = (whet_i_text_step){.op = op};
    return WHET_OK;
}

/* Where the next step on code points goes: the last step, if it is of that kind, else a new one. */
static whet_status chars_step(whet_ctx *ctx, whet_tokenizer *tok, whet_i_normalizer **out) {
    whet_i_text_step *step = NULL;
    *out = &tok->norm;
    if (tok->n_text_steps == 0) return WHET_OK;
    step = &tok->text_steps[tok->n_text_steps - 1];
    if (step->op != WHET_I_TEXT_CHARS) WHET_TRY(add_step(ctx, tok, WHET_I_TEXT_CHARS, &step));
    *out = &step->chars;
    return WHET_OK;
}

static whet_status add_op(whet_ctx *ctx, whet_tokenizer *tok, whet_i_norm_op op) {
    whet_i_normalizer *norm;
    WHET_TRY(chars_step(ctx, tok, &norm));
    if (norm->n_ops == WHET_I_NORM_MAX_OPS)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED, "normalizer: over %d steps; expected fewer",
                           WHET_I_NORM_MAX_OPS);
    const bool once = op == WHET_I_NORM_DECOMPOSE || op == WHET_I_NORM_IDEOGRAPHS;
    for (int32_t i = 0; i < norm->n_ops; i++)
        if (once && norm->ops[i] == op)
            return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                               "normalizer: two steps that %s; expected one",
                               op == WHET_I_NORM_DECOMPOSE ? "decompose (NFD, strip_accents)"
                                                           : "handle_chinese_chars");
    norm->ops[norm->n_ops++] = op;
    return WHET_OK;
}

static whet_status read_bert(whet_ctx *ctx, whet_tokenizer *tok, const json_t *json) {
    const char *part = "normalizer BertNormalizer";
    bool clean, ideographs, lower, accents;
    WHET_TRY(whet_i_tokenizer_bool(ctx, part, json, "clean_text", &clean));
    WHET_TRY(whet_i_tokenizer_bool(ctx, part, json, "handle_chinese_chars", &ideographs));
    WHET_TRY(whet_i_tokenizer_bool(ctx, part, json, "lowercase", &lower));
    const json_t *given = json_object_get(json, "strip_accents");
    accents = lower;
    if (given && !json_is_null(given))
        WHET_TRY(whet_i_tokenizer_bool(ctx, part, json, "strip_accents", &accents));
    if (clean) WHET_TRY(add_op(ctx, tok, WHET_I_NORM_CLEAN));
    if (ideographs) WHET_TRY(add_op(ctx, tok, WHET_I_NORM_IDEOGRAPHS));
    if (accents) WHET_TRY(add_op(ctx, tok, WHET_I_NORM_DECOMPOSE));
    if (accents) WHET_TRY(add_op(ctx, tok, WHET_I_NORM_NONSPACING));
    if (lower) WHET_TRY(add_op(ctx, tok, WHET_I_NORM_LOWER));
    return WHET_OK;
}

static whet_status short_enough(whet_ctx *ctx, const char *part, whet_str text) {
    return text.len <= MAX_TEXT ? WHET_OK
                                : whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                                              "%s: a text of %lld bytes; expected at most %d", part,
                                              (long long)text.len, MAX_TEXT);
}

static whet_status read_replace(whet_ctx *ctx, whet_tokenizer *tok, const json_t *json) {
    const char *part = "normalizer Replace";
    const json_t *pattern = json_object_get(json, "pattern");
    const json_t *regex = json_object_get(pattern, "Regex");
    whet_i_text_step *step;
    WHET_TRY(add_step(ctx, tok, WHET_I_TEXT_REPLACE, &step));
    WHET_TRY(whet_i_tokenizer_string(ctx, tok, part, json, "content", false, &step->to));
    WHET_TRY(short_enough(ctx, part, step->to));
    if (json_is_string(regex))
        return whet_i_regex_build(ctx, part, whet_i_json_text(regex), &step->regex);
    WHET_TRY(whet_i_tokenizer_string(ctx, tok, part, pattern, "String", false, &step->from));
    if (step->from.len == 0)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED, "%s: an empty pattern; expected a text",
                           part);
    return WHET_OK;
}

/* Precompiled, Prepend, Strip, Replace and the normal forms; *known false for any other type. */
static whet_status read_text_step(whet_ctx *ctx, whet_tokenizer *tok, const json_t *json,
                                  bool *known) {
    static const char *const FORMS[] = {"NFC", "NFKC", "NFKD"};
    const json_t *type = json_object_get(json, "type");
    whet_i_text_step *step;
    *known = true;
    for (int i = 0; i < 3; i++) {
        if (!whet_i_json_is(type, FORMS[i])) continue;
        WHET_TRY(add_step(ctx, tok, WHET_I_TEXT_FORM, &step));
        step->form = (whet_i_form)i;
        return WHET_OK;
    }
    if (whet_i_json_is(type, "Precompiled")) {
        WHET_TRY(add_step(ctx, tok, WHET_I_TEXT_CHARSMAP, &step));
        return whet_i_charsmap_read(ctx, json, &step->charsmap);
    }
    if (whet_i_json_is(type, "Replace")) return read_replace(ctx, tok, json);
    if (whet_i_json_is(type, "Strip")) {
        WHET_TRY(add_step(ctx, tok, WHET_I_TEXT_STRIP, &step));
        WHET_TRY(whet_i_tokenizer_bool(ctx, "normalizer Strip", json, "strip_left", &step->left));
        return whet_i_tokenizer_bool(ctx, "normalizer Strip", json, "strip_right", &step->right);
    }
    if (whet_i_json_is(type, "Prepend")) {
        WHET_TRY(add_step(ctx, tok, WHET_I_TEXT_PREPEND, &step));
        WHET_TRY(whet_i_tokenizer_string(ctx, tok, "normalizer Prepend", json, "prepend", false,
                                         &step->to));
        return short_enough(ctx, "normalizer Prepend", step->to);
    }
    *known = false;
    return WHET_OK;
}

static whet_status read_step(whet_ctx *ctx, whet_tokenizer *tok, const json_t *json,
                             int32_t depth) {
    const json_t *type = json_object_get(json, "type");
    bool known;
    if (whet_i_json_is(type, "BertNormalizer")) return read_bert(ctx, tok, json);
    if (whet_i_json_is(type, "NFD")) return add_op(ctx, tok, WHET_I_NORM_DECOMPOSE);
    if (whet_i_json_is(type, "StripAccents")) return add_op(ctx, tok, WHET_I_NORM_MARKS);
    if (whet_i_json_is(type, "Lowercase")) return add_op(ctx, tok, WHET_I_NORM_LOWER);
    if (whet_i_json_is(type, "Sequence") && depth < MAX_DEPTH) {
        const json_t *steps = json_object_get(json, "normalizers");
        if (!json_is_array(steps))
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "normalizer Sequence: \"normalizers\" is no list; expected one");
        for (size_t i = 0; i < json_array_size(steps); i++)
            WHET_TRY(read_step(ctx, tok, json_array_get(steps, i), depth + 1));
        return WHET_OK;
    }
    WHET_TRY(read_text_step(ctx, tok, json, &known));
    return known ? WHET_OK
                 : whet_i_tokenizer_unsupported(
                       ctx, "normalizer", type,
                       "BertNormalizer, NFC, NFD, NFKC, NFKD, StripAccents, Lowercase, "
                       "Precompiled, Prepend, Replace, Strip, or a Sequence of them");
}

whet_status whet_i_normalizer_read(whet_ctx *ctx, whet_tokenizer *tok, const json_t *json) {
    if (json && !json_is_null(json)) WHET_TRY(read_step(ctx, tok, json, 0));
    WHET_TRY(whet_i_normalizer_build(ctx, &tok->norm));
    for (int32_t i = 0; i < tok->n_text_steps; i++) {
        if (tok->text_steps[i].op != WHET_I_TEXT_CHARS) continue;
        tok->text_steps[i].chars.follows = true;
        WHET_TRY(whet_i_normalizer_build(ctx, &tok->text_steps[i].chars));
    }
    return WHET_OK;
}
