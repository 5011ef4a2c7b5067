/* SPDX-License-Identifier: Apache-2.0
 * Counts of pairs of votes to and from .npz (docs/formats/votes.md). A file is not trusted: its counts
 * must be such as rows could have, or models fitted to them mean nothing.
 * Legend: n rows, m rules, k classes, d = m k cells. */
#include <inttypes.h>

#include "io/io_i.h"
#include "label/vote_model.h"

/* ---- writing --------------------------------------------------------------------------------- */

whet_status whet_vote_counts_save(whet_ctx *ctx, const whet_vote_counts *counts, const char *path,
                                  bool force) {
    const int64_t m = counts->m, k = counts->k;
    int64_t rows = counts->n;
    const whet_named_tensor items[] = {
        {"rows", {.data = &rows, .dtype = WHET_I64, .rank = 1, .shape = {1}}},
        {"pairs", {.data = counts->pairs, .dtype = WHET_I64, .rank = 4, .shape = {m, k, m, k}}},
        {"judged", {.data = counts->judged, .dtype = WHET_I64, .rank = 1, .shape = {m}}},
        {"right", {.data = counts->right, .dtype = WHET_I64, .rank = 1, .shape = {m}}},
    };
    return whet_npz_write(ctx, path, force, items, WHET_COUNT_OF(items));
}

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct reading {
    const char *where;
    const char *bytes;
    int64_t len;
} reading;

/* An array of `rank` dimensions of int64, owned by the caller. */
static whet_status take(whet_ctx *ctx, const reading *r, const char *key, int32_t rank,
                        whet_tensor *out) {
    whet_tensor t = {0};
    const whet_status status = whet_i_npz_parse(ctx, r->where, r->bytes, r->len, key, &t);
    if (status != WHET_OK) return whet_i_fail_at(ctx, status, "counts of votes");
    if (t.dtype == WHET_I64 && t.rank == rank) {
        *out = t;
        return WHET_OK;
    }
    const whet_status wrong =
        whet_i_fail(ctx, WHET_ERR_SHAPE,
                    "%s: %s is %s with %d dimensions; expected i64 with %d, as whet label count "
                    "writes them",
                    r->where, key, whet_dtype_name(t.dtype), t.rank, rank);
    whet_tensor_destroy(ctx, &t);
    return wrong;
}

/* `key`, an array of n numbers, to out. */
static whet_status take_row(whet_ctx *ctx, const reading *r, const char *key, int64_t n,
                            int64_t *out) {
    whet_tensor t;
    whet_status status = WHET_OK;
    WHET_TRY(take(ctx, r, key, 1, &t));
    if (t.shape[0] == n)
        memcpy(out, t.data, sizeof *out * (size_t)n);
    else
        status =
            whet_i_fail(ctx, WHET_ERR_SHAPE, "%s: %s has %" PRId64 " numbers; expected %" PRId64,
                        r->where, key, t.shape[0], n);
    whet_tensor_destroy(ctx, &t);
    return status;
}

static whet_status take_pairs(whet_ctx *ctx, const reading *r, whet_vote_counts **out) {
    whet_tensor t;
    whet_status status = WHET_OK;
    WHET_TRY(take(ctx, r, "pairs", 4, &t));
    const int64_t *shape = t.shape;
    if (shape[0] != shape[2] || shape[1] != shape[3] || shape[0] < 1 || shape[1] < 2) {
        status = whet_i_fail(ctx, WHET_ERR_SHAPE,
                             "%s: pairs is [%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64
                             "]; expected [rules, classes, rules, classes]",
                             r->where, shape[0], shape[1], shape[2], shape[3]);
        goto done;
    }
    WHET_TRY_DONE(whet_vote_counts_create(ctx, shape[0], shape[1], out));
    memcpy((*out)->pairs, t.data, sizeof *(*out)->pairs * (size_t)whet_tensor_count(&t));
done:
    whet_tensor_destroy(ctx, &t);
    return status;
}

/* ---- what rows could not have ------------------------------------------------------------------ */

/* Votes v of rule j with those of rule l. */
static whet_status check_cell(whet_ctx *ctx, const char *where, const whet_vote_counts *c,
                              int64_t j, int64_t v, int64_t l) {
    const int64_t k = c->k, d = c->m * k, a = j * k + v;
    for (int64_t w = 0; w < k; w++) {
        const int64_t b = l * k + w, found = c->pairs[a * d + b];
        const int64_t own = c->pairs[a * d + a], other = c->pairs[b * d + b];
        const bool twice = j == l && v != w; /* two votes of a rule on a row */
        const int64_t most = twice ? 0 : own < other ? own : other;
        if (found >= 0 && found <= most && found == c->pairs[b * d + a]) continue;
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s: pairs[%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 "] is %" PRId64
                           "; expected counts that rows can have: 0 to %" PRId64
                           ", and the same the other way round",
                           where, j, v, l, w, found, most < 0 ? 0 : most);
    }
    return WHET_OK;
}

static whet_status check_rule(whet_ctx *ctx, const char *where, const whet_vote_counts *c,
                              int64_t j) {
    const int64_t k = c->k, d = c->m * k;
    int64_t left = c->n; /* rows that it has not voted on */
    for (int64_t v = 0; v < k; v++) {
        const int64_t own = c->pairs[(j * k + v) * (d + 1)];
        for (int64_t l = 0; l < c->m; l++) WHET_TRY(check_cell(ctx, where, c, j, v, l));
        left = own <= left ? left - own : -1;
        if (left < 0)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s: rule %" PRId64 " has more votes than the %" PRId64
                               " rows there are; expected at most a vote a row",
                               where, j, c->n);
    }
    const int64_t votes = c->n - left;
    if (c->judged[j] >= 0 && c->judged[j] <= votes && c->right[j] >= 0 &&
        c->right[j] <= c->judged[j])
        return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_DATA,
                       "%s: rule %" PRId64 " has %" PRId64 " votes, %" PRId64
                       " of them judged, %" PRId64
                       " right; expected each at most the one before it",
                       where, j, votes, c->judged[j], c->right[j]);
}

static whet_status fill(whet_ctx *ctx, reading *r, whet_vote_counts **out) {
    WHET_TRY(take_pairs(ctx, r, out));
    whet_vote_counts *c = *out;
    WHET_TRY(take_row(ctx, r, "rows", 1, &c->n));
    WHET_TRY(take_row(ctx, r, "judged", c->m, c->judged));
    WHET_TRY(take_row(ctx, r, "right", c->m, c->right));
    if (c->n < 0)
        return whet_i_fail(ctx, WHET_ERR_DATA, "%s: %" PRId64 " rows; expected 0 or more", r->where,
                           c->n);
    for (int64_t j = 0; j < c->m; j++) WHET_TRY(check_rule(ctx, r->where, c, j));
    return WHET_OK;
}

whet_status whet_i_vote_counts_parse(whet_ctx *ctx, const char *where, const char *bytes,
                                     int64_t len, whet_vote_counts **out) {
    reading r = {.where = where, .bytes = bytes, .len = len};
    whet_vote_counts *counts = NULL;
    const whet_status status = fill(ctx, &r, &counts);
    if (status == WHET_OK)
        *out = counts;
    else
        whet_vote_counts_destroy(ctx, counts);
    return status;
}

whet_status whet_vote_counts_load(whet_ctx *ctx, const char *path, whet_vote_counts **out) {
    whet_i_map map;
    WHET_TRY(whet_i_map_open(ctx, path, &map));
    const whet_status status = whet_i_vote_counts_parse(ctx, path, map.ptr, map.len, out);
    whet_i_map_close(&map);
    return status;
}
