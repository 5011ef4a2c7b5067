/* SPDX-License-Identifier: Apache-2.0
 * Fitted label models to and from JSON (docs/formats/label-model.md), with all digits: a model that is
 * read predicts as the one that was written, bit for bit. A file is not trusted: sizes are those of
 * the document, numbers such that sums of votes stay finite and probabilities are some.
 * Legend: m rules, k classes. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "io/io_i.h"
#include "label/json_writer.h"
#include "label/vote_model.h"

enum { FILE_BYTES = 1 << 28, MOST_NUMBERS = 1 << 23 };
#define MOST_SCORE 1e12

static const char *const links[] = {
    [WHET_I_LINK_SOFTMAX] = "softmax",
    [WHET_I_LINK_TOP] = "top",
    [WHET_I_LINK_SHARE] = "share",
    [WHET_I_LINK_ODDS] = "odds",
    [WHET_I_LINK_SOFTMAX_OF_ODDS] = "softmax-of-odds",
};

/* ---- writing --------------------------------------------------------------------------------- */

/* [m][k][k] of numbers x[(j k + v) width + c]. */
static json_t *cells_json(whet_i_json_writer *w, const double *x, int64_t m, int64_t k,
                          int64_t width) {
    json_t *list = json_array();
    for (int64_t j = 0; j < m; j++) {
        json_t *rule = json_array();
        for (int64_t v = 0; v < k; v++)
            whet_i_json_push(w, rule, whet_i_json_reals(w, x + (j * k + v) * width, k, 1));
        whet_i_json_push(w, list, rule);
    }
    return list;
}

json_t *whet_i_label_model_json(const whet_label_model *model, const whet_names *classes) {
    const whet_label_model_info *info = &model->info;
    const int64_t m = info->m, k = info->k;
    whet_i_json_writer w = {json_object(), true};
    whet_i_json_put(&w, "format", json_string("whet-label-model"));
    whet_i_json_put(&w, "version", json_integer(1));
    whet_i_json_put(&w, "method", json_string(whet_label_method_name(info->method)));
    if (classes) whet_i_json_put(&w, "classes", whet_i_json_names(&w, classes));
    if (model->rules) whet_i_json_put(&w, "rules", whet_i_json_names(&w, model->rules));
    whet_i_json_put(&w, "rows", json_integer(info->rows));
    whet_i_json_put(&w, "steps", json_integer(info->steps));
    if (isfinite(info->loss)) whet_i_json_put(&w, "loss", json_real(info->loss));
    whet_i_json_put(&w, "note", json_string(model->note));
    whet_i_json_put(&w, "balance", whet_i_json_reals(&w, model->balance, k, 1));
    whet_i_json_put(&w, "accuracy", whet_i_json_reals(&w, model->accuracy, m, 1));
    whet_i_json_put(&w, "coverage", whet_i_json_reals(&w, model->coverage, m, 1));
    whet_i_json_put(&w, "link", json_string(links[model->link]));
    whet_i_json_put(&w, "abstains", json_boolean(model->abstains));
    whet_i_json_put(&w, "prior", whet_i_json_reals(&w, model->prior, k, 1));
    whet_i_json_put(&w, "base", whet_i_json_reals(&w, model->base, k, 1));
    whet_i_json_put(&w, "votes", cells_json(&w, model->table, m, k, model->width));
    if (model->likely) whet_i_json_put(&w, "likely", cells_json(&w, model->likely, m, k, k));
    return whet_i_json_done(&w);
}

whet_status whet_label_model_save(whet_ctx *ctx, const whet_label_model *model,
                                  const whet_names *classes, const char *path, bool force) {
    const int64_t m = model->info.m, k = model->info.k;
    int64_t numbers;
    if (classes && whet_names_count(classes) != k)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%" PRId64 " names of classes; expected %" PRId64
                           ", as many as the model has",
                           whet_names_count(classes), k);
    WHET_TRY(whet_i_mul(ctx, m * k, k, &numbers));
    if (numbers > MOST_NUMBERS)
        return whet_i_fail(ctx, WHET_ERR_LIMIT,
                           "%s: a model of %" PRId64 " rules and %" PRId64
                           " classes; expected at most %d numbers in a file",
                           path, m, k, MOST_NUMBERS);
    json_t *document = whet_i_label_model_json(model, classes);
    const whet_status status = whet_i_json_save(ctx, document, path, force);
    json_decref(document);
    return status;
}

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct reader {
    whet_ctx *ctx;
    const char *where;
    const json_t *document;
    int64_t m, k;
} reader;

/* What a number may be; NaN stands for null where that is allowed. */
typedef struct range {
    double least, most;
    bool null;
} range;

static const range scores = {-MOST_SCORE, MOST_SCORE, false};
static const range shares = {0, 1, false};

static whet_status sized(const reader *r, const char *key, const json_t *array, int64_t n) {
    if (json_is_array(array) && (int64_t)json_array_size(array) == n) return WHET_OK;
    return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                       "%s: \"%s\" holds %s of %" PRId64 "; expected arrays of %" PRId64, r->where,
                       key, whet_i_json_kind(array), (int64_t)json_array_size(array), n);
}

static whet_status numbers(const reader *r, const char *key, const json_t *array, int64_t n,
                           const range *in, double *out) {
    WHET_TRY(sized(r, key, array, n));
    for (int64_t i = 0; i < n; i++) {
        const json_t *value = json_array_get(array, (size_t)i);
        out[i] = json_number_value(value);
        if (in->null && json_is_null(value)) {
            out[i] = (double)NAN;
            continue;
        }
        if (!json_is_number(value))
            return whet_i_fail(r->ctx, WHET_ERR_FORMAT, "%s: \"%s\" holds %s; expected a number",
                               r->where, key, whet_i_json_kind(value));
        if (!(out[i] >= in->least && out[i] <= in->most))
            return whet_i_fail(r->ctx, WHET_ERR_FORMAT, "%s: \"%s\" holds %g; expected %g to %g",
                               r->where, key, out[i], in->least, in->most);
    }
    return WHET_OK;
}

static whet_status row(const reader *r, const char *key, int64_t n, const range *in, double *out) {
    json_t *array;
    WHET_TRY(whet_i_json_array(r->ctx, r->where, r->document, key, &array));
    return numbers(r, key, array, n, in, out);
}

/* The same, probabilities of the classes. */
static whet_status distribution(const reader *r, const char *key, double *out) {
    double sum = 0;
    WHET_TRY(row(r, key, r->k, &shares, out));
    for (int64_t c = 0; c < r->k; c++) sum += out[c];
    if (fabs(sum - 1) <= 1e-6) return WHET_OK;
    return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                       "%s: \"%s\" adds up to %g; expected probabilities that add up to 1",
                       r->where, key, sum);
}

/* An array [m][k][k] has this shape: looked at before anything of that size is allocated. */
static whet_status shaped(const reader *r, const char *key, const json_t *list) {
    WHET_TRY(sized(r, key, list, r->m));
    for (int64_t j = 0; j < r->m; j++) {
        const json_t *rule = json_array_get(list, (size_t)j);
        WHET_TRY(sized(r, key, rule, r->k));
        for (int64_t v = 0; v < r->k; v++)
            WHET_TRY(sized(r, key, json_array_get(rule, (size_t)v), r->k));
    }
    return WHET_OK;
}

static whet_status cells(const reader *r, const char *key, const json_t *list, int64_t width,
                         const range *in, double *out) {
    for (int64_t j = 0; j < r->m; j++)
        for (int64_t v = 0; v < r->k; v++)
            WHET_TRY(numbers(r, key, json_array_get(json_array_get(list, (size_t)j), (size_t)v),
                             r->k, in, out + (j * r->k + v) * width));
    return WHET_OK;
}

/* n different names; *out is the caller's, also on failure. */
static whet_status read_names(const reader *r, const char *key, const json_t *list, int64_t n,
                              whet_names **out) {
    WHET_TRY(sized(r, key, list, n));
    WHET_TRY(whet_names_create(r->ctx, out));
    for (int64_t c = 0; c < n; c++) {
        const json_t *value = json_array_get(list, (size_t)c);
        const whet_str name = {json_string_value(value), (int64_t)json_string_length(value)};
        int64_t index = -1;
        if (name.len) WHET_TRY(whet_names_add(r->ctx, *out, name, &index));
        if (index != c)
            return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                               "%s: \"%s\"[%" PRId64 "] is %s; expected different names", r->where,
                               key, c, name.len ? "there already" : whet_i_json_kind(value));
    }
    return WHET_OK;
}

/* One of n words; where names what they are. */
static whet_status word_of(const reader *r, const char *key, const char *const *words, int64_t n,
                           int64_t *out) {
    char quoted[WHET_QUOTE_SIZE];
    whet_str word;
    WHET_TRY(whet_i_json_str(r->ctx, r->where, r->document, key, &word));
    for (*out = 0; *out < n; (*out)++)
        if (whet_str_equal(word, whet_str_from(words[*out]))) return WHET_OK;
    return whet_i_fail(r->ctx, WHET_ERR_FORMAT, "%s: \"%s\" is %s; expected one that whet writes",
                       r->where, key, whet_i_quote(quoted, word));
}

static whet_status read_words(const reader *r, whet_label_model *model) {
    const char *names[WHET_LABEL_METHODS];
    int64_t at;
    for (int i = 0; i < WHET_LABEL_METHODS; i++)
        names[i] = whet_label_method_name((whet_label_method)i);
    WHET_TRY(word_of(r, "method", names, WHET_LABEL_METHODS, &at));
    model->info.method = (whet_label_method)at;
    WHET_TRY(word_of(r, "link", links, WHET_COUNT_OF(links), &at));
    model->link = (whet_i_link)at;
    return WHET_OK;
}

static whet_status read_facts(const reader *r, whet_label_model *model) {
    static const range accuracies = {0, 1, true};
    whet_label_model_info *info = &model->info;
    whet_str note;
    whet_ctx *ctx = r->ctx;
    WHET_TRY(read_words(r, model));
    WHET_TRY(whet_i_json_int(ctx, r->where, r->document, "rows", 0, INT64_MAX, &info->rows));
    WHET_TRY(whet_i_json_int(ctx, r->where, r->document, "steps", 0, INT64_MAX, &info->steps));
    WHET_TRY(whet_i_json_real_or(ctx, r->where, r->document, "loss", (double)NAN, &info->loss));
    WHET_TRY(whet_i_json_bool(ctx, r->where, r->document, "abstains", &model->abstains));
    WHET_TRY(whet_i_json_str_or_none(ctx, r->where, r->document, "note", &note));
    (void)snprintf(model->note, sizeof model->note, "%s", note.ptr ? note.ptr : "");
    WHET_TRY(distribution(r, "balance", model->balance));
    WHET_TRY(distribution(r, "prior", model->prior));
    WHET_TRY(row(r, "accuracy", r->m, &accuracies, model->accuracy));
    return row(r, "coverage", r->m, &shares, model->coverage);
}

static whet_status read_tables(const reader *r, const json_t *votes, const json_t *likely,
                               whet_label_model *model) {
    static const range counts = {0, MOST_SCORE, false};
    const range *in = model->link == WHET_I_LINK_SHARE ? &counts : &scores;
    int64_t size;
    WHET_TRY(row(r, "base", r->k, in, model->base));
    WHET_TRY(cells(r, "votes", votes, model->width, in, model->table));
    if (!likely) return WHET_OK;
    WHET_TRY(whet_i_mul(r->ctx, r->m * r->k, r->k, &size));
    WHET_TRY(whet_i_alloc(r->ctx, size, &model->likely));
    return cells(r, "likely", likely, r->k, &counts, model->likely);
}

static whet_status open_document(reader *r, json_t **votes, json_t **likely) {
    whet_str format;
    int64_t version;
    json_t *prior;
    if (!json_is_object(r->document))
        return whet_i_fail(r->ctx, WHET_ERR_FORMAT, "%s: the document is %s; expected an object",
                           r->where, whet_i_json_kind(r->document));
    WHET_TRY(whet_i_json_str(r->ctx, r->where, r->document, "format", &format));
    if (!whet_str_equal(format, whet_str_from("whet-label-model")))
        return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                           "%s: \"format\" is another; expected whet-label-model", r->where);
    WHET_TRY(whet_i_json_int(r->ctx, r->where, r->document, "version", 1, 1, &version));
    WHET_TRY(whet_i_json_array(r->ctx, r->where, r->document, "prior", &prior));
    WHET_TRY(whet_i_json_array(r->ctx, r->where, r->document, "votes", votes));
    WHET_TRY(whet_i_json_array_or_none(r->ctx, r->where, r->document, "likely", likely));
    r->m = (int64_t)json_array_size(*votes);
    r->k = (int64_t)json_array_size(prior);
    const whet_votes sizes = {.m = r->m, .k = r->k};
    if (whet_i_votes_check_sizes(r->ctx, &sizes) != WHET_OK)
        return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                           "%s: %" PRId64 " rules and %" PRId64
                           " classes; expected at least 1 and 2",
                           r->where, r->m, r->k);
    WHET_TRY(shaped(r, "votes", *votes));
    return *likely ? shaped(r, "likely", *likely) : WHET_OK;
}

whet_status whet_i_label_model_parse(whet_ctx *ctx, const char *where, const json_t *document,
                                     whet_label_model **out, whet_names **classes) {
    reader r = {.ctx = ctx, .where = where, .document = document};
    whet_status status = WHET_OK;
    whet_label_model *model = NULL;
    whet_names *names = NULL;
    json_t *votes, *likely, *list, *rules;
    WHET_TRY_DONE(open_document(&r, &votes, &likely));
    WHET_TRY_DONE(whet_i_label_model_make(ctx, r.m, r.k, &model));
    WHET_TRY_DONE(read_facts(&r, model));
    WHET_TRY_DONE(read_tables(&r, votes, likely, model));
    WHET_TRY_DONE(whet_i_json_array_or_none(ctx, where, document, "classes", &list));
    if (list) WHET_TRY_DONE(read_names(&r, "classes", list, r.k, &names));
    WHET_TRY_DONE(whet_i_json_array_or_none(ctx, where, document, "rules", &rules));
    if (rules) WHET_TRY_DONE(read_names(&r, "rules", rules, r.m, &model->rules));
    *out = model;
    *classes = names;
    model = NULL;
    names = NULL;
done:
    whet_label_model_destroy(ctx, model);
    whet_names_destroy(ctx, names);
    return status;
}

whet_status whet_label_model_load(whet_ctx *ctx, const char *path, whet_label_model **out,
                                  whet_names **classes) {
    json_t *document;
    whet_names *names = NULL;
    WHET_TRY(whet_i_json_read(ctx, path, FILE_BYTES, &document));
    const whet_status status = whet_i_label_model_parse(ctx, path, document, out, &names);
    json_decref(document);
    WHET_TRY(status);
    if (classes)
        *classes = names;
    else
        whet_names_destroy(ctx, names);
    return WHET_OK;
}
