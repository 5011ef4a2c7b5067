/* SPDX-License-Identifier: Apache-2.0
 * A saved classifier from anybody: classifier.json up to the first NUL byte, which JSON never
 * holds, then classifier.safetensors. What loads must predict: probabilities that sum to 1. */
#include <float.h>
#include <math.h>

#include "fuzz.h"

#include "adapt/classifier.h"
#include "io/io_i.h"
#include "io/safetensors_i.h"

enum { ROWS = 4, MOST = 32 };

/* Rows of zeros, of ones, of different numbers, and of the largest that there are. */
static void make_rows(float x[ROWS * MOST], int64_t d) {
    for (int64_t j = 0; j < d; j++) {
        x[j] = 0;
        x[d + j] = 1;
        x[2 * d + j] = (float)(j % 5) - 1.5f;
        x[3 * d + j] = j % 2 ? -FLT_MAX : FLT_MAX;
    }
}

static whet_status predict(whet_ctx *ctx, const whet_classifier *c) {
    const int64_t d = whet_classifier_dim(c), k = whet_names_count(whet_classifier_classes(c));
    float x[ROWS * MOST];
    double probs[ROWS * MOST];
    FUZZ_REQUIRE(d > 0 && k > 1);
    if (d > MOST || k > MOST) return WHET_OK;
    make_rows(x, d);
    WHET_TRY(whet_classifier_predict(ctx, c, x, ROWS, probs));
    for (int64_t i = 0; i < ROWS; i++) {
        double sum = 0;
        for (int64_t j = 0; j < k; j++) {
            FUZZ_REQUIRE(probs[i * k + j] >= 0);
            sum += probs[i * k + j];
        }
        FUZZ_REQUIRE(fabs(sum - 1) < 1e-5); /* as far as the weights of the parts may be off */
    }
    return WHET_OK;
}

/* Texts through a saved TF-IDF: any features, as predicting refuses what is not finite. */
static whet_status transform(whet_ctx *ctx, const whet_tfidf *tfidf) {
    const char *const words[] = {"", "ab cd", "ab ab ef \xff"};
    whet_str texts[3];
    float out[3 * MOST];
    if (!tfidf || whet_tfidf_dim(tfidf) > MOST) return WHET_OK;
    for (int i = 0; i < 3; i++) texts[i] = whet_str_from(words[i]);
    return whet_tfidf_transform(ctx, tfidf, texts, 3, out);
}

static void touch(const char *text) {
    if (text) fuzz_touch(text, (int64_t)strlen(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    whet_ctx *ctx = fuzz_begin();
    const char *bytes = (const char *)data, *end = size ? memchr(data, 0, size) : NULL;
    const int64_t len = end ? end - bytes : (int64_t)size;
    const char *rest = end ? end + 1 : bytes + size;
    json_t *document = NULL;
    whet_safetensors *file = NULL;
    whet_classifier *c = NULL;
    whet_status status = whet_i_json_parse(ctx, "f.json", bytes, len, &document);
    if (status == WHET_OK)
        status = whet_i_safetensors_parse(ctx, "f.safetensors", rest, bytes + size - rest, &file);
    const whet_i_source source = {file, "f.safetensors"};
    if (status == WHET_OK) status = whet_i_classifier_parse(ctx, "f.json", document, &source, &c);
    json_decref(document); /* the classifier keeps nothing of it */
    if (status == WHET_OK) {
        const whet_classifier_meta *meta = whet_classifier_source(c);
        touch(whet_classifier_candidate(c));
        touch(whet_classifier_settings(c));
        touch(meta->encoder_path);
        touch(meta->text_column);
        FUZZ_REQUIRE(meta->beside >= 0 && meta->beside < 1);
        FUZZ_REQUIRE(!whet_classifier_beside(c)); /* two documents hold one */
        status = transform(ctx, meta->tfidf);
        if (status == WHET_OK) status = predict(ctx, c);
    }
    whet_classifier_destroy(ctx, c);
    whet_safetensors_close(ctx, file);
    fuzz_end(ctx, status);
    return 0;
}
