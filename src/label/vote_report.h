/* SPDX-License-Identifier: Apache-2.0
 * The report about votes: one HTML file, no scripts, nothing fetched. */
#ifndef WHET_LABEL_VOTE_REPORT_H
#define WHET_LABEL_VOTE_REPORT_H

#include "io/io_i.h"
#include "label/vote_model.h"

/* Writes job->report. */
WHET_CHECKED whet_status whet_i_vote_report_write(whet_ctx *ctx, const whet_label_analyze_job *job,
                                                  const whet_label_analysis *analysis);

#endif
