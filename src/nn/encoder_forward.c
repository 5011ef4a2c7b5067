/* SPDX-License-Identifier: Apache-2.0
 * The forward pass without padding. Rows are sorted by length and packed, one behind the other,
 * into slabs of at most batch_tokens tokens; one thread takes one slab through all layers alone, so
 * that nothing waits inside a layer and the slab's numbers stay in that core's cache. Linear layers
 * see a slab as one matrix of tokens; attention walks its sequences. See docs/notes/0003.
 *
 * The kernels promise that a token's bits depend on its own row only, so an embedding depends on
 * its text alone, whatever the slab, the order and the threads.
 * Legend: T tokens of a slab, H hidden size, I inner size. */
#include <math.h>

#include "nn/nn_i.h"

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
    int64_t capacity; /* tokens of the largest slab */
    float *scratch;   /* [threads] of scratch_size */
    int64_t scratch_size;
} forward;

/* A worker's memory. */
typedef struct buffers {
    float *x, *y; /* [T, H] */
    float *wide;  /* [T, max(3 H, I)] */
    float *attention;
    void *linear;
} buffers;

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
    }
    if (n > 0) f->slab[++f->n_slabs] = n;
}

static int64_t wide_of(const whet_i_encoder_config *c) {
    return 3 * c->hidden > c->inner ? 3 * c->hidden : c->inner;
}

/* Splits a worker's floats, or with base NULL only counts them. */
static int64_t split(const forward *f, float *base, buffers *b) {
    const whet_i_encoder_config *c = &f->e->config;
    const int64_t longest = f->rows->n_rows ? length_of(f->rows, f->order[0]) : 0;
    const int64_t deepest = c->inner > c->hidden ? c->inner : c->hidden;
    const int64_t linear = (f->e->kernels->linear_scratch(f->capacity, deepest) + 3) / 4;
    const int64_t sizes[] = {f->capacity * c->hidden, f->capacity * c->hidden,
                             f->capacity * wide_of(c),
                             whet_i_attention_scratch(longest, c->hidden / c->heads),
                             f->e->dtype == WHET_BF16 ? linear : 0};
    float *parts[WHET_COUNT_OF(sizes)];
    int64_t at = 0;
    for (int64_t i = 0; i < WHET_COUNT_OF(sizes); i++) {
        parts[i] = base ? base + at : NULL;
        at += (sizes[i] + 31) / 32 * 32; /* whole cache lines, two by two */
    }
    *b = (buffers){parts[0], parts[1], parts[2], parts[3], parts[4]};
    return at;
}

/* ---- one slab --------------------------------------------------------------------------------- */

/* x [T, H] = norm(word + position), sequence behind sequence; returns T. */
static int64_t embed_tokens(const forward *f, int64_t slab, float *x) {
    const whet_i_encoder_config *c = &f->e->config;
    int64_t tokens = 0;
    for (int64_t i = f->slab[slab]; i < f->slab[slab + 1]; i++) {
        const int64_t row = f->order[i], start = f->rows->start[row];
        for (int64_t t = 0; t < length_of(f->rows, row); t++, tokens++) {
            float *at = x + tokens * c->hidden;
            whet_i_encoder_word(f->e, f->rows->ids[start + t], at);
            f->e->kernels->add(c->hidden,
                               f->e->position + (t + c->family->position_offset) * c->hidden, at);
        }
    }
    f->e->kernels->layernorm(tokens, c->hidden, x, f->e->norm.gamma, f->e->norm.beta, c->epsilon,
                             x);
    return tokens;
}

static void linear(const forward *f, const buffers *b, const whet_i_linear_weights *w, int64_t rows,
                   const float *a, whet_i_act act, const float *residual, float *c) {
    const whet_i_linear args = {.rows = rows,
                                .n = w->n,
                                .k = w->k,
                                .a = a,
                                .packed = w->packed,
                                .bias = w->bias,
                                .residual = residual,
                                .c = c,
                                .lda = w->k,
                                .ldr = w->n,
                                .ldc = w->n,
                                .act = act,
                                .scratch = b->linear};
    if (f->e->dtype == WHET_BF16)
        f->e->kernels->linear_bf16(&args);
    else
        f->e->kernels->linear_f32(&args);
}

/* out [T, H] = attention over qkv [T, 3 H], sequence by sequence, head by head. */
static void attend(const forward *f, int64_t slab, const float *qkv, float *scratch, float *out) {
    const whet_i_encoder_config *c = &f->e->config;
    const int64_t h = c->hidden, d = h / c->heads;
    for (int64_t i = f->slab[slab]; i < f->slab[slab + 1]; i++) {
        const int64_t t = length_of(f->rows, f->order[i]);
        for (int64_t at = 0; at < h && t > 0; at += d) {
            const whet_i_attention args = {.t = t,
                                           .d = d,
                                           .q = qkv + at,
                                           .k = qkv + h + at,
                                           .v = qkv + 2 * h + at,
                                           .ld = 3 * h,
                                           .ldo = h,
                                           .scale = 1 / sqrtf((float)d),
                                           .out = out + at,
                                           .scratch = scratch};
            f->e->kernels->attention(&args);
        }
        qkv += t * 3 * h;
        out += t * h;
    }
}

static void run_layer(const forward *f, int64_t slab, const whet_i_layer_weights *w, int64_t tokens,
                      const buffers *b) {
    const whet_i_encoder_config *c = &f->e->config;
    const whet_kernels *kernels = f->e->kernels;
    linear(f, b, &w->qkv, tokens, b->x, WHET_I_ACT_NONE, NULL, b->wide);
    attend(f, slab, b->wide, b->attention, b->y);
    linear(f, b, &w->mixed, tokens, b->y, WHET_I_ACT_NONE, b->x, b->wide);
    kernels->layernorm(tokens, c->hidden, b->wide, w->mixed_norm.gamma, w->mixed_norm.beta,
                       c->epsilon, b->x);
    linear(f, b, &w->up, tokens, b->x, c->act, NULL, b->wide);
    linear(f, b, &w->down, tokens, b->wide, WHET_I_ACT_NONE, b->x, b->y);
    kernels->layernorm(tokens, c->hidden, b->y, w->down_norm.gamma, w->down_norm.beta, c->epsilon,
                       b->x);
}

/* The embedding of one sequence from its tokens x [length, H]. */
static void pool(const forward *f, int64_t length, const float *x, float *out) {
    const whet_i_encoder_config *c = &f->e->config;
    const whet_kernels *kernels = f->e->kernels;
    memset(out, 0, (size_t)c->hidden * sizeof *out);
    if (length == 0) return;
    if (c->pooling == WHET_POOL_CLS) {
        memcpy(out, x, (size_t)c->hidden * sizeof *out);
    } else {
        for (int64_t t = 0; t < length; t++) kernels->add(c->hidden, x + t * c->hidden, out);
        kernels->scale(c->hidden, 1 / (float)length, out);
    }
    if (!c->normalize) return;
    const float norm = sqrtf(kernels->dot(c->hidden, out, out));
    kernels->scale(c->hidden, 1 / fmaxf(norm, 1e-12f), out);
}

static void run_slab(void *arg, int64_t slab, int32_t worker) {
    const forward *f = arg;
    buffers b;
    (void)split(f, f->scratch + worker * f->scratch_size, &b);
    const int64_t tokens = embed_tokens(f, slab, b.x);
    for (int64_t l = 0; l < f->e->config.layers; l++)
        run_layer(f, slab, &f->e->layers[l], tokens, &b);
    const float *x = b.x;
    for (int64_t i = f->slab[slab]; i < f->slab[slab + 1]; i++) {
        const int64_t row = f->order[i], length = length_of(f->rows, row);
        pool(f, length, x, f->out + row * f->e->config.hidden);
        x += length * f->e->config.hidden;
    }
}

/* ---- all slabs -------------------------------------------------------------------------------- */

whet_status whet_i_encoder_forward(whet_ctx *ctx, const whet_encoder *encoder,
                                   const whet_token_rows *rows, float *out) {
    forward f = {.e = encoder, .rows = rows, .out = out};
    buffers unused;
    whet_status status;
    int64_t floats;
    WHET_TRY(check_rows(ctx, &f));
    WHET_TRY_DONE(whet_i_alloc(ctx, rows->n_rows, &f.order));
    WHET_TRY_DONE(whet_i_alloc(ctx, rows->n_rows + 1, &f.slab));
    WHET_TRY_DONE(sort_rows(ctx, &f));
    cut_slabs(&f);
    f.scratch_size = split(&f, NULL, &unused);
    const int64_t workers = f.n_slabs < whet_ctx_threads(ctx) ? f.n_slabs : whet_ctx_threads(ctx);
    WHET_TRY_DONE(whet_i_mul(ctx, workers, f.scratch_size, &floats));
    WHET_TRY_DONE(whet_i_alloc(ctx, floats, &f.scratch));
    WHET_TRY_DONE(whet_i_parallel_for(ctx, "embed", f.n_slabs, run_slab, &f));
done:
    whet_i_free(ctx, f.scratch);
    whet_i_free(ctx, f.slab);
    whet_i_free(ctx, f.order);
    return status;
}
