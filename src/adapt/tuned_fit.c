/* SPDX-License-Identifier: Apache-2.0
 * A tuned encoder's head as a fit, so that it is saved and predicts as any other classifier does.
 * Legend: n rows, d features, k classes. */
#include "adapt/tuned_fit.h"

#include <stdio.h>

#include "adapt/ensemble.h"

int64_t whet_i_encoder_place(void) {
    int64_t at = 0;
    while (strcmp(whet_i_candidates[at]->name, "encoder") != 0) at++;
    return at;
}

whet_status whet_i_fit_teach(whet_ctx *ctx, const whet_adapt_fit *fit, int64_t at,
                             const float *features, int64_t n, double *probs) {
    const whet_i_candidate *c = at < fit->n - 1 ? whet_i_candidates[at] : NULL;
    if (c && c->teach) return c->teach(ctx, c, &fit->pool, probs);
    return whet_adapt_fit_predict(ctx, fit, at, features, n, probs);
}

static whet_status make_base(whet_ctx *ctx, whet_i_linear_model *head, double temperature,
                             whet_i_base **out) {
    whet_i_base *base;
    WHET_TRY(whet_i_calloc(ctx, 1, &base));
    const whet_status status = whet_i_calloc(ctx, head->k, &base->offset);
    if (status != WHET_OK) {
        whet_i_free(ctx, base);
        return status;
    }
    base->sharpness = 1 / temperature;
    base->linear = *head;
    *head = (whet_i_linear_model){0};
    *out = base;
    return WHET_OK;
}

whet_status whet_i_tuned_fit_make(whet_ctx *ctx, const whet_names *classes,
                                  whet_i_linear_model *head, double temperature, const char *words,
                                  whet_adapt_fit **out) {
    const int64_t d = head->d, k = head->k, at = whet_i_encoder_place();
    whet_status status = WHET_OK;
    whet_i_base *base;
    whet_adapt_fit *fit = NULL;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &fit));
    fit->n = whet_i_candidate_count() + 1;
    fit->chosen = at;
    /* The head reads features as they are; no row looks at neighbours. */
    fit->pool =
        (whet_i_pool){.prepare = {.kind = WHET_I_AS_IS, .d_in = d, .d = d}, .d = d, .k = k, .m = 1};
    WHET_TRY_DONE(whet_i_copy_names(ctx, classes, &fit->classes));
    WHET_TRY_DONE(make_base(ctx, head, temperature, &base));
    fit->models[at] = base;
    whet_i_result *r = &fit->results[at];
    r->available = true;
    r->settings.temperature = temperature;
    (void)snprintf(r->words, sizeof r->words, "%s", words);
    fit->infos[at] = (whet_candidate_info){.name = whet_i_candidates[at]->name,
                                           .title = whet_i_candidates[at]->title,
                                           .settings = r->words,
                                           .available = true,
                                           .note = r->note};
    *out = fit;
    fit = NULL;
done:
    whet_adapt_fit_destroy(ctx, fit);
    return status;
}
