/* SPDX-License-Identifier: Apache-2.0
 * The reference vectors of merge methods (mergekit 0.1's own functions in f32; DARE and DELLA with what
 * their masks were drawn by). The tolerance is the vectors' own, 1e-6 + 1e-5 |x|: f32 sums over up to
 * 3072 numbers, where whet's are f64. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/io_i.h"
#include "merge/merging_i.h"

enum { MOST = 8, SETTINGS_MAX = 32 };
static const char folder[] = "golden/market/merge";

typedef struct golden {
    whet_safetensors *file;
    whet_tensor x[MOST], base, out;
    int64_t n;
    const float *models[MOST];
    float *uniform[MOST];
    whet_merge_setting settings[SETTINGS_MAX];
    int64_t n_settings;
    char method[64];
} golden;

static void set(golden *g, const char *name, int64_t model, double value) {
    assert_true(g->n_settings < SETTINGS_MAX);
    g->settings[g->n_settings++] = (whet_merge_setting){name, model, value};
}

static void set_all(golden *g, const char *name, const json_t *value) {
    if (json_is_array(value))
        for (size_t i = 0; i < json_array_size(value); i++)
            set(g, name, (int64_t)i, json_number_value(json_array_get(value, i)));
    else if (json_is_boolean(value))
        set(g, name, -1, json_is_true(value));
    else
        set(g, name, -1, json_number_value(value));
}

/* The longest method name that the case's name begins with. */
static void find_method(golden *g, const char *name) {
    size_t longest = 0;
    for (int64_t i = 0; i < whet_merge_method_count(); i++) {
        const char *method = whet_merge_method_get(i)->name;
        const size_t len = strlen(method);
        if (len <= longest || strncmp(name, method, len) != 0 || name[len] != '_') continue;
        longest = len;
        (void)snprintf(g->method, sizeof g->method, "%s", method);
    }
    assert_true(longest > 0);
}

static void settings_of(golden *g, const char *name, const json_t *params) {
    static const char *const same[] = {"normalize",   "lambda",      "density",  "gamma",
                                       "epsilon",     "t",           "max_iter", "tol",
                                       "filter_wise", "select_topk", "r",        "alpha"};
    const bool masks = strncmp(g->method, "dare", 4) == 0 || strncmp(g->method, "della", 5) == 0;
    const bool nuslerp = strcmp(g->method, "nuslerp") == 0;
    for (int64_t i = 0; i < WHET_COUNT_OF(same); i++) {
        const json_t *value = json_object_get(params, same[i]);
        if (value && !(nuslerp && strcmp(same[i], "t") == 0)) set_all(g, same[i], value);
    }
    if (json_object_get(params, "weights"))
        set_all(g, "weight", json_object_get(params, "weights"));
    const json_t *rescale = json_object_get(params, "rescale_l1");
    if (rescale && (masks || strcmp(g->method, "ties") == 0)) set_all(g, "rescale", rescale);
    if (masks) set(g, "rescale_l1", -1, strstr(name, "paper") == NULL);
    if (nuslerp) {
        const double t = json_number_value(json_object_get(params, "t"));
        set(g, "weight", 0, 1 - t);
        set(g, "weight", 1, t);
        set(g, "nuslerp_flatten", -1, json_is_true(json_object_get(params, "flatten")));
        set(g, "nuslerp_row_wise", -1, json_integer_value(json_object_get(params, "dim")) == 0);
    }
}

/* DELLA's uniforms as they are; DARE's masks as uniforms that give them. */
static void masks_of(golden *g) {
    for (int64_t i = 0; i < g->n; i++) {
        char name[16];
        whet_tensor t;
        (void)snprintf(name, sizeof name, "mask%d", (int)i);
        const bool mask = whet_safetensors_find(g->file, name, &t);
        (void)snprintf(name, sizeof name, "u%d", (int)i);
        if (!mask && !whet_safetensors_find(g->file, name, &t)) return;
        const int64_t count = whet_tensor_count(&t);
        g->uniform[i] = malloc((size_t)count * sizeof(float));
        for (int64_t e = 0; e < count; e++) {
            const float value = ((const float *)t.data)[e];
            g->uniform[i][e] = mask ? 1 - value : value;
        }
    }
}

static void load(whet_ctx *ctx, golden *g, const json_t *item) {
    char path[512];
    const char *name = json_string_value(json_object_get(item, "name"));
    memset(g, 0, sizeof *g);
    (void)snprintf(path, sizeof path, "%s/%s", test_shared(folder),
                   json_string_value(json_object_get(item, "file")));
    test_ok(ctx, whet_safetensors_open(ctx, path, &g->file));
    find_method(g, name);
    for (char key[] = "x0"; whet_safetensors_find(g->file, key, &g->x[g->n]); key[1]++) {
        g->models[g->n] = g->x[g->n].data;
        g->n++;
    }
    (void)whet_safetensors_find(g->file, "base", &g->base);
    assert_true(whet_safetensors_find(g->file, "out", &g->out));
    settings_of(g, name, json_object_get(item, "params"));
    masks_of(g);
}

static int64_t compare(whet_ctx *ctx, golden *g, const char *name) {
    const int64_t count = whet_tensor_count(&g->out);
    const float *expected = g->out.data;
    float *out = malloc((size_t)count * sizeof *out);
    whet_merge_arrays arrays = {
        .name = name, .rank = g->out.rank, .n = g->n, .models = g->models, .base = g->base.data};
    memcpy(arrays.shape, g->out.shape, sizeof arrays.shape);
    test_ok(ctx, whet_i_merge_arrays_masked(ctx, g->method, g->settings, g->n_settings, 0, &arrays,
                                            g->uniform[0] ? (const float *const *)g->uniform : NULL,
                                            out));
    int64_t wrong = 0;
    double worst = 0;
    for (int64_t e = 0; e < count; e++) {
        const double off = fabs((double)out[e] - (double)expected[e]);
        worst = fmax(worst, off);
        if (!(off <= 1e-6 + 1e-5 * fabs((double)expected[e]))) wrong++;
    }
    if (wrong)
        print_error("%s: %lld of %lld numbers are off, at most by %g\n", name, (long long)wrong,
                    (long long)count, worst);
    free(out);
    return wrong;
}

static void the_reference_vectors(void **state) {
    (void)state;
    char path[512];
    json_t *index;
    const json_t *item;
    size_t i;
    int64_t cases = 0, wrong = 0;
    test_need_shared("golden/market/merge/index.json");
    whet_ctx *ctx = test_ctx(2);
    (void)snprintf(path, sizeof path, "%s/index.json", test_shared(folder));
    test_ok(ctx, whet_i_json_read(ctx, path, 1 << 24, &index));
    json_array_foreach(json_object_get(index, "cases"), i, item) {
        golden g;
        load(ctx, &g, item);
        cases++;
        wrong += compare(ctx, &g, json_string_value(json_object_get(item, "name"))) > 0;
        for (int64_t m = 0; m < g.n; m++) free(g.uniform[m]);
        whet_safetensors_close(ctx, g.file);
    }
    print_message("%lld cases, %lld wrong\n", (long long)cases, (long long)wrong);
    assert_int_equal(wrong, 0);
    json_decref(index);
    test_need_some(cases, "merges");
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_reference_vectors)};
    return cmocka_run_group_tests_name("merging golden", tests, NULL, NULL);
}
