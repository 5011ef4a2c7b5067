/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include <jansson.h>

#include "report_sample.h"

static whet_status render(whet_ctx *ctx, int64_t k, int64_t n, whet_i_buf *out) {
    report_sample s = {0};
    whet_status status = sample_fill(ctx, &s, k, n);
    if (status == WHET_OK) status = whet_i_report(ctx, &s.run, out);
    whet_i_run_free(ctx, &s.run);
    return status;
}

/* To look at one: WHET_KEEP_REPORT=folder. */
static void keep(const whet_i_buf *html, const char *name) {
    char path[512];
    const char *dir = getenv("WHET_KEEP_REPORT");
    if (!dir) return;
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(html->data, 1, (size_t)html->len, file), (size_t)html->len);
    assert_int_equal(fclose(file), 0);
}

static int count_of(const char *text, const char *part) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part)) n++;
    return n;
}

/* Two classes with a label each: no figure is made up, in the report or in metrics.json. */
static void what_was_not_compared_has_no_figures(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    for (int64_t n = 0; n <= 10; n += 10) { /* without and with test rows */
        report_sample s = {.not_compared = true};
        whet_i_buf html = {0};
        char *text = NULL;
        test_ok(ctx, sample_fill(ctx, &s, 2, n));
        test_ok(ctx, whet_i_report(ctx, &s.run, &html));
        test_ok(ctx, whet_i_metrics_json(ctx, &s.run, &text));
        assert_null(strstr(html.data, "nan"));
        assert_null(strstr(html.data, "(0 to 100)"));
        assert_null(strstr(html.data, "calibrated"));
        assert_null(strstr(html.data, "compared by cross-fitting"));
        assert_null(strstr(html.data, "what is known of the quality"));
        assert_null(strstr(html.data, "The choice looks at"));
        assert_int_equal(count_of(html.data, "not compared"), 2 * 4); /* table and figure */
        assert_int_equal(count_of(html.data, "not measured"), n ? 0 : 1);
        json_t *root = json_loads(text, 0, NULL), *candidate;
        size_t i;
        assert_non_null(root);
        json_array_foreach(json_object_get(root, "candidates"), i, candidate)
            assert_true(json_is_null(json_object_get(candidate, "cross_fitted")));
        assert_int_equal(i, 5);
        json_decref(root);
        whet_i_free(ctx, text);
        whet_i_buf_free(ctx, &html);
        whet_i_run_free(ctx, &s.run);
    }
    test_ctx_done(ctx);
}

static void untrusted_text_is_escaped_and_nothing_is_fetched(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_buf html = {0};
    test_ok(ctx, render(ctx, 3, 250, &html));
    keep(&html, "three.html");
    assert_null(strstr(html.data, "<script"));
    assert_null(strstr(html.data, "<b>0&"));
    assert_null(strstr(html.data, "http:"));
    assert_null(strstr(html.data, "https:"));
    assert_null(strstr(html.data, " src="));
    assert_non_null(strstr(html.data, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; "
                                      "&quot;more&quot; \xef\xbf\xbd"));
    assert_non_null(strstr(html.data, "train &amp; more.tsv"));
    assert_int_equal(count_of(html.data, "<svg"), 3);
    assert_int_equal(count_of(html.data, "<svg"), count_of(html.data, "</svg>"));
    assert_int_equal(count_of(html.data, "<table"), count_of(html.data, "</table>"));
    assert_int_equal(count_of(html.data, "<div"), count_of(html.data, "</div>"));
    assert_null(strstr(html.data, "nan"));
    for (int64_t i = 0; i < html.len;) {
        const int64_t length = whet_i_utf8_length(html.data + i, html.len - i);
        assert_true(length > 0);
        i += length;
    }
    whet_i_buf_free(ctx, &html);
    test_ctx_done(ctx);
}

static void many_classes_give_pairs_in_place_of_a_matrix(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_buf html = {0};
    test_ok(ctx, render(ctx, 30, 400, &html));
    keep(&html, "thirty.html");
    assert_non_null(strstr(html.data, "aria-label=\"Confusion matrix\""));
    whet_i_buf_free(ctx, &html);
    test_ok(ctx, render(ctx, 31, 400, &html));
    keep(&html, "many.html");
    assert_null(strstr(html.data, "aria-label=\"Confusion matrix\""));
    assert_non_null(strstr(html.data, "confused most"));
    whet_i_buf_free(ctx, &html);
    test_ctx_done(ctx);
}

static void without_test_rows_the_cross_fitted_figure_leads(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_buf html = {0};
    test_ok(ctx, render(ctx, 2, 0, &html));
    keep(&html, "no-test.html");
    assert_non_null(strstr(html.data, "76.0 %</b><span>right by cross-fitting (95 %: 67.0"));
    assert_null(strstr(html.data, "Reliability diagram"));
    whet_i_buf_free(ctx, &html);
    test_ctx_done(ctx);
}

/* By hand: margins .1, .5, .02 of rows 1, 2, 3; row 0 is labelled. */
static void the_least_certain_unlabelled_rows_come_first(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    report_sample s = {0};
    whet_i_buf html = {0};
    test_ok(ctx, sample_fill(ctx, &s, 2, 0));
    const double p[] = {.5, .5, .55, .45, .75, .25, .49, .51};
    memcpy(s.run.pool_probs, p, sizeof p);
    const int32_t labels[] = {1, WHET_LABEL_NONE, WHET_LABEL_HIDDEN, WHET_LABEL_NONE};
    memcpy(s.run.train.labels, labels, sizeof labels);
    s.run.train.n = 4;
    s.run.held_out.n = 0;
    test_ok(ctx, whet_i_report(ctx, &s.run, &html));
    const char *list = strstr(html.data, "What to label next");
    assert_non_null(list);
    const char *first = strstr(list, "<td class=\"n\">3</td>");
    const char *second = strstr(list, "<td class=\"n\">1</td>");
    const char *third = strstr(list, "<td class=\"n\">2</td>");
    assert_true(first && second && third && first < second && second < third);
    assert_null(strstr(list, "<td class=\"n\">0</td>"));
    whet_i_buf_free(ctx, &html);
    whet_i_run_free(ctx, &s.run);
    test_ctx_done(ctx);
}

static void doubted_labels_are_told(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    report_sample s = {0};
    whet_i_buf html = {0};
    test_ok(ctx, sample_fill(ctx, &s, 2, 0));
    whet_i_held_out *h = &s.run.held_out;
    const int64_t rows[] = {17, 5, 8};
    const double p[] = {.95, .05, .1, .9, .2, .8};
    const int32_t labels[] = {1, 1, 0}; /* doubted, not, doubted */
    for (int i = 0; i < 3; i++) s.run.train.labels[rows[i]] = labels[i];
    memcpy(h->rows, rows, sizeof rows);
    memcpy(h->probs, p, sizeof p);
    h->n = 3;
    h->doubted = 2;
    test_ok(ctx, whet_i_report(ctx, &s.run, &html));
    const char *list = strstr(html.data, "Which labels to look at again");
    const char *end = strstr(html.data, "What to label next");
    assert_true(list && end && list < end);
    const char *first = strstr(list, "<td class=\"n\">17</td>");
    const char *second = strstr(list, "<td class=\"n\">8</td>");
    const char *agrees = strstr(list, "<td class=\"n\">5</td>");
    assert_true(first && second && first < second && second < end);
    assert_true(!agrees || agrees > end);
    assert_non_null(strstr(list, "Of 3 labels 2 are another class's"));
    /* Thirty that are not doubted come before one that is. */
    whet_i_buf_free(ctx, &html);
    h->n = 31;
    for (int64_t i = 0; i < h->n; i++) {
        h->rows[i] = i;
        h->probs[2 * i] = i < 30 ? .9 : .1;
        h->probs[2 * i + 1] = 1 - h->probs[2 * i];
        s.run.train.labels[i] = 0;
    }
    h->doubted = 1;
    test_ok(ctx, whet_i_report(ctx, &s.run, &html));
    list = strstr(html.data, "Which labels to look at again");
    assert_true(strstr(list, "<td class=\"n\">30</td>") < strstr(list, "What to label next"));
    whet_i_buf_free(ctx, &html);
    whet_i_run_free(ctx, &s.run);
    test_ctx_done(ctx);
}

static void the_metrics_document_says_what_the_run_holds(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    report_sample s = {0};
    char *text = NULL;
    test_ok(ctx, sample_fill(ctx, &s, 3, 250));
    s.infos[2].log_loss = 1.0 / 0.0 * 0.0; /* not a number: null in JSON */
    test_ok(ctx, whet_i_metrics_json(ctx, &s.run, &text));
    json_t *root = json_loads(text, 0, NULL);
    assert_non_null(root);
    assert_string_equal(json_string_value(json_object_get(root, "chosen")), "graph");
    json_t *data = json_object_get(root, "data");
    assert_int_equal(json_integer_value(json_object_get(data, "labels_used")), 100);
    assert_int_equal(json_integer_value(json_object_get(data, "labels_hidden")), 300);
    assert_int_equal(json_array_size(json_object_get(data, "classes")), 3);
    json_t *list = json_object_get(root, "candidates");
    assert_int_equal(json_array_size(list), 5);
    json_t *test = json_object_get(json_array_get(list, 1), "test");
    assert_true(json_equal(test, json_object_get(root, "test")));
    assert_int_equal(json_integer_value(json_object_get(test, "n")), 250);
    assert_true(json_is_null(json_object_get(json_array_get(list, 3), "test")));
    assert_true(json_is_null(
        json_object_get(json_object_get(json_array_get(list, 2), "cross_fitted"), "log_loss")));
    json_decref(root);
    whet_free_text(ctx, text);
    whet_i_run_free(ctx, &s.run);
    test_ctx_done(ctx);
}

static whet_status render_once(whet_ctx *ctx, void *arg) {
    whet_i_buf html = {0};
    const whet_status status = render(ctx, *(int64_t *)arg, 20, &html);
    whet_i_buf_free(ctx, &html);
    return status;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    int64_t k = 4;
    assert_true(test_each_allocation(render_once, &k) > 5);
    k = 32;
    assert_true(test_each_allocation(render_once, &k) > 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_not_compared_has_no_figures),
        cmocka_unit_test(untrusted_text_is_escaped_and_nothing_is_fetched),
        cmocka_unit_test(many_classes_give_pairs_in_place_of_a_matrix),
        cmocka_unit_test(without_test_rows_the_cross_fitted_figure_leads),
        cmocka_unit_test(the_least_certain_unlabelled_rows_come_first),
        cmocka_unit_test(doubted_labels_are_told),
        cmocka_unit_test(the_metrics_document_says_what_the_run_holds),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
