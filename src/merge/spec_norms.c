/* SPDX-License-Identifier: Apache-2.0
 * Specifications of networks with group norms (Wu & He 2018): so many groups, or groups of so many
 * channels, whatever the width. Such a norm keeps the function only when channels that it norms together stay
 * together: blocks of a group of units. A stream that is widened by zeros (option A) is read by norms of
 * several widths, each over a run of the widest one's channels, and blocks of a wide one may hold old
 * channels and new ones, that then move together. So the groups of such an axis become one, in the order of
 * the longest axis, with a run for each width. */
#include <inttypes.h>
#include <stdio.h>

#include "io/io_i.h"
#include "merge/align_i.h"

/* Where a group is in the new specification. */
typedef struct home {
    const whet_i_axis *axis; /* the longest that it is on */
    int64_t units;           /* of that axis; 0 = one piece without a count */
    int32_t number;          /* of the new group, or -1 */
} home;

typedef struct maker {
    whet_ctx *ctx;
    const whet_permutation_spec *from;
    const whet_safetensors *file;
    whet_i_norm_groups norms;
    home *homes;                         /* [groups of from] */
    whet_i_group *groups;                /* [groups of from] the new ones */
    whet_i_run (*runs)[WHET_I_RUNS_MAX]; /* [groups of from] of the new ones */
    int64_t n;                           /* new groups */
} maker;

/* ---- norms --------------------------------------------------------------------------------------- */

static bool is_group_norm(const whet_i_spec_tensor *t, const whet_safetensors *file) {
    char name[512];
    whet_tensor other;
    const int length = (int)strlen(t->name) - (int)strlen(".weight");
    if (t->rank != 1 || t->axes[0].n == 0 || !whet_i_has_extension(t->name, ".weight"))
        return false;
    (void)snprintf(name, sizeof name, "%.*s.running_mean", length, t->name);
    return !whet_safetensors_find(file, name, &other);
}

/* Whether a group numbers the channels that a convolution writes. */
static bool is_of_channels(const whet_permutation_spec *spec, const whet_i_axis *axis) {
    for (int64_t i = 0; i < spec->n_tensors; i++) {
        const whet_i_spec_tensor *t = &spec->tensors[i];
        if (t->rank == 4 && t->axes[0].n > 0 && t->axes[0].pieces[0].group == axis->pieces[0].group)
            return true;
    }
    return false;
}

const whet_i_spec_tensor *whet_i_spec_group_norm(const whet_permutation_spec *spec,
                                                 const whet_safetensors *file) {
    for (int64_t i = 0; i < spec->n_tensors; i++) {
        const whet_i_spec_tensor *t = &spec->tensors[i];
        if (is_group_norm(t, file) && is_of_channels(spec, &t->axes[0])) return t;
    }
    return NULL;
}

/* ---- groups -------------------------------------------------------------------------------------- */

static int64_t units_of(const whet_i_axis *axis) {
    int64_t units = 0;
    for (int32_t p = 0; p < axis->n; p++) units += axis->pieces[p].count;
    return units;
}

static void find_homes(maker *m) {
    for (int64_t i = 0; i < m->from->n_tensors; i++) {
        const whet_i_spec_tensor *t = &m->from->tensors[i];
        for (int32_t x = 0; x < t->rank; x++)
            for (int32_t p = 0; p < t->axes[x].n; p++) {
                home *h = &m->homes[t->axes[x].pieces[p].group];
                if (h->axis && t->axes[x].n <= h->axis->n) continue;
                h->axis = &t->axes[x];
                h->units = units_of(h->axis);
            }
    }
}

/* One new group for all whose longest axis is the same. */
static void number_groups(maker *m) {
    for (int64_t g = 0; g < m->from->n_groups; g++) {
        home *h = &m->homes[g];
        h->number = -1;
        for (int64_t k = 0; k < g && h->number < 0; k++)
            if (m->homes[k].axis == h->axis) h->number = m->homes[k].number;
        if (h->number >= 0) continue;
        h->number = (int32_t)m->n;
        m->groups[m->n] = m->from->groups[g];
        if (h->axis->n > 1) m->groups[m->n].units = h->units;
        m->groups[m->n].runs = m->runs[m->n];
        m->n++;
    }
}

/* An axis as one piece of a new group: the longest axis has the others' pieces behind each other. */
static whet_i_piece new_piece(const maker *m, const whet_i_axis *axis) {
    const whet_i_piece *first = &axis->pieces[0];
    const home *h = &m->homes[first->group];
    whet_i_piece out = {h->number, first->part, 0, units_of(axis)};
    for (int32_t p = 0; h->axis->n > 1 && p < h->axis->n; p++) {
        const whet_i_piece *piece = &h->axis->pieces[p];
        if (piece->group == first->group && piece->first == first->first) break;
        out.first += piece->count;
    }
    return out;
}

/* ---- what norms ask of them ------------------------------------------------------------------------ */

static whet_status add_run(const maker *m, const whet_i_piece *p, int64_t blocks,
                           const whet_i_spec_tensor *t) {
    whet_i_group *g = &m->groups[p->group];
    whet_i_run *runs = m->runs[p->group];
    char quoted[WHET_QUOTE_SIZE];
    for (int32_t i = 0; i < g->n_runs; i++)
        if (runs[i].first == p->first && runs[i].count == p->count) {
            if (blocks > runs[i].blocks) runs[i].blocks = blocks;
            return WHET_OK;
        }
    if (g->n_runs == WHET_I_RUNS_MAX)
        return whet_i_fail(m->ctx, WHET_ERR_LIMIT, "tensor %s: more than %d widths of one stream",
                           whet_i_quote(quoted, whet_str_from(t->name)), (int)WHET_I_RUNS_MAX);
    runs[g->n_runs++] = (whet_i_run){p->first, p->count, blocks};
    return WHET_OK;
}

/* How many channels a norm has. */
static int64_t channels_of(const maker *m, const whet_i_spec_tensor *t) {
    whet_tensor found;
    return whet_safetensors_find(m->file, t->name, &found) && found.rank == 1 ? found.shape[0] : 0;
}

/* Channels that a convolution reads or writes in groups move inside and as those: norms of the same groups
 * keep the function, and those of one. */
static whet_status check_grouped(const maker *m, const whet_i_spec_tensor *t, const whet_i_group *g,
                                 int64_t count) {
    char quoted[WHET_QUOTE_SIZE];
    if (count == 1 || count == g->heads) return WHET_OK;
    return whet_i_fail(m->ctx, WHET_ERR_FORMAT,
                       "tensor %s norms %" PRId64
                       " groups of channels, which a convolution takes in %" PRId64
                       "; expected the same, or 1; try a specification as JSON",
                       whet_i_quote(quoted, whet_str_from(t->name)), count, g->heads);
}

static whet_status look_at(const maker *m, const whet_i_spec_tensor *t) {
    const bool norm = is_group_norm(t, m->file);
    const int64_t channels = norm ? channels_of(m, t) : 0;
    const int64_t count = channels > 0 ? whet_i_norm_count(m->norms, channels) : 0;
    char quoted[WHET_QUOTE_SIZE];
    if (norm && count == 0 && is_of_channels(m->from, &t->axes[0]))
        return whet_i_fail(m->ctx, WHET_ERR_FORMAT,
                           m->norms.channels
                               ? "tensor %s is of %" PRId64
                                 " channels, that are no whole groups of %" PRId64
                                 "; expected a multiple; try a specification as JSON"
                               : "tensor %s is of %" PRId64 " channels, that are no %" PRId64
                                 " groups of one size; expected a multiple; try a specification as "
                                 "JSON",
                           whet_i_quote(quoted, whet_str_from(t->name)), channels,
                           m->norms.channels ? m->norms.channels : m->norms.count);
    for (int32_t x = 0; x < t->rank; x++) {
        if (t->axes[x].n == 0) continue;
        const whet_i_piece piece = new_piece(m, &t->axes[x]);
        if (m->groups[piece.group].attention) {
            if (norm) WHET_TRY(check_grouped(m, t, &m->groups[piece.group], count));
        } else if (m->homes[t->axes[x].pieces[0].group].axis->n > 1)
            WHET_TRY(add_run(m, &piece, norm ? count : 1, t));
        else if (norm && count > 0)
            m->groups[piece.group].blocks = count;
    }
    return WHET_OK;
}

/* ---- the specification ----------------------------------------------------------------------------- */

static whet_status add_tensor(const maker *m, const whet_i_spec_tensor *t,
                              whet_permutation_spec *out) {
    whet_i_piece pieces[WHET_I_AXES_MAX];
    whet_i_spec_tensor copy = *t;
    for (int32_t x = 0; x < t->rank; x++) {
        if (t->axes[x].n == 0) continue;
        pieces[x] = new_piece(m, &t->axes[x]);
        copy.axes[x] = (whet_i_axis){1, &pieces[x]};
    }
    return whet_i_spec_tensor_add(m->ctx, out, &copy);
}

static whet_status make(maker *m, whet_permutation_spec *out) {
    char quoted[WHET_QUOTE_SIZE];
    int32_t id;
    find_homes(m);
    number_groups(m);
    for (int64_t i = 0; i < m->from->n_tensors; i++) WHET_TRY(look_at(m, &m->from->tensors[i]));
    for (int64_t g = 0; g < m->n; g++) {
        if (m->groups[g].n_runs > 0 && !whet_i_runs_fit(&m->groups[g]))
            return whet_i_fail(m->ctx, WHET_ERR_FORMAT,
                               m->norms.channels
                                   ? "%s: norms of groups of %" PRId64
                                     " channels cut each other's in a stream that is widened by "
                                     "zeros; expected groups that fit into the zeros on one side, "
                                     "or shortcuts that are convolutions"
                                   : "%s: norms of %" PRId64
                                     " groups cut each other's in a stream that is widened by "
                                     "zeros; expected a number of groups that is even, or 1",
                               whet_i_quote(quoted, whet_str_from(m->groups[g].name)),
                               m->norms.channels ? m->norms.channels : m->norms.count);
        WHET_TRY(whet_i_spec_group(m->ctx, out, &m->groups[g], &id));
    }
    for (int64_t i = 0; i < m->from->n_tensors; i++)
        WHET_TRY(add_tensor(m, &m->from->tensors[i], out));
    return WHET_OK;
}

whet_status whet_i_spec_norms(whet_ctx *ctx, const whet_permutation_spec *spec,
                              const whet_safetensors *file, whet_i_norm_groups norms,
                              whet_permutation_spec **out) {
    maker m = {.ctx = ctx, .from = spec, .file = file, .norms = norms};
    whet_permutation_spec *made = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_calloc(ctx, spec->n_groups, &m.homes));
    WHET_TRY_DONE(whet_i_calloc(ctx, spec->n_groups, &m.groups));
    WHET_TRY_DONE(whet_i_alloc_(ctx, spec->n_groups, sizeof *m.runs, true, &m.runs));
    WHET_TRY_DONE(whet_i_spec_create(ctx, spec->arch, &made));
    WHET_TRY_DONE(make(&m, made));
    *out = made;
    made = NULL;
done:
    whet_permutation_spec_destroy(ctx, made);
    whet_i_free(ctx, m.homes);
    whet_i_free(ctx, m.groups);
    whet_i_free(ctx, m.runs);
    return status;
}
