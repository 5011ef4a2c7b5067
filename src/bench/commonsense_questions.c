/* SPDX-License-Identifier: Apache-2.0
 * Multiple-choice questions: read, and asked of a language model by log p(choice | question). */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "bench/commonsense_i.h"

#define STREAM 0x71756573U

void whet_i_questions_free(whet_ctx *ctx, whet_i_questions *q) {
    whet_i_free(ctx, q->first);
    whet_i_free(ctx, q->right);
    whet_i_free(ctx, q->prompts);
    whet_i_free(ctx, q->rows);
    whet_table_destroy(ctx, q->table);
    whet_i_arena_free(ctx, &q->arena);
    *q = (whet_i_questions){0};
}

static whet_status path_of(whet_ctx *ctx, const char *data, const char *set, bool train,
                           char **out) {
    char name[128];
    (void)snprintf(name, sizeof name, "%s.%s.jsonl", set, train ? "train" : "test");
    return whet_i_join_path(ctx, data, name, out);
}

bool whet_i_questions_there(whet_ctx *ctx, const char *data, const char *set, bool train) {
    char *path;
    if (path_of(ctx, data, set, train, &path) != WHET_OK) return false;
    const bool there = access(path, R_OK) == 0;
    whet_i_free(ctx, path);
    return there;
}

int64_t whet_i_questions_choices(whet_str instruction, whet_str choices[WHET_I_CHOICES_MAX]) {
    static const char mark[] = "Answer format:";
    const int64_t length = (int64_t)sizeof mark - 1;
    int64_t at = instruction.len - length, n = 0;
    while (at >= 0 && memcmp(instruction.ptr + at, mark, (size_t)length) != 0) at--;
    if (at < 0) return 0;
    at += length;
    while (at < instruction.len && n < WHET_I_CHOICES_MAX) {
        int64_t end = at;
        while (end < instruction.len && instruction.ptr[end] != '/') end++;
        const whet_str choice = whet_i_trim((whet_str){instruction.ptr + at, end - at});
        if (choice.len > 0) choices[n++] = choice;
        at = end + 1;
    }
    return n;
}

/* ---- reading ----------------------------------------------------------------------------------- */

/* Question and choice, with a space between. */
static whet_status join(whet_ctx *ctx, whet_i_questions *q, whet_str prompt, whet_str choice,
                        whet_str *out) {
    char *text;
    int64_t len;
    WHET_TRY(whet_i_add(ctx, prompt.len, choice.len + 1, &len));
    WHET_TRY(whet_i_arena_alloc(ctx, &q->arena, len, 1, &text));
    memcpy(text, prompt.ptr, (size_t)prompt.len);
    text[prompt.len] = ' ';
    memcpy(text + prompt.len + 1, choice.ptr, (size_t)choice.len);
    *out = (whet_str){text, len};
    return WHET_OK;
}

/* The same words are the same choice: scored twice, one of them would be wrong. */
static bool is_again(const whet_str *choices, int64_t c) {
    bool again = false;
    for (int64_t i = 0; i < c; i++) again |= whet_str_equal(choices[i], choices[c]);
    return again;
}

static whet_status add_question(whet_ctx *ctx, whet_i_questions *q, int64_t line,
                                whet_str instruction, whet_str answer) {
    whet_str choices[WHET_I_CHOICES_MAX];
    char quoted[WHET_QUOTE_SIZE];
    const int64_t n = whet_i_questions_choices(instruction, choices), first = q->first[q->n];
    int64_t kept = 0;
    answer = whet_i_trim(answer);
    q->right[q->n] = -1;
    for (int64_t c = 0; c < n; c++) {
        if (is_again(choices, c)) continue;
        WHET_TRY(join(ctx, q, instruction, choices[c], &q->rows[first + kept]));
        if (whet_str_equal(choices[c], answer)) q->right[q->n] = first + kept;
        kept++;
    }
    if (q->right[q->n] < 0)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s:%" PRId64 ": the answer is %s; expected one of the choices behind "
                           "\"Answer format:\"",
                           whet_table_path(q->table), line, whet_i_quote(quoted, answer));
    q->prompts[q->n++] = instruction;
    q->first[q->n] = first + kept;
    return WHET_OK;
}

static whet_status fill(whet_ctx *ctx, int64_t most, uint64_t seed, int64_t *order,
                        whet_i_questions *q) {
    const int64_t rows = whet_table_rows(q->table), n = rows < most ? rows : most;
    int64_t instruction, answer, cells;
    whet_i_rng rng;
    WHET_TRY(whet_i_table_needs(ctx, q->table, "instruction", &instruction));
    WHET_TRY(whet_i_table_needs(ctx, q->table, "answer", &answer));
    if (n == 0)
        return whet_i_fail(ctx, WHET_ERR_DATA, "%s: no questions; expected some",
                           whet_table_path(q->table));
    WHET_TRY(whet_i_mul(ctx, n, WHET_I_CHOICES_MAX, &cells));
    WHET_TRY(whet_i_calloc(ctx, n + 1, &q->first));
    WHET_TRY(whet_i_alloc(ctx, n, &q->right));
    WHET_TRY(whet_i_alloc(ctx, n, &q->prompts));
    WHET_TRY(whet_i_alloc(ctx, cells, &q->rows));
    for (int64_t i = 0; i < rows; i++) order[i] = i;
    whet_i_rng_init(&rng, seed, STREAM);
    whet_i_rng_shuffle(&rng, order, rows);
    for (int64_t i = 0; i < n; i++)
        WHET_TRY(add_question(ctx, q, whet_table_line(q->table, order[i]),
                              whet_table_cell(q->table, order[i], instruction),
                              whet_table_cell(q->table, order[i], answer)));
    return WHET_OK;
}

whet_status whet_i_questions_read(whet_ctx *ctx, const char *data, const char *set, bool train,
                                  int64_t most, uint64_t seed, whet_i_questions *out) {
    whet_i_questions q = {0};
    char *path = NULL;
    int64_t *order = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(path_of(ctx, data, set, train, &path));
    WHET_TRY_DONE(whet_table_read(ctx, path, &q.table));
    WHET_TRY_DONE(whet_i_alloc(ctx, whet_table_rows(q.table), &order));
    WHET_TRY_DONE(fill(ctx, most, seed, order, &q));
    *out = q;
    q = (whet_i_questions){0};
done:
    whet_i_questions_free(ctx, &q);
    whet_i_free(ctx, order);
    whet_i_free(ctx, path);
    return status;
}

/* ---- asking ------------------------------------------------------------------------------------ */

/* Tokens of all rows, those too long without their begin, and where what is asked begins in each. */
typedef struct asking {
    whet_token_rows whole, prompt;
    int64_t *asked; /* [rows] */
    double *scores; /* [rows] */
} asking;

static void free_asking(whet_ctx *ctx, asking *a) {
    whet_i_free(ctx, a->scores);
    whet_i_free(ctx, a->asked);
    whet_token_rows_destroy(ctx, &a->prompt);
    whet_token_rows_destroy(ctx, &a->whole);
}

/* Where the tokens of question and choice leave those of the question alone. */
static int64_t first_asked(const asking *a, int64_t row, int64_t question) {
    const int32_t *w = a->whole.ids + a->whole.start[row];
    const int32_t *p = a->prompt.ids + a->prompt.start[question];
    const int64_t n = a->prompt.start[question + 1] - a->prompt.start[question];
    const int64_t length = a->whole.start[row + 1] - a->whole.start[row];
    int64_t same = 0;
    while (same < n && same < length - 1 && w[same] == p[same]) same++;
    return same > 1 ? same : 1;
}

/* A row that has more tokens than the model positions loses those behind its first, which begins texts. All
 * choices of a question lose as many, so that they still begin alike. */
static void cut_rows(asking *a, const whet_i_questions *q, int64_t positions, int64_t *cut) {
    int64_t to = 0, from = 0;
    *cut = 0;
    for (int64_t i = 0; i < q->n; i++) {
        int64_t excess = 0;
        for (int64_t r = q->first[i], at = from; r < q->first[i + 1]; at = a->whole.start[++r])
            if (a->whole.start[r + 1] - at - positions > excess)
                excess = a->whole.start[r + 1] - at - positions;
        *cut += excess > 0;
        for (int64_t r = q->first[i]; r < q->first[i + 1]; r++) {
            const int64_t end = a->whole.start[r + 1], n = end - from;
            const int64_t lost = excess < a->asked[r] - 1 ? excess : a->asked[r] - 1;
            int32_t *ids = a->whole.ids;
            a->whole.start[r] = to;
            ids[to] = ids[from];
            memmove(ids + to + 1, ids + from + 1 + lost, (size_t)(n - 1 - lost) * sizeof *ids);
            a->asked[r] -= lost;
            to += n - lost;
            from = end;
        }
    }
    a->whole.start[q->first[q->n]] = to;
}

static int64_t right_answers(const whet_i_questions *q, const double *scores) {
    int64_t right = 0;
    for (int64_t i = 0; i < q->n; i++) {
        int64_t best = q->first[i];
        for (int64_t r = best + 1; r < q->first[i + 1]; r++)
            if (scores[r] > scores[best]) best = r;
        right += best == q->right[i];
    }
    return right;
}

whet_status whet_i_questions_ask(whet_ctx *ctx, const whet_language_model *model,
                                 const whet_i_questions *q, double *accuracy, int64_t *cut) {
    const whet_tokenizer *tokenizer = whet_language_model_tokenizer(model);
    const int64_t rows = q->first[q->n];
    asking a = {0};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_tokenizer_encode(ctx, tokenizer, q->rows, rows, 0, &a.whole));
    WHET_TRY_DONE(whet_tokenizer_encode(ctx, tokenizer, q->prompts, q->n, 0, &a.prompt));
    WHET_TRY_DONE(whet_i_alloc(ctx, rows, &a.asked));
    WHET_TRY_DONE(whet_i_alloc(ctx, rows, &a.scores));
    for (int64_t i = 0; i < q->n; i++)
        for (int64_t r = q->first[i]; r < q->first[i + 1]; r++) a.asked[r] = first_asked(&a, r, i);
    cut_rows(&a, q, whet_language_model_positions(model), cut);
    WHET_TRY_DONE(whet_language_model_score(ctx, model, &a.whole, a.asked, a.scores));
    *accuracy = (double)right_answers(q, a.scores) / (double)(q->n > 0 ? q->n : 1);
done:
    free_asking(ctx, &a);
    return status;
}
