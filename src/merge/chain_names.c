/* SPDX-License-Identifier: Apache-2.0
 * Names of chains. Layers are in the order of their names, runs of digits by their value (layer0, layer1;
 * features.0, features.3), convolutions first. A norm whose name is a number has its place among them; one of
 * another name and a number (bn1) stands behind the layer of that number beside it (conv1). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "merge/chain_names.h"

typedef whet_i_chain_module module;

/* ---- names --------------------------------------------------------------------------------------------- */

/* By text, runs of digits by their value. */
static int compare_names(const char *a, const char *b) {
    while (*a && *b) {
        if (whet_i_is_digit(*a) && whet_i_is_digit(*b)) {
            char *end_a, *end_b;
            const unsigned long long x = strtoull(a, &end_a, 10), y = strtoull(b, &end_b, 10);
            if (x != y) return x < y ? -1 : 1;
            a = end_a;
            b = end_b;
        } else if (*a != *b) {
            return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
        } else {
            a++;
            b++;
        }
    }
    return (*a != 0) - (*b != 0);
}

/* Bytes of "features." of "features.norm3". */
static size_t parent_of(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot ? (size_t)(dot - name) + 1 : 0;
}

static bool same_parent(const module *a, const module *b) {
    const size_t n = parent_of(a->name);
    return n == parent_of(b->name) && strncmp(a->name, b->name, n) == 0;
}

/* Where the number at the end of a name begins, or numbers (conv1_2): its length without one. */
static size_t number_at(const char *name) {
    const size_t parent = parent_of(name), length = strlen(name);
    size_t n = length;
    if (length == 0 || !whet_i_is_digit(name[length - 1])) return length;
    while (n > parent && (whet_i_is_digit(name[n - 1]) || name[n - 1] == '_')) n--;
    return n;
}

static bool has_number(const module *m) { return m->name[number_at(m->name)] != '\0'; }

/* "features.3", as nn.Sequential names its parts. */
static bool is_numbered(const module *m) {
    return has_number(m) && number_at(m->name) == parent_of(m->name);
}

/* ---- modules ------------------------------------------------------------------------------------------- */

typedef struct lister {
    whet_ctx *ctx;
    const whet_i_tensors *tensors;
    module *items;
    int64_t n;
} lister;

static whet_status add_module(lister *l, whet_str tensor) {
    char name[WHET_I_CHAIN_NAME], quoted[WHET_QUOTE_SIZE];
    whet_tensor t = {0};
    if (tensor.len >= WHET_I_CHAIN_NAME || memchr(tensor.ptr, 0, (size_t)tensor.len))
        return whet_i_fail(l->ctx, WHET_ERR_FORMAT,
                           "tensor %s has a name of %" PRId64 " bytes; expected fewer than %d",
                           whet_i_quote(quoted, tensor), tensor.len, (int)WHET_I_CHAIN_NAME);
    (void)snprintf(name, sizeof name, "%.*s", (int)tensor.len, tensor.ptr);
    char *dot = strrchr(name, '.');
    if (!dot)
        return whet_i_fail(l->ctx, WHET_ERR_FORMAT,
                           "tensor %s is of no module; expected names such as \"layer0.weight\"",
                           whet_i_quote(quoted, tensor));
    *dot = 0;
    for (int64_t i = 0; i < l->n; i++)
        if (strcmp(l->items[i].name, name) == 0) return WHET_OK;
    module *m = &l->items[l->n++];
    memcpy(m->name, name, sizeof name);
    memcpy(m->anchor, name, sizeof name);
    if (whet_i_tensors_find(l->tensors, name, "weight", 0, &t)) {
        m->rank = t.rank;
        m->rows = t.rank > 0 ? t.shape[0] : 0;
        m->columns = t.rank > 1 ? t.shape[1] : 0;
        m->size = t.rank == 4 && t.shape[2] == t.shape[3] ? t.shape[2] : 0;
        m->late = t.rank == 2;
    }
    if (m->rank != 1 && m->rank != 2 && m->rank != 4)
        return whet_i_fail(
            l->ctx, WHET_ERR_FORMAT,
            "chain of layers: module %s has a weight of %d dimensions; expected 1, 2 "
            "or 4",
            whet_i_quote(quoted, whet_str_from(name)), (int)m->rank);
    return WHET_OK;
}

/* ---- norms --------------------------------------------------------------------------------------------- */

/* A number among linear layers alone is a place among those. */
static void place_numbered(const lister *l, module *norm) {
    bool linear = false, convolution = false;
    for (int64_t i = 0; i < l->n; i++) {
        const module *m = &l->items[i];
        if (!same_parent(m, norm)) continue;
        linear = linear || m->rank == 2;
        convolution = convolution || m->rank == 4;
    }
    norm->late = linear && !convolution;
}

/* bn1 stands behind conv1, where that is the only layer of its number and width. */
static whet_status place_named(const lister *l, module *norm) {
    char quoted[WHET_QUOTE_SIZE], first[WHET_QUOTE_SIZE], second[WHET_QUOTE_SIZE];
    const module *found = NULL;
    for (int64_t i = 0; i < l->n; i++) {
        const module *m = &l->items[i];
        if (m->rank == 1 || !has_number(m) || is_numbered(m) || !same_parent(m, norm) ||
            compare_names(m->name + number_at(m->name), norm->name + number_at(norm->name)) != 0 ||
            m->rows != norm->rows)
            continue;
        if (found)
            return whet_i_fail(l->ctx, WHET_ERR_FORMAT,
                               "chain of layers: norm %s may stand behind %s and %s; expected one "
                               "layer of its number and width; try a specification as JSON",
                               whet_i_quote(quoted, whet_str_from(norm->name)),
                               whet_i_quote(first, whet_str_from(found->name)),
                               whet_i_quote(second, whet_str_from(m->name)));
        found = m;
    }
    if (!found) return WHET_OK;
    memcpy(norm->anchor, found->name, sizeof norm->anchor);
    norm->late = found->rank == 2;
    return WHET_OK;
}

static whet_status place_norms(const lister *l) {
    for (int64_t i = 0; i < l->n; i++) {
        module *m = &l->items[i];
        if (m->rank != 1 || !has_number(m)) continue;
        if (is_numbered(m))
            place_numbered(l, m);
        else
            WHET_TRY(place_named(l, m));
    }
    return WHET_OK;
}

static int compare_modules(const void *a, const void *b) {
    const module *x = a, *y = b;
    if (x->late != y->late) return x->late ? 1 : -1;
    const int layers = compare_names(x->anchor, y->anchor);
    if (layers != 0) return layers;
    const bool behind_x = strcmp(x->anchor, x->name) != 0;
    const bool behind_y = strcmp(y->anchor, y->name) != 0;
    return behind_x != behind_y ? (behind_x ? 1 : -1) : compare_names(x->name, y->name);
}

whet_status whet_i_chain_modules(whet_ctx *ctx, const whet_i_tensors *t, whet_i_chain_module **out,
                                 int64_t *n) {
    lister l = {.ctx = ctx, .tensors = t};
    const int64_t count = whet_i_tensors_count(t);
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_calloc(ctx, count, &l.items));
    for (int64_t i = 0; status == WHET_OK && i < count; i++)
        status = add_module(&l, whet_i_tensors_name(t, i));
    if (status == WHET_OK) status = place_norms(&l);
    if (status != WHET_OK) {
        whet_i_free(ctx, l.items);
        return status;
    }
    qsort(l.items, (size_t)l.n, sizeof *l.items, compare_modules);
    *out = l.items;
    *n = l.n;
    return WHET_OK;
}
