/* SPDX-License-Identifier: Apache-2.0
 * The whole job of `whet locus`: a space and observed classes in; what they can reach, what to label
 * next and a cover out. */
#include "space/space_i.h"

const char *whet_reach_name(whet_reach reach) {
    static const char *const names[WHET_REACHES] = {"never", "tied", "predicted", "alone",
                                                    "undecided"};
    return names[reach];
}

const char *whet_reach_reason_name(whet_reach_reason reason) {
    static const char *const names[] = {"observed", "between",     "branch",  "farther",
                                        "twin",     "ultrametric", "mixture", "envelope"};
    return names[reason];
}

void whet_locus_report_free(whet_ctx *ctx, whet_locus_report *r) {
    whet_locus_free(ctx, &r->locus);
    whet_i_free(ctx, r->next);
    whet_i_free(ctx, r->cover);
    whet_space_destroy(ctx, r->space);
    *r = (whet_locus_report){0};
}

/* ---- the table ------------------------------------------------------------------------------- */

static whet_status append_name(whet_ctx *ctx, const whet_space *space, int64_t point,
                               const char *path, whet_i_buf *text) {
    char quoted[WHET_QUOTE_SIZE];
    const whet_str name = whet_names_get(space->names, point);
    for (int64_t i = 0; i < name.len; i++)
        if (name.ptr[i] == '\t' || name.ptr[i] == '\n' || name.ptr[i] == '\r')
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "class %s holds a tab or line end; expected none, for %s",
                               whet_i_quote(quoted, name), path);
    return whet_i_buf_append(ctx, text, name.ptr, name.len);
}

static whet_status append_class(whet_ctx *ctx, const whet_locus_report *r, int64_t i,
                                const char *path, whet_i_buf *text) {
    const whet_locus_class *c = &r->locus.classes[i];
    WHET_TRY(append_name(ctx, r->space, c->point, path, text));
    WHET_TRY(whet_i_buf_printf(ctx, text, "\t%d\t%s\t%s\t", c->reason == WHET_REASON_OBSERVED,
                               whet_reach_name(c->reach), whet_reach_reason_name(c->reason)));
    if (c->other >= 0) WHET_TRY(append_name(ctx, r->space, c->other, path, text));
    return whet_i_buf_append(ctx, text, "\n", 1);
}

static whet_status write_table(whet_ctx *ctx, const whet_locus_report *r, const char *path,
                               whet_out *out) {
    whet_status status = WHET_OK;
    whet_i_buf text = {0};
    WHET_TRY_DONE(whet_i_buf_printf(ctx, &text, "class\tobserved\treach\treason\tother\n"));
    for (int64_t i = 0; i < r->locus.n; i++) {
        WHET_TRY_DONE(append_class(ctx, r, i, path, &text));
        if (text.len < 1 << 20) continue;
        WHET_TRY_DONE(whet_out_write(ctx, out, text.data, text.len));
        text.len = 0;
    }
    WHET_TRY_DONE(whet_out_write(ctx, out, text.data, text.len));
done:
    whet_i_buf_free(ctx, &text);
    return status;
}

/* ---- the parts ------------------------------------------------------------------------------- */

static whet_status find_next(whet_ctx *ctx, const whet_locus_job *job, const int64_t *observed,
                             const whet_frechet_opts *opts, whet_locus_report *r) {
    const int64_t n = whet_space_size(r->space), count = job->next < n ? job->next : n;
    if (job->by_nodes && (r->space->kind != SPACE_TREE || opts->candidates != WHET_CANDIDATES_ALL))
        return whet_i_fail(
            ctx, WHET_ERR_ARG,
            "next by nodes: elsewhere than on trees of which all nodes are candidates "
            "the next class is the farthest; expected by length");
    WHET_TRY(whet_i_alloc(ctx, count, &r->next));
    return whet_next_classes(ctx, r->space, observed, r->observed, opts, job->by_nodes, count,
                             r->next, &r->n_next, &r->next_rule);
}

static whet_status find_cover(whet_ctx *ctx, whet_locus_report *r) {
    WHET_TRY(whet_i_alloc(ctx, whet_space_size(r->space), &r->cover));
    return whet_locus_cover(ctx, r->space, r->cover, &r->n_cover, &r->cover_least, &r->cover_proof);
}

/* The space (discrete without a count has the observed as its points) and the observed in it. */
static whet_status open_space(whet_ctx *ctx, const whet_locus_job *job, whet_locus_report *r,
                              int64_t **observed) {
    whet_status status = WHET_OK;
    whet_names *classes = NULL;
    int64_t *points = NULL;
    if (job->observed) WHET_TRY(whet_names_read(ctx, job->observed, &classes));
    WHET_TRY_DONE(whet_space_open(ctx, job->space, classes, &r->space));
    if (!classes) goto done;
    r->observed = whet_names_count(classes);
    if (r->observed == 0) {
        status =
            whet_i_fail(ctx, WHET_ERR_DATA, "%s: no class; expected one or more", job->observed);
        goto done;
    }
    WHET_TRY_DONE(whet_i_alloc(ctx, r->observed, &points));
    status = whet_space_find_all(ctx, r->space, classes, points);
    if (status != WHET_OK) {
        status = whet_i_fail_at(ctx, status, "%s", job->observed);
        goto done;
    }
    *observed = points;
    points = NULL;
done:
    whet_i_free(ctx, points);
    whet_names_destroy(ctx, classes);
    return status;
}

static whet_status run(whet_ctx *ctx, const whet_locus_job *job, whet_out *out,
                       whet_locus_report *r) {
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    whet_status status = WHET_OK;
    int64_t *observed = NULL, *candidates = NULL;
    WHET_TRY_DONE(open_space(ctx, job, r, &observed));
    WHET_TRY_DONE(whet_candidates_read(ctx, r->space, job->candidates, &opts, &candidates));
    if (r->observed)
        WHET_TRY_DONE(whet_locus_find(ctx, r->space, observed, r->observed, &opts, &r->locus));
    if (job->next) WHET_TRY_DONE(find_next(ctx, job, observed, &opts, r));
    if (job->cover) WHET_TRY_DONE(find_cover(ctx, r));
    if (out) WHET_TRY_DONE(write_table(ctx, r, job->output, out));
done:
    whet_i_free(ctx, candidates);
    whet_i_free(ctx, observed);
    return status;
}

whet_status whet_locus_run(whet_ctx *ctx, const whet_locus_job *given, whet_locus_report *report) {
    whet_locus_job job = WHET_LOCUS_JOB_INIT;
    whet_locus_report r = {0};
    whet_status status = WHET_OK;
    whet_out *out = NULL;
    WHET_TRY(whet_i_opts(ctx, given, &job, sizeof job, "whet_locus_job"));
    if (!job.space) return whet_i_fail(ctx, WHET_ERR_ARG, "no space is given; expected one");
    if (job.next < 0)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%lld classes to label next; expected 0 or more",
                           (long long)job.next);
    if (!job.observed && (job.output || (!job.next && !job.cover)))
        return whet_i_fail(
            ctx, WHET_ERR_ARG,
            "no observed classes; expected them for a locus; without, next classes or "
            "a cover can be asked for");
    if (job.output) WHET_TRY(whet_out_open(ctx, job.output, job.force, &out));
    WHET_TRY_DONE(run(ctx, &job, out, &r));
    if (out) {
        status = whet_out_commit(ctx, out);
        out = NULL;
    }
    if (status == WHET_OK) {
        *report = r;
        r = (whet_locus_report){0};
    }
done:
    whet_out_abort(ctx, out);
    whet_locus_report_free(ctx, &r);
    return status;
}
