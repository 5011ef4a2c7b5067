/* SPDX-License-Identifier: Apache-2.0
 * GraLoRA (arXiv 2505.20355) as LoRA: output row l q + j of its matrix is the sum over input blocks k and
 * t < s = r / K of B[l][k s + t][j] times column l s + t of A[k]. So column c of A[k] is row k r + c of a
 * LoRA's A, on block k alone, and goes to block c / s of the outputs; MoRe's outputs are interleaved, these
 * are in a row, and the order stands in B. A LoRA of rank h beside it follows behind. */
#include "tune/adapter_parts.h"

typedef struct factors {
    double *a, *b, *general_a, *general_b;
    double *to_a, *to_b; /* [K r + h, in], [out, K r + h] */
} factors;

static whet_status reals_of(whet_ctx *ctx, const whet_tensor *t, double **out) {
    whet_tensor copy;
    if (!t->data) return WHET_OK;
    WHET_TRY(whet_tensor_convert(ctx, t, WHET_F64, &copy));
    *out = copy.data;
    return WHET_OK;
}

static void fill(const whet_i_adapter_shape *s, double scale, int64_t h, const factors *f) {
    const int64_t r = s->rank, each = r / s->blocks, all = s->blocks * r + h;
    for (int64_t k = 0; k < s->blocks; k++)
        for (int64_t c = 0; c < r; c++) {
            const int64_t l = c / each, t = c % each, e = k * r + c;
            for (int64_t i = 0; i < s->p; i++)
                f->to_a[e * s->in + k * s->p + i] = f->a[(k * s->p + i) * r + c];
            for (int64_t j = 0; j < s->q; j++)
                f->to_b[(l * s->q + j) * all + e] = scale * f->b[(l * r + k * each + t) * s->q + j];
        }
    for (int64_t e = 0; e < h; e++) {
        for (int64_t i = 0; i < s->in; i++)
            f->to_a[(s->blocks * r + e) * s->in + i] = f->general_a[e * s->in + i];
        for (int64_t j = 0; j < s->out; j++)
            f->to_b[j * all + s->blocks * r + e] = scale * f->general_b[j * h + e];
    }
}

static whet_status import_layer(whet_ctx *ctx, const whet_i_adapter_layer *layer, int64_t h,
                                const whet_i_layer_parts *parts, whet_adapter *to) {
    const whet_i_adapter_shape *s = &layer->shape;
    factors f = {0};
    int64_t all, n_a, n_b;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(reals_of(ctx, &parts->tensors[WHET_I_PART_FIRST], &f.a));
    WHET_TRY_DONE(reals_of(ctx, &parts->tensors[WHET_I_PART_SECOND], &f.b));
    WHET_TRY_DONE(reals_of(ctx, &parts->tensors[WHET_I_PART_GENERAL_FIRST], &f.general_a));
    WHET_TRY_DONE(reals_of(ctx, &parts->tensors[WHET_I_PART_GENERAL_SECOND], &f.general_b));
    WHET_TRY_DONE(whet_i_mul(ctx, s->blocks, s->rank, &all));
    WHET_TRY_DONE(whet_i_add(ctx, all, h, &all));
    WHET_TRY_DONE(whet_i_mul(ctx, all, s->in, &n_a));
    WHET_TRY_DONE(whet_i_mul(ctx, all, s->out, &n_b));
    WHET_TRY_DONE(whet_i_calloc(ctx, n_a, &f.to_a));
    WHET_TRY_DONE(whet_i_calloc(ctx, n_b, &f.to_b));
    fill(s, layer->scale, h, &f);
    const whet_i_adapter_shape made = {
        .in = s->in, .out = s->out, .blocks = 1, .rank = all, .p = s->in, .q = s->out};
    status = whet_i_adapter_put(ctx, to, layer->module, &made, f.to_a, f.to_b);
done:
    whet_i_free(ctx, f.a);
    whet_i_free(ctx, f.b);
    whet_i_free(ctx, f.general_a);
    whet_i_free(ctx, f.general_b);
    whet_i_free(ctx, f.to_a);
    whet_i_free(ctx, f.to_b);
    return status;
}

whet_status whet_i_gralora_import(whet_ctx *ctx, const whet_adapter *a,
                                  const whet_i_peft_config *config, const whet_i_parts *parts,
                                  whet_adapter **out) {
    whet_adapter *made = NULL;
    whet_status status =
        whet_i_adapter_create(ctx, a->path, false, a->n_layers, a->n_wholes, &made);
    for (int64_t i = 0; status == WHET_OK && i < a->n_layers; i++) {
        const whet_i_adapter_layer *layer = &a->layers[i];
        const int64_t at = whet_names_find(parts->modules, whet_str_from(layer->module));
        status = import_layer(ctx, layer, config->hybrid, &parts->items[at], made);
    }
    for (int64_t i = 0; status == WHET_OK && i < a->n_wholes; i++)
        status = whet_i_adapter_put_whole(ctx, made, &a->wholes[i]);
    if (status == WHET_OK) status = whet_i_adapter_settle(ctx, made, a->json);
    if (status == WHET_OK)
        *out = made;
    else
        whet_adapter_close(ctx, made);
    return status;
}
