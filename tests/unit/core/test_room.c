/* SPDX-License-Identifier: Apache-2.0
 * How much memory there is, as files of /proc and /sys say that are written here. */
#include "support.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/core_i.h"

static char root[3000];

static void put(const char *path, const char *text) {
    char full[4096];
    const int len = snprintf(full, sizeof full, "%s%s", root, path);
    assert_true(len > 0 && len < (int)sizeof full);
    for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        assert_true(mkdir(full, 0700) == 0 || errno == EEXIST);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void begin(const char *name) {
    (void)snprintf(root, sizeof root, "%s", test_tmp(name));
    assert_int_equal(mkdir(root, 0700), 0);
    put("/proc/meminfo", "MemTotal:  999999999 kB\nMemFree: 1 kB\nMemAvailable:    4000 kB\n");
}

static void room_is(double bytes, const char *of) {
    whet_ctx *ctx = test_ctx(1);
    const whet_i_room room = whet_i_room_below(ctx, root);
    assert_true(room.bytes == bytes);
    assert_non_null(strstr(room.of, of));
    test_ctx_done(ctx);
}

static void the_machine_has_what_is_available(void **state) {
    (void)state;
    begin("machine");
    room_is(4000 * 1024, "machine");
}

static void groups_leave_their_limit_less_what_is_used(void **state) {
    (void)state;
    begin("two");
    put("/proc/self/cgroup", "0::/a/b\n");
    put("/sys/fs/cgroup/a/b/memory.max", "max\n");
    put("/sys/fs/cgroup/a/b/memory.current", "500000\n");
    room_is(4000 * 1024, "machine");
    put("/sys/fs/cgroup/a/memory.max", "1000000\n");
    put("/sys/fs/cgroup/a/memory.current", "700000\n");
    room_is(300000, "control group");
    /* Caches of files go when memory is short. */
    put("/sys/fs/cgroup/a/memory.stat",
        "anon 1\nfile 9\ninactive_file 200000\nactive_file 100000\n");
    room_is(600000, "control group");
    put("/sys/fs/cgroup/a/b/memory.max", "400000\n");
    room_is(0, "control group");
    put("/sys/fs/cgroup/a/b/memory.max", "surely\n");
    put("/sys/fs/cgroup/a/memory.current", "");
    room_is(4000 * 1024, "machine");
}

static void groups_of_version_1_too(void **state) {
    (void)state;
    begin("one");
    put("/proc/self/cgroup", "9:cpu,cpuacct:/x\n4:memory:/q/r\n0::/\n");
    put("/sys/fs/cgroup/memory/q/r/memory.limit_in_bytes", "9223372036854771712\n");
    put("/sys/fs/cgroup/memory/q/r/memory.usage_in_bytes", "7\n");
    room_is(4000 * 1024, "machine");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1000000\n");
    put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "900000\n");
    put("/sys/fs/cgroup/memory/memory.stat",
        "inactive_file 1\ntotal_inactive_file 50000\ntotal_active_file 0\n");
    room_is(150000, "control group");
}

static void the_context_has_a_limit_of_its_own(void **state) {
    (void)state;
    begin("own");
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    whet_ctx *ctx = NULL;
    char *held = NULL;
    opts.memory_limit = 3000000;
    assert_int_equal(whet_ctx_create(&opts, &ctx), WHET_OK);
    test_ok(ctx, whet_i_alloc(ctx, 1000000, &held));
    assert_true(whet_i_room_below(ctx, root).bytes == 2000000);
    test_ok(ctx, whet_i_check_room(ctx, "it", 1999999, "less"));
    test_fails(ctx, whet_i_check_room(ctx, "it", 2.5e6, "less"), WHET_ERR_LIMIT);
    test_says(ctx, "it needs 2.5 MB more; expected at most the 2.0 MB left by the limit that was "
                   "set; try less");
    test_fails(ctx, whet_i_check_room(ctx, "it", 3e18, "less"), WHET_ERR_LIMIT);
    whet_i_free(ctx, held);
    test_ctx_done(ctx);
}

static void nothing_known_is_no_limit(void **state) {
    (void)state;
    (void)snprintf(root, sizeof root, "%s", test_tmp("nothing"));
    whet_ctx *ctx = test_ctx(1);
    assert_true(whet_i_room_below(ctx, root).bytes > 1e8); /* what the machine has in all */
    assert_true(whet_i_room_below(ctx, "").bytes > 0);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_machine_has_what_is_available),
        cmocka_unit_test(groups_leave_their_limit_less_what_is_used),
        cmocka_unit_test(groups_of_version_1_too),
        cmocka_unit_test(the_context_has_a_limit_of_its_own),
        cmocka_unit_test(nothing_known_is_no_limit),
    };
    return cmocka_run_group_tests_name("core/room", tests, NULL, NULL);
}
