/* SPDX-License-Identifier: Apache-2.0
 * Residual networks: everything that writes to or reads from a stage's stream is numbered by one group, each
 * block has an inner group of its own. Post-activation (He et al. 2016) and pre-activation (He et al.
 * 2016b, Zagoruyko & Komodakis 2016) name their tensors alike, but differ in whose channels a block's bn1
 * scales: those of conv1's output, or of the stream before it.
 *
 * A convolution in groups of channels, inside a bottleneck (ResNeXt: Xie et al. 2017), keeps the function
 * when its groups move whole, with the channels that they read, and channels that a group writes move
 * inside it: as heads move, of which the queries stay in order inside and the values do not. What a group
 * reads would have to move inside it with the columns of that group's filters alone, which is no order of an
 * axis: it stays as it is, which is told. Groups of one channel (depthwise) are channels that move freely.
 *
 * A shortcut of a convolution begins a new stream. One without parameters (option A) sets as many zero
 * channels before the old ones as behind: in the new stream the old units keep their order, between
 * units of a group that is free. */
#include <inttypes.h>
#include <stdio.h>

#include "merge/residual_names.h"

enum { NAME_SIZE = 160 };

typedef struct maker {
    whet_ctx *ctx;
    whet_i_tensors file;
    whet_permutation_spec *spec;
    bool before; /* pre-activation */
    whet_i_piece pieces[WHET_I_PIECES_MAX];
    whet_i_axis stream;
    int64_t width; /* of the stream */
    char kept
        [WHET_I_RESIDUAL_NAME]; /* the first of `n_kept` convolutions that read groups in their order */
    int64_t n_kept;
} maker;

bool whet_i_spec_fits_resnet(const whet_safetensors *file) {
    const whet_i_tensors t = whet_i_tensors_of_file(file);
    return whet_i_residual_named(&t);
}

static whet_status put(const maker *m, const char *name, int32_t rank, const whet_i_axis *rows,
                       const whet_i_axis *columns, bool unmatched) {
    char full[NAME_SIZE + 16];
    whet_i_spec_tensor t = {.name = full, .rank = rank, .unmatched = unmatched};
    (void)snprintf(full, sizeof full, "%s%s", m->file.prefix, name);
    if (rows) t.axes[0] = *rows;
    if (columns) t.axes[1] = *columns;
    return whet_i_spec_tensor_add(m->ctx, m->spec, &t);
}

/* weight and bias, and what BatchNorm has beside them. */
static whet_status norm(const maker *m, const char *module, const whet_i_axis *axis) {
    static const char *const parts[] = {"weight", "bias", "running_mean", "running_var"};
    char name[NAME_SIZE];
    whet_tensor t;
    for (int i = 0; i < 4; i++) {
        (void)snprintf(name, sizeof name, "%s.%s", module, parts[i]);
        if (i < 2 || whet_i_tensors_find(&m->file, module, parts[i], 0, NULL))
            WHET_TRY(put(m, name, 1, axis, NULL, i >= 2));
    }
    (void)snprintf(name, sizeof name, "%s.num_batches_tracked", module);
    return whet_i_tensors_find(&m->file, module, "num_batches_tracked", 0, &t)
               ? put(m, name, t.rank, NULL, NULL, true)
               : WHET_OK;
}

/* A layer's weight of `rank` dimensions, and its bias where there is one. */
static whet_status layer(const maker *m, const char *module, int32_t rank, const whet_i_axis *rows,
                         const whet_i_axis *columns) {
    char name[NAME_SIZE];
    (void)snprintf(name, sizeof name, "%s.weight", module);
    WHET_TRY(put(m, name, rank, rows, columns, false));
    (void)snprintf(name, sizeof name, "%s.bias", module);
    return whet_i_tensors_find(&m->file, module, "bias", 0, NULL)
               ? put(m, name, 1, rows, NULL, false)
               : WHET_OK;
}

static whet_status free_group(const maker *m, const char *name, int64_t units, whet_i_piece *out) {
    const whet_i_group g = {.name = name, .units = units};
    int32_t id;
    WHET_TRY(whet_i_spec_group(m->ctx, m->spec, &g, &id));
    *out = (whet_i_piece){id, WHET_I_UNITS, 0, units};
    return WHET_OK;
}

/* The stream of `width` channels behind a shortcut without parameters. */
static whet_status widen(maker *m, const whet_i_residual_block *b, int64_t width) {
    char name[NAME_SIZE];
    whet_i_piece pad;
    const int64_t side = (width - m->width) / 2;
    const int32_t n = m->stream.n;
    if (width < m->width || 2 * side + m->width != width || n + 2 > WHET_I_PIECES_MAX)
        return whet_i_fail(
            m->ctx, WHET_ERR_FORMAT,
            "resnet: %s has %" PRId64 " channels behind %" PRId64
            " without a shortcut's tensors; expected as many new ones before as behind",
            b->convs[b->convolutions - 1], width, m->width);
    (void)snprintf(name, sizeof name, "%s.padding", b->module);
    WHET_TRY(free_group(m, name, 2 * side, &pad));
    memmove(m->pieces + 1, m->pieces, (size_t)n * sizeof *m->pieces);
    m->pieces[0] = (whet_i_piece){pad.group, WHET_I_UNITS, 0, side};
    m->pieces[n + 1] = (whet_i_piece){pad.group, WHET_I_UNITS, side, side};
    m->stream = (whet_i_axis){n + 2, m->pieces};
    m->width = width;
    return WHET_OK;
}

/* The stream behind a block, and its shortcut's tensors. */
static whet_status shortcut(maker *m, const whet_i_residual_block *b) {
    const int64_t width = b->widths[b->convolutions - 1];
    if (!b->shortcut) return width == m->width ? WHET_OK : widen(m, b, width);
    whet_i_piece old[WHET_I_PIECES_MAX], next;
    memcpy(old, m->pieces, sizeof old);
    const whet_i_axis from = {m->stream.n, old};
    WHET_TRY(free_group(m, b->module, width, &next));
    m->pieces[0] = next;
    m->stream.n = 1;
    m->width = width;
    WHET_TRY(layer(m, b->shortcut_conv, 4, &m->stream, &from));
    return whet_i_tensors_find(&m->file, b->shortcut_norm, "weight", 0, NULL)
               ? norm(m, b->shortcut_norm, &m->stream)
               : WHET_OK;
}

/* ---- convolutions in groups of channels --------------------------------------------------------------- */

/* In how many groups the k-th convolution of a block reads `width` channels. */
static whet_status groups_of(const maker *m, const whet_i_residual_block *b, int32_t k,
                             int64_t width, int64_t *out) {
    char quoted[WHET_QUOTE_SIZE];
    whet_tensor t;
    *out = 1;
    if (!whet_i_tensors_find(&m->file, b->convs[k], "weight", 4, &t) || t.shape[1] == width)
        return WHET_OK;
    const bool inside = k > 0 && k < b->convolutions - 1 && b->widths[k] == width;
    *out = t.shape[1] > 0 && width % t.shape[1] == 0 ? width / t.shape[1] : 0;
    if (inside && *out > 0) return WHET_OK;
    return whet_i_fail(
        m->ctx, WHET_ERR_FORMAT,
        "resnet: %s reads %" PRId64 " channels of the %" PRId64
        " before it; expected all of them, or groups inside of a bottleneck, of as many "
        "channels as they write",
        whet_i_quote(quoted, whet_str_from(b->convs[k])), t.shape[1], width);
}

/* What numbers the channels that a convolution of a block writes, and the next one reads. */
typedef struct inner {
    whet_i_piece written, read;
} inner;

/* The channels between which the k-th convolution stands: before [0], behind [1] it. */
static whet_status grouped(maker *m, const whet_i_residual_block *b, int32_t k, int64_t groups,
                           inner out[2]) {
    char name[NAME_SIZE];
    const int64_t size = b->widths[k] / groups;
    (void)snprintf(name, sizeof name, "%s.groups", b->module);
    if (size == 1) {
        WHET_TRY(free_group(m, name, groups, &out[0].written));
        out[0].read = out[1].read = out[1].written = out[0].written;
        return WHET_OK;
    }
    const whet_i_group g = {
        .name = name, .attention = true, .heads = groups, .kv = groups, .size = size};
    int32_t id;
    WHET_TRY(whet_i_spec_group(m->ctx, m->spec, &g, &id));
    out[0].written = out[0].read = (whet_i_piece){id, WHET_I_QUERY, 0, 0};
    out[1].written = (whet_i_piece){id, WHET_I_VALUE, 0, 0};
    out[1].read = (whet_i_piece){id, WHET_I_MIXED, 0, 0};
    if (m->n_kept++ == 0) memcpy(m->kept, b->convs[k], sizeof m->kept);
    return WHET_OK;
}

/* Channels between the convolutions of a block: out [convolutions - 1]; groups [convolutions]. */
static whet_status number_inner(maker *m, const whet_i_residual_block *b, int64_t *groups,
                                inner *out) {
    char name[NAME_SIZE];
    const int32_t last = b->convolutions - 1;
    for (int32_t k = 0; k <= last; k++)
        WHET_TRY(groups_of(m, b, k, k ? b->widths[k - 1] : m->width, &groups[k]));
    if (last == 2 && groups[1] > 1) return grouped(m, b, 1, groups[1], out);
    for (int32_t k = 0; k < last; k++) {
        (void)snprintf(name, sizeof name, k ? "%s.inner%d" : "%s.inner", b->module, (int)k + 1);
        WHET_TRY(free_group(m, name, b->widths[k], &out[k].written));
        out[k].read = out[k].written;
    }
    return WHET_OK;
}

/* ---- blocks ------------------------------------------------------------------------------------------- */

/* From the stream through inner units to the stream; norms are numbered as the convolution's columns, or as
 * its rows. */
static whet_status block(maker *m, const whet_i_residual_block *b) {
    whet_i_piece old[WHET_I_PIECES_MAX];
    inner between[WHET_I_BLOCK_CONVOLUTIONS_MOST];
    int64_t groups[WHET_I_BLOCK_CONVOLUTIONS_MOST];
    const int32_t last = b->convolutions - 1;
    memcpy(old, m->pieces, sizeof old);
    whet_i_axis read = {m->stream.n, old};
    WHET_TRY(number_inner(m, b, groups, between));
    for (int32_t k = 0; k <= last; k++) {
        if (k == last) WHET_TRY(shortcut(m, b));
        const whet_i_axis written = k == last ? m->stream : (whet_i_axis){1, &between[k].written};
        WHET_TRY(layer(m, b->convs[k], 4, &written, groups[k] > 1 ? NULL : &read));
        WHET_TRY(norm(m, b->norms[k], m->before ? &read : &written));
        if (k < last) read = (whet_i_axis){1, &between[k].read};
    }
    return WHET_OK;
}

static whet_status blocks(maker *m) {
    whet_i_residual_block b;
    for (int stage = 1; stage <= WHET_I_STAGES_MOST; stage++)
        for (int i = 0; i < WHET_I_BLOCKS_MOST; i++) {
            bool there;
            WHET_TRY(whet_i_residual_block_of(m->ctx, &m->file, stage, i, &there, &b));
            if (!there) break;
            WHET_TRY(block(m, &b));
        }
    return WHET_OK;
}

bool whet_i_spec_resnet_untold(const whet_safetensors *file) {
    const whet_i_tensors t = whet_i_tensors_of_file(file);
    return whet_i_residual_before(&t) < 0;
}

whet_status whet_i_spec_resnet(whet_ctx *ctx, const char *arch, const whet_safetensors *file,
                               const whet_permutation_hints *hints, whet_permutation_spec *spec) {
    maker m = {.ctx = ctx, .file = whet_i_tensors_of_file(file), .spec = spec};
    const whet_i_residual_ends ends = whet_i_residual_ends_of(&m.file);
    whet_tensor t;
    (void)hints;
    m.before = whet_i_residual_is_before(&m.file, arch);
    if (!whet_i_tensors_find(&m.file, ends.stem, "weight", 4, &t))
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "resnet: no tensor \"conv1.weight\" of four dimensions; expected a "
                           "convolution");
    m.width = t.shape[0];
    WHET_TRY(free_group(&m, "stream", m.width, &m.pieces[0]));
    m.stream = (whet_i_axis){1, m.pieces};
    WHET_TRY(layer(&m, ends.stem, 4, &m.stream, NULL));
    if (!m.before) WHET_TRY(norm(&m, ends.stem_norm, &m.stream));
    WHET_TRY(blocks(&m));
    if (m.before && whet_i_tensors_find(&m.file, ends.stem_norm, "weight", 0, NULL))
        WHET_TRY(norm(&m, ends.stem_norm, &m.stream));
    if (!ends.head)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "resnet: no tensor linear.weight or fc.weight; expected the last layer");
    if (m.n_kept)
        whet_i_log(
            ctx, WHET_LOG_INFO,
            "%s%s reads groups of channels: they move whole, and what each reads keeps its order "
            "inside",
            m.kept, m.n_kept > 1 ? " (and others)" : "");
    return layer(&m, ends.head, 2, NULL, &m.stream);
}
