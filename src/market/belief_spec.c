/* SPDX-License-Identifier: Apache-2.0
 * Beliefs as people write them: KIND:NUMBERS, or samples from a file. */
#include "market/market_i.h"

#include "io/io_i.h"

/* ---- samples ----------------------------------------------------------------------------------- */

static whet_status read_column(whet_ctx *ctx, const whet_table *t, double *values) {
    char quoted[WHET_QUOTE_SIZE];
    int64_t column = whet_names_find(whet_table_columns(t), whet_str_from("value"));
    if (column < 0)
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: no column \"value\"; expected one",
                           whet_table_path(t));
    for (int64_t i = 0; i < whet_table_rows(t); i++) {
        const whet_str cell = whet_table_cell(t, i, column);
        if (!whet_i_parse_real(cell, &values[i]) || values[i] < 0 ||
            values[i] > (double)WHET_MONEY_MAX)
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "%s:%lld: value is %s; expected a number from 0 to %lld",
                               whet_table_path(t), (long long)whet_table_line(t, i),
                               whet_i_quote(quoted, cell), (long long)WHET_MONEY_MAX);
    }
    return WHET_OK;
}

static whet_status samples_of_table(whet_ctx *ctx, const char *path, whet_belief **out) {
    whet_status status = WHET_OK;
    whet_table *table = NULL;
    double *values = NULL;
    WHET_TRY_DONE(whet_table_read(ctx, path, &table));
    if (whet_table_rows(table) == 0) {
        status = whet_i_fail(ctx, WHET_ERR_DATA, "%s: no rows; expected at least one value", path);
        goto done;
    }
    WHET_TRY_DONE(whet_i_alloc(ctx, whet_table_rows(table), &values));
    WHET_TRY_DONE(read_column(ctx, table, values));
    WHET_TRY_DONE(whet_belief_samples(ctx, values, whet_table_rows(table), out));
done:
    whet_i_free(ctx, values);
    whet_table_destroy(ctx, table);
    return status;
}

static whet_status samples_of_array(whet_ctx *ctx, const char *path, whet_belief **out) {
    whet_tensor values;
    WHET_TRY(whet_array_read_as(ctx, path, WHET_F64, 1, true, &values));
    whet_status status = whet_belief_samples(ctx, values.data, values.shape[0], out);
    if (status == WHET_ERR_ARG) /* of the file, not of the call */
        status = whet_i_fail_at(ctx, WHET_ERR_DATA, "%s", path);
    whet_tensor_destroy(ctx, &values);
    return status;
}

bool whet_i_names_table(const char *path) {
    static const char *const EXTENSIONS[] = {".tsv", ".csv", ".jsonl", ".ndjson", ".txt"};
    for (size_t i = 0; i < sizeof EXTENSIONS / sizeof EXTENSIONS[0]; i++)
        if (whet_i_has_extension(path, EXTENSIONS[i])) return true;
    return false;
}

/* ---- kinds ------------------------------------------------------------------------------------- */

/* The text behind "name:", or NULL. */
static const char *behind(const char *spec, const char *name) {
    const size_t length = strlen(name);
    return strncmp(spec, name, length) == 0 && spec[length] == ':' ? spec + length + 1 : NULL;
}

whet_status whet_belief_open(whet_ctx *ctx, const char *spec, whet_belief **out) {
    const char *rest;
    char quoted[WHET_QUOTE_SIZE];
    double x[2];
    if ((rest = behind(spec, "uniform")) && whet_i_market_reals(rest, 2, x))
        return whet_belief_uniform(ctx, x[0], x[1], out);
    if ((rest = behind(spec, "exponential")) && whet_i_market_reals(rest, 1, x))
        return whet_belief_exponential(ctx, x[0], out);
    if ((rest = behind(spec, "lognormal")) && whet_i_market_reals(rest, 2, x))
        return whet_belief_lognormal(ctx, x[0], x[1], out);
    if ((rest = behind(spec, "samples")) && *rest)
        return whet_i_names_table(rest) ? samples_of_table(ctx, rest, out)
                                        : samples_of_array(ctx, rest, out);
    return whet_i_fail(ctx, WHET_ERR_ARG,
                       "belief %s; expected uniform:LO:HI, exponential:RATE, lognormal:MU:SIGMA "
                       "or samples:FILE",
                       whet_i_quote(quoted, whet_str_from(spec)));
}
