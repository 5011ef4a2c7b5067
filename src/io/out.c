/* SPDX-License-Identifier: Apache-2.0
 * Output files that are whole or absent: bytes go to a temporary beside the target, which is synced
 * and then linked or renamed into place. The temporary is created with O_EXCL and mode 0666, so
 * permissions follow the umask and no other file is ever opened by accident.
 * Standard output ("-"), pipes and devices cannot be renamed and are written directly. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "io/out_i.h"

enum { BUFFER = 1 << 16 };

struct whet_out {
    int fd;
    bool direct, force, failed;
    char *path, *temporary; /* temporary NULL when direct */
    int64_t used;
    char buffer[BUFFER];
};

static whet_status cannot(whet_ctx *ctx, const char *path, const char *what) {
    return whet_i_fail(ctx, WHET_ERR_IO, "%s: cannot be %s: %s", path, what, strerror(errno));
}

whet_status whet_i_out_exists(whet_ctx *ctx, const char *path) {
    return whet_i_fail(ctx, WHET_ERR_EXISTS, "%s: exists; expected a new path; try --force", path);
}

whet_status whet_i_temporary(whet_ctx *ctx, const char *path, int (*make)(const char *name),
                             char **name, int *made) {
    enum { TRIES = 1000 };
    int64_t len = (int64_t)strlen(path);
    while (len > 1 && path[len - 1] == '/') len--; /* "dir/" names the directory itself */
    whet_i_buf text = {0};
    whet_status status = WHET_OK;
    for (int i = 0; i < TRIES; i++) {
        text.len = 0;
        WHET_TRY_DONE(whet_i_buf_append(ctx, &text, path, len));
        WHET_TRY_DONE(whet_i_buf_printf(ctx, &text, ".whet-%ld-%d.tmp", (long)getpid(), i));
        const int got = make(text.data);
        if (got < 0 && errno == EEXIST) continue;
        if (got < 0) {
            status = cannot(ctx, path, "created");
            goto done;
        }
        *name = text.data;
        *made = got;
        return WHET_OK;
    }
    status = whet_i_fail(ctx, WHET_ERR_IO,
                         "%s: %d temporaries stand beside it; expected room "
                         "for one; try removing %s.whet-*.tmp",
                         path, TRIES, path);
done:
    whet_i_buf_free(ctx, &text);
    return status;
}

/* Where processes can be looked up; elsewhere none is known to be gone. */
static bool is_gone(long process) {
    char name[64];
    struct stat info;
    if (stat("/proc/self", &info) != 0) return false;
    (void)snprintf(name, sizeof name, "/proc/%ld", process);
    return stat(name, &info) != 0 && errno == ENOENT;
}

bool whet_i_is_stale(const char *tail, const char *end) {
    static const char begin[] = ".whet-";
    char *next, *last;
    if (strncmp(tail, begin, sizeof begin - 1) != 0) return false;
    const long process = strtol(tail + sizeof begin - 1, &next, 10);
    if (process <= 0 || *next != '-') return false;
    (void)strtol(next + 1, &last, 10);
    return last > next + 1 && strcmp(last, end) == 0 && is_gone(process);
}

/* The last ".whet-" of a name and what follows; "" where there is none. */
static const char *tail_of(const char *name) {
    const char *at = "";
    for (const char *next = name; (next = strstr(next, ".whet-")); next++) at = next;
    return at;
}

void whet_i_remove_stale(const char *dir) {
    DIR *list = opendir(dir);
    const struct dirent *item;
    while (list && (item = readdir(list)))
        if (whet_i_is_stale(tail_of(item->d_name), ".tmp"))
            (void)unlinkat(dirfd(list), item->d_name, 0);
    if (list) (void)closedir(list);
}

static int make_file(const char *name) {
    int fd;
    do fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* Opening a pipe that nobody reads yet would wait, and not be interrupted where another thread gets the
 * signal. */
static whet_status open_pipe(whet_ctx *ctx, whet_out *out) {
    const struct timespec pause = {.tv_nsec = 20000000};
    for (;;) {
        out->fd = open(out->path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        if (out->fd >= 0) break;
        if (errno != ENXIO && errno != EINTR) return cannot(ctx, out->path, "opened");
        WHET_TRY(whet_i_progress(ctx, "waiting for a reader", 0, 0));
        (void)nanosleep(&pause, NULL);
    }
    const int flags = fcntl(out->fd, F_GETFL);
    if (flags < 0 || fcntl(out->fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
        return cannot(ctx, out->path, "opened");
    return WHET_OK;
}

/* Where the bytes go: standard output, an existing device, or a fresh temporary. */
static whet_status open_target(whet_ctx *ctx, whet_out *out) {
    struct stat info;
    if (strcmp(out->path, "-") == 0) {
        out->direct = true;
        out->fd = STDOUT_FILENO;
        return WHET_OK;
    }
    if (stat(out->path, &info) == 0) {
        if (S_ISDIR(info.st_mode)) {
            errno = EISDIR;
            return cannot(ctx, out->path, "written");
        }
        if (!S_ISREG(info.st_mode)) {
            out->direct = true;
            if (S_ISFIFO(info.st_mode)) return open_pipe(ctx, out);
            do out->fd = open(out->path, O_WRONLY | O_CLOEXEC);
            while (out->fd < 0 && errno == EINTR);
            return out->fd < 0 ? cannot(ctx, out->path, "opened") : WHET_OK;
        }
        if (!out->force) return whet_i_out_exists(ctx, out->path);
    }
    return whet_i_temporary(ctx, out->path, make_file, &out->temporary, &out->fd);
}

whet_status whet_out_open(whet_ctx *ctx, const char *path, bool force, whet_out **out) {
    whet_out *made;
    WHET_TRY(whet_i_alloc(ctx, 1, &made));
    made->fd = -1;
    made->direct = made->failed = false;
    made->force = force;
    made->path = made->temporary = NULL;
    made->used = 0;
    whet_status status = whet_i_strdup(ctx, whet_str_from(path), &made->path);
    if (status == WHET_OK) status = open_target(ctx, made);
    if (status != WHET_OK) {
        whet_out_abort(ctx, made);
        return status;
    }
    *out = made;
    return WHET_OK;
}

whet_status whet_i_out_check(whet_ctx *ctx, const char *path, bool force) {
    struct stat info;
    whet_out *out;
    if (strcmp(path, "-") == 0) return WHET_OK;
    /* Whoever reads a pipe would find it closed. */
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) return WHET_OK;
    WHET_TRY(whet_out_open(ctx, path, force, &out));
    whet_out_abort(ctx, out);
    return WHET_OK;
}

static const char *name_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool stat_parent(const char *path, struct stat *info) {
    char parent[4096];
    const size_t n = (size_t)(name_of(path) - path);
    if (n + 2 > sizeof parent) return false;
    memcpy(parent, path, n);
    memcpy(parent + n, ".", 2);
    return stat(parent, info) == 0;
}

static bool same_place(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool whet_same_path(const char *a, const char *b) {
    struct stat x, y;
    if (strcmp(a, b) == 0) return true;
    if (stat(a, &x) == 0 && stat(b, &y) == 0) return same_place(&x, &y);
    return strcmp(name_of(a), name_of(b)) == 0 && stat_parent(a, &x) && stat_parent(b, &y) &&
           same_place(&x, &y);
}

/* Whether the weights in folder `folder` would be the file `file`. */
static bool is_inside(const char *folder, const char *file) {
    char path[4096];
    const int n = snprintf(path, sizeof path, "%s/model.safetensors", folder);
    return n > 0 && (size_t)n < sizeof path && whet_same_path(path, file);
}

/* Whether the file `file` would be among the weights of folder `folder`. */
static bool is_part(const char *folder, const char *file) {
    struct stat x, y;
    return whet_i_has_extension(file, ".safetensors") && stat(folder, &x) == 0 &&
           S_ISDIR(x.st_mode) && stat_parent(file, &y) && same_place(&x, &y);
}

whet_status whet_i_out_check_apart(whet_ctx *ctx, const char *output, const char *input) {
    if (!whet_same_path(output, input) && !is_inside(output, input) && !is_part(input, output))
        return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_ARG,
                       "%s: the output would take the place of %s, which is read; expected another "
                       "path",
                       output, input);
}

static whet_status put(whet_ctx *ctx, whet_out *out, const char *bytes, int64_t len) {
    enum { STEP = 1 << 30 };
    while (len > 0) {
        const ssize_t n = write(out->fd, bytes, (size_t)(len < STEP ? len : STEP));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            out->failed = true;
            return cannot(ctx, out->path, "written");
        }
        bytes += n;
        len -= n;
    }
    return WHET_OK;
}

static whet_status flush(whet_ctx *ctx, whet_out *out) {
    const int64_t used = out->used;
    out->used = 0;
    return put(ctx, out, out->buffer, used);
}

whet_status whet_out_write(whet_ctx *ctx, whet_out *out, const void *bytes, int64_t len) {
    if (len > BUFFER - out->used) WHET_TRY(flush(ctx, out));
    if (len >= BUFFER) return put(ctx, out, bytes, len);
    if (len > 0) memcpy(out->buffer + out->used, bytes, (size_t)len);
    out->used += len;
    return WHET_OK;
}

whet_status whet_out_printf(whet_ctx *ctx, whet_out *out, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    char *text = NULL;
    whet_status status = WHET_OK;
    const int64_t room = BUFFER - out->used;
    const int len = vsnprintf(out->buffer + out->used, (size_t)room, format, args);
    if (len < 0) {
        status = whet_i_fail(ctx, WHET_ERR_INTERNAL, "%s: text cannot be formatted", out->path);
    } else if (len < room) {
        out->used += len;
    } else {
        WHET_TRY_DONE(whet_i_alloc(ctx, (int64_t)len + 1, &text));
        (void)vsnprintf(text, (size_t)len + 1, format, again);
        WHET_TRY_DONE(whet_out_write(ctx, out, text, len));
    }
done:
    whet_i_free(ctx, text);
    va_end(again);
    va_end(args);
    return status;
}

const char *whet_out_temporary(const whet_out *out) { return out->temporary; }

void whet_i_sync_parent(const char *path) {
    char parent[4096];
    const char *slash = strrchr(path, '/');
    const size_t len = slash ? (size_t)(slash - path) : 0;
    if (len >= sizeof parent) return;
    memcpy(parent, path, len);
    parent[len] = '\0';
    const int fd = open(len ? parent : slash ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    (void)fsync(fd);
    (void)close(fd);
}

/* Into place. Without `force` a link, which unlike a rename refuses to replace what somebody else
 * made meanwhile; file systems without links get the rename. */
whet_status whet_i_out_publish(whet_ctx *ctx, const char *temporary, const char *path, bool force) {
    if (!force) {
        if (link(temporary, path) == 0) {
            (void)unlink(temporary);
            whet_i_sync_parent(path);
            return WHET_OK;
        }
        if (errno == EEXIST) return whet_i_out_exists(ctx, path);
    }
    /* A link as the target: what it points to is replaced, the link stays. */
    char *real = force ? realpath(path, NULL) : NULL;
    const int failed = rename(temporary, real ? real : path);
    const int error = errno;
    free(real);
    errno = error;
    if (failed) return cannot(ctx, path, "put in place");
    whet_i_sync_parent(path);
    return WHET_OK;
}

static void release(whet_ctx *ctx, whet_out *out) {
    whet_i_free(ctx, out->path);
    whet_i_free(ctx, out->temporary);
    whet_i_free(ctx, out);
}

whet_status whet_out_commit(whet_ctx *ctx, whet_out *out) {
    whet_status status = WHET_OK;
    if (out->failed) {
        errno = EIO;
        status = whet_i_fail(ctx, WHET_ERR_IO, "%s: an earlier write failed", out->path);
        goto done;
    }
    WHET_TRY_DONE(flush(ctx, out));
    if (out->direct && out->fd == STDOUT_FILENO) {
        out->fd = -1; /* stays open: it is not ours */
        goto done;
    }
    if (!out->direct && fsync(out->fd) != 0) {
        status = cannot(ctx, out->path, "synced");
        goto done;
    }
    const int closed = close(out->fd);
    out->fd = -1;
    if (closed != 0) {
        status = cannot(ctx, out->path, "closed");
        goto done;
    }
    if (out->temporary) {
        WHET_TRY_DONE(whet_i_out_publish(ctx, out->temporary, out->path, out->force));
        whet_i_free(ctx, out->temporary);
        out->temporary = NULL;
    }
done:
    if (status != WHET_OK) {
        whet_out_abort(ctx, out);
        return status;
    }
    release(ctx, out);
    return WHET_OK;
}

void whet_out_abort(whet_ctx *ctx, whet_out *out) {
    if (!out) return;
    if (out->fd >= 0 && out->fd != STDOUT_FILENO) (void)close(out->fd);
    if (out->temporary) (void)unlink(out->temporary);
    release(ctx, out);
}

whet_status whet_i_write_file(whet_ctx *ctx, const char *dir, const char *name, bool force,
                              const char *bytes, int64_t len) {
    char *path = NULL;
    whet_out *out = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_join_path(ctx, dir, name, &path));
    WHET_TRY_DONE(whet_out_open(ctx, path, force, &out));
    WHET_TRY_DONE(whet_out_write(ctx, out, bytes, len));
    status = whet_out_commit(ctx, out);
    out = NULL;
done:
    whet_out_abort(ctx, out);
    whet_i_free(ctx, path);
    return status;
}
