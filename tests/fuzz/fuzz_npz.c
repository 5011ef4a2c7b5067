/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "io/npy_i.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const keys[] = {NULL, "x"};
    for (int i = 0; i < 2; i++) {
        whet_ctx *ctx = fuzz_begin();
        whet_tensor t = {0};
        const whet_status status =
            whet_i_npz_parse(ctx, "f", (const char *)data, (int64_t)size, keys[i], &t);
        if (status == WHET_OK) {
            fuzz_touch(t.data, whet_tensor_count(&t) * (int64_t)whet_dtype_size(t.dtype));
            whet_tensor_destroy(ctx, &t);
        }
        fuzz_end(ctx, status);
    }
    return 0;
}
