/* SPDX-License-Identifier: Apache-2.0
 * Rules from anybody: what loads is written and read again to the same rules, and votes on rows. */
#include <math.h>

#include "fuzz.h"

#include "io/table_i.h"
#include "label/rules_i.h"

enum { ROWS = 3, MOST = 16 };

static whet_status apply(whet_ctx *ctx, const whet_rules *rules) {
    static const char text[] = "t\tu\nab, cd 1\t2\n\xff\xc3\xa9\t\naaaaaaaaaaaaaaaaaaaaaaaab\tx\n";
    const int64_t d = whet_rules_features(rules), m = whet_rules_count(rules);
    const int64_t k = whet_names_count(whet_rules_classes(rules));
    float x[ROWS * MOST];
    int32_t votes[ROWS * MOST];
    double probs[ROWS * MOST];
    char *bytes;
    whet_table *table = NULL;
    if (d > MOST || m > MOST) return WHET_OK;
    for (int64_t i = 0; i < ROWS * d; i++) x[i] = i % 7 ? (float)i - 4 : NAN;
    WHET_TRY(whet_i_alloc(ctx, (int64_t)sizeof text, &bytes));
    memcpy(bytes, text, sizeof text);
    WHET_TRY(whet_i_table_parse(ctx, WHET_TABLE_TSV, "t.tsv", bytes, sizeof text - 1, &table));
    const whet_rules_input input = {x, d, table, ROWS, 1000};
    whet_status status = whet_rules_apply(ctx, rules, &input, votes, NULL);
    for (int64_t i = 0; status == WHET_OK && i < ROWS * m; i++)
        FUZZ_REQUIRE(votes[i] >= -1 && votes[i] < k);
    const bool posterior = status == WHET_OK && whet_rules_weighted(rules) && k <= MOST;
    if (posterior) status = whet_rules_posterior(ctx, rules, &input, probs);
    whet_table_destroy(ctx, table);
    for (int64_t i = 0; posterior && status == WHET_OK && i < ROWS * k; i++)
        FUZZ_REQUIRE(probs[i] >= 0 && probs[i] <= 1);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    whet_ctx *ctx = fuzz_begin();
    json_t *document = NULL;
    whet_rules *rules = NULL, *again = NULL;
    whet_status status =
        whet_i_json_parse(ctx, "f.json", (const char *)data, (int64_t)size, &document);
    if (status == WHET_OK) status = whet_i_rules_parse(ctx, "f.json", document, &rules);
    json_decref(document);
    if (status == WHET_OK) {
        document = whet_i_rules_json(rules);
        FUZZ_REQUIRE(document);
        FUZZ_REQUIRE(whet_i_rules_parse(ctx, "again.json", document, &again) == WHET_OK);
        FUZZ_REQUIRE(whet_rules_count(again) == whet_rules_count(rules));
        FUZZ_REQUIRE(whet_rules_weighted(again) == whet_rules_weighted(rules));
        json_decref(document);
        status = apply(ctx, rules);
    }
    whet_rules_destroy(ctx, again);
    whet_rules_destroy(ctx, rules);
    fuzz_end(ctx, status);
    return 0;
}
