/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "io/npy_i.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    whet_ctx *ctx = fuzz_begin();
    whet_tensor t = {0};
    const whet_status status = whet_i_npy_parse(ctx, "f", (const char *)data, (int64_t)size, &t);
    if (status == WHET_OK) {
        const int64_t bytes = whet_tensor_count(&t) * (int64_t)whet_dtype_size(t.dtype);
        FUZZ_REQUIRE(bytes <= (int64_t)size);
        fuzz_touch(t.data, bytes);
        whet_tensor_destroy(ctx, &t);
    }
    fuzz_end(ctx, status);
    return 0;
}
