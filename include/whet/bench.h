/* SPDX-License-Identifier: Apache-2.0
 * bench: published comparisons, rerun: the data they are made on, every method on the same rows, tables
 * with intervals. */
#ifndef WHET_BENCH_H
#define WHET_BENCH_H

#include "whet/core.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __cplusplus
}
#endif
#endif
