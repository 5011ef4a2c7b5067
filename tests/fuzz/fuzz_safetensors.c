/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "io/safetensors_i.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    whet_ctx *ctx = fuzz_begin();
    whet_safetensors *file = NULL;
    const whet_status status =
        whet_i_safetensors_parse(ctx, "f", (const char *)data, (int64_t)size, &file);
    if (status == WHET_OK) {
        for (int64_t i = 0; i < whet_safetensors_count(file); i++) {
            const whet_str name = whet_safetensors_name(file, i);
            whet_tensor view;
            fuzz_touch(name.ptr, name.len);
            if (memchr(name.ptr, '\0', (size_t)name.len)) continue; /* find takes C strings */
            FUZZ_REQUIRE(whet_safetensors_find(file, name.ptr, &view));
            fuzz_touch(view.data, whet_tensor_count(&view) * (int64_t)whet_dtype_size(view.dtype));
        }
        const whet_str value = whet_safetensors_metadata(file, "format");
        fuzz_touch(value.ptr, value.len);
        whet_safetensors_close(ctx, file);
    }
    fuzz_end(ctx, status);
    return 0;
}
