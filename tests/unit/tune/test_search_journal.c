/* SPDX-License-Identifier: Apache-2.0
 * The journal of a search: what is written is read, cut anywhere it is a shorter journal, damage is told, and
 * the lock of a process tells whether it lives. */
#include "support.h"
#include "tune_support.h"

#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tune/search_i.h"

static const whet_i_search_head head = {.fingerprint = "0123456789abcdef",
                                        .rungs = 2,
                                        .replicates = 3,
                                        .folds = 3,
                                        .steps = {4, 12},
                                        .step_seconds = 0.5,
                                        .overhead = 0.25,
                                        .final_steps = 20};

static void remove_journal(const char *output) {
    char path[2048];
    static const char *const names[] = {"search/journal", "search/worker-0", "search/worker-1",
                                        "search"};
    for (int64_t i = 0; i < WHET_COUNT_OF(names); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", output, names[i]);
        (void)remove(path);
    }
    (void)rmdir(output);
}

static whet_i_search_cell result(double metric) {
    return (whet_i_search_cell){.state = WHET_I_CELL_DONE,
                                .metric = metric,
                                .loss = 1 / metric,
                                .seconds = 1.5,
                                .steps = 4,
                                .first = 0.1,
                                .last = 0.3,
                                .norm = NAN};
}

/* A journal with some units of each state; its bytes, released by the caller. */
static char *write_some(whet_ctx *ctx, const char *output, int64_t *len) {
    whet_i_search_journal j;
    whet_i_search_state s = {.last_worker = -1};
    char path[1024], *bytes;
    test_ok(ctx, whet_i_search_begin(ctx, output, &head, &j));
    test_ok(ctx, whet_i_search_lock(ctx, &j, &s));
    for (int64_t t = 0; t < 3; t++)
        for (int32_t k = 0; k < 3; k++) {
            const whet_i_search_unit u = {t, 0, k};
            whet_i_search_cell c = result(1.0 / (double)(3 + t + k));
            test_ok(ctx, whet_i_search_claim(ctx, &j, &s, u, 60));
            if (t == 1 && k == 1) c.state = WHET_I_CELL_FAILED;
            if (t < 2 || k < 2) test_ok(ctx, whet_i_search_note(ctx, &j, &s, u, &c));
        }
    whet_i_search_unlock(&j);
    assert_true(s.n_trials == 3 && fabs(s.spent - 8 * 1.5) < 1e-12 && s.last_worker == 0);
    whet_i_search_state_free(ctx, &s);
    whet_i_search_close(ctx, &j);
    (void)snprintf(path, sizeof path, "%s/search/journal", output);
    test_ok(ctx, whet_i_file_read(ctx, path, 1 << 20, &bytes, len));
    return bytes;
}

static void what_is_written_is_read(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const char *output = test_tmp("journal");
    int64_t len, whole;
    whet_i_search_state s;
    char *bytes = write_some(ctx, output, &len);
    test_ok(ctx, whet_i_search_parse(ctx, "j", bytes, len, &s, &whole));
    assert_int_equal(whole, len);
    assert_int_equal(s.lines, 1 + 9 + 8);
    assert_int_equal(s.n_trials, 3);
    assert_memory_equal(s.head.fingerprint, head.fingerprint, sizeof head.fingerprint);
    assert_true(s.head.steps[1] == 12 && s.head.overhead == 0.25 && s.head.final_steps == 20);
    const whet_i_search_cell *c = &s.rows[1].cell[0][2];
    assert_int_equal(c->state, WHET_I_CELL_DONE);
    assert_true(c->metric == 1.0 / 6 && c->loss == 1 / (1.0 / 6) && c->steps == 4);
    assert_true(c->first == 0.1 && c->last == 0.3 && isnan(c->norm));
    assert_int_equal(s.rows[1].cell[0][1].state, WHET_I_CELL_FAILED);
    assert_int_equal(s.rows[2].cell[0][2].state, WHET_I_CELL_CLAIMED);
    assert_int_equal(s.rows[2].cell[1][0].state, WHET_I_CELL_EMPTY);
    whet_i_search_state_free(ctx, &s);
    whet_i_free(ctx, bytes);
    remove_journal(output);
    test_ctx_done(ctx);
}

/* A process killed while it writes leaves a beginning of the file: all whole lines count, no other does. */
static void cut_anywhere_it_is_a_shorter_journal(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const char *output = test_tmp("cut");
    int64_t len, whole, lines = 0, ends = 0;
    char *bytes = write_some(ctx, output, &len);
    for (int64_t cut = 0; cut <= len; cut++) {
        whet_i_search_state s;
        if (cut > 0 && bytes[cut - 1] == '\n') {
            lines++;
            ends = cut;
        }
        const whet_status status = whet_i_search_parse(ctx, "j", bytes, cut, &s, &whole);
        assert_int_equal(status, lines ? WHET_OK : WHET_ERR_FORMAT);
        assert_int_equal(whole, ends);
        if (lines) assert_int_equal(s.lines, lines);
        whet_i_search_state_free(ctx, &s);
    }
    whet_i_free(ctx, bytes);
    remove_journal(output);
    test_ctx_done(ctx);
}

/* Any byte changed: damage with its line, or, in the last line, as if it were cut. */
static void damage_is_told(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const char *output = test_tmp("damage");
    int64_t len, whole, line = 1;
    char *bytes = write_some(ctx, output, &len);
    for (int64_t i = 0; i < len; i++) {
        whet_i_search_state s;
        char place[32];
        const bool feed = bytes[i] == '\n';
        bytes[i] ^= 4;
        (void)snprintf(place, sizeof place, "j:%lld", (long long)line);
        const whet_status status = whet_i_search_parse(ctx, "j", bytes, len, &s, &whole);
        if (line < 17 || (line == 17 && !feed)) {
            assert_int_equal(status, WHET_ERR_DATA);
            test_says(ctx, place);
        } else {
            assert_int_equal(status, WHET_OK);
            assert_int_equal(s.lines, line - 1);
        }
        whet_i_search_state_free(ctx, &s);
        bytes[i] ^= 4;
        line += feed;
    }
    whet_i_free(ctx, bytes);
    remove_journal(output);
    test_ctx_done(ctx);
}

/* What comes behind a torn line is written in its place; the first of two results stays. */
static void going_on_behind_a_torn_line(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const char *output = test_tmp("torn");
    char path[1024];
    int64_t len;
    whet_i_search_journal j;
    whet_i_search_state s = {.last_worker = -1};
    whet_i_free(ctx, write_some(ctx, output, &len));
    (void)snprintf(path, sizeof path, "%s/search/journal", output);
    assert_int_equal(truncate(path, len - 3), 0);
    test_ok(ctx, whet_i_search_join(ctx, output, &j));
    test_ok(ctx, whet_i_search_lock(ctx, &j, &s));
    assert_int_equal(s.lines, 17);
    const whet_i_search_unit last = {2, 0, 2}, first = {0, 0, 0};
    const whet_i_search_cell c = result(0.125);
    test_ok(ctx, whet_i_search_claim(ctx, &j, &s, last, 60));
    assert_int_equal(j.worker, 1);
    test_ok(ctx, whet_i_search_note(ctx, &j, &s, last, &c));
    test_ok(ctx, whet_i_search_note(ctx, &j, &s, first, &c));
    whet_i_search_unlock(&j);
    test_ok(ctx, whet_i_search_lock(ctx, &j, &s));
    assert_int_equal(s.lines, 20);
    assert_true(s.rows[2].cell[0][2].metric == 0.125 && s.rows[2].cell[0][2].worker == 1);
    assert_true(s.rows[0].cell[0][0].metric == 1.0 / 3);
    whet_i_search_unlock(&j);
    whet_i_search_state_free(ctx, &s);
    whet_i_search_close(ctx, &j);
    remove_journal(output);
    test_ctx_done(ctx);
}

/* A disk that is full in the middle of a line: told, the file is as it was, and so is what is known. */
static void no_room_tears_no_line(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const char *output = test_tmp("room");
    int64_t len, after;
    struct rlimit before, small;
    whet_i_search_journal j;
    whet_i_search_state s = {.last_worker = -1};
    char path[1024], *bytes = write_some(ctx, output, &len), *again;
    test_ok(ctx, whet_i_search_join(ctx, output, &j));
    test_ok(ctx, whet_i_search_lock(ctx, &j, &s));
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = (rlim_t)(len + 20);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const whet_status status = whet_i_search_claim(ctx, &j, &s, (whet_i_search_unit){0, 1, 0}, 60);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(status, WHET_ERR_IO);
    test_says(ctx, "search/journal: cannot be written");
    assert_int_equal(s.rows[0].cell[1][0].state, WHET_I_CELL_EMPTY);
    (void)snprintf(path, sizeof path, "%s/search/journal", output);
    test_ok(ctx, whet_i_file_read(ctx, path, 1 << 20, &again, &after));
    assert_int_equal(after, len);
    assert_memory_equal(again, bytes, (size_t)len);
    test_ok(ctx, whet_i_search_claim(ctx, &j, &s, (whet_i_search_unit){0, 1, 0}, 60));
    whet_i_search_unlock(&j);
    whet_i_search_state_free(ctx, &s);
    whet_i_search_close(ctx, &j);
    whet_i_free(ctx, again);
    whet_i_free(ctx, bytes);
    remove_journal(output);
    test_ctx_done(ctx);
}

/* Who begins anew in the same folder puts an end to the search that is at it. */
static void another_journal_in_its_place_is_told(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const char *output = test_tmp("place");
    int64_t len;
    whet_i_search_journal j, other;
    whet_i_search_state s = {.last_worker = -1};
    whet_i_free(ctx, write_some(ctx, output, &len));
    test_ok(ctx, whet_i_search_join(ctx, output, &j));
    test_ok(ctx, whet_i_search_lock(ctx, &j, &s));
    whet_i_search_unlock(&j);
    test_ok(ctx, whet_i_search_begin(ctx, output, &head, &other));
    test_fails(ctx, whet_i_search_lock(ctx, &j, &s), WHET_ERR_IO);
    test_says(ctx, "is another file now");
    assert_true(s.n_trials == 0 && !s.rows);
    test_ok(ctx, whet_i_search_lock(ctx, &other, &s)); /* not kept out by the one that failed */
    assert_int_equal(s.n_trials, 0);
    whet_i_search_unlock(&other);
    whet_i_search_state_free(ctx, &s);
    whet_i_search_close(ctx, &other);
    whet_i_search_close(ctx, &j);
    remove_journal(output);
    test_ctx_done(ctx);
}

/* A process that ends in good order takes its lock away: what it claimed is another's at once. */
static void who_is_gone_claims_nothing(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const char *output = test_tmp("gone");
    int64_t len;
    whet_i_search_journal j;
    whet_i_search_state s = {.last_worker = -1};
    whet_i_free(ctx, write_some(ctx, output, &len));
    test_ok(ctx, whet_i_search_join(ctx, output, &j));
    test_ok(ctx, whet_i_search_lock(ctx, &j, &s));
    const whet_i_search_cell *c = &s.rows[2].cell[0][2];
    assert_true(c->state == WHET_I_CELL_CLAIMED && c->until > whet_i_seconds_now());
    assert_false(whet_i_search_alive(&j, c));
    assert_true(whet_i_search_alive(NULL, c));
    whet_i_search_unlock(&j);
    whet_i_search_state_free(ctx, &s);
    whet_i_search_close(ctx, &j);
    remove_journal(output);
    test_ctx_done(ctx);
}

/* A line as journals have them: the hash of the text before it. */
static void add_line(char *bytes, size_t size, const char *text) {
    const size_t used = strlen(bytes);
    (void)snprintf(bytes + used, size - used, "%016llx %s\n",
                   (unsigned long long)whet_i_hash_bytes(text, (int64_t)strlen(text)), text);
}

#define HEAD(fields) \
    "{\"search\":2,\"fingerprint\":\"0123456789abcdef\",\"final_steps\":9," fields "}"
#define SOUND \
    HEAD("\"rungs\":2,\"replicates\":3,\"folds\":3,\"steps\":[4,12],\"step_seconds\":1," \
         "\"overhead\":0")
#define CLAIM(unit) "{\"claim\":" unit ",\"worker\":0}"

/* Whole lines with their hash that no search writes. */
static void what_no_search_writes_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *head, *fact;
        whet_status status;
    } cases[] = {
        {SOUND, CLAIM("[0,0,0]"), WHET_OK},
        {SOUND, CLAIM("[0,1,5]"), WHET_OK},       /* 3 and on, at whole length alone */
        {SOUND, CLAIM("[0,2,0]"), WHET_OK},       /* the training */
        {SOUND, CLAIM("[1,0,0]"), WHET_ERR_DATA}, /* trials begin one after the other */
        {SOUND, CLAIM("[-1,0,0]"), WHET_ERR_DATA},
        {SOUND, CLAIM("[0,0,3]"), WHET_ERR_DATA},
        {SOUND, CLAIM("[0,1,6]"), WHET_ERR_DATA},
        {SOUND, CLAIM("[0,2,1]"), WHET_ERR_DATA},
        {SOUND, CLAIM("[0,3,0]"), WHET_ERR_DATA},
        {SOUND, CLAIM("[0,0,0.5]"), WHET_ERR_DATA},
        {SOUND, CLAIM("[0,0,0,0]"), WHET_ERR_DATA},
        {SOUND, "{\"claim\":[0,0,0],\"worker\":-1}", WHET_ERR_FORMAT},
        {SOUND, "{\"worker\":0}", WHET_ERR_DATA},
        {HEAD("\"rungs\":2,\"replicates\":3,\"folds\":3,\"steps\":[12,4],\"step_seconds\":1,"
              "\"overhead\":0"),
         CLAIM("[0,0,0]"), WHET_ERR_FORMAT},
        {HEAD("\"rungs\":1,\"replicates\":3,\"folds\":3,\"steps\":[4,12],\"step_seconds\":1,"
              "\"overhead\":0"),
         CLAIM("[0,0,0]"), WHET_ERR_FORMAT},
        {HEAD("\"rungs\":2,\"replicates\":3,\"folds\":5,\"steps\":[4,12],\"step_seconds\":1,"
              "\"overhead\":0"),
         CLAIM("[0,0,0]"), WHET_ERR_FORMAT},
        {HEAD("\"rungs\":2,\"replicates\":3,\"folds\":3,\"steps\":[4,12],\"step_seconds\":-1,"
              "\"overhead\":0"),
         CLAIM("[0,0,0]"), WHET_ERR_FORMAT},
    };
    whet_ctx *ctx = test_ctx(1);
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        char bytes[1024] = "";
        int64_t whole;
        whet_i_search_state s;
        add_line(bytes, sizeof bytes, cases[i].head);
        add_line(bytes, sizeof bytes, cases[i].fact);
        const whet_status status =
            whet_i_search_parse(ctx, "j", bytes, (int64_t)strlen(bytes), &s, &whole);
        if (status != cases[i].status)
            fail_msg("case %lld: status %d: %s", (long long)i, (int)status, whet_error(ctx));
        if (status == WHET_OK) assert_true(s.lines == 2 && s.n_trials == 1);
        whet_i_search_state_free(ctx, &s);
    }
    test_ctx_done(ctx);
}

/* Another process holds a claim: alive until it is killed, or its time is over. */
static void the_dead_are_known(void **state) {
    (void)state;
    const char *output = test_tmp("dead");
    int ready[2];
    char byte = 0;
    assert_int_equal(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
        whet_ctx *ctx = test_ctx(1);
        whet_i_search_journal j;
        whet_i_search_state s = {.last_worker = -1};
        const whet_i_search_unit u = {0, 0, 0};
        const bool made = whet_i_search_begin(ctx, output, &head, &j) == WHET_OK &&
                          whet_i_search_lock(ctx, &j, &s) == WHET_OK &&
                          whet_i_search_claim(ctx, &j, &s, u, 1000) == WHET_OK;
        if (made) whet_i_search_unlock(&j);
        (void)!write(ready[1], made ? "y" : "n", 1);
        for (;;) (void)pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    whet_ctx *ctx = test_ctx(1);
    whet_i_search_journal j;
    whet_i_search_state s = {.last_worker = -1};
    test_ok(ctx, whet_i_search_join(ctx, output, &j));
    test_ok(ctx, whet_i_search_lock(ctx, &j, &s));
    whet_i_search_cell *c = &s.rows[0].cell[0][0];
    assert_int_equal(c->state, WHET_I_CELL_CLAIMED);
    assert_true(whet_i_search_alive(&j, c));
    const double until = c->until;
    c->until = 0;
    assert_false(whet_i_search_alive(&j, c));
    c->until = until;
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_false(whet_i_search_alive(&j, c));
    /* Its own claims are alive to a process. */
    test_ok(ctx, whet_i_search_claim(ctx, &j, &s, (whet_i_search_unit){0, 0, 0}, 1000));
    assert_true(whet_i_search_alive(&j, &s.rows[0].cell[0][0]));
    whet_i_search_unlock(&j);
    whet_i_search_state_free(ctx, &s);
    whet_i_search_close(ctx, &j);
    remove_journal(output);
    test_ctx_done(ctx);
}

static whet_status read_it(whet_ctx *ctx, void *arg) {
    whet_i_search_state s = {.last_worker = -1};
    whet_i_search_journal j;
    const whet_i_search_cell c = result(0.5);
    const whet_i_search_unit u = {2, 0, 2};
    whet_status status = whet_i_search_join(ctx, arg, &j);
    if (status == WHET_OK) status = whet_i_search_lock(ctx, &j, &s);
    if (status == WHET_OK) {
        status = whet_i_search_claim(ctx, &j, &s, u, 1);
        if (status == WHET_OK) status = whet_i_search_note(ctx, &j, &s, u, &c);
        whet_i_search_unlock(&j);
    }
    whet_i_search_state_free(ctx, &s);
    whet_i_search_close(ctx, &j);
    return status;
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    char output[1024];
    int64_t len;
    (void)snprintf(output, sizeof output, "%s", test_tmp("alloc"));
    whet_i_free(ctx, write_some(ctx, output, &len));
    assert_true(test_each_allocation(read_it, output) > 5);
    remove_journal(output);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(cut_anywhere_it_is_a_shorter_journal),
        cmocka_unit_test(damage_is_told),
        cmocka_unit_test(going_on_behind_a_torn_line),
        cmocka_unit_test(another_journal_in_its_place_is_told),
        cmocka_unit_test(no_room_tears_no_line),
        cmocka_unit_test(who_is_gone_claims_nothing),
        cmocka_unit_test(what_no_search_writes_is_refused),
        cmocka_unit_test(the_dead_are_known),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
