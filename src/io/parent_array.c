/* SPDX-License-Identifier: Apache-2.0
 * Rooted trees given by an array: entry i is the parent of node i, -1 at the root; names and
 * lengths in files of their own. Whether it is one tree is for the label space to check. */
#include "io/edges_i.h"

/* First tab-separated field of each line, for exactly n lines. */
static whet_status read_labels(whet_ctx *ctx, const char *path, const char *bytes, int64_t len,
                               int64_t n, whet_str *labels) {
    const int64_t mark = len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    whet_str rest = {bytes + mark, len - mark}, line;
    int64_t i = 0;
    bool more = false;
    for (; whet_i_next_line(&rest, &line); i++) {
        more = i == n;
        if (more) break;
        const char *tab = line.len ? memchr(line.ptr, '\t', (size_t)line.len) : NULL;
        labels[i] = whet_i_trim((whet_str){line.ptr, tab ? tab - line.ptr : line.len});
    }
    if (i != n || more)
        return whet_i_fail(ctx, WHET_ERR_SHAPE, "%s: %s than %lld lines; expected one a node", path,
                           i < n ? "fewer" : "more", (long long)n);
    return WHET_OK;
}

static whet_status check_lengths(whet_ctx *ctx, const char *path, const whet_tensor *lengths,
                                 int64_t n) {
    if (lengths->shape[0] != n)
        return whet_i_fail(ctx, WHET_ERR_SHAPE, "%s: %lld lengths; expected %lld, one a node", path,
                           (long long)lengths->shape[0], (long long)n);
    const double *values = lengths->data;
    for (int64_t i = 0; i < n; i++)
        if (!(values[i] >= 0))
            return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: length[%lld] is %g; expected at least 0",
                               path, (long long)i, values[i]);
    return WHET_OK;
}

static whet_status parents_to_edges(whet_ctx *ctx, const char *path, const int64_t *parent,
                                    int64_t n, const double *lengths, bool *is_leaf,
                                    edge_list *list) {
    for (int64_t i = 0; i < n; i++) is_leaf[i] = true;
    for (int64_t i = 0; i < n; i++) {
        const int64_t p = parent[i];
        if (p < -1 || p >= n || p == i)
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "%s: parent[%lld] is %lld; expected -1 at the root, else another "
                               "node from 0 to %lld",
                               path, (long long)i, (long long)p, (long long)n - 1);
        if (p < 0) continue;
        is_leaf[p] = false;
        WHET_TRY(whet_i_edge_add(ctx, list, p, i, lengths ? lengths[i] : 1));
    }
    return WHET_OK;
}

whet_status whet_edges_read_parents(whet_ctx *ctx, const char *parents, const char *names_path,
                                    const char *lengths_spec, whet_edges *out) {
    whet_status status = WHET_OK;
    whet_tensor parent = {0}, lengths = {0};
    whet_str *labels = NULL;
    bool *is_leaf = NULL;
    char *bytes = NULL;
    whet_names *names = NULL;
    edge_list list = {0};
    WHET_TRY_DONE(whet_array_read_as(ctx, parents, WHET_I64, 1, true, &parent));
    const int64_t n = parent.shape[0];
    if (n == 0) {
        status = whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: no nodes; expected at least one", parents);
        goto done;
    }
    WHET_TRY_DONE(whet_i_calloc(ctx, n, &labels));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &is_leaf));
    if (names_path) {
        int64_t len = 0;
        WHET_TRY_DONE(whet_i_file_read(ctx, names_path, WHET_FILE_MAX, &bytes, &len));
        WHET_TRY_DONE(read_labels(ctx, names_path, bytes, len, n, labels));
    }
    if (lengths_spec) {
        WHET_TRY_DONE(whet_array_read_as(ctx, lengths_spec, WHET_F64, 1, true, &lengths));
        WHET_TRY_DONE(check_lengths(ctx, lengths_spec, &lengths, n));
    }
    WHET_TRY_DONE(parents_to_edges(ctx, parents, parent.data, n, lengths.data, is_leaf, &list));
    WHET_TRY_DONE(
        whet_i_name_nodes(ctx, names_path ? names_path : parents, labels, is_leaf, n, &names));
    *out = (whet_edges){names, list.n, list.from, list.to, list.length, true};
    names = NULL;
    list = (edge_list){0};
done:
    whet_tensor_destroy(ctx, &parent);
    whet_tensor_destroy(ctx, &lengths);
    whet_i_free(ctx, labels);
    whet_i_free(ctx, is_leaf);
    whet_i_free(ctx, bytes);
    whet_names_destroy(ctx, names);
    whet_i_edge_list_free(ctx, &list);
    return status;
}
