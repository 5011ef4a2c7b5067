/* SPDX-License-Identifier: Apache-2.0
 * The names of a label model's rules, and the model of the same rules in another order: votes are matched by
 * name, not by place.
 * Legend: m rules, k classes. */
#include <inttypes.h>

#include "io/io_i.h"
#include "label/rules_i.h"
#include "label/vote_model.h"

whet_status whet_i_rule_names_read(whet_ctx *ctx, const char *path, whet_names **out) {
    whet_rules *rules;
    whet_names *names = NULL;
    if (!whet_i_has_extension(path, ".json")) return whet_names_read(ctx, path, out);
    WHET_TRY(whet_rules_load(ctx, path, &rules));
    whet_status status = whet_names_create(ctx, &names);
    for (int64_t j = 0; status == WHET_OK && j < whet_rules_count(rules); j++)
        status = whet_names_add(ctx, names, whet_rules_name(rules, j), NULL);
    whet_rules_destroy(ctx, rules);
    if (status == WHET_OK)
        *out = names;
    else
        whet_names_destroy(ctx, names);
    return status;
}

const whet_names *whet_label_model_rules(const whet_label_model *model) { return model->rules; }

static whet_status copy_names(whet_ctx *ctx, const whet_names *names, whet_names **out) {
    whet_names *copy;
    WHET_TRY(whet_names_create(ctx, &copy));
    for (int64_t j = 0; j < whet_names_count(names); j++) {
        const whet_status status = whet_names_add(ctx, copy, whet_names_get(names, j), NULL);
        if (status == WHET_OK) continue;
        whet_names_destroy(ctx, copy);
        return status;
    }
    *out = copy;
    return WHET_OK;
}

static whet_status check_count(whet_ctx *ctx, const whet_label_model *model,
                               const whet_names *rules) {
    if (whet_names_count(rules) == model->info.m) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_SHAPE,
                       "%" PRId64 " names of rules; expected %" PRId64 ", as many as the model has",
                       whet_names_count(rules), model->info.m);
}

whet_status whet_label_model_name_rules(whet_ctx *ctx, whet_label_model *model,
                                        const whet_names *rules) {
    whet_names *copy;
    WHET_TRY(check_count(ctx, model, rules));
    WHET_TRY(copy_names(ctx, rules, &copy));
    whet_names_destroy(ctx, model->rules);
    model->rules = copy;
    return WHET_OK;
}

/* place [m]: where in the model the rule of each column is. */
static whet_status find_rules(whet_ctx *ctx, const whet_label_model *model,
                              const whet_names *columns, int64_t *place) {
    char quoted[WHET_QUOTE_SIZE];
    WHET_TRY(check_count(ctx, model, columns));
    for (int64_t j = 0; j < model->info.m; j++) {
        const whet_str name = whet_names_get(columns, j);
        place[j] = whet_names_find(model->rules, name);
        if (place[j] < 0)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "rule %" PRId64 " is %s; expected one of the model's rules", j,
                               whet_i_quote(quoted, name));
    }
    return WHET_OK;
}

static void gather(double *x, const int64_t *place, int64_t m, int64_t each, double *room) {
    memcpy(room, x, sizeof *x * (size_t)(m * each));
    for (int64_t j = 0; j < m; j++)
        memcpy(x + j * each, room + place[j] * each, sizeof *x * (size_t)each);
}

whet_status whet_label_model_match_rules(whet_ctx *ctx, whet_label_model *model,
                                         const whet_names *columns) {
    const int64_t m = model->info.m, k = model->info.k;
    whet_status status = WHET_OK;
    whet_names *copy = NULL;
    int64_t *place = NULL, cells;
    double *room = NULL;
    if (!model->rules)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "the model does not know the names of its rules; expected one that was "
                           "fitted with them, or no names");
    WHET_TRY(whet_i_mul(ctx, m * k, model->width, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, m, &place));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &room));
    WHET_TRY_DONE(find_rules(ctx, model, columns, place));
    WHET_TRY_DONE(copy_names(ctx, columns, &copy));
    gather(model->table, place, m, k * model->width, room);
    if (model->likely) gather(model->likely, place, m, k * k, room);
    if (model->parts) gather(model->parts + k, place, m, k, room);
    gather(model->accuracy, place, m, 1, room);
    gather(model->coverage, place, m, 1, room);
    whet_names_destroy(ctx, model->rules);
    model->rules = copy;
done:
    whet_i_free(ctx, place);
    whet_i_free(ctx, room);
    return status;
}
