/* SPDX-License-Identifier: Apache-2.0
 * Loss and accuracy on the line between two networks, (1 - w) A + w B, and its barrier: how much the loss
 * rises above the straight line between its ends, at most (Frankle et al. 2020). Batch norms that are
 * averaged describe activations that no network has: their variance falls where units disagree. They are
 * measured again where the caller has inputs for it; in networks whose convolutions are each followed by
 * a batch norm that is what REPAIR (Jordan et al. 2023, arXiv 2211.08403) comes to, for the norm's scale
 * and shift, which are averaged, are the deviation and mean that REPAIR asks for. */
#include <inttypes.h>
#include <math.h>

#include "merge/image_network.h"

typedef struct mixer {
    whet_named_tensor *a, *b, *mixed; /* [n] f32; counters have no data */
    int64_t n;
} mixer;

static void mixer_free(whet_ctx *ctx, mixer *m) {
    for (int64_t i = 0; i < m->n; i++) {
        if (m->a) whet_tensor_destroy(ctx, &m->a[i].tensor);
        if (m->b) whet_tensor_destroy(ctx, &m->b[i].tensor);
        if (m->mixed) whet_tensor_destroy(ctx, &m->mixed[i].tensor);
    }
    whet_i_free(ctx, m->a);
    whet_i_free(ctx, m->b);
    whet_i_free(ctx, m->mixed);
}

static const whet_tensor *find(const whet_weights *w, const char *name) {
    for (int64_t i = 0; i < w->n; i++)
        if (strcmp(w->items[i].name, name) == 0) return &w->items[i].tensor;
    return NULL;
}

static whet_status mixer_make(whet_ctx *ctx, const whet_weights *a, const whet_weights *b,
                              mixer *m) {
    *m = (mixer){.n = a->n};
    WHET_TRY(whet_i_calloc(ctx, a->n, &m->a));
    WHET_TRY(whet_i_calloc(ctx, a->n, &m->b));
    WHET_TRY(whet_i_calloc(ctx, a->n, &m->mixed));
    for (int64_t i = 0; i < a->n; i++) {
        const char *name = a->items[i].name;
        const whet_tensor *x = &a->items[i].tensor, *y = find(b, name);
        m->mixed[i].name = name;
        if (!y || whet_tensor_count(x) != whet_tensor_count(y))
            return whet_i_fail(ctx, WHET_ERR_SHAPE,
                               "tensor %s is not of one shape in both; expected one architecture",
                               name);
        WHET_TRY(whet_tensor_convert(ctx, x, WHET_F32, &m->a[i].tensor));
        WHET_TRY(whet_tensor_convert(ctx, y, WHET_F32, &m->b[i].tensor));
        WHET_TRY(whet_tensor_create(ctx, WHET_F32, x->rank, x->shape, &m->mixed[i].tensor));
    }
    return WHET_OK;
}

/* The ends are A and B to the bit. */
static void mix(const mixer *m, double w) {
    for (int64_t i = 0; i < m->n; i++) {
        const int64_t n = whet_tensor_count(&m->mixed[i].tensor);
        const float *a = m->a[i].tensor.data, *b = m->b[i].tensor.data;
        float *to = m->mixed[i].tensor.data;
        for (int64_t k = 0; k < n; k++)
            to[k] = w <= 0   ? a[k]
                    : w >= 1 ? b[k]
                             : (float)((1 - w) * (double)a[k] + w * (double)b[k]);
    }
}

/* Mean cross-entropy and share of right guesses; the first of equal logits counts. */
static void score(const float *logits, const int32_t *y, int64_t n, int64_t classes,
                  whet_mode_point *out) {
    double loss = 0;
    int64_t right = 0;
    for (int64_t i = 0; i < n; i++) {
        const float *row = logits + i * classes;
        double most = (double)row[0], sum = 0;
        int64_t top = 0;
        for (int64_t c = 1; c < classes; c++)
            if ((double)row[c] > most) {
                most = (double)row[c];
                top = c;
            }
        for (int64_t c = 0; c < classes; c++) sum += exp((double)row[c] - most);
        loss += log(sum) + most - (double)row[y[i]];
        right += top == y[i];
    }
    out->loss = loss / (double)n;
    out->accuracy = (double)right / (double)n;
}

static whet_status measure_point(whet_ctx *ctx, const char *arch, const mixer *m,
                                 const whet_mode_data *data, bool ends, float *logits,
                                 whet_mode_point *out) {
    const whet_weights mixed = {m->mixed, m->n};
    const whet_i_image image = {data->height, data->width, data->channels};
    whet_i_image_network net = {0};
    whet_status status = WHET_OK;
    mix(m, out->weight);
    WHET_TRY_DONE(whet_i_image_network_make(ctx, arch, &mixed, &image, &net));
    if (data->statistics && net.norms == 0) {
        status =
            whet_i_fail(ctx, WHET_ERR_ARG,
                        "%s: there are no batch norms to measure again; expected a network with "
                        "them",
                        arch);
        goto done;
    }
    if (data->statistics && !ends)
        WHET_TRY_DONE(
            whet_i_image_network_measure(ctx, &net, data->statistics, data->n_statistics));
    WHET_TRY_DONE(whet_i_image_network_run(ctx, &net, "line", data->x, data->n, logits));
    score(logits, data->labels, data->n, net.classes, out);
done:
    whet_i_image_network_free(ctx, &net);
    return status;
}

static whet_status check(whet_ctx *ctx, const whet_mode_data *data, int64_t points,
                         int64_t classes) {
    if (points < 2 || points > 1001 || data->n < 1)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%" PRId64 " points, %" PRId64
                           " examples; expected 2 to 1001 points, and an example",
                           points, data->n);
    for (int64_t i = 0; i < data->n; i++)
        if (data->labels[i] < 0 || data->labels[i] >= classes)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "label of example %" PRId64 " is %d; expected 0 to %" PRId64, i,
                               (int)data->labels[i], classes - 1);
    return WHET_OK;
}

whet_status whet_mode_path(whet_ctx *ctx, const char *arch, const whet_weights *a,
                           const whet_weights *b, const whet_mode_data *data, int64_t points,
                           whet_mode_point *out, double *barrier) {
    const whet_i_image image = {data->height, data->width, data->channels};
    mixer m;
    whet_i_image_network net = {0};
    float *logits = NULL;
    whet_mode_point *found = NULL;
    int64_t cells;
    double most = 0;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(mixer_make(ctx, a, b, &m));
    mix(&m, 0);
    const whet_weights first = {m.mixed, m.n};
    WHET_TRY_DONE(whet_i_image_network_make(ctx, arch, &first, &image, &net));
    WHET_TRY_DONE(check(ctx, data, points, net.classes));
    WHET_TRY_DONE(whet_i_mul(ctx, data->n, net.classes, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &logits));
    WHET_TRY_DONE(whet_i_calloc(ctx, points, &found));
    for (int64_t i = 0; i < points; i++) {
        found[i].weight = (double)i / (double)(points - 1);
        WHET_TRY_DONE(
            measure_point(ctx, arch, &m, data, i == 0 || i == points - 1, logits, &found[i]));
    }
    for (int64_t i = 0; i < points; i++) {
        const double w = found[i].weight;
        most = fmax(most, found[i].loss - ((1 - w) * found[0].loss + w * found[points - 1].loss));
    }
    memcpy(out, found, (size_t)points * sizeof *out);
    *barrier = most;
done:
    whet_i_image_network_free(ctx, &net);
    whet_i_free(ctx, found);
    whet_i_free(ctx, logits);
    mixer_free(ctx, &m);
    return status;
}
