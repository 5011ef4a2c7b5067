/* SPDX-License-Identifier: Apache-2.0
 * Rules as they are held, and what models on features say of a row. */
#include <math.h>
#include <stdio.h>

#include "label/label_i.h"
#include "label/rules_i.h"

/* ---- what a model says ------------------------------------------------------------------------ */

int64_t whet_i_model_room(const whet_i_model *m) {
    return m->kind == WHET_I_RULE_NEIGHBOURS ? 2 * m->neighbours + m->inputs : 0;
}

static double feature(const whet_i_model *m, whet_i_strided x, int64_t i, int64_t j) {
    return (double)x.x[i * x.row + m->input[j] * x.column];
}

static void tree_probs(const whet_i_model *m, whet_i_strided x, int64_t i, double *p) {
    int64_t at = 0;
    while (m->node[at].input >= 0)
        at = feature(m, x, i, m->node[at].input) <= m->node[at].at_most ? m->node[at].yes
                                                                        : m->node[at].no;
    memcpy(p, m->leaf + at * m->outs, sizeof *p * (size_t)m->outs);
}

static void logistic_probs(const whet_i_model *m, whet_i_strided x, int64_t i, double *p) {
    memcpy(p, m->bias, sizeof *p * (size_t)m->outs);
    for (int64_t j = 0; j < m->inputs; j++) {
        const double value = feature(m, x, i, j), *w = m->weight + j * m->outs;
        for (int64_t o = 0; o < m->outs; o++) p[o] += value * w[o];
    }
    whet_i_softmax(p, m->outs);
}

static void similarity_probs(const whet_i_model *m, whet_i_strided x, int64_t i, double *p) {
    double square = 0;
    for (int64_t o = 0; o < m->outs; o++) p[o] = 0;
    for (int64_t j = 0; j < m->inputs; j++) {
        const double value = feature(m, x, i, j), *w = m->weight + j * m->outs;
        square += value * value;
        for (int64_t o = 0; o < m->outs; o++) p[o] += value * w[o];
    }
    for (int64_t o = 0; o < m->outs && square > 0; o++) p[o] /= sqrt(square);
}

/* Lanes, summed in order: the compiler may use vectors, and the bits do not depend on their length. */
static double squared_gap(const double *x, const float *point, int64_t n) {
    enum { LANES = 8 };
    double lane[LANES] = {0}, sum = 0;
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (int64_t l = 0; l < LANES; l++) {
            const double gap = x[j + l] - (double)point[j + l];
            lane[l] += gap * gap;
        }
    for (; j < n; j++) sum += (x[j] - (double)point[j]) * (x[j] - (double)point[j]);
    for (int64_t l = 0; l < LANES; l++) sum += lane[l];
    return sum;
}

/* Shares of the nearest points; of equally far ones the first stay. */
static void neighbour_probs(const whet_i_model *m, whet_i_strided x, int64_t i, double *p,
                            double *room) {
    double *far = room, *of = far + m->neighbours, *row = of + m->neighbours;
    int64_t held = 0;
    for (int64_t j = 0; j < m->inputs; j++) row[j] = feature(m, x, i, j);
    for (int64_t q = 0; q < m->points; q++) {
        const double square = squared_gap(row, m->point + q * m->inputs, m->inputs);
        if (held == m->neighbours && !(square < far[held - 1])) continue;
        int64_t place = held < m->neighbours ? held++ : held - 1;
        for (; place > 0 && far[place - 1] > square; place--) {
            far[place] = far[place - 1];
            of[place] = of[place - 1];
        }
        far[place] = square;
        of[place] = (double)m->of[q];
    }
    for (int64_t o = 0; o < m->outs; o++) p[o] = 0;
    for (int64_t h = 0; h < held; h++) p[(int64_t)of[h]] += 1 / (double)held;
}

void whet_i_model_probs(const whet_i_model *m, whet_i_strided x, int64_t i, double *p,
                        double *room) {
    switch (m->kind) {
    case WHET_I_RULE_TREE: tree_probs(m, x, i, p); break;
    case WHET_I_RULE_LOGISTIC: logistic_probs(m, x, i, p); break;
    case WHET_I_RULE_NEIGHBOURS: neighbour_probs(m, x, i, p, room); break;
    case WHET_I_RULE_SIMILARITY: similarity_probs(m, x, i, p); break;
    case WHET_I_RULE_NUMBER:
    case WHET_I_RULE_KEYWORDS:
    case WHET_I_RULE_REGEX: break;
    }
}

int64_t whet_i_model_vote(const double *p, const double *least, int64_t outs) {
    const int64_t top = whet_i_argmax(p, outs);
    return p[top] >= least[top] ? top : -1;
}

/* ---- rules ------------------------------------------------------------------------------------ */

whet_status whet_i_rules_create(whet_ctx *ctx, const whet_names *classes, int64_t d,
                                whet_rules **out) {
    whet_status status = WHET_OK;
    whet_rules *rules = NULL;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &rules));
    WHET_TRY_DONE(whet_names_create(ctx, &rules->names));
    WHET_TRY_DONE(whet_names_create(ctx, &rules->classes));
    rules->d = d;
    for (int64_t c = 0; classes && c < whet_names_count(classes); c++)
        WHET_TRY_DONE(whet_names_add(ctx, rules->classes, whet_names_get(classes, c), NULL));
    *out = rules;
    rules = NULL;
done:
    whet_rules_destroy(ctx, rules);
    return status;
}

void whet_rules_destroy(whet_ctx *ctx, whet_rules *rules) {
    if (!rules) return;
    for (int64_t j = 0; j < rules->cap; j++) whet_i_pattern_free(ctx, rules->rule[j].code);
    whet_names_destroy(ctx, rules->classes);
    whet_names_destroy(ctx, rules->names);
    whet_i_free(ctx, rules->rule);
    whet_i_arena_free(ctx, &rules->arena);
    whet_i_free(ctx, rules);
}

whet_status whet_i_rules_next(whet_ctx *ctx, whet_rules *rules, whet_i_rule **out) {
    if (rules->m == rules->cap) {
        const int64_t cap = rules->cap ? 2 * rules->cap : 16;
        WHET_TRY(whet_i_realloc(ctx, &rules->rule, cap));
        memset(rules->rule + rules->cap, 0, sizeof *rules->rule * (size_t)(cap - rules->cap));
        rules->cap = cap;
    }
    *out = &rules->rule[rules->m];
    return WHET_OK;
}

whet_status whet_i_rules_commit(whet_ctx *ctx, whet_rules *rules, const char *where) {
    const whet_i_rule *r = &rules->rule[rules->m];
    const whet_str name = {r->name, r->name_len};
    char quoted[WHET_QUOTE_SIZE];
    if (whet_names_find(rules->names, name) >= 0)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: a second rule is called %s; expected different names", where,
                           whet_i_quote(quoted, name));
    WHET_TRY(whet_names_add(ctx, rules->names, name, NULL));
    rules->m++;
    return WHET_OK;
}

/* A copy in the rules' arena; nothing for NULL. */
static whet_status keep(whet_ctx *ctx, whet_rules *rules, const void *from, int64_t count,
                        size_t size, void *out) {
    void *copy;
    if (!from) return WHET_OK;
    WHET_TRY(whet_i_arena_alloc(ctx, &rules->arena, count, size, &copy));
    memcpy(copy, from, (size_t)count * size);
    memcpy(out, &copy, sizeof copy);
    return WHET_OK;
}

whet_status whet_i_rules_add_model(whet_ctx *ctx, whet_rules *rules, const char *name,
                                   const whet_i_model *model) {
    whet_i_rule *rule;
    char tried[160];
    int64_t number = 1;
    (void)snprintf(tried, sizeof tried, "%s", name);
    while (whet_names_find(rules->names, whet_str_from(tried)) >= 0)
        (void)snprintf(tried, sizeof tried, "%.120s #%lld", name, (long long)++number);
    WHET_TRY(whet_i_rules_next(ctx, rules, &rule));
    whet_i_rule made = {.kind = model->kind, .model = *model, .name_len = (int64_t)strlen(tried)};
    whet_i_model *m = &made.model;
    WHET_TRY(keep(ctx, rules, tried, made.name_len + 1, 1, &made.name));
    WHET_TRY(keep(ctx, rules, model->input, m->inputs, sizeof *m->input, &m->input));
    WHET_TRY(keep(ctx, rules, model->vote, m->outs, sizeof *m->vote, &m->vote));
    WHET_TRY(keep(ctx, rules, model->least, m->outs, sizeof *m->least, &m->least));
    WHET_TRY(keep(ctx, rules, model->node, m->nodes, sizeof *m->node, &m->node));
    WHET_TRY(keep(ctx, rules, model->leaf, m->nodes * m->outs, sizeof *m->leaf, &m->leaf));
    WHET_TRY(keep(ctx, rules, model->weight, m->inputs * m->outs, sizeof *m->weight, &m->weight));
    WHET_TRY(keep(ctx, rules, model->bias, m->outs, sizeof *m->bias, &m->bias));
    WHET_TRY(keep(ctx, rules, model->point, m->points * m->inputs, sizeof *m->point, &m->point));
    WHET_TRY(keep(ctx, rules, model->of, m->points, sizeof *m->of, &m->of));
    *rule = made;
    return whet_i_rules_commit(ctx, rules, "rules");
}

int64_t whet_rules_count(const whet_rules *rules) { return rules->m; }

whet_str whet_rules_name(const whet_rules *rules, int64_t j) {
    return whet_names_get(rules->names, j);
}

const whet_names *whet_rules_classes(const whet_rules *rules) { return rules->classes; }

int64_t whet_rules_features(const whet_rules *rules) { return rules->d; }
