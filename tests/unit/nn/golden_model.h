/* SPDX-License-Identifier: Apache-2.0
 * A folder of tests/golden with a model as transformers saves it and, in expected.safetensors, what
 * torch computes for one batch: logits, loss, and the gradient of every parameter. */
#ifndef WHET_TEST_GOLDEN_MODEL_H
#define WHET_TEST_GOLDEN_MODEL_H

#include "support.h"

#include "io/io_i.h"
#include "nn/nn_i.h"

typedef struct golden_model {
    whet_ctx *ctx;
    char dir[600];
    json_t *config;
    whet_safetensors *file, *expected;
    whet_i_params *params;
    whet_i_graph *graph;
    whet_i_value labels, logits, loss; /* set by who records */
    whet_token_rows rows;
    whet_tensor ids, start, label_ids;
    whet_i_text_batch batch;
} golden_model;

/* Opens tests/golden/<folder> with these kernels; params and graph are empty. */
void golden_open(golden_model *m, const char *folder, const char *kernels, whet_dtype dtype);
/* Binds, trains everything, runs the batch, and compares all that is expected: each number within
 * `bound` of the largest of its array. first_position: of the first token. */
void golden_check(golden_model *m, const char *prefix, int64_t first_position, bool recompute,
                  double bound);
void golden_close(golden_model *m);

#endif
