/* SPDX-License-Identifier: Apache-2.0
 * Reading ahead: what a plan's sources are read for next is asked for while the processors are at work. The
 * system's own readahead starts anew with each tensor and knows nothing of the next. */
#ifndef WHET_MERGE_AHEAD_H
#define WHET_MERGE_AHEAD_H

#include "merge/merge_plan.h"

/* Items that are done are not read. The plan must outlive it. NOMEM. */
WHET_CHECKED whet_status whet_i_merge_ahead_create(whet_ctx *ctx, const whet_merge_plan *plan,
                                                   const bool *done, whet_i_merge_ahead **out);
void whet_i_merge_ahead_destroy(whet_ctx *ctx, whet_i_merge_ahead *ahead);

#endif
