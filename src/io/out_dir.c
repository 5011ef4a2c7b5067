/* SPDX-License-Identifier: Apache-2.0
 * Output directories that appear whole: a temporary directory beside the target, renamed at the
 * end. With `force` an existing directory makes way: entries that the new output also has are
 * replaced, and so are those that outputs of its kind may have; other entries are kept, with a
 * warning, because --force on a wrong path must not delete a stranger's files. What a process that
 * was killed has left beside the target is put in order by the next one that opens it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/out_i.h"

static const char ASIDE[] = ".old"; /* behind the temporary's name: what stood there before */

struct whet_out_dir {
    bool force;
    const char *const *own; /* ends with NULL; or NULL */
    char *path, *temporary;
};

static whet_status cannot(whet_ctx *ctx, const char *path, const char *what) {
    return whet_i_fail(ctx, WHET_ERR_IO, "%s: cannot be %s: %s", path, what, strerror(errno));
}

static int make_directory(const char *name) { return mkdir(name, 0777); }

/* The folder that holds a path, and the path's name in it. */
static whet_status split(whet_ctx *ctx, const char *path, char **parent, const char **name) {
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    const whet_str here = whet_str_from("."), above = {path, slash == path ? 1 : slash - path};
    return whet_i_strdup(ctx, slash ? above : here, parent);
}

/* Removes what is at parent/name, never following links. Recursion is as deep as the directories
 * that this library itself wrote or that a file system could hold open. */
static void remove_at(int parent, const char *name) {
    const int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        (void)unlinkat(parent, name, 0);
        return;
    }
    DIR *entries = fdopendir(fd);
    if (!entries) {
        (void)close(fd);
        return;
    }
    for (const struct dirent *e; (e = readdir(entries));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) remove_at(fd, e->d_name);
    (void)closedir(entries);
    (void)unlinkat(parent, name, AT_REMOVEDIR);
}

static bool is_there(int folder, const char *name) {
    struct stat info;
    return fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Weights of a model as transformers looks for them: of two layouts side by side it takes the wrong one. */
static bool is_weights(const char *name) {
    const size_t n = strlen(name), end = strlen(".safetensors");
    if (strcmp(name, "model.safetensors.index.json") == 0) return true;
    return strncmp(name, "model", 5) == 0 && (name[5] == '.' || name[5] == '-') && n > end &&
           strcmp(name + n - end, ".safetensors") == 0;
}

static bool is_among(const char *name, const char *const *names) {
    while (names && *names && strcmp(*names, name) != 0) names++;
    return names && *names;
}

/* Moves every entry of `old` that `fresh` lacks into `fresh`, but for those of `own`; weights only where it
 * has none. */
static whet_status keep_others(whet_ctx *ctx, const char *old, const char *fresh,
                               const char *const *own) {
    DIR *entries = opendir(old);
    if (!entries) return cannot(ctx, old, "listed");
    whet_status status = WHET_OK;
    const int from = dirfd(entries);
    const int to = open(fresh, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (to < 0) status = cannot(ctx, fresh, "opened");
    const bool weights = to >= 0 && (is_there(to, "model.safetensors") ||
                                     is_there(to, "model.safetensors.index.json"));
    for (const struct dirent *e; status == WHET_OK && (e = readdir(entries));) {
        char quoted[WHET_QUOTE_SIZE];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if (is_there(to, e->d_name) || is_among(e->d_name, own) ||
            (weights && is_weights(e->d_name)))
            continue;
        if (renameat(from, e->d_name, to, e->d_name) != 0)
            status = cannot(ctx, old, "merged");
        else
            whet_i_log(ctx, WHET_LOG_WARN, "%s: %s from before is kept", fresh,
                       whet_i_quote(quoted, whet_str_from(e->d_name)));
    }
    if (to >= 0) (void)close(to);
    (void)closedir(entries);
    return status;
}

/* ---- what a process that was killed has left ------------------------------------------------- */

/* An output that had stepped aside for another comes back, unless that one is in place: then what only the
 * old one had moves over. */
static whet_status bring_back(whet_ctx *ctx, const whet_out_dir *dir, const char *aside) {
    struct stat info;
    if (lstat(dir->path, &info) == 0) {
        WHET_TRY(keep_others(ctx, aside, dir->path, dir->own));
        remove_at(AT_FDCWD, aside);
    } else if (rename(aside, dir->path) != 0) {
        return cannot(ctx, dir->path, "put back in place");
    }
    return WHET_OK;
}

static whet_status clear_up(whet_ctx *ctx, const whet_out_dir *dir, const char *parent,
                            const char *name) {
    const size_t n = strlen(name);
    char aside[64], *path;
    DIR *entries = opendir(parent);
    whet_status status = WHET_OK;
    (void)snprintf(aside, sizeof aside, ".tmp%s", ASIDE);
    for (const struct dirent *e; entries && status == WHET_OK && (e = readdir(entries));) {
        if (strncmp(e->d_name, name, n) != 0) continue;
        if (whet_i_is_stale(e->d_name + n, ".tmp")) remove_at(dirfd(entries), e->d_name);
        if (!whet_i_is_stale(e->d_name + n, aside)) continue;
        status = whet_i_join_path(ctx, parent, e->d_name, &path);
        if (status != WHET_OK) break;
        status = bring_back(ctx, dir, path);
        whet_i_free(ctx, path);
    }
    if (entries) (void)closedir(entries);
    return status;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Whether what stands there can make way. Ends of file systems and "." cannot be renamed. */
static whet_status check_place(whet_ctx *ctx, const whet_out_dir *dir, const char *parent,
                               const char *name) {
    struct stat info, above;
    if (lstat(dir->path, &info) != 0) return WHET_OK;
    if (!dir->force) return whet_i_out_exists(ctx, dir->path);
    errno = 0;
    if (!S_ISDIR(info.st_mode))
        errno = ENOTDIR;
    else if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
             (stat(parent, &above) == 0 && above.st_dev != info.st_dev))
        errno = EBUSY;
    else
        (void)access(dir->path, R_OK | W_OK | X_OK);
    return errno ? cannot(ctx, dir->path, "replaced") : WHET_OK;
}

whet_status whet_i_out_dir_open(whet_ctx *ctx, const char *path, bool force, const char *const *own,
                                whet_out_dir **out) {
    whet_out_dir *made = NULL;
    char *parent = NULL;
    const char *name;
    int ignored;
    whet_status status = whet_i_calloc(ctx, 1, &made);
    if (status != WHET_OK) return status;
    made->force = force;
    made->own = own;
    int64_t len = (int64_t)strlen(path);
    while (len > 1 && path[len - 1] == '/') len--;
    WHET_TRY_DONE(whet_i_strdup(ctx, (whet_str){path, len}, &made->path));
    WHET_TRY_DONE(split(ctx, made->path, &parent, &name));
    WHET_TRY_DONE(clear_up(ctx, made, parent, name));
    WHET_TRY_DONE(check_place(ctx, made, parent, name));
    WHET_TRY_DONE(whet_i_temporary(ctx, made->path, make_directory, &made->temporary, &ignored));
    *out = made;
    made = NULL;
done:
    whet_i_free(ctx, parent);
    whet_out_dir_abort(ctx, made);
    return status;
}

whet_status whet_out_dir_open(whet_ctx *ctx, const char *path, bool force, whet_out_dir **out) {
    return whet_i_out_dir_open(ctx, path, force, NULL, out);
}

whet_status whet_i_out_dir_check(whet_ctx *ctx, const char *path, bool force) {
    whet_out_dir *dir;
    WHET_TRY(whet_out_dir_open(ctx, path, force, &dir));
    whet_out_dir_abort(ctx, dir);
    return WHET_OK;
}

const char *whet_out_dir_path(const whet_out_dir *dir) { return dir->temporary; }

/* ---- into place ------------------------------------------------------------------------------ */

/* The existing directory steps aside, the new one takes its name, what only the old one had moves
 * over, the rest of the old one goes. */
static whet_status replace(whet_ctx *ctx, whet_out_dir *dir) {
    whet_i_buf aside = {0};
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_buf_printf(ctx, &aside, "%s%s", dir->temporary, ASIDE));
    if (rename(dir->path, aside.data) != 0) {
        status = cannot(ctx, dir->path, "replaced");
    } else if (rename(dir->temporary, dir->path) != 0) {
        status = cannot(ctx, dir->path, "put in place");
        (void)rename(aside.data, dir->path);
    } else {
        whet_i_free(ctx, dir->temporary);
        dir->temporary = NULL;
        status = bring_back(ctx, dir, aside.data);
    }
    whet_i_buf_free(ctx, &aside);
    return status;
}

whet_status whet_out_dir_commit(whet_ctx *ctx, whet_out_dir *dir) {
    struct stat info;
    whet_status status = WHET_OK;
    if (lstat(dir->path, &info) != 0) {
        if (rename(dir->temporary, dir->path) != 0) {
            status = cannot(ctx, dir->path, "put in place");
        } else {
            whet_i_free(ctx, dir->temporary);
            dir->temporary = NULL;
        }
    } else {
        status = dir->force ? replace(ctx, dir) : whet_i_out_exists(ctx, dir->path);
    }
    if (status == WHET_OK) whet_i_sync_parent(dir->path);
    whet_out_dir_abort(ctx, dir);
    return status;
}

void whet_out_dir_abort(whet_ctx *ctx, whet_out_dir *dir) {
    if (!dir) return;
    if (dir->temporary) remove_at(AT_FDCWD, dir->temporary);
    whet_i_free(ctx, dir->path);
    whet_i_free(ctx, dir->temporary);
    whet_i_free(ctx, dir);
}
