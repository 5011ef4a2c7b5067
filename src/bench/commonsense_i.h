/* SPDX-License-Identifier: Apache-2.0
 * The multiple-choice comparison of adapters of a language model: sets of questions, methods, and the cells
 * that they make.
 * Legend: a cell is (set, method, seed): accuracy on the set's test questions. */
#ifndef WHET_COMMONSENSE_I_H
#define WHET_COMMONSENSE_I_H

#include "bench/bench_i.h"

#include "whet/nn.h"
#include "whet/tune.h"

/* Files below the data folder, NAME.test.jsonl and NAME.train.jsonl (where there is one), of objects
 * {"instruction", "answer"}, as LLM-Adapters (Hu et al. 2023) has them. */
extern const char *const whet_i_questions_sets[];
int64_t whet_i_questions_set_count(void);

typedef struct whet_i_questions_method {
    const char *name;
    bool tuned;
    whet_tune_adapter adapter;
    int64_t rank, blocks;
    double rate;
} whet_i_questions_method;
extern const whet_i_questions_method whet_i_questions_methods[];
int64_t whet_i_questions_method_count(void);

/* ---- questions (commonsense_questions.c) -------------------------------------------------------- */

/* Questions with their choices, as a model reads them: row j is question and choice together. */
enum { WHET_I_CHOICES_MAX = 16 };
typedef struct whet_i_questions {
    int64_t n;         /* questions */
    int64_t *first;    /* [n + 1] rows of a question's choices */
    int64_t *right;    /* [n] row of the answer */
    whet_str *prompts; /* [n], in the tables' memory */
    whet_str *rows;    /* [first[n]] */
    whet_table *table;
    whet_i_arena arena;
} whet_i_questions;

bool whet_i_questions_there(whet_ctx *ctx, const char *data, const char *set, bool train);
/* At most `most` questions, drawn by the seed, each with the choices that its "Answer format: a/b/.." names.
 * Errors: as tables; DATA (no choices, an answer that is none of them; with the line). */
WHET_CHECKED whet_status whet_i_questions_read(whet_ctx *ctx, const char *data, const char *set,
                                               bool train, int64_t most, uint64_t seed,
                                               whet_i_questions *out);
void whet_i_questions_free(whet_ctx *ctx, whet_i_questions *q);

/* The choices of instruction's "Answer format: a/b/..", at most WHET_I_CHOICES_MAX; how many. Pure. */
int64_t whet_i_questions_choices(whet_str instruction, whet_str choices[WHET_I_CHOICES_MAX]);

/* Share of questions whose answer is the choice that the model finds likeliest (the first of equals).
 * *cut: questions that lost their begin, because they do not fit the model's positions. */
WHET_CHECKED whet_status whet_i_questions_ask(whet_ctx *ctx, const whet_language_model *model,
                                              const whet_i_questions *q, double *accuracy,
                                              int64_t *cut);

#endif
