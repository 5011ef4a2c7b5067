/* SPDX-License-Identifier: Apache-2.0
 * DoRA (Liu et al. 2024, arXiv 2402.09353) in f64. Row o of a layer is F_o V_o, V = W + s B A and
 * F_o = m_o / |V_o|; LoRA has F = 1. A sum of weighted changes is DoRA's again, of the sum of ranks:
 *   W + sum_i w_i (F_i V_i - W) = G W + L = G (W + L / G),
 *   G = 1 + sum_i w_i (F_i - 1),   L = sum_i w_i F_i s_i B_i A_i,
 * so that the factors are all A_i behind each other and rows of w_i F_i s_i B_i / G, and the magnitude of
 * row o is G_o |(W + L / G)_o|. Legend as in adapter_blocks.h. */
#include <math.h>

#include "tune/adapter_blocks.h"

static double length_of(const double *row, int64_t n) {
    double square = 0;
    for (int64_t i = 0; i < n; i++) square += row[i] * row[i];
    return sqrt(square);
}

/* ---- what DoRA does to rows -------------------------------------------------------------------- */

whet_status whet_i_base_rows(whet_ctx *ctx, const whet_i_weight_files *base,
                             const whet_i_adapter_layer *layer, double **out) {
    char quoted[WHET_QUOTE_SIZE];
    whet_tensor w, copy;
    if (!layer->base || !whet_i_weight_files_find(base, layer->base, &w))
        return whet_i_fail(ctx, WHET_ERR_INTERNAL, "layer %s is not fitted to its base",
                           whet_i_quote(quoted, whet_str_from(layer->module)));
    WHET_TRY(whet_tensor_convert(ctx, &w, WHET_F64, &copy));
    *out = copy.data;
    return WHET_OK;
}

whet_status whet_i_row_factors(whet_ctx *ctx, const whet_i_adapter_layer *l, const double *w,
                               const double *first, const double *second, double *factors) {
    const whet_i_adapter_shape *s = &l->shape;
    whet_tensor m;
    double *row;
    for (int64_t o = 0; o < s->out; o++) factors[o] = 1;
    if (!l->magnitude.data) return WHET_OK;
    WHET_TRY(whet_i_alloc(ctx, s->in, &row));
    const whet_status status = whet_tensor_convert(ctx, &l->magnitude, WHET_F64, &m);
    for (int64_t o = 0; status == WHET_OK && o < s->out; o++) {
        memcpy(row, w + o * s->in, (size_t)s->in * sizeof *row);
        whet_i_factors_row(s, l->scale, first, second, o, row);
        const double length = length_of(row, s->in);
        factors[o] = length > 0 ? ((const double *)m.data)[o] / length : 0;
    }
    if (status == WHET_OK) whet_tensor_destroy(ctx, &m);
    whet_i_free(ctx, row);
    return status;
}

whet_status whet_i_layer_change(whet_ctx *ctx, const whet_i_weight_files *base,
                                const whet_i_adapter_layer *l, double **out) {
    const whet_i_adapter_shape *s = &l->shape;
    double *w = NULL, *first = NULL, *second = NULL, *factors = NULL, *d = NULL;
    whet_status status = WHET_OK;
    if (!l->magnitude.data) return whet_i_layer_matrix(ctx, l, out);
    WHET_TRY_DONE(whet_i_base_rows(ctx, base, l, &w));
    WHET_TRY_DONE(whet_i_adapter_factors(ctx, l, &first, &second));
    WHET_TRY_DONE(whet_i_alloc(ctx, s->out, &factors));
    WHET_TRY_DONE(whet_i_row_factors(ctx, l, w, first, second, factors));
    WHET_TRY_DONE(whet_i_layer_matrix(ctx, l, &d));
    for (int64_t k = 0; k < s->out * s->in; k++) {
        const double factor = factors[k / s->in];
        d[k] = factor * d[k] + (factor - 1) * w[k];
    }
    *out = d;
done:
    whet_i_free(ctx, factors);
    whet_i_free(ctx, second);
    whet_i_free(ctx, first);
    whet_i_free(ctx, w);
    return status;
}

/* ---- rows as DoRA ------------------------------------------------------------------------------ */

/* What the base's row is multiplied by: any number where it is nothing. */
static double share_of(const double *w, double g, int64_t in) {
    for (int64_t i = 0; i < in; i++)
        if (w[i] != 0) return g;
    return 1;
}

/* b = b / g, which no factor of a row that the base has no part in would be. */
static whet_status divide_row(whet_ctx *ctx, const char *module, int64_t row, double g, double *b,
                              int64_t rank) {
    char quoted[WHET_QUOTE_SIZE];
    for (int64_t t = 0; t < rank; t++) {
        if (b[t] == 0) continue;
        b[t] /= g;
        if (!isfinite((float)b[t]))
            return whet_i_fail(ctx, WHET_ERR_NUMERIC,
                               "layer %s: nothing is left of the base in row %lld, which DoRA "
                               "cannot be; expected other weights; try whet tune merge",
                               whet_i_quote(quoted, whet_str_from(module)), (long long)row);
    }
    return WHET_OK;
}

/* Magnitudes of the layer put last, of the factors as they were rounded. */
static whet_status put_magnitude(whet_ctx *ctx, whet_adapter *to, const double *w,
                                 const double *g) {
    const whet_i_adapter_layer *l = &to->layers[to->n_layers - 1];
    const whet_i_adapter_shape *s = &l->shape;
    double *first = NULL, *second = NULL, *row = NULL, *m = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_adapter_factors(ctx, l, &first, &second));
    WHET_TRY_DONE(whet_i_alloc(ctx, s->in, &row));
    WHET_TRY_DONE(whet_i_alloc(ctx, s->out, &m));
    for (int64_t o = 0; o < s->out; o++) {
        memcpy(row, w + o * s->in, (size_t)s->in * sizeof *row);
        whet_i_factors_row(s, 1, first, second, o, row);
        m[o] = share_of(w + o * s->in, g[o], s->in) * length_of(row, s->in);
    }
    status = whet_i_adapter_put_magnitude(ctx, to, m);
done:
    whet_i_free(ctx, m);
    whet_i_free(ctx, row);
    whet_i_free(ctx, second);
    whet_i_free(ctx, first);
    return status;
}

whet_status whet_i_dora_put(whet_ctx *ctx, whet_adapter *to, const char *module,
                            const whet_i_adapter_shape *s, const double *w, const double *g,
                            const double *a, double *b) {
    for (int64_t o = 0; o < s->out; o++)
        WHET_TRY(divide_row(ctx, module, o, share_of(w + o * s->in, g[o], s->in), b + o * s->rank,
                            s->rank));
    WHET_TRY(whet_i_adapter_put(ctx, to, module, s, a, b));
    return put_magnitude(ctx, to, w, g);
}
