/* SPDX-License-Identifier: Apache-2.0
 * Targets that users ask for, beside the layers that there are. */
#ifndef WHET_TUNE_ADAPTER_TARGETS_H
#define WHET_TUNE_ADAPTER_TARGETS_H

#include "tune/adapter_config.h"

/* Modules [n] of linear layers. Errors: ARG (the config's targets match none of them; with the nearest name).
 * A warning for each name that matches none, where others do. */
WHET_CHECKED whet_status whet_i_targets_check(whet_ctx *ctx, const whet_i_adapter_config *config,
                                              const char *const *modules, int64_t n);

#endif
