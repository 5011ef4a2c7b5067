/* SPDX-License-Identifier: Apache-2.0
 * What stands around the texts: the post-processor of a tokenizer.json as two templates, one for
 * single texts, one for pairs. ByteLevel changes offsets only and adds nothing. */
#include "nn/tokenizer_i.h"

typedef enum piece_kind { PIECE_FIRST, PIECE_SECOND, PIECE_SPECIAL } piece_kind;

static whet_status add_special(whet_ctx *ctx, const whet_tokenizer *tok, whet_i_template *out,
                               const json_t *id, uint8_t type) {
    const int64_t value = json_is_integer(id) ? (int64_t)json_integer_value(id) : -1;
    if (value < 0 || value >= tok->n_tokens)
        return whet_i_fail(
            ctx, WHET_ERR_FORMAT, "post_processor: a special token's id is %s; expected 0 to %lld",
            json_is_integer(id) ? "out of range" : "no integer", (long long)tok->n_tokens - 1);
    int32_t *n = &out->end[out->n_sequences];
    if (*n == WHET_I_MAX_SPECIAL)
        return whet_i_fail(ctx, WHET_ERR_LIMIT, "post_processor: over %d special tokens",
                           WHET_I_MAX_SPECIAL);
    out->ids[*n] = (int32_t)value;
    out->types[(*n)++] = type;
    return WHET_OK;
}

static void add_sequence(whet_i_template *out, int which, uint8_t type) {
    if (which == 1 && out->n_sequences == 0) out->second_text_first = true;
    out->type_of[which] = type;
    const int32_t n = out->end[out->n_sequences];
    out->end[++out->n_sequences] = n;
}

/* ---- TemplateProcessing ----------------------------------------------------------------------- */

static whet_status read_type(whet_ctx *ctx, const json_t *piece, uint8_t *type) {
    const json_t *id = json_object_get(piece, "type_id");
    if (id && (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > 255))
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "post_processor: a type_id is no integer from 0 to 255");
    *type = (uint8_t)(id ? json_integer_value(id) : 0);
    return WHET_OK;
}

/* Piece i of the list called `key`: a special token with its ids, or a sequence. */
static whet_status read_piece(whet_ctx *ctx, const whet_tokenizer *tok, const json_t *tokens,
                              const char *key, int i, const json_t *piece, bool seen[2],
                              whet_i_template *out) {
    char quoted[WHET_QUOTE_SIZE];
    const bool pair = strcmp(key, "pair") == 0;
    const json_t *sequence = json_object_get(piece, "Sequence");
    const json_t *special = json_object_get(piece, "SpecialToken");
    const json_t *name = json_object_get(special, "id");
    uint8_t type;
    WHET_TRY(read_type(ctx, sequence ? sequence : special, &type));
    for (int which = 0; which < (pair ? 2 : 1) && sequence; which++) {
        if (seen[which] || !whet_i_json_is(json_object_get(sequence, "id"), which ? "B" : "A"))
            continue;
        seen[which] = true;
        add_sequence(out, which, type);
        return WHET_OK;
    }
    if (sequence || !json_is_string(name))
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "post_processor: piece %d of \"%s\" is neither a special token nor %s",
                           i, key, pair ? "a sequence A or B, each once" : "the one sequence A");
    const json_t *ids = json_object_get(json_object_get(tokens, json_string_value(name)), "ids");
    if (!json_is_array(ids))
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "post_processor: %s is not among the special_tokens",
                           whet_i_quote(quoted, whet_i_json_text(name)));
    for (size_t k = 0; k < json_array_size(ids); k++)
        WHET_TRY(add_special(ctx, tok, out, json_array_get(ids, k), type));
    return WHET_OK;
}

static whet_status read_template(whet_ctx *ctx, const whet_tokenizer *tok, const json_t *json,
                                 const char *key, whet_i_template *out) {
    const json_t *list = json_object_get(json, key);
    const json_t *tokens = json_object_get(json, "special_tokens");
    const bool pair = strcmp(key, "pair") == 0;
    bool seen[2] = {false, !pair};
    *out = (whet_i_template){0};
    for (size_t i = 0; i < json_array_size(list); i++)
        WHET_TRY(read_piece(ctx, tok, tokens, key, (int)i, json_array_get(list, i), seen, out));
    if (!seen[0] || !seen[1])
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "post_processor: \"%s\" has no sequence %s; expected one", key,
                           seen[0] ? "B" : "A");
    return WHET_OK;
}

/* ---- BertProcessing, RobertaProcessing -------------------------------------------------------- */

/* [CLS] a [SEP] b [SEP] of segments 0 and 1; <s> a </s></s> b </s>, all of segment 0. */
static whet_status read_cls_sep(whet_ctx *ctx, whet_tokenizer *tok, const json_t *json,
                                bool roberta) {
    const json_t *cls = json_array_get(json_object_get(json, "cls"), 1);
    const json_t *sep = json_array_get(json_object_get(json, "sep"), 1);
    const uint8_t second = roberta ? 0 : 1;
    tok->single = tok->pair = (whet_i_template){0};
    WHET_TRY(add_special(ctx, tok, &tok->single, cls, 0));
    add_sequence(&tok->single, 0, 0);
    WHET_TRY(add_special(ctx, tok, &tok->single, sep, 0));
    tok->pair = tok->single;
    if (roberta) WHET_TRY(add_special(ctx, tok, &tok->pair, sep, 0));
    add_sequence(&tok->pair, 1, second);
    return add_special(ctx, tok, &tok->pair, sep, second);
}

/* ---- the whole -------------------------------------------------------------------------------- */

static whet_status read_step(whet_ctx *ctx, whet_tokenizer *tok, const json_t *json, int depth,
                             int *adding) {
    const json_t *type = json_object_get(json, "type");
    if (whet_i_json_is(type, "ByteLevel")) return WHET_OK;
    if (whet_i_json_is(type, "Sequence") && depth == 0) {
        const json_t *steps = json_object_get(json, "processors");
        if (!json_is_array(steps))
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "post_processor Sequence: \"processors\" is no list; expected one");
        for (size_t i = 0; i < json_array_size(steps); i++)
            WHET_TRY(read_step(ctx, tok, json_array_get(steps, i), 1, adding));
        return WHET_OK;
    }
    if (++*adding > 1)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "post_processor Sequence: two steps that add tokens; expected one");
    if (whet_i_json_is(type, "TemplateProcessing")) {
        WHET_TRY(read_template(ctx, tok, json, "single", &tok->single));
        tok->pair = (whet_i_template){0};
        return json_object_get(json, "pair") ? read_template(ctx, tok, json, "pair", &tok->pair)
                                             : WHET_OK;
    }
    const bool roberta = whet_i_json_is(type, "RobertaProcessing");
    if (roberta || whet_i_json_is(type, "BertProcessing"))
        return read_cls_sep(ctx, tok, json, roberta);
    return whet_i_tokenizer_unsupported(
        ctx, "post_processor", type,
        "TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel, or one Sequence of "
        "them");
}

whet_status whet_i_post_processor_read(whet_ctx *ctx, whet_tokenizer *tok, const json_t *json) {
    int adding = 0;
    tok->single = tok->pair = (whet_i_template){0};
    add_sequence(&tok->single, 0, 0);
    add_sequence(&tok->pair, 0, 0);
    add_sequence(&tok->pair, 1, 1);
    return json && !json_is_null(json) ? read_step(ctx, tok, json, 0, &adding) : WHET_OK;
}
