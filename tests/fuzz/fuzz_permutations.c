/* SPDX-License-Identifier: Apache-2.0
 * Specifications of permutations from anybody: what loads binds to a small network or is refused by name, and
 * then moves every element of it once. */
#include "fuzz.h"

#include "merge/align_i.h"

enum { ROWS = 6, COLUMNS = 12 };

/* Whether b holds each number of 0 .. n - 1 once. */
static bool is_rearranged(const whet_tensor *b, int64_t n) {
    uint8_t seen[ROWS * COLUMNS] = {0};
    for (int64_t i = 0; i < n; i++) {
        const float x = ((const float *)b->data)[i];
        if (!(x >= 0 && x < (float)n) || seen[(int)x]) return false;
        seen[(int)x] = 1;
    }
    return true;
}

static whet_status apply(whet_ctx *ctx, const whet_permutation_spec *spec) {
    float numbers[ROWS * COLUMNS];
    for (int i = 0; i < ROWS * COLUMNS; i++) numbers[i] = (float)i;
    const whet_named_tensor items[] = {{"w", {numbers, WHET_F32, 2, {ROWS, COLUMNS}}},
                                       {"b", {numbers, WHET_F32, 1, {ROWS}}},
                                       {"v", {numbers, WHET_F32, 2, {ROWS, ROWS}}}};
    whet_named_tensor out[3];
    whet_alignment *drawn = NULL;
    for (int64_t n = 1; n <= 3; n++) {
        const whet_weights weights = {items, n};
        whet_status status = whet_alignment_random(ctx, spec, &weights, 7, &drawn);
        if (status == WHET_ERR_SHAPE) continue;
        WHET_TRY(status);
        status = whet_alignment_apply(ctx, spec, drawn, &weights, out);
        whet_alignment_destroy(ctx, drawn);
        WHET_TRY(status);
        for (int64_t i = 0; i < n; i++) {
            FUZZ_REQUIRE(is_rearranged(&out[i].tensor, whet_tensor_count(&out[i].tensor)));
            whet_tensor_destroy(ctx, &out[i].tensor);
        }
    }
    return WHET_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    whet_ctx *ctx = fuzz_begin();
    whet_permutation_spec *spec = NULL;
    whet_status status = whet_i_spec_parse(ctx, "f.json", (const char *)data, (int64_t)size, &spec);
    if (status == WHET_OK) status = apply(ctx, spec);
    whet_permutation_spec_destroy(ctx, spec);
    fuzz_end(ctx, status);
    return 0;
}
