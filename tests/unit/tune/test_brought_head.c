/* SPDX-License-Identifier: Apache-2.0
 * Heads that are gone on with by the names of their classes, and what runs leave that ended before their
 * first checkpoint. */
#include <math.h>
#include <sys/stat.h>

#include "support.h"
#include "tune_support.h"

enum { WIDTH = 32, CLASSES = 3 };

/* ---- heads ------------------------------------------------------------------------------------ */

typedef struct head {
    int64_t k;
    char name[CLASSES + 1][8];
    float weight[CLASSES + 1][WIDTH];
} head;

static head head_of(whet_ctx *ctx, const char *folder) {
    head h = {0};
    char path[1024];
    json_error_t error;
    whet_safetensors *file;
    whet_tensor t;
    (void)snprintf(path, sizeof path, "%s/config.json", folder);
    json_t *config = json_load_file(path, 0, &error);
    const json_t *labels = json_object_get(config, "id2label");
    h.k = (int64_t)json_object_size(labels);
    assert_true(h.k > 0 && h.k <= CLASSES + 1);
    for (int64_t c = 0; c < h.k; c++) {
        char number[8];
        (void)snprintf(number, sizeof number, "%d", (int)c);
        (void)snprintf(h.name[c], sizeof h.name[c], "%s",
                       json_string_value(json_object_get(labels, number)));
    }
    json_decref(config);
    (void)snprintf(path, sizeof path, "%s/model.safetensors", folder);
    test_ok(ctx, whet_safetensors_open(ctx, path, &file));
    assert_true(whet_safetensors_find(file, "classifier.weight", &t));
    assert_int_equal(t.shape[0], h.k);
    assert_int_equal(t.shape[1], WIDTH);
    memcpy(h.weight, t.data, (size_t)h.k * sizeof h.weight[0]);
    whet_safetensors_close(ctx, file);
    return h;
}

/* Each class of `now` has the row that it had: steps are of 1e-9, weights some hundredths. */
static void assert_same_rows(const head *now, const head *before) {
    for (int64_t c = 0; c < now->k; c++) {
        int64_t was = 0;
        while (was < before->k && strcmp(before->name[was], now->name[c]) != 0) was++;
        assert_true(was < before->k);
        for (int64_t j = 0; j < WIDTH; j++)
            assert_true(fabsf(now->weight[c][j] - before->weight[was][j]) < 1e-6F);
    }
}

static void assert_names(const head *h, const char *names) {
    char all[64] = "";
    for (int64_t c = 0; c < h->k; c++) (void)strcat(strcat(all, h->name[c]), " ");
    assert_string_equal(all, names);
}

static whet_tune_job job_of(const char *model, const char *train, const char *output) {
    whet_tune_job job = WHET_TUNE_JOB_INIT;
    job.model = model;
    job.train = train;
    job.output = output;
    job.batch_size = 2;
    job.epochs = 1;
    job.learning_rate = 1e-9;
    job.dropout = 0;
    job.force = true;
    return job;
}

typedef struct fixture {
    char first[256], next[256], xyz[256], zyx[256], xz[256], w[256];
} fixture;

static void text_file(char path[256], const char *name, const char *text) {
    (void)snprintf(path, 256, "%s", test_write_text(name, text));
}

/* A head with the classes x, y, z of rows that differ. */
static fixture begin(whet_ctx *ctx) {
    fixture f;
    (void)snprintf(f.first, sizeof f.first, "%s", test_tmp("first"));
    (void)snprintf(f.next, sizeof f.next, "%s", test_tmp("next"));
    text_file(f.xyz, "xyz.tsv", "text\tlabel\na good video\tx\nthe song\ty\nbad bad\tz\n");
    text_file(f.zyx, "zyx.tsv", "text\tlabel\nbad bad\tz\nthe song\ty\na good video\tx\n");
    text_file(f.xz, "xz.tsv", "text\tlabel\nbad bad\tz\na good video\tx\n");
    text_file(f.w, "w.tsv", "text\tlabel\nbad bad\tz\na good video\tw\nthe song\tx\n");
    whet_tune_job job = job_of(test_source("tests/golden/bert_tiny/even"), f.xyz, f.first);
    job.epochs = 2;
    job.learning_rate = 0.05;
    test_ok(ctx, whet_tune_run(ctx, &job, NULL));
    return f;
}

static void finish(whet_ctx *ctx, const fixture *f) {
    remove_output(f->first);
    remove_output(f->next);
    test_ctx_done(ctx);
}

static void a_head_is_known_by_its_names(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const fixture f = begin(ctx);
    const head before = head_of(ctx, f.first);
    assert_names(&before, "x y z ");
    const char *const tables[] = {f.zyx, f.xz}; /* another order, fewer: its own order and number */
    for (int i = 0; i < 2; i++) {
        whet_tune_job job = job_of(f.first, tables[i], f.next);
        test_ok(ctx, whet_tune_run(ctx, &job, NULL));
        const head now = head_of(ctx, f.next);
        assert_names(&now, "x y z ");
        assert_same_rows(&now, &before);
    }
    finish(ctx, &f);
}

static void a_class_list_gives_order_and_number(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const fixture f = begin(ctx);
    const head before = head_of(ctx, f.first);
    char zyx[256], zx[256];
    text_file(zyx, "zyx.txt", "z\ny\nx\n");
    text_file(zx, "zx.txt", "z\nx\n");
    whet_tune_job job = job_of(f.first, f.xyz, f.next);
    job.classes = zyx;
    test_ok(ctx, whet_tune_run(ctx, &job, NULL));
    head now = head_of(ctx, f.next);
    assert_names(&now, "z y x ");
    assert_same_rows(&now, &before);
    job = job_of(f.first, f.xz, f.next);
    job.classes = zx;
    test_ok(ctx, whet_tune_run(ctx, &job, NULL));
    now = head_of(ctx, f.next);
    assert_names(&now, "z x ");
    assert_same_rows(&now, &before);
    finish(ctx, &f);
}

static void other_classes_need_a_new_head(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const fixture f = begin(ctx);
    const head before = head_of(ctx, f.first);
    whet_tune_job job = job_of(f.first, f.w, f.next);
    test_fails(ctx, whet_tune_run(ctx, &job, NULL), WHET_ERR_DATA);
    test_says(ctx, "w.tsv:3");
    test_says(ctx, "--new-head");
    job.new_head = true;
    test_ok(ctx, whet_tune_run(ctx, &job, NULL));
    const head now = head_of(ctx, f.next);
    assert_names(&now, "w x z ");
    assert_true(memcmp(now.weight[1], before.weight[0], sizeof now.weight[1]) != 0);
    finish(ctx, &f);
}

static whet_status tune_once(whet_ctx *ctx, void *arg) { return whet_tune_run(ctx, arg, NULL); }

static void allocations_may_fail(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const fixture f = begin(ctx);
    char zyx[256];
    text_file(zyx, "zyx.txt", "z\ny\nx\n");
    whet_tune_job job = job_of(f.first, f.xyz, f.next);
    job.classes = zyx;
    assert_true(test_each_allocation(tune_once, &job) > 100);
    finish(ctx, &f);
}

/* ---- leftovers -------------------------------------------------------------------------------- */

static char output[256];

static const char *in_output(const char *name) {
    static char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", output, name);
    return path;
}

static void touch(const char *name) {
    FILE *file = fopen(in_output(name), "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
}

static bool is_there(const char *name) { return access(in_output(name), F_OK) == 0; }

static void leave(void) {
    (void)snprintf(output, sizeof output, "%s", test_tmp("leftover"));
    assert_int_equal(mkdir(output, 0777), 0);
    assert_int_equal(mkdir(in_output("checkpoint"), 0777), 0);
}

static void what_ended_early_is_swept(void **state) {
    (void)state;
    leave();
    assert_true(whet_i_tune_is_leftover(output));
    touch("metrics.jsonl");
    touch("checkpoint/best.safetensors");
    assert_true(whet_i_tune_is_leftover(output));
    assert_true(is_there("metrics.jsonl")); /* asking removes nothing */
    whet_i_tune_sweep_leftover(output);
    assert_false(is_there(""));
    assert_false(whet_i_tune_is_leftover(output)); /* nothing there is no leftover */
}

static void what_others_own_stays(void **state) {
    (void)state;
    static const char *const foreign[] = {"notes.txt", "checkpoint/state.safetensors"};
    for (int i = 0; i < 2; i++) {
        leave();
        touch(foreign[i]);
        assert_false(whet_i_tune_is_leftover(output));
        whet_i_tune_sweep_leftover(output);
        assert_true(is_there(foreign[i]));
        (void)remove(in_output(foreign[i]));
        whet_i_tune_sweep_leftover(output);
        assert_false(is_there(""));
    }
}

/* The mark of a process that is (this one) says that a run is at work; of one that is no more, nothing. */
static void a_run_at_work_keeps_its_folder(void **state) {
    (void)state;
    leave();
    whet_i_tune_mark(output);
    assert_false(whet_i_tune_is_leftover(output));
    whet_i_tune_unmark(output);
    assert_true(whet_i_tune_is_leftover(output));
    touch("checkpoint/run.whet-2147483646-0.tmp");
    assert_true(whet_i_tune_is_leftover(output));
    assert_false(is_there("checkpoint/run.whet-2147483646-0.tmp"));
    whet_i_tune_sweep_leftover(output);
    assert_false(is_there(""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_is_known_by_its_names),
        cmocka_unit_test(a_class_list_gives_order_and_number),
        cmocka_unit_test(other_classes_need_a_new_head),
        cmocka_unit_test(allocations_may_fail),
        cmocka_unit_test(what_ended_early_is_swept),
        cmocka_unit_test(what_others_own_stays),
        cmocka_unit_test(a_run_at_work_keeps_its_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
