/* SPDX-License-Identifier: Apache-2.0
 * Cells of the AutoWS comparison as lines of a file of results. */
#include <math.h>
#include <stdio.h>

#include "bench/autows_i.h"

void whet_i_cells_close(whet_ctx *ctx, whet_i_cells *cells) {
    whet_i_free(ctx, cells->item);
    whet_i_lines_close(ctx, &cells->lines);
    *cells = (whet_i_cells){0};
}

static bool same_cell(const whet_i_cell *a, const whet_i_cell *b) {
    return a->set == b->set && a->feature == b->feature && a->method == b->method &&
           a->seed == b->seed;
}

const whet_i_cell *whet_i_cells_find(const whet_i_cells *cells, const whet_i_cell *key) {
    for (int64_t i = 0; i < cells->n; i++)
        if (same_cell(&cells->item[i], key)) return &cells->item[i];
    return NULL;
}

static whet_status keep(whet_ctx *ctx, whet_i_cells *cells, const whet_i_cell *cell) {
    if (cells->n == cells->cap) {
        const int64_t cap = cells->cap ? 2 * cells->cap : 256;
        WHET_TRY(whet_i_realloc(ctx, &cells->item, cap));
        cells->cap = cap;
    }
    cells->item[cells->n++] = *cell;
    return WHET_OK;
}

/* ---- lines ------------------------------------------------ */

typedef struct number_field {
    const char *key;
    size_t at; /* of a double in a cell */
} number_field;

#define FIELD(name) \
    { #name, offsetof(whet_i_cell, name) }
static const number_field numbers[] = {FIELD(covered_accuracy), FIELD(coverage), FIELD(accuracy),
                                       FIELD(end_accuracy),     FIELD(log_loss), FIELD(crossfit),
                                       FIELD(seconds),          FIELD(megabytes)};

static json_t *cell_json(const whet_i_cell *c) {
    json_t *o =
        json_pack("{s:s, s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:s}", "set", whet_i_sets[c->set].name,
                  "seed", (json_int_t)c->seed, "feature", whet_i_features[c->feature].name,
                  "method", whet_i_autows_methods[c->method].name, "labels",
                  (json_int_t)c->labelled, "pool", (json_int_t)c->pool, "test", (json_int_t)c->test,
                  "rules", (json_int_t)c->rules, "chosen", c->words);
    if (o && c->failed[0]) (void)json_object_set_new(o, "failed", json_string(c->failed));
    for (int64_t i = 0; o && i < WHET_COUNT_OF(numbers); i++) {
        double x;
        memcpy(&x, (const char *)c + numbers[i].at, sizeof x);
        (void)json_object_set_new(o, numbers[i].key, whet_i_json_number(x));
    }
    return o;
}

static const char *text_at(const json_t *o, const char *key) {
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

/* Place of a name in one of the tables, -1 = it is no longer there. */
static int32_t set_place(const char *name) {
    for (int32_t i = 0; i < whet_i_set_count(); i++)
        if (strcmp(whet_i_sets[i].name, name) == 0) return i;
    return -1;
}

static int32_t feature_place(const char *name) {
    for (int32_t i = 0; i < whet_i_feature_count(); i++)
        if (strcmp(whet_i_features[i].name, name) == 0) return i;
    return -1;
}

static int32_t method_place(const char *name) {
    for (int32_t i = 0; i < whet_i_autows_method_count(); i++)
        if (strcmp(whet_i_autows_methods[i].name, name) == 0) return i;
    return -1;
}

/* false: not a cell of today's tables. */
static bool cell_of(const json_t *o, whet_i_cell *c) {
    *c = (whet_i_cell){.set = set_place(text_at(o, "set")),
                       .feature = feature_place(text_at(o, "feature")),
                       .method = method_place(text_at(o, "method")),
                       .seed = json_integer_value(json_object_get(o, "seed")),
                       .rules = json_integer_value(json_object_get(o, "rules")),
                       .labelled = json_integer_value(json_object_get(o, "labels")),
                       .pool = json_integer_value(json_object_get(o, "pool")),
                       .test = json_integer_value(json_object_get(o, "test"))};
    for (int64_t i = 0; i < WHET_COUNT_OF(numbers); i++) {
        const json_t *value = json_object_get(o, numbers[i].key);
        const double x = json_is_number(value) ? json_number_value(value) : (double)NAN;
        memcpy((char *)c + numbers[i].at, &x, sizeof x);
    }
    (void)snprintf(c->failed, sizeof c->failed, "%s", text_at(o, "failed"));
    (void)snprintf(c->words, sizeof c->words, "%s", text_at(o, "chosen"));
    return c->set >= 0 && c->feature >= 0 && c->method >= 0;
}

/* ---- the file ------------------------------------------------ */

static whet_status take(whet_ctx *ctx, void *arg, const json_t *o) {
    whet_i_cells *cells = arg;
    whet_i_cell cell;
    return cell_of(o, &cell) && !whet_i_cells_find(cells, &cell) ? keep(ctx, cells, &cell)
                                                                 : WHET_OK;
}

whet_status whet_i_cells_open(whet_ctx *ctx, const char *path, json_t *settings, bool force,
                              whet_i_cells *out) {
    whet_i_cells cells = {0};
    const whet_status status =
        whet_i_lines_open(ctx, path, settings, force, take, &cells, &cells.lines);
    if (status == WHET_OK)
        *out = cells;
    else
        whet_i_cells_close(ctx, &cells);
    return status;
}

whet_status whet_i_cells_add(whet_ctx *ctx, whet_i_cells *cells, const whet_i_cell *cell) {
    WHET_TRY(keep(ctx, cells, cell));
    return whet_i_lines_add(ctx, &cells->lines, cell_json(cell));
}
