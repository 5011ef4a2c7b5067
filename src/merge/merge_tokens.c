/* SPDX-License-Identifier: Apache-2.0
 * Vocabularies that differ: the rows of tables of words are matched by token, not by number. The output's
 * tokens are the base's (or another folder's), or those and what the other models have beside, in their
 * order (union), and those that the recipe names. What a model takes that lacks a token is as in mergekit:
 * the vector of the base; if that lacks it, of the one model that has it, or the mean of those that have it;
 * or what the recipe says, which it may also force on models that have the token. Rows that are no token are
 * zero. */
#include <stdio.h>
#include <sys/stat.h>

#include "merge/merge_plan.h"

enum { JSON_BYTES_MAX = 1 << 28, TOKENS_MAX = 1 << 24 };

/* Tokens by their text, and the row of each. */
typedef struct tokens {
    whet_names *names;
    int64_t *row;     /* [count] */
    int64_t cap, top; /* one more than the highest row */
    bool appended;    /* to the document */
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

/* A token more, behind the others; noted in the document as an added token. */
static whet_status append(whet_ctx *ctx, tokens *out, const char *where, whet_str text) {
    json_t *added = json_object_get(out->document, "added_tokens");
    if (!json_is_array(added)) {
        added = json_array();
        if (json_object_set_new(out->document, "added_tokens", added) != 0)
            return whet_i_fail(ctx, WHET_ERR_NOMEM, "out of memory: tokenizer.json");
    }
    const int64_t row = out->top;
    WHET_TRY(add_token(ctx, where, out, text, row));
    json_t *entry = json_pack("{s:I, s:s%, s:b, s:b, s:b, s:b, s:b}", "id", (json_int_t)row,
                              "content", text.ptr, (size_t)text.len, "single_word", 0, "lstrip", 0,
                              "rstrip", 0, "normalized", 0, "special", 0);
    if (!entry || json_array_append_new(added, entry) != 0)
        return whet_i_fail(ctx, WHET_ERR_NOMEM, "out of memory: tokenizer.json");
    out->appended = true;
    return WHET_OK;
}

static whet_status unite(whet_ctx *ctx, tokens *out, const tokens *other) {
    for (int64_t i = 0; i < whet_names_count(other->names); i++) {
        const whet_str text = whet_names_get(other->names, i);
        if (whet_names_find(out->names, text) < 0) WHET_TRY(append(ctx, out, "union", text));
    }
    return WHET_OK;
}

/* Tokens that the recipe names and nobody has. */
static whet_status append_named(whet_ctx *ctx, tokens *out, const whet_i_recipe *recipe) {
    for (int64_t i = 0; i < recipe->n_tokens; i++) {
        const whet_str text = whet_str_from(recipe->token[i].text);
        if (whet_names_find(out->names, text) < 0)
            WHET_TRY(append(ctx, out, recipe->token[i].place, text));
    }
    return WHET_OK;
}

/* The rows of tables of words of a model, the fewest; or 0. */
static int64_t table_rows(const whet_i_merge_model *model) {
    int64_t rows = INT64_MAX;
    for (int64_t i = 0; i < whet_names_count(model->names); i++) {
        const char *name = whet_names_get(model->names, i).ptr;
        whet_tensor view;
        const whet_i_merge_file *file;
        if (whet_i_has_token_rows(name) &&
            whet_i_merge_model_find(model, name, &view, &file, NULL) && view.rank == 2 &&
            view.shape[0] < rows)
            rows = view.shape[0];
    }
    return rows == INT64_MAX ? 0 : rows;
}

/* ---- rows ------------------------------------------------------------------------------------- */

/* The rows of every model, and by default what those take that have none. */
static whet_status map_rows(whet_ctx *ctx, whet_merge_plan *plan, const tokens *out,
                            const tokens *of) {
    whet_i_merge_vocabulary *v = &plan->vocabulary;
    for (int64_t r = 0; r < v->size; r++) v->id[r] = -1;
    for (int64_t m = 0; m < v->n; m++) {
        const int64_t rows = table_rows(&plan->models[m]);
        WHET_TRY(whet_i_alloc(ctx, v->size, &v->rows[m]));
        for (int64_t r = 0; r < v->size; r++) v->rows[m][r] = -1;
        for (int64_t i = 0; i < whet_names_count(out->names); i++) {
            const int64_t at = whet_names_find(of[m].names, whet_names_get(out->names, i));
            if (at >= 0 && m == 0) v->id[out->row[i]] = of[0].row[at];
            if (at >= 0 && of[m].row[at] < rows) v->rows[m][out->row[i]] = of[m].row[at];
        }
    }
    for (int64_t r = 0; r < v->size; r++) {
        int64_t have = 0, last = -1;
        for (int64_t m = 0; m < v->n; m++)
            if (v->rows[m][r] >= 0) {
                last = m;
                have++;
            }
        if (plan->base >= 0 && v->rows[plan->base][r] >= 0) last = plan->base;
        v->from[r] = have == 0                         ? WHET_I_ROW_ZERO
                     : have == 1 || last == plan->base ? (int32_t)last
                                                       : WHET_I_ROW_MEAN;
        if (v->from[r] >= 0) v->row[r] = v->rows[last][r];
    }
    return WHET_OK;
}

/* What the recipe says about the token at a row. */
static whet_status apply(whet_ctx *ctx, whet_merge_plan *plan, const tokens *of,
                         const whet_i_recipe_token *rule, int64_t to) {
    whet_i_merge_vocabulary *v = &plan->vocabulary;
    char quoted[WHET_QUOTE_SIZE];
    v->forced[to] = rule->force;
    if (rule->source == WHET_I_TOKEN_DEFAULT && v->from[to] == WHET_I_ROW_ZERO)
        return whet_i_fail(ctx, WHET_ERR_DATA, "%s: no model has it; expected a \"source\"",
                           rule->place);
    if (rule->source == WHET_I_TOKEN_ZERO) v->from[to] = WHET_I_ROW_ZERO;
    if (rule->source == WHET_I_TOKEN_DEFAULT || rule->source == WHET_I_TOKEN_ZERO) return WHET_OK;
    int64_t m = 0, row = rule->id;
    while (m < v->n && !(whet_i_merge_same_path(plan->models[m].path, rule->model) &&
                         whet_i_merge_same_path(plan->models[m].lora, rule->lora)))
        m++;
    if (m == v->n)
        return whet_i_fail(ctx, WHET_ERR_DATA, "%s: %s is not merged; expected one of the models",
                           rule->place, whet_i_quote(quoted, whet_str_from(rule->model)));
    const char *text = rule->source == WHET_I_TOKEN_OTHER ? rule->token : rule->text;
    if (text) {
        const int64_t at = whet_names_find(of[m].names, whet_str_from(text));
        if (at < 0)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s: %s has no token %s; expected one of its own", rule->place,
                               plan->models[m].path, whet_i_quote(quoted, whet_str_from(text)));
        row = of[m].row[at];
    }
    if (row >= table_rows(&plan->models[m]))
        return whet_i_fail(ctx, WHET_ERR_DATA, "%s: row %lld of %s; expected one below %lld",
                           rule->place, (long long)row, plan->models[m].path,
                           (long long)table_rows(&plan->models[m]));
    v->from[to] = (int32_t)m;
    v->row[to] = row;
    return WHET_OK;
}

static whet_status apply_all(whet_ctx *ctx, whet_merge_plan *plan, const tokens *out,
                             const tokens *of) {
    whet_i_merge_vocabulary *v = &plan->vocabulary;
    for (int64_t i = 0; i < plan->recipe.n_tokens; i++) {
        const whet_i_recipe_token *rule = &plan->recipe.token[i];
        const int64_t at = whet_names_find(out->names, whet_str_from(rule->text));
        WHET_TRY(apply(ctx, plan, of, rule, out->row[at]));
    }
    for (int64_t r = 0; r < v->size; r++) {
        bool taken = v->forced[r];
        for (int64_t m = 0; m < v->n; m++) taken |= v->rows[m][r] < 0;
        if (taken && v->from[r] >= 0) v->lends[v->from[r]] = true;
        for (int64_t m = 0; taken && v->from[r] == WHET_I_ROW_MEAN && m < v->n; m++)
            v->lends[m] |= v->rows[m][r] >= 0;
    }
    return WHET_OK;
}

/* ---- the whole -------------------------------------------------------------------------------- */

static whet_status check(whet_ctx *ctx, const whet_merge_plan *plan) {
    const whet_i_recipe *recipe = &plan->recipe;
    if (plan->single)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s: a tokenizer is asked for; expected a folder to write",
                           plan->output);
    if (recipe->tokens == WHET_I_TOKENS_BASE && !recipe->base)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "tokenizer source base, and no base_model; expected one");
    for (int64_t i = 0; i < recipe->n; i++)
        for (int64_t k = 0; k < recipe->slices[i].n; k++)
            if (recipe->slices[i].sources[k].importance)
                return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                                   "%s: importances, and a tokenizer that moves rows of tables; "
                                   "expected one of them",
                                   recipe->slices[i].sources[k].importance);
    return WHET_OK;
}

whet_status whet_i_plan_vocabulary(whet_ctx *ctx, whet_merge_plan *plan) {
    const whet_i_recipe *recipe = &plan->recipe;
    whet_i_merge_vocabulary *v = &plan->vocabulary;
    const int64_t n = plan->n_models, pad = recipe->pad_to_multiple_of;
    tokens *of = NULL, out = {0};
    whet_status status = WHET_OK;
    if (recipe->tokens == WHET_I_TOKENS_SAME) return WHET_OK;
    WHET_TRY(check(ctx, plan));
    WHET_TRY_DONE(whet_i_calloc(ctx, n, &of));
    for (int64_t m = 0; m < n; m++) WHET_TRY_DONE(read_tokens(ctx, plan->models[m].path, &of[m]));
    WHET_TRY_DONE(read_tokens(
        ctx, recipe->tokens == WHET_I_TOKENS_PATH ? recipe->tokens_path : plan->models[0].path,
        &out));
    for (int64_t m = 1; recipe->tokens == WHET_I_TOKENS_UNION && m < n; m++)
        WHET_TRY_DONE(unite(ctx, &out, &of[m]));
    WHET_TRY_DONE(append_named(ctx, &out, recipe));
    v->size = out.top;
    if (recipe->tokens != WHET_I_TOKENS_UNION && recipe->tokens != WHET_I_TOKENS_PATH &&
        table_rows(&plan->models[0]) > v->size)
        v->size = table_rows(&plan->models[0]); /* rows beyond the tokens stay, as zeros */
    if (pad) v->size = (v->size + pad - 1) / pad * pad;
    WHET_TRY_DONE(whet_i_calloc(ctx, n, &v->rows));
    WHET_TRY_DONE(whet_i_calloc(ctx, n, &v->lends));
    WHET_TRY_DONE(whet_i_calloc(ctx, v->size, &v->id));
    WHET_TRY_DONE(whet_i_calloc(ctx, v->size, &v->row));
    WHET_TRY_DONE(whet_i_calloc(ctx, v->size, &v->from));
    WHET_TRY_DONE(whet_i_calloc(ctx, v->size, &v->forced));
    v->n = n;
    WHET_TRY_DONE(map_rows(ctx, plan, &out, of));
    WHET_TRY_DONE(apply_all(ctx, plan, &out, of));
    if (recipe->tokens == WHET_I_TOKENS_UNION || out.appended)
        v->tokenizer = json_incref(out.document);
done:
    for (int64_t m = 0; of && m < n; m++) clear(ctx, &of[m]);
    whet_i_free(ctx, of);
    clear(ctx, &out);
    return status;
}

uint64_t whet_i_vocabulary_hash(const whet_i_merge_vocabulary *v) {
    if (!v->size) return 0;
    uint64_t hash = whet_i_hash_bytes(v->row, v->size * (int64_t)sizeof *v->row);
    hash = whet_i_hash_u64(hash ^ whet_i_hash_bytes(v->from, v->size * (int64_t)sizeof *v->from));
    hash =
        whet_i_hash_u64(hash ^ whet_i_hash_bytes(v->forced, v->size * (int64_t)sizeof *v->forced));
    for (int64_t m = 0; m < v->n; m++)
        hash = whet_i_hash_u64(
            hash ^ whet_i_hash_bytes(v->rows[m], v->size * (int64_t)sizeof *v->rows[m]));
    return hash;
}

void whet_i_vocabulary_clear(whet_ctx *ctx, whet_merge_plan *plan) {
    whet_i_merge_vocabulary *v = &plan->vocabulary;
    for (int64_t m = 0; m < v->n; m++) whet_i_free(ctx, v->rows[m]);
    whet_i_free(ctx, v->rows);
    whet_i_free(ctx, v->id);
    whet_i_free(ctx, v->row);
    whet_i_free(ctx, v->from);
    whet_i_free(ctx, v->forced);
    whet_i_free(ctx, v->lends);
    json_decref(v->tokenizer);
}
