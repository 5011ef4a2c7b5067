/* SPDX-License-Identifier: Apache-2.0
 * Folders of runs that ended before their first checkpoint: there is nothing in them to go on with, nor
 * anything that another run could spoil. What is left is an empty checkpoint/, at most the log and the best
 * values so far, and temporaries; while a run is at work, one of them is its own. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tune/tune_i.h"

enum { PATH_ROOM = 4096 };

static bool path_of(char path[PATH_ROOM], const char *folder, const char *name) {
    const int n = snprintf(path, PATH_ROOM, "%s/%s", folder, name);
    return n > 0 && n < PATH_ROOM;
}

static bool is_temporary(const char *name) { return strstr(name, ".whet-") != NULL; }

/* Whether a folder is there with nothing but `known` names (NULL at the end), and temporaries where they are
 * allowed; *seen counts the known ones. */
static bool holds_only(const char *folder, const char *const *known, bool temporaries, int *seen) {
    DIR *list = opendir(folder);
    const struct dirent *item;
    bool only = list != NULL;
    *seen = 0;
    while (only && (item = readdir(list))) {
        const char *name = item->d_name;
        bool is_known = false;
        for (int i = 0; known[i]; i++) is_known = is_known || strcmp(name, known[i]) == 0;
        *seen += is_known;
        only = is_known || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
               (temporaries && is_temporary(name));
    }
    if (list) (void)closedir(list);
    return only;
}

static bool is_own(const char *output, const char *inside, bool temporaries) {
    static const char *const outer[] = {"checkpoint", "metrics.jsonl", NULL};
    static const char *const inner[] = {"best.safetensors", NULL};
    int seen;
    return holds_only(inside, inner, temporaries, &seen) &&
           holds_only(output, outer, temporaries, &seen) && seen > 0;
}

bool whet_i_tune_is_leftover(const char *output) {
    char inside[PATH_ROOM];
    if (!path_of(inside, output, "checkpoint") || !is_own(output, inside, true)) return false;
    whet_i_remove_stale(output);
    whet_i_remove_stale(inside);
    return is_own(output, inside, false); /* else a run is at work there */
}

/* ---- a run at work ----------------------------------------------------------------------------- */

static bool marker_of(const char *output, char path[PATH_ROOM]) {
    char name[64];
    (void)snprintf(name, sizeof name, "checkpoint/run.whet-%ld-0.tmp", (long)getpid());
    return path_of(path, output, name);
}

void whet_i_tune_mark(const char *output) {
    char path[PATH_ROOM];
    if (!marker_of(output, path)) return;
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd >= 0) (void)close(fd);
}

void whet_i_tune_unmark(const char *output) {
    char path[PATH_ROOM];
    if (marker_of(output, path)) (void)remove(path);
}

void whet_i_tune_sweep_leftover(const char *output) {
    static const char *const names[] = {"checkpoint/best.safetensors", "checkpoint",
                                        "metrics.jsonl"};
    char path[PATH_ROOM];
    if (!whet_i_tune_is_leftover(output)) return;
    for (int i = 0; i < WHET_COUNT_OF(names); i++)
        if (path_of(path, output, names[i])) (void)remove(path);
    (void)remove(output);
}
