/* SPDX-License-Identifier: Apache-2.0
 * Candidates by name: found, or all of them listed. */
#include "adapt/method.h"

#include "adapt/candidate.h"

static whet_status list_names(whet_ctx *ctx, whet_names *names, whet_i_buf *list) {
    for (int64_t i = 0; i < whet_i_candidate_count(); i++) {
        const char *name = whet_i_candidates[i]->name;
        if (!whet_i_candidates[i]->crossfit) continue;
        WHET_TRY(whet_names_add(ctx, names, whet_str_from(name), NULL));
        WHET_TRY(whet_i_buf_printf(ctx, list, "%s, ", name));
    }
    static const char *const others[] = {WHET_I_BLEND, WHET_I_AUTO, WHET_I_NO_WEAK};
    for (int64_t i = 0; i < WHET_COUNT_OF(others); i++) {
        WHET_TRY(whet_names_add(ctx, names, whet_str_from(others[i]), NULL));
        WHET_TRY(whet_i_buf_printf(ctx, list, "%s%s", i ? ", " : "", others[i]));
    }
    return WHET_OK;
}

static whet_status refuse(whet_ctx *ctx, const char *name) {
    char quoted[WHET_QUOTE_SIZE], near_quoted[WHET_QUOTE_SIZE];
    whet_status status = WHET_OK;
    whet_i_buf list = {0};
    whet_names *names = NULL;
    WHET_TRY_DONE(whet_names_create(ctx, &names));
    WHET_TRY_DONE(list_names(ctx, names, &list));
    const int64_t near = whet_i_nearest_name(names, whet_str_from(name));
    status = whet_i_fail(ctx, WHET_ERR_ARG, "candidate %s is unknown; expected one of %s%s%s",
                         whet_i_quote(quoted, whet_str_from(name)), list.data,
                         near < 0 ? "" : "; nearest is ",
                         near < 0 ? "" : whet_i_quote(near_quoted, whet_names_get(names, near)));
done:
    whet_names_destroy(ctx, names);
    whet_i_buf_free(ctx, &list);
    return status;
}

bool whet_i_method_compares(const char *name) {
    return !name || strcmp(name, WHET_I_AUTO) == 0 || strcmp(name, WHET_I_NO_WEAK) == 0;
}

whet_status whet_i_method_find(whet_ctx *ctx, const char *name, int64_t *out) {
    const int64_t n = whet_i_candidate_count();
    int64_t at = 0;
    while (at < n &&
           (strcmp(whet_i_candidates[at]->name, name) != 0 || !whet_i_candidates[at]->crossfit))
        at++;
    if (at == n && strcmp(name, WHET_I_BLEND) != 0 && !whet_i_method_compares(name))
        return refuse(ctx, name);
    *out = at;
    return WHET_OK;
}

bool whet_i_method_needs_names(int64_t place) {
    return place < whet_i_candidate_count() && whet_i_candidates[place]->needs_names;
}
