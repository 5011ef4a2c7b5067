/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "io/io_i.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    whet_ctx *ctx = fuzz_begin();
    json_t *document = NULL;
    whet_status status = whet_i_json_parse(ctx, "f", (const char *)data, (int64_t)size, &document);
    if (status == WHET_OK) {
        int64_t number;
        whet_str text;
        json_t *object;
        status = whet_i_json_int_or(ctx, "f", document, "n", 0, 9, 1, &number);
        if (status == WHET_OK) status = whet_i_json_str(ctx, "f", document, "s", &text);
        if (status == WHET_OK) fuzz_touch(text.ptr, text.len + 1);
        if (status == WHET_OK) status = whet_i_json_object(ctx, "f", document, "o", &object);
        json_decref(document);
    }
    fuzz_end(ctx, status);
    return 0;
}
