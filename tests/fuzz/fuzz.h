/* SPDX-License-Identifier: Apache-2.0
 * What fuzz targets share: a context with a memory limit, and what must hold after every input. */
#ifndef WHET_FUZZ_H
#define WHET_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "whet/core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process where the fuzzer and the sanitizers see it; not assert, which release drops. */
#define FUZZ_REQUIRE(condition) \
    do { \
        if (!(condition)) abort(); \
    } while (0)

/* A context that may hold 64 MB: no small input may ask for more and get it. */
static inline whet_ctx *fuzz_begin(void) {
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    opts.threads = 1;
    opts.memory_limit = (size_t)64 << 20;
    whet_ctx *ctx = NULL;
    FUZZ_REQUIRE(whet_ctx_create(&opts, &ctx) == WHET_OK);
    return ctx;
}

/* A failure has its sentence and is the input's fault or a limit, never ours; nothing is leaked. */
static inline void fuzz_end(whet_ctx *ctx, whet_status status) {
    size_t held;
    FUZZ_REQUIRE(status == WHET_OK || whet_error(ctx)[0] != '\0');
    FUZZ_REQUIRE(status != WHET_ERR_INTERNAL && status != WHET_ERR_CANCELLED);
    whet_ctx_memory(ctx, &held, NULL);
    FUZZ_REQUIRE(held == 0);
    whet_ctx_destroy(ctx);
}

/* Reads every byte, so that a view that points outside is noticed. */
static inline void fuzz_touch(const void *bytes, int64_t len) {
    const volatile uint8_t *p = bytes;
    uint8_t sum = 0;
    for (int64_t i = 0; i < len; i++) sum = (uint8_t)(sum ^ p[i]);
    (void)sum;
}

#endif
