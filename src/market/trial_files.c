/* SPDX-License-Identifier: Apache-2.0
 * The job of whet market trial: two files and examples in, a verdict and the mixture out. */
#include <inttypes.h>
#include <math.h>

#include "io/io_i.h"
#include "market/trial_i.h"

typedef struct run {
    whet_ctx *ctx;
    const whet_trial_files *files;
    whet_safetensors *file[2];
    whet_named_tensor *items[2];
    whet_weights weights[2];
    whet_i_mode_inputs select, gate;
    whet_permutation_spec *spec;
} run;

/* ---- in ---------------------------------------------------------------------------------------------- */

static whet_status check(whet_ctx *ctx, const whet_trial_files *f) {
    if (!f->gate_data != !f->gate_labels)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "the gate has %s alone; expected inputs and labels, or neither",
                           f->gate_data ? "inputs" : "labels");
    if (f->gate_data && whet_same_path(f->gate_data, f->data))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s: the gate's examples are those that choose the mixture; expected "
                           "others",
                           f->gate_data);
    for (int c = 0; c < 3; c++)
        if (!(f->scale[c] > 0) && !isnan(f->scale[c]))
            return whet_i_fail(ctx, WHET_ERR_ARG, "a scale of %g; expected more than 0",
                               f->scale[c]);
    return WHET_OK;
}

static whet_status open_weights(run *r, int k, const char *path) {
    WHET_TRY(whet_safetensors_open(r->ctx, path, &r->file[k]));
    const int64_t n = whet_safetensors_count(r->file[k]);
    WHET_TRY(whet_i_calloc(r->ctx, n, &r->items[k]));
    for (int64_t i = 0; i < n; i++) {
        r->items[k][i].name = whet_safetensors_name(r->file[k], i).ptr;
        (void)whet_safetensors_find(r->file[k], r->items[k][i].name, &r->items[k][i].tensor);
    }
    r->weights[k] = (whet_weights){r->items[k], n};
    return WHET_OK;
}

static whet_status read_examples(run *r, const char *data, const char *labels,
                                 const char *statistics, whet_i_mode_inputs *out) {
    whet_align_job job = WHET_ALIGN_JOB_INIT;
    job.data = data;
    job.labels = labels;
    job.statistics = statistics;
    memcpy(job.mean, r->files->mean, sizeof job.mean);
    memcpy(job.scale, r->files->scale, sizeof job.scale);
    WHET_TRY(whet_i_mode_inputs_read(r->ctx, &job, whet_permutation_spec_arch(r->spec), out));
    out->data.spec = r->spec;
    return WHET_OK;
}

/* What trials would say of examples, by their files. */
static whet_status check_examples(run *r, const whet_mode_data *from, const char *x_path,
                                  const char *labels_path) {
    const whet_weights *buyer = &r->weights[0];
    whet_mode_data data = *from;
    data.statistics = NULL;
    return whet_i_mode_check(r->ctx, whet_permutation_spec_arch(r->spec), buyer, buyer, &data,
                             x_path, labels_path);
}

/* ---- examples that are on both sides ------------------------------------------------------------------ */

static whet_status hash_examples(whet_ctx *ctx, const whet_mode_data *d, uint64_t **out) {
    const int64_t row = d->height * d->width * d->channels;
    uint64_t *hash;
    WHET_TRY(whet_i_alloc(ctx, d->n, &hash));
    for (int64_t i = 0; i < d->n; i++)
        hash[i] = whet_i_example_hash(d->x + i * row, row, d->labels[i]);
    whet_i_examples_sort(hash, d->n);
    *out = hash;
    return WHET_OK;
}

/* Examples that chose the mixture prove nothing of it, whatever their file is called. A few that are on both
 * sides are what data are like, and where examples repeat (of few values) all may be by chance. */
static whet_status compare_examples(run *r) {
    const whet_trial_files *f = r->files;
    const whet_mode_data *a = &r->select.data, *b = &r->gate.data;
    uint64_t *chose = NULL, *judge = NULL;
    int64_t differ;
    whet_status status = WHET_OK;
    if (a->height != b->height || a->width != b->width || a->channels != b->channels)
        return WHET_OK; /* told by the trial */
    WHET_TRY_DONE(hash_examples(r->ctx, a, &chose));
    WHET_TRY_DONE(hash_examples(r->ctx, b, &judge));
    const int64_t found = whet_i_examples_common(chose, a->n, judge, b->n, &differ);
    const bool same = a->n == b->n && memcmp(chose, judge, (size_t)a->n * sizeof *chose) == 0;
    if (same || (found == b->n && differ > a->n / 2))
        status = whet_i_fail(r->ctx, WHET_ERR_ARG,
                             "%s: all %" PRId64 " examples are among those of %s, which choose the "
                             "mixture; expected others",
                             f->gate_data, b->n, f->data);
    else if (found > 0)
        whet_i_log(r->ctx, WHET_LOG_WARN,
                   "%s: %" PRId64 " of %" PRId64 " examples are among those of %s, which choose "
                   "the mixture; expected others: these make luck look like a gain",
                   f->gate_data, found, b->n, f->data);
done:
    whet_i_free(r->ctx, chose);
    whet_i_free(r->ctx, judge);
    return status;
}

static whet_status read_all(run *r) {
    const whet_trial_files *f = r->files;
    const char *const paths[2] = {f->buyer, f->seller};
    WHET_TRY(open_weights(r, 0, f->buyer));
    WHET_TRY(open_weights(r, 1, f->seller));
    WHET_TRY(
        whet_i_spec_to_run(r->ctx, f->arch, paths, r->file[0], &r->weights[0], f->align, &r->spec));
    WHET_TRY(read_examples(r, f->data, f->labels, f->statistics, &r->select));
    WHET_TRY(check_examples(r, &r->select.data, f->data, f->labels));
    if (!f->gate_data) return WHET_OK;
    WHET_TRY(read_examples(r, f->gate_data, f->gate_labels, NULL, &r->gate));
    WHET_TRY(check_examples(r, &r->gate.data, f->gate_data, f->gate_labels));
    return compare_examples(r);
}

/* ---- out --------------------------------------------------------------------------------------------- */

static whet_status write_mixture(const run *r, const whet_trial_result *result) {
    const whet_str format = whet_safetensors_metadata(r->file[0], "format");
    const char *const metadata[] = {"format", format.ptr, NULL}, *const none[] = {NULL};
    if (!r->files->output) return WHET_OK;
    return whet_safetensors_write(r->ctx, r->files->output, r->files->force, result->mixed,
                                  result->n_mixed, format.ptr ? metadata : none);
}

static void drop_mixture(whet_ctx *ctx, whet_trial_result *result) {
    for (int64_t i = 0; i < result->n_mixed; i++)
        whet_tensor_destroy(ctx, &result->mixed[i].tensor);
    whet_i_free(ctx, result->mixed);
    result->mixed = NULL;
    result->n_mixed = 0;
}

static whet_status run_files(run *r, whet_trial_result *out) {
    const whet_trial_files *f = r->files;
    whet_align_opts align = WHET_ALIGN_OPTS_INIT;
    whet_trial_job job = WHET_TRIAL_JOB_INIT;
    WHET_TRY(check(r->ctx, f));
    WHET_TRY(read_all(r));
    align.seed = f->seed;
    align.restarts = f->restarts;
    job.arch = whet_permutation_spec_arch(r->spec);
    job.buyer = &r->weights[0];
    job.seller = &r->weights[1];
    job.spec = f->align ? r->spec : NULL;
    job.align = &align;
    job.goods = f->goods;
    job.n_goods = f->n_goods;
    r->select.data.repair = f->repair;
    job.select = &r->select.data;
    job.gate = f->gate_data ? &r->gate.data : NULL;
    job.search = f->search;
    job.outright = f->outright;
    job.batch = f->batch;
    job.opts = f->opts;
    WHET_TRY(whet_trial_run(r->ctx, &job, out));
    const whet_status status = write_mixture(r, out);
    if (status == WHET_OK)
        drop_mixture(r->ctx, out);
    else
        whet_trial_result_free(r->ctx, out);
    return status;
}

whet_status whet_trial_run_files(whet_ctx *ctx, const whet_trial_files *files,
                                 whet_trial_result *out) {
    whet_trial_files known = WHET_TRIAL_FILES_INIT;
    run r = {.ctx = ctx, .files = &known};
    whet_trial_result result = {0};
    whet_status status = whet_i_opts(ctx, files, &known, sizeof known, "whet_trial_files");
    if (status == WHET_OK && known.output) /* told before the work, not behind it */
        status = whet_i_out_check(ctx, known.output, known.force);
    if (status == WHET_OK) status = run_files(&r, &result);
    if (status == WHET_OK) *out = result;
    whet_permutation_spec_destroy(ctx, r.spec);
    whet_i_mode_inputs_free(ctx, &r.select);
    whet_i_mode_inputs_free(ctx, &r.gate);
    for (int k = 0; k < 2; k++) {
        whet_i_free(ctx, r.items[k]);
        whet_safetensors_close(ctx, r.file[k]);
    }
    return status;
}
