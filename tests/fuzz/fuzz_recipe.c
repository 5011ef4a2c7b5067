/* SPDX-License-Identifier: Apache-2.0
 * Recipes from anybody: what parses has a method, sources and values that can be looked up, and
 * tokens that say one thing each. */
#include <math.h>

#include "fuzz.h"

#include "merge/recipe.h"

static void look_up(const whet_i_recipe *r) {
    for (int64_t s = 0; s < r->n; s++)
        for (int64_t i = 0; i < r->slices[s].n; i++) {
            const whet_i_recipe_source *source = &r->slices[s].sources[i];
            FUZZ_REQUIRE(source->model && source->model[0]);
            fuzz_touch(source->model, (int64_t)strlen(source->model));
            FUZZ_REQUIRE(!r->stacked || (source->first >= 0 && source->last > source->first));
            for (int k = 0; k < WHET_I_SET_COUNT; k++)
                for (int u = 0; u <= 4; u++) {
                    const whet_i_setting_kind *kind = whet_i_setting_kind_of((whet_i_setting)k);
                    const double value =
                        whet_i_recipe_value_of(r, &r->slices[s], source, (whet_i_setting)k,
                                               "model.layers.3.mlp.weight", 0.25 * u);
                    /* Interpolation stays between what it is between, to rounding. */
                    FUZZ_REQUIRE(isnan(value) || (value >= kind->low - 1e-6 * fabs(kind->low) &&
                                                  value <= kind->high + 1e-6 * fabs(kind->high)));
                }
        }
}

static void look_at_tokens(const whet_i_recipe *r) {
    for (int64_t i = 0; i < r->n_tokens; i++) {
        const whet_i_recipe_token *t = &r->token[i];
        const bool other = t->source == WHET_I_TOKEN_OTHER;
        FUZZ_REQUIRE(t->text && t->text[0] && t->place);
        FUZZ_REQUIRE((other || t->source == WHET_I_TOKEN_OF_MODEL) == (t->model != NULL));
        FUZZ_REQUIRE(!other || (t->token != NULL) == (t->id < 0));
        for (int64_t k = 0; k < i && k < 100; k++)
            FUZZ_REQUIRE(strcmp(t->text, r->token[k].text) != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    whet_ctx *ctx = fuzz_begin();
    whet_i_recipe recipe = {0};
    const whet_status status =
        whet_i_recipe_parse(ctx, "r.yml", (const char *)data, (int64_t)size, &recipe);
    if (status == WHET_OK) {
        FUZZ_REQUIRE(recipe.method && recipe.n > 0);
        look_up(&recipe);
        look_at_tokens(&recipe);
    }
    whet_i_recipe_clear(ctx, &recipe);
    fuzz_end(ctx, status);
    return 0;
}
