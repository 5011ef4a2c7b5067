/* SPDX-License-Identifier: Apache-2.0
 * Logistic candidates on more features than there are labels, fitted in the span of all labelled rows
 * (row_span.c): what is fitted to some of these lies in it too, so that one decomposition serves all
 * folds, rounds and classes. A fit then costs the same for 256 features as for 4,096, and takes fewer
 * steps: in these coordinates the Hessian is nearly diagonal.
 * Legend: b labelled rows, r coordinates. */
#include "label/rule_candidates.h"

static bool is_wide(const whet_i_rows *rows, const whet_i_candidate *c) {
    return c->kind == WHET_I_RULE_LOGISTIC && c->inputs > rows->b;
}

void whet_i_candidate_spans_free(whet_ctx *ctx, const whet_i_candidates *list,
                                 whet_i_row_span *span) {
    for (int64_t c = 0; span && c < list->n; c++) whet_i_row_span_free(ctx, &span[c]);
    whet_i_free(ctx, span);
}

static whet_status build_one(whet_ctx *ctx, const whet_i_rows *rows, const whet_i_candidate *c,
                             const int32_t *input, whet_i_row_span *out) {
    double *x;
    int64_t cells;
    WHET_TRY(whet_i_mul(ctx, rows->b, c->inputs, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &x));
    for (int64_t i = 0; i < rows->b; i++)
        for (int64_t j = 0; j < c->inputs; j++)
            x[i * c->inputs + j] =
                (double)whet_i_standard(rows, rows->x + rows->labelled[i] * rows->d, input[j]);
    const whet_status status = whet_i_row_span_build(ctx, x, rows->b, c->inputs, out);
    whet_i_free(ctx, x);
    return status;
}

whet_status whet_i_candidate_spans_build(whet_ctx *ctx, const whet_i_rows *rows,
                                         const whet_i_candidates *list, whet_i_row_span **span) {
    whet_i_row_span *made = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_calloc(ctx, list->n, &made));
    for (int64_t c = 0; c < list->n; c++)
        if (is_wide(rows, &list->item[c]))
            WHET_TRY_DONE(
                build_one(ctx, rows, &list->item[c], list->input + list->item[c].first, &made[c]));
    *span = made;
    made = NULL;
done:
    whet_i_candidate_spans_free(ctx, list, made);
    return status;
}

/* Weights over the columns as they are, from theta [r, outs] over the span's coordinates: those over
 * standardised columns are x^T alpha, alpha = mix theta [b, outs]. */
static void write_back(const whet_i_fit_task *t, const double *theta, double *alpha,
                       whet_i_fitter *f) {
    const whet_i_rows *rows = t->rows;
    const int64_t r = t->span->r, outs = t->outs, inputs = f->model.inputs;
    memset(f->weight, 0, sizeof *f->weight * (size_t)(inputs * outs));
    memset(alpha, 0, sizeof *alpha * (size_t)(rows->b * outs));
    for (int64_t i = 0; i < rows->b; i++) {
        const float *x = rows->x + rows->labelled[i] * rows->d;
        double *a = alpha + i * outs;
        for (int64_t j = 0; j < r; j++)
            for (int64_t o = 0; o < outs; o++)
                a[o] += t->span->mix[i * r + j] * theta[j * outs + o];
        for (int64_t j = 0; j < inputs; j++) {
            const double value = (double)whet_i_standard(rows, x, f->input[j]);
            for (int64_t o = 0; o < outs; o++) f->weight[j * outs + o] += value * a[o];
        }
    }
    for (int64_t j = 0; j < inputs; j++) {
        const double scale = rows->scale[f->input[j]], mean = rows->mean[f->input[j]];
        for (int64_t o = 0; o < outs && scale > 0; o++) {
            double *w = &f->weight[j * outs + o];
            *w /= scale;
            f->bias[o] -= *w * mean;
        }
    }
}

void whet_i_candidate_fit_in_span(const whet_i_fit_task *t, whet_i_fitter *f) {
    const int64_t r = t->span->r, outs = t->outs;
    double *z = f->room, *theta = z + t->n * r, *rest = theta + r * outs;
    for (int64_t i = 0; i < t->n; i++) {
        memcpy(z + i * r, t->span->z + t->place[i] * r, sizeof *z * (size_t)r);
        f->y[i] = t->target[t->place[i]];
    }
    const whet_i_few few = {.y = f->y, .n = t->n, .inputs = r, .outs = outs};
    whet_i_subset_logistic_solve(z, &few, 1, theta, f->bias, rest);
    write_back(t, theta, rest, f);
}
