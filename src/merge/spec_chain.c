/* SPDX-License-Identifier: Apache-2.0
 * Chains of layers: each reads what the one before it wrote, through functions of single numbers, pools
 * and norms by channel. Convolutions, then linear layers; a flattened image has the places of a channel
 * behind each other. The order is that of the names (chain_names.c); a chain whose widths do not fit is
 * refused, for the names do not tell what it is. */
#include <inttypes.h>
#include <stdio.h>

#include "merge/chain_names.h"

enum { NAME_SIZE = WHET_I_CHAIN_NAME };

typedef whet_i_chain_module module;

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

/* A convolution of each channel by itself. */
static bool is_depthwise(const module *m, int64_t width) {
    return m->rank == 4 && m->columns == 1 && m->rows == width && width > 1;
}

/* What a layer reads of the units before it: as many, or (a linear one behind convolutions) several each. */
static whet_status check_width(const chain *c, const module *m, int64_t width, const char *before) {
    char quoted[WHET_QUOTE_SIZE], other[WHET_QUOTE_SIZE];
    if (is_depthwise(m, width)) return WHET_OK;
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
    if (i > 0 && !last && is_depthwise(m, *width)) { /* its channels are those that it reads */
        WHET_TRY(whet_i_spec_put(c->ctx, c->spec, name, m->rank, *units, rows));
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
    const whet_i_tensors tensors = {.file = file, .prefix = ""};
    (void)arch;
    (void)hints;
    WHET_TRY(whet_i_chain_modules(ctx, &tensors, &c.items, &c.n));
    const whet_status status = put_all(&c);
    whet_i_free(ctx, c.items);
    return status;
}
