/* SPDX-License-Identifier: Apache-2.0
 * Which of these texts mean the same? Embeds them with a pretrained encoder, prints every pair with
 * its cosine. Usage: similar MODEL_DIR TEXT TEXT... */
#include <stdio.h>
#include <stdlib.h>

#include <whet/whet.h>

static whet_status similar(whet_ctx *ctx, const char *model, char **words, int64_t n) {
    whet_encoder *encoder = NULL;
    whet_status status = whet_encoder_load(ctx, model, NULL, &encoder);
    if (status != WHET_OK) return status;
    const int64_t dim = whet_encoder_dim(encoder);
    whet_str *texts = calloc((size_t)n, sizeof *texts);
    float *rows = calloc((size_t)(n * dim), sizeof *rows); /* [n, dim], each of length 1 */
    if (!texts || !rows) abort();
    for (int64_t i = 0; i < n; i++) texts[i] = whet_str_from(words[i]);
    status = whet_encoder_embed(ctx, encoder, texts, n, rows);
    for (int64_t i = 0; i < n && status == WHET_OK; i++) {
        for (int64_t j = i + 1; j < n; j++) {
            double cosine = 0;
            for (int64_t k = 0; k < dim; k++)
                cosine += (double)rows[i * dim + k] * (double)rows[j * dim + k];
            printf("%6.3f  %s | %s\n", cosine, words[i], words[j]);
        }
    }
    free(rows);
    free(texts);
    whet_encoder_destroy(ctx, encoder);
    return status;
}

int main(int argc, char **argv) {
    if (argc < 4) {
        (void)fprintf(stderr, "usage: similar MODEL_DIR TEXT TEXT...\n");
        return 2;
    }
    whet_ctx *ctx = NULL;
    if (whet_ctx_create(NULL, &ctx) != WHET_OK) return 5;
    const whet_status status = similar(ctx, argv[1], argv + 2, argc - 2);
    if (status != WHET_OK) (void)fprintf(stderr, "similar: %s\n", whet_error(ctx));
    whet_ctx_destroy(ctx);
    return whet_status_exit_code(status);
}
