/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/edges_i.h"

/* "a>b:1 ..." with names, in order: what a test can compare at a glance. */
static const char *shown(const whet_edges *edges) {
    static char text[4096];
    int n = 0;
    text[0] = '\0';
    for (int64_t i = 0; i < edges->n_edges; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%s%s%s%s:%g", i ? " " : "",
                      whet_names_get(edges->names, edges->from[i]).ptr, edges->rooted ? ">" : "-",
                      whet_names_get(edges->names, edges->to[i]).ptr, edges->length[i]);
    return text;
}

static whet_status parse(whet_ctx *ctx, const char *text, whet_edges *out) {
    return whet_i_edges_parse(ctx, "f", text, (int64_t)strlen(text), out);
}

static void files_are_read_by_their_content(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const struct {
        const char *text, *edges;
    } cases[] = {
        {"a b\nb c\n", "a-b:1 b-c:1"},
        {"a b 2.5\r\n\r\n  b   c", "a-b:2.5 b-c:1"},
        {"New York\tLos Angeles\t3\n", "New York-Los Angeles:3"},
        {"\xef\xbb\xbf"
         "child\tparent\nx\troot\ny\troot\n",
         "root>x:1 root>y:1"},
        {"length\tparent\tchild\n0.5\tr\tx\n\tr\ty\n\t\tr\n", "r>x:0.5 r>y:1"},
        {"(A,B);", "0>A:1 0>B:1"},
        {"Placental mammals: ((a:5 ,'it''s b':1e-1)ab:3,c)root;\n",
         "root>ab:3 ab>a:5 ab>it's b:0.1 root>c:0"},
        {"[a comment (]( [x] A [y] : [z] 2 , ( B ) 1 ,( C ) 1 ) ;",
         "0>A:2 0>2:0 2>B:0 0>4:0 4>C:0"},
        {"(1,());", "0>1:1 0>2:1 2>3:1"},
        {"((3,b),c);", "0>1:1 1>3:1 1>b:1 0>c:1"},
    };
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        whet_edges edges = {0};
        test_ok(ctx, parse(ctx, cases[i].text, &edges));
        assert_string_equal(shown(&edges), cases[i].edges);
        whet_edges_destroy(ctx, &edges);
    }
    test_ctx_done(ctx);
}

static void wrong_files_are_refused_with_their_place(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const struct {
        const char *text, *says;
    } cases[] = {
        {"", "no edges"},
        {"a b\na\n", "f:2: the line is \"a\""},
        {"a b c d\n", "f:1: the line"},
        {"a b -1\n", "f:1: the length is \"-1\""},
        {"a b 1,5\n", "f:1: the length is \"1,5\""},
        {"a b nan\n", "f:1: the length"},
        {"a b 1e999\n", "f:1: the length"},
        {"a a\n", "f:1: an edge from \"a\" to itself"},
        {"child\tparent\na\tb\na\tc\n", "f:3: \"a\" has a parent on line 2 already"},
        {"child\tparent\na\ta\n", "f:2: \"a\" is its own parent"},
        {"child\tparent\na\n", "f:2: 1 columns; expected 2"},
        {"child\tparent\n\tb\n", "f:2: the child is empty"},
        {"child\tparent\n", "no rows"},
        {"child\tparent\tlength\na\tb\tx\n", "f:2: the length is \"x\""},
        {"(a,b;", "f:1:5: a stray character"},
        {"(a,b));", "f:1:6: a stray character; expected a semicolon"},
        {"(a,\n'b);", "f:2:1: a quoted label without end"},
        {"(a,[b);", "f:1:4: a comment without end"},
        {"(a:x,b);", "f:1:4: the length is no number"},
        {"(a:-1,b);", "f:1:4: the length is negative"},
        {"(a,b)(c,d);", "a stray character"},
        {"(a,b);(c,d);", "more behind the tree"},
        {"(a,a);", "two leaves are named \"a\""},
    };
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        whet_edges edges = {0};
        test_fails(ctx, parse(ctx, cases[i].text, &edges), WHET_ERR_FORMAT);
        test_says(ctx, cases[i].says);
        assert_null(edges.names);
    }
    test_ctx_done(ctx);
}

static void a_tree_a_million_deep_needs_no_recursion(void **state) {
    (void)state;
    enum { DEPTH = 1000000 };
    whet_ctx *ctx = test_ctx(1);
    char *text = malloc(2 * DEPTH + 3);
    memset(text, '(', DEPTH);
    text[DEPTH] = 'x';
    memset(text + DEPTH + 1, ')', DEPTH);
    text[2 * DEPTH + 1] = ';';
    whet_edges edges = {0};
    test_ok(ctx, whet_i_newick_parse(ctx, "f", text, 2 * DEPTH + 2, &edges));
    assert_int_equal(edges.n_edges, DEPTH);
    assert_int_equal(whet_names_find(edges.names, whet_str_from("x")), DEPTH);
    whet_edges_destroy(ctx, &edges);
    free(text);
    test_ctx_done(ctx);
}

static whet_status read_all_kinds(whet_ctx *ctx, void *arg) {
    (void)arg;
    const char *texts[] = {"a b\nb c 2\n", "child\tparent\nx\ty\n", "((a,'b''c')1,(d)1);"};
    for (int64_t i = 0; i < WHET_COUNT_OF(texts); i++) {
        whet_edges edges = {0};
        WHET_TRY(parse(ctx, texts[i], &edges));
        whet_edges_destroy(ctx, &edges);
    }
    return WHET_OK;
}

static void each_failed_allocation_is_survived(void **state) {
    (void)state;
    assert_true(test_each_allocation(read_all_kinds, NULL) > 20);
}

/* Reads the file, checks node and edge counts against the README of the data set. */
static void expect_counts(const char *path, int64_t nodes) {
    whet_ctx *ctx = test_ctx(1);
    whet_edges edges = {0};
    test_ok(ctx, whet_edges_read(ctx, path, &edges));
    assert_int_equal(whet_names_count(edges.names), nodes);
    assert_int_equal(edges.n_edges, nodes - 1);
    whet_edges_destroy(ctx, &edges);
    test_ctx_done(ctx);
}

static void real_phylogenies_load(void **state) {
    (void)state;
    test_need_shared("data/tree_greengenes97/97_otus.nwk");
    expect_counts(test_shared("data/tree_greengenes97/97_otus.nwk"), 198643);
    expect_counts(test_shared("data/tree_hcv3876/tree.nwk"), 7750);
}

static void parent_arrays_make_trees(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    int32_t parent[] = {-1, 0, 0, 2};
    float length[] = {0, 1, 0.5f, 2};
    whet_tensor array = {parent, WHET_I32, 1, {4}}, lengths = {length, WHET_F32, 1, {4}};
    char parents[4096], names[4096], floats[4096];
    (void)snprintf(parents, sizeof parents, "%s", test_tmp("parent.npy"));
    (void)snprintf(floats, sizeof floats, "%s", test_tmp("length.npy"));
    (void)snprintf(names, sizeof names, "%s",
                   test_write_text("names.txt", "root\tthe root\na b\n\nc\n"));
    test_ok(ctx, whet_npy_write(ctx, parents, true, &array));
    test_ok(ctx, whet_npy_write(ctx, floats, true, &lengths));
    whet_edges edges = {0};
    test_ok(ctx, whet_edges_read(ctx, parents, &edges));
    assert_string_equal(shown(&edges), "0>1:1 0>2:1 2>3:1");
    whet_edges_destroy(ctx, &edges);
    test_ok(ctx, whet_edges_read_parents(ctx, parents, names, floats, &edges));
    assert_string_equal(shown(&edges), "root>a b:1 root>2:0.5 2>c:2");
    whet_edges_destroy(ctx, &edges);
    test_fails(
        ctx, whet_edges_read_parents(ctx, parents, test_write_text("few.txt", "a\n"), NULL, &edges),
        WHET_ERR_SHAPE);
    parent[3] = 4;
    test_ok(ctx, whet_npy_write(ctx, parents, true, &array));
    test_fails(ctx, whet_edges_read(ctx, parents, &edges), WHET_ERR_FORMAT);
    test_says(ctx, "parent[3] is 4");
    test_ctx_done(ctx);
}

static void real_parent_arrays_load(void **state) {
    (void)state;
    test_need_shared("data/tree_gtdb/parent.npy");
    expect_counts(test_shared("data/tree_gtdb/parent.npy"), 240103);
    expect_counts(test_shared("data/tree_google_product/parent.npy"), 5596);
    expect_counts(test_shared("data/tree_icd10cm_2021/parent.npy"), 95677);
}

/* A published tree with three lengths of -1: no metric, and said so. */
static void a_real_tree_with_negative_lengths_is_refused(void **state) {
    (void)state;
    test_need_shared("data/tree_onezoom_selected/tree.nwk");
    whet_ctx *ctx = test_ctx(1);
    whet_edges edges = {0};
    test_fails(ctx,
               whet_edges_read(ctx, test_shared("data/tree_onezoom_selected/tree.nwk"), &edges),
               WHET_ERR_FORMAT);
    test_says(ctx, "the length is negative");
    test_ctx_done(ctx);
}

static void real_hierarchies_load(void **state) {
    (void)state;
    test_need_shared("data/clinc150/hierarchy.tsv");
    expect_counts(test_shared("data/clinc150/hierarchy.tsv"), 161);
    expect_counts(test_shared("data/newsgroups_mini/hierarchy.tsv"), 39);
    expect_counts(test_shared("data/trec/hierarchy.tsv"), 57);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_read_by_their_content),
        cmocka_unit_test(wrong_files_are_refused_with_their_place),
        cmocka_unit_test(a_tree_a_million_deep_needs_no_recursion),
        cmocka_unit_test(each_failed_allocation_is_survived),
        cmocka_unit_test(real_phylogenies_load),
        cmocka_unit_test(real_hierarchies_load),
        cmocka_unit_test(parent_arrays_make_trees),
        cmocka_unit_test(real_parent_arrays_load),
        cmocka_unit_test(a_real_tree_with_negative_lengths_is_refused),
    };
    return cmocka_run_group_tests_name("io/edges", tests, NULL, NULL);
}
