/* SPDX-License-Identifier: Apache-2.0
 * Embedding without padding. Rows are sorted by length and packed, one behind the other, into slabs
 * of at most batch_tokens tokens; one thread takes one slab through all layers alone, so that nothing
 * waits inside a layer and the slab's numbers stay in that core's cache. See docs/notes/0003.
 *
 * The kernels promise that a token's bits depend on its own row only, so an embedding depends on
 * its text alone, whatever the slab, the order and the threads. */
#include "nn/nn_i.h"
#include "nn/text_batch.h"

/* Tokens a slab when the caller does not say: large enough that reading the weights costs little
 * beside multiplying by them, small enough that a slab's activations stay near the core. */
enum { SLAB_TOKENS = 512, SLAB_TOKENS_MIN = 64, SLABS_WANTED = 8 };

typedef struct forward {
    const whet_encoder *e;
    const whet_token_rows *rows;
    float *out;
    int64_t *order; /* rows by falling length, then by index */
    int64_t *slab;  /* [n_slabs + 1] places in `order` */
    int64_t n_slabs;
    int64_t capacity, most_rows; /* of the largest slabs */
    whet_i_plan *plan;
    struct worker {
        whet_i_text_batch batch;
        whet_i_executor *executor;
    } * workers;
} forward;

static int64_t length_of(const whet_token_rows *rows, int64_t i) {
    return rows->start[i + 1] - rows->start[i];
}

/* ---- planning --------------------------------------------------------------------------------- */

static whet_status check_rows(whet_ctx *ctx, const forward *f) {
    const whet_i_encoder_config *c = &f->e->config;
    const int64_t most = c->positions - c->family->position_offset;
    for (int64_t i = 0; i < f->rows->n_rows; i++) {
        if (length_of(f->rows, i) < 0 || length_of(f->rows, i) > most)
            return whet_i_fail(ctx, WHET_ERR_DATA, "row %lld has %lld tokens; expected 0 to %lld",
                               (long long)i, (long long)length_of(f->rows, i), (long long)most);
        for (int64_t t = f->rows->start[i]; t < f->rows->start[i + 1]; t++)
            if (f->rows->ids[t] < 0 || f->rows->ids[t] >= c->vocab)
                return whet_i_fail(ctx, WHET_ERR_DATA,
                                   "row %lld: token id %d; expected 0 to %lld by config.json",
                                   (long long)i, (int)f->rows->ids[t], (long long)c->vocab - 1);
    }
    return WHET_OK;
}

/* Counting sort by falling length, stable. */
static whet_status sort_rows(whet_ctx *ctx, forward *f) {
    const int64_t n = f->rows->n_rows;
    int64_t longest = 0, *place = NULL;
    for (int64_t i = 0; i < n; i++)
        if (length_of(f->rows, i) > longest) longest = length_of(f->rows, i);
    WHET_TRY(whet_i_calloc(ctx, longest + 2, &place));
    for (int64_t i = 0; i < n; i++) place[longest - length_of(f->rows, i) + 1]++;
    for (int64_t l = 0; l <= longest; l++) place[l + 1] += place[l];
    for (int64_t i = 0; i < n; i++) f->order[place[longest - length_of(f->rows, i)]++] = i;
    whet_i_free(ctx, place);
    return WHET_OK;
}

/* Few tokens make smaller slabs, so that there is work for several threads; bits do not change. */
static int64_t slab_tokens(const forward *f) {
    const int64_t total = f->rows->start[f->rows->n_rows] - f->rows->start[0];
    const int64_t most = f->e->batch_tokens ? f->e->batch_tokens : SLAB_TOKENS;
    int64_t want = (total + SLABS_WANTED - 1) / SLABS_WANTED;
    if (want < SLAB_TOKENS_MIN) want = SLAB_TOKENS_MIN;
    return want < most ? want : most;
}

static void cut_slabs(forward *f) {
    const int64_t n = f->rows->n_rows, most = slab_tokens(f);
    int64_t tokens = 0;
    f->n_slabs = 0;
    f->slab[0] = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t length = length_of(f->rows, f->order[i]);
        if (tokens > 0 && tokens + length > most) {
            f->slab[++f->n_slabs] = i;
            tokens = 0;
        }
        tokens += length;
        if (tokens > f->capacity) f->capacity = tokens;
        if (i + 1 - f->slab[f->n_slabs] > f->most_rows) f->most_rows = i + 1 - f->slab[f->n_slabs];
    }
    if (n > 0) f->slab[++f->n_slabs] = n;
}

/* ---- running ---------------------------------------------------------------------------------- */

static void run_slab(void *arg, int64_t slab, int32_t worker) {
    const forward *f = arg;
    struct worker *w = &f->workers[worker];
    const int64_t first = f->slab[slab], n = f->slab[slab + 1] - first;
    const int64_t h = f->e->config.hidden;
    whet_i_text_batch_fill(&w->batch, f->rows, f->order + first, n,
                           f->e->config.family->position_offset);
    w->batch.batch.coarse = f->e->coarse;
    whet_i_executor_run(w->executor, &w->batch.batch);
    const float *rows = whet_i_executor_value(w->executor, f->e->embedding);
    for (int64_t i = 0; i < n; i++)
        memcpy(f->out + f->order[first + i] * h, rows + i * h, (size_t)h * sizeof *rows);
}

static whet_status make_workers(whet_ctx *ctx, forward *f, int64_t n) {
    const int64_t longest = f->rows->n_rows ? length_of(f->rows, f->order[0]) : 0;
    const whet_i_plan_opts opts = {
        .sizes = {.rows = {1, f->most_rows, f->capacity}, .longest = longest, .workers = 1},
        .loss = WHET_I_NONE,
        .keep = &f->e->embedding,
        .n_keep = 1,
    };
    WHET_TRY(whet_i_plan_create(ctx, f->e->graph, &opts, &f->plan));
    for (int64_t i = 0; i < n; i++) {
        WHET_TRY(whet_i_text_batch_init(ctx, &f->workers[i].batch, f->capacity, f->most_rows));
        WHET_TRY(whet_i_executor_create(ctx, f->plan, &f->workers[i].executor));
    }
    return WHET_OK;
}

whet_status whet_i_encoder_forward(whet_ctx *ctx, const whet_encoder *encoder,
                                   const whet_token_rows *rows, float *out) {
    forward f = {.e = encoder, .rows = rows, .out = out};
    whet_status status;
    int64_t n_workers = 0;
    WHET_TRY(check_rows(ctx, &f));
    WHET_TRY_DONE(whet_i_alloc(ctx, rows->n_rows, &f.order));
    WHET_TRY_DONE(whet_i_alloc(ctx, rows->n_rows + 1, &f.slab));
    WHET_TRY_DONE(sort_rows(ctx, &f));
    cut_slabs(&f);
    const int64_t wanted = f.n_slabs < whet_ctx_threads(ctx) ? f.n_slabs : whet_ctx_threads(ctx);
    WHET_TRY_DONE(whet_i_calloc(ctx, wanted, &f.workers));
    n_workers = wanted;
    WHET_TRY_DONE(make_workers(ctx, &f, n_workers));
    WHET_TRY_DONE(whet_i_parallel_for(ctx, "embed", f.n_slabs, run_slab, &f));
done:
    for (int64_t i = 0; i < n_workers; i++) {
        whet_i_executor_destroy(ctx, f.workers[i].executor);
        whet_i_text_batch_free(ctx, &f.workers[i].batch);
    }
    whet_i_plan_destroy(ctx, f.plan);
    whet_i_free(ctx, f.workers);
    whet_i_free(ctx, f.slab);
    whet_i_free(ctx, f.order);
    return status;
}
