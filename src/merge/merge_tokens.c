/* SPDX-License-Identifier: Apache-2.0
 * Vocabularies that differ: the rows of tables of words are matched by token, not by number. The output's
 * tokens are the base's (or another folder's), or those and what the other models have beside, in their
 * order (union). A model that lacks a token takes the vector of the first model that has it, the base
 * before others, so that the merged vector is that of the models that know the token; rows that are no
 * token are zero. */
#include <stdio.h>
#include <sys/stat.h>

#include "merge/merge_plan.h"

enum { JSON_BYTES_MAX = 1 << 28, TOKENS_MAX = 1 << 24 };

/* Tokens by their text, and the row of each. */
typedef struct tokens {
    whet_names *names;
    int64_t *row;     /* [count] */
    int64_t cap, top; /* one more than the highest row */
    json_t *document;
} tokens;

static void clear(whet_ctx *ctx, tokens *t) {
    whet_names_destroy(ctx, t->names);
    whet_i_free(ctx, t->row);
    json_decref(t->document);
    *t = (tokens){0};
}

static whet_status add_token(whet_ctx *ctx, const char *where, tokens *t, whet_str text,
                             int64_t row) {
    int64_t at;
    if (row < 0 || row >= TOKENS_MAX || text.len == 0)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: a token of id %lld; expected 0 to %d, and text", where,
                           (long long)row, TOKENS_MAX - 1);
    WHET_TRY(whet_names_add(ctx, t->names, text, &at));
    if (at >= t->cap) {
        WHET_TRY(whet_i_realloc(ctx, &t->row, 2 * at + 1024));
        t->cap = 2 * at + 1024;
    }
    t->row[at] = row;
    if (row + 1 > t->top) t->top = row + 1;
    return WHET_OK;
}

/* tokenizer.json: model.vocab as an object or a list of pairs, and added_tokens. */
static whet_status read_tokens(whet_ctx *ctx, const char *folder, tokens *t) {
    char *path = NULL;
    json_t *model, *added;
    const char *key;
    const json_t *value;
    size_t i;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_join_path(ctx, folder, "tokenizer.json", &path));
    WHET_TRY_DONE(whet_i_json_read(ctx, path, JSON_BYTES_MAX, &t->document));
    WHET_TRY_DONE(whet_names_create(ctx, &t->names));
    WHET_TRY_DONE(whet_i_json_object(ctx, path, t->document, "model", &model));
    json_t *vocab = json_object_get(model, "vocab");
    json_object_foreach(vocab, key, value) WHET_TRY_DONE(add_token(
        ctx, path, t, whet_str_from(key), json_is_integer(value) ? json_integer_value(value) : -1));
    json_array_foreach(vocab, i, value) {
        const char *text = json_string_value(json_array_get(value, 0));
        WHET_TRY_DONE(add_token(ctx, path, t, whet_str_from(text ? text : ""), (int64_t)i));
    }
    WHET_TRY_DONE(whet_i_json_array_or_none(ctx, path, t->document, "added_tokens", &added));
    json_array_foreach(added, i, value) {
        whet_str text;
        int64_t row;
        WHET_TRY_DONE(whet_i_json_str(ctx, path, value, "content", &text));
        WHET_TRY_DONE(whet_i_json_int(ctx, path, value, "id", 0, TOKENS_MAX - 1, &row));
        WHET_TRY_DONE(add_token(ctx, path, t, text, row));
    }
    if (t->top == 0)
        status = whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: no tokens; expected \"vocab\"", path);
done:
    whet_i_free(ctx, path);
    return status;
}

/* The tokens of the others that `out` lacks, behind its own; noted in its document as added tokens. */
static whet_status unite(whet_ctx *ctx, tokens *out, const tokens *other) {
    json_t *added = json_object_get(out->document, "added_tokens");
    if (!json_is_array(added)) {
        added = json_array();
        if (json_object_set_new(out->document, "added_tokens", added) != 0)
            return whet_i_fail(ctx, WHET_ERR_NOMEM, "out of memory: tokenizer.json");
    }
    for (int64_t i = 0; i < whet_names_count(other->names); i++) {
        const whet_str text = whet_names_get(other->names, i);
        if (whet_names_find(out->names, text) >= 0) continue;
        const int64_t row = out->top;
        WHET_TRY(add_token(ctx, "union", out, text, row));
        json_t *entry = json_pack("{s:I, s:s%, s:b, s:b, s:b, s:b, s:b}", "id", (json_int_t)row,
                                  "content", text.ptr, (size_t)text.len, "single_word", 0, "lstrip",
                                  0, "rstrip", 0, "normalized", 0, "special", 0);
        if (!entry || json_array_append_new(added, entry) != 0)
            return whet_i_fail(ctx, WHET_ERR_NOMEM, "out of memory: tokenizer.json");
    }
    return WHET_OK;
}

/* The rows of tables of words of a model, or 0. */
static int64_t table_rows(const whet_i_merge_model *model) {
    for (int64_t i = 0; i < whet_names_count(model->names); i++) {
        const char *name = whet_names_get(model->names, i).ptr;
        whet_tensor view;
        const whet_i_merge_file *file;
        if (whet_i_has_token_rows(name) &&
            whet_i_merge_model_find(model, name, &view, &file, NULL) && view.rank == 2)
            return view.shape[0];
    }
    return 0;
}

/* rows and from of every model, for each row of the output. */
static whet_status map_rows(whet_ctx *ctx, whet_merge_plan *plan, const tokens *out,
                            const tokens *of, int64_t n) {
    whet_i_merge_vocabulary *v = &plan->vocabulary;
    for (int64_t m = 0; m < n; m++) {
        WHET_TRY(whet_i_alloc(ctx, v->size, &v->rows[m]));
        WHET_TRY(whet_i_calloc(ctx, v->size, &v->from[m]));
        for (int64_t r = 0; r < v->size; r++) v->rows[m][r] = -1;
    }
    for (int64_t i = 0; i < whet_names_count(out->names); i++) {
        const whet_str text = whet_names_get(out->names, i);
        const int64_t to = out->row[i];
        int64_t first = -1, first_row = -1;
        for (int64_t m = 0; m < n; m++) {
            const int64_t at = whet_names_find(of[m].names, text);
            if (at < 0 || of[m].row[at] >= table_rows(&plan->models[m])) continue;
            v->rows[m][to] = of[m].row[at];
            v->from[m][to] = (int32_t)m;
            if (first < 0) {
                first = m;
                first_row = of[m].row[at];
            }
        }
        for (int64_t m = 0; first >= 0 && m < n; m++)
            if (v->rows[m][to] < 0) {
                v->rows[m][to] = first_row;
                v->from[m][to] = (int32_t)first;
            }
    }
    return WHET_OK;
}

whet_status whet_i_plan_vocabulary(whet_ctx *ctx, whet_merge_plan *plan) {
    const whet_i_recipe *recipe = &plan->recipe;
    whet_i_merge_vocabulary *v = &plan->vocabulary;
    const int64_t n = plan->n_models, pad = recipe->pad_to_multiple_of;
    tokens *of = NULL, out = {0};
    whet_status status = WHET_OK;
    if (recipe->tokens == WHET_I_TOKENS_SAME && !pad) return WHET_OK;
    if (plan->single)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s: a tokenizer is asked for; expected a folder to "
                           "write",
                           plan->output);
    if (recipe->tokens == WHET_I_TOKENS_BASE && !recipe->base)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "tokenizer source base, and no base_model; expected "
                           "one");
    WHET_TRY_DONE(whet_i_calloc(ctx, n, &of));
    for (int64_t m = 0; m < n; m++) WHET_TRY_DONE(read_tokens(ctx, plan->models[m].path, &of[m]));
    WHET_TRY_DONE(read_tokens(
        ctx, recipe->tokens == WHET_I_TOKENS_PATH ? recipe->tokens_path : plan->models[0].path,
        &out));
    for (int64_t m = 1; recipe->tokens == WHET_I_TOKENS_UNION && m < n; m++)
        WHET_TRY_DONE(unite(ctx, &out, &of[m]));
    v->size = out.top;
    if (recipe->tokens != WHET_I_TOKENS_UNION && recipe->tokens != WHET_I_TOKENS_PATH &&
        table_rows(&plan->models[0]) > v->size)
        v->size = table_rows(&plan->models[0]); /* rows beyond the tokens stay, as zeros */
    if (pad) v->size = (v->size + pad - 1) / pad * pad;
    WHET_TRY_DONE(whet_i_calloc(ctx, n, &v->rows));
    WHET_TRY_DONE(whet_i_calloc(ctx, n, &v->from));
    v->n = n;
    WHET_TRY_DONE(map_rows(ctx, plan, &out, of, n));
    if (recipe->tokens == WHET_I_TOKENS_UNION) v->tokenizer = json_incref(out.document);
done:
    for (int64_t m = 0; of && m < n; m++) clear(ctx, &of[m]);
    whet_i_free(ctx, of);
    clear(ctx, &out);
    return status;
}

void whet_i_vocabulary_clear(whet_ctx *ctx, whet_merge_plan *plan) {
    whet_i_merge_vocabulary *v = &plan->vocabulary;
    for (int64_t m = 0; m < v->n; m++) {
        whet_i_free(ctx, v->rows[m]);
        whet_i_free(ctx, v->from[m]);
    }
    whet_i_free(ctx, v->rows);
    whet_i_free(ctx, v->from);
    json_decref(v->tokenizer);
}
