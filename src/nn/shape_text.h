/* SPDX-License-Identifier: Apache-2.0
 * How sentences about files write the shape of an array. */
#ifndef WHET_NN_SHAPE_TEXT_H
#define WHET_NN_SHAPE_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define WHET_I_SHAPE_TEXT 64

/* "[768, 3072]"; returns out. */
static inline const char *whet_i_shape_text(char out[WHET_I_SHAPE_TEXT], int32_t rank,
                                            const int64_t *shape) {
    size_t at = 0;
    out[at++] = '[';
    for (int32_t i = 0; i < rank && at < WHET_I_SHAPE_TEXT - 16; i++)
        at += (size_t)snprintf(out + at, WHET_I_SHAPE_TEXT - at, "%s%lld", i ? ", " : "",
                               (long long)shape[i]);
    (void)snprintf(out + (at < WHET_I_SHAPE_TEXT - 2 ? at : WHET_I_SHAPE_TEXT - 2), 2, "]");
    return out;
}

#endif
