/* SPDX-License-Identifier: Apache-2.0
 * A limited address space (ulimit -v), looked at before the work. What the libraries do where there
 * is no room is not ours to report: libgomp ends the process when it cannot start a thread, and
 * OpenBLAS tries for ever to map a buffer of 128 MiB, which it does for every thread that is inside
 * it and, when it is loaded, for every processor (0.3.21, driver/others/memory.c,
 * blas_memory_alloc; blas_server_omp.c). Loading is over before main begins: only what stands in the
 * program's .preinit_array comes first. */
#define _GNU_SOURCE /* sched_getaffinity; NOLINT(bugprone-reserved-identifier): as libc calls it */
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli.h"

/* kB, as ulimit counts. */
enum { BUFFER = 136 << 10, USUAL_STACK = 8 << 10, LOADING = 64 << 10, WORK = 256 << 10 };

/* The limit, or -1 where there is none. */
static int64_t space_limit(void) {
    struct rlimit space;
    if (getrlimit(RLIMIT_AS, &space) != 0 || space.rlim_cur == RLIM_INFINITY) return -1;
    return (int64_t)(space.rlim_cur >> 10);
}

/* What the process has mapped by now; 0 where nobody tells. */
static int64_t mapped_now(void) {
    char text[128];
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file) return 0;
    const size_t n = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file);
    text[n] = '\0';
    return strtoll(text, NULL, 10) * (sysconf(_SC_PAGESIZE) >> 10);
}

static int64_t stack_size(void) {
    struct rlimit stack;
    if (getrlimit(RLIMIT_STACK, &stack) != 0 || stack.rlim_cur == RLIM_INFINITY) return USUAL_STACK;
    return (int64_t)(stack.rlim_cur >> 10);
}

whet_status cli_check_room(cli_run *run) {
    const int64_t limit = space_limit(), threads = whet_ctx_threads(run->ctx);
    if (limit < 0) return WHET_OK;
    /* Twice the buffer: the library asks for room although OpenBLAS may have kept what it had. */
    const int64_t fixed = mapped_now() + WORK, each = stack_size() + 2 * BUFFER;
    if (limit >= fixed + threads * each) return WHET_OK;
    char advice[48] = "";
    if (limit >= fixed + each)
        (void)snprintf(advice, sizeof advice, "; try --threads %" PRId64, (limit - fixed) / each);
    return cli_fail(run, WHET_ERR_NOMEM,
                    "the address space is limited to %" PRId64
                    " kB (ulimit -v); expected at least %" PRId64 " kB for %" PRId64 " thread%s%s",
                    limit, fixed + threads * each, threads, threads == 1 ? "" : "s", advice);
}

/* ---- before the libraries begin --------------------------------------------------------------- */

/* Sanitizers have not begun either then, and map far more than any such limit. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#if !defined(SANITIZED) && !defined(__SANITIZE_ADDRESS__)

/* As OpenBLAS counts: the processors, or fewer by OMP_NUM_THREADS (its own variables come later). */
static int64_t blas_threads(char **environment) {
    static const char name[] = "OMP_NUM_THREADS=";
    cpu_set_t set;
    const int64_t processors = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    int64_t asked = 0;
    for (char **e = environment; e && *e; e++)
        if (strncmp(*e, name, sizeof name - 1) == 0)
            asked = strtoll(*e + sizeof name - 1, NULL, 10);
    return asked > 0 && asked < processors ? asked : processors;
}

static void check_before_loading(int argc, char **argv, char **environment) {
    const int64_t limit = space_limit();
    if (limit < 0) return;
    const int64_t threads = blas_threads(environment);
    const int64_t fixed = mapped_now() + LOADING, need = fixed + threads * BUFFER;
    if (limit >= need) return;
    char advice[64] = "", text[512];
    bool json = false;
    for (int i = 1; i < argc; i++) json = json || strcmp(argv[i], "--json") == 0;
    if (limit >= fixed + BUFFER)
        (void)snprintf(advice, sizeof advice, "; try OMP_NUM_THREADS=%" PRId64,
                       (limit - fixed) / BUFFER);
    const int n = snprintf(text, sizeof text,
                           "%sthe address space is limited to %" PRId64
                           " kB (ulimit -v); expected at least %" PRId64
                           " kB to load OpenBLAS for %" PRId64 " thread%s%s%s\n",
                           json ? "{\"error\":{\"code\":\"nomem\",\"message\":\"" : "whet: ", limit,
                           need, threads, threads == 1 ? "" : "s", advice, json ? "\"}}" : "");
    const ssize_t written = write(STDERR_FILENO, text, (size_t)n);
    (void)written;
    _exit(5); /* as whet_status_exit_code says of NOMEM; the library is not to be called yet */
}

/* An array that the loader reads: the entry is used, though nothing here names it. */
__attribute__((section(".preinit_array"),
               used)) static void (*const before_loading)(int, char **,
                                                          char **) = check_before_loading;
#endif
