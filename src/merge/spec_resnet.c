/* SPDX-License-Identifier: Apache-2.0
 * Residual networks: everything that writes to or reads from a stage's stream is numbered by one group, each
 * block has an inner group of its own. Post-activation (He et al. 2016) and pre-activation (He et al.
 * 2016b, Zagoruyko & Komodakis 2016) name their tensors alike, but differ in whose channels a block's bn1
 * scales: those of conv1's output, or of the stream before it.
 *
 * A shortcut of a convolution begins a new stream. One without parameters (option A) sets as many zero
 * channels before the old ones as behind: in the new stream the old units keep their order, between
 * units of a group that is free. */
#include <inttypes.h>
#include <stdio.h>

#include "merge/align_i.h"

enum { NAME_SIZE = 160, STAGES_MOST = 8, BLOCKS_MOST = 400 };

typedef struct maker {
    whet_ctx *ctx;
    const whet_safetensors *file;
    whet_permutation_spec *spec;
    const char *prefix;
    bool before; /* pre-activation */
    whet_i_piece pieces[WHET_I_PIECES_MAX];
    whet_i_axis stream;
    int64_t width; /* of the stream */
} maker;

static bool find(const maker *m, const char *name, whet_tensor *out) {
    char full[NAME_SIZE + 16];
    (void)snprintf(full, sizeof full, "%s%s", m->prefix, name);
    return whet_safetensors_find(m->file, full, out);
}

bool whet_i_spec_fits_resnet(const whet_safetensors *file) {
    whet_tensor t;
    return (whet_safetensors_find(file, "layer1.0.conv1.weight", &t) ||
            whet_safetensors_find(file, "module.layer1.0.conv1.weight", &t)) &&
           t.rank == 4;
}

static whet_status put(const maker *m, const char *name, int32_t rank, const whet_i_axis *rows,
                       const whet_i_axis *columns, bool unmatched) {
    char full[NAME_SIZE + 16];
    whet_i_spec_tensor t = {.name = full, .rank = rank, .unmatched = unmatched};
    (void)snprintf(full, sizeof full, "%s%s", m->prefix, name);
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
        if (i < 2 || find(m, name, &t)) WHET_TRY(put(m, name, 1, axis, NULL, i >= 2));
    }
    (void)snprintf(name, sizeof name, "%s.num_batches_tracked", module);
    if (find(m, name, &t)) WHET_TRY(put(m, name, t.rank, NULL, NULL, true));
    return WHET_OK;
}

static whet_status convolution(const maker *m, const char *module, const whet_i_axis *rows,
                               const whet_i_axis *columns) {
    char name[NAME_SIZE];
    whet_tensor t;
    (void)snprintf(name, sizeof name, "%s.weight", module);
    WHET_TRY(put(m, name, 4, rows, columns, false));
    (void)snprintf(name, sizeof name, "%s.bias", module);
    return find(m, name, &t) ? put(m, name, 1, rows, NULL, false) : WHET_OK;
}

static whet_status free_group(const maker *m, const char *name, int64_t units, whet_i_piece *out) {
    const whet_i_group g = {.name = name, .units = units};
    int32_t id;
    WHET_TRY(whet_i_spec_group(m->ctx, m->spec, &g, &id));
    *out = (whet_i_piece){id, WHET_I_UNITS, 0, units};
    return WHET_OK;
}

static whet_status rows_of(const maker *m, const char *module, int64_t *rows) {
    char name[NAME_SIZE], quoted[WHET_QUOTE_SIZE];
    whet_tensor t;
    (void)snprintf(name, sizeof name, "%s.weight", module);
    if (!find(m, name, &t) || t.rank != 4)
        return whet_i_fail(m->ctx, WHET_ERR_FORMAT,
                           "resnet: no tensor %s of four dimensions; expected a convolution",
                           whet_i_quote(quoted, whet_str_from(name)));
    *rows = t.shape[0];
    return WHET_OK;
}

/* The stream of `width` channels behind a shortcut without parameters. */
static whet_status widen(maker *m, const char *module, int64_t width) {
    char name[NAME_SIZE];
    whet_i_piece pad;
    const int64_t side = (width - m->width) / 2;
    const int32_t n = m->stream.n;
    if (width < m->width || 2 * side + m->width != width || n + 2 > WHET_I_PIECES_MAX)
        return whet_i_fail(
            m->ctx, WHET_ERR_FORMAT,
            "resnet: %s.conv2 has %" PRId64 " channels behind %" PRId64
            " without a shortcut's tensors; expected as many new ones before as behind",
            module, width, m->width);
    (void)snprintf(name, sizeof name, "%s.padding", module);
    WHET_TRY(free_group(m, name, 2 * side, &pad));
    memmove(m->pieces + 1, m->pieces, (size_t)n * sizeof *m->pieces);
    m->pieces[0] = (whet_i_piece){pad.group, WHET_I_UNITS, 0, side};
    m->pieces[n + 1] = (whet_i_piece){pad.group, WHET_I_UNITS, side, side};
    m->stream = (whet_i_axis){n + 2, m->pieces};
    m->width = width;
    return WHET_OK;
}

/* The stream behind a block, and its shortcut's tensors. */
static whet_status shortcut(maker *m, const char *module, int64_t width) {
    static const char *const names[] = {"shortcut", "downsample"};
    char conv[NAME_SIZE], bn[NAME_SIZE], weight[NAME_SIZE + 8];
    whet_tensor t;
    for (int i = 0; i < 2; i++) {
        (void)snprintf(conv, sizeof conv, "%s.%s.0", module, names[i]);
        (void)snprintf(bn, sizeof bn, "%s.%s.1", module, names[i]);
        (void)snprintf(weight, sizeof weight, "%s.weight", conv);
        if (!find(m, weight, &t)) continue;
        whet_i_piece old[WHET_I_PIECES_MAX], next;
        memcpy(old, m->pieces, sizeof old);
        const whet_i_axis from = {m->stream.n, old};
        WHET_TRY(free_group(m, module, width, &next));
        m->pieces[0] = next;
        m->stream.n = 1;
        m->width = width;
        WHET_TRY(convolution(m, conv, &m->stream, &from));
        (void)snprintf(weight, sizeof weight, "%s.weight", bn);
        return find(m, weight, &t) ? norm(m, bn, &m->stream) : WHET_OK;
    }
    return width == m->width ? WHET_OK : widen(m, module, width);
}

static whet_status block(maker *m, const char *module) {
    char conv1[NAME_SIZE], conv2[NAME_SIZE], bn1[NAME_SIZE], bn2[NAME_SIZE], name[NAME_SIZE];
    whet_i_piece old[WHET_I_PIECES_MAX], piece;
    int64_t inner_width, width;
    (void)snprintf(conv1, sizeof conv1, "%s.conv1", module);
    (void)snprintf(conv2, sizeof conv2, "%s.conv2", module);
    (void)snprintf(bn1, sizeof bn1, "%s.bn1", module);
    (void)snprintf(bn2, sizeof bn2, "%s.bn2", module);
    (void)snprintf(name, sizeof name, "%s.inner", module);
    WHET_TRY(rows_of(m, conv1, &inner_width));
    WHET_TRY(rows_of(m, conv2, &width));
    WHET_TRY(free_group(m, name, inner_width, &piece));
    memcpy(old, m->pieces, sizeof old);
    const whet_i_axis before = {m->stream.n, old}, inner = {1, &piece};
    WHET_TRY(norm(m, bn1, m->before ? &before : &inner));
    WHET_TRY(convolution(m, conv1, &inner, &before));
    WHET_TRY(shortcut(m, module, width));
    WHET_TRY(convolution(m, conv2, &m->stream, &inner));
    return norm(m, bn2, m->before ? &inner : &m->stream);
}

static whet_status head(const maker *m) {
    static const char *const names[] = {"linear", "fc"};
    char weight[NAME_SIZE], bias[NAME_SIZE];
    whet_tensor t;
    for (int i = 0; i < 2; i++) {
        (void)snprintf(weight, sizeof weight, "%s.weight", names[i]);
        (void)snprintf(bias, sizeof bias, "%s.bias", names[i]);
        if (!find(m, weight, &t)) continue;
        WHET_TRY(put(m, weight, 2, NULL, &m->stream, false));
        return find(m, bias, &t) ? put(m, bias, 1, NULL, NULL, false) : WHET_OK;
    }
    return whet_i_fail(m->ctx, WHET_ERR_FORMAT,
                       "resnet: no tensor linear.weight or fc.weight; expected the last layer");
}

static bool find_part(const maker *m, const char *module, const char *part, int32_t rank,
                      whet_tensor *out) {
    char name[NAME_SIZE];
    (void)snprintf(name, sizeof name, "%s.%s.weight", module, part);
    return find(m, name, out) && out->rank == rank;
}

/* Where a block's widths differ: before a convolution its norm has the channels that it reads, behind it
 * those that it writes. 1 = before, 0 = behind, -1 = they do not differ. */
static int is_before_in(const maker *m, const char *module) {
    whet_tensor bn, conv;
    for (int k = 1; k <= 2; k++) {
        if (!find_part(m, module, k == 1 ? "conv1" : "conv2", 4, &conv) ||
            conv.shape[0] == conv.shape[1] || !find_part(m, module, k == 1 ? "bn1" : "bn2", 1, &bn))
            continue;
        return bn.shape[0] == conv.shape[1];
    }
    return -1;
}

/* Told by the first block whose widths differ; else by the first convolution, which a network with norms
 * behind convolutions does not leave without one. The two kinds number bn1 and bn2 of a block by other units,
 * so that nothing is gained by not asking. */
static int is_before(const maker *m) {
    char module[NAME_SIZE - 32];
    whet_tensor t;
    for (int stage = 1; stage <= STAGES_MOST; stage++)
        for (int i = 0; i < BLOCKS_MOST; i++) {
            (void)snprintf(module, sizeof module, "layer%d.%d", stage, i);
            if (!find_part(m, module, "conv1", 4, &t)) break;
            const int found = is_before_in(m, module);
            if (found >= 0) return found;
        }
    return find(m, "bn1.weight", &t) ? -1 : 1;
}

/* The maker of a file, its names with or without what DataParallel sets before them. */
static maker begin(whet_ctx *ctx, const whet_safetensors *file, whet_permutation_spec *spec) {
    whet_tensor t;
    const bool parallel = whet_safetensors_find(file, "module.conv1.weight", &t);
    return (maker){.ctx = ctx, .file = file, .spec = spec, .prefix = parallel ? "module." : ""};
}

bool whet_i_spec_resnet_untold(const whet_safetensors *file) {
    const maker m = begin(NULL, file, NULL);
    return is_before(&m) < 0;
}

whet_status whet_i_spec_resnet(whet_ctx *ctx, const char *arch, const whet_safetensors *file,
                               const whet_permutation_hints *hints, whet_permutation_spec *spec) {
    maker m = begin(ctx, file, spec);
    char module[NAME_SIZE - 32], name[NAME_SIZE];
    whet_tensor t;
    (void)hints;
    const int before = is_before(&m);
    m.before = before < 0 ? strcmp(arch, "wrn") == 0 : before;
    if (find(&m, "layer1.0.conv3.weight", &t))
        return whet_i_fail(
            ctx, WHET_ERR_UNSUPPORTED,
            "resnet: layer1.0 has a conv3: bottleneck blocks, which are not built in; "
            "expected blocks of two convolutions; try a specification as JSON");
    WHET_TRY(rows_of(&m, "conv1", &m.width));
    WHET_TRY(free_group(&m, "stream", m.width, &m.pieces[0]));
    m.stream = (whet_i_axis){1, m.pieces};
    WHET_TRY(convolution(&m, "conv1", &m.stream, NULL));
    if (!m.before) WHET_TRY(norm(&m, "bn1", &m.stream));
    for (int stage = 1; stage <= STAGES_MOST; stage++)
        for (int i = 0; i < BLOCKS_MOST; i++) {
            (void)snprintf(module, sizeof module, "layer%d.%d", stage, i);
            (void)snprintf(name, sizeof name, "%s.conv1.weight", module);
            if (!find(&m, name, &t)) break;
            WHET_TRY(block(&m, module));
        }
    if (m.before && find(&m, "bn1.weight", &t)) WHET_TRY(norm(&m, "bn1", &m.stream));
    return head(&m);
}
