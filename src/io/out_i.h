/* SPDX-License-Identifier: Apache-2.0
 * What output files and output directories share. */
#ifndef WHET_IO_OUT_I_H
#define WHET_IO_OUT_I_H

#include "io/io_i.h"

/* Makes "path.whet-<pid>-<n>.tmp" with the first n that is free; make gives a value >= 0, or -1
 * and errno. *name is released by whet_i_free. */
WHET_CHECKED whet_status whet_i_temporary(whet_ctx *ctx, const char *path,
                                          int (*make)(const char *name), char **name, int *made);
/* tail is ".whet-<pid>-<n>" and `end`, and the process is no more. */
bool whet_i_is_stale(const char *tail, const char *end);
/* Makes a rename durable; best effort, some file systems cannot sync directories. */
void whet_i_sync_parent(const char *path);

#endif
