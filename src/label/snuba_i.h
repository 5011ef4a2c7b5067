/* SPDX-License-Identifier: Apache-2.0
 * What the entrance of Snuba shares with its two forms. */
#ifndef WHET_LABEL_SNUBA_I_H
#define WHET_LABEL_SNUBA_I_H

#include "label/rule_candidates.h"

/* Adds to empty rules and fills the report but for the counts of labels, candidates, rules. */
WHET_CHECKED whet_status whet_i_snuba_reference(whet_ctx *ctx, const whet_i_rows *rows,
                                                const whet_i_candidates *list,
                                                const whet_snuba_opts *opts, whet_rules *rules,
                                                whet_synth_report *report);

#endif
