/* SPDX-License-Identifier: Apache-2.0
 * Whole files into memory, and read-only mappings.
 * Text is read, not mapped: a file that shrinks while it is read then gives fewer bytes instead of
 * a bus error. Only large weight files are mapped. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/io_i.h"

static whet_status cannot(whet_ctx *ctx, const char *path, const char *what) {
    return whet_i_fail(ctx, WHET_ERR_IO, "%s: cannot be %s: %s", path, what, strerror(errno));
}

static whet_status open_file(whet_ctx *ctx, const char *path, int *fd, struct stat *info) {
    int opened;
    do opened = open(path, O_RDONLY | O_CLOEXEC);
    while (opened < 0 && errno == EINTR);
    if (opened < 0) return cannot(ctx, path, "opened");
    whet_status status = WHET_OK;
    if (fstat(opened, info) != 0) {
        status = cannot(ctx, path, "examined");
    } else if (S_ISDIR(info->st_mode)) {
        errno = EISDIR;
        status = cannot(ctx, path, "read");
    }
    if (status != WHET_OK) {
        (void)close(opened);
        return status;
    }
    *fd = opened;
    return WHET_OK;
}

static whet_status over_limit(whet_ctx *ctx, const char *path, int64_t max_bytes) {
    return whet_i_fail(ctx, WHET_ERR_LIMIT, "%s: larger than %lld bytes; expected at most that",
                       path, (long long)max_bytes);
}

whet_status whet_i_file_read(whet_ctx *ctx, const char *path, int64_t max_bytes, char **bytes,
                             int64_t *len) {
    enum { FIRST = 65536, STEP = 1 << 30 };
    int fd = -1;
    struct stat info;
    char *data = NULL;
    int64_t used = 0, cap = FIRST;
    WHET_TRY(open_file(ctx, path, &fd, &info));
    whet_status status = WHET_OK;
    if (S_ISREG(info.st_mode)) {
        if (info.st_size > max_bytes) {
            status = over_limit(ctx, path, max_bytes);
            goto done;
        }
        cap = (int64_t)info.st_size + 1; /* the spare byte shows the end without growing */
    }
    WHET_TRY_DONE(whet_i_alloc(ctx, cap, &data));
    for (;;) {
        if (used == cap) {
            WHET_TRY_DONE(whet_i_mul(ctx, cap, 2, &cap));
            WHET_TRY_DONE(whet_i_realloc(ctx, &data, cap));
        }
        const int64_t room = cap - used;
        const ssize_t got = read(fd, data + used, (size_t)(room < STEP ? room : STEP));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            status = cannot(ctx, path, "read");
            goto done;
        }
        if (got == 0) break;
        used += got;
        if (used > max_bytes) {
            status = over_limit(ctx, path, max_bytes);
            goto done;
        }
    }
    data[used] = '\0'; /* used < cap: the loop grows a full buffer before it sees the end */
    *bytes = data;
    *len = used;
    data = NULL;
done:
    whet_i_free(ctx, data);
    (void)close(fd);
    return status;
}

whet_status whet_i_map_open(whet_ctx *ctx, const char *path, whet_i_map *out) {
    int fd = -1;
    struct stat info;
    WHET_TRY(open_file(ctx, path, &fd, &info));
    whet_status status = WHET_OK;
    if (!S_ISREG(info.st_mode)) {
        status = whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                             "%s: not a regular file; expected one that can be mapped", path);
    } else if (info.st_size == 0) {
        *out = (whet_i_map){"", 0};
    } else {
        void *mapped = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (mapped == MAP_FAILED && errno == ENOMEM)
            status = whet_i_fail(ctx, WHET_ERR_NOMEM,
                                 "%s: no room to map its %lld bytes; expected more address space",
                                 path, (long long)info.st_size);
        else if (mapped == MAP_FAILED)
            status = cannot(ctx, path, "mapped");
        else
            *out = (whet_i_map){mapped, (int64_t)info.st_size};
    }
    (void)close(fd);
    return status;
}

void whet_i_map_forget(const whet_i_map *map) {
    union { /* madvise takes the pages as its own to change; it does not write to them */
        const char *read;
        void *pages;
    } at = {map->ptr};
    if (map->len > 0) (void)madvise(at.pages, (size_t)map->len, MADV_DONTNEED);
}

void whet_i_pages_ask(const void *at, int64_t len) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), before = (uintptr_t)at % page;
    union { /* as above */
        const char *read;
        void *pages;
    } from = {(const char *)at - before};
    (void)madvise(from.pages, (size_t)len + before, MADV_WILLNEED);
}

void whet_i_map_close(whet_i_map *map) {
    if (map->len > 0) {
        void *mapped;
        memcpy(&mapped, &map->ptr, sizeof mapped);
        (void)munmap(mapped, (size_t)map->len);
    }
    *map = (whet_i_map){NULL, 0};
}

void whet_i_line_column(const char *bytes, int64_t offset, int64_t *line, int64_t *column) {
    int64_t lines = 1;
    const char *start = bytes, *end = bytes + offset;
    for (const char *at; start < end && (at = memchr(start, '\n', (size_t)(end - start)));) {
        lines++;
        start = at + 1;
    }
    *line = lines;
    *column = end - start + 1;
}

bool whet_i_has_extension(const char *path, const char *extension) {
    const size_t n = strlen(path), m = strlen(extension);
    if (n < m) return false;
    for (size_t i = 0; i < m; i++) {
        char c = path[n - m + i];
        if (c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
        if (c != extension[i]) return false;
    }
    return true;
}

whet_status whet_i_join_path(whet_ctx *ctx, const char *dir, const char *name, char **out) {
    whet_i_buf path = {0};
    const whet_status status = whet_i_buf_printf(ctx, &path, "%s/%s", dir, name);
    if (status == WHET_OK)
        *out = path.data;
    else
        whet_i_buf_free(ctx, &path);
    return status;
}
