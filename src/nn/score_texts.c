/* SPDX-License-Identifier: Apache-2.0
 * How likely a language model finds the ends of texts. Rows are read one behind the other into one cache:
 * what a row shares with the one before it is not read again, so that the choices to a question cost little
 * more than the question.
 * Legend: a row's tokens from `asked` on are scored. */
#include <math.h>

#include "nn/language_model_i.h"

typedef struct scorer {
    const whet_language_model *m;
    const whet_token_rows *rows;
    int64_t longest;
    whet_i_plan *plan;
    whet_i_executor *executor;
    whet_i_cache cache;
    int64_t past, slot;
    int32_t *positions; /* [longest] */
} scorer;

static void free_scorer(whet_ctx *ctx, scorer *s) {
    whet_i_free(ctx, s->positions);
    whet_i_free(ctx, s->cache.values);
    whet_i_free(ctx, s->cache.keys);
    whet_i_executor_destroy(ctx, s->executor);
    whet_i_plan_destroy(ctx, s->plan);
}

static whet_status make_scorer(whet_ctx *ctx, scorer *s) {
    const whet_i_llama_config *c = &s->m->config;
    int64_t rows, count;
    const whet_i_plan_opts opts = {.sizes = {.rows = {1, 1, s->longest},
                                             .longest = s->longest,
                                             .workers = whet_ctx_threads(ctx)},
                                   .loss = WHET_I_NONE,
                                   .keep = &s->m->logits,
                                   .n_keep = 1};
    s->cache = (whet_i_cache){.nodes = c->layers,
                              .sequences = 1,
                              .room = s->longest,
                              .columns = c->groups * c->d,
                              .past = &s->past,
                              .slot = &s->slot};
    WHET_TRY(whet_i_plan_create(ctx, s->m->graph, &opts, &s->plan));
    WHET_TRY(whet_i_executor_create(ctx, s->plan, &s->executor));
    WHET_TRY(whet_i_mul(ctx, c->layers, s->longest, &rows));
    WHET_TRY(whet_i_mul(ctx, rows, s->cache.columns, &count));
    WHET_TRY(whet_i_alloc(ctx, count, &s->cache.keys));
    WHET_TRY(whet_i_alloc(ctx, count, &s->cache.values));
    WHET_TRY(whet_i_alloc(ctx, s->longest, &s->positions));
    for (int64_t i = 0; i < s->longest; i++) s->positions[i] = (int32_t)i;
    return WHET_OK;
}

/* Reads tokens of a row up to `end`, behind those that the cache holds; logits for the token there. */
static const float *read_to(scorer *s, const int32_t *ids, int64_t end) {
    const int64_t start[] = {0, end - s->past};
    const whet_i_batch batch = {.rows = {1, 1, end - s->past},
                                .start = start,
                                .feeds = {ids + s->past, s->positions + s->past},
                                .loss_scale = 1,
                                .cache = &s->cache};
    whet_i_executor_run(s->executor, &batch);
    s->past = end;
    return whet_i_executor_value(s->executor, s->m->logits);
}

/* log softmax(logits)[id]; NaN where logits are no numbers. */
static double log_prob(const float *logits, int64_t n, int32_t id) {
    double largest = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        if (isnan(logits[i])) return NAN;
        largest = fmax(largest, (double)logits[i]);
    }
    for (int64_t i = 0; i < n; i++) sum += exp((double)logits[i] - largest);
    return (double)logits[id] - largest - log(sum);
}

static double score_row(scorer *s, int64_t row, int64_t asked) {
    const int64_t *start = s->rows->start;
    const int32_t *ids = s->rows->ids + start[row];
    const int64_t length = start[row + 1] - start[row];
    int64_t shared = 0;
    /* Past tokens are the row before's. */
    const int32_t *before = row > 0 ? s->rows->ids + start[row - 1] : ids;
    while (shared < s->past && shared < asked - 1 && ids[shared] == before[shared]) shared++;
    s->past = shared;
    double sum = 0;
    for (int64_t at = asked; at < length; at++)
        sum += log_prob(read_to(s, ids, at), s->m->config.vocab, ids[at]);
    return sum;
}

static whet_status check_rows(whet_ctx *ctx, const whet_language_model *m,
                              const whet_token_rows *rows, const int64_t *asked, int64_t *longest) {
    *longest = 1;
    for (int64_t i = 0; i < rows->n_rows; i++) {
        const int64_t length = rows->start[i + 1] - rows->start[i];
        if (asked[i] < 1 || asked[i] > length)
            return whet_i_fail(ctx, WHET_ERR_ARG,
                               "row %lld is asked for from token %lld on; expected 1 to its %lld "
                               "tokens",
                               (long long)i, (long long)asked[i], (long long)length);
        if (length > m->config.positions)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "row %lld has %lld tokens; expected at most %lld, the model's "
                               "positions",
                               (long long)i, (long long)length, (long long)m->config.positions);
        for (int64_t t = rows->start[i]; t < rows->start[i + 1]; t++)
            if (rows->ids[t] < 0 || rows->ids[t] >= m->config.vocab)
                return whet_i_fail(ctx, WHET_ERR_DATA, "row %lld: token %d; expected 0 to %lld",
                                   (long long)i, (int)rows->ids[t], (long long)m->config.vocab - 1);
        if (length > *longest) *longest = length;
    }
    return WHET_OK;
}

whet_status whet_language_model_score(whet_ctx *ctx, const whet_language_model *model,
                                      const whet_token_rows *rows, const int64_t *asked,
                                      double *log_probs) {
    scorer s = {.m = model, .rows = rows};
    whet_status status = WHET_OK;
    WHET_TRY(check_rows(ctx, model, rows, asked, &s.longest));
    WHET_TRY_DONE(make_scorer(ctx, &s));
    for (int64_t i = 0; i < rows->n_rows; i++) {
        if (i % 16 == 0) WHET_TRY_DONE(whet_i_progress(ctx, "score", i, rows->n_rows));
        log_probs[i] = score_row(&s, i, asked[i]);
        if (!isnan(log_probs[i])) continue;
        status = whet_i_fail(ctx, WHET_ERR_NUMERIC,
                             "row %lld: the model's logits are not numbers; expected weights that "
                             "are finite and not too large",
                             (long long)i);
        goto done;
    }
    status = whet_i_progress(ctx, "score", rows->n_rows, rows->n_rows);
done:
    free_scorer(ctx, &s);
    return status;
}
