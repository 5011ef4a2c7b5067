/* SPDX-License-Identifier: Apache-2.0
 * The weights of a merged model, file by file: rows of adapted weights are summed in f64 and rounded
 * once; what no adapter changes is copied. In memory is a piece of one tensor and the factors of its
 * layers. Legend: W the base's row, D = scale M, w the weight of an adapter. */
#include <math.h>

#include "tune/adapter_merge.h"

enum { PIECE = 1 << 20 }; /* numbers */

/* One adapter's part of a tensor. */
typedef struct part {
    const whet_i_adapter_layer *layer;
    double weight;
    double *first, *second;
    whet_tensor magnitude; /* f64, or no data */
} part;

typedef struct rows {
    const part *parts;
    int64_t n_parts, in;
    int64_t first;  /* row of `values` in the tensor */
    double *values; /* [n, in] the base's, then the sums */
    double *space;  /* [workers, 2 in] */
} rows;

/* ---- rows ------------------------------------------------------------------------------------- */

/* sum += w (W_adapter - W) */
static void add_part(const part *p, int64_t row, int64_t in, const double *base, double *change,
                     double *sum) {
    const whet_i_adapter_layer *l = p->layer;
    memset(change, 0, (size_t)in * sizeof *change);
    whet_i_factors_row(&l->shape, l->scale, p->first, p->second, row, change);
    if (p->magnitude.data) {
        double square = 0;
        for (int64_t i = 0; i < in; i++) square += (base[i] + change[i]) * (base[i] + change[i]);
        const double m = ((const double *)p->magnitude.data)[row];
        const double factor = square > 0 ? m / sqrt(square) : 0;
        for (int64_t i = 0; i < in; i++) change[i] = factor * (base[i] + change[i]) - base[i];
    }
    for (int64_t i = 0; i < in; i++) sum[i] += p->weight * change[i];
}

static void merge_row(void *arg, int64_t i, int32_t worker) {
    const rows *r = arg;
    double *row = r->values + i * r->in, *sum = r->space + 2 * r->in * worker;
    memset(sum, 0, (size_t)r->in * sizeof *sum);
    for (int64_t p = 0; p < r->n_parts; p++)
        add_part(&r->parts[p], r->first + i, r->in, row, sum + r->in, sum);
    for (int64_t c = 0; c < r->in; c++) row[c] += sum[c];
}

/* ---- pieces ----------------------------------------------------------------------------------- */

static whet_status to_reals(whet_ctx *ctx, const whet_tensor *t, double **out) {
    whet_tensor copy;
    WHET_TRY(whet_tensor_convert(ctx, t, WHET_F64, &copy));
    *out = copy.data;
    return WHET_OK;
}

static whet_status write_reals(whet_ctx *ctx, const whet_i_merged_tensor *t, double *values,
                               int64_t n, whet_out *out) {
    const whet_tensor view = {.data = values, .dtype = WHET_F64, .rank = 1, .shape = {n}};
    char quoted[WHET_QUOTE_SIZE];
    whet_tensor rounded;
    whet_status status = whet_i_array_convert(ctx, whet_i_quote(quoted, whet_str_from(t->name)),
                                              &view, 0, t->dtype, true, &rounded);
    if (status == WHET_ERR_DATA)
        return whet_i_fail(ctx, WHET_ERR_NUMERIC,
                           "tensor %s is not finite in %s; expected adapters and weights of them "
                           "whose sum stays finite%s",
                           quoted, whet_dtype_name(t->dtype),
                           t->dtype == WHET_F32 ? "" : "; try --dtype f32");
    if (status != WHET_OK) return status;
    status = whet_out_write(ctx, out, rounded.data, n * (int64_t)whet_dtype_size(t->dtype));
    whet_tensor_destroy(ctx, &rounded);
    return status;
}

/* Rows first .. first + n - 1 of a matrix [.., in]. */
static whet_tensor rows_of(const whet_tensor *t, int64_t in, int64_t first, int64_t n) {
    const int64_t at = first * in * (int64_t)whet_dtype_size(t->dtype);
    return (whet_tensor){
        .data = (char *)t->data + at, .dtype = t->dtype, .rank = 1, .shape = {n * in}};
}

static whet_status write_adapted(whet_ctx *ctx, const whet_i_merged_tensor *t, const part *parts,
                                 int64_t n_parts, whet_out *out) {
    const int64_t in = t->base.shape[1], all = t->base.shape[0];
    const int64_t step = in < PIECE ? PIECE / in : 1;
    rows r = {.parts = parts, .n_parts = n_parts, .in = in};
    int64_t space;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_mul(ctx, 2 * (int64_t)whet_ctx_threads(ctx), in, &space));
    WHET_TRY(whet_i_alloc(ctx, space, &r.space));
    for (r.first = 0; r.first < all; r.first += step) {
        const int64_t n = all - r.first < step ? all - r.first : step;
        const whet_tensor piece = rows_of(&t->base, in, r.first, n);
        WHET_TRY_DONE(to_reals(ctx, &piece, &r.values));
        WHET_TRY_DONE(whet_i_parallel_for(ctx, NULL, n, merge_row, &r));
        WHET_TRY_DONE(write_reals(ctx, t, r.values, n * in, out));
        whet_i_free(ctx, r.values);
        r.values = NULL;
    }
done:
    whet_i_free(ctx, r.values);
    whet_i_free(ctx, r.space);
    return status;
}

/* ---- tensors ---------------------------------------------------------------------------------- */

static whet_status fill_part(whet_ctx *ctx, const whet_i_merging *m, int64_t i,
                             const whet_i_adapter_layer *layer, part *p) {
    *p = (part){.layer = layer, .weight = whet_i_merging_weight(m, i)};
    WHET_TRY(whet_i_adapter_factors(ctx, layer, &p->first, &p->second));
    if (!layer->magnitude.data) return WHET_OK;
    return whet_tensor_convert(ctx, &layer->magnitude, WHET_F64, &p->magnitude);
}

static whet_status merge_tensor(whet_ctx *ctx, const whet_i_merging *m, const char *base,
                                const whet_i_merged_tensor *t, whet_out *out) {
    part *parts;
    int64_t n = 0;
    WHET_TRY(whet_i_calloc(ctx, m->job->n, &parts));
    whet_status status = WHET_OK;
    for (int64_t i = 0; status == WHET_OK && i < m->job->n; i++) {
        const whet_i_adapter_layer *layer = whet_i_merging_layer(m, i, base);
        if (layer) status = fill_part(ctx, m, i, layer, &parts[n++]);
    }
    if (status == WHET_OK) status = write_adapted(ctx, t, parts, n, out);
    for (int64_t i = 0; i < n; i++) {
        whet_i_free(ctx, parts[i].first);
        whet_i_free(ctx, parts[i].second);
        whet_tensor_destroy(ctx, &parts[i].magnitude);
    }
    whet_i_free(ctx, parts);
    return status;
}

/* b + sum of w (b_adapter - b) */
static whet_status merge_vector(whet_ctx *ctx, const whet_i_merging *m, const char *base,
                                const whet_i_merged_tensor *t, whet_out *out) {
    double *kept = NULL, *sum = NULL, *theirs = NULL;
    const int64_t n = whet_tensor_count(&t->base);
    whet_status status = WHET_OK;
    WHET_TRY_DONE(to_reals(ctx, &t->base, &kept));
    WHET_TRY_DONE(to_reals(ctx, &t->base, &sum));
    for (int64_t i = 0; i < m->job->n; i++)
        for (int64_t h = 0; h < m->adapters[i]->n_wholes; h++) {
            const whet_i_adapter_whole *w = &m->adapters[i]->wholes[h];
            if (!whet_i_adapter_changes(w) || strcmp(w->base, base) != 0) continue;
            WHET_TRY_DONE(to_reals(ctx, &w->tensor, &theirs));
            for (int64_t c = 0; c < n; c++)
                sum[c] += whet_i_merging_weight(m, i) * (theirs[c] - kept[c]);
            whet_i_free(ctx, theirs);
            theirs = NULL;
        }
    status = write_reals(ctx, t, sum, n, out);
done:
    whet_i_free(ctx, theirs);
    whet_i_free(ctx, sum);
    whet_i_free(ctx, kept);
    return status;
}

/* As it is, in another type where one is asked for. */
static whet_status copy_tensor(whet_ctx *ctx, const whet_i_merged_tensor *t, whet_out *out) {
    const whet_tensor *from = t->whole.data ? &t->whole : &t->base;
    const int64_t n = whet_tensor_count(from), size = (int64_t)whet_dtype_size(from->dtype);
    if (from->dtype == t->dtype) return whet_out_write(ctx, out, from->data, n * size);
    for (int64_t first = 0; first < n; first += PIECE) {
        double *values;
        const whet_tensor piece = rows_of(from, 1, first, n - first < PIECE ? n - first : PIECE);
        WHET_TRY(to_reals(ctx, &piece, &values));
        const whet_status status = write_reals(ctx, t, values, piece.shape[0], out);
        whet_i_free(ctx, values);
        WHET_TRY(status);
    }
    return WHET_OK;
}

static whet_status write_tensor(whet_ctx *ctx, const whet_i_merging *m,
                                const whet_i_merged_file *file, int64_t i, whet_out *out) {
    const whet_i_merged_tensor *t = &file->items[i];
    if (!t->base.data || t->whole.data) return copy_tensor(ctx, t, out);
    const char *base = whet_safetensors_name(file->from, i).ptr;
    if (t->adapted) return merge_tensor(ctx, m, base, t, out);
    return t->changed ? merge_vector(ctx, m, base, t, out) : copy_tensor(ctx, t, out);
}

/* ---- files ------------------------------------------------------------------------------------ */

static whet_status write_header(whet_ctx *ctx, const whet_i_merged_file *file, whet_out *out) {
    static const char *const metadata[] = {"format", "pt", NULL};
    whet_named_tensor *items;
    whet_i_buf header = {0};
    WHET_TRY(whet_i_alloc(ctx, file->n, &items));
    for (int64_t i = 0; i < file->n; i++) {
        const whet_i_merged_tensor *t = &file->items[i];
        items[i] = (whet_named_tensor){t->name, t->whole.data ? t->whole : t->base};
        items[i].tensor.dtype = t->dtype;
    }
    whet_status status = whet_i_safetensors_header(ctx, items, file->n, metadata, &header);
    if (status == WHET_OK) status = whet_out_write(ctx, out, header.data, header.len);
    whet_i_buf_free(ctx, &header);
    whet_i_free(ctx, items);
    return status;
}

static whet_status write_file(whet_ctx *ctx, const whet_i_merging *m, const char *dir, int64_t f) {
    const whet_i_merged_file *file = &m->out[f];
    whet_out *out = NULL;
    char *path = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_join_path(ctx, dir, file->name, &path));
    WHET_TRY_DONE(whet_out_open(ctx, path, true, &out));
    WHET_TRY_DONE(write_header(ctx, file, out));
    for (int64_t i = 0; i < file->n; i++) {
        WHET_TRY_DONE(whet_i_progress(ctx, "merge", i, file->n));
        WHET_TRY_DONE(write_tensor(ctx, m, file, i, out));
    }
    status = whet_out_commit(ctx, out);
    out = NULL;
    whet_i_safetensors_forget(file->from);
done:
    whet_out_abort(ctx, out);
    whet_i_free(ctx, path);
    return status;
}

whet_status whet_i_merged_weights(whet_ctx *ctx, whet_i_merging *m, const char *dir) {
    for (int64_t f = 0; f < m->files.n; f++) WHET_TRY(write_file(ctx, m, dir, f));
    return WHET_OK;
}
