/* SPDX-License-Identifier: Apache-2.0
 * Rules from and to JSON (docs/formats/rules.md). Files are not trusted: each place is checked, sizes
 * are those of the document, and the walk down a tree ends because children stand behind parents. */
#include <math.h>
#include <stdio.h>

#include "io/io_i.h"
#include "label/json_writer.h"
#include "label/rules_i.h"

enum { MOST_FEATURES = 1 << 24, FILE_BYTES = 1 << 28, PLACE = 512 };
#define MOST_LOG_ODDS 1e6

static const char *const kinds[] = {"tree",   "logistic", "neighbours", "similarity",
                                    "number", "keywords", "regex"};
/* Members of a rule of each kind, and of any. */
static const char *const members[][6] = {
    {"features", "least", "nodes"},
    {"features", "least", "weights", "biases"},
    {"features", "least", "points", "of", "k"},
    {"features", "least", "vectors"},
    {"column", "feature", "least", "below"},
    {"column", "words", "whole_words", "ignore_case"},
    {"column", "pattern", "ignore_case"},
};
static const char *const members_of_all[] = {"name", "type", "votes", "log_odds"};

/* One rule being read. */
typedef struct reader {
    whet_ctx *ctx;
    const char *where; /* "rules.json: rules[3]" */
    whet_rules *rules;
    const json_t *object;
    whet_i_rule *rule;
} reader;

static whet_status room(reader *r, int64_t count, size_t size, void *out) {
    return whet_i_arena_alloc(r->ctx, &r->rules->arena, count, size, out);
}

static whet_status text(reader *r, const char *key, whet_str *out) {
    whet_str found;
    char *copy;
    WHET_TRY(whet_i_json_str(r->ctx, r->where, r->object, key, &found));
    WHET_TRY(room(r, found.len + 1, 1, &copy));
    memcpy(copy, found.ptr, (size_t)found.len + 1);
    *out = (whet_str){copy, found.len};
    return WHET_OK;
}

static whet_status class_named(reader *r, const json_t *value, int32_t *out) {
    char quoted[WHET_QUOTE_SIZE];
    if (!json_is_string(value))
        return whet_i_fail(r->ctx, WHET_ERR_FORMAT, "%s: \"votes\" holds %s; expected a class",
                           r->where, whet_i_json_kind(value));
    const whet_str name = {json_string_value(value), (int64_t)json_string_length(value)};
    const int64_t c = whet_names_find(r->rules->classes, name);
    if (c < 0)
        return whet_i_fail(r->ctx, WHET_ERR_FORMAT, "%s: %s is not among the classes", r->where,
                           whet_i_quote(quoted, name));
    *out = (int32_t)c;
    return WHET_OK;
}

/* ---- numbers in arrays ------------------------------------------------------------------------ */

static whet_status sized(reader *r, const char *key, const json_t *array, int64_t n) {
    if (json_is_array(array) && (int64_t)json_array_size(array) == n) return WHET_OK;
    return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                       "%s: \"%s\" holds %s of %lld; expected arrays of %lld", r->where, key,
                       whet_i_json_kind(array), (long long)json_array_size(array), (long long)n);
}

static whet_status number_at(reader *r, const char *key, const json_t *array, int64_t i,
                             double *out) {
    const json_t *value = json_array_get(array, (size_t)i);
    if (!json_is_number(value))
        return whet_i_fail(r->ctx, WHET_ERR_FORMAT, "%s: \"%s\"[%lld] is %s; expected a number",
                           r->where, key, (long long)i, whet_i_json_kind(value));
    *out = json_number_value(value);
    return WHET_OK;
}

static whet_status numbers(reader *r, const char *key, const json_t *array, int64_t n,
                           double *out) {
    WHET_TRY(sized(r, key, array, n));
    for (int64_t i = 0; i < n; i++) WHET_TRY(number_at(r, key, array, i, &out[i]));
    return WHET_OK;
}

/* An array of `rows` arrays of `cols` numbers. */
static whet_status matrix(reader *r, const char *key, int64_t rows, int64_t cols, double **out) {
    json_t *array;
    int64_t cells;
    WHET_TRY(whet_i_json_array(r->ctx, r->where, r->object, key, &array));
    WHET_TRY(sized(r, key, array, rows));
    WHET_TRY(whet_i_mul(r->ctx, rows, cols, &cells));
    for (int64_t i = 0; i < rows; i++) /* before anything is allocated */
        WHET_TRY(sized(r, key, json_array_get(array, (size_t)i), cols));
    WHET_TRY(room(r, cells, sizeof(double), out));
    for (int64_t i = 0; i < rows; i++)
        WHET_TRY(numbers(r, key, json_array_get(array, (size_t)i), cols, *out + i * cols));
    return WHET_OK;
}

/* ---- models ----------------------------------------------------------------------------------- */

static whet_status read_inputs(reader *r) {
    whet_i_model *m = &r->rule->model;
    json_t *array;
    WHET_TRY(whet_i_json_array_or_none(r->ctx, r->where, r->object, "features", &array));
    m->inputs = array ? (int64_t)json_array_size(array) : r->rules->d;
    if (m->inputs == 0 || r->rules->d == 0)
        return whet_i_fail(
            r->ctx, WHET_ERR_FORMAT,
            "%s: no features; expected some, and \"features\" of the file to say how "
            "many there are",
            r->where);
    if (!array && r->rule->kind != WHET_I_RULE_SIMILARITY)
        return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                           "%s: \"features\" is missing; expected an array", r->where);
    if (!array && m->inputs > FILE_BYTES / 8)
        return whet_i_fail(r->ctx, WHET_ERR_LIMIT, "%s: %lld features; expected them to be listed",
                           r->where, (long long)m->inputs);
    WHET_TRY(room(r, m->inputs, sizeof *m->input, &m->input));
    for (int64_t j = 0; j < m->inputs; j++) {
        const json_t *value = array ? json_array_get(array, (size_t)j) : NULL;
        const int64_t f = array && json_is_integer(value) ? json_integer_value(value)
                          : array                         ? -1
                                                          : j;
        if (f < 0 || f >= r->rules->d || (j > 0 && f <= m->input[j - 1]))
            return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                               "%s: \"features\"[%lld] is %s; expected rising integers from 0 to "
                               "%lld",
                               r->where, (long long)j,
                               json_is_integer(value) ? "out of place" : whet_i_json_kind(value),
                               (long long)r->rules->d - 1);
        m->input[j] = f;
    }
    return WHET_OK;
}

static whet_status read_outs(reader *r) {
    whet_i_model *m = &r->rule->model;
    json_t *votes, *least;
    WHET_TRY(whet_i_json_array(r->ctx, r->where, r->object, "votes", &votes));
    WHET_TRY(whet_i_json_array(r->ctx, r->where, r->object, "least", &least));
    m->outs = (int64_t)json_array_size(votes);
    if (m->outs < 1)
        return whet_i_fail(r->ctx, WHET_ERR_FORMAT, "%s: \"votes\" is empty; expected classes",
                           r->where);
    WHET_TRY(sized(r, "least", least, m->outs));
    WHET_TRY(room(r, m->outs, sizeof *m->vote, &m->vote));
    WHET_TRY(room(r, m->outs, sizeof *m->least, &m->least));
    for (int64_t o = 0; o < m->outs; o++) {
        const json_t *vote = json_array_get(votes, (size_t)o);
        m->vote[o] = -1;
        m->least[o] = INFINITY;
        if (!json_is_null(vote)) WHET_TRY(class_named(r, vote, &m->vote[o]));
        if (!json_is_null(json_array_get(least, (size_t)o)))
            WHET_TRY(number_at(r, "least", least, o, &m->least[o]));
    }
    return WHET_OK;
}

static int64_t place_of(const whet_i_model *m, int64_t feature) {
    int64_t low = 0, high = m->inputs;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (m->input[middle] < feature)
            low = middle + 1;
        else
            high = middle;
    }
    return low < m->inputs && m->input[low] == feature ? low : -1;
}

/* Of a leaf: what a model says of a row. */
static whet_status read_leaf(reader *r, const char *where, const json_t *array, double *p) {
    const int64_t outs = r->rule->model.outs;
    double sum = 0;
    WHET_TRY(numbers(r, "p", array, outs, p));
    for (int64_t o = 0; o < outs; o++) {
        if (!(p[o] >= 0))
            return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                               "%s: \"p\"[%lld] is %g; expected a probability", where, (long long)o,
                               p[o]);
        sum += p[o];
    }
    if (fabs(sum - 1) <= 1e-6) return WHET_OK;
    return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                       "%s: \"p\" adds up to %g; expected probabilities that add up to 1", where,
                       sum);
}

static whet_status read_node(reader *r, const char *where, const json_t *object, int64_t at) {
    whet_i_model *m = &r->rule->model;
    whet_i_tree_node *node = &m->node[at];
    int64_t feature, yes, no;
    json_t *p;
    *node = (whet_i_tree_node){-1, -1, -1, 0};
    if (!json_is_object(object))
        return whet_i_fail(r->ctx, WHET_ERR_FORMAT, "%s is %s; expected an object", where,
                           whet_i_json_kind(object));
    WHET_TRY(whet_i_json_array_or_none(r->ctx, where, object, "p", &p));
    for (int64_t o = 0; o < m->outs; o++) m->leaf[at * m->outs + o] = 0;
    if (p) return read_leaf(r, where, p, m->leaf + at * m->outs);
    WHET_TRY(whet_i_json_int(r->ctx, where, object, "feature", 0, r->rules->d - 1, &feature));
    WHET_TRY(whet_i_json_real(r->ctx, where, object, "at_most", &node->at_most));
    WHET_TRY(whet_i_json_int(r->ctx, where, object, "yes", at + 1, m->nodes - 1, &yes));
    WHET_TRY(whet_i_json_int(r->ctx, where, object, "no", at + 1, m->nodes - 1, &no));
    const int64_t place = place_of(m, feature);
    if (place < 0)
        return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                           "%s: \"feature\" is %lld; expected one of the rule's \"features\"",
                           where, (long long)feature);
    node->input = (int32_t)place;
    node->yes = (int32_t)yes;
    node->no = (int32_t)no;
    return WHET_OK;
}

static whet_status read_tree(reader *r) {
    whet_i_model *m = &r->rule->model;
    char where[PLACE + 40];
    json_t *nodes;
    int64_t cells;
    WHET_TRY(whet_i_json_array(r->ctx, r->where, r->object, "nodes", &nodes));
    m->nodes = (int64_t)json_array_size(nodes);
    if (m->nodes < 1 || m->nodes > INT32_MAX)
        return whet_i_fail(r->ctx, WHET_ERR_FORMAT, "%s: \"nodes\" is empty; expected a tree",
                           r->where);
    WHET_TRY(whet_i_mul(r->ctx, m->nodes, m->outs, &cells));
    WHET_TRY(room(r, m->nodes, sizeof *m->node, &m->node));
    WHET_TRY(room(r, cells, sizeof *m->leaf, &m->leaf));
    for (int64_t at = 0; at < m->nodes; at++) {
        (void)snprintf(where, sizeof where, "%s: nodes[%lld]", r->where, (long long)at);
        WHET_TRY(read_node(r, where, json_array_get(nodes, (size_t)at), at));
    }
    return WHET_OK;
}

static whet_status read_logistic(reader *r) {
    whet_i_model *m = &r->rule->model;
    json_t *biases;
    WHET_TRY(matrix(r, "weights", m->inputs, m->outs, &m->weight));
    WHET_TRY(whet_i_json_array(r->ctx, r->where, r->object, "biases", &biases));
    WHET_TRY(sized(r, "biases", biases, m->outs));
    WHET_TRY(room(r, m->outs, sizeof *m->bias, &m->bias));
    return numbers(r, "biases", biases, m->outs, m->bias);
}

static whet_status read_neighbours(reader *r) {
    whet_i_model *m = &r->rule->model;
    json_t *points, *of;
    double *values;
    WHET_TRY(whet_i_json_array(r->ctx, r->where, r->object, "points", &points));
    m->points = (int64_t)json_array_size(points);
    WHET_TRY(whet_i_json_array(r->ctx, r->where, r->object, "of", &of));
    WHET_TRY(sized(r, "of", of, m->points));
    WHET_TRY(matrix(r, "points", m->points, m->inputs, &values));
    WHET_TRY(whet_i_json_int(r->ctx, r->where, r->object, "k", 1, m->points, &m->neighbours));
    WHET_TRY(room(r, m->points, sizeof *m->of, &m->of));
    WHET_TRY(room(r, m->points * m->inputs, sizeof *m->point, &m->point));
    for (int64_t i = 0; i < m->points * m->inputs; i++) m->point[i] = (float)values[i];
    for (int64_t i = 0; i < m->points; i++) {
        const json_t *value = json_array_get(of, (size_t)i);
        const int64_t o = json_is_integer(value) ? json_integer_value(value) : -1;
        if (o < 0 || o >= m->outs)
            return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                               "%s: \"of\"[%lld] is not a place in \"votes\"; expected an integer "
                               "from 0 to %lld",
                               r->where, (long long)i, (long long)m->outs - 1);
        m->of[i] = (int32_t)o;
    }
    return WHET_OK;
}

/* Without overflow; 1 for what is that up to rounding, so that vectors once scaled stay as they are. */
static double length_of(const double *v, int64_t n) {
    double top = 0, square = 0;
    for (int64_t j = 0; j < n; j++) top = fmax(top, fabs(v[j]));
    for (int64_t j = 0; j < n && top > 0; j++) square += v[j] / top * (v[j] / top);
    const double length = top * sqrt(square);
    return fabs(length - 1) < 1e-12 ? 1 : length;
}

/* vectors [outs, inputs] of any length become columns of length 1. */
static whet_status read_similarity(reader *r) {
    whet_i_model *m = &r->rule->model;
    double *vectors;
    WHET_TRY(matrix(r, "vectors", m->outs, m->inputs, &vectors));
    WHET_TRY(room(r, m->outs * m->inputs, sizeof *m->weight, &m->weight));
    for (int64_t o = 0; o < m->outs; o++) {
        const double *v = vectors + o * m->inputs;
        const double length = length_of(v, m->inputs);
        for (int64_t j = 0; j < m->inputs; j++)
            m->weight[j * m->outs + o] = length > 0 ? v[j] / length : 0;
    }
    return WHET_OK;
}

static whet_status read_model(reader *r) {
    WHET_TRY(read_inputs(r));
    WHET_TRY(read_outs(r));
    switch (r->rule->kind) {
    case WHET_I_RULE_TREE: return read_tree(r);
    case WHET_I_RULE_LOGISTIC: return read_logistic(r);
    case WHET_I_RULE_NEIGHBOURS: return read_neighbours(r);
    default: return read_similarity(r);
    }
}

/* ---- rules that people write ------------------------------------------------------------------ */

static whet_status read_vote(reader *r) {
    return class_named(r, json_object_get(r->object, "votes"), &r->rule->vote);
}

static whet_status read_column(reader *r) {
    whet_str column;
    WHET_TRY(text(r, "column", &column));
    memcpy(&r->rule->column, &column.ptr, sizeof column.ptr);
    return WHET_OK;
}

static whet_status read_number(reader *r) {
    whet_i_rule *rule = r->rule;
    WHET_TRY(read_vote(r));
    rule->feature = -1;
    if (json_object_get(r->object, "column"))
        WHET_TRY(read_column(r));
    else if (r->rules->d)
        WHET_TRY(whet_i_json_int(r->ctx, r->where, r->object, "feature", 0, r->rules->d - 1,
                                 &rule->feature));
    else
        return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                           "%s: \"column\" is missing; expected a column, or a \"feature\" and "
                           "\"features\" of the file",
                           r->where);
    WHET_TRY(whet_i_json_real_or(r->ctx, r->where, r->object, "least", -INFINITY, &rule->least));
    WHET_TRY(whet_i_json_real_or(r->ctx, r->where, r->object, "below", INFINITY, &rule->below));
    if (rule->least < rule->below && (isfinite(rule->least) || isfinite(rule->below)))
        return WHET_OK;
    return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                       "%s: no number is at least \"least\" and below \"below\", or every one is; "
                       "expected a range",
                       r->where);
}

static whet_status read_keywords(reader *r) {
    whet_i_rule *rule = r->rule;
    json_t *words;
    WHET_TRY(read_vote(r));
    WHET_TRY(read_column(r));
    WHET_TRY(whet_i_json_array(r->ctx, r->where, r->object, "words", &words));
    WHET_TRY(
        whet_i_json_bool_or(r->ctx, r->where, r->object, "whole_words", true, &rule->whole_words));
    WHET_TRY(
        whet_i_json_bool_or(r->ctx, r->where, r->object, "ignore_case", true, &rule->ignore_case));
    rule->words = (int64_t)json_array_size(words);
    WHET_TRY(room(r, rule->words, sizeof *rule->word, &rule->word));
    for (int64_t w = 0; w < rule->words; w++) {
        const json_t *word = json_array_get(words, (size_t)w);
        const int64_t len = (int64_t)json_string_length(word);
        char *copy;
        if (len == 0)
            return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                               "%s: \"words\"[%lld] is %s; expected a string that is not empty",
                               r->where, (long long)w,
                               json_is_string(word) ? "empty" : whet_i_json_kind(word));
        WHET_TRY(room(r, len, 1, &copy));
        memcpy(copy, json_string_value(word), (size_t)len);
        rule->word[w] = (whet_str){copy, len};
    }
    if (rule->words) return WHET_OK;
    return whet_i_fail(r->ctx, WHET_ERR_FORMAT, "%s: \"words\" is empty; expected keywords",
                       r->where);
}

static whet_status read_regex(reader *r) {
    whet_i_rule *rule = r->rule;
    WHET_TRY(read_vote(r));
    WHET_TRY(read_column(r));
    WHET_TRY(text(r, "pattern", &rule->pattern));
    WHET_TRY(
        whet_i_json_bool_or(r->ctx, r->where, r->object, "ignore_case", false, &rule->ignore_case));
    const whet_i_pattern_opts opts = {.ignore_case = rule->ignore_case};
    return whet_i_pattern_compile(r->ctx, r->where, rule->pattern, opts, &rule->code);
}

/* ---- weights ---------------------------------------------------------------------------------- */

/* Probabilities of the classes, before any vote. */
static whet_status read_prior(reader *r) {
    const int64_t k = whet_names_count(r->rules->classes);
    json_t *array;
    double *prior, sum = 0;
    WHET_TRY(whet_i_json_array_or_none(r->ctx, r->where, r->object, "prior", &array));
    if (!array) return WHET_OK;
    WHET_TRY(sized(r, "prior", array, k));
    WHET_TRY(room(r, k, sizeof *prior, &prior));
    WHET_TRY(numbers(r, "prior", array, k, prior));
    for (int64_t c = 0; c < k; c++) {
        if (!(prior[c] > 0))
            return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                               "%s: \"prior\"[%lld] is %g; expected a probability over 0", r->where,
                               (long long)c, prior[c]);
        sum += prior[c];
    }
    if (fabs(sum - 1) > 1e-6)
        return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                           "%s: \"prior\" adds up to %g; expected probabilities that add up to 1",
                           r->where, sum);
    r->rules->prior = prior;
    return WHET_OK;
}

/* Bounded, so that sums of them are finite. */
static whet_status read_log_odds(reader *r) {
    const int64_t k = whet_names_count(r->rules->classes);
    json_t *array;
    WHET_TRY(whet_i_json_array_or_none(r->ctx, r->where, r->object, "log_odds", &array));
    if (!array != !r->rules->prior)
        return whet_i_fail(
            r->ctx, WHET_ERR_FORMAT,
            "%s: \"log_odds\" %s; expected them of every rule and a \"prior\" of the "
            "file, or neither",
            r->where, array ? "without a prior" : "is missing");
    if (!array) return WHET_OK;
    WHET_TRY(sized(r, "log_odds", array, k));
    WHET_TRY(room(r, k, sizeof *r->rule->log_odds, &r->rule->log_odds));
    WHET_TRY(numbers(r, "log_odds", array, k, r->rule->log_odds));
    for (int64_t c = 0; c < k; c++)
        if (fabs(r->rule->log_odds[c]) > MOST_LOG_ODDS)
            return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                               "%s: \"log_odds\"[%lld] is %g; expected at most %g either way",
                               r->where, (long long)c, r->rule->log_odds[c], MOST_LOG_ODDS);
    return WHET_OK;
}

/* ---- the document ----------------------------------------------------------------------------- */

static whet_status read_kind(reader *r) {
    char quoted[WHET_QUOTE_SIZE];
    whet_str kind;
    WHET_TRY(whet_i_json_str(r->ctx, r->where, r->object, "type", &kind));
    for (int64_t at = 0; at < WHET_COUNT_OF(kinds); at++)
        if (whet_str_equal(kind, whet_str_from(kinds[at]))) {
            r->rule->kind = r->rule->model.kind = (whet_i_rule_kind)at;
            return WHET_OK;
        }
    return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                       "%s: \"type\" is %s; expected keywords, regex, number, tree, logistic, "
                       "neighbours or similarity",
                       r->where, whet_i_quote(quoted, kind));
}

/* A slip in a member's name would change what the rule does without a word. */
static void tell_unknown_members(const reader *r) {
    const char *key;
    json_t *value;
    void *object; /* the iterator writes nothing */
    char quoted[WHET_QUOTE_SIZE];
    memcpy(&object, &r->object, sizeof object);
    json_object_foreach((json_t *)object, key, value) {
        bool known = false;
        for (int i = 0; i < 6 && members[r->rule->kind][i]; i++)
            known = known || strcmp(key, members[r->rule->kind][i]) == 0;
        for (int64_t i = 0; i < WHET_COUNT_OF(members_of_all); i++)
            known = known || strcmp(key, members_of_all[i]) == 0;
        if (!known)
            whet_i_log(r->ctx, WHET_LOG_WARN,
                       "%s: %s is no member of a rule of type %s, and is "
                       "passed by",
                       r->where, whet_i_quote(quoted, whet_str_from(key)), kinds[r->rule->kind]);
    }
}

static whet_status read_rule(reader *r, int64_t at) {
    whet_str name;
    char given[40];
    if (!json_is_object(r->object))
        return whet_i_fail(r->ctx, WHET_ERR_FORMAT, "%s is %s; expected an object", r->where,
                           whet_i_json_kind(r->object));
    WHET_TRY(whet_i_json_str_or_none(r->ctx, r->where, r->object, "name", &name));
    if (name.len == 0) {
        (void)snprintf(given, sizeof given, "rule %lld", (long long)at);
        name = whet_str_from(given);
    }
    WHET_TRY(room(r, name.len + 1, 1, &r->rule->name));
    memcpy(r->rule->name, name.ptr, (size_t)name.len + 1);
    r->rule->name_len = name.len;
    WHET_TRY(read_kind(r));
    tell_unknown_members(r);
    switch (r->rule->kind) {
    case WHET_I_RULE_NUMBER: return read_number(r);
    case WHET_I_RULE_KEYWORDS: return read_keywords(r);
    case WHET_I_RULE_REGEX: return read_regex(r);
    default: return read_model(r);
    }
}

static whet_status read_classes(whet_ctx *ctx, const char *where, const json_t *document,
                                whet_rules *rules) {
    json_t *classes;
    WHET_TRY(whet_i_json_array(ctx, where, document, "classes", &classes));
    for (size_t c = 0; c < json_array_size(classes); c++) {
        const json_t *value = json_array_get(classes, c);
        const whet_str name = {json_string_value(value), (int64_t)json_string_length(value)};
        int64_t index = -1;
        if (name.len) WHET_TRY(whet_names_add(ctx, rules->classes, name, &index));
        if (index != (int64_t)c)
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "%s: \"classes\"[%lld] is %s; expected different names", where,
                               (long long)c, name.len ? "there already" : whet_i_json_kind(value));
    }
    if (json_array_size(classes) >= 2) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: %lld classes; expected at least 2", where,
                       (long long)json_array_size(classes));
}

static whet_status read_document(whet_ctx *ctx, const char *where, const json_t *document,
                                 whet_rules *rules) {
    char place[PLACE];
    whet_str format;
    int64_t version;
    json_t *list;
    reader whole = {ctx, where, rules, document, NULL};
    if (!json_is_object(document))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: the document is %s; expected an object",
                           where, whet_i_json_kind(document));
    WHET_TRY(whet_i_json_str(ctx, where, document, "format", &format));
    if (!whet_str_equal(format, whet_str_from("whet-rules")))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: \"format\" is another; expected whet-rules",
                           where);
    WHET_TRY(whet_i_json_int(ctx, where, document, "version", 1, 1, &version));
    WHET_TRY(whet_i_json_int_or(ctx, where, document, "features", 0, MOST_FEATURES, 0, &rules->d));
    WHET_TRY(read_classes(ctx, where, document, rules));
    WHET_TRY(read_prior(&whole));
    WHET_TRY(whet_i_json_array(ctx, where, document, "rules", &list));
    if (json_array_size(list) == 0)
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: \"rules\" is empty; expected rules", where);
    for (size_t at = 0; at < json_array_size(list); at++) {
        (void)snprintf(place, sizeof place, "%.400s: rules[%lld]", where, (long long)at);
        reader r = {ctx, place, rules, json_array_get(list, at), NULL};
        WHET_TRY(whet_i_rules_next(ctx, rules, &r.rule));
        WHET_TRY(read_rule(&r, (int64_t)at));
        WHET_TRY(read_log_odds(&r));
        WHET_TRY(whet_i_rules_commit(ctx, rules, place));
    }
    return WHET_OK;
}

whet_status whet_i_rules_parse(whet_ctx *ctx, const char *where, const json_t *document,
                               whet_rules **out) {
    whet_rules *rules;
    WHET_TRY(whet_i_rules_create(ctx, NULL, 0, &rules));
    const whet_status status = read_document(ctx, where, document, rules);
    if (status == WHET_OK)
        *out = rules;
    else
        whet_rules_destroy(ctx, rules);
    return status;
}

whet_status whet_rules_load(whet_ctx *ctx, const char *path, whet_rules **out) {
    json_t *document;
    WHET_TRY(whet_i_json_read(ctx, path, FILE_BYTES, &document));
    const whet_status status = whet_i_rules_parse(ctx, path, document, out);
    json_decref(document);
    return status;
}

/* ---- writing ---------------------------------------------------------------------------------- */

typedef whet_i_json_writer writer;
static void put_tree(writer *w, const whet_i_model *m) {
    json_t *nodes = json_array();
    for (int64_t at = 0; at < m->nodes; at++) {
        const whet_i_tree_node *node = &m->node[at];
        whet_i_json_push(
            w, nodes,
            node->input < 0
                ? json_pack("{s:o}", "p", whet_i_json_reals(w, m->leaf + at * m->outs, m->outs, 1))
                : json_pack("{s:I, s:f, s:i, s:i}", "feature", (json_int_t)m->input[node->input],
                            "at_most", node->at_most, "yes", node->yes, "no", node->no));
    }
    whet_i_json_put(w, "nodes", nodes);
}

static void put_neighbours(writer *w, const whet_i_model *m) {
    json_t *points = json_array(), *of = json_array();
    for (int64_t i = 0; i < m->points; i++) {
        json_t *point = json_array();
        for (int64_t j = 0; j < m->inputs; j++)
            whet_i_json_push(w, point, json_real((double)m->point[i * m->inputs + j]));
        whet_i_json_push(w, points, point);
        whet_i_json_push(w, of, json_integer(m->of[i]));
    }
    whet_i_json_put(w, "k", json_integer(m->neighbours));
    whet_i_json_put(w, "of", of);
    whet_i_json_put(w, "points", points);
}

static void put_model(writer *w, const whet_rules *rules, const whet_i_model *m) {
    json_t *features = json_array(), *votes = json_array();
    for (int64_t j = 0; j < m->inputs; j++)
        whet_i_json_push(w, features, json_integer(m->input[j]));
    for (int64_t o = 0; o < m->outs; o++)
        whet_i_json_push(w, votes,
                         m->vote[o] < 0
                             ? json_null()
                             : whet_i_json_name(whet_names_get(rules->classes, m->vote[o])));
    whet_i_json_put(w, "features", features);
    whet_i_json_put(w, "votes", votes);
    whet_i_json_put(w, "least", whet_i_json_reals(w, m->least, m->outs, 1));
    if (m->kind == WHET_I_RULE_TREE) put_tree(w, m);
    if (m->kind == WHET_I_RULE_NEIGHBOURS) put_neighbours(w, m);
    if (m->kind == WHET_I_RULE_LOGISTIC) {
        json_t *weights = json_array();
        for (int64_t j = 0; j < m->inputs; j++)
            whet_i_json_push(w, weights, whet_i_json_reals(w, m->weight + j * m->outs, m->outs, 1));
        whet_i_json_put(w, "weights", weights);
        whet_i_json_put(w, "biases", whet_i_json_reals(w, m->bias, m->outs, 1));
    }
    if (m->kind == WHET_I_RULE_SIMILARITY) {
        json_t *vectors = json_array();
        for (int64_t o = 0; o < m->outs; o++)
            whet_i_json_push(w, vectors, whet_i_json_reals(w, m->weight + o, m->inputs, m->outs));
        whet_i_json_put(w, "vectors", vectors);
    }
}

static void put_written(writer *w, const whet_rules *rules, const whet_i_rule *rule) {
    whet_i_json_put(w, "votes", whet_i_json_name(whet_names_get(rules->classes, rule->vote)));
    if (rule->column) whet_i_json_put(w, "column", json_string(rule->column));
    if (rule->kind == WHET_I_RULE_NUMBER) {
        if (!rule->column) whet_i_json_put(w, "feature", json_integer(rule->feature));
        if (isfinite(rule->least)) whet_i_json_put(w, "least", json_real(rule->least));
        if (isfinite(rule->below)) whet_i_json_put(w, "below", json_real(rule->below));
        return;
    }
    if (rule->kind == WHET_I_RULE_KEYWORDS) {
        json_t *words = json_array();
        for (int64_t i = 0; i < rule->words; i++)
            whet_i_json_push(w, words, whet_i_json_name(rule->word[i]));
        whet_i_json_put(w, "words", words);
        whet_i_json_put(w, "whole_words", json_boolean(rule->whole_words));
    } else {
        whet_i_json_put(w, "pattern", whet_i_json_name(rule->pattern));
    }
    whet_i_json_put(w, "ignore_case", json_boolean(rule->ignore_case));
}

json_t *whet_i_rule_json(const whet_rules *rules, const whet_i_rule *rule) {
    writer w = {json_object(), true};
    whet_i_json_put(&w, "name", json_stringn(rule->name, (size_t)rule->name_len));
    whet_i_json_put(&w, "type", json_string(kinds[rule->kind]));
    if (rule->kind <= WHET_I_RULE_SIMILARITY)
        put_model(&w, rules, &rule->model);
    else
        put_written(&w, rules, rule);
    return whet_i_json_done(&w);
}

json_t *whet_i_rules_json(const whet_rules *rules) {
    writer w = {json_object(), true};
    json_t *list = json_array();
    const int64_t k = whet_names_count(rules->classes);
    for (int64_t j = 0; j < rules->m; j++) {
        writer rule = {whet_i_rule_json(rules, &rules->rule[j]), true};
        const double *log_odds = rules->rule[j].log_odds;
        if (rules->prior)
            whet_i_json_put(&rule, "log_odds", whet_i_json_reals(&rule, log_odds, k, 1));
        whet_i_json_push(&w, list, rule.object);
        w.ok = w.ok && rule.ok;
    }
    whet_i_json_put(&w, "format", json_string("whet-rules"));
    whet_i_json_put(&w, "version", json_integer(1));
    whet_i_json_put(&w, "classes", whet_i_json_names(&w, rules->classes));
    if (rules->prior) whet_i_json_put(&w, "prior", whet_i_json_reals(&w, rules->prior, k, 1));
    if (rules->d) whet_i_json_put(&w, "features", json_integer(rules->d));
    whet_i_json_put(&w, "rules", list);
    return whet_i_json_done(&w);
}

whet_status whet_rules_save(whet_ctx *ctx, const whet_rules *rules, const char *path, bool force) {
    json_t *document = whet_i_rules_json(rules);
    const whet_status status = whet_i_json_save(ctx, document, path, force);
    json_decref(document);
    return status;
}
