/* SPDX-License-Identifier: Apache-2.0
 * Heads of an attention with those of another: for every pair of heads (of keys and values, with the
 * query heads that share them) the best order inside, then the assignment over pairs of the largest sum.
 * Inside a pair: what numbers keys and queries, what numbers values, and which query head is which. The first
 * two are independent of each other, so that with one query head a pair is solved exactly; with several
 * each of the three is solved given the others, in turn, until nothing is better.
 * Legend: share query heads on one head of keys and values, d numbers a head. */
#include "merge/align_i.h"
#include "tensor/tensor_i.h"

typedef struct pair {
    int64_t *query, *key, *value; /* [share], [d], [d] */
} pair;

typedef struct matcher {
    whet_ctx *ctx;
    const whet_i_group *g;
    double *const *products;
    int64_t share, d;
    double *gain, *over; /* [max(d, share)^2], [kv^2] */
    int64_t *orders;     /* [kv^2, share + 2 d] */
    int64_t *chosen;     /* [kv] */
    int64_t *spare;      /* [max(d, share)] */
} matcher;

static double product(const matcher *m, int32_t part, int64_t i, int64_t j) {
    return m->products[part][i * whet_i_part_count(m->g, part) + j];
}

static pair pair_of(const matcher *m, int64_t a, int64_t b) {
    int64_t *at = m->orders + (a * m->g->kv + b) * (m->share + 2 * m->d);
    return (pair){at, at + m->share, at + m->share + m->d};
}

/* The value of one query head of A with one of B, inside orders given. */
static double of_queries(const matcher *m, int64_t q, int64_t r, const pair *p) {
    double sum = 0;
    for (int64_t i = 0; i < m->d; i++)
        sum += product(m, WHET_I_QUERY, q * m->d + i, r * m->d + p->key[i]) +
               product(m, WHET_I_MIXED, q * m->d + i, r * m->d + p->value[i]);
    return sum;
}

static double of_pair(const matcher *m, int64_t a, int64_t b, const pair *p) {
    double sum = 0;
    for (int64_t i = 0; i < m->d; i++)
        sum += product(m, WHET_I_KEY, a * m->d + i, b * m->d + p->key[i]) +
               product(m, WHET_I_VALUE, a * m->d + i, b * m->d + p->value[i]);
    for (int64_t q = 0; q < m->share; q++)
        sum += of_queries(m, a * m->share + q, b * m->share + p->query[q], p);
    return sum;
}

/* The order inside of keys and queries, or of values and what reads them, given the query heads. */
static whet_status order_inside(const matcher *m, int64_t a, int64_t b, const pair *p, bool values,
                                int64_t *out) {
    const int32_t own = values ? WHET_I_VALUE : WHET_I_KEY;
    const int32_t heads = values ? WHET_I_MIXED : WHET_I_QUERY;
    const int64_t d = m->d;
    for (int64_t i = 0; i < d; i++)
        for (int64_t j = 0; j < d; j++) {
            double sum = product(m, own, a * d + i, b * d + j);
            for (int64_t q = 0; q < m->share; q++)
                sum += product(m, heads, (a * m->share + q) * d + i,
                               (b * m->share + p->query[q]) * d + j);
            m->gain[i * d + j] = sum;
        }
    WHET_TRY(whet_i_assign_gains(m->ctx, m->gain, d, m->spare));
    memcpy(out, m->spare, (size_t)d * sizeof *out);
    return WHET_OK;
}

static whet_status order_queries(const matcher *m, int64_t a, int64_t b, const pair *p) {
    for (int64_t q = 0; q < m->share; q++)
        for (int64_t r = 0; r < m->share; r++)
            m->gain[q * m->share + r] = of_queries(m, a * m->share + q, b * m->share + r, p);
    WHET_TRY(whet_i_assign_gains(m->ctx, m->gain, m->share, m->spare));
    memcpy(p->query, m->spare, (size_t)m->share * sizeof *p->query);
    return WHET_OK;
}

/* From the order that p has. */
static whet_status climb(const matcher *m, int64_t a, int64_t b, const pair *p, double *value) {
    *value = of_pair(m, a, b, p);
    for (int round = 0; round < 100; round++) {
        if (m->share > 1 && round > 0) WHET_TRY(order_queries(m, a, b, p));
        if (m->g->free_keys) WHET_TRY(order_inside(m, a, b, p, false, p->key));
        WHET_TRY(order_inside(m, a, b, p, true, p->value));
        const double now = of_pair(m, a, b, p);
        if (!whet_i_is_better(now, *value) && round > 0) break;
        *value = now;
        if (m->share == 1) break;
    }
    return WHET_OK;
}

/* The best of climbs that begin with each rotation of the query heads. */
static whet_status solve_pair(const matcher *m, int64_t a, int64_t b, int64_t *best_room) {
    const pair p = pair_of(m, a, b);
    const int64_t numbers = m->share + 2 * m->d;
    double best = 0;
    for (int64_t turn = 0; turn < m->share; turn++) {
        double value;
        for (int64_t q = 0; q < m->share; q++) p.query[q] = (q + turn) % m->share;
        for (int64_t i = 0; i < m->d; i++) p.key[i] = p.value[i] = i;
        WHET_TRY(climb(m, a, b, &p, &value));
        if (turn > 0 && !whet_i_is_better(value, best)) continue;
        best = value;
        memcpy(best_room, p.query, (size_t)numbers * sizeof *best_room);
    }
    memcpy(p.query, best_room, (size_t)numbers * sizeof *best_room);
    m->over[a * m->g->kv + b] = best;
    return WHET_OK;
}

static void publish(const matcher *m, int64_t *const order[WHET_I_PARTS]) {
    const int64_t d = m->d;
    for (int64_t a = 0; a < m->g->kv; a++) {
        const int64_t b = m->chosen[a];
        const pair p = pair_of(m, a, b);
        for (int64_t i = 0; i < d; i++) {
            order[WHET_I_KEY][a * d + i] = b * d + p.key[i];
            order[WHET_I_VALUE][a * d + i] = b * d + p.value[i];
            for (int64_t q = 0; q < m->share; q++) {
                const int64_t to = (a * m->share + q) * d + i;
                order[WHET_I_QUERY][to] = (b * m->share + p.query[q]) * d + p.key[i];
                order[WHET_I_MIXED][to] = (b * m->share + p.query[q]) * d + p.value[i];
            }
        }
    }
}

static double value_now(const matcher *m, int64_t *const order[WHET_I_PARTS]) {
    double sum = 0;
    for (int32_t part = 0; part < WHET_I_PARTS; part++)
        for (int64_t i = 0; i < whet_i_part_count(m->g, part); i++)
            sum += product(m, part, i, order[part][i]);
    return sum;
}

whet_status whet_i_match_heads(whet_ctx *ctx, const whet_i_group *group,
                               double *const products[WHET_I_PARTS],
                               int64_t *const order[WHET_I_PARTS], double *before, double *after) {
    matcher m = {.ctx = ctx,
                 .g = group,
                 .products = products,
                 .share = group->heads / group->kv,
                 .d = group->size};
    const int64_t wide = m.d > m.share ? m.d : m.share, kv = group->kv;
    int64_t cells, *room = NULL;
    double sum = 0;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_mul(ctx, kv * kv, m.share + 2 * m.d, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &m.orders));
    WHET_TRY_DONE(whet_i_alloc(ctx, wide * wide, &m.gain));
    WHET_TRY_DONE(whet_i_alloc(ctx, kv * kv, &m.over));
    WHET_TRY_DONE(whet_i_alloc(ctx, kv, &m.chosen));
    WHET_TRY_DONE(whet_i_alloc(ctx, wide, &m.spare));
    WHET_TRY_DONE(whet_i_alloc(ctx, m.share + 2 * m.d, &room));
    for (int64_t a = 0; a < kv; a++)
        for (int64_t b = 0; b < kv; b++) WHET_TRY_DONE(solve_pair(&m, a, b, room));
    WHET_TRY_DONE(whet_i_assign_gains(ctx, m.over, kv, m.chosen));
    for (int64_t a = 0; a < kv; a++) sum += m.over[a * kv + m.chosen[a]];
    *before = value_now(&m, order);
    *after = *before;
    if (whet_i_is_better(sum, *before)) {
        publish(&m, order);
        *after = sum;
    }
done:
    whet_i_free(ctx, room);
    whet_i_free(ctx, m.spare);
    whet_i_free(ctx, m.chosen);
    whet_i_free(ctx, m.over);
    whet_i_free(ctx, m.gain);
    whet_i_free(ctx, m.orders);
    return status;
}
