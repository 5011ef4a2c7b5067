/* SPDX-License-Identifier: Apache-2.0
 * How much memory can still be had: what the kernel holds to be available (MemAvailable, free memory and
 * caches that it would give up), what the limits of the process's control groups leave, version 2 or 1,
 * of each group up to the root, what a limited address space leaves, and the context's own limit.
 * Files that are absent or say something else say nothing: then there is no limit. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/context.h"

enum { TEXT = 8192, PATH_SIZE = 4096 };

/* The beginning of a small file below `root`; false when there is none. */
static bool read_text(const char *root, const char *path, const char *name, char text[TEXT]) {
    char full[2 * PATH_SIZE];
    if (snprintf(full, sizeof full, "%s%s%s", root, path, name) >= (int)sizeof full) return false;
    FILE *file = fopen(full, "r");
    if (!file) return false;
    const size_t n = fread(text, 1, TEXT - 1, file);
    (void)fclose(file);
    text[n] = '\0';
    return n > 0;
}

/* The number behind a word that begins a line; -1 when it does not. */
static double number_behind(const char *text, const char *word) {
    const size_t len = strlen(word);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, word, len) != 0) continue;
        char *end;
        const uint64_t value = strtoull(line + len, &end, 10);
        return end == line + len ? -1 : (double)value;
    }
    return -1;
}

/* ---- control groups -------------------------------------------------------------------------- */

typedef struct group_files {
    const char *folder, *limit, *used;
} group_files;

/* What a group's limit leaves, its caches of files counted as free; infinity without one. */
static double group_room(const char *root, const group_files *f, const char *group) {
    char path[PATH_SIZE + 64], text[TEXT];
    (void)snprintf(path, sizeof path, "%s%s", f->folder, group);
    if (!read_text(root, path, f->limit, text)) return (double)INFINITY;
    const double limit = number_behind(text, "");
    if (limit < 0 || !read_text(root, path, f->used, text)) return (double)INFINITY;
    const double used = number_behind(text, "");
    if (used < 0) return (double)INFINITY;
    double caches = 0;
    if (read_text(root, path, "/memory.stat", text)) {
        const bool totals = number_behind(text, "total_inactive_file ") >= 0;
        const double idle = number_behind(text, totals ? "total_inactive_file " : "inactive_file ");
        const double busy = number_behind(text, totals ? "total_active_file " : "active_file ");
        caches = fmax(idle, 0) + fmax(busy, 0);
    }
    return fmax(limit - fmax(used - caches, 0), 0);
}

/* The least that the group and those above it leave. group: its path, cut on the way up. */
static double groups_room(const char *root, const group_files *f, char *group) {
    double room = (double)INFINITY;
    for (;;) {
        room = fmin(room, group_room(root, f, strcmp(group, "/") == 0 ? "" : group));
        char *slash = strrchr(group, '/');
        if (!slash || *group == '\0') return room;
        *slash = '\0';
    }
}

/* Lines of /proc/self/cgroup: "0::/path" of version 2, "4:memory:/path" of version 1. */
static double all_groups_room(const char *root) {
    static const group_files TWO = {"/sys/fs/cgroup", "/memory.max", "/memory.current"},
                             ONE = {"/sys/fs/cgroup/memory", "/memory.limit_in_bytes",
                                    "/memory.usage_in_bytes"};
    char text[TEXT], group[PATH_SIZE];
    double room = (double)INFINITY;
    if (!read_text(root, "/proc/self/cgroup", "", text)) return room;
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        const char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
        if (!path) break;
        const bool two = path == names + 1;
        const char *memory = strstr(names, "memory");
        if (!two && !(memory && memory < path)) continue;
        const size_t len = strcspn(path + 1, "\n");
        if (len >= sizeof group) continue;
        memcpy(group, path + 1, len);
        group[len] = '\0';
        room = fmin(room, groups_room(root, two ? &TWO : &ONE, group));
    }
    return room;
}

/* ---- all ------------------------------------------------------------------------------------- */

static double address_room(const char *root) {
    struct rlimit space;
    char text[TEXT];
    if (getrlimit(RLIMIT_AS, &space) != 0 || space.rlim_cur == RLIM_INFINITY)
        return (double)INFINITY;
    const double pages =
        read_text(root, "/proc/self/statm", "", text) ? number_behind(text, "") : 0;
    return fmax((double)space.rlim_cur - fmax(pages, 0) * (double)sysconf(_SC_PAGESIZE), 0);
}

static double machine_room(const char *root) {
    char text[TEXT];
    if (read_text(root, "/proc/meminfo", "", text)) {
        const double kb = number_behind(text, "MemAvailable:");
        if (kb >= 0) return kb * 1024;
    }
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (double)pages * (double)page : (double)INFINITY;
}

whet_i_room whet_i_room_below(const whet_ctx *ctx, const char *root) {
    whet_i_room room = {machine_room(root), "available on this machine"};
    const whet_i_room others[] = {
        {all_groups_room(root), "left by the limit of its control group"},
        {address_room(root), "left by the limit of its address space"},
        {ctx->memory_limit ? (double)(ctx->memory_limit - ctx->memory_now) : (double)INFINITY,
         "left by the limit that was set"}};
    for (int64_t i = 0; i < WHET_COUNT_OF(others); i++)
        if (others[i].bytes < room.bytes) room = others[i];
    return room;
}

/* "1.25 GB", or MB below a tenth of one. */
static const char *in_words(double bytes, char out[32]) {
    const bool large = bytes >= 1e8;
    (void)snprintf(out, 32, "%.*f %s", large ? 2 : 1, bytes / (large ? 1e9 : 1e6),
                   large ? "GB" : "MB");
    return out;
}

whet_status whet_i_check_room(whet_ctx *ctx, const char *what, double bytes, const char *advice) {
    char needed[32], there[32];
    const whet_i_room room = whet_i_room_below(ctx, "");
    if (bytes <= room.bytes) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_LIMIT, "%s needs %s more; expected at most the %s %s; try %s",
                       what, in_words(bytes, needed), in_words(room.bytes, there), room.of, advice);
}
