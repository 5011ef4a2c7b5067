/* SPDX-License-Identifier: Apache-2.0
 * Losses of many mixtures of two multilayer perceptrons at once. The first layer is linear in its weights:
 * x ((1 - s) A + s B)^T = x A^T + s (x B^T - x A^T), so both products are made once for all mixtures, and
 * they are most of such a network. The rest goes by panels of 64 examples, units by examples: a panel is
 * what the kernel takes for packed weights, the mixed weights [out, in + 1] what it takes for rows, and what
 * it writes is the next layer's panel; nothing is packed or moved, and all mixtures visit a panel while it
 * is in cache. Beside a network run as it is, products are the same but the first layer's are of A and B,
 * not of their mixture: each sum of d products rounds by at most d half units of its terms, twice for once.
 * Legend: d inputs, m units of the first layer, l layer, p mixture. */
#include <math.h>
#include <stdio.h>

#include "merge/chain_names.h"
#include "merge/mixture_mlp.h"

enum { LAYERS_MAX = WHET_I_WIDTHS_MAX + 1, FIRST_PANELS = 8 };

struct whet_i_mlp_mixture {
    int32_t layers;
    int64_t width[LAYERS_MAX + 1];                /* [0] inputs, [l + 1] units of layer l */
    int64_t weight[LAYERS_MAX], bias[LAYERS_MAX]; /* places among the tensors */
    int64_t at[LAYERS_MAX], acts;        /* of layer l's units in a worker's room; in all */
    int64_t mixed_at[LAYERS_MAX], mixed; /* of layer l in a mixture's weights; in all */
    const float *x;                      /* whose first layers are known */
    int64_t n, both;                     /* examples; rows of a panel, m or 2 m */
    float *first;                        /* [panels, both, 64]: A's, then B's less A's */
};

/* ---- layers ------------------------------------------------------------------------------------------ */

static int64_t find_tensor(const whet_i_mixture *m, const char *module, const char *what) {
    char name[WHET_I_CHAIN_NAME + 32];
    (void)snprintf(name, sizeof name, "%s.%s", module, what);
    for (int64_t i = 0; i < m->n; i++)
        if (strcmp(m->a[i].name, name) == 0) return i;
    return -1;
}

/* Whether all are linear layers with biases, which are put down. */
static bool take_layers(const whet_i_mixture *m, const whet_i_chain_module *modules, int64_t n,
                        whet_i_mlp_mixture *p) {
    if (n > LAYERS_MAX) return false;
    for (int32_t l = 0; l < (int32_t)n; l++) {
        p->layers = l + 1;
        p->weight[l] = find_tensor(m, modules[l].name, "weight");
        p->bias[l] = find_tensor(m, modules[l].name, "bias");
        if (modules[l].rank != 2 || p->bias[l] < 0) return false;
        p->width[l] = modules[l].columns;
        p->width[l + 1] = modules[l].rows;
        p->at[l] = p->acts;
        p->acts += (p->width[l + 1] + 1) * WHET_I_PANEL;
        p->mixed_at[l] = p->mixed;
        p->mixed += l ? p->width[l + 1] * (p->width[l] + 1) : 0;
    }
    return true;
}

whet_status whet_i_mlp_mixture_make(whet_ctx *ctx, const whet_i_mixture *m,
                                    whet_i_mlp_mixture **out) {
    const whet_weights weights = {m->a, m->n};
    const whet_i_tensors tensors = {.weights = &weights, .prefix = ""};
    whet_i_chain_module *modules = NULL;
    whet_i_mlp_mixture *p = NULL;
    int64_t n;
    whet_status status = WHET_OK;
    *out = NULL;
    WHET_TRY_DONE(whet_i_chain_modules(ctx, &tensors, &modules, &n));
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &p));
    if (take_layers(m, modules, n, p)) {
        *out = p;
        p = NULL;
    }
done:
    whet_i_free(ctx, modules);
    whet_i_free(ctx, p);
    return status;
}

void whet_i_mlp_mixture_free(whet_ctx *ctx, whet_i_mlp_mixture *p) {
    if (p) whet_i_free(ctx, p->first);
    whet_i_free(ctx, p);
}

static const float *of_a(const whet_i_mixture *m, int64_t i) { return m->a[i].tensor.data; }
static const float *of_b(const whet_i_mixture *m, int64_t i) { return m->b[i].tensor.data; }

/* ---- the first layer, of both ------------------------------------------------------------------------ */

typedef struct first_pass {
    const whet_i_mlp_mixture *p;
    const whet_kernels *kernels;
    const float *x, *bias; /* [both] */
    float *packed, *room;  /* [workers, FIRST_PANELS 64, both] */
    char *scratch;         /* [workers, scratch_bytes] */
    int64_t scratch_bytes;
    float *first;
    int64_t n, both;
} first_pass;

/* FIRST_PANELS panels of examples, so that the weights are read once for all of them. */
static void multiply_first(void *arg, int64_t item, int32_t worker) {
    const first_pass *f = arg;
    const int64_t most = FIRST_PANELS * WHET_I_PANEL, at = item * most;
    const int64_t rows = f->n - at < most ? f->n - at : most, d = f->p->width[0];
    float *room = f->room + worker * most * f->both;
    const whet_i_linear args = {.rows = rows,
                                .n = f->both,
                                .k = d,
                                .a = f->x + at * d,
                                .packed = f->packed,
                                .bias = f->bias,
                                .c = room,
                                .lda = d,
                                .ldc = f->both,
                                .scratch = f->scratch + worker * f->scratch_bytes};
    f->kernels->linear_f32(&args);
    for (int64_t row = 0; row < rows; row += WHET_I_PANEL) {
        const int64_t left = rows - row < WHET_I_PANEL ? rows - row : WHET_I_PANEL;
        float *panel = f->first + (at + row) * f->both;
        f->kernels->pack_f32(left, f->both, room + row * f->both, f->both, 1, panel);
        for (int64_t k = f->p->width[1] * WHET_I_PANEL; k < f->both * WHET_I_PANEL; k++)
            panel[k] -= panel[k - f->p->width[1] * WHET_I_PANEL];
    }
}

/* A's matrix and bias above B's, packed: what is not traded is A's twice. */
static whet_status stack(whet_ctx *ctx, const whet_i_mixture *m, const whet_i_mlp_mixture *p,
                         first_pass *f, float *bias) {
    const int64_t units = p->width[1], d = p->width[0], w = p->weight[0], b = p->bias[0];
    const size_t bytes = (size_t)(units * d) * sizeof(float);
    float *rows;
    WHET_TRY(whet_i_alloc(ctx, f->both * d, &rows));
    memcpy(rows, of_a(m, w), bytes);
    memcpy(bias, of_a(m, b), (size_t)units * sizeof *bias);
    if (f->both > units) {
        memcpy(rows + units * d, of_b(m, w), bytes);
        memcpy(bias + units, of_b(m, b) ? of_b(m, b) : of_a(m, b), (size_t)units * sizeof *bias);
    }
    f->kernels->pack_f32(f->both, d, rows, d, 1, f->packed);
    whet_i_free(ctx, rows);
    return WHET_OK;
}

/* Fills p->first for these examples, unless it is known. */
static whet_status prepare(whet_ctx *ctx, const whet_i_mixture *m, whet_i_mlp_mixture *p,
                           const whet_mode_data *data, const char *stage) {
    const int64_t units = p->width[1], most = FIRST_PANELS * WHET_I_PANEL;
    const int64_t panels = whet_i_blocks(data->n, WHET_I_PANEL);
    int64_t numbers, room, bytes;
    float *bias = NULL;
    first_pass f = {.p = p, .kernels = whet_i_kernels(ctx), .x = data->x, .n = data->n};
    whet_status status = WHET_OK;
    if (p->first && p->x == data->x && p->n == data->n) return WHET_OK;
    whet_i_free(ctx, p->first);
    p->first = NULL;
    f.both = of_b(m, p->weight[0]) ? 2 * units : units;
    WHET_TRY_DONE(whet_i_mul(ctx, panels * WHET_I_PANEL, f.both, &numbers));
    WHET_TRY_DONE(whet_i_mul(ctx, whet_ctx_threads(ctx) * most, f.both, &room));
    f.scratch_bytes = (f.kernels->linear_f32_scratch(most, p->width[0]) + 63) / 64 * 64;
    WHET_TRY_DONE(whet_i_mul(ctx, whet_ctx_threads(ctx), f.scratch_bytes, &bytes));
    WHET_TRY_DONE(whet_i_alloc(ctx, bytes, &f.scratch));
    WHET_TRY_DONE(whet_i_alloc(ctx, numbers, &f.first));
    WHET_TRY_DONE(whet_i_alloc(ctx, room, &f.room));
    WHET_TRY_DONE(whet_i_alloc(ctx, f.both, &bias));
    WHET_TRY_DONE(whet_i_alloc(ctx, whet_i_packed_count(f.both, p->width[0]), &f.packed));
    WHET_TRY_DONE(stack(ctx, m, p, &f, bias));
    f.bias = bias;
    WHET_TRY_DONE(
        whet_i_parallel_for(ctx, stage, whet_i_blocks(data->n, most), multiply_first, &f));
    p->first = f.first;
    f.first = NULL;
    p->x = data->x;
    p->n = data->n;
    p->both = f.both;
done:
    whet_i_free(ctx, f.first);
    whet_i_free(ctx, f.room);
    whet_i_free(ctx, f.scratch);
    whet_i_free(ctx, f.packed);
    whet_i_free(ctx, bias);
    return status;
}

/* ---- the rest ---------------------------------------------------------------------------------------- */

typedef struct scoring {
    const whet_i_mixture *m;
    const whet_i_mlp_mixture *p;
    const whet_kernels *kernels;
    const double *shares;
    const int32_t *labels;
    const whet_i_scores *out;
    float *mixed;  /* [points, p->mixed]: rows of layers 1.., each with its bias behind it */
    float *room;   /* [workers, p->acts] */
    char *scratch; /* [workers, scratch_bytes] */
    int64_t scratch_bytes;
    int32_t *from; /* [points] the first layer whose shares are not those of the point before */
    int64_t points;
} scoring;

static float mix(float a, float b, double s) {
    return s <= 0 ? a : s >= 1 ? b : (float)((1 - s) * (double)a + s * (double)b);
}

/* One mixture's layers behind the first. */
static void mix_point(void *arg, int64_t point, int32_t worker) {
    const scoring *s = arg;
    const double *shares = s->shares + point * s->m->n;
    float *to = s->mixed + point * s->p->mixed;
    (void)worker;
    for (int32_t l = 1; l < s->p->layers; l++) {
        const int64_t w = s->p->weight[l], b = s->p->bias[l], columns = s->p->width[l];
        const float *wa = of_a(s->m, w), *ba = of_a(s->m, b);
        const float *wb = of_b(s->m, w) ? of_b(s->m, w) : wa;
        const float *bb = of_b(s->m, b) ? of_b(s->m, b) : ba;
        for (int64_t i = 0; i < s->p->width[l + 1]; i++, wa += columns, wb += columns) {
            for (int64_t k = 0; k < columns; k++) *to++ = mix(wa[k], wb[k], shares[w]);
            *to++ = mix(ba[i], bb[i], shares[b]);
        }
    }
}

/* The first layer's units of one mixture, A's and s of what B's differ by. */
static void mix_first(const scoring *s, const double *shares, const float *first, float *to) {
    static const float zeros[WHET_I_PANEL];
    const whet_i_mlp_mixture *p = s->p;
    const int64_t units = p->width[1], n = units * WHET_I_PANEL, w = p->weight[0], b = p->bias[0];
    const double share = shares[w];
    const float *ba = of_a(s->m, b), *bb = of_b(s->m, b);
    const bool apart = bb && shares[b] != share; /* the bias has a share of its own */
    float scale[WHET_I_PANEL];
    for (int64_t k = 0; k < WHET_I_PANEL; k++) scale[k] = (float)share;
    const whet_i_channels args = {.rows = units,
                                  .n = WHET_I_PANEL,
                                  .x = first + n,
                                  .mean = zeros,
                                  .scale = scale,
                                  .beta = zeros,
                                  .residual = first,
                                  .slope = apart ? 1 : 0,
                                  .y = to};
    if (share <= 0)
        memcpy(to, first, (size_t)n * sizeof *to);
    else
        s->kernels->channel_norm(&args);
    for (int64_t i = 0; apart && i < units; i++) {
        const float more = (float)((shares[b] - share) * ((double)bb[i] - (double)ba[i]));
        for (int64_t k = 0; k < WHET_I_PANEL; k++) to[i * WHET_I_PANEL + k] += more;
    }
    if (share <= 0 || apart) s->kernels->activate(WHET_I_ACT_RELU, n, to);
}

static void run_layer(const scoring *s, int64_t point, int32_t l, float *room, void *scratch) {
    const whet_i_mlp_mixture *p = s->p;
    const whet_i_linear args = {.rows = p->width[l + 1],
                                .n = WHET_I_PANEL,
                                .k = p->width[l] + 1,
                                .a = s->mixed + point * p->mixed + p->mixed_at[l],
                                .packed = room + p->at[l - 1],
                                .c = room + p->at[l],
                                .lda = p->width[l] + 1,
                                .ldc = WHET_I_PANEL,
                                .act = l + 1 < p->layers ? WHET_I_ACT_RELU : WHET_I_ACT_NONE,
                                .scratch = scratch};
    s->kernels->linear_f32(&args);
}

/* What the layers behind the first need. */
static int64_t layers_scratch(const whet_kernels *kernels, const whet_i_mlp_mixture *p) {
    int64_t most = 0;
    for (int32_t l = 1; l < p->layers; l++) {
        const int64_t bytes = kernels->linear_f32_scratch(p->width[l + 1], p->width[l] + 1);
        if (bytes > most) most = bytes;
    }
    return (most + 63) / 64 * 64;
}

/* Whether the label's logit is the first of the greatest. */
static bool is_right(const float *logits, int32_t label, float most) {
    for (int64_t c = 0; c < label; c++)
        if (logits[c * WHET_I_PANEL] == most) return false;
    return logits[label * WHET_I_PANEL] == most;
}

/* Cross-entropy from logits [classes, 64]. */
static void score_panel(const scoring *s, int64_t point, int64_t first, const float *logits) {
    const int64_t left = s->p->n - first, rows = left < WHET_I_PANEL ? left : WHET_I_PANEL;
    double *losses = s->out->losses + point * s->p->n + first;
    uint8_t *right = s->out->right + point * s->p->n + first;
    float most[WHET_I_PANEL], sum[WHET_I_PANEL];
    s->kernels->panel_softmax(s->m->classes, logits, most, sum);
    for (int64_t i = 0; i < rows; i++) {
        const int32_t label = s->labels[first + i];
        const double behind = (double)most[i] - (double)logits[label * WHET_I_PANEL + i];
        losses[i] = behind + log((double)sum[i]);
        right[i] = is_right(logits + i, label, most[i]);
    }
}

static void score_examples(void *arg, int64_t item, int32_t worker) {
    const scoring *s = arg;
    const whet_i_mlp_mixture *p = s->p;
    const int32_t last = p->layers - 1;
    const float *first = p->first + item * WHET_I_PANEL * p->both;
    float *room = s->room + worker * p->acts;
    char *scratch = s->scratch + worker * s->scratch_bytes;
    for (int32_t l = 0; l < last; l++) {
        float *ones = room + p->at[l] + p->width[l + 1] * WHET_I_PANEL;
        for (int64_t i = 0; i < WHET_I_PANEL; i++) ones[i] = 1;
    }
    for (int64_t point = 0; point < s->points; point++) {
        if (s->from[point] == 0) mix_first(s, s->shares + point * s->m->n, first, room);
        for (int32_t l = s->from[point] > 1 ? s->from[point] : 1; l <= last; l++)
            run_layer(s, point, l, room, scratch);
        score_panel(s, point, item * WHET_I_PANEL, room + p->at[last]);
    }
}

/* Layers that two neighbours share are run once. */
static void find_from(const scoring *s) {
    for (int64_t point = 0; point < s->points; point++) {
        const double *now = s->shares + point * s->m->n, *before = now - s->m->n;
        int32_t l = 0;
        while (point && l < s->p->layers && now[s->p->weight[l]] == before[s->p->weight[l]] &&
               now[s->p->bias[l]] == before[s->p->bias[l]])
            l++;
        s->from[point] = l;
    }
}

whet_status whet_i_mlp_mixture_score(whet_ctx *ctx, const whet_i_mixture *m, whet_i_mlp_mixture *p,
                                     const double *shares, int64_t points,
                                     const whet_mode_data *data, const whet_i_scores *out) {
    scoring s = {.m = m,
                 .p = p,
                 .kernels = whet_i_kernels(ctx),
                 .shares = shares,
                 .labels = data->labels,
                 .out = out,
                 .points = points};
    int64_t mixed, room, bytes;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(prepare(ctx, m, p, data, points > 1 ? "first layer" : NULL));
    WHET_TRY_DONE(whet_i_mul(ctx, points, p->mixed, &mixed));
    WHET_TRY_DONE(whet_i_mul(ctx, whet_ctx_threads(ctx), p->acts, &room));
    s.scratch_bytes = layers_scratch(s.kernels, p);
    WHET_TRY_DONE(whet_i_mul(ctx, whet_ctx_threads(ctx), s.scratch_bytes, &bytes));
    WHET_TRY_DONE(whet_i_alloc(ctx, bytes, &s.scratch));
    WHET_TRY_DONE(whet_i_alloc(ctx, mixed, &s.mixed));
    WHET_TRY_DONE(whet_i_alloc(ctx, room, &s.room));
    WHET_TRY_DONE(whet_i_alloc(ctx, points, &s.from));
    find_from(&s);
    WHET_TRY_DONE(whet_i_parallel_for(ctx, NULL, points, mix_point, &s));
    /* one point is a step of another's work, which has its own progress */
    status = whet_i_parallel_for(ctx, points > 1 ? "line" : NULL,
                                 whet_i_blocks(data->n, WHET_I_PANEL), score_examples, &s);
done:
    whet_i_free(ctx, s.from);
    whet_i_free(ctx, s.scratch);
    whet_i_free(ctx, s.room);
    whet_i_free(ctx, s.mixed);
    return status;
}
