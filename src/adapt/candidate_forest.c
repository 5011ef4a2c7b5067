/* SPDX-License-Identifier: Apache-2.0
 * Candidate "forest": randomised trees on the columns, bagged or extremely randomised as cross-fitting has
 * it, calibrated by a temperature. For features whose columns mean something each, as those of tables do.
 * Trees see columns as they were given: in prepared rows values that were equal are equal no more.
 * Cost: 100 trees for each split and kind, 300 for the fit; see label/forest.c.
 * Legend: n rows, d columns, b labelled rows, k classes. */
#include <math.h>
#include <stdio.h>

#include "adapt/candidate.h"

enum { KINDS = 2, TREES_CROSSFIT = 100, TREES = 300 };
/* Told apart from the streams of other draws of one seed. */
#define STREAM 0x666f72657374ULL

typedef struct forest_model {
    int64_t d, k, seen, trees;
    int32_t *classes;          /* [seen] */
    double *prior;             /* [seen] */
    int32_t *nodes, *shares;   /* [trees + 1] where each tree's begin */
    whet_i_forest_tree forest; /* one tree after the other, next counted from its beginning */
    double unseen, temperature;
} forest_model;

static void tree_free(whet_ctx *ctx, whet_i_forest_tree *tree) {
    whet_i_free(ctx, tree->input);
    whet_i_free(ctx, tree->next);
    whet_i_free(ctx, tree->at_most);
    whet_i_free(ctx, tree->out);
    whet_i_free(ctx, tree->share);
    *tree = (whet_i_forest_tree){0};
}

static whet_status tree_make(whet_ctx *ctx, int64_t nodes, int64_t shares,
                             whet_i_forest_tree *tree) {
    WHET_TRY(whet_i_alloc(ctx, nodes, &tree->input));
    WHET_TRY(whet_i_alloc(ctx, nodes, &tree->next));
    WHET_TRY(whet_i_alloc(ctx, nodes, &tree->at_most));
    WHET_TRY(whet_i_alloc(ctx, shares, &tree->out));
    return whet_i_alloc(ctx, shares, &tree->share);
}

/* The trees' memory from a node and a share on. */
static whet_i_forest_tree tree_at(const whet_i_forest_tree *all, int64_t node, int64_t share) {
    return (whet_i_forest_tree){.input = all->input + node,
                                .next = all->next + node,
                                .at_most = all->at_most + node,
                                .out = all->out + share,
                                .share = all->share + share};
}

static void destroy(whet_ctx *ctx, void *model) {
    forest_model *m = model;
    if (!m) return;
    whet_i_free(ctx, m->classes);
    whet_i_free(ctx, m->prior);
    whet_i_free(ctx, m->nodes);
    whet_i_free(ctx, m->shares);
    tree_free(ctx, &m->forest);
    whet_i_free(ctx, m);
}

/* Means over the trees become a row over all classes. prior, p [seen]. */
static void finish(double *p, int64_t trees, const double *prior, const int32_t *classes,
                   int64_t seen, int64_t k, double unseen, double *row) {
    double sum = 0;
    for (int64_t c = 0; c < seen; c++) sum += p[c] /= (double)trees;
    for (int64_t c = 0; c < seen; c++) p[c] += (1 - sum) * prior[c];
    whet_i_share_out(p, classes, seen, k, unseen, row);
}

/* ---- cross-fitting ------------------------------------------------------------------------------ */

typedef struct worker {
    float *x;        /* [b, columns] training rows of a split */
    int32_t *y;      /* [2 b + k]: labels, in dense numbers, the classes they stand for */
    int64_t *counts; /* [k] */
    double *p;       /* [b, k] of held rows */
    double *prior;   /* [k] */
    whet_i_forest_tree tree;
    char *room;
} worker;

typedef struct crossfitting {
    const whet_i_trial *trial;
    int64_t columns;
    float *x; /* [b, columns] labelled rows */
    worker *workers;
    double *probs; /* [KINDS, cases, k] */
} crossfitting;

static void worker_free(whet_ctx *ctx, worker *w) {
    whet_i_free(ctx, w->x);
    whet_i_free(ctx, w->y);
    whet_i_free(ctx, w->counts);
    whet_i_free(ctx, w->p);
    whet_i_free(ctx, w->prior);
    tree_free(ctx, &w->tree);
    whet_i_free(ctx, w->room);
}

static whet_status worker_make(whet_ctx *ctx, int64_t b, int64_t columns, int64_t k, worker *w) {
    const int64_t size = whet_i_forest_tree_size(b);
    int64_t cells;
    WHET_TRY(whet_i_mul(ctx, b, columns, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &w->x));
    WHET_TRY(whet_i_alloc(ctx, 2 * b + k, &w->y));
    WHET_TRY(whet_i_alloc(ctx, k, &w->counts));
    WHET_TRY(whet_i_mul(ctx, b, k, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &w->p));
    WHET_TRY(whet_i_alloc(ctx, k, &w->prior));
    WHET_TRY(tree_make(ctx, 2 * size, size, &w->tree));
    return whet_i_alloc(ctx, whet_i_forest_room(b, columns, k), &w->room);
}

static void fit_split(void *arg, int64_t at, int32_t id) {
    const crossfitting *f = arg;
    const whet_i_trial *t = f->trial;
    const whet_i_split *s = &t->splits.split[at / KINDS];
    const whet_i_forest_kind kind = at % KINDS == 0 ? WHET_I_FOREST_BAGGED : WHET_I_FOREST_EXTRA;
    const int64_t k = t->pool->k, columns = f->columns;
    worker *w = &f->workers[id];
    int32_t *dense = w->y + t->b, *classes = dense + t->b;
    int64_t seen;
    whet_i_rng rng;
    for (int64_t i = 0; i < s->n_train; i++) {
        w->y[i] = t->y[s->train[i]];
        memcpy(w->x + i * columns, f->x + s->train[i] * columns, sizeof(float) * (size_t)columns);
    }
    whet_i_dense_classes(w->y, s->n_train, k, classes, &seen, dense);
    const double unseen = seen == k ? 0 : whet_i_unseen_mass(w->y, s->n_train, k, w->counts);
    whet_i_class_prior(dense, s->n_train, seen, w->counts, w->prior);
    memset(w->p, 0, sizeof *w->p * (size_t)(s->n_held * seen));
    const whet_i_forest_rows rows = {w->x, dense, s->n_train, columns, seen};
    whet_i_rng_init(&rng, t->seed, STREAM + (uint64_t)at + 1);
    for (int64_t tree = 0; tree < TREES_CROSSFIT; tree++) {
        whet_i_forest_grow(&rows, kind, &rng, w->room, &w->tree);
        for (int64_t i = 0; i < s->n_held; i++)
            whet_i_forest_add(&w->tree, f->x + s->held[i] * columns, w->p + i * seen);
    }
    double *probs = f->probs + (at % KINDS) * t->cases * k;
    for (int64_t i = 0; i < s->n_held; i++)
        finish(w->p + i * seen, TREES_CROSSFIT, w->prior, classes, seen, k, unseen,
               probs + (s->repeat * t->b + s->held[i]) * k);
}

static whet_status gather(whet_ctx *ctx, const whet_i_pool *pool, const int64_t *rows, int64_t b,
                          float **out) {
    const int64_t d = pool->prepare.d_in;
    int64_t cells;
    WHET_TRY(whet_i_mul(ctx, b, d, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, out));
    for (int64_t i = 0; i < b; i++)
        memcpy(*out + i * d, pool->given + rows[i] * d, sizeof **out * (size_t)d);
    return WHET_OK;
}

static const char *kind_words(int32_t kind) {
    return kind == WHET_I_FOREST_BAGGED ? "bagged" : "extremely randomised";
}

static whet_status settle(whet_ctx *ctx, const crossfitting *f, whet_i_result *out) {
    const whet_i_trial *t = f->trial;
    const int64_t cells = t->cases * t->pool->k;
    WHET_TRY(whet_i_alloc(ctx, cells, &out->probs));
    out->log_loss = INFINITY;
    for (int32_t kind = 0; kind < KINDS; kind++) {
        double temperature, loss;
        WHET_TRY(whet_i_temperature_fit(ctx, f->probs + kind * cells, t->cases, t->pool->k,
                                        t->case_y, &temperature, &loss));
        if (!(loss < out->log_loss)) continue;
        out->log_loss = loss;
        out->settings.kind = kind;
        out->settings.temperature = temperature;
    }
    memcpy(out->probs, f->probs + out->settings.kind * cells, sizeof(double) * (size_t)cells);
    whet_i_temper(out->probs, t->cases, t->pool->k, out->settings.temperature);
    (void)snprintf(out->words, sizeof out->words, "%d %s trees, temperature %.2f", TREES,
                   kind_words(out->settings.kind), out->settings.temperature);
    return WHET_OK;
}

static whet_status crossfit(whet_ctx *ctx, const whet_i_candidate *self, whet_i_trial *trial,
                            const whet_i_result *prior, whet_i_result *out) {
    (void)self;
    (void)prior;
    const int64_t tasks = trial->splits.n * KINDS, k = trial->pool->k;
    const int64_t threads = whet_ctx_threads(ctx), workers = threads < tasks ? threads : tasks;
    crossfitting f = {.trial = trial, .columns = trial->pool->prepare.d_in};
    whet_status status = WHET_OK;
    int64_t cells;
    WHET_TRY_DONE(gather(ctx, trial->pool, trial->rows, trial->b, &f.x));
    WHET_TRY_DONE(whet_i_calloc(ctx, workers, &f.workers));
    for (int64_t i = 0; i < workers; i++)
        WHET_TRY_DONE(worker_make(ctx, trial->b, f.columns, k, &f.workers[i]));
    WHET_TRY_DONE(whet_i_mul(ctx, KINDS * trial->cases, k, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &f.probs));
    WHET_TRY_DONE(whet_i_parallel_for(ctx, NULL, tasks, fit_split, &f));
    WHET_TRY_DONE(settle(ctx, &f, out));
done:
    for (int64_t i = 0; f.workers && i < workers; i++) worker_free(ctx, &f.workers[i]);
    whet_i_free(ctx, f.workers);
    whet_i_free(ctx, f.x);
    whet_i_free(ctx, f.probs);
    return status;
}

/* ---- the fit -------------------------------------------------------------------------------------- */

typedef struct fitting {
    const whet_i_trial *trial;
    whet_i_forest_rows rows;
    whet_i_forest_kind kind;
    int64_t size;
    whet_i_forest_tree all, tree[TREES];
    char *room;
    int64_t room_bytes;
} fitting;

static void grow_tree(void *arg, int64_t at, int32_t id) {
    fitting *f = arg;
    whet_i_rng rng;
    whet_i_rng_init(&rng, f->trial->seed, STREAM + ((uint64_t)at << 32));
    f->tree[at] = tree_at(&f->all, at * 2 * f->size, at * f->size);
    whet_i_forest_grow(&f->rows, f->kind, &rng, f->room + id * f->room_bytes, &f->tree[at]);
}

static void copy_tree(const whet_i_forest_tree *from, whet_i_forest_tree to) {
    const size_t nodes = (size_t)from->nodes, shares = (size_t)from->shares;
    memcpy(to.input, from->input, sizeof *to.input * nodes);
    memcpy(to.next, from->next, sizeof *to.next * nodes);
    memcpy(to.at_most, from->at_most, sizeof *to.at_most * nodes);
    memcpy(to.out, from->out, sizeof *to.out * shares);
    memcpy(to.share, from->share, sizeof *to.share * shares);
}

/* One after the other, in the memory that they need. At most 300 x 10,000 nodes. */
static whet_status pack(whet_ctx *ctx, const fitting *f, forest_model *m) {
    WHET_TRY(whet_i_alloc(ctx, TREES + 1, &m->nodes));
    WHET_TRY(whet_i_alloc(ctx, TREES + 1, &m->shares));
    m->trees = TREES;
    m->nodes[0] = m->shares[0] = 0;
    for (int64_t i = 0; i < TREES; i++) {
        m->nodes[i + 1] = m->nodes[i] + (int32_t)f->tree[i].nodes;
        m->shares[i + 1] = m->shares[i] + (int32_t)f->tree[i].shares;
    }
    WHET_TRY(tree_make(ctx, m->nodes[TREES], m->shares[TREES], &m->forest));
    for (int64_t i = 0; i < TREES; i++)
        copy_tree(&f->tree[i], tree_at(&m->forest, m->nodes[i], m->shares[i]));
    return WHET_OK;
}

static whet_status grow_all(whet_ctx *ctx, const whet_i_trial *trial, const int32_t *dense,
                            int32_t kind, forest_model *m) {
    const whet_i_pool *pool = trial->pool;
    const int64_t columns = pool->prepare.d_in, threads = whet_ctx_threads(ctx);
    whet_status status = WHET_OK;
    fitting *f = NULL;
    float *x = NULL;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &f));
    WHET_TRY_DONE(gather(ctx, pool, pool->rows, pool->b, &x));
    f->trial = trial;
    f->rows = (whet_i_forest_rows){x, dense, pool->b, columns, m->seen};
    f->kind = kind == WHET_I_FOREST_BAGGED ? WHET_I_FOREST_BAGGED : WHET_I_FOREST_EXTRA;
    f->size = whet_i_forest_tree_size(pool->b);
    f->room_bytes = (whet_i_forest_room(pool->b, columns, m->seen) + 63) / 64 * 64;
    WHET_TRY_DONE(tree_make(ctx, TREES * 2 * f->size, TREES * f->size, &f->all));
    WHET_TRY_DONE(whet_i_alloc(ctx, threads * f->room_bytes, &f->room));
    WHET_TRY_DONE(whet_i_parallel_for(ctx, NULL, TREES, grow_tree, f));
    WHET_TRY_DONE(pack(ctx, f, m));
done:
    if (f) {
        tree_free(ctx, &f->all);
        whet_i_free(ctx, f->room);
    }
    whet_i_free(ctx, f);
    whet_i_free(ctx, x);
    return status;
}

static whet_status fit(whet_ctx *ctx, const whet_i_candidate *self, const whet_i_trial *trial,
                       const whet_i_settings *settings, const void *prior_model, void **model) {
    (void)self;
    (void)prior_model;
    const whet_i_pool *pool = trial->pool;
    whet_status status = WHET_OK;
    forest_model *m = NULL;
    int32_t *dense = NULL;
    int64_t *counts = NULL;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &m));
    *m =
        (forest_model){.d = pool->prepare.d_in, .k = pool->k, .temperature = settings->temperature};
    WHET_TRY_DONE(whet_i_alloc(ctx, pool->k, &m->classes));
    WHET_TRY_DONE(whet_i_alloc(ctx, pool->k, &m->prior));
    WHET_TRY_DONE(whet_i_alloc(ctx, pool->b, &dense));
    WHET_TRY_DONE(whet_i_alloc(ctx, pool->k, &counts));
    whet_i_dense_classes(pool->y, pool->b, pool->k, m->classes, &m->seen, dense);
    m->unseen = m->seen == pool->k ? 0 : whet_i_unseen_mass(pool->y, pool->b, pool->k, counts);
    whet_i_class_prior(dense, pool->b, m->seen, counts, m->prior);
    WHET_TRY_DONE(grow_all(ctx, trial, dense, settings->kind, m));
    *model = m;
    m = NULL;
done:
    destroy(ctx, m);
    whet_i_free(ctx, dense);
    whet_i_free(ctx, counts);
    return status;
}

/* ---- predicting --------------------------------------------------------------------------------- */

typedef struct predicting {
    const forest_model *m;
    const whet_i_query *rows;
    double *p; /* [workers, seen] */
    double *probs;
} predicting;

static void predict_row(void *arg, int64_t i, int32_t id) {
    const predicting *f = arg;
    const forest_model *m = f->m;
    double *p = f->p + id * m->seen;
    for (int64_t c = 0; c < m->seen; c++) p[c] = 0;
    for (int64_t t = 0; t < m->trees; t++) {
        const whet_i_forest_tree tree = tree_at(&m->forest, m->nodes[t], m->shares[t]);
        whet_i_forest_add(&tree, f->rows->given + i * m->d, p);
    }
    finish(p, m->trees, m->prior, m->classes, m->seen, m->k, m->unseen, f->probs + i * m->k);
}

static whet_status predict(whet_ctx *ctx, const void *model, const whet_i_query *rows,
                           double *probs) {
    const forest_model *m = model;
    const int64_t threads = whet_ctx_threads(ctx);
    predicting f = {.m = m, .rows = rows, .probs = probs};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(ctx, threads * m->seen, &f.p));
    WHET_TRY_DONE(whet_i_parallel_for(ctx, NULL, rows->n, predict_row, &f));
    whet_i_temper(probs, rows->n, m->k, m->temperature);
done:
    whet_i_free(ctx, f.p);
    return status;
}

/* ---- to and from files ---------------------------------------------------------------------------- */

static whet_status save(whet_ctx *ctx, const void *model, const char *prefix, whet_i_store *store) {
    const forest_model *m = model;
    const whet_i_forest_tree *f = &m->forest;
    const int64_t nodes = m->nodes[m->trees], shares = m->shares[m->trees];
    WHET_TRY(whet_i_store_put(ctx, store, prefix, "classes", WHET_I32, m->classes, m->seen, 0));
    WHET_TRY(whet_i_store_put(ctx, store, prefix, "prior", WHET_F64, m->prior, m->seen, 0));
    WHET_TRY(whet_i_store_put(ctx, store, prefix, "nodes", WHET_I32, m->nodes, m->trees + 1, 0));
    WHET_TRY(whet_i_store_put(ctx, store, prefix, "shares", WHET_I32, m->shares, m->trees + 1, 0));
    WHET_TRY(whet_i_store_put(ctx, store, prefix, "input", WHET_I32, f->input, nodes, 0));
    WHET_TRY(whet_i_store_put(ctx, store, prefix, "next", WHET_I32, f->next, nodes, 0));
    WHET_TRY(whet_i_store_put(ctx, store, prefix, "at_most", WHET_F32, f->at_most, nodes, 0));
    WHET_TRY(whet_i_store_put(ctx, store, prefix, "out", WHET_I32, f->out, shares, 0));
    WHET_TRY(whet_i_store_put(ctx, store, prefix, "share", WHET_F32, f->share, shares, 0));
    WHET_TRY(whet_i_store_put_scalar(ctx, store, prefix, "unseen", m->unseen));
    return whet_i_store_put_scalar(ctx, store, prefix, "temperature", m->temperature);
}

/* A walk ends: yes is the next node, no one further on, both within the tree; shares lie within it. */
static bool tree_is_sound(const forest_model *m, int64_t t) {
    const int64_t nodes = m->nodes[t + 1] - m->nodes[t], shares = m->shares[t + 1] - m->shares[t];
    if (nodes < 1 || shares < 0) return false;
    const whet_i_forest_tree tree = tree_at(&m->forest, m->nodes[t], m->shares[t]);
    for (int64_t i = 0; i < nodes; i++) {
        const int64_t input = tree.input[i], next = tree.next[i];
        if (input >= 0 && (input >= m->d || i + 1 >= nodes || next <= i || next >= nodes))
            return false;
        if (input < 0 && (next < 0 || next - input > shares)) return false;
    }
    for (int64_t i = 0; i < shares; i++)
        if (tree.out[i] < 0 || tree.out[i] >= m->seen ||
            !(tree.share[i] >= 0 && tree.share[i] <= 1))
            return false;
    return true;
}

static bool is_sound(const forest_model *m, int64_t nodes, int64_t shares) {
    if (!whet_i_classes_rise(m->classes, m->seen, m->k) || m->trees < 1 || m->nodes[0] != 0 ||
        m->shares[0] != 0 || m->nodes[m->trees] != nodes || m->shares[m->trees] != shares ||
        !(m->unseen >= 0 && m->unseen < 1) || !(m->temperature >= WHET_I_LEAST_TEMPERATURE))
        return false;
    for (int64_t c = 0; c < m->seen; c++)
        if (!(m->prior[c] >= 0 && m->prior[c] <= 1)) return false;
    for (int64_t t = 0; t < m->trees; t++)
        if (m->nodes[t + 1] < m->nodes[t] || m->nodes[t + 1] > nodes ||
            m->shares[t + 1] < m->shares[t] || m->shares[t + 1] > shares)
            return false;
    for (int64_t t = 0; t < m->trees; t++)
        if (!tree_is_sound(m, t)) return false;
    return true;
}

static whet_status load(whet_ctx *ctx, const whet_i_source *source, const char *prefix,
                        const whet_i_pool *pool, void **model) {
    whet_status status = WHET_OK;
    forest_model *m = NULL;
    int64_t starts = -1, nodes = -1, shares = -1;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &m));
    *m = (forest_model){.d = pool->prepare.d_in, .k = pool->k, .seen = -1};
    whet_i_forest_tree *f = &m->forest;
#define GET(name, type, size, out) \
    WHET_TRY_DONE(whet_i_source_get(ctx, source, prefix, name, type, size, NULL, out))
    GET("classes", WHET_I32, &m->seen, &m->classes);
    GET("prior", WHET_F64, &m->seen, &m->prior);
    GET("nodes", WHET_I32, &starts, &m->nodes);
    GET("shares", WHET_I32, &starts, &m->shares);
    GET("input", WHET_I32, &nodes, &f->input);
    GET("next", WHET_I32, &nodes, &f->next);
    GET("at_most", WHET_F32, &nodes, &f->at_most);
    GET("out", WHET_I32, &shares, &f->out);
    GET("share", WHET_F32, &shares, &f->share);
#undef GET
    WHET_TRY_DONE(whet_i_source_scalar(ctx, source, prefix, "unseen", &m->unseen));
    WHET_TRY_DONE(whet_i_source_scalar(ctx, source, prefix, "temperature", &m->temperature));
    m->trees = starts - 1;
    if (!is_sound(m, nodes, shares)) {
        status = whet_i_fail(ctx, WHET_ERR_FORMAT,
                             "%s: the trees of %s do not belong together: a node, a share or a "
                             "number out of range",
                             source->path, prefix);
        goto done;
    }
    *model = m;
    m = NULL;
done:
    destroy(ctx, m);
    return status;
}

const whet_i_candidate whet_i_candidate_forest = {
    .name = "forest",
    .title = "a forest of randomised trees",
    .blends = true,
    .crossfit = crossfit,
    .fit = fit,
    .predict = predict,
    .save = save,
    .load = load,
    .destroy = destroy,
};
