/* SPDX-License-Identifier: Apache-2.0
 * What test programs share: contexts, allocations made to fail, places of data, temporary files. */
#ifndef WHET_TEST_SUPPORT_H
#define WHET_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "whet/core.h"
#include "whet/io.h"

/* A context with `threads` threads (0 = default) whose destruction checks that all memory came
 * back. */
whet_ctx *test_ctx(int32_t threads);
/* Of one thread; its last warning is written to `warning`, empty until there is one. */
enum { TEST_WARNING = 512 };
whet_ctx *test_ctx_warned(char warning[TEST_WARNING]);
void test_ctx_done(whet_ctx *ctx);

/* Fails the test with the context's sentence unless status is WHET_OK. */
#define test_ok(ctx, call) test_status_((ctx), (call), WHET_OK, #call, __FILE__, __LINE__)
/* Expects this status and a non-empty sentence. */
#define test_fails(ctx, call, expected) \
    test_status_((ctx), (call), (expected), #call, __FILE__, __LINE__)
void test_status_(whet_ctx *ctx, whet_status got, whet_status expected, const char *call,
                  const char *file, int line);
/* The last sentence contains this. */
#define test_says(ctx, part) test_says_((ctx), (part), __FILE__, __LINE__)
void test_says_(whet_ctx *ctx, const char *part, const char *file, int line);

/* Whether memory is watched: tests of many cases take fewer there, those that the other builds take, too. */
#ifdef __SANITIZE_ADDRESS__
#define TEST_SANITIZED 1
#else
#define TEST_SANITIZED 0
#endif

/* Runs `body` with allocation 0, 1, 2, ... failing until it succeeds (under sanitizers not each of many):
 * each failure must return WHET_ERR_NOMEM, leak nothing. body must clean up after itself either way.
 * Returns how many allocations there are; under sanitizers up to 4 more. */
int64_t test_each_allocation(whet_status (*body)(whet_ctx *ctx, void *arg), void *arg);

/* Paths: data/ of the project; the optional reference material (NULL, and the test should skip with
 * test_skip_shared, when it is absent); the project's source. Static buffers, overwritten by the
 * eighth call after. */
const char *test_data(const char *relative);
const char *test_shared(const char *relative);
const char *test_source(const char *relative);
/* Prints which reference is missing and skips. */
#define test_need_shared(path) \
    do { \
        if (!test_shared(path)) { \
            print_message("[   NOTE   ] ../shared/%s is absent; skipped\n", path); \
            skip(); \
        } \
    } while (0)

/* The files of a folder of the reference material whose names begin and end so, sorted: paths as test_shared
 * takes them, which the caller frees with the list. None when the folder is absent. */
int64_t test_shared_files(const char *folder, const char *begin, const char *end, char ***paths);
void test_free_files(char **paths, int64_t n);
/* One array of a file of the reference material, converted; released by whet_tensor_destroy. */
whet_tensor test_shared_key(whet_ctx *ctx, const char *file, const char *key, whet_dtype dtype);
/* Skips, and says so, when the reference material has nothing of a kind. */
#define test_need_some(n, what) \
    do { \
        if ((n) == 0) { \
            print_message("[   NOTE   ] the reference material has no %s; skipped\n", what); \
            skip(); \
        } \
    } while (0)

/* A fresh directory for this program's files, removed at exit; a path in it; a file with content.
 */
const char *test_tmp(const char *name);
/* The same path, to be freed by the caller. */
char *test_tmp_kept(const char *name);
/* Whether two files are there and hold the same. */
bool test_files_equal(const char *a, const char *b);
const char *test_write(const char *name, const void *bytes, int64_t len);
const char *test_write_text(const char *name, const char *text);

#endif
