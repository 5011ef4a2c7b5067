/* SPDX-License-Identifier: Apache-2.0
 * The decoder of a tokenizer.json as a list of steps. */
#include "nn/tokenizer_i.h"

#define MAX_DEPTH 4
#define MAX_TEXT 256 /* bytes that a step puts for one match */

static whet_status read_replace(whet_ctx *ctx, whet_tokenizer *tok, const json_t *json,
                                whet_i_decode_step *step) {
    const json_t *pattern = json_object_get(json, "pattern");
    const char *part = "decoder Replace";
    if (!json_object_get(pattern, "String"))
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED, "%s: a pattern that is no \"String\"", part);
    WHET_TRY(whet_i_tokenizer_string(ctx, tok, part, pattern, "String", false, &step->from));
    WHET_TRY(whet_i_tokenizer_string(ctx, tok, part, json, "content", false, &step->to));
    if (step->from.len == 0 || step->to.len > MAX_TEXT)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "%s: an empty pattern or a content of over %d bytes", part, MAX_TEXT);
    return WHET_OK;
}

static whet_status read_count(whet_ctx *ctx, const json_t *json, const char *key, int64_t *out) {
    const json_t *value = json_object_get(json, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "decoder Strip: \"%s\" is no count; expected an integer from 0", key);
    *out = (int64_t)json_integer_value(value);
    return WHET_OK;
}

/* A text of at least one character. */
static whet_status read_from(whet_ctx *ctx, whet_tokenizer *tok, const char *part,
                             const json_t *json, const char *key, whet_i_decode_step *step) {
    WHET_TRY(whet_i_tokenizer_string(ctx, tok, part, json, key, false, &step->from));
    return step->from.len ? WHET_OK
                          : whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                                        "%s: \"%s\" is empty; expected a text", part, key);
}

static whet_status read_one(whet_ctx *ctx, whet_tokenizer *tok, const json_t *json,
                            whet_i_decode_step *step) {
    const json_t *type = json_object_get(json, "type");
    if (whet_i_json_is(type, "ByteLevel")) {
        step->op = WHET_I_DECODE_BYTE_LEVEL;
    } else if (whet_i_json_is(type, "ByteFallback")) {
        step->op = WHET_I_DECODE_BYTE_FALLBACK;
    } else if (whet_i_json_is(type, "Fuse")) {
        step->op = WHET_I_DECODE_FUSE;
    } else if (whet_i_json_is(type, "Replace")) {
        step->op = WHET_I_DECODE_REPLACE;
        return read_replace(ctx, tok, json, step);
    } else if (whet_i_json_is(type, "Strip")) {
        step->op = WHET_I_DECODE_STRIP;
        WHET_TRY(read_count(ctx, json, "start", &step->start));
        WHET_TRY(read_count(ctx, json, "stop", &step->stop));
        return read_from(ctx, tok, "decoder Strip", json, "content", step);
    } else if (whet_i_json_is(type, "Metaspace")) {
        step->op = WHET_I_DECODE_METASPACE;
        step->flag = !whet_i_json_is(json_object_get(json, "prepend_scheme"), "never") &&
                     !json_is_false(json_object_get(json, "add_prefix_space"));
        return read_from(ctx, tok, "decoder Metaspace", json, "replacement", step);
    } else if (whet_i_json_is(type, "WordPiece")) {
        step->op = WHET_I_DECODE_WORDPIECE;
        WHET_TRY(whet_i_tokenizer_string(ctx, tok, "decoder WordPiece", json, "prefix", false,
                                         &step->from));
        return whet_i_tokenizer_bool(ctx, "decoder WordPiece", json, "cleanup", &step->flag);
    } else if (whet_i_json_is(type, "BPEDecoder")) {
        step->op = WHET_I_DECODE_BPE;
        return read_from(ctx, tok, "decoder BPEDecoder", json, "suffix", step);
    } else {
        return whet_i_tokenizer_unsupported(
            ctx, "decoder", type,
            "ByteLevel, ByteFallback, Fuse, Replace, Strip, Metaspace, WordPiece, BPEDecoder, or a "
            "Sequence of them");
    }
    return WHET_OK;
}

static whet_status read_steps(whet_ctx *ctx, whet_tokenizer *tok, const json_t *json, int depth) {
    if (!whet_i_json_is(json_object_get(json, "type"), "Sequence") || depth == MAX_DEPTH) {
        if (tok->n_decode_steps == WHET_I_MAX_STEPS)
            return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED, "decoder: over %d steps; expected fewer",
                               WHET_I_MAX_STEPS);
        return read_one(ctx, tok, json, &tok->decode_steps[tok->n_decode_steps++]);
    }
    const json_t *steps = json_object_get(json, "decoders");
    if (!json_is_array(steps))
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "decoder Sequence: \"decoders\" is no list; expected one");
    for (size_t i = 0; i < json_array_size(steps); i++)
        WHET_TRY(read_steps(ctx, tok, json_array_get(steps, i), depth + 1));
    return WHET_OK;
}

whet_status whet_i_decoder_read(whet_ctx *ctx, whet_tokenizer *tok, const json_t *json) {
    tok->has_decoder = json && !json_is_null(json);
    return tok->has_decoder ? read_steps(ctx, tok, json, 0) : WHET_OK;
}
