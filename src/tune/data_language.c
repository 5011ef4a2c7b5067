/* SPDX-License-Identifier: Apache-2.0
 * A table of texts, or of prompts and what is to follow them, to rows of tokens for a language model.
 *
 * Each text ends with the model's end token. A text longer than fits is cut into pieces that share one
 * token, so that each token but the first is asked for once. Of a prompt and its target only the target is
 * asked for: from where the tokens of both together leave those of the prompt alone, which is what the
 * model will be given. Where both do not fit, the prompt loses its begin, then the target its end.
 * Legend: W tokens of a whole text, asked the first of them that is asked for, L tokens that fit. */
#include <inttypes.h>

#include "tune/tune_i.h"

enum { MOST = 1024 }; /* tokens a text, unless the job says another number */

typedef struct source {
    int64_t n;         /* texts that are not blank */
    whet_str *texts;   /* [n] prompt and target together */
    whet_str *prompts; /* [n], or NULL */
    whet_token_rows whole, prompt;
    int64_t *asked;  /* [n] */
    int64_t crossed; /* prompts whose end is within a token of W */
} source;

/* ---- what is read ----------------------------------------------------------------------------- */

bool whet_i_tune_reads_language(const whet_i_tune *run, const whet_table *table) {
    const whet_tune_job *j = &run->job;
    if (!run->backbone.causal || j->probs) return false;
    if (j->loss == WHET_TUNE_CAUSAL || j->task == WHET_TUNE_LANGUAGE || j->target) return true;
    return j->loss == WHET_TUNE_LOSS_AUTO && j->task == WHET_TUNE_AUTO && !j->classes &&
           !j->space && !j->second && strcmp(j->label, "label") == 0 &&
           whet_names_find(whet_table_columns(table), whet_str_from(j->label)) < 0;
}

static whet_status check_settings(whet_ctx *ctx, const whet_i_tune *run) {
    const whet_tune_job *j = &run->job;
    const char *extra = j->second          ? "a column of second texts"
                        : j->classes       ? "a class list"
                        : j->space         ? "a space"
                        : j->smoothing > 0 ? "label smoothing"
                                           : NULL;
    if (extra)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s is given, and a language model is trained on its texts alone; "
                           "expected none, or a column of labels",
                           extra);
    if (run->backbone.max_length < 2)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "texts of one token have no next token; expected at least 2 a text");
    return WHET_OK;
}

static bool is_blank(whet_str text) { return whet_i_trim(text).len == 0; }

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* Prompt and target, with a space between unless one of them has it. */
static whet_status join(whet_ctx *ctx, whet_i_arena *arena, whet_str prompt, whet_str target,
                        whet_str *out) {
    const int64_t gap =
        prompt.len > 0 && !is_space(prompt.ptr[prompt.len - 1]) && !is_space(target.ptr[0]);
    int64_t len;
    char *text;
    WHET_TRY(whet_i_add(ctx, prompt.len, target.len, &len));
    WHET_TRY(whet_i_add(ctx, len, gap, &len));
    WHET_TRY(whet_i_arena_alloc(ctx, arena, len, 1, &text));
    if (prompt.len) memcpy(text, prompt.ptr, (size_t)prompt.len);
    if (gap) text[prompt.len] = ' ';
    memcpy(text + prompt.len + gap, target.ptr, (size_t)target.len);
    *out = (whet_str){text, len};
    return WHET_OK;
}

static whet_status read_texts(whet_ctx *ctx, const whet_i_tune *run, const whet_table *table,
                              whet_i_arena *arena, source *s) {
    const int64_t rows = whet_table_rows(table);
    int64_t text, target = -1;
    WHET_TRY(whet_table_find(ctx, table, run->job.text, &text));
    if (run->job.target) WHET_TRY(whet_table_find(ctx, table, run->job.target, &target));
    WHET_TRY(whet_i_alloc(ctx, rows, &s->texts));
    if (target >= 0) WHET_TRY(whet_i_alloc(ctx, rows, &s->prompts));
    for (int64_t i = 0; i < rows; i++) {
        const whet_str first = whet_table_cell(table, i, text);
        const whet_str second = target >= 0 ? whet_table_cell(table, i, target) : first;
        if (is_blank(second)) continue;
        s->texts[s->n] = first;
        if (target >= 0) {
            s->prompts[s->n] = first;
            WHET_TRY(join(ctx, arena, first, second, &s->texts[s->n]));
        }
        s->n++;
    }
    return WHET_OK;
}

/* ---- tokens ----------------------------------------------------------------------------------- */

static bool is_end(const whet_i_llama_config *c, int32_t id) {
    for (int32_t i = 0; i < c->n_ends; i++)
        if (c->ends[i] == id) return true;
    return false;
}

static int64_t length_of(const whet_token_rows *rows, int64_t i) {
    return rows->start[i + 1] - rows->start[i];
}

/* The first token of W that the prompt's tokens do not tell. */
static int64_t first_asked(const whet_i_llama_config *c, source *s, int64_t i) {
    if (!s->prompts) return 1;
    const int32_t *w = s->whole.ids + s->whole.start[i], *p = s->prompt.ids + s->prompt.start[i];
    int64_t n = length_of(&s->prompt, i), same = 0;
    while (n > 0 && is_end(c, p[n - 1])) n--; /* what some tokenizers end every text with */
    while (same < n && same < length_of(&s->whole, i) && w[same] == p[same]) same++;
    s->crossed += same < n;
    return same > 1 ? same : 1;
}

static whet_status encode(whet_ctx *ctx, const whet_i_tune *run, source *s) {
    const whet_tokenizer *t = run->backbone.tokenizer;
    WHET_TRY(whet_tokenizer_encode(ctx, t, s->texts, s->n, 0, &s->whole));
    if (s->prompts) WHET_TRY(whet_tokenizer_encode(ctx, t, s->prompts, s->n, 0, &s->prompt));
    WHET_TRY(whet_i_alloc(ctx, s->n, &s->asked));
    for (int64_t i = 0; i < s->n; i++) s->asked[i] = first_asked(&run->backbone.llama, s, i);
    return WHET_OK;
}

/* ---- rows ------------------------------------------------------------------------------------- */

typedef struct builder {
    whet_i_tune_rows *rows;
    const whet_i_llama_config *c;
    int64_t most;  /* L */
    bool end;      /* texts end with the end token */
    whet_str text; /* of the row that is made */
} builder;

static void put(builder *b, const int32_t *ids, int64_t n) {
    whet_token_rows *t = &b->rows->tokens;
    if (n > 0) memcpy(t->ids + t->start[b->rows->n + 1], ids, (size_t)n * sizeof *ids);
    t->start[b->rows->n + 1] += n;
}

static void end_row(builder *b, int64_t asked) {
    whet_i_tune_rows *r = b->rows;
    const int64_t i = r->n++;
    r->texts[i] = b->text;
    r->asked[i] = (int32_t)asked;
    r->lengths[i] = length_of(&r->tokens, i);
    r->n_asked += r->lengths[i] - asked;
    r->tokens.n_rows = r->n;
    r->tokens.start[r->n + 1] = r->tokens.start[r->n];
}

static void put_pieces(builder *b, const int32_t *w, int64_t n) {
    b->rows->cut += n > b->most;
    for (int64_t at = 0; at < n - 1; at += b->most - 1) {
        put(b, w + at, n - at < b->most ? n - at : b->most);
        end_row(b, 1);
    }
}

static void put_prompt_and_target(builder *b, const int32_t *w, int64_t n, int64_t asked) {
    const int64_t wanted = n - asked;
    int64_t kept = b->most - wanted < 1 ? 1 : b->most - wanted; /* of the prompt */
    if (kept > asked) kept = asked;
    const int64_t target = wanted < b->most - kept ? wanted : b->most - kept;
    const bool begin = kept < asked && w[0] == b->c->begin;
    b->rows->truncated += kept < asked || target < wanted;
    if (begin) put(b, w, 1);
    put(b, w + asked - kept + begin, kept - begin + target);
    end_row(b, kept);
}

/* How many rows and tokens the texts will have at most. */
static whet_status count(whet_ctx *ctx, const source *s, int64_t most, int64_t *rows,
                         int64_t *tokens) {
    *rows = *tokens = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const int64_t n = length_of(&s->whole, i) + 1, pieces = 1 + n / (most - 1);
        *rows += pieces;
        WHET_TRY(whet_i_add(ctx, *tokens, n + pieces, tokens));
    }
    return WHET_OK;
}

static whet_status make_room(whet_ctx *ctx, const source *s, int64_t most, whet_i_tune_rows *rows) {
    int64_t n, tokens;
    WHET_TRY(count(ctx, s, most, &n, &tokens));
    WHET_TRY(whet_i_alloc(ctx, n, &rows->texts));
    WHET_TRY(whet_i_alloc(ctx, n, &rows->asked));
    WHET_TRY(whet_i_alloc(ctx, n, &rows->lengths));
    WHET_TRY(whet_i_calloc(ctx, n + 2, &rows->tokens.start));
    return whet_i_alloc(ctx, tokens, &rows->tokens.ids);
}

/* W, with the end token behind it. */
static int64_t finish_text(const builder *b, const source *s, int64_t i, int32_t *w) {
    int64_t n = length_of(&s->whole, i);
    if (n > 0) memcpy(w, s->whole.ids + s->whole.start[i], (size_t)n * sizeof *w);
    if (b->end && (n == 0 || !is_end(b->c, w[n - 1]))) w[n++] = b->c->ends[0];
    return n;
}

static whet_status make_rows(whet_ctx *ctx, const whet_i_tune *run, const source *s,
                             whet_i_tune_rows *rows) {
    builder b = {.rows = rows, .c = &run->backbone.llama, .most = run->backbone.max_length};
    int64_t longest = 0;
    int32_t *w;
    b.end = b.c->n_ends > 0 && !run->job.no_end;
    for (int64_t i = 0; i < s->n; i++)
        if (length_of(&s->whole, i) > longest) longest = length_of(&s->whole, i);
    WHET_TRY(make_room(ctx, s, b.most, rows));
    WHET_TRY(whet_i_alloc(ctx, longest + 1, &w));
    for (int64_t i = 0; i < s->n; i++) {
        const int64_t n = finish_text(&b, s, i, w);
        b.text = s->texts[i];
        if (n <= s->asked[i]) continue; /* nothing is asked for */
        if (s->prompts)
            put_prompt_and_target(&b, w, n, s->asked[i]);
        else
            put_pieces(&b, w, n);
    }
    whet_i_free(ctx, w);
    return WHET_OK;
}

/* ---- a table ---------------------------------------------------------------------------------- */

static void tell(whet_ctx *ctx, const whet_i_tune *run, const source *s,
                 const whet_i_tune_rows *rows) {
    const int64_t most = run->backbone.max_length;
    if (rows->cut)
        whet_i_log(ctx, WHET_LOG_INFO,
                   "%s: %" PRId64 " texts are longer than %" PRId64
                   " tokens and are read in pieces, %" PRId64 " rows in all",
                   rows->path, rows->cut, most, rows->n);
    if (rows->truncated)
        whet_i_log(ctx, WHET_LOG_WARN,
                   "%s: %" PRId64 " of %" PRId64
                   " prompts with their targets are longer than %" PRId64
                   " tokens; the prompts' begin, or the targets' end, is not read",
                   rows->path, rows->truncated, rows->n, most);
    if (s->crossed)
        whet_i_log(ctx, WHET_LOG_WARN,
                   "%s: %" PRId64
                   " prompts end within a token of prompt and target together; that token is asked "
                   "for, though generating begins behind the prompt",
                   rows->path, s->crossed);
}

static void free_source(whet_ctx *ctx, source *s) {
    whet_i_free(ctx, s->asked);
    whet_token_rows_destroy(ctx, &s->prompt);
    whet_token_rows_destroy(ctx, &s->whole);
    whet_i_free(ctx, s->prompts);
    whet_i_free(ctx, s->texts);
}

whet_status whet_i_tune_read_language(whet_ctx *ctx, whet_i_tune *run, whet_i_tune_rows *rows) {
    source s = {0};
    whet_status status = WHET_OK;
    if (!run->job.max_length && run->backbone.max_length > MOST) run->backbone.max_length = MOST;
    WHET_TRY_DONE(check_settings(ctx, run));
    WHET_TRY_DONE(read_texts(ctx, run, rows->table, &run->arena, &s));
    whet_i_warn_of_texts(ctx, rows->path, s.texts, s.n);
    WHET_TRY_DONE(encode(ctx, run, &s));
    WHET_TRY_DONE(make_rows(ctx, run, &s, rows));
    rows->unlabelled = whet_table_rows(rows->table) - s.n;
    tell(ctx, run, &s, rows);
    if (rows->n == 0)
        status = whet_i_fail(ctx, WHET_ERR_DATA,
                             "%s: no text of two tokens or more in column \"%s\"; expected some",
                             rows->path, run->job.target ? run->job.target : run->job.text);
done:
    free_source(ctx, &s);
    return status;
}
