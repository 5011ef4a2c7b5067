/* SPDX-License-Identifier: Apache-2.0
 * Specifications of parts of a network: which units may be renumbered when some tensors are not
 * known. */
#include "support.h"

#include <string.h>

#include "merge/align_i.h"
#include "merge/merge_i.h"

/* a is made by w1; b by w2 and w3; c by w4; `both` has a and c behind each other. */
static const char TEXT[] =
    "{\"format\": \"whet-permutations\", \"version\": 1, \"groups\": {\"a\": {\"units\": 2}, "
    "\"b\": {\"units\": 2}, \"c\": {\"units\": 2}}, \"tensors\": {\"w1\": [\"a\", null], "
    "\"b1\": [\"a\"], \"w2\": [\"b\", \"a\"], \"w3\": [\"b\", \"c\"], \"w4\": [\"c\", null], "
    "\"both\": [null, [{\"group\": \"a\", \"first\": 0, \"count\": 2}, "
    "{\"group\": \"c\", \"first\": 0, \"count\": 2}]], \"head\": [null, \"b\"]}}";
static const char *const NAMES[] = {"w1", "b1", "w2", "w3", "w4", "both", "head"};
enum { TENSORS = 7 };

/* Groups that are left when `names` are revealed, as text; axes keep their groups or lose them. */
static const char *left(whet_ctx *ctx, const whet_permutation_spec *spec, const char *names) {
    static char text[64];
    whet_named_tensor items[TENSORS];
    const whet_weights w = {items, TENSORS};
    bool revealed[TENSORS];
    whet_permutation_spec *part = NULL;
    int64_t count = 0;
    for (int i = 0; i < TENSORS; i++) {
        items[i] = (whet_named_tensor){.name = NAMES[i]};
        const char *at = strstr(names, NAMES[i]);
        revealed[i] = at != NULL;
        count += revealed[i];
    }
    test_ok(ctx, whet_i_spec_part(ctx, spec, &w, revealed, &part));
    text[0] = '\0';
    for (int64_t g = 0; part && g < part->n_groups; g++) (void)strcat(text, part->groups[g].name);
    if (part) assert_int_equal(part->n_tensors, count);
    for (int64_t i = 0; part && i < part->n_tensors; i++) {
        const whet_i_spec_tensor *t = &part->tensors[i];
        const int64_t at = whet_names_find(spec->names, whet_str_from(t->name));
        for (int32_t x = 0; x < t->rank; x++) {
            const whet_i_axis *old = &spec->tensors[at].axes[x];
            bool all = old->n > 0;
            for (int32_t p = 0; p < old->n; p++)
                all = all && strstr(text, spec->groups[old->pieces[p].group].name);
            assert_int_equal(t->axes[x].n, all ? old->n : 0);
            for (int32_t p = 0; p < t->axes[x].n; p++)
                assert_string_equal(part->groups[t->axes[x].pieces[p].group].name,
                                    spec->groups[old->pieces[p].group].name);
        }
    }
    whet_permutation_spec_destroy(ctx, part);
    return text;
}

static void what_is_made_elsewhere_stays(void **state) {
    whet_ctx *ctx = test_ctx(1);
    whet_permutation_spec *spec = NULL;
    (void)state;
    test_ok(ctx, whet_i_spec_parse(ctx, "text", TEXT, (int64_t)strlen(TEXT), &spec));
    assert_string_equal(left(ctx, spec, "w1 b1 w2 w3 w4 both head"), "abc");
    assert_string_equal(left(ctx, spec, "w1 b1"), "a");
    assert_string_equal(left(ctx, spec, "w1"), "a");    /* the bias does not matter */
    assert_string_equal(left(ctx, spec, "b1"), "");     /* and does not do */
    assert_string_equal(left(ctx, spec, "w1 w2"), "a"); /* w3 makes b, too */
    assert_string_equal(left(ctx, spec, "w2 w3"), "b");
    assert_string_equal(left(ctx, spec, "w2 w3 w4 head"), "bc");
    assert_string_equal(left(ctx, spec, "head"), "");
    assert_string_equal(left(ctx, spec, "w1 both"),
                        ""); /* a keeps its place beside c, which stays */
    assert_string_equal(left(ctx, spec, "w1 w4 both"), "ac");
    assert_string_equal(left(ctx, spec, "w1 w2 w3 both"), "b");
    assert_string_equal(left(ctx, spec, ""), "");
    whet_permutation_spec_destroy(ctx, spec);
    test_ctx_done(ctx);
}

static whet_status body(whet_ctx *ctx, void *arg) {
    const whet_permutation_spec *spec = arg;
    whet_named_tensor items[TENSORS];
    const whet_weights w = {items, TENSORS};
    static const bool revealed[TENSORS] = {true, true, true};
    whet_permutation_spec *part = NULL;
    for (int i = 0; i < TENSORS; i++) items[i] = (whet_named_tensor){.name = NAMES[i]};
    const whet_status status = whet_i_spec_part(ctx, spec, &w, revealed, &part);
    whet_permutation_spec_destroy(ctx, part);
    return status;
}

static void survives_allocations(void **state) {
    whet_ctx *ctx = test_ctx(1);
    whet_permutation_spec *spec = NULL;
    (void)state;
    test_ok(ctx, whet_i_spec_parse(ctx, "text", TEXT, (int64_t)strlen(TEXT), &spec));
    assert_true(test_each_allocation(body, spec) > 5);
    whet_permutation_spec_destroy(ctx, spec);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_made_elsewhere_stays),
                                       cmocka_unit_test(survives_allocations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
