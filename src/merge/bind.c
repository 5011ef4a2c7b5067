/* SPDX-License-Identifier: Apache-2.0
 * Two networks bound to a specification: tensors found by name, shapes compared, sizes of groups filled
 * in. All that does not fit goes into one sentence, for who has to mend a file wants to know all of it. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "merge/align_i.h"

/* What is told of it all: a sentence has room for so much beside the names of both networks. */
enum { TOLD_MOST = 400 };

typedef struct binder {
    whet_ctx *ctx;
    whet_i_bound *bound;
    const whet_weights *a, *b;
    whet_names *names_a, *names_b;
    whet_i_buf told;
    int64_t n_told, n_shown;
} binder;

WHET_PRINTF(2, 3) static whet_status tell(binder *b, const char *format, ...) {
    char text[TOLD_MOST];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    b->n_told++;
    if (b->told.len && b->told.len + n >= TOLD_MOST) return WHET_OK;
    b->n_shown++;
    return whet_i_buf_printf(b->ctx, &b->told, "%s%s", b->told.len ? ", " : "", text);
}

int64_t whet_i_part_count(const whet_i_group *g, int32_t part) {
    if (!g->attention) return part == WHET_I_UNITS ? g->units : 0;
    return (part == WHET_I_QUERY || part == WHET_I_MIXED ? g->heads : g->kv) * g->size;
}

int64_t whet_i_repeat(const whet_i_bound *bound, const whet_i_axis *axis, int64_t n) {
    if (axis->n != 1 || axis->pieces[0].count != 0) return 1;
    const int64_t count =
        whet_i_part_count(&bound->groups[axis->pieces[0].group], axis->pieces[0].part);
    return count > 0 ? n / count : 0;
}

/* ---- names and shapes ---------------------------------------------------------------------------- */

static whet_status index_names(whet_ctx *ctx, const whet_weights *w, whet_names **out) {
    int64_t id;
    WHET_TRY(whet_names_create(ctx, out));
    for (int64_t i = 0; i < w->n; i++)
        WHET_TRY(whet_names_add(ctx, *out, whet_str_from(w->items[i].name), &id));
    return WHET_OK;
}

static whet_status shape_text(whet_ctx *ctx, const whet_tensor *t, whet_i_buf *out) {
    out->len = 0;
    WHET_TRY(whet_i_buf_printf(ctx, out, "["));
    for (int32_t i = 0; i < t->rank; i++)
        WHET_TRY(whet_i_buf_printf(ctx, out, "%s%" PRId64, i ? ", " : "", t->shape[i]));
    return whet_i_buf_printf(ctx, out, "]");
}

static bool same_shape(const whet_tensor *a, const whet_tensor *b) {
    return a->rank == b->rank &&
           memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0;
}

/* Of one network: its tensor, or that it is missing. */
static whet_status take(binder *b, const whet_i_spec_tensor *s, bool second, whet_tensor *out,
                        int64_t *place) {
    const whet_weights *w = second ? b->b : b->a;
    char quoted[WHET_QUOTE_SIZE];
    const int64_t at = whet_names_find(second ? b->names_b : b->names_a, whet_str_from(s->name));
    if (at < 0) {
        WHET_TRY(tell(b, "%s is not in %s", whet_i_quote(quoted, whet_str_from(s->name)),
                      second ? "the second" : "the first"));
        return WHET_OK;
    }
    *out = w->items[at].tensor;
    *place = at;
    if (out->rank != s->rank)
        WHET_TRY(tell(b, "%s has %d dimensions in %s, %d in the specification",
                      whet_i_quote(quoted, whet_str_from(s->name)), (int)out->rank,
                      second ? "the second" : "the first", (int)s->rank));
    return WHET_OK;
}

static whet_status compare(binder *b, int64_t i) {
    char quoted[WHET_QUOTE_SIZE];
    const whet_tensor *x = &b->bound->a[i], *y = &b->bound->b[i];
    whet_i_buf one = {0}, two = {0};
    whet_status status = WHET_OK;
    if (!x->data || !y->data) return WHET_OK;
    if (same_shape(x, y) &&
        (x->dtype == y->dtype || (whet_dtype_is_float(x->dtype) && whet_dtype_is_float(y->dtype))))
        return WHET_OK;
    WHET_TRY_DONE(shape_text(b->ctx, x, &one));
    WHET_TRY_DONE(shape_text(b->ctx, y, &two));
    WHET_TRY_DONE(tell(b, "%s is %s %s and %s %s",
                       whet_i_quote(quoted, whet_str_from(b->bound->spec->tensors[i].name)),
                       whet_dtype_name(x->dtype), one.data, whet_dtype_name(y->dtype), two.data));
done:
    whet_i_buf_free(b->ctx, &one);
    whet_i_buf_free(b->ctx, &two);
    return status;
}

static whet_status find_tensors(binder *b) {
    const whet_permutation_spec *spec = b->bound->spec;
    char quoted[WHET_QUOTE_SIZE];
    for (int64_t i = 0; i < spec->n_tensors; i++) {
        int64_t ignored;
        WHET_TRY(take(b, &spec->tensors[i], false, &b->bound->a[i],
                      b->b ? &ignored : &b->bound->place[i]));
        if (!b->b) continue;
        WHET_TRY(take(b, &spec->tensors[i], true, &b->bound->b[i], &b->bound->place[i]));
        WHET_TRY(compare(b, i));
    }
    for (int second = 0; second < (b->b ? 2 : 1); second++) {
        const whet_weights *w = second ? b->b : b->a;
        for (int64_t i = 0; i < w->n; i++)
            if (whet_names_find(spec->names, whet_str_from(w->items[i].name)) < 0)
                WHET_TRY(tell(b, "%s of %s is not in the specification",
                              whet_i_quote(quoted, whet_str_from(w->items[i].name)),
                              second ? "the second" : "the first"));
    }
    return WHET_OK;
}

/* ---- sizes ----------------------------------------------------------------------------------------- */

/* The units of groups that nobody has told: the shortest axis that is theirs alone. */
static void size_groups(const whet_i_bound *bound) {
    for (int64_t i = 0; i < bound->spec->n_tensors; i++) {
        const whet_i_spec_tensor *s = &bound->spec->tensors[i];
        for (int32_t x = 0; bound->a[i].data && x < s->rank && x < bound->a[i].rank; x++) {
            const whet_i_axis *axis = &s->axes[x];
            if (axis->n != 1 || axis->pieces[0].count != 0) continue;
            whet_i_group *g = &bound->groups[axis->pieces[0].group];
            const int64_t n = bound->a[i].shape[x];
            if (!g->attention && !bound->spec->groups[axis->pieces[0].group].units &&
                (g->units == 0 || n < g->units))
                g->units = n;
        }
    }
}

/* Blocks are of one length, runs are of the group's units. */
static whet_status check_blocks(binder *b) {
    for (int64_t i = 0; i < b->bound->spec->n_groups; i++) {
        const whet_i_group *g = &b->bound->groups[i];
        char quoted[WHET_QUOTE_SIZE];
        if (g->blocks > 1 && (g->units < g->blocks || g->units % g->blocks != 0))
            WHET_TRY(tell(
                b, "group %s has %" PRId64 " units, that are no %" PRId64 " blocks of one length",
                whet_i_quote(quoted, whet_str_from(g->name)), g->units, g->blocks));
        else if (g->n_runs > 0 && !whet_i_runs_fit(g))
            WHET_TRY(tell(b,
                          "group %s has runs that are not of its %" PRId64
                          " units, or whose blocks cut each other",
                          whet_i_quote(quoted, whet_str_from(g->name)), g->units));
    }
    return WHET_OK;
}

/* Units that stay among themselves may be on an axis without the others of their group. */
static bool is_kept_run(const whet_i_bound *bound, const whet_i_piece *p) {
    const whet_i_group *g = &bound->groups[p->group];
    for (int32_t i = 0; i < g->n_runs; i++)
        if (g->runs[i].first == p->first && g->runs[i].count == p->count) return true;
    return false;
}

/* Runs of one group's part must hold each of its units once, or elements would be lost. */
static bool is_covered(const whet_i_bound *bound, const whet_i_axis *axis,
                       const whet_i_piece *like) {
    const int64_t all = whet_i_part_count(&bound->groups[like->group], like->part);
    int64_t sum = 0;
    if (is_kept_run(bound, like)) return true;
    for (int32_t p = 0; p < axis->n; p++) {
        const whet_i_piece *one = &axis->pieces[p];
        if (one->group != like->group || one->part != like->part) continue;
        if (one->first > all - one->count) return false;
        sum += one->count; /* at most all each, and there are few */
        for (int32_t q = 0; q < p; q++) {
            const whet_i_piece *two = &axis->pieces[q];
            if (two->group == one->group && two->part == one->part &&
                one->first < two->first + two->count && two->first < one->first + one->count)
                return false;
        }
    }
    return sum == all;
}

static whet_status check_axis(binder *b, int64_t i, int32_t x) {
    const whet_i_spec_tensor *s = &b->bound->spec->tensors[i];
    const whet_i_axis *axis = &s->axes[x];
    const int64_t n = b->bound->a[i].shape[x];
    int64_t units = 0;
    char quoted[WHET_QUOTE_SIZE];
    bool fits = true;
    if (axis->n == 1 && axis->pieces[0].count == 0) {
        const whet_i_group *g = &b->bound->groups[axis->pieces[0].group];
        units = whet_i_part_count(g, axis->pieces[0].part);
        fits = n == units || (!g->attention && units > 0 && n > 0 && n % units == 0);
    } else if (axis->n > 0) {
        for (int32_t p = 0; p < axis->n; p++) {
            units += axis->pieces[p].count;
            fits = fits && is_covered(b->bound, axis, &axis->pieces[p]);
        }
        fits = fits && n == units;
    }
    (void)whet_i_quote(quoted, whet_str_from(s->name));
    if (!fits && n == units)
        WHET_TRY(tell(b, "%s has runs on axis %d that do not hold each unit of their groups once",
                      quoted, (int)x));
    else if (!fits)
        WHET_TRY(tell(b, "%s has %" PRId64 " on axis %d, whose groups have %" PRId64 " units",
                      quoted, n, (int)x, units));
    return WHET_OK;
}

static whet_status check_axes(binder *b) {
    for (int64_t i = 0; i < b->bound->spec->n_tensors; i++)
        for (int32_t x = 0; b->bound->a[i].data && x < b->bound->spec->tensors[i].rank; x++)
            if (x < b->bound->a[i].rank) WHET_TRY(check_axis(b, i, x));
    return WHET_OK;
}

/* ---- values ---------------------------------------------------------------------------------------- */

/* Exponents of all ones are infinities and NaN, in every one of the types. */
static bool is_finite(const whet_tensor *t) {
    const int64_t n = whet_tensor_count(t);
    uint64_t bad = 0;
    for (int64_t i = 0; i < n; i++) {
        uint64_t bits64;
        uint32_t bits32;
        uint16_t bits16;
        const char *at = (const char *)t->data + (size_t)i * whet_dtype_size(t->dtype);
        if (t->dtype == WHET_F64) {
            memcpy(&bits64, at, sizeof bits64);
            bad |= (bits64 & 0x7ff0000000000000U) == 0x7ff0000000000000U;
        } else if (t->dtype == WHET_F32) {
            memcpy(&bits32, at, sizeof bits32);
            bad |= (bits32 & 0x7f800000U) == 0x7f800000U;
        } else {
            const unsigned mask = t->dtype == WHET_F16 ? 0x7c00U : 0x7f80U;
            memcpy(&bits16, at, sizeof bits16);
            bad |= (bits16 & mask) == mask;
        }
    }
    return bad == 0;
}

static whet_status check_values(whet_ctx *ctx, const whet_i_bound *bound) {
    char quoted[WHET_QUOTE_SIZE];
    for (int64_t i = 0; i < bound->spec->n_tensors; i++) {
        const whet_i_spec_tensor *s = &bound->spec->tensors[i];
        if (s->unmatched) continue;
        for (int second = 0; second < (bound->b ? 2 : 1); second++) {
            const whet_tensor *t = second ? &bound->b[i] : &bound->a[i];
            (void)whet_i_quote(quoted, whet_str_from(s->name));
            if (!whet_dtype_is_float(t->dtype))
                return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                                   "tensor %s is %s; expected f64, f32, f16 or bf16", quoted,
                                   whet_dtype_name(t->dtype));
            if (!is_finite(t))
                return whet_i_fail(
                    ctx, WHET_ERR_DATA,
                    "tensor %s of %s has NaN or infinity among its numbers; expected "
                    "finite weights",
                    quoted, second ? "the second" : "the first");
        }
    }
    return WHET_OK;
}

/* ---- together -------------------------------------------------------------------------------------- */

static whet_status tell_all(const binder *b) {
    if (b->n_told == 0) return WHET_OK;
    const int64_t more = b->n_told - b->n_shown;
    if (more > 0)
        return whet_i_fail(b->ctx, WHET_ERR_SHAPE,
                           "networks do not fit: %s, and %" PRId64
                           " more; expected the tensors of the "
                           "specification in both",
                           b->told.data, more);
    return whet_i_fail(b->ctx, WHET_ERR_SHAPE,
                       "networks do not fit: %s; expected the tensors of the specification in both",
                       b->told.data);
}

whet_status whet_i_bind(whet_ctx *ctx, const whet_permutation_spec *spec, const whet_weights *a,
                        const whet_weights *b, bool finite, whet_i_bound *out) {
    binder w = {.ctx = ctx, .bound = out, .a = a, .b = b};
    whet_status status = WHET_OK;
    *out = (whet_i_bound){.spec = spec};
    WHET_TRY_DONE(whet_i_calloc(ctx, spec->n_tensors, &out->a));
    if (b) WHET_TRY_DONE(whet_i_calloc(ctx, spec->n_tensors, &out->b));
    WHET_TRY_DONE(whet_i_calloc(ctx, spec->n_tensors, &out->place));
    WHET_TRY_DONE(whet_i_alloc(ctx, spec->n_groups, &out->groups));
    memcpy(out->groups, spec->groups, (size_t)spec->n_groups * sizeof *out->groups);
    WHET_TRY_DONE(index_names(ctx, a, &w.names_a));
    if (b) WHET_TRY_DONE(index_names(ctx, b, &w.names_b));
    WHET_TRY_DONE(find_tensors(&w));
    size_groups(out);
    WHET_TRY_DONE(check_blocks(&w));
    WHET_TRY_DONE(check_axes(&w));
    WHET_TRY_DONE(tell_all(&w));
    if (finite) WHET_TRY_DONE(check_values(ctx, out));
done:
    whet_names_destroy(ctx, w.names_a);
    whet_names_destroy(ctx, w.names_b);
    whet_i_buf_free(ctx, &w.told);
    return status;
}

void whet_i_bound_free(whet_ctx *ctx, whet_i_bound *bound) {
    whet_i_free(ctx, bound->groups);
    whet_i_free(ctx, bound->a);
    whet_i_free(ctx, bound->b);
    whet_i_free(ctx, bound->place);
    *bound = (whet_i_bound){0};
}
