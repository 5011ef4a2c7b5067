/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/io_i.h"

static void content_is(const char *path, const char *expected) {
    whet_ctx *ctx = test_ctx(1);
    char *bytes = NULL;
    int64_t len = 0;
    test_ok(ctx, whet_i_file_read(ctx, path, 1 << 20, &bytes, &len));
    assert_int_equal(len, strlen(expected));
    assert_string_equal(bytes, expected);
    whet_i_free(ctx, bytes);
    test_ctx_done(ctx);
}

static bool exists(const char *path) { return access(path, F_OK) == 0; }

static void a_file_appears_at_commit_only(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const char *path = test_tmp("fresh.txt");
    whet_out *out = NULL;
    test_ok(ctx, whet_out_open(ctx, path, false, &out));
    test_ok(ctx, whet_out_printf(ctx, out, "%d and %s\n", 7, "seven"));
    assert_false(exists(path));
    assert_true(exists(whet_out_temporary(out)));
    char temporary[512];
    (void)snprintf(temporary, sizeof temporary, "%s", whet_out_temporary(out));
    test_ok(ctx, whet_out_commit(ctx, out));
    assert_false(exists(temporary));
    content_is(path, "7 and seven\n");
    const mode_t mask = umask(0);
    (void)umask(mask);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0666 & ~mask);
    test_ctx_done(ctx);
}

static void an_existing_file_is_kept_unless_forced(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const char *path = test_write_text("kept.txt", "old");
    whet_out *out = NULL;
    test_fails(ctx, whet_out_open(ctx, path, false, &out), WHET_ERR_EXISTS);
    test_says(ctx, "--force");
    assert_null(out);
    test_ok(ctx, whet_out_open(ctx, path, true, &out));
    test_ok(ctx, whet_out_write(ctx, out, "new", 3));
    content_is(path, "old");
    test_ok(ctx, whet_out_commit(ctx, out));
    content_is(path, "new");
    test_ctx_done(ctx);
}

static void a_file_made_meanwhile_is_not_replaced(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const char *path = test_tmp("raced.txt");
    whet_out *out = NULL;
    test_ok(ctx, whet_out_open(ctx, path, false, &out));
    (void)test_write_text("raced.txt", "theirs");
    test_fails(ctx, whet_out_commit(ctx, out), WHET_ERR_EXISTS);
    content_is(path, "theirs");
    test_ctx_done(ctx);
}

static void abort_leaves_nothing(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const char *path = test_tmp("aborted.txt");
    whet_out *out = NULL;
    test_ok(ctx, whet_out_open(ctx, path, false, &out));
    char temporary[512];
    (void)snprintf(temporary, sizeof temporary, "%s", whet_out_temporary(out));
    whet_out_abort(ctx, out);
    whet_out_abort(ctx, NULL);
    assert_false(exists(path) || exists(temporary));
    test_ctx_done(ctx);
}

static void text_longer_than_the_buffer_arrives_whole(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    enum { N = 200000 };
    char *text = malloc(N + 1);
    assert_non_null(text);
    for (int i = 0; i < N; i++) text[i] = (char)('a' + i % 26);
    text[N] = '\0';
    const char *path = test_tmp("long.txt");
    whet_out *out = NULL;
    test_ok(ctx, whet_out_open(ctx, path, false, &out));
    test_ok(ctx, whet_out_printf(ctx, out, "%.65000s", text));
    test_ok(ctx, whet_out_printf(ctx, out, "%s", text + 65000));
    test_ok(ctx, whet_out_write(ctx, out, "!", 1));
    test_ok(ctx, whet_out_commit(ctx, out));
    char *bytes = NULL;
    int64_t len = 0;
    test_fails(ctx, whet_i_file_read(ctx, path, N, &bytes, &len), WHET_ERR_LIMIT);
    test_ok(ctx, whet_i_file_read(ctx, path, N + 1, &bytes, &len));
    assert_int_equal(len, N + 1);
    assert_memory_equal(bytes, text, N);
    assert_int_equal(bytes[N], '!');
    whet_i_free(ctx, bytes);
    free(text);
    test_ctx_done(ctx);
}

static void a_full_disk_is_an_io_error(void **state) {
    (void)state;
    if (access("/dev/full", W_OK) != 0) skip();
    whet_ctx *ctx = test_ctx(1);
    whet_out *out = NULL;
    test_ok(ctx, whet_out_open(ctx, "/dev/full", false, &out));
    test_ok(ctx, whet_out_write(ctx, out, "x", 1));
    test_fails(ctx, whet_out_commit(ctx, out), WHET_ERR_IO);
    test_says(ctx, "No space left");
    test_ctx_done(ctx);
}

static void places_that_cannot_be_written_are_named(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_out *out = NULL;
    test_fails(ctx, whet_out_open(ctx, test_tmp("no/such/dir.txt"), false, &out), WHET_ERR_IO);
    test_says(ctx, "no/such/dir.txt");
    test_fails(ctx, whet_out_open(ctx, "/tmp", true, &out), WHET_ERR_IO);
    char *bytes;
    int64_t len;
    test_fails(ctx, whet_i_file_read(ctx, "/tmp", 10, &bytes, &len), WHET_ERR_IO);
    test_says(ctx, "directory");
    test_ctx_done(ctx);
}

static void write_at(const char *dir, const char *name, const char *text) {
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    (void)fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void a_directory_appears_whole(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const char *path = test_tmp("made");
    whet_out_dir *dir = NULL;
    test_ok(ctx, whet_out_dir_open(ctx, path, false, &dir));
    write_at(whet_out_dir_path(dir), "a.txt", "one");
    assert_false(exists(path));
    test_ok(ctx, whet_out_dir_commit(ctx, dir));
    content_is(test_tmp("made/a.txt"), "one");

    test_fails(ctx, whet_out_dir_open(ctx, path, false, &dir), WHET_ERR_EXISTS);
    write_at(path, "b.txt", "a stranger's");
    assert_int_equal(mkdir(test_tmp("made/deep"), 0777), 0);
    write_at(test_tmp("made/deep"), "c.txt", "old");
    test_ok(ctx, whet_out_dir_open(ctx, test_tmp("made/"), true, &dir));
    write_at(whet_out_dir_path(dir), "a.txt", "two");
    assert_int_equal(mkdir(test_tmp("sub"), 0777), 0);
    char sub[1024];
    (void)snprintf(sub, sizeof sub, "%s/deep", whet_out_dir_path(dir));
    assert_int_equal(mkdir(sub, 0777), 0);
    test_ok(ctx, whet_out_dir_commit(ctx, dir));
    content_is(test_tmp("made/a.txt"), "two");
    content_is(test_tmp("made/b.txt"), "a stranger's");
    assert_false(exists(test_tmp("made/deep/c.txt")));
    test_ctx_done(ctx);
}

static void an_aborted_directory_leaves_nothing(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_out_dir *dir = NULL;
    test_ok(ctx, whet_out_dir_open(ctx, test_tmp("gone"), false, &dir));
    char temporary[512];
    (void)snprintf(temporary, sizeof temporary, "%s", whet_out_dir_path(dir));
    write_at(temporary, "a.txt", "one");
    whet_out_dir_abort(ctx, dir);
    whet_out_dir_abort(ctx, NULL);
    assert_false(exists(temporary) || exists(test_tmp("gone")));
    test_fails(ctx, whet_out_dir_open(ctx, test_write_text("plain", ""), true, &dir), WHET_ERR_IO);
    test_ctx_done(ctx);
}

/* Left by processes that are no more: no process has so great a number. */
#define DEAD ".whet-2147483647-0.tmp"

static void what_a_killed_process_left_is_put_in_order(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_out_dir *dir = NULL;
    char *path = test_tmp_kept("killed");
    /* While it wrote; of another target nothing goes. */
    assert_int_equal(mkdir(test_tmp("killed" DEAD), 0777), 0);
    write_at(test_tmp("killed" DEAD), "a.txt", "half");
    assert_int_equal(mkdir(test_tmp("killed2" DEAD), 0777), 0);
    test_ok(ctx, whet_out_dir_open(ctx, path, false, &dir));
    assert_false(exists(test_tmp("killed" DEAD)));
    assert_int_equal(rmdir(test_tmp("killed2" DEAD)), 0);
    whet_out_dir_abort(ctx, dir);
    /* The old one had stepped aside: it comes back. */
    assert_int_equal(mkdir(test_tmp("killed" DEAD ".old"), 0777), 0);
    write_at(test_tmp("killed" DEAD ".old"), "a.txt", "old");
    write_at(test_tmp("killed" DEAD ".old"), "b.txt", "a stranger's");
    test_fails(ctx, whet_out_dir_open(ctx, path, false, &dir), WHET_ERR_EXISTS);
    content_is(test_tmp("killed/b.txt"), "a stranger's");
    /* The new one was in place already: what only the old one had moves over. */
    assert_int_equal(rename(path, test_tmp("killed" DEAD ".old")), 0);
    assert_int_equal(mkdir(path, 0777), 0);
    write_at(path, "a.txt", "new");
    test_fails(ctx, whet_out_dir_open(ctx, path, false, &dir), WHET_ERR_EXISTS);
    content_is(test_tmp("killed/a.txt"), "new");
    content_is(test_tmp("killed/b.txt"), "a stranger's");
    assert_false(exists(test_tmp("killed" DEAD ".old")));
    free(path);
    test_ctx_done(ctx);
}

static void files_of_its_kind_go_with_an_earlier_output(void **state) {
    (void)state;
    static const char *const own[] = {"a.txt", "b.txt", NULL};
    whet_ctx *ctx = test_ctx(1);
    whet_out_dir *dir = NULL;
    char *path = test_tmp_kept("kind");
    assert_int_equal(mkdir(path, 0777), 0);
    write_at(path, "b.txt", "of before");
    write_at(path, "c.txt", "a stranger's");
    test_ok(ctx, whet_i_out_dir_open(ctx, path, true, own, &dir));
    write_at(whet_out_dir_path(dir), "a.txt", "new");
    test_ok(ctx, whet_out_dir_commit(ctx, dir));
    content_is(test_tmp("kind/a.txt"), "new");
    content_is(test_tmp("kind/c.txt"), "a stranger's");
    assert_false(exists(test_tmp("kind/b.txt")));
    free(path);
    test_ctx_done(ctx);
}

static void what_cannot_be_written_is_told_before(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    char *plain = test_tmp_kept("plain.txt");
    (void)test_write_text("plain.txt", "");
    test_ok(ctx, whet_i_out_check(ctx, "-", false));
    test_ok(ctx, whet_i_out_check(ctx, "/dev/null", false));
    test_ok(ctx, whet_i_out_check(ctx, test_tmp("checked"), false));
    test_fails(ctx, whet_i_out_check(ctx, plain, false), WHET_ERR_EXISTS);
    test_ok(ctx, whet_i_out_check(ctx, plain, true));
    test_fails(ctx, whet_i_out_check(ctx, test_tmp("plain.txt/x"), true), WHET_ERR_IO);
    test_ok(ctx, whet_i_out_dir_check(ctx, test_tmp("checked"), false));
    test_fails(ctx, whet_i_out_dir_check(ctx, plain, true), WHET_ERR_IO);
    test_fails(ctx, whet_i_out_dir_check(ctx, test_tmp("plain.txt/x"), false), WHET_ERR_IO);
    test_fails(ctx, whet_i_out_dir_check(ctx, ".", true), WHET_ERR_IO);
    test_fails(ctx, whet_i_out_dir_check(ctx, "/", true), WHET_ERR_IO);
    assert_false(exists(test_tmp("checked")));
    assert_true(whet_same_path("a.txt", "./a.txt"));
    assert_true(whet_same_path("/tmp/../tmp/a", "/tmp/a"));
    assert_false(whet_same_path("a.txt", "/a.txt"));
    assert_false(whet_same_path("no/such/a", "no/such/./a"));
    char *link_path = strdup(test_tmp("link.txt"));
    assert_int_equal(symlink(plain, link_path), 0);
    assert_true(whet_same_path(plain, link_path)); /* one file by two names */
    assert_false(whet_same_path(plain, test_tmp("other.txt")));
    free(link_path);
    free(plain);
    test_ctx_done(ctx);
}

static whet_status write_both(whet_ctx *ctx, void *arg) {
    (void)arg;
    whet_out *out = NULL;
    whet_out_dir *dir = NULL;
    whet_status status = whet_out_open(ctx, test_tmp("alloc.txt"), true, &out);
    if (status != WHET_OK) return status;
    status = whet_out_write(ctx, out, "x", 1);
    if (status != WHET_OK) {
        whet_out_abort(ctx, out);
        return status;
    }
    WHET_TRY(whet_out_commit(ctx, out));
    WHET_TRY(whet_out_dir_open(ctx, test_tmp("alloc"), true, &dir));
    return whet_out_dir_commit(ctx, dir);
}

static void failing_allocations_leave_no_temporary(void **state) {
    (void)state;
    (void)test_tmp("x");
    assert_true(test_each_allocation(write_both, NULL) > 3);
    char command[600];
    (void)snprintf(command, sizeof command, "! ls %s | grep -q whet-.*tmp", test_tmp(""));
    assert_int_equal(system(command), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_appears_at_commit_only),
        cmocka_unit_test(an_existing_file_is_kept_unless_forced),
        cmocka_unit_test(a_file_made_meanwhile_is_not_replaced),
        cmocka_unit_test(abort_leaves_nothing),
        cmocka_unit_test(text_longer_than_the_buffer_arrives_whole),
        cmocka_unit_test(a_full_disk_is_an_io_error),
        cmocka_unit_test(places_that_cannot_be_written_are_named),
        cmocka_unit_test(a_directory_appears_whole),
        cmocka_unit_test(an_aborted_directory_leaves_nothing),
        cmocka_unit_test(what_a_killed_process_left_is_put_in_order),
        cmocka_unit_test(files_of_its_kind_go_with_an_earlier_output),
        cmocka_unit_test(what_cannot_be_written_is_told_before),
        cmocka_unit_test(failing_allocations_leave_no_temporary),
    };
    return cmocka_run_group_tests_name("io/out", tests, NULL, NULL);
}
