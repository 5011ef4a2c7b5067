/* SPDX-License-Identifier: Apache-2.0
 * The job of whet align: two networks and a specification in, the second one renumbered out, and what
 * mixtures of the two are worth before and after. Shapes are compared from the headers before any weight
 * is read. */
#include <inttypes.h>
#include <math.h>
#include <sys/stat.h>

#include "io/io_i.h"
#include "merge/align_files.h"
#include "merge/text_path.h"
#include "merge/weight_shards.h"

typedef struct run {
    whet_ctx *ctx;
    whet_align_job *job;
    whet_safetensors *file[2];
    whet_i_weight_files parts[2]; /* of folders; `file` is all of them */
    bool folder[2];
    whet_named_tensor *items[2], *moved;
    whet_weights weights[2];
    whet_i_mode_inputs inputs;
    whet_i_text_inputs texts;
    whet_align_result result;
} run;

const char *whet_align_line_name(whet_align_line line) {
    static const char *const names[] = {
        "before",           "aligned",          "before, norms measured", "aligned, norms measured",
        "before, repaired", "aligned, repaired"};
    return names[line];
}

void whet_align_result_free(whet_ctx *ctx, whet_align_result *result) {
    whet_permutation_spec_destroy(ctx, result->spec);
    whet_alignment_destroy(ctx, result->alignment);
    for (int l = 0; l < WHET_LINES; l++) whet_i_free(ctx, result->lines[l]);
    *result = (whet_align_result){0};
}

/* ---- in --------------------------------------------------------------------------------------------- */

/* A folder's model.safetensors, or the files that its index names, as one. */
static whet_status open_folder(run *r, int k, const char *path) {
    whet_safetensors **files;
    r->folder[k] = true;
    const whet_status opened = whet_i_weight_files_open(r->ctx, path, &r->parts[k]);
    if (opened != WHET_OK) return whet_i_fail_at(r->ctx, opened, "%s", path);
    const whet_i_weight_files *parts = &r->parts[k];
    WHET_TRY(whet_i_alloc_(r->ctx, parts->n, sizeof(void *), false, &files));
    for (int64_t i = 0; i < parts->n; i++) files[i] = parts->items[i].tensors;
    const whet_status status = whet_i_safetensors_join(r->ctx, path, files, parts->n, &r->file[k]);
    whet_i_free(r->ctx, files);
    return status;
}

static whet_status open_weights(run *r, int k, const char *path) {
    struct stat info;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        WHET_TRY(open_folder(r, k, path));
    else
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

/* The folder that a network is, or lies in: NULL when out of room. */
static char *folder_of(const run *r, int k) {
    const char *path = k ? r->job->b : r->job->a, *slash = strrchr(path, '/');
    char *dir;
    const size_t length = r->folder[k] ? strlen(path) : slash ? (size_t)(slash - path) + 1 : 0;
    if (whet_i_alloc(r->ctx, (int64_t)length + 2, &dir) != WHET_OK) return NULL;
    memcpy(dir, length ? path : ".", length ? length : 1);
    dir[length ? length : 1] = '\0';
    return dir;
}

static whet_status read_data(run *r) {
    if (!r->job->data) return WHET_OK;
    if (!r->job->text) {
        WHET_TRY(whet_i_mode_inputs_read(r->ctx, r->job, r->result.spec->arch, &r->inputs));
        r->inputs.data.spec = r->result.spec;
        return WHET_OK;
    }
    char *own = folder_of(r, 0), *other = own && r->folder[1] ? folder_of(r, 1) : NULL;
    const char *const dirs[2] = {own, other};
    whet_status status = own && (other || !r->folder[1]) ? WHET_OK : WHET_ERR_NOMEM;
    if (status == WHET_OK)
        status = whet_i_text_inputs_read(r->ctx, r->job, dirs, &r->weights[0], &r->texts);
    whet_i_free(r->ctx, other);
    whet_i_free(r->ctx, own);
    return status;
}

/* ---- lines ------------------------------------------------------------------------------------------ */

static whet_status measure_line(run *r, whet_align_line line) {
    const bool after = line % 2 == WHET_LINE_AFTER;
    const bool measured = line == WHET_LINE_BEFORE_MEASURED || line == WHET_LINE_AFTER_MEASURED;
    const bool repaired = line >= WHET_LINE_BEFORE_REPAIRED;
    const whet_weights moved = {r->moved, r->weights[1].n};
    whet_mode_data data = r->inputs.data;
    if (measured && (!data.statistics || r->job->repair)) return WHET_OK;
    if (repaired && !r->job->repair) return WHET_OK;
    if (!measured && !repaired) data.statistics = NULL;
    data.repair = repaired;
    whet_i_note(r->ctx, "%s", whet_align_line_name(line));
    WHET_TRY(whet_i_calloc(r->ctx, r->job->points, &r->result.lines[line]));
    if (r->job->text)
        return whet_i_text_path(r->ctx, &r->texts, &r->weights[0], after ? &moved : &r->weights[1],
                                r->job->points, r->result.lines[line], &r->result.barrier[line]);
    return whet_mode_path(r->ctx, whet_permutation_spec_arch(r->result.spec), &r->weights[0],
                          after ? &moved : &r->weights[1], &data, r->job->points,
                          r->result.lines[line], &r->result.barrier[line]);
}

/* What lines cannot be measured of is told before the search for them. */
static whet_status check_lines(const run *r) {
    const bool refines = r->job->method == WHET_ALIGN_STRAIGHT_THROUGH;
    whet_mode_data data = r->inputs.data;
    if ((!r->job->points && !refines) || r->job->text) return WHET_OK;
    data.repair = r->job->repair;
    if (!r->job->points) data.statistics = NULL;
    return whet_i_mode_check(r->ctx, whet_permutation_spec_arch(r->result.spec), &r->weights[0],
                             &r->weights[1], &data, r->job->data, r->job->labels);
}

static bool is_file(const char *output) {
    return strcmp(output, "-") == 0 || whet_i_has_extension(output, ".safetensors");
}

/* What cannot be written is told before the work, not behind it. */
static whet_status check_outputs(whet_ctx *ctx, const whet_align_job *job) {
    const char *const paths[] = {job->output, job->figure, job->spec_output};
    if (job->output && strcmp(job->output, "-") != 0) {
        WHET_TRY(whet_i_out_check_apart(ctx, job->output, job->a));
        WHET_TRY(whet_i_out_check_apart(ctx, job->output, job->b));
    }
    for (int i = 0; i < 3; i++) {
        const bool folder = i == 0 && paths[i] && !is_file(paths[i]);
        if (!paths[i]) continue;
        for (int k = 0; k < i; k++)
            if (paths[k] && whet_same_path(paths[i], paths[k]))
                return whet_i_fail(
                    ctx, WHET_ERR_ARG,
                    "%s: two outputs are to be written there; expected a path for each", paths[i]);
        WHET_TRY(folder ? whet_i_out_dir_check(ctx, paths[i], job->force)
                        : whet_i_out_check(ctx, paths[i], job->force));
    }
    return WHET_OK;
}

/* Texts are for the line between encoders, which have no statistics of inputs. */
static whet_status check_texts(whet_ctx *ctx, const whet_align_job *job) {
    if (!job->text) return WHET_OK;
    if (!job->label)
        return whet_i_fail(ctx, WHET_ERR_ARG, "texts need labels; expected the column of them");
    if (job->method != WHET_ALIGN_WEIGHTS)
        return whet_i_fail(
            ctx, WHET_ERR_ARG,
            "encoders are aligned by weights alone; expected that method with texts");
    if (job->repair || job->statistics)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "encoders have no norms to measure or units to repair; expected "
                           "neither with texts");
    if (job->points < 2 || job->points > 1001)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%" PRId64 " points; expected 2 to 1001",
                           job->points);
    return WHET_OK;
}

static whet_status check_job(whet_ctx *ctx, const whet_align_job *job) {
    const bool refines = job->method == WHET_ALIGN_STRAIGHT_THROUGH;
    const bool runs = job->points || refines || job->method == WHET_ALIGN_ACTIVATIONS;
    const char *missing = (job->points || refines) && !job->labels && !job->text ? "labels"
                          : runs && !job->data                                   ? "data"
                                                                                 : NULL;
    if (missing)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%s needs %s; expected an array of them",
                           job->points ? "a barrier"
                           : refines   ? "straight-through refinement"
                                       : "matching activations",
                           missing);
    WHET_TRY(check_texts(ctx, job));
    for (int c = 0; c < 3; c++)
        if (!(job->scale[c] > 0) && !isnan(job->scale[c]))
            return whet_i_fail(ctx, WHET_ERR_ARG, "a scale of %g; expected more than 0",
                               job->scale[c]);
    if (job->shard_bytes < 0)
        return whet_i_fail(ctx, WHET_ERR_ARG, "files of negative size; expected bytes");
    if (job->shard_bytes && job->output && is_file(job->output))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s is one file, and a size of a folder's files is given; expected a "
                           "folder",
                           job->output);
    return check_outputs(ctx, job);
}

static whet_status align(run *r) {
    const whet_align_job *job = r->job;
    whet_mode_data data = r->inputs.data;
    if (job->method == WHET_ALIGN_STRAIGHT_THROUGH)
        return whet_align_straight_through(r->ctx, r->result.spec, &r->weights[0], &r->weights[1],
                                           &data, &job->opts, &r->result.alignment);
    if (data.statistics) { /* not what is scored, where there is something else */
        data.x = data.statistics;
        data.n = data.n_statistics;
    }
    if (job->method == WHET_ALIGN_ACTIVATIONS)
        return whet_align_activations(r->ctx, r->result.spec, &r->weights[0], &r->weights[1], &data,
                                      &r->result.alignment);
    return whet_align_weights(r->ctx, r->result.spec, &r->weights[0], &r->weights[1], &job->opts,
                              &r->result.alignment);
}

/* ---- out -------------------------------------------------------------------------------------------- */

static whet_status write_figure(run *r) {
    whet_i_buf svg = {0};
    whet_out *out = NULL;
    whet_status status = WHET_OK;
    if (!r->job->figure || !r->job->points) return WHET_OK;
    WHET_TRY_DONE(whet_i_mode_figure(r->ctx, &r->result, &svg));
    WHET_TRY_DONE(whet_out_open(r->ctx, r->job->figure, r->job->force, &out));
    WHET_TRY_DONE(whet_out_write(r->ctx, out, svg.data, svg.len));
    status = whet_out_commit(r->ctx, out);
    out = NULL;
done:
    whet_out_abort(r->ctx, out);
    whet_i_buf_free(r->ctx, &svg);
    return status;
}

/* What a module behind the encoder reads. */
static bool moves_outputs(const run *r) {
    const whet_permutation_spec *spec = r->result.spec;
    for (int64_t g = 0; g < spec->n_groups; g++) {
        int64_t n;
        const int64_t *order = whet_alignment_order(r->result.alignment, g, WHET_I_UNITS, &n);
        for (int64_t i = 0; spec->groups[g].output && i < n; i++)
            if (order[i] != i) return true;
    }
    return false;
}

/* A folder: weights, and what stands beside them in B's. */
static whet_status write_folder(run *r, const char *const *metadata) {
    const whet_align_job *job = r->job;
    whet_out_dir *dir = NULL;
    whet_status status = whet_out_dir_open(r->ctx, job->output, job->force, &dir);
    if (status != WHET_OK) return status;
    const char *to = whet_out_dir_path(dir);
    WHET_TRY_DONE(whet_i_write_weights(r->ctx, to, r->moved, r->weights[1].n, metadata,
                                       job->shard_bytes, &r->result.files));
    if (r->folder[1]) {
        WHET_TRY_DONE(whet_i_copy_file(r->ctx, job->b, to, "config.json"));
        WHET_TRY_DONE(whet_i_copy_tokenizer(r->ctx, job->b, to));
        WHET_TRY_DONE(whet_i_copy_model_files(
            r->ctx, job->b, to,
            moves_outputs(r) ? "it reads hidden states, whose columns are in another order here"
                             : "nothing that it reads has moved"));
    }
    return whet_out_dir_commit(r->ctx, dir);
done:
    whet_out_dir_abort(r->ctx, dir);
    return status;
}

static whet_status write_weights(run *r) {
    const whet_str format = whet_safetensors_metadata(r->file[1], "format");
    const char *const metadata[] = {"format", format.ptr, NULL}, *const none[] = {NULL};
    if (!r->job->output) return WHET_OK;
    if (!is_file(r->job->output)) return write_folder(r, format.ptr ? metadata : none);
    r->result.files = 1;
    return whet_safetensors_write(r->ctx, r->job->output, r->job->force, r->moved, r->weights[1].n,
                                  format.ptr ? metadata : none);
}

/* What takes the most room comes first: where it fails, nothing is left. */
static whet_status write_all(run *r) {
    WHET_TRY(write_weights(r));
    WHET_TRY(write_figure(r));
    if (!r->job->spec_output) return WHET_OK;
    return whet_permutation_spec_write(r->ctx, r->result.spec, r->job->spec_output, r->job->force);
}

static whet_status make_spec(run *r) {
    const whet_align_job *job = r->job;
    const whet_permutation_hints *given = &job->hints;
    whet_i_heads heads = {
        .value = {given->heads, given->kv_heads, given->head_size, given->norm_groups}};
    whet_i_strides strides = {0};
    WHET_TRY(whet_i_read_heads(r->ctx, job->a, r->folder[0], &heads));
    WHET_TRY(whet_i_read_heads(r->ctx, job->b, r->folder[1], &heads));
    WHET_TRY(whet_i_spec_of_files(r->ctx, job->arch, job->a, r->file[0], &r->weights[0], given,
                                  &heads, &r->result.spec));
    WHET_TRY(whet_i_read_strides(r->ctx, job->a, r->folder[0], &strides));
    WHET_TRY(whet_i_read_strides(r->ctx, job->b, r->folder[1], &strides));
    WHET_TRY(whet_i_tell_strides(r->ctx, &strides, &r->weights[0], r->result.spec));
    return job->data && !job->text ? whet_i_warn_of_strides(r->ctx, r->result.spec, &r->weights[0])
                                   : WHET_OK;
}

static whet_status run_job(run *r) {
    const whet_align_job *job = r->job;
    WHET_TRY(check_job(r->ctx, job));
    WHET_TRY(open_weights(r, 0, job->a));
    WHET_TRY(open_weights(r, 1, job->b));
    WHET_TRY(make_spec(r));
    WHET_TRY(read_data(r));
    WHET_TRY(check_lines(r));
    WHET_TRY(align(r));
    WHET_TRY(whet_i_calloc(r->ctx, r->weights[1].n, &r->moved));
    WHET_TRY(whet_alignment_apply(r->ctx, r->result.spec, r->result.alignment, &r->weights[1],
                                  r->moved));
    r->result.tensors = r->weights[1].n;
    r->result.points = job->points;
    for (int l = 0; job->points && l < WHET_LINES; l++)
        WHET_TRY(measure_line(r, (whet_align_line)l));
    return write_all(r);
}

whet_status whet_align_files(whet_ctx *ctx, const whet_align_job *job, whet_align_result *out) {
    whet_align_job known = WHET_ALIGN_JOB_INIT;
    run r = {.ctx = ctx, .job = &known};
    whet_status status = whet_i_opts(ctx, job, &known, sizeof known, "whet_align_job");
    if (status == WHET_OK) status = run_job(&r);
    for (int64_t i = 0; r.moved && i < r.weights[1].n; i++)
        whet_tensor_destroy(ctx, &r.moved[i].tensor);
    whet_i_free(ctx, r.moved);
    whet_i_mode_inputs_free(ctx, &r.inputs);
    whet_i_text_inputs_free(ctx, &r.texts);
    for (int k = 0; k < 2; k++) {
        whet_i_free(ctx, r.items[k]);
        whet_safetensors_close(ctx, r.file[k]);
        whet_i_weight_files_close(ctx, &r.parts[k]);
    }
    if (status == WHET_OK)
        *out = r.result;
    else
        whet_align_result_free(ctx, &r.result);
    return status;
}
