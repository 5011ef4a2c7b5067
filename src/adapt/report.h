/* SPDX-License-Identifier: Apache-2.0
 * report.html: one file, no scripts, nothing fetched; figures are SVG drawn here. Everything that
 * comes from the data is escaped: texts and names are not trusted. */
#ifndef WHET_ADAPT_REPORT_H
#define WHET_ADAPT_REPORT_H

#include "adapt/pipeline_i.h"

/* The whole document. out starts as {0}; released by the caller, on failure too. */
whet_status whet_i_report(whet_ctx *ctx, const whet_i_run *run, whet_i_buf *out);

/* ---- report_tuning.c: nothing where the encoder was not to be tuned ------------------------------ */

whet_status whet_i_report_tuning(whet_ctx *ctx, whet_i_buf *out, const whet_i_run *run);

/* ---- report_figures.c ------------------------------------------------------------------------ */

/* Candidates as dots with 95 % whiskers: cross-fitted, and on the test rows where measured. */
whet_status whet_i_figure_candidates(whet_ctx *ctx, whet_i_buf *out, const whet_i_run *run);
/* counts [k, k], rows are true classes; shares of each row as shades. */
whet_status whet_i_figure_confusion(whet_ctx *ctx, whet_i_buf *out, const whet_names *classes,
                                    const int64_t *counts);
whet_status whet_i_figure_reliability(whet_ctx *ctx, whet_i_buf *out,
                                      const whet_reliability_bin *bins);

#endif
