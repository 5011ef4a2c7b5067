/* SPDX-License-Identifier: Apache-2.0
 * From SPACE, as typed, to a space: the kind, its file or its sizes, options behind commas. */
#include <stdio.h>

#include "space/space_i.h"

#include "io/io_i.h"

/* The parts of "kind:what,names=FILE,metric=NAME"; what is not there is NULL. */
typedef struct space_spec {
    const char *what, *names, *lengths, *metric, *rows, *forest;
    const whet_names *classes;
} space_spec;

/* Points named by number are made one by one: a slip of the keyboard should not fill the memory. */
enum { MOST_NUMBERED = 50000000 };

typedef whet_status (*opener)(whet_ctx *ctx, const space_spec *spec, whet_space **out);

/* Cuts ",key=value" off the end of the text; a comma that starts no known key is part of a path. */
static whet_status cut_options(whet_ctx *ctx, space_spec *spec, char *text) {
    const struct {
        const char *key;
        const char **value;
    } options[] = {{"names=", &spec->names},
                   {"lengths=", &spec->lengths},
                   {"metric=", &spec->metric},
                   {"rows=", &spec->rows},
                   {"forest=", &spec->forest}};
    for (char *comma; (comma = strrchr(text, ','));) {
        int64_t i = 0;
        while (i < WHET_COUNT_OF(options) &&
               strncmp(comma + 1, options[i].key, strlen(options[i].key)) != 0)
            i++;
        if (i == WHET_COUNT_OF(options)) return WHET_OK;
        if (*options[i].value)
            return whet_i_fail(ctx, WHET_ERR_ARG, "space: %s is given twice; expected it once",
                               options[i].key);
        *options[i].value = comma + 1 + strlen(options[i].key);
        *comma = '\0';
    }
    return WHET_OK;
}

static whet_status refuse(whet_ctx *ctx, const char *value, const char *what) {
    if (!value) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_ARG, "space: %s", what);
}

static whet_status refuse_all(whet_ctx *ctx, const space_spec *spec, const char *what) {
    WHET_TRY(refuse(ctx, spec->names, what));
    WHET_TRY(refuse(ctx, spec->lengths, what));
    WHET_TRY(refuse(ctx, spec->rows, what));
    WHET_TRY(refuse(ctx, spec->forest, what));
    return refuse(ctx, spec->metric, what);
}

/* ---- files ----------------------------------------------------------------------------------- */

/* forest=join, or the length of the edges that join. */
static whet_status join(whet_ctx *ctx, const char *how, whet_edges *edges) {
    char quoted[WHET_QUOTE_SIZE];
    double length = 1;
    if (strcmp(how, "join") != 0 &&
        (!whet_i_parse_real(whet_str_from(how), &length) || !(length >= 0)))
        return whet_i_fail(ctx, WHET_ERR_ARG, "space: forest is %s; expected join, or a length",
                           whet_i_quote(quoted, whet_str_from(how)));
    return whet_i_join_forest(ctx, edges, length);
}

static whet_status open_edges(whet_ctx *ctx, const space_spec *spec, bool tree, whet_space **out) {
    whet_edges edges;
    if (spec->names || spec->lengths)
        WHET_TRY(whet_edges_read_parents(ctx, spec->what, spec->names, spec->lengths, &edges));
    else
        WHET_TRY(whet_edges_read(ctx, spec->what, &edges));
    whet_status status = WHET_OK;
    if (spec->forest) status = join(ctx, spec->forest, &edges);
    if (status == WHET_OK)
        status = tree ? whet_i_space_from_edges(ctx, &edges, out)
                      : whet_i_space_from_graph(ctx, &edges, out);
    whet_edges_destroy(ctx, &edges);
    return status == WHET_OK ? status : whet_i_fail_at(ctx, status, "%s", spec->what);
}

static whet_status open_tree(whet_ctx *ctx, const space_spec *spec, whet_space **out) {
    WHET_TRY(refuse(ctx, spec->metric,
                    "tree takes no metric=; expected tree:FILE[,forest=join], or "
                    "tree:PARENT.npy[,names=FILE][,lengths=FILE.npy][,forest=join]"));
    WHET_TRY(refuse(ctx, spec->rows, "tree takes no rows="));
    return open_edges(ctx, spec, true, out);
}

static whet_status open_graph(whet_ctx *ctx, const space_spec *spec, whet_space **out) {
    WHET_TRY(refuse_all(ctx, spec, "graph takes no options; expected graph:FILE"));
    return open_edges(ctx, spec, false, out);
}

/* Whether the memory that an array takes as a space can be had, before any of it is asked for. */
static whet_status check_array_room(whet_ctx *ctx, const char *path, const whet_tensor *head,
                                    bool matrix) {
    const whet_dtype kept = whet_i_kept_as(head->dtype);
    const double values = (double)head->shape[0] * (double)head->shape[1];
    whet_i_buf text = {0};
    whet_status status = whet_i_buf_printf(ctx, &text, "%s: the space (%lld x %lld %s in %s)", path,
                                           (long long)head->shape[0], (long long)head->shape[1],
                                           matrix ? "distances" : "numbers", whet_dtype_name(kept));
    if (status == WHET_OK)
        status = whet_i_check_room(ctx, text.data, values * (double)whet_dtype_size(kept),
                                   matrix ? "rows=, a matrix of the observed classes' rows alone"
                                          : "f32, or vectors of fewer dimensions");
    whet_i_buf_free(ctx, &text);
    return status;
}

/* made: type and shape; gets its data, block by block, as the type that is kept. */
static whet_status read_values(whet_ctx *ctx, whet_i_array_rows *file, whet_tensor *made) {
    enum { AT_A_TIME = 1 << 22 };
    const whet_dtype kept = whet_i_kept_as(made->dtype);
    const int64_t rows = made->shape[0], most = AT_A_TIME / (made->shape[1] + 1) + 1;
    int64_t row_bytes, bytes;
    WHET_TRY(whet_i_mul(ctx, made->shape[1], (int64_t)whet_dtype_size(kept), &row_bytes));
    WHET_TRY(whet_i_mul(ctx, rows, row_bytes, &bytes));
    WHET_TRY(whet_i_alloc_(ctx, bytes, 1, false, &made->data));
    made->dtype = kept;
    for (int64_t at = 0; at < rows; at += most) {
        const int64_t n = rows - at < most ? rows - at : most;
        WHET_TRY(whet_i_array_rows_read(ctx, file, at, n, kept,
                                        (char *)made->data + (size_t)(at * row_bytes)));
        WHET_TRY(whet_i_progress(ctx, "reading the space", at + n, rows));
    }
    return WHET_OK;
}

/* Without its data where it is not of two dimensions, which its space then tells. */
static whet_status read_array(whet_ctx *ctx, const char *path, bool matrix, whet_tensor *out) {
    whet_status status = WHET_OK;
    whet_i_array_rows *file;
    WHET_TRY(whet_i_array_rows_open(ctx, path, &file));
    whet_tensor made = *whet_i_array_rows_head(file);
    if (made.rank == 2) {
        WHET_TRY_DONE(check_array_room(ctx, path, &made, matrix));
        WHET_TRY_DONE(read_values(ctx, file, &made));
    }
    *out = made;
    made.data = NULL;
done:
    whet_tensor_destroy(ctx, &made);
    whet_i_array_rows_close(ctx, file);
    return status;
}

static whet_status open_array(whet_ctx *ctx, const space_spec *spec, bool matrix,
                              space_measure measure, whet_space **out) {
    whet_status status = WHET_OK;
    whet_names *names = NULL, *rows = NULL;
    whet_tensor array = {0};
    if (spec->names) WHET_TRY(whet_names_read(ctx, spec->names, &names));
    if (spec->rows) WHET_TRY_DONE(whet_names_read(ctx, spec->rows, &rows));
    WHET_TRY_DONE(read_array(ctx, spec->what, matrix, &array));
    status = rows     ? whet_i_space_from_slab(ctx, names, rows, &array, true, out)
             : matrix ? whet_i_space_from_matrix(ctx, names, &array, true, out)
                      : whet_i_space_from_embedding(ctx, names, &array, true, measure, out);
    if (status != WHET_OK) status = whet_i_fail_at(ctx, status, "%s", spec->what);
done:
    whet_tensor_destroy(ctx, &array);
    whet_names_destroy(ctx, rows);
    whet_names_destroy(ctx, names);
    return status;
}

static whet_status open_matrix(whet_ctx *ctx, const space_spec *spec, whet_space **out) {
    const char *expected = "matrix takes names= and rows= only; expected "
                           "matrix:FILE.npy[,names=FILE][,rows=FILE]";
    WHET_TRY(refuse(ctx, spec->forest, expected));
    WHET_TRY(refuse(ctx, spec->metric, expected));
    WHET_TRY(refuse(ctx, spec->lengths, expected));
    return open_array(ctx, spec, true, MEASURE_EUCLIDEAN, out);
}

static whet_status open_embedding(whet_ctx *ctx, const space_spec *spec, whet_space **out) {
    space_measure measure = MEASURE_EUCLIDEAN;
    const char *expected = "embedding takes names= and metric= only";
    WHET_TRY(refuse(ctx, spec->lengths, expected));
    WHET_TRY(refuse(ctx, spec->rows, expected));
    WHET_TRY(refuse(ctx, spec->forest, expected));
    if (spec->metric) WHET_TRY(whet_i_measure_read(ctx, spec->metric, &measure));
    return open_array(ctx, spec, false, measure, out);
}

/* ---- sizes ----------------------------------------------------------------------------------- */

static whet_status read_size(whet_ctx *ctx, whet_str text, int64_t *out) {
    char quoted[WHET_QUOTE_SIZE];
    if (!whet_i_parse_int(text, out) || *out < 1)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "space: size %s; expected a whole number of 1 or more",
                           whet_i_quote(quoted, text));
    if (*out > MOST_NUMBERED)
        return whet_i_fail(ctx, WHET_ERR_LIMIT, "space: %lld points; expected at most %d",
                           (long long)*out, MOST_NUMBERED);
    return WHET_OK;
}

static whet_status open_path(whet_ctx *ctx, const space_spec *spec, whet_space **out) {
    int64_t n;
    WHET_TRY(refuse_all(ctx, spec, "path takes no options; expected path:N"));
    WHET_TRY(read_size(ctx, whet_str_from(spec->what), &n));
    return whet_i_space_path(ctx, n, out);
}

static whet_status open_discrete(whet_ctx *ctx, const space_spec *spec, whet_space **out) {
    int64_t n;
    WHET_TRY(refuse_all(ctx, spec, "discrete takes no options; expected discrete[:N]"));
    if (spec->what) {
        WHET_TRY(read_size(ctx, whet_str_from(spec->what), &n));
        return whet_i_space_discrete(ctx, NULL, n, out);
    }
    if (!spec->classes)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "space: discrete without a count needs classes; try discrete:N");
    return whet_i_space_discrete(ctx, spec->classes, whet_names_count(spec->classes), out);
}

static whet_status open_grid(whet_ctx *ctx, const space_spec *spec, whet_space **out) {
    int64_t size[WHET_RANK_MAX], n = 1;
    int32_t rank = 0;
    char quoted[WHET_QUOTE_SIZE];
    const char *expected = "grid takes metric= only; expected grid:AxB[,metric=l1|l2]";
    WHET_TRY(refuse(ctx, spec->names, expected));
    WHET_TRY(refuse(ctx, spec->lengths, expected));
    WHET_TRY(refuse(ctx, spec->rows, expected));
    WHET_TRY(refuse(ctx, spec->forest, expected));
    const bool euclidean = spec->metric && strcmp(spec->metric, "l2") == 0;
    if (spec->metric && !euclidean && strcmp(spec->metric, "l1") != 0)
        return whet_i_fail(ctx, WHET_ERR_ARG, "space: metric is %s; expected l1 or l2",
                           whet_i_quote(quoted, whet_str_from(spec->metric)));
    for (const char *at = spec->what; at;) {
        const char *x = strchr(at, 'x');
        const whet_str side = {at, x ? x - at : (int64_t)strlen(at)};
        if (rank == WHET_RANK_MAX)
            return whet_i_fail(ctx, WHET_ERR_ARG, "space: grid of more than %d sides; expected AxB",
                               WHET_RANK_MAX);
        WHET_TRY(read_size(ctx, side, &size[rank]));
        WHET_TRY(whet_i_mul(ctx, n, size[rank++], &n));
        at = x ? x + 1 : NULL;
    }
    if (n > MOST_NUMBERED)
        return whet_i_fail(ctx, WHET_ERR_LIMIT, "space: grid of %lld points; expected at most %d",
                           (long long)n, MOST_NUMBERED);
    return whet_i_space_grid(ctx, size, rank, euclidean, out);
}

/* ---- which ----------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    bool needs_what;
    opener open;
} kinds[] = {
    {"tree", true, open_tree},           {"graph", true, open_graph}, {"matrix", true, open_matrix},
    {"embedding", true, open_embedding}, {"grid", true, open_grid},   {"path", true, open_path},
    {"discrete", false, open_discrete},
};

bool whet_i_space_kind_is_known(const char *text) {
    const size_t n = strcspn(text, ":");
    for (int64_t i = 0; i < WHET_COUNT_OF(kinds); i++)
        if (strlen(kinds[i].name) == n && strncmp(text, kinds[i].name, n) == 0) return true;
    return false;
}

static whet_status open_kind(whet_ctx *ctx, const char *kind, space_spec *spec, whet_space **out) {
    char quoted[WHET_QUOTE_SIZE];
    for (int64_t i = 0; i < WHET_COUNT_OF(kinds); i++) {
        if (strcmp(kind, kinds[i].name) != 0) continue;
        if (kinds[i].needs_what ? !spec->what || !spec->what[0] : spec->what && !spec->what[0])
            return whet_i_fail(ctx, WHET_ERR_ARG, "space: nothing behind %s; expected %s:%s", kind,
                               kind, i < 4 ? "FILE" : "SIZE");
        return kinds[i].open(ctx, spec, out);
    }
    return whet_i_fail(ctx, WHET_ERR_ARG,
                       "space: %s is unknown; expected " WHET_I_SPACE_KINDS " or discrete",
                       whet_i_quote(quoted, whet_str_from(kind)));
}

whet_status whet_space_open(whet_ctx *ctx, const char *text, const whet_names *classes,
                            whet_space **out) {
    space_spec spec = {.classes = classes};
    whet_status status = WHET_OK;
    char *kind;
    WHET_TRY(whet_i_strdup(ctx, whet_str_from(text), &kind));
    char *colon = strchr(kind, ':');
    if (colon) {
        *colon = '\0';
        spec.what = colon + 1;
        status = cut_options(ctx, &spec, colon + 1);
    }
    if (status == WHET_OK) status = open_kind(ctx, kind, &spec, out);
    whet_i_free(ctx, kind);
    return status;
}
