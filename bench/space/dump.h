/* SPDX-License-Identifier: Apache-2.0
 * Arrays into files, for peers to read. */
#ifndef WHET_BENCH_SPACE_DUMP_H
#define WHET_BENCH_SPACE_DUMP_H

#include <stdbool.h>
#include <stdio.h>

static inline bool dump(const char *folder, const char *name, const void *bytes, size_t size) {
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    if (!file) return false;
    const bool whole = fwrite(bytes, 1, size, file) == size;
    return fclose(file) == 0 && whole;
}

#endif
