/* SPDX-License-Identifier: Apache-2.0
 * A table of numbers and categories as numbers alone: what numbers are stays, a category becomes a column of
 * 0 and 1 for each value that occurs often enough.
 * Legend: n rows, d columns. */
#include "bench/autows_i.h"

enum { LEAST_ROWS = 5, MOST_VALUES = 200 };

typedef struct column {
    int64_t of[2]; /* its place in each table */
    bool numeric;
    double mean;
    whet_names *values;
    int64_t *count, cap; /* [values] rows that have each */
} column;

typedef struct mixed {
    whet_table *const *table;
    int64_t tables, n;
    column *columns;
    int64_t m;
} mixed;

static bool missing(whet_str cell) {
    return cell.len == 0 || whet_str_equal(cell, whet_str_from("?"));
}

static whet_str cell_at(const mixed *x, const column *c, int64_t t, int64_t i) {
    return whet_i_trim(whet_table_cell(x->table[t], i, c->of[t]));
}

static void look_for_numbers(const mixed *x, column *c) {
    double sum = 0;
    int64_t found = 0;
    c->numeric = true;
    for (int64_t t = 0; t < x->tables; t++)
        for (int64_t i = 0; i < whet_table_rows(x->table[t]); i++) {
            const whet_str cell = cell_at(x, c, t, i);
            double value;
            if (missing(cell)) continue;
            if (!whet_i_parse_real(cell, &value)) {
                c->numeric = false;
                return;
            }
            sum += value;
            found++;
        }
    c->mean = found ? sum / (double)found : 0;
}

static whet_status count_values(whet_ctx *ctx, const mixed *x, column *c) {
    WHET_TRY(whet_names_create(ctx, &c->values));
    for (int64_t t = 0; t < x->tables; t++)
        for (int64_t i = 0; i < whet_table_rows(x->table[t]); i++) {
            const whet_str cell = cell_at(x, c, t, i);
            int64_t at;
            if (missing(cell)) continue;
            if (whet_names_find(c->values, cell) < 0 &&
                whet_names_count(c->values) >= 10 * MOST_VALUES)
                continue; /* identifiers, not categories */
            WHET_TRY(whet_names_add(ctx, c->values, cell, &at));
            if (at >= c->cap) {
                const int64_t cap = c->cap ? 2 * c->cap : 16;
                WHET_TRY(whet_i_realloc(ctx, &c->count, cap));
                memset(c->count + c->cap, 0, (size_t)(cap - c->cap) * sizeof *c->count);
                c->cap = cap;
            }
            c->count[at]++;
        }
    return WHET_OK;
}

/* Columns that it becomes. */
static int64_t width_of(const column *c) {
    int64_t width = 0;
    if (c->numeric) return 1;
    for (int64_t v = 0; v < whet_names_count(c->values); v++)
        if (c->count[v] >= LEAST_ROWS && width < MOST_VALUES) width++;
    return width;
}

static void fill(const mixed *x, const column *c, int64_t first, int64_t d, float *out) {
    for (int64_t t = 0, at = 0; t < x->tables; t++)
        for (int64_t i = 0; i < whet_table_rows(x->table[t]); i++, at++) {
            const whet_str cell = cell_at(x, c, t, i);
            float *row = out + at * d + first;
            if (c->numeric) {
                double value = c->mean;
                if (!missing(cell)) (void)whet_i_parse_real(cell, &value);
                row[0] = (float)value;
                continue;
            }
            const int64_t has = missing(cell) ? -1 : whet_names_find(c->values, cell);
            for (int64_t v = 0, w = 0; v < whet_names_count(c->values); v++)
                if (c->count[v] >= LEAST_ROWS && w < MOST_VALUES) row[w++] = v == has ? 1.F : 0.F;
        }
}

static whet_status find_columns(whet_ctx *ctx, const char *label, mixed *x) {
    const whet_names *names = whet_table_columns(x->table[0]);
    WHET_TRY(whet_i_calloc(ctx, whet_names_count(names), &x->columns));
    for (int64_t j = 0; j < whet_names_count(names); j++) {
        const whet_str name = whet_names_get(names, j);
        if (whet_str_equal(name, whet_str_from(label))) continue;
        column *c = &x->columns[x->m++];
        c->of[0] = j;
        if (x->tables > 1) WHET_TRY(whet_table_find(ctx, x->table[1], name.ptr, &c->of[1]));
        look_for_numbers(x, c);
        if (!c->numeric) WHET_TRY(count_values(ctx, x, c));
    }
    return WHET_OK;
}

whet_status whet_i_mixed_table(whet_ctx *ctx, whet_table *const *table, int64_t tables,
                               const char *label, float **out, int64_t *d) {
    mixed x = {.table = table, .tables = tables};
    whet_status status = WHET_OK;
    float *made = NULL;
    int64_t width = 0, cells;
    for (int64_t t = 0; t < tables; t++) x.n += whet_table_rows(table[t]);
    WHET_TRY_DONE(find_columns(ctx, label, &x));
    for (int64_t j = 0; j < x.m; j++) width += width_of(&x.columns[j]);
    if (width < 1) {
        status = whet_i_fail(ctx, WHET_ERR_DATA, "%s has no column of numbers or categories",
                             whet_table_path(table[0]));
        goto done;
    }
    WHET_TRY_DONE(whet_i_mul(ctx, x.n, width, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &made));
    for (int64_t j = 0, first = 0; j < x.m; first += width_of(&x.columns[j++]))
        fill(&x, &x.columns[j], first, width, made);
    *out = made;
    *d = width;
done:
    for (int64_t j = 0; j < x.m; j++) {
        whet_names_destroy(ctx, x.columns[j].values);
        whet_i_free(ctx, x.columns[j].count);
    }
    whet_i_free(ctx, x.columns);
    return status;
}
