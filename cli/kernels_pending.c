/* SPDX-License-Identifier: Apache-2.0
 * Stands in until src/kernels is built (cli/meson.build); then this file goes. */
#include "cli.h"

whet_status whet_kernels_select(whet_ctx *ctx, const char *name) {
    (void)ctx;
    (void)name;
    return WHET_OK;
}

const char *whet_kernels_name(whet_ctx *ctx) {
    (void)ctx;
    return "ref";
}
