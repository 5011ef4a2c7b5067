/* SPDX-License-Identifier: Apache-2.0
 * Label models from anybody: what loads is written and read again to the same model, and gives rows
 * probabilities. */
#include <math.h>

#include "fuzz.h"

#include "io/io_i.h"
#include "label/vote_model.h"

enum { ROWS = 4, MOST = 8 };

static whet_status predict(whet_ctx *ctx, const whet_label_model *model, double *probs) {
    const int64_t m = model->info.m, k = model->info.k;
    int8_t votes[ROWS * MOST];
    if (m > MOST || k > MOST) return WHET_OK;
    for (int64_t i = 0; i < ROWS * m; i++) votes[i] = (int8_t)(i * 5 % (k + 1) - 1);
    for (int64_t j = 0; j < m; j++) votes[j] = -1;
    const whet_votes v = {.n = ROWS, .m = m, .k = k, .narrow = votes};
    WHET_TRY(whet_label_model_predict(ctx, model, &v, probs));
    for (int64_t i = 0; i < ROWS; i++) {
        double sum = 0;
        for (int64_t c = 0; c < k; c++) {
            FUZZ_REQUIRE(probs[i * k + c] >= 0 && probs[i * k + c] <= 1.00001);
            sum += probs[i * k + c];
        }
        FUZZ_REQUIRE(fabs(sum - 1) < 1e-5);
    }
    return WHET_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    whet_ctx *ctx = fuzz_begin();
    json_t *document = NULL;
    whet_label_model *model = NULL, *again = NULL;
    whet_names *names = NULL, *names_again = NULL;
    double probs[2][ROWS * MOST] = {{0}};
    whet_status status =
        whet_i_json_parse(ctx, "f.json", (const char *)data, (int64_t)size, &document);
    if (status == WHET_OK)
        status = whet_i_label_model_parse(ctx, "f.json", document, &model, &names);
    json_decref(document);
    if (status == WHET_OK) {
        document = whet_i_label_model_json(model, names);
        FUZZ_REQUIRE(document);
        FUZZ_REQUIRE(whet_i_label_model_parse(ctx, "again.json", document, &again, &names_again) ==
                     WHET_OK);
        json_decref(document);
        status = predict(ctx, model, probs[0]);
        FUZZ_REQUIRE(predict(ctx, again, probs[1]) == status);
        FUZZ_REQUIRE(memcmp(probs[0], probs[1], sizeof probs[0]) == 0);
        FUZZ_REQUIRE(!names == !names_again);
    }
    whet_label_model_destroy(ctx, model);
    whet_label_model_destroy(ctx, again);
    whet_names_destroy(ctx, names);
    whet_names_destroy(ctx, names_again);
    fuzz_end(ctx, status);
    return 0;
}
