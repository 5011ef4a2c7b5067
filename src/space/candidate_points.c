/* SPDX-License-Identifier: Apache-2.0
 * Which points of a space are observed and which may be predicted: lists checked and in order. */
#include "space/space_i.h"

void whet_free_points(whet_ctx *ctx, int64_t *points) { whet_i_free(ctx, points); }

/* The points of a class list; the list is named in what fails. */
static whet_status read_points(whet_ctx *ctx, const whet_space *space, const char *path,
                               int64_t **out, int64_t *n) {
    whet_names *names;
    int64_t *points = NULL;
    whet_status status = WHET_OK;
    WHET_TRY(whet_names_read(ctx, path, &names));
    if (whet_names_count(names) == 0) {
        status = whet_i_fail(ctx, WHET_ERR_DATA, "%s: no class; expected one or more", path);
        goto done;
    }
    WHET_TRY_DONE(whet_i_alloc(ctx, whet_names_count(names), &points));
    status = whet_space_find_all(ctx, space, names, points);
    if (status != WHET_OK) {
        status = whet_i_fail_at(ctx, status, "%s", path);
        goto done;
    }
    *out = points;
    *n = whet_names_count(names);
    points = NULL;
done:
    whet_i_free(ctx, points);
    whet_names_destroy(ctx, names);
    return status;
}

whet_status whet_candidates_read(whet_ctx *ctx, const whet_space *space, const char *text,
                                 whet_frechet_opts *opts, int64_t **points) {
    static const char *const words[] = {"all", "observed", "leaves"};
    *points = NULL;
    for (int i = 0; i < 3; i++) {
        if (strcmp(text ? text : "all", words[i]) != 0) continue;
        opts->candidates = (whet_candidates)i;
        if (opts->candidates == WHET_CANDIDATES_LEAVES && space->kind != SPACE_TREE)
            whet_i_log(ctx, WHET_LOG_INFO,
                       "candidates: leaves are those of trees: here all points");
        return WHET_OK;
    }
    WHET_TRY(read_points(ctx, space, text, points, &opts->n_candidates));
    opts->candidates = WHET_CANDIDATES_LIST;
    opts->candidate_list = *points;
    return WHET_OK;
}

/* Marks points in `seen`; each at most once. */
static whet_status mark(whet_ctx *ctx, const whet_space *space, const char *what,
                        const int64_t *points, int64_t n, bool *seen) {
    char quoted[WHET_QUOTE_SIZE];
    for (int64_t i = 0; i < n; i++) {
        if (points[i] < 0 || points[i] >= space->n)
            return whet_i_fail(ctx, WHET_ERR_ARG, "%s %lld is point %lld; expected 0..%lld", what,
                               (long long)i, (long long)points[i], (long long)space->n - 1);
        if (seen[points[i]])
            return whet_i_fail(ctx, WHET_ERR_ARG, "%s %s is given twice; expected distinct points",
                               what, whet_i_quote(quoted, whet_names_get(space->names, points[i])));
        seen[points[i]] = true;
    }
    return WHET_OK;
}

whet_status whet_i_points_copy(whet_ctx *ctx, const whet_space *space, const char *what,
                               const int64_t *points, int64_t n, int64_t **out) {
    bool *seen;
    int64_t *copy;
    WHET_TRY(whet_i_calloc(ctx, space->n, &seen));
    whet_status status = mark(ctx, space, what, points, n, seen);
    whet_i_free(ctx, seen);
    if (status != WHET_OK) return status;
    WHET_TRY(whet_i_alloc(ctx, n, &copy));
    if (n > 0) memcpy(copy, points, (size_t)n * sizeof *points);
    *out = copy;
    return WHET_OK;
}

static void mark_leaves(const whet_space *space, bool *seen) {
    for (int64_t v = 0; v < space->n; v++) {
        const bool tree = space->kind == SPACE_TREE;
        const bool root = tree && space->tree.rooted && space->tree.parent[v] < 0;
        seen[v] = !tree || space->n == 1 || (space->tree.degree[v] == 1 && !root);
    }
}

static whet_status mark_candidates(whet_ctx *ctx, const whet_space *space, const int64_t *observed,
                                   int64_t k, const whet_frechet_opts *o, bool *seen) {
    switch (o->candidates) {
    case WHET_CANDIDATES_ALL: memset(seen, true, (size_t)space->n); return WHET_OK;
    case WHET_CANDIDATES_OBSERVED: return mark(ctx, space, "observed class", observed, k, seen);
    case WHET_CANDIDATES_LEAVES: mark_leaves(space, seen); return WHET_OK;
    case WHET_CANDIDATES_LIST:
        return mark(ctx, space, "candidate", o->candidate_list, o->n_candidates, seen);
    }
    return whet_i_fail(ctx, WHET_ERR_ARG, "candidates is %d; expected a whet_candidates",
                       (int)o->candidates);
}

whet_status whet_i_candidates_take(whet_ctx *ctx, const whet_space *space, const int64_t *observed,
                                   int64_t k, const whet_frechet_opts *opts, int64_t **out,
                                   int64_t *n_out) {
    whet_status status = WHET_OK;
    int64_t n = 0, *points = NULL;
    bool *seen;
    WHET_TRY(whet_i_calloc(ctx, space->n, &seen));
    WHET_TRY_DONE(mark_candidates(ctx, space, observed, k, opts, seen));
    for (int64_t v = 0; v < space->n; v++) n += seen[v];
    if (n < 1) {
        status = whet_i_fail(ctx, WHET_ERR_ARG, "there is no candidate; expected 1 or more");
        goto done;
    }
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &points));
    n = 0;
    for (int64_t v = 0; v < space->n; v++)
        if (seen[v]) points[n++] = v;
    *out = points;
    *n_out = n;
done:
    whet_i_free(ctx, seen);
    return status;
}
