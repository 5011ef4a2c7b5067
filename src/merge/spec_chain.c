/* SPDX-License-Identifier: Apache-2.0
 * Chains of layers: each reads what the one before it wrote, through functions of single numbers, pools
 * and norms by channel. Convolutions, then linear layers; a flattened image has the places of a channel
 * behind each other. The order is that of the numbers in the names (layer0, layer1; features.0,
 * features.3), convolutions first; a chain whose widths do not fit is refused, for the names do not tell
 * what it is. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "merge/align_i.h"

enum { NAME_SIZE = 192 };

typedef struct module {
    char name[NAME_SIZE];
    int32_t rank; /* of its weight; 0 = it has none */
    int64_t rows, columns;
} module;

typedef struct chain {
    whet_ctx *ctx;
    const whet_safetensors *file;
    whet_permutation_spec *spec;
    module *items;
    int64_t n;
    int32_t before; /* dimensions of the last layer's weight */
} chain;

static bool find(const chain *c, const char *of, const char *part, whet_tensor *out) {
    char name[NAME_SIZE + 32];
    (void)snprintf(name, sizeof name, "%s.%s", of, part);
    return whet_safetensors_find(c->file, name, out);
}

/* ---- the order of modules ---------------------------------------------------------------------- */

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

/* Convolutions and norms by name, then linear layers by name. */
static int compare_modules(const void *a, const void *b) {
    const module *x = a, *y = b;
    const bool linear_x = x->rank == 2, linear_y = y->rank == 2;
    if (linear_x != linear_y) return linear_x ? 1 : -1;
    return compare_names(x->name, y->name);
}

static whet_status add_module(chain *c, whet_str tensor) {
    char name[NAME_SIZE], quoted[WHET_QUOTE_SIZE];
    whet_tensor t = {0};
    if (tensor.len >= NAME_SIZE || memchr(tensor.ptr, 0, (size_t)tensor.len))
        return whet_i_fail(c->ctx, WHET_ERR_FORMAT,
                           "tensor %s has a name of %" PRId64 " bytes; expected fewer than %d",
                           whet_i_quote(quoted, tensor), tensor.len, (int)NAME_SIZE);
    (void)snprintf(name, sizeof name, "%.*s", (int)tensor.len, tensor.ptr);
    char *dot = strrchr(name, '.');
    if (!dot)
        return whet_i_fail(c->ctx, WHET_ERR_FORMAT,
                           "tensor %s is of no module; expected names such as \"layer0.weight\"",
                           whet_i_quote(quoted, tensor));
    *dot = 0;
    for (int64_t i = 0; i < c->n; i++)
        if (strcmp(c->items[i].name, name) == 0) return WHET_OK;
    module *m = &c->items[c->n++];
    memcpy(m->name, name, sizeof name);
    if (find(c, name, "weight", &t)) {
        m->rank = t.rank;
        m->rows = t.rank > 0 ? t.shape[0] : 0;
        m->columns = t.rank > 1 ? t.shape[1] : 0;
    }
    if (m->rank != 1 && m->rank != 2 && m->rank != 4)
        return whet_i_fail(
            c->ctx, WHET_ERR_FORMAT,
            "chain of layers: module %s has a weight of %d dimensions; expected 1, 2 "
            "or 4",
            whet_i_quote(quoted, whet_str_from(name)), (int)m->rank);
    return WHET_OK;
}

bool whet_i_spec_fits_chain(const whet_safetensors *file) {
    const int64_t n = whet_safetensors_count(file);
    for (int64_t i = 0; i < n; i++) {
        const whet_str name = whet_safetensors_name(file, i);
        if (!memchr(name.ptr, '.', (size_t)name.len)) return false;
    }
    return n > 0;
}

/* ---- the chain ----------------------------------------------------------------------------------- */

/* A module's other tensors lie along its rows. */
static whet_status put_vectors(const chain *c, const module *m, whet_i_piece rows) {
    static const struct {
        const char *part;
        bool unmatched;
    } parts[] = {{"bias", false}, {"running_mean", true}, {"running_var", true}};
    char name[NAME_SIZE + 32];
    whet_tensor t;
    for (int i = 0; i < 3; i++) {
        if (!find(c, m->name, parts[i].part, &t)) continue;
        (void)snprintf(name, sizeof name, "%s.%s", m->name, parts[i].part);
        const whet_i_spec_tensor v = {.name = name,
                                      .rank = 1,
                                      .axes = {{rows.group < 0 ? 0 : 1, &rows}},
                                      .unmatched = parts[i].unmatched};
        WHET_TRY(whet_i_spec_tensor_add(c->ctx, c->spec, &v));
    }
    (void)snprintf(name, sizeof name, "%s.num_batches_tracked", m->name);
    if (!whet_safetensors_find(c->file, name, &t)) return WHET_OK;
    const whet_i_spec_tensor counter = {.name = name, .rank = t.rank, .unmatched = true};
    return whet_i_spec_tensor_add(c->ctx, c->spec, &counter);
}

/* What a layer reads of the units before it: as many, or (a linear one behind convolutions) several each. */
static whet_status check_width(const chain *c, const module *m, int64_t width, const char *before) {
    char quoted[WHET_QUOTE_SIZE], other[WHET_QUOTE_SIZE];
    if (m->rank == 1 ? m->rows == width
                     : m->columns == width ||
                           (m->rank == 2 && c->before == 4 && width > 0 && m->columns % width == 0))
        return WHET_OK;
    return whet_i_fail(
        c->ctx, WHET_ERR_FORMAT,
        "chain of layers: %s reads %" PRId64 " numbers behind %s, which writes %" PRId64
        "; expected layers that follow each other in the order of their names; try a "
        "specification as JSON",
        whet_i_quote(quoted, whet_str_from(m->name)), m->rank == 1 ? m->rows : m->columns,
        whet_i_quote(other, whet_str_from(before)), width);
}

static whet_status put_module(chain *c, int64_t i, bool last, whet_i_piece *units, int64_t *width) {
    const module *m = &c->items[i];
    char name[NAME_SIZE + 32];
    whet_i_piece rows = {-1, 0, 0, 0};
    if (i > 0) WHET_TRY(check_width(c, m, *width, c->items[i - 1].name));
    (void)snprintf(name, sizeof name, "%s.weight", m->name);
    if (m->rank == 1) {
        WHET_TRY(whet_i_spec_put(c->ctx, c->spec, name, 1, *units, rows));
        return put_vectors(c, m, *units);
    }
    if (!last) {
        const whet_i_group g = {.name = m->name, .units = m->rows};
        WHET_TRY(whet_i_spec_group(c->ctx, c->spec, &g, &rows.group));
    }
    WHET_TRY(whet_i_spec_put(c->ctx, c->spec, name, m->rank, rows, *units));
    WHET_TRY(put_vectors(c, m, rows));
    *units = rows;
    *width = m->rows;
    c->before = m->rank;
    return WHET_OK;
}

static whet_status put_all(chain *c) {
    whet_i_piece units = {-1, 0, 0, 0};
    int64_t width = 0, last = c->n - 1;
    while (last >= 0 && c->items[last].rank == 1) last--;
    if (last < 1 || c->items[0].rank == 1)
        return whet_i_fail(c->ctx, WHET_ERR_FORMAT,
                           "chain of layers: %" PRId64
                           " modules; expected two layers at least, the "
                           "first of them no norm",
                           c->n);
    for (int64_t i = 0; i < c->n; i++) WHET_TRY(put_module(c, i, i == last, &units, &width));
    return WHET_OK;
}

whet_status whet_i_spec_chain(whet_ctx *ctx, const char *arch, const whet_safetensors *file,
                              const whet_permutation_hints *hints, whet_permutation_spec *spec) {
    chain c = {.ctx = ctx, .file = file, .spec = spec};
    whet_status status = WHET_OK;
    (void)arch;
    (void)hints;
    WHET_TRY(whet_i_calloc(ctx, whet_safetensors_count(file), &c.items));
    for (int64_t i = 0; i < whet_safetensors_count(file); i++)
        WHET_TRY_DONE(add_module(&c, whet_safetensors_name(file, i)));
    qsort(c.items, (size_t)c.n, sizeof *c.items, compare_modules);
    WHET_TRY_DONE(put_all(&c));
done:
    whet_i_free(ctx, c.items);
    return status;
}
