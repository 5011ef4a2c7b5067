/* SPDX-License-Identifier: Apache-2.0
 * Mixtures of two networks, (1 - s) A + s B tensor by tensor, and their losses example by example. Averaged
 * batch norms describe activations that no network has: their variance falls where units disagree. They are
 * measured again where the caller has inputs for it; in networks whose convolutions are each followed by
 * a batch norm that is what REPAIR (Jordan et al. 2023, arXiv 2211.08403) comes to, for the norm's scale
 * and shift, which are averaged, are the deviation and mean that REPAIR asks for. Other networks are
 * repaired by repair.c. */
#include <inttypes.h>
#include <math.h>

#include "merge/image_network.h"
#include "merge/mixture_mlp.h"
#include "merge/repair.h"

enum { SCORE_ROWS = 256 }; /* of an item */

/* ---- two networks ------------------------------------------------------------------------------------ */

static const whet_tensor *find(const whet_weights *w, const char *name) {
    for (int64_t i = 0; i < w->n; i++)
        if (strcmp(w->items[i].name, name) == 0) return &w->items[i].tensor;
    return NULL;
}

static bool same_shape(const whet_tensor *x, const whet_tensor *y) {
    bool same = x->rank == y->rank;
    for (int32_t i = 0; same && i < x->rank; i++) same = x->shape[i] == y->shape[i];
    return same;
}

/* As f32, all of it finite. */
static whet_status take(whet_ctx *ctx, const char *name, const whet_tensor *from, whet_tensor *to) {
    WHET_TRY(whet_tensor_convert(ctx, from, WHET_F32, to));
    const float *x = to->data;
    const int64_t n = whet_tensor_count(to);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "tensor %s: number %" PRId64 " is %g; expected finite weights", name,
                               i, (double)x[i]);
    return WHET_OK;
}

static whet_status take_tensor(whet_ctx *ctx, whet_i_mixture *m, int64_t i, const whet_tensor *x,
                               const whet_weights *b, bool traded) {
    const char *name = m->a[i].name;
    const whet_tensor *y = find(b, name);
    if (!whet_dtype_is_float(x->dtype)) {
        m->mixed[i].tensor = m->a[i].tensor = *x;
        return WHET_OK;
    }
    if (traded && (!y || !same_shape(x, y) || !whet_dtype_is_float(y->dtype)))
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "tensor %s is not of one shape in both; expected one architecture",
                           name);
    WHET_TRY(take(ctx, name, x, &m->a[i].tensor));
    if (traded) WHET_TRY(take(ctx, name, y, &m->b[i].tensor));
    return whet_tensor_create(ctx, WHET_F32, x->rank, x->shape, &m->mixed[i].tensor);
}

whet_status whet_i_mixture_make(whet_ctx *ctx, const char *arch, const whet_permutation_spec *told,
                                const whet_weights *a, const whet_weights *b, const bool *traded,
                                const whet_i_image *image, whet_i_mixture *out) {
    whet_i_image_network net = {0};
    whet_status status = WHET_OK;
    *out = (whet_i_mixture){.arch = arch, .told = told, .image = *image};
    WHET_TRY_DONE(whet_i_calloc(ctx, a->n, &out->a));
    WHET_TRY_DONE(whet_i_calloc(ctx, a->n, &out->b));
    WHET_TRY_DONE(whet_i_calloc(ctx, a->n, &out->mixed));
    out->n = a->n;
    for (int64_t i = 0; i < a->n; i++) {
        out->a[i].name = out->b[i].name = out->mixed[i].name = a->items[i].name;
        const whet_tensor *x = &a->items[i].tensor;
        WHET_TRY_DONE(take_tensor(ctx, out, i, x, b, !traded || traded[i]));
    }
    const whet_weights first = {out->a, out->n};
    WHET_TRY_DONE(whet_i_image_network_make(ctx, arch, told, &first, image, &net));
    out->classes = net.classes;
    out->norms = net.norms;
    if (whet_i_arch_is(arch, "mlp")) WHET_TRY_DONE(whet_i_mlp_mixture_make(ctx, out, &out->mlp));
done:
    whet_i_image_network_free(ctx, &net);
    return status;
}

void whet_i_mixture_free(whet_ctx *ctx, whet_i_mixture *m) {
    for (int64_t i = 0; i < m->n; i++) {
        if (m->mixed[i].tensor.data == m->a[i].tensor.data) continue; /* a view of the caller's */
        whet_tensor_destroy(ctx, &m->a[i].tensor);
        whet_tensor_destroy(ctx, &m->b[i].tensor);
        whet_tensor_destroy(ctx, &m->mixed[i].tensor);
    }
    whet_i_mlp_mixture_free(ctx, m->mlp);
    whet_i_free(ctx, m->a);
    whet_i_free(ctx, m->b);
    whet_i_free(ctx, m->mixed);
    whet_i_repair_destroy(ctx, m->repair);
    *m = (whet_i_mixture){0};
}

static whet_status check_repair(whet_ctx *ctx, const whet_i_mixture *m) {
    if (m->norms == 0) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_ARG,
                       "%s: has batch norms, which are measured again instead; expected a network "
                       "without them; try --measure alone",
                       m->arch);
}

whet_status whet_i_mode_labels_check(whet_ctx *ctx, const whet_mode_data *data, int64_t classes) {
    for (int64_t i = 0; i < data->n; i++)
        if (data->labels[i] < 0 || data->labels[i] >= classes)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "label of example %" PRId64 " is %d; expected 0 to %" PRId64, i,
                               (int)data->labels[i], classes - 1);
    return WHET_OK;
}

whet_status whet_i_mixture_check(whet_ctx *ctx, const whet_i_mixture *m,
                                 const whet_mode_data *data) {
    const whet_i_image *image = &m->image;
    if (data->n < 1)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%" PRId64 " examples; expected one at least",
                           data->n);
    if (data->height != image->height || data->width != image->width ||
        data->channels != image->channels)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "examples of %" PRId64 " x %" PRId64 " x %" PRId64 "; expected %" PRId64
                           " x %" PRId64 " x %" PRId64,
                           data->height, data->width, data->channels, image->height, image->width,
                           image->channels);
    WHET_TRY(whet_i_mode_labels_check(ctx, data, m->classes));
    if (data->statistics && !data->repair && m->norms == 0)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s: there are no batch norms to measure again; expected a network with "
                           "them; try --repair",
                           m->arch);
    return data->repair ? check_repair(ctx, m) : WHET_OK;
}

/* ---- mixing ------------------------------------------------------------------------------------------ */

static bool is_traded(const whet_i_mixture *m, int64_t i) { return m->b[i].tensor.data != NULL; }

void whet_i_mixture_share(const whet_i_mixture *m, double s, double *shares) {
    for (int64_t i = 0; i < m->n; i++) shares[i] = is_traded(m, i) ? s : 0;
}

/* The ends are A and B to the bit. */
void whet_i_mixture_set(const whet_i_mixture *m, const double *shares) {
    for (int64_t i = 0; i < m->n; i++) {
        const float *a = m->a[i].tensor.data, *b = m->b[i].tensor.data;
        float *to = m->mixed[i].tensor.data;
        if (to == a) continue;
        const int64_t n = whet_tensor_count(&m->a[i].tensor);
        const double s = shares[i];
        if (s <= 0 || s >= 1) {
            memcpy(to, s <= 0 ? a : b, (size_t)n * sizeof *to);
            continue;
        }
        for (int64_t k = 0; k < n; k++) to[k] = (float)((1 - s) * (double)a[k] + s * (double)b[k]);
    }
}

/* All of A, or all of B. */
static bool is_end(const whet_i_mixture *m, const double *shares) {
    bool all_a = true, all_b = true;
    for (int64_t i = 0; i < m->n; i++) {
        if (m->mixed[i].tensor.data == m->a[i].tensor.data) continue;
        all_a &= shares[i] <= 0;
        all_b &= shares[i] >= 1;
    }
    return all_a || all_b;
}

/* Both ends are measured once for the same inputs; B is A where nothing is traded. */
static whet_status repair(whet_ctx *ctx, whet_i_mixture *m, const double *shares,
                          const whet_mode_data *data) {
    const float *x = data->statistics ? data->statistics : data->x;
    const int64_t n = data->statistics ? data->n_statistics : data->n;
    const whet_weights mixed = {m->mixed, m->n};
    WHET_TRY(check_repair(ctx, m));
    if (m->repair && m->repaired_on != x) {
        whet_i_repair_destroy(ctx, m->repair);
        m->repair = NULL;
    }
    if (!m->repair) {
        const whet_weights a = {m->a, m->n};
        whet_named_tensor *other;
        WHET_TRY(whet_i_alloc(ctx, m->n, &other));
        for (int64_t i = 0; i < m->n; i++) other[i] = is_traded(m, i) ? m->b[i] : m->a[i];
        const whet_weights b = {other, m->n};
        const whet_status status =
            whet_i_repair_create(ctx, m->arch, m->told, &a, &b, &m->image, x, n, &m->repair);
        whet_i_free(ctx, other);
        WHET_TRY(status);
        m->repaired_on = x;
    }
    return whet_i_repair_apply(ctx, m->repair, shares, &mixed);
}

/* The network of one mixture. The ends are measured as what lies between them is: what norms gain by it is
 * nobody's doing. */
static whet_status make_network(whet_ctx *ctx, whet_i_mixture *m, const double *shares,
                                const whet_mode_data *data, whet_i_image_network *net) {
    const whet_weights mixed = {m->mixed, m->n};
    whet_i_mixture_set(m, shares);
    if (data->repair && !is_end(m, shares)) WHET_TRY(repair(ctx, m, shares, data));
    WHET_TRY(whet_i_image_network_make(ctx, m->arch, m->told, &mixed, &m->image, net));
    if (!data->statistics || data->repair) return WHET_OK;
    return whet_i_image_network_measure(ctx, net, data->statistics, data->n_statistics);
}

/* Measured statistics go to the tensors, whose names may begin with "module.". */
static void take_statistics(const whet_named_tensor *to, int64_t n,
                            const whet_i_image_network *net) {
    for (int64_t k = 0; k < net->params->n; k++) {
        const whet_i_param *p = &net->params->items[k];
        for (int64_t i = 0; p->statistics && i < n; i++) {
            const char *name = to[i].name;
            const size_t head = strncmp(name, "module.", 7) == 0 ? 7 : 0;
            if (strcmp(name, p->name) == 0 || strcmp(name + head, p->name) == 0)
                memcpy(to[i].tensor.data, p->values, (size_t)p->count * sizeof *p->values);
        }
    }
}

static whet_status copy_tensor(whet_ctx *ctx, const whet_named_tensor *from,
                               whet_named_tensor *to) {
    const whet_tensor *t = &from->tensor;
    to->name = from->name;
    WHET_TRY(whet_tensor_create(ctx, t->dtype, t->rank, t->shape, &to->tensor));
    memcpy(to->tensor.data, t->data, (size_t)whet_tensor_count(t) * whet_dtype_size(t->dtype));
    return WHET_OK;
}

whet_status whet_i_mixture_tensors(whet_ctx *ctx, whet_i_mixture *m, const double *shares,
                                   const whet_mode_data *data, whet_named_tensor *out) {
    whet_i_image_network net = {0};
    whet_status status = WHET_OK;
    int64_t made = 0;
    WHET_TRY_DONE(make_network(ctx, m, shares, data, &net));
    if (data->statistics && !data->repair && !is_end(m, shares))
        take_statistics(m->mixed, m->n, &net);
    for (; made < m->n; made++) {
        out[made] = (whet_named_tensor){0};
        WHET_TRY_DONE(copy_tensor(ctx, &m->mixed[made], &out[made]));
    }
done:
    for (int64_t i = 0; status != WHET_OK && i < made; i++)
        whet_tensor_destroy(ctx, &out[i].tensor);
    whet_i_image_network_free(ctx, &net);
    return status;
}

whet_status whet_i_norms_measure(whet_ctx *ctx, const char *arch, const whet_weights *weights,
                                 const whet_i_image *image, const float *x, int64_t n) {
    whet_i_image_network net = {0};
    whet_status status = whet_i_image_network_make(ctx, arch, NULL, weights, image, &net);
    if (status == WHET_OK) status = whet_i_image_network_measure(ctx, &net, x, n);
    if (status == WHET_OK) take_statistics(weights->items, weights->n, &net);
    whet_i_image_network_free(ctx, &net);
    return status;
}

/* ---- scoring ----------------------------------------------------------------------------------------- */

typedef struct scoring {
    const float *logits;
    const int32_t *labels;
    int64_t n, classes;
    whet_i_scores out;
} scoring;

/* Cross-entropy of SCORE_ROWS rows; the first of equal logits is the guess. */
static void score_rows(void *arg, int64_t item, int32_t worker) {
    const scoring *s = arg;
    const int64_t first = item * SCORE_ROWS;
    const int64_t end = first + SCORE_ROWS < s->n ? first + SCORE_ROWS : s->n;
    (void)worker;
    for (int64_t i = first; i < end; i++) {
        const float *row = s->logits + i * s->classes;
        double most = (double)row[0], sum = 0;
        int64_t top = 0;
        for (int64_t c = 1; c < s->classes; c++)
            if ((double)row[c] > most) {
                most = (double)row[c];
                top = c;
            }
        for (int64_t c = 0; c < s->classes; c++) sum += exp((double)row[c] - most);
        s->out.losses[i] = log(sum) + most - (double)row[s->labels[i]];
        s->out.right[i] = top == s->labels[i];
    }
}

static whet_status score_point(whet_ctx *ctx, whet_i_mixture *m, const double *shares,
                               const whet_mode_data *data, float *logits, whet_i_scores out) {
    whet_i_image_network net = {0};
    whet_status status = WHET_OK;
    scoring s = {logits, data->labels, data->n, m->classes, out};
    WHET_TRY_DONE(make_network(ctx, m, shares, data, &net));
    WHET_TRY_DONE(whet_i_image_network_run(ctx, &net, "line", data->x, data->n, logits));
    status =
        whet_i_parallel_for(ctx, NULL, (data->n + SCORE_ROWS - 1) / SCORE_ROWS, score_rows, &s);
done:
    whet_i_image_network_free(ctx, &net);
    return status;
}

whet_status whet_i_mixture_score(whet_ctx *ctx, whet_i_mixture *m, const double *shares,
                                 int64_t points, const whet_mode_data *data,
                                 const whet_i_scores *out) {
    float *logits = NULL;
    int64_t cells;
    whet_status status = WHET_OK;
    if (m->mlp && !data->repair)
        return whet_i_mlp_mixture_score(ctx, m, m->mlp, shares, points, data, out);
    WHET_TRY_DONE(whet_i_mul(ctx, data->n, m->classes, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &logits));
    for (int64_t i = 0; i < points; i++)
        WHET_TRY_DONE(
            score_point(ctx, m, shares + i * m->n, data, logits,
                        (whet_i_scores){out->losses + i * data->n, out->right + i * data->n}));
done:
    whet_i_free(ctx, logits);
    return status;
}

void whet_i_scores_mean(const double *losses, const uint8_t *right, int64_t n, int64_t batch,
                        double *loss, double *accuracy) {
    const int64_t size = batch > 0 ? batch : n;
    double total = 0;
    int64_t hits = 0;
    for (int64_t first = 0; first < n; first += size) {
        const int64_t end = n - first < size ? n : first + size;
        double sum = 0;
        for (int64_t i = first; i < end; i++) {
            sum += losses[i];
            hits += right[i];
        }
        total += sum / (double)(end - first);
    }
    const int64_t batches = (n - 1) / size + 1;
    *loss = total / (double)batches;
    *accuracy = (double)hits / (double)n;
}
