/* SPDX-License-Identifier: Apache-2.0
 * Specifications of permutations: what they hold, what makes one valid, and the table of architectures. */
#include <inttypes.h>
#include <stdio.h>

#include "io/io_i.h"
#include "merge/align_i.h"

static whet_status copy_text(whet_ctx *ctx, whet_permutation_spec *spec, const char *text,
                             const char **out) {
    const int64_t size = (int64_t)strlen(text) + 1;
    char *copy;
    WHET_TRY(whet_i_arena_alloc(ctx, &spec->arena, size, 1, &copy));
    memcpy(copy, text, (size_t)size);
    *out = copy;
    return WHET_OK;
}

whet_status whet_i_spec_name(whet_ctx *ctx, whet_permutation_spec *spec, const char *arch) {
    return copy_text(ctx, spec, arch, &spec->arch);
}

whet_status whet_i_spec_refuse(whet_ctx *ctx, whet_permutation_spec *spec, const char *why) {
    return copy_text(ctx, spec, why, &spec->refused);
}

whet_status whet_i_spec_create(whet_ctx *ctx, const char *arch, whet_permutation_spec **out) {
    whet_permutation_spec *spec;
    WHET_TRY(whet_i_calloc(ctx, 1, &spec));
    whet_status status = whet_names_create(ctx, &spec->names);
    if (status == WHET_OK) status = whet_i_spec_name(ctx, spec, arch);
    if (status != WHET_OK) {
        whet_permutation_spec_destroy(ctx, spec);
        return status;
    }
    *out = spec;
    return WHET_OK;
}

void whet_permutation_spec_destroy(whet_ctx *ctx, whet_permutation_spec *spec) {
    if (!spec) return;
    whet_names_destroy(ctx, spec->names);
    whet_i_free(ctx, spec->groups);
    whet_i_free(ctx, spec->tensors);
    whet_i_free(ctx, spec->told);
    whet_i_arena_free(ctx, &spec->arena);
    whet_i_free(ctx, spec);
}

int64_t whet_permutation_spec_groups(const whet_permutation_spec *spec) { return spec->n_groups; }

const char *whet_permutation_spec_group(const whet_permutation_spec *spec, int64_t i) {
    return spec->groups[i].name;
}

bool whet_permutation_spec_output(const whet_permutation_spec *spec, int64_t i) {
    return spec->groups[i].output;
}

const char *whet_permutation_spec_arch(const whet_permutation_spec *spec) { return spec->arch; }

/* ---- making one ------------------------------------------------------------------------------- */

int32_t whet_i_spec_find(const whet_permutation_spec *spec, const char *name) {
    for (int32_t i = 0; i < (int32_t)spec->n_groups; i++)
        if (strcmp(spec->groups[i].name, name) == 0) return i;
    return -1;
}

whet_status whet_i_spec_group(whet_ctx *ctx, whet_permutation_spec *spec, const whet_i_group *group,
                              int32_t *out) {
    char quoted[WHET_QUOTE_SIZE];
    if (whet_i_spec_find(spec, group->name) >= 0)
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "group %s is there twice; expected once",
                           whet_i_quote(quoted, whet_str_from(group->name)));
    if (spec->n_groups == spec->cap_groups) {
        const int64_t cap = 2 * spec->cap_groups + 8;
        WHET_TRY(whet_i_realloc(ctx, &spec->groups, cap));
        spec->cap_groups = cap;
    }
    whet_i_group *g = &spec->groups[spec->n_groups];
    *g = *group;
    WHET_TRY(copy_text(ctx, spec, group->name, &g->name));
    if (group->n_runs > 0) {
        whet_i_run *runs;
        WHET_TRY(whet_i_arena_alloc(ctx, &spec->arena, group->n_runs, sizeof *runs, &runs));
        memcpy(runs, group->runs, (size_t)group->n_runs * sizeof *runs);
        g->runs = runs;
    }
    *out = (int32_t)spec->n_groups++;
    return WHET_OK;
}

whet_status whet_i_spec_tensor_add(whet_ctx *ctx, whet_permutation_spec *spec,
                                   const whet_i_spec_tensor *tensor) {
    char quoted[WHET_QUOTE_SIZE];
    int64_t id;
    const whet_str name = whet_str_from(tensor->name);
    if (whet_names_find(spec->names, name) >= 0)
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "tensor %s is there twice; expected once",
                           whet_i_quote(quoted, name));
    if (tensor->rank < 0 || tensor->rank > WHET_I_AXES_MAX)
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "tensor %s has %d dimensions; expected at most %d",
                           whet_i_quote(quoted, name), (int)tensor->rank, (int)WHET_I_AXES_MAX);
    if (spec->n_tensors == spec->cap_tensors) {
        const int64_t cap = 2 * spec->cap_tensors + 16;
        WHET_TRY(whet_i_realloc(ctx, &spec->tensors, cap));
        spec->cap_tensors = cap;
    }
    whet_i_spec_tensor t = *tensor;
    WHET_TRY(copy_text(ctx, spec, tensor->name, &t.name));
    for (int32_t x = 0; x < t.rank; x++) {
        const int32_t n = t.axes[x].n;
        whet_i_piece *pieces;
        if (n == 0) continue;
        WHET_TRY(whet_i_arena_alloc(ctx, &spec->arena, n, sizeof *pieces, &pieces));
        memcpy(pieces, tensor->axes[x].pieces, (size_t)n * sizeof *pieces);
        t.axes[x].pieces = pieces;
    }
    WHET_TRY(whet_names_add(ctx, spec->names, name, &id));
    spec->tensors[spec->n_tensors++] = t;
    return WHET_OK;
}

whet_status whet_i_spec_put(whet_ctx *ctx, whet_permutation_spec *spec, const char *name,
                            int32_t rank, whet_i_piece rows, whet_i_piece columns) {
    const whet_i_spec_tensor t = {
        .name = name,
        .rank = rank,
        .axes = {{rows.group < 0 ? 0 : 1, &rows}, {columns.group < 0 ? 0 : 1, &columns}}};
    return whet_i_spec_tensor_add(ctx, spec, &t);
}

/* ---- what makes one valid ----------------------------------------------------------------------- */

typedef struct checker {
    whet_ctx *ctx;
    const whet_permutation_spec *spec;
    const char *where;
    bool *used; /* [groups] */
} checker;

static whet_status check_piece(const checker *c, const whet_i_spec_tensor *t, int32_t x,
                               const whet_i_piece *p) {
    char quoted[WHET_QUOTE_SIZE], group[WHET_QUOTE_SIZE];
    const whet_i_group *g = &c->spec->groups[p->group];
    (void)whet_i_quote(quoted, whet_str_from(t->name));
    (void)whet_i_quote(group, whet_str_from(g->name));
    if (p->part > (g->attention ? WHET_I_MIXED : WHET_I_UNITS))
        return whet_i_fail(
            c->ctx, WHET_ERR_FORMAT,
            "%s: tensor %s: axis %d is a part of %s, which is no attention; expected "
            "the group alone",
            c->where, quoted, (int)x, group);
    if (p->first < 0 || p->count < 0 || (t->axes[x].n > 1 && p->count == 0))
        return whet_i_fail(c->ctx, WHET_ERR_FORMAT,
                           "%s: tensor %s: axis %d: units %" PRId64 " and %" PRId64
                           " more of %s; expected a run of units",
                           c->where, quoted, (int)x, p->first, p->count, group);
    for (int32_t y = 0; y < x; y++)
        for (int32_t i = 0; i < t->axes[y].n; i++)
            if (t->axes[y].pieces[i].group == p->group)
                return whet_i_fail(
                    c->ctx, WHET_ERR_FORMAT,
                    "%s: tensor %s: group %s is on axes %d and %d; expected one axis "
                    "of a tensor",
                    c->where, quoted, group, (int)y, (int)x);
    c->used[p->group] = true;
    return WHET_OK;
}

static whet_status check_groups(const checker *c) {
    char quoted[WHET_QUOTE_SIZE];
    for (int64_t i = 0; i < c->spec->n_groups; i++) {
        const whet_i_group *g = &c->spec->groups[i];
        (void)whet_i_quote(quoted, whet_str_from(g->name));
        if (!c->used[i])
            return whet_i_fail(c->ctx, WHET_ERR_FORMAT,
                               "%s: group %s is on no axis; expected one tensor at least", c->where,
                               quoted);
        if (g->attention && (g->heads < 1 || g->kv < 1 || g->size < 1 || g->heads % g->kv != 0))
            return whet_i_fail(c->ctx, WHET_ERR_FORMAT,
                               "%s: group %s: %" PRId64 " heads, %" PRId64
                               " of keys and values; expected the first to be a multiple of the "
                               "second",
                               c->where, quoted, g->heads, g->kv);
    }
    return WHET_OK;
}

whet_status whet_i_spec_check(whet_ctx *ctx, const whet_permutation_spec *spec, const char *where) {
    checker c = {ctx, spec, where, NULL};
    whet_status status = WHET_OK;
    if (spec->n_groups == 0)
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: no group of units; expected one at least",
                           where);
    WHET_TRY(whet_i_calloc(ctx, spec->n_groups, &c.used));
    for (int64_t i = 0; i < spec->n_tensors; i++) {
        const whet_i_spec_tensor *t = &spec->tensors[i];
        for (int32_t x = 0; x < t->rank; x++)
            for (int32_t p = 0; p < t->axes[x].n; p++)
                WHET_TRY_DONE(check_piece(&c, t, x, &t->axes[x].pieces[p]));
    }
    WHET_TRY_DONE(check_groups(&c));
done:
    whet_i_free(ctx, c.used);
    return status;
}

/* ---- architectures ------------------------------------------------------------------------------ */

/* In the order in which "auto" asks. */
static const whet_i_spec_maker makers[] = {
    {"resnet", whet_i_spec_fits_resnet, whet_i_spec_resnet, true},
    {"wrn", NULL, whet_i_spec_resnet, true},
    {"bert", whet_i_spec_fits_bert, whet_i_spec_bert, false},
    {"roberta", NULL, whet_i_spec_bert, false},
    {"distilbert", NULL, whet_i_spec_bert, false},
    {"llama", whet_i_spec_fits_llama, whet_i_spec_llama, false},
    {"mlp", whet_i_spec_fits_chain, whet_i_spec_chain, true},
    {"cnn", NULL, whet_i_spec_chain, true},
    {"lenet", NULL, whet_i_spec_chain, true},
};

const char *whet_permutation_archs(void) {
    return "auto, mlp, cnn, lenet, resnet, wrn, bert, roberta, distilbert or llama";
}

bool whet_i_arch_is(const char *arch, const char *name) {
    const size_t n = strlen(name);
    if (strncmp(arch, name, n) != 0) return false;
    return arch[n] == '\0' || (arch[n] == ':' && whet_i_norms_told(whet_i_arch_norms(arch)));
}

bool whet_i_arch_is_garbled(const char *arch) {
    for (int64_t i = 0; i < WHET_COUNT_OF(makers); i++) {
        const size_t n = strlen(makers[i].arch);
        if (strncmp(arch, makers[i].arch, n) == 0 && arch[n] == ':')
            return !whet_i_arch_is(arch, makers[i].arch);
    }
    return false;
}

whet_i_norm_groups whet_i_arch_norms(const char *arch) {
    const char *colon = strrchr(arch, ':');
    const bool channels = colon && colon[1] == 'x';
    const char *digits = colon ? colon + 1 + channels : "";
    int64_t n = 0;
    for (int i = 0; digits[i]; i++) {
        if (!whet_i_is_digit(digits[i]) || i > 5) return (whet_i_norm_groups){0};
        n = 10 * n + (digits[i] - '0');
    }
    return channels ? (whet_i_norm_groups){0, n} : (whet_i_norm_groups){n, 0};
}

int64_t whet_i_norm_count(whet_i_norm_groups norms, int64_t channels) {
    if (norms.channels) return channels % norms.channels == 0 ? channels / norms.channels : 0;
    if (norms.count) return channels % norms.count == 0 ? norms.count : 0;
    return 1;
}

static const whet_i_spec_maker *find_maker(const char *arch, const whet_safetensors *file) {
    const bool any = whet_i_arch_is(arch, "auto");
    for (int64_t i = 0; i < WHET_COUNT_OF(makers); i++)
        if (any ? makers[i].fits && makers[i].fits(file) : whet_i_arch_is(arch, makers[i].arch))
            return &makers[i];
    return NULL;
}

/* "resnet", "resnet:4" or "resnet:x16". */
static void name_norms(char *out, size_t size, const char *arch, whet_i_norm_groups norms) {
    if (norms.channels)
        (void)snprintf(out, size, "%s:x%" PRId64, arch, norms.channels);
    else if (norms.count)
        (void)snprintf(out, size, "%s:%" PRId64, arch, norms.count);
    else
        (void)snprintf(out, size, "%s", arch);
}

/* Norms that may be of groups of channels: only such groups as are told keep the function. */
static whet_status with_norms(whet_ctx *ctx, const char *arch, const whet_safetensors *file,
                              const whet_i_spec_tensor *norm, whet_i_norm_groups norms,
                              whet_permutation_spec **spec) {
    whet_permutation_spec *out;
    if (!norm && whet_i_norms_told(norms))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s: the network has no norms of channels without running statistics; "
                           "expected it without their groups",
                           arch);
    if (!norm) return WHET_OK;
    if (!whet_i_norms_told(norms))
        whet_i_log(ctx, WHET_LOG_WARN,
                   "%.*s has no running statistics, and nothing tells in how many groups its "
                   "channels are normed: taken as one; where they are more the function is not "
                   "kept; say how many with the architecture, \"%s:8\" (\":1\" is one; \":x16\": "
                   "of 16 channels each)",
                   (int)(strlen(norm->name) - strlen(".weight")), norm->name, arch);
    if (norms.count <= 1 && !norms.channels) return WHET_OK; /* any order keeps the function */
    WHET_TRY(whet_i_spec_norms(ctx, *spec, file, norms, &out));
    whet_permutation_spec_destroy(ctx, *spec);
    *spec = out;
    return WHET_OK;
}

/* What names and shapes do not tell, and changes the function where it is taken wrongly. */
static void warn_of_guesses(whet_ctx *ctx, const whet_safetensors *file, bool any,
                            const whet_permutation_spec *spec) {
    if (any && whet_i_arch_is(spec->arch, "resnet") && whet_i_spec_resnet_untold(file))
        whet_i_log(
            ctx, WHET_LOG_WARN,
            "widths do not tell whether norms stand behind convolutions or before them: taken "
            "as resnet, behind; for a pre-activation network give --arch wrn");
}

whet_status whet_permutation_spec_for(whet_ctx *ctx, const char *arch, const whet_safetensors *file,
                                      const whet_permutation_hints *hints,
                                      whet_permutation_spec **out) {
    static const whet_permutation_hints none = {0};
    char quoted[WHET_QUOTE_SIZE], named[64];
    whet_permutation_spec *spec = NULL;
    whet_i_norm_groups norms = whet_i_arch_norms(arch);
    const whet_i_spec_maker *maker = find_maker(arch, file);
    if (!maker && whet_i_arch_is(arch, "auto"))
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "names of tensors are those of no known architecture; expected %s, or a "
                           "specification as JSON",
                           whet_permutation_archs());
    if (!maker)
        return whet_i_fail(ctx, WHET_ERR_ARG, "architecture %s; expected %s",
                           whet_i_quote(quoted, whet_str_from(arch)), whet_permutation_archs());
    if (!hints) hints = &none;
    WHET_TRY(whet_i_spec_create(ctx, maker->arch, &spec));
    whet_status status = maker->make(ctx, maker->arch, file, hints, spec);
    if (status == WHET_OK) status = whet_i_spec_check(ctx, spec, maker->arch);
    if (status == WHET_OK) {
        const whet_i_spec_tensor *norm = maker->norms ? whet_i_spec_group_norm(spec, file) : NULL;
        if (norm && !whet_i_norms_told(norms)) norms.count = hints->norm_groups;
        name_norms(named, sizeof named, maker->arch, norms);
        status = whet_i_spec_name(ctx, spec, named);
        if (status == WHET_OK) status = with_norms(ctx, named, file, norm, norms, &spec);
    }
    if (status != WHET_OK) {
        whet_permutation_spec_destroy(ctx, spec);
        return status;
    }
    warn_of_guesses(ctx, file, whet_i_arch_is(arch, "auto"), spec);
    *out = spec;
    return WHET_OK;
}
