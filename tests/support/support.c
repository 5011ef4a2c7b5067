/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

whet_ctx *test_ctx(int32_t threads) {
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    opts.threads = threads;
    whet_ctx *ctx = NULL;
    assert_int_equal(whet_ctx_create(&opts, &ctx), WHET_OK);
    return ctx;
}

static void note_warning(void *user, whet_log_level level, const char *sentence) {
    if (level == WHET_LOG_WARN) (void)snprintf(user, TEST_WARNING, "%s", sentence);
}

whet_ctx *test_ctx_warned(char warning[TEST_WARNING]) {
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    whet_ctx *ctx = NULL;
    warning[0] = '\0';
    opts.threads = 1;
    opts.log = note_warning;
    opts.user = warning;
    assert_int_equal(whet_ctx_create(&opts, &ctx), WHET_OK);
    return ctx;
}

void test_ctx_done(whet_ctx *ctx) { whet_ctx_destroy(ctx); }

void test_status_(whet_ctx *ctx, whet_status got, whet_status expected, const char *call,
                  const char *file, int line) {
    if (got != expected) {
        print_error("%s:%d: %s\n  gave \"%s\" (%s); expected \"%s\"\n", file, line, call,
                    whet_status_text(got), whet_error(ctx), whet_status_text(expected));
        _fail(file, line);
    }
    if (expected != WHET_OK && whet_error(ctx)[0] == '\0') {
        print_error("%s:%d: %s failed without a sentence\n", file, line, call);
        _fail(file, line);
    }
}

void test_says_(whet_ctx *ctx, const char *part, const char *file, int line) {
    if (strstr(whet_error(ctx), part)) return;
    print_error("%s:%d: the sentence is\n  %s\nexpected in it\n  %s\n", file, line, whet_error(ctx),
                part);
    _fail(file, line);
}

typedef struct failing {
    int64_t calls, fail_at, live;
} failing;

static void *failing_alloc(void *user, void *ptr, size_t old_size, size_t new_size) {
    failing *f = user;
    (void)old_size;
    if (new_size == 0) {
        if (ptr) f->live--;
        free(ptr);
        return NULL;
    }
    if (f->calls++ == f->fail_at) return NULL;
    if (!ptr) f->live++;
    return realloc(ptr, new_size);
}

/* Under sanitizers, where a round takes several times as long, every fifth after the first hundred: what is
 * released is counted in every build, and the others fail them all. */
static int64_t step_after(int64_t round) { return TEST_SANITIZED && round >= 100 ? 5 : 1; }

int64_t test_each_allocation(whet_status (*body)(whet_ctx *ctx, void *arg), void *arg) {
    for (int64_t round = 0;; round += step_after(round)) {
        failing f = {0, -1, 0};
        whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
        opts.alloc = failing_alloc;
        opts.user = &f;
        opts.threads = 1;
        whet_ctx *ctx = NULL;
        assert_int_equal(whet_ctx_create(&opts, &ctx), WHET_OK);
        f.fail_at = f.calls + round;
        const whet_status status = body(ctx, arg);
        const bool reached = f.calls > f.fail_at;
        if (reached && status != WHET_ERR_NOMEM) {
            print_error("allocation %lld failed, yet the status is \"%s\" (%s)\n", (long long)round,
                        whet_status_text(status), whet_error(ctx));
            fail();
        }
        if (!reached && status != WHET_OK) {
            print_error("no allocation failed, yet: %s\n", whet_error(ctx));
            fail();
        }
        whet_ctx_destroy(ctx);
        if (f.live != 0) {
            print_error("allocation %lld failed: %lld blocks leaked\n", (long long)round,
                        (long long)f.live);
            fail();
        }
        if (!reached) return round;
    }
}

static const char *join(const char *root, const char *relative) {
    static char paths[8][4096];
    static int next;
    char *out = paths[next++ % 8];
    (void)snprintf(out, sizeof paths[0], "%s/%s", root, relative);
    return out;
}

static const char *rooted(const char *variable, const char *fallback, const char *relative) {
    const char *root = getenv(variable);
    return join(root ? root : fallback, relative);
}

const char *test_data(const char *relative) { return rooted("WHET_TEST_DATA", "data", relative); }

const char *test_source(const char *relative) { return rooted("WHET_TEST_SOURCE", ".", relative); }

const char *test_shared(const char *relative) {
    const char *path = rooted("WHET_TEST_SHARED", "../shared", relative);
    return access(path, R_OK) == 0 ? path : NULL;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int64_t test_shared_files(const char *folder, const char *begin, const char *end, char ***paths) {
    char **list = NULL;
    int64_t n = 0;
    *paths = NULL;
    const char *place = test_shared(folder);
    DIR *dir = place ? opendir(place) : NULL;
    if (!dir) return 0;
    for (const struct dirent *e; (e = readdir(dir));) {
        const size_t len = strlen(e->d_name), tail = strlen(end), room = strlen(folder) + len + 2;
        if (strncmp(e->d_name, begin, strlen(begin)) != 0) continue;
        if (len < tail || strcmp(e->d_name + len - tail, end) != 0) continue;
        list = realloc(list, sizeof *list * (size_t)(n + 1));
        assert_non_null(list);
        list[n] = malloc(room);
        assert_non_null(list[n]);
        (void)snprintf(list[n++], room, "%s/%s", folder, e->d_name);
    }
    assert_int_equal(closedir(dir), 0);
    if (n > 0) qsort(list, (size_t)n, sizeof *list, by_name);
    *paths = list;
    return n;
}

void test_free_files(char **paths, int64_t n) {
    for (int64_t i = 0; i < n; i++) free(paths[i]);
    free(paths);
}

static char tmp_root[256];

static void remove_tmp(void) {
    char command[300];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", tmp_root);
    if (system(command) != 0) (void)fprintf(stderr, "could not remove %s\n", tmp_root);
}

const char *test_tmp(const char *name) {
    if (!tmp_root[0]) {
        const char *base = getenv("TMPDIR");
        (void)snprintf(tmp_root, sizeof tmp_root, "%s/whet-test-XXXXXX", base ? base : "/tmp");
        assert_non_null(mkdtemp(tmp_root));
        (void)atexit(remove_tmp);
    }
    return join(tmp_root, name);
}

char *test_tmp_kept(const char *name) {
    const char *path = test_tmp(name);
    char *copy = malloc(strlen(path) + 1);
    if (copy) memcpy(copy, path, strlen(path) + 1);
    return copy;
}

bool test_files_equal(const char *a, const char *b) {
    FILE *x = fopen(a, "rb"), *y = fopen(b, "rb");
    bool same = x && y;
    for (int c = 0; same && c != EOF;) {
        c = fgetc(x);
        same = c == fgetc(y);
    }
    if (x) (void)fclose(x);
    if (y) (void)fclose(y);
    return same;
}

const char *test_write(const char *name, const void *bytes, int64_t len) {
    const char *path = test_tmp(name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    if (len) assert_int_equal(fwrite(bytes, 1, (size_t)len, file), (size_t)len);
    assert_int_equal(fclose(file), 0);
    return path;
}

const char *test_write_text(const char *name, const char *text) {
    return test_write(name, text, (int64_t)strlen(text));
}

whet_tensor test_shared_key(whet_ctx *ctx, const char *file, const char *key, whet_dtype dtype) {
    char spec[1200];
    whet_tensor t = {0}, as = {0};
    (void)snprintf(spec, sizeof spec, "%s:%s", test_shared(file), key);
    test_ok(ctx, whet_array_read(ctx, spec, &t));
    test_ok(ctx, whet_tensor_convert(ctx, &t, dtype, &as));
    whet_tensor_destroy(ctx, &t);
    return as;
}
