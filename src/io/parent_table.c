/* SPDX-License-Identifier: Apache-2.0
 * Rooted trees given by a TSV with the columns child (or node, id, name), parent and perhaps length, in any
 * order, capitals or not.
 * Whether the rows form one tree is for the label space to check. */
#include <math.h>

#include "io/edges_i.h"

typedef struct columns {
    int64_t n, child, parent, length; /* length -1 = absent */
} columns;

static bool next_field(whet_str *rest, whet_str *field) {
    if (!rest->ptr) return false;
    const char *tab = rest->len ? memchr(rest->ptr, '\t', (size_t)rest->len) : NULL;
    const int64_t len = tab ? tab - rest->ptr : rest->len;
    *field = (whet_str){rest->ptr, len};
    *rest = tab ? (whet_str){tab + 1, rest->len - len - 1} : (whet_str){NULL, 0};
    return true;
}

static bool is_word(whet_str field, const char *word) {
    const int64_t n = (int64_t)strlen(word);
    bool same = field.len == n;
    for (int64_t i = 0; same && i < n; i++) {
        const char c = field.ptr[i];
        same = (c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c) == word[i];
    }
    return same;
}

static columns find_columns(whet_str header) {
    static const char *const children[] = {"child", "node", "id",
                                           "name"}; /* the first that is there */
    columns c = {0, -1, -1, -1};
    int64_t best = WHET_COUNT_OF(children);
    whet_str field;
    for (; next_field(&header, &field); c.n++) {
        for (int64_t i = 0; i < best; i++)
            if (is_word(field, children[i])) {
                best = i;
                c.child = c.n;
            }
        if (is_word(field, "parent")) c.parent = c.n;
        if (is_word(field, "length")) c.length = c.n;
    }
    return c;
}

bool whet_i_is_parent_header(whet_str line) {
    const columns c = find_columns(line);
    return c.child >= 0 && c.parent >= 0;
}

typedef struct table_reader {
    const char *where;
    columns columns;
    whet_names *names;
    int64_t *line_of; /* [line_cap] line on which a node stood as child, 0 = not yet */
    int64_t line_cap;
    edge_list list;
} table_reader;

static whet_status note_child(whet_ctx *ctx, table_reader *r, int64_t child, int64_t number) {
    if (child >= r->line_cap) {
        int64_t cap = r->line_cap ? r->line_cap : 64;
        while (cap <= child) cap *= 2;
        WHET_TRY(whet_i_realloc(ctx, &r->line_of, cap));
        memset(r->line_of + r->line_cap, 0, (size_t)(cap - r->line_cap) * sizeof *r->line_of);
        r->line_cap = cap;
    }
    if (r->line_of[child]) {
        char quoted[WHET_QUOTE_SIZE];
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s:%lld: %s has a parent on line %lld already; expected one parent",
                           r->where, (long long)number,
                           whet_i_quote(quoted, whet_names_get(r->names, child)),
                           (long long)r->line_of[child]);
    }
    r->line_of[child] = number;
    return WHET_OK;
}

static whet_status table_row(whet_ctx *ctx, table_reader *r, int64_t number, whet_str line) {
    char quoted[WHET_QUOTE_SIZE];
    whet_str rest = line, field, child = {NULL, 0}, parent = {NULL, 0}, length = {NULL, 0};
    int64_t n = 0;
    for (; next_field(&rest, &field); n++) {
        if (n == r->columns.child) child = whet_i_trim(field);
        if (n == r->columns.parent) parent = whet_i_trim(field);
        if (n == r->columns.length) length = field;
    }
    if (n != r->columns.n)
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s:%lld: %lld columns; expected %lld", r->where,
                           (long long)number, (long long)n, (long long)r->columns.n);
    if (child.len == 0)
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s:%lld: the child is empty; expected a name",
                           r->where, (long long)number);
    double weight = 1;
    if (length.len && (!whet_i_parse_real(length, &weight) || !(weight >= 0) || isinf(weight)))
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s:%lld: the length is %s; expected a finite number of at least 0",
                           r->where, (long long)number, whet_i_quote(quoted, length));
    int64_t child_at = 0, parent_at = 0;
    WHET_TRY(whet_names_add(ctx, r->names, child, &child_at));
    if (parent.len == 0) return WHET_OK; /* the root, said outright */
    WHET_TRY(note_child(ctx, r, child_at, number));
    WHET_TRY(whet_names_add(ctx, r->names, parent, &parent_at));
    if (parent_at == child_at)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s:%lld: %s is its own parent; expected another node", r->where,
                           (long long)number, whet_i_quote(quoted, child));
    return whet_i_edge_add(ctx, &r->list, parent_at, child_at, weight);
}

whet_status whet_i_parent_table_parse(whet_ctx *ctx, const char *where, const char *bytes,
                                      int64_t len, whet_edges *out) {
    whet_status status = WHET_OK;
    table_reader r = {.where = where};
    whet_str rest = {bytes, len}, line = {bytes, 0};
    (void)whet_i_next_line(&rest, &line);
    r.columns = find_columns(line);
    if (r.columns.child < 0 || r.columns.parent < 0)
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s:1: expected the columns child and parent",
                           where);
    WHET_TRY_DONE(whet_names_create(ctx, &r.names));
    for (int64_t number = 2; whet_i_next_line(&rest, &line); number++)
        if (line.len) WHET_TRY_DONE(table_row(ctx, &r, number, line));
    if (whet_names_count(r.names) == 0) {
        status = whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: no rows; expected one a node", where);
        goto done;
    }
    *out = (whet_edges){r.names, r.list.n, r.list.from, r.list.to, r.list.length, true};
    r.names = NULL;
    r.list = (edge_list){0};
done:
    whet_names_destroy(ctx, r.names);
    whet_i_free(ctx, r.line_of);
    whet_i_edge_list_free(ctx, &r.list);
    return status;
}
