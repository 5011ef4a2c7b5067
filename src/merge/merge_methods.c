/* SPDX-License-Identifier: Apache-2.0
 * The table of methods and of their settings, and one tensor through one method. A method is a file
 * method_<name>.c, and a row here. */
#include <math.h>

#include "merge/merge_passes.h"

static const whet_i_merge_method *const methods[] = {
    &whet_i_merge_linear,
    &whet_i_merge_slerp,
    &whet_i_merge_nuslerp,
    &whet_i_merge_multislerp,
    &whet_i_merge_karcher,
    &whet_i_merge_task_arithmetic,
    &whet_i_merge_ties,
    &whet_i_merge_dare_linear,
    &whet_i_merge_dare_ties,
    &whet_i_merge_della,
    &whet_i_merge_della_linear,
    &whet_i_merge_breadcrumbs,
    &whet_i_merge_breadcrumbs_ties,
    &whet_i_merge_sce,
    &whet_i_merge_model_stock,
    &whet_i_merge_nearswap,
    &whet_i_merge_passthrough,
    &whet_i_merge_arcee_fusion,
    &whet_i_merge_ram,
    &whet_i_merge_ramplus,
    &whet_i_merge_fisher,
    &whet_i_merge_gradient,
};

static const whet_i_setting_kind kinds[WHET_I_SET_COUNT] = {
    [WHET_I_SET_WEIGHT] = {"weight", "of the model", true, false, -1e6, 1e6},
    [WHET_I_SET_DENSITY] = {"density", "share of differences kept", true, false, 0, 1},
    [WHET_I_SET_GAMMA] = {"gamma", "share of the largest differences dropped", true, false, 0, 1},
    [WHET_I_SET_EPSILON] = {"epsilon",
                            "half the range of keep probabilities; of ram, what counts "
                            "as changed",
                            true, false, 0, 1},
    [WHET_I_SET_SCALE] = {"scale", "factor of the model", true, false, -1e6, 1e6},
    [WHET_I_SET_T] = {"t",
                      "how far from the first to the second; of nearswap, the distance that is "
                      "near",
                      false, false, 0, 1e6},
    [WHET_I_SET_NORMALIZE] = {"normalize", "divide by the sum of weights", false, true, 0, 1},
    [WHET_I_SET_LAMBDA] = {"lambda", "factor of the merged difference", false, false, -1e6, 1e6},
    [WHET_I_SET_RESCALE] = {"rescale", "make up for what was dropped", false, true, 0, 1},
    [WHET_I_SET_RESCALE_L1] = {"rescale_l1",
                               "by the sum of sizes, not by the probability of being "
                               "kept",
                               false, true, 0, 1},
    [WHET_I_SET_INT8_MASK] = {"int8_mask", "has no effect", false, true, 0, 1},
    [WHET_I_SET_FLATTEN] = {"nuslerp_flatten", "the tensor is one vector", false, true, 0, 1},
    [WHET_I_SET_ROW_WISE] = {"nuslerp_row_wise", "vectors run along the first axis", false, true, 0,
                             1},
    [WHET_I_SET_NORMALIZE_WEIGHTS] = {"normalize_weights", "weights sum to 1", false, true, 0, 1},
    [WHET_I_SET_EPS] = {"eps", "lengths below it count as none", false, false, 0, 1},
    [WHET_I_SET_MAX_ITER] = {"max_iter", "rounds at most", false, false, 1, 100000},
    [WHET_I_SET_TOL] = {"tol", "step that counts as none", false, false, 0, 1},
    [WHET_I_SET_SELECT_TOPK] = {"select_topk", "share of places kept, those of most variance",
                                false, false, 0, 1},
    [WHET_I_SET_FILTER_WISE] = {"filter_wise", "by row, not by tensor", false, true, 0, 1},
    [WHET_I_SET_R] = {"r", "how much what only one model changed gains", false, false, 0, 1e6},
    [WHET_I_SET_ALPHA] = {"alpha", "largest ratio of shared to own changes that counts", false,
                          false, 0, 1e6},
};

const whet_i_setting_kind *whet_i_setting_kind_of(whet_i_setting setting) {
    return &kinds[setting];
}

int32_t whet_i_setting_find(whet_str name) {
    for (int32_t i = 0; i < WHET_I_SET_COUNT; i++)
        if (whet_str_equal(name, whet_str_from(kinds[i].name))) return i;
    return -1;
}

const whet_i_setting_use *whet_i_merge_use(const whet_i_merge_method *method,
                                           whet_i_setting setting) {
    for (const whet_i_setting_use *u = method->settings; u->setting != WHET_I_SET_COUNT; u++)
        if (u->setting == setting) return u;
    return NULL;
}

int64_t whet_merge_method_count(void) { return WHET_COUNT_OF(methods); }

const whet_merge_method *whet_merge_method_get(int64_t i) { return &methods[i]->shown; }

bool whet_merge_parameter_get(int64_t i, int64_t j, whet_merge_parameter *out) {
    const whet_i_setting_use *u = methods[i]->settings;
    while (j-- > 0 && u->setting != WHET_I_SET_COUNT) u++;
    if (u->setting == WHET_I_SET_COUNT) return false;
    const whet_i_setting_kind *kind = &kinds[u->setting];
    *out = (whet_merge_parameter){kind->name,       kind->summary, kind->per_model, kind->truth,
                                  isnan(u->preset), u->preset,     kind->low,       kind->high};
    return true;
}

/* The whole list is too long for a sentence: the nearest is told, or where it is. */
whet_status whet_i_merge_find(whet_ctx *ctx, whet_str name, const whet_i_merge_method **out) {
    for (int64_t i = 0; i < WHET_COUNT_OF(methods); i++)
        if (whet_str_equal(name, whet_str_from(methods[i]->shown.name))) {
            *out = methods[i];
            return WHET_OK;
        }
    char quoted[WHET_QUOTE_SIZE];
    whet_names *names = NULL;
    WHET_TRY(whet_names_create(ctx, &names));
    whet_status status = WHET_OK;
    for (int64_t i = 0; i < WHET_COUNT_OF(methods); i++)
        WHET_TRY_DONE(whet_names_add(ctx, names, whet_str_from(methods[i]->shown.name), NULL));
    const int64_t near = whet_i_nearest_name(names, name);
    (void)whet_i_quote(quoted, name);
    if (near >= 0)
        status =
            whet_i_fail(ctx, WHET_ERR_ARG, "merge method %s; expected one of the table; try \"%s\"",
                        quoted, methods[near]->shown.name);
    else
        status = whet_i_fail(ctx, WHET_ERR_ARG,
                             "merge method %s; expected one of whet merge --methods", quoted);
done:
    whet_names_destroy(ctx, names);
    return status;
}

/* ---- settings --------------------------------------------------------------------------------- */

void whet_i_merge_presets(const whet_i_merge_method *method, int64_t n,
                          double (*setting)[WHET_I_SET_COUNT]) {
    for (int64_t i = 0; i < n; i++) {
        for (int32_t s = 0; s < WHET_I_SET_COUNT; s++) setting[i][s] = 0;
        for (const whet_i_setting_use *u = method->settings; u->setting != WHET_I_SET_COUNT; u++)
            setting[i][u->setting] = u->preset;
    }
}

whet_status whet_i_merge_check_setting(whet_ctx *ctx, const whet_i_merge_method *method,
                                       whet_i_setting setting, double value) {
    const whet_i_setting_kind *kind = &kinds[setting];
    if (isnan(value))
        return whet_i_fail(ctx, WHET_ERR_ARG, "%s: no \"%s\"; expected one, for it has no default",
                           method->shown.name, kind->name);
    const bool whole = setting == WHET_I_SET_MAX_ITER;
    if (value >= kind->low && value <= kind->high && (!kind->truth || value == 0 || value == 1) &&
        (!whole || value == floor(value)))
        return WHET_OK;
    if (kind->truth)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%s: \"%s\" is %g; expected true or false",
                           method->shown.name, kind->name, value);
    return whet_i_fail(ctx, WHET_ERR_ARG, "%s: \"%s\" is %g; expected %s%g to %g",
                       method->shown.name, kind->name, value, whole ? "a whole number from " : "",
                       kind->low, kind->high);
}

whet_status whet_i_merge_check_sum(whet_ctx *ctx, const whet_i_merge_tensor *t,
                                   whet_i_setting normalize) {
    char quoted[WHET_QUOTE_SIZE];
    double sum = 0;
    for (int64_t i = 0; i < t->n; i++) sum += whet_i_merge_setting(t, i, WHET_I_SET_WEIGHT);
    if (whet_i_merge_global(t, normalize) == 0 || fabs(sum) >= 1e-8) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_ARG,
                       "%s: the weights for tensor %s sum to %g; expected another sum than 0; try "
                       "%s false",
                       t->method->shown.name, whet_i_quote(quoted, whet_str_from(t->name)), sum,
                       kinds[normalize].name);
}

whet_status whet_i_merge_unknown_setting(whet_ctx *ctx, const whet_i_merge_method *method,
                                         whet_str name) {
    char quoted[WHET_QUOTE_SIZE];
    whet_names *names = NULL;
    whet_i_buf list = {0};
    WHET_TRY(whet_names_create(ctx, &names));
    whet_status status = WHET_OK;
    for (int32_t i = 0; i < WHET_I_SET_COUNT; i++) {
        if (method && !whet_i_merge_use(method, (whet_i_setting)i)) continue;
        WHET_TRY_DONE(whet_names_add(ctx, names, whet_str_from(kinds[i].name), NULL));
        WHET_TRY_DONE(whet_i_buf_printf(ctx, &list, "%s%s", list.len ? ", " : "", kinds[i].name));
    }
    const int64_t near = whet_i_nearest_name(names, name);
    (void)whet_i_quote(quoted, name);
    if (near >= 0)
        status =
            whet_i_fail(ctx, WHET_ERR_ARG, "parameter %s is unknown%s%s; expected %s; try \"%s\"",
                        quoted, method ? " to " : "", method ? method->shown.name : "", list.data,
                        whet_names_get(names, near).ptr);
    else
        status = whet_i_fail(ctx, WHET_ERR_ARG, "parameter %s is unknown%s%s; expected %s", quoted,
                             method ? " to " : "", method ? method->shown.name : "",
                             list.len ? list.data : "none");
done:
    whet_i_buf_free(ctx, &list);
    whet_names_destroy(ctx, names);
    return status;
}

whet_status whet_i_merge_check_models(whet_ctx *ctx, const whet_i_merge_method *method, int64_t n,
                                      bool base, bool importance) {
    const whet_merge_method *m = &method->shown;
    if (n < m->least || n > m->most)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%s: %lld models%s; expected %s%d", m->name,
                           (long long)n, m->base == WHET_MERGE_BASE_NONE ? "" : " without the base",
                           m->least == m->most ? ""
                           : n < m->least      ? "at least "
                                               : "at most ",
                           n < m->least ? m->least : m->most);
    if (!base && m->base == WHET_MERGE_BASE_REQUIRED)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s: no base model; expected one that the others "
                           "were made from",
                           m->name);
    if (base && m->base == WHET_MERGE_BASE_NONE)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s: a base model; expected none; try it as one of "
                           "the models",
                           m->name);
    if (importance != m->importance)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%s: importances%s given; expected %s", m->name,
                           importance ? "" : " not", m->importance ? "one a model" : "none");
    return WHET_OK;
}

/* ---- running ---------------------------------------------------------------------------------- */

whet_status whet_i_merge_tensor_run(whet_ctx *ctx, whet_i_merge_tensor *t) {
    t->memory = NULL;
    if (t->method->check) WHET_TRY(t->method->check(ctx, t));
    whet_status status = whet_i_merge_room_create(ctx, t);
    if (status == WHET_OK) status = t->method->run(ctx, t);
    whet_i_merge_room_destroy(ctx, t);
    return status;
}

/* The settings given, over the presets. */
static whet_status apply(whet_ctx *ctx, const whet_i_merge_method *method,
                         const whet_merge_setting *given, int64_t n_given, int64_t n,
                         double (*setting)[WHET_I_SET_COUNT]) {
    whet_i_merge_presets(method, n, setting);
    for (int64_t k = 0; k < n_given; k++) {
        const int32_t s = whet_i_setting_find(whet_str_from(given[k].name));
        if (s < 0 || !whet_i_merge_use(method, (whet_i_setting)s))
            return whet_i_merge_unknown_setting(ctx, method, whet_str_from(given[k].name));
        if (given[k].model < -1 || given[k].model >= n ||
            (given[k].model >= 0 && !kinds[s].per_model))
            return whet_i_fail(ctx, WHET_ERR_ARG, "parameter \"%s\" of model %lld; expected %s",
                               kinds[s].name, (long long)given[k].model,
                               kinds[s].per_model ? "one of the models" : "one for all, -1");
        for (int64_t i = 0; i < n; i++)
            if (given[k].model == -1 || given[k].model == i) setting[i][s] = given[k].value;
    }
    for (int64_t i = 0; i < n; i++)
        for (const whet_i_setting_use *u = method->settings; u->setting != WHET_I_SET_COUNT; u++)
            WHET_TRY(whet_i_merge_check_setting(ctx, method, u->setting, setting[i][u->setting]));
    return WHET_OK;
}

static whet_status check_arrays(whet_ctx *ctx, const whet_i_merge_method *method,
                                const whet_merge_arrays *a, whet_i_merge_tensor *t) {
    if (a->n < 1 || a->n > WHET_MERGE_MODELS_MAX || a->rank < 0 || a->rank > WHET_RANK_MAX)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%lld models of %d axes; expected 1 to %d of at most %d",
                           (long long)a->n, a->rank, WHET_MERGE_MODELS_MAX, WHET_RANK_MAX);
    WHET_TRY(whet_i_merge_check_models(ctx, method, a->n, a->base != NULL, a->importance != NULL));
    t->count = 1;
    for (int32_t d = 0; d < a->rank; d++) {
        t->shape[d] = a->shape[d];
        WHET_TRY(whet_i_mul(ctx, t->count, a->shape[d], &t->count));
    }
    t->rank = a->rank;
    t->n = a->n;
    t->base = a->base ? a->n : -1;
    t->sources = a->n + (a->base ? 1 : 0) + (a->importance ? a->n : 0);
    return WHET_OK;
}

whet_status whet_i_merge_arrays_masked(whet_ctx *ctx, const char *name,
                                       const whet_merge_setting *settings, int64_t n_settings,
                                       uint64_t seed, const whet_merge_arrays *arrays,
                                       const float *const *uniform, float *out) {
    const whet_i_merge_method *method;
    whet_i_merge_source source[2 * WHET_MERGE_MODELS_MAX + 1];
    double(*setting)[WHET_I_SET_COUNT];
    WHET_TRY(whet_i_merge_find(ctx, whet_str_from(name), &method));
    whet_i_merge_tensor t = {.method = method, .name = arrays->name, .seed = seed};
    WHET_TRY(check_arrays(ctx, method, arrays, &t));
    memset(source, 0, sizeof source);
    for (int64_t i = 0; i < t.sources; i++) {
        source[i].model = i < t.n ? "model" : i == t.base ? "base" : "importance";
        source[i].dtype = WHET_F32;
        source[i].values = i < t.n       ? arrays->models[i]
                           : i == t.base ? arrays->base
                                         : arrays->importance[i - t.n - (t.base >= 0)];
    }
    WHET_TRY(whet_i_alloc(ctx, t.n, &setting));
    whet_status status = apply(ctx, method, settings, n_settings, t.n, setting);
    t.source = source;
    t.setting = (const double(*)[WHET_I_SET_COUNT])setting;
    t.uniform = uniform;
    t.out = out;
    if (status == WHET_OK) status = whet_i_merge_tensor_run(ctx, &t);
    whet_i_free(ctx, setting);
    return status;
}

whet_status whet_merge_arrays_run(whet_ctx *ctx, const char *method,
                                  const whet_merge_setting *settings, int64_t n_settings,
                                  uint64_t seed, const whet_merge_arrays *arrays, float *out) {
    return whet_i_merge_arrays_masked(ctx, method, settings, n_settings, seed, arrays, NULL, out);
}
