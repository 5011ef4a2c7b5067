/* SPDX-License-Identifier: Apache-2.0
 * Newick trees: (A:1,(B,'C D':0.5)inner:2)root; with quoted labels ('' is a quote), [comments],
 * missing labels and lengths (1), white space anywhere, and text before the first parenthesis,
 * which is skipped. One tree a file. Labels are kept as written (an underscore stays one).
 * Nodes are numbered in preorder, the root 0. Nesting is a parent array, not recursion: a chain of
 * a million nodes is fine. Grammar: https://phylipweb.github.io/phylip/newicktree.html */
#include <math.h>

#include "io/edges_i.h"

typedef struct reader {
    whet_ctx *ctx;
    const char *where, *bytes;
    int64_t at, len;
    int64_t n, cap;
    int64_t *parent;
    whet_str *label;
    double *length;
    bool *is_leaf;
    whet_i_arena unquoted; /* labels in which a doubled quote was folded */
} reader;

static whet_status fail(reader *r, int64_t at, const char *found, const char *expected) {
    int64_t line, column;
    whet_i_line_column(r->bytes, at, &line, &column);
    return whet_i_fail(r->ctx, WHET_ERR_FORMAT, "%s:%lld:%lld: %s; expected %s", r->where,
                       (long long)line, (long long)column, found, expected);
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* White space and comments. */
static whet_status skip(reader *r) {
    while (r->at < r->len) {
        if (is_space(r->bytes[r->at])) {
            r->at++;
        } else if (r->bytes[r->at] == '[') {
            const char *end = memchr(r->bytes + r->at, ']', (size_t)(r->len - r->at));
            if (!end) return fail(r, r->at, "a comment without end", "a closing bracket");
            r->at = end - r->bytes + 1;
        } else {
            break;
        }
    }
    return WHET_OK;
}

static char peek(const reader *r) { return r->at < r->len ? r->bytes[r->at] : '\0'; }

static whet_status read_quoted(reader *r, whet_str *out) {
    const int64_t opened = r->at++;
    const int64_t first = r->at;
    int64_t doubled = 0;
    for (;; r->at++) {
        if (r->at >= r->len)
            return fail(r, opened, "a quoted label without end", "a closing quote");
        if (r->bytes[r->at] != '\'') continue;
        if (r->at + 1 >= r->len || r->bytes[r->at + 1] != '\'') break;
        doubled++;
        r->at++;
    }
    const whet_str raw = {r->bytes + first, r->at++ - first};
    *out = raw;
    if (doubled == 0) return WHET_OK;
    char *copy;
    WHET_TRY(whet_i_arena_alloc(r->ctx, &r->unquoted, raw.len - doubled, 1, &copy));
    int64_t n = 0;
    for (int64_t i = 0; i < raw.len; i++) {
        copy[n++] = raw.ptr[i];
        if (raw.ptr[i] == '\'') i++;
    }
    *out = (whet_str){copy, n};
    return WHET_OK;
}

/* The longest run of bytes that cannot belong to the tree's punctuation, without trailing space. */
static whet_str read_bare(reader *r) {
    const int64_t first = r->at;
    while (r->at < r->len && !strchr("()[]:;,'", r->bytes[r->at])) r->at++;
    int64_t end = r->at;
    while (end > first && is_space(r->bytes[end - 1])) end--;
    return (whet_str){r->bytes + first, end - first};
}

/* [label] [: length] behind a node; a label holding a NUL byte ends there and is refused next. */
static whet_status read_tail(reader *r, int64_t node) {
    WHET_TRY(skip(r));
    if (peek(r) == '\'')
        WHET_TRY(read_quoted(r, &r->label[node]));
    else
        r->label[node] = read_bare(r);
    r->label[node] = whet_i_trim(r->label[node]); /* as class lists name it */
    WHET_TRY(skip(r));
    if (peek(r) != ':') return WHET_OK;
    r->at++;
    WHET_TRY(skip(r));
    const int64_t at = r->at;
    const whet_str text = read_bare(r);
    double length;
    if (text.len == 0) return skip(r);
    if (!whet_i_parse_real(text, &length) || isinf(length))
        return fail(r, at, "the length is no number", "a finite number of at least 0");
    if (length < 0) return fail(r, at, "the length is negative", "a finite number of at least 0");
    r->length[node] = length;
    return skip(r);
}

static whet_status add_node(reader *r, int64_t parent) {
    if (r->n == r->cap) {
        const int64_t cap = r->cap ? r->cap * 2 : 64;
        WHET_TRY(whet_i_realloc(r->ctx, &r->parent, cap));
        WHET_TRY(whet_i_realloc(r->ctx, &r->label, cap));
        WHET_TRY(whet_i_realloc(r->ctx, &r->length, cap));
        WHET_TRY(whet_i_realloc(r->ctx, &r->is_leaf, cap));
        r->cap = cap;
    }
    r->parent[r->n] = parent;
    r->label[r->n] = (whet_str){NULL, 0};
    r->length[r->n] = (double)NAN;
    r->is_leaf[r->n++] = true;
    return WHET_OK;
}

/* To the first parenthesis outside a comment. */
static whet_status skip_title(reader *r) {
    while (r->at < r->len && r->bytes[r->at] != '(') {
        if (r->bytes[r->at] == '[')
            WHET_TRY(skip(r));
        else
            r->at++;
    }
    return r->at < r->len ? WHET_OK : fail(r, 0, "no parenthesis", "a Newick tree");
}

/* From the first parenthesis to the semicolon. `open` is the innermost parenthesis' node. */
static whet_status read_tree(reader *r) {
    WHET_TRY(skip_title(r));
    r->at++;
    WHET_TRY(add_node(r, -1));
    r->is_leaf[0] = false;
    int64_t open = 0;
    bool want_node = true; /* a subtree must start here */
    while (open >= 0) {
        WHET_TRY(skip(r));
        const char c = peek(r);
        if (want_node) {
            WHET_TRY(add_node(r, open));
            if (c == '(') {
                open = r->n - 1;
                r->is_leaf[open] = false;
                r->at++;
            } else {
                WHET_TRY(read_tail(r, r->n - 1));
                want_node = false;
            }
        } else if (c == ',') {
            r->at++;
            want_node = true;
        } else if (c == ')') {
            r->at++;
            WHET_TRY(read_tail(r, open));
            open = r->parent[open];
        } else {
            return fail(r, r->at, r->at < r->len ? "a stray character" : "the file ends",
                        "a comma or a closing parenthesis");
        }
    }
    if (peek(r) != ';')
        return fail(r, r->at, r->at < r->len ? "a stray character" : "the file ends",
                    "a semicolon behind the tree");
    r->at++;
    WHET_TRY(skip(r));
    if (r->at < r->len) return fail(r, r->at, "more behind the tree", "one tree");
    return WHET_OK;
}

/* Without any lengths edges are 1 long; of a tree that has some, those without one are 0, as others read
 * them. */
static void fill_lengths(reader *r) {
    int64_t missing = 0;
    for (int64_t i = 1; i < r->n; i++) missing += isnan(r->length[i]);
    const bool none = missing == r->n - 1;
    for (int64_t i = 1; i < r->n; i++)
        if (isnan(r->length[i])) r->length[i] = none ? 1 : 0;
    if (missing && !none)
        whet_i_log(r->ctx, WHET_LOG_WARN,
                   "%s: %lld of %lld edges have no length; expected one of each; taken as 0",
                   r->where, (long long)missing, (long long)r->n - 1);
}

static whet_status publish(reader *r, whet_edges *out) {
    whet_status status = WHET_OK;
    edge_list list = {0};
    whet_names *names = NULL;
    fill_lengths(r);
    for (int64_t i = 1; i < r->n; i++)
        WHET_TRY_DONE(whet_i_edge_add(r->ctx, &list, r->parent[i], i, r->length[i]));
    WHET_TRY_DONE(whet_i_name_nodes(r->ctx, r->where, r->label, r->is_leaf, r->n, &names));
    *out = (whet_edges){names, list.n, list.from, list.to, list.length, true};
    return WHET_OK;
done:
    whet_i_edge_list_free(r->ctx, &list);
    return status;
}

whet_status whet_i_newick_parse(whet_ctx *ctx, const char *where, const char *bytes, int64_t len,
                                whet_edges *out) {
    reader r = {.ctx = ctx, .where = where, .bytes = bytes, .len = len};
    whet_status status = read_tree(&r);
    if (status == WHET_OK) status = publish(&r, out);
    whet_i_free(ctx, r.parent);
    whet_i_free(ctx, r.label);
    whet_i_free(ctx, r.length);
    whet_i_free(ctx, r.is_leaf);
    whet_i_arena_free(ctx, &r.unquoted);
    return status;
}
