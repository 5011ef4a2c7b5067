/* SPDX-License-Identifier: Apache-2.0
 * Trees and graphs: which reader a file wants, edge lists, and what the readers share.
 * An edge list has one undirected edge a line, `a b [length]`: split at tabs when the line has one
 * (names may then hold spaces), else at runs of spaces. Nodes count from the first mention. */
#include "io/edges_i.h"

#include <math.h>
#include <stdio.h>

bool whet_i_next_line(whet_str *rest, whet_str *line) {
    if (rest->len == 0) return false;
    const char *end = memchr(rest->ptr, '\n', (size_t)rest->len);
    const int64_t len = end ? end - rest->ptr : rest->len;
    *line = (whet_str){rest->ptr, len};
    if (len > 0 && rest->ptr[len - 1] == '\r') line->len--;
    rest->ptr += end ? len + 1 : len;
    rest->len -= end ? len + 1 : len;
    return true;
}

whet_status whet_i_edge_add(whet_ctx *ctx, edge_list *list, int64_t from, int64_t to,
                            double length) {
    if (list->n == list->cap) {
        const int64_t cap = list->cap ? list->cap * 2 : 64;
        WHET_TRY(whet_i_realloc(ctx, &list->from, cap));
        WHET_TRY(whet_i_realloc(ctx, &list->to, cap));
        WHET_TRY(whet_i_realloc(ctx, &list->length, cap));
        list->cap = cap;
    }
    list->from[list->n] = from;
    list->to[list->n] = to;
    list->length[list->n++] = length;
    return WHET_OK;
}

void whet_i_edge_list_free(whet_ctx *ctx, edge_list *list) {
    whet_i_free(ctx, list->from);
    whet_i_free(ctx, list->to);
    whet_i_free(ctx, list->length);
    *list = (edge_list){0};
}

void whet_edges_destroy(whet_ctx *ctx, whet_edges *edges) {
    if (!edges) return;
    whet_names_destroy(ctx, edges->names);
    whet_i_free(ctx, edges->from);
    whet_i_free(ctx, edges->to);
    whet_i_free(ctx, edges->length);
    *edges = (whet_edges){0};
}

/* ---- names of nodes -------------------------------------------------------------------------- */

/* How often a label occurs, on leaves and in all. */
typedef struct label_use {
    int64_t leaves, all;
} label_use;

static whet_status count_labels(whet_ctx *ctx, const char *where, const whet_str *labels,
                                const bool *is_leaf, int64_t n, whet_names *seen, label_use *use) {
    for (int64_t i = 0; i < n; i++) {
        if (labels[i].len == 0) continue;
        int64_t label = 0;
        WHET_TRY(whet_names_add(ctx, seen, labels[i], &label));
        use[label].all++;
        use[label].leaves += is_leaf[i];
        if (is_leaf[i] && use[label].leaves > 1) {
            char quoted[WHET_QUOTE_SIZE];
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "%s: two leaves are named %s; expected distinct names", where,
                               whet_i_quote(quoted, labels[i]));
        }
    }
    return WHET_OK;
}

static whet_status add_index_name(whet_ctx *ctx, whet_names *names, const whet_names *seen,
                                  int64_t index) {
    char text[64];
    int len = snprintf(text, sizeof text, "%lld", (long long)index);
    for (;;) {
        const whet_str name = {text, len};
        if (whet_names_find(seen, name) < 0 && whet_names_find(names, name) < 0)
            return whet_names_add(ctx, names, name, NULL);
        if (len + 2 >= (int)sizeof text)
            return whet_i_fail(ctx, WHET_ERR_FORMAT, "no free name is left for node %lld",
                               (long long)index);
        text[len++] = '#';
        text[len] = '\0';
    }
}

whet_status whet_i_name_nodes(whet_ctx *ctx, const char *where, const whet_str *labels,
                              const bool *is_leaf, int64_t n, whet_names **out) {
    whet_status status = WHET_OK;
    whet_names *seen = NULL, *names = NULL;
    label_use *use = NULL;
    int64_t dropped = 0, labelled = 0;
    for (int64_t i = 0; i < n; i++) labelled += labels[i].len > 0;
    if (labelled == 0 && n > 0) return whet_i_names_numbered(ctx, n, out);
    WHET_TRY_DONE(whet_names_create(ctx, &seen));
    WHET_TRY_DONE(whet_names_create(ctx, &names));
    WHET_TRY_DONE(whet_i_calloc(ctx, n, &use));
    WHET_TRY_DONE(count_labels(ctx, where, labels, is_leaf, n, seen, use));
    for (int64_t i = 0; i < n; i++) {
        const int64_t label = labels[i].len ? whet_names_find(seen, labels[i]) : -1;
        if (label >= 0 && (is_leaf[i] || use[label].all == 1)) {
            WHET_TRY_DONE(whet_names_add(ctx, names, labels[i], NULL));
        } else {
            dropped += label >= 0;
            WHET_TRY_DONE(add_index_name(ctx, names, seen, i));
        }
    }
    if (dropped)
        whet_i_log(ctx, WHET_LOG_INFO,
                   "%s: %lld inner nodes have labels that repeat; they go by their index", where,
                   (long long)dropped);
    *out = names;
    names = NULL;
done:
    whet_names_destroy(ctx, seen);
    whet_names_destroy(ctx, names);
    whet_i_free(ctx, use);
    return status;
}

/* ---- edge lists ------------------------------------------------------------------------------ */

enum { FIELDS_MAX = 4 };

/* Splits at tabs, or at runs of spaces when there is no tab; counts up to FIELDS_MAX. */
static int split(whet_str line, whet_str fields[FIELDS_MAX]) {
    const bool tabs = line.len && memchr(line.ptr, '\t', (size_t)line.len);
    const char *p = line.ptr, *end = line.ptr + line.len;
    int n = 0;
    while (n < FIELDS_MAX) {
        if (!tabs)
            while (p < end && *p == ' ') p++;
        if (p == end && !(tabs && n > 0)) break;
        const char *stop = p;
        while (stop < end && *stop != (tabs ? '\t' : ' ')) stop++;
        fields[n++] = whet_i_trim((whet_str){p, stop - p});
        if (stop == end) break;
        p = stop + 1;
    }
    return n;
}

static whet_status edge_line(whet_ctx *ctx, const char *where, int64_t number, whet_str line,
                             whet_names *names, edge_list *list) {
    whet_str fields[FIELDS_MAX];
    char quoted[WHET_QUOTE_SIZE];
    const int n = split(line, fields);
    if (n < 2 || n > 3 || fields[0].len == 0 || fields[1].len == 0)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s:%lld: the line is %s; expected two node names and perhaps a length",
                           where, (long long)number, whet_i_quote(quoted, line));
    double length = 1;
    if (n == 3 && (!whet_i_parse_real(fields[2], &length) || !(length >= 0) || isinf(length)))
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s:%lld: the length is %s; expected a finite number of at least 0",
                           where, (long long)number, whet_i_quote(quoted, fields[2]));
    int64_t from = 0, to = 0;
    WHET_TRY(whet_names_add(ctx, names, fields[0], &from));
    WHET_TRY(whet_names_add(ctx, names, fields[1], &to));
    if (from == to)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s:%lld: an edge from %s to itself; expected two nodes", where,
                           (long long)number, whet_i_quote(quoted, fields[0]));
    return whet_i_edge_add(ctx, list, from, to, length);
}

whet_status whet_i_edge_lines_parse(whet_ctx *ctx, const char *where, const char *bytes,
                                    int64_t len, whet_edges *out) {
    whet_status status = WHET_OK;
    whet_names *names = NULL;
    edge_list list = {0};
    whet_str rest = {bytes, len}, line;
    WHET_TRY_DONE(whet_names_create(ctx, &names));
    for (int64_t number = 1; whet_i_next_line(&rest, &line); number++)
        if (line.len) WHET_TRY_DONE(edge_line(ctx, where, number, line, names, &list));
    if (list.n == 0) {
        status = whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: no edges; expected one a line", where);
        goto done;
    }
    *out = (whet_edges){names, list.n, list.from, list.to, list.length, false};
    names = NULL;
    list = (edge_list){0};
done:
    whet_names_destroy(ctx, names);
    whet_i_edge_list_free(ctx, &list);
    return status;
}

/* ---- which reader ---------------------------------------------------------------------------- */

/* Newick ends with a semicolon behind a closed parenthesis or a label, and opens one before. */
static bool looks_like_newick(const char *bytes, int64_t len) {
    while (len > 0 && strchr(" \t\r\n", bytes[len - 1])) len--;
    return len > 0 && bytes[len - 1] == ';' && memchr(bytes, '(', (size_t)len);
}

whet_status whet_i_edges_parse(whet_ctx *ctx, const char *where, const char *bytes, int64_t len,
                               whet_edges *out) {
    if (len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) {
        bytes += 3;
        len -= 3;
    }
    whet_str rest = {bytes, len}, first = {bytes, 0};
    (void)whet_i_next_line(&rest, &first);
    if (whet_i_is_parent_header(first))
        return whet_i_parent_table_parse(ctx, where, bytes, len, out);
    if (looks_like_newick(bytes, len)) return whet_i_newick_parse(ctx, where, bytes, len, out);
    return whet_i_edge_lines_parse(ctx, where, bytes, len, out);
}

whet_status whet_edges_read(whet_ctx *ctx, const char *path, whet_edges *out) {
    static const char *const newick[] = {".nwk", ".newick", ".tree", ".tre"};
    if (whet_i_has_extension(path, ".npy") || strstr(path, ".npz:"))
        return whet_edges_read_parents(ctx, path, NULL, NULL, out);
    char *bytes = NULL;
    int64_t len = 0;
    WHET_TRY(whet_i_file_read(ctx, path, WHET_FILE_MAX, &bytes, &len));
    bool is_newick = false;
    for (int64_t i = 0; i < WHET_COUNT_OF(newick); i++)
        is_newick = is_newick || whet_i_has_extension(path, newick[i]);
    const whet_status status = is_newick ? whet_i_newick_parse(ctx, path, bytes, len, out)
                                         : whet_i_edges_parse(ctx, path, bytes, len, out);
    whet_i_free(ctx, bytes);
    return status;
}
