/* SPDX-License-Identifier: Apache-2.0
 * Output directories that appear whole: a temporary directory beside the target, renamed at the
 * end. With `force` an existing directory makes way: entries that the new output also has are
 * replaced; other entries are kept, with a warning, because --force on a wrong path must not delete
 * a stranger's files. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/out_i.h"

struct whet_out_dir {
    bool force;
    char *path, *temporary;
};

static whet_status cannot(whet_ctx *ctx, const char *path, const char *what) {
    return whet_i_fail(ctx, WHET_ERR_IO, "%s: cannot be %s: %s", path, what, strerror(errno));
}

static int make_directory(const char *name) { return mkdir(name, 0777); }

whet_status whet_out_dir_open(whet_ctx *ctx, const char *path, bool force, whet_out_dir **out) {
    struct stat info;
    whet_out_dir *made = NULL;
    int ignored;
    whet_status status = whet_i_calloc(ctx, 1, &made);
    if (status != WHET_OK) return status;
    made->force = force;
    int64_t len = (int64_t)strlen(path);
    while (len > 1 && path[len - 1] == '/') len--;
    WHET_TRY_DONE(whet_i_strdup(ctx, (whet_str){path, len}, &made->path));
    if (lstat(made->path, &info) == 0) {
        if (!force) {
            status = whet_i_out_exists(ctx, made->path);
            goto done;
        }
        if (!S_ISDIR(info.st_mode)) {
            errno = ENOTDIR;
            status = cannot(ctx, made->path, "replaced");
            goto done;
        }
    }
    WHET_TRY_DONE(whet_i_temporary(ctx, made->path, make_directory, &made->temporary, &ignored));
    *out = made;
    return WHET_OK;
done:
    whet_out_dir_abort(ctx, made);
    return status;
}

const char *whet_out_dir_path(const whet_out_dir *dir) { return dir->temporary; }

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

/* Moves every entry of `old` that `fresh` lacks into `fresh`; weights only where it has none. */
static whet_status keep_others(whet_ctx *ctx, const char *old, const char *fresh) {
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
        if (is_there(to, e->d_name) || (weights && is_weights(e->d_name))) continue;
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

/* The existing directory steps aside, the new one takes its name, what only the old one had moves
 * over, the rest of the old one goes. */
static whet_status replace(whet_ctx *ctx, whet_out_dir *dir) {
    char *aside = NULL;
    int ignored;
    WHET_TRY(whet_i_temporary(ctx, dir->path, make_directory, &aside, &ignored));
    whet_status status = WHET_OK;
    /* Renaming onto the empty directory just made replaces it. */
    if (rename(dir->path, aside) != 0) {
        status = cannot(ctx, dir->path, "replaced");
        (void)rmdir(aside);
    } else if (rename(dir->temporary, dir->path) != 0) {
        status = cannot(ctx, dir->path, "put in place");
        (void)rename(aside, dir->path);
    } else {
        whet_i_free(ctx, dir->temporary);
        dir->temporary = NULL;
        status = keep_others(ctx, aside, dir->path);
        if (status == WHET_OK) remove_at(AT_FDCWD, aside);
    }
    whet_i_free(ctx, aside);
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
