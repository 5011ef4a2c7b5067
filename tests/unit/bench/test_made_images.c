/* SPDX-License-Identifier: Apache-2.0
 * Images made of others: against the published construction, by hand, and by what turning means. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/bench_i.h"
#include "whet/io.h"

enum { SIDE = WHET_I_IMAGE_SIDE, PIXELS = WHET_I_IMAGE_PIXELS };
enum { SPHERE = WHET_I_SPHERE_SIDE, SPHERE_PIXELS = WHET_I_SPHERE_PIXELS };
static const double UNTURNED[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};

/* Runs check on the published constructions. */
static void each_golden(void (*check)(whet_ctx *ctx, const char *file)) {
    char **file;
    const int64_t n = test_shared_files("golden/autows", "data_", ".npz", &file);
    whet_ctx *ctx = test_ctx(1);
    for (int64_t i = 0; i < n; i++) check(ctx, file[i]);
    test_free_files(file, n);
    test_ctx_done(ctx);
    test_need_some(n, "constructions of images");
}

static whet_tensor golden(whet_ctx *ctx, const char *file, const char *key, whet_dtype dtype,
                          int32_t rank) {
    char spec[1200];
    whet_tensor out = {0};
    (void)snprintf(spec, sizeof spec, "%s:%s", test_shared(file), key);
    test_ok(ctx, whet_array_read_as(ctx, spec, dtype, rank, true, &out));
    return out;
}

/* The vectors hold digits of 17 shades, times 255 / 16: as bytes, the shades. */
static uint8_t *golden_images(whet_ctx *ctx, const char *file, const char *key, int64_t *images) {
    whet_tensor t = golden(ctx, file, key, WHET_F64, 3);
    const int64_t n = whet_tensor_count(&t);
    uint8_t *out = malloc((size_t)n);
    assert_true(out && n % PIXELS == 0);
    for (int64_t i = 0; i < n; i++) {
        const double shade = ((const double *)t.data)[i] / 15.9375;
        out[i] = (uint8_t)shade;
        assert_true(shade == out[i]);
    }
    *images = n / PIXELS;
    whet_tensor_destroy(ctx, &t);
    return out;
}

/* ---- bit-reversed order ------------------------------------------------------------------------ */

static void permutes_as_listed(void **state) {
    (void)state;
    static const uint8_t order[SIDE] = {0, 16, 8, 24, 4, 20, 12, 2, 18, 10, 26, 6, 22, 14,
                                        1, 17, 9, 25, 5, 21, 13, 3, 19, 11, 27, 7, 23, 15};
    uint8_t rows[PIXELS], columns[PIXELS], moved[PIXELS];
    for (int i = 0; i < PIXELS; i++) {
        rows[i] = (uint8_t)(i / SIDE);
        columns[i] = (uint8_t)(i % SIDE);
    }
    whet_i_image_permute(rows, moved);
    for (int i = 0; i < PIXELS; i++) assert_int_equal(moved[i], order[i / SIDE]);
    whet_i_image_permute(columns, moved);
    for (int i = 0; i < PIXELS; i++) assert_int_equal(moved[i], order[i % SIDE]);
}

static void check_permuted(whet_ctx *ctx, const char *file) {
    int64_t n, same;
    uint8_t *images = golden_images(ctx, file, "img", &n), moved[PIXELS];
    uint8_t *expected = golden_images(ctx, file, "img_permuted", &same);
    assert_int_equal(n, same);
    for (int64_t i = 0; i < n; i++) {
        whet_i_image_permute(images + i * PIXELS, moved);
        assert_memory_equal(moved, expected + i * PIXELS, PIXELS);
    }
    free(images);
    free(expected);
}

static void permutes_as_published(void **state) {
    (void)state;
    each_golden(check_permuted);
}

/* ---- rotations --------------------------------------------------------------------------------- */

static void check_rotation(whet_ctx *ctx, const char *file) {
    whet_tensor u = golden(ctx, file, "randnums", WHET_F64, 1),
                want = golden(ctx, file, "rot", WHET_F64, 2);
    const double *r = u.data, *w = want.data;
    double got[9];
    whet_i_random_rotation(r[0], r[1], r[2], got);
    for (int i = 0; i < 9; i++) assert_true(fabs(got[i] - w[i]) <= 0x1p-52); /* an ulp of 1 */
    whet_tensor_destroy(ctx, &u);
    whet_tensor_destroy(ctx, &want);
}

static void rotates_as_published(void **state) {
    (void)state;
    each_golden(check_rotation);
}

static double determinant(const double *m) {
    return m[0] * (m[4] * m[8] - m[5] * m[7]) - m[1] * (m[3] * m[8] - m[5] * m[6]) +
           m[2] * (m[3] * m[7] - m[4] * m[6]);
}

static void is_a_rotation(const double *m) {
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            double dot = 0;
            for (int k = 0; k < 3; k++) dot += m[i * 3 + k] * m[j * 3 + k];
            assert_true(fabs(dot - (i == j ? 1 : 0)) < 1e-14);
        }
    assert_true(fabs(determinant(m) - 1) < 1e-14);
}

/* Over all rotations an entry has mean 0 and mean square 1/3, and the trace mean square 1 (the turns
 * about a uniform axis by a uniform angle, the usual mistake, would give 5/3) and mean fourth power 3:
 * its square has variance 2. Bounds at five standard deviations of the mean, an entry's being below 1. */
static void rotations_are_uniform(void **state) {
    (void)state;
    enum { DRAWS = 40000 };
    double mean[9] = {0}, square[9] = {0}, trace = 0;
    whet_i_rng rng;
    whet_i_rng_init(&rng, 3, 0);
    for (int i = 0; i < DRAWS; i++) {
        const double u = whet_i_rng_uniform(&rng), v = whet_i_rng_uniform(&rng);
        double m[9];
        whet_i_random_rotation(u, v, whet_i_rng_uniform(&rng), m);
        is_a_rotation(m);
        for (int j = 0; j < 9; j++) {
            mean[j] += m[j] / DRAWS;
            square[j] += m[j] * m[j] / DRAWS;
        }
        trace += (m[0] + m[4] + m[8]) * (m[0] + m[4] + m[8]) / DRAWS;
    }
    for (int j = 0; j < 9; j++)
        assert_true(fabs(mean[j]) < 5 / sqrt(DRAWS) && fabs(square[j] - 1.0 / 3) < 5 / sqrt(DRAWS));
    assert_true(fabs(trace - 1) < 5 * sqrt(2.0 / DRAWS));
}

/* ---- the sphere -------------------------------------------------------------------------------- */

/* Equal bytes: the operations are those of the source, in its order. */
static void check_spheres(whet_ctx *ctx, const char *file) {
    int64_t n;
    uint8_t *images = golden_images(ctx, file, "img", &n), got[SPHERE_PIXELS];
    whet_tensor rotation = golden(ctx, file, "rot", WHET_F64, 2);
    whet_tensor still = golden(ctx, file, "sphere_identity", WHET_U8, 3);
    whet_tensor turned = golden(ctx, file, "sphere_rotated", WHET_U8, 3);
    assert_int_equal(still.shape[0], n);
    for (int64_t i = 0; i < n; i++) {
        whet_i_image_to_sphere(images + i * PIXELS, UNTURNED, got);
        assert_memory_equal(got, (uint8_t *)still.data + i * SPHERE_PIXELS, SPHERE_PIXELS);
        whet_i_image_to_sphere(images + i * PIXELS, rotation.data, got);
        assert_memory_equal(got, (uint8_t *)turned.data + i * SPHERE_PIXELS, SPHERE_PIXELS);
    }
    free(images);
    whet_tensor_destroy(ctx, &rotation);
    whet_tensor_destroy(ctx, &still);
    whet_tensor_destroy(ctx, &turned);
}

static void projects_as_published(void **state) {
    (void)state;
    each_golden(check_spheres);
}

static void even_images_are_black(void **state) {
    (void)state;
    uint8_t image[PIXELS] = {0}, got[SPHERE_PIXELS];
    whet_i_image_to_sphere(image, UNTURNED, got);
    for (int i = 0; i < SPHERE_PIXELS; i++) assert_int_equal(got[i], 0);
}

/* Row 1 alone is white. Direction (35, 31), theta = 105 and phi = 186 degrees: q = 2.001 sin(theta) /
 * (1.001 - cos(theta)) = 1.5342, and it is seen at row 28 (1.5 - q cos(6)) / 3 = -0.241. Towards zero
 * that is row 0 with the corners -1 and 1, the latter of weight 0.759, in both columns: 1.518 * 255
 * of at most 4 * 255, which the grid comes near to. Rounded down, the corners would be black. */
static void samples_above_the_edge(void **state) {
    (void)state;
    uint8_t image[PIXELS] = {0}, got[SPHERE_PIXELS];
    for (int c = 0; c < SIDE; c++) image[SIDE + c] = 255;
    whet_i_image_to_sphere(image, UNTURNED, got);
    assert_in_range(got[35 * SPHERE + 31], 96, 112);
}

/* Turned about the axis by a step of the grid, the picture is shifted by a step. Shades that come out
 * on a whole number may differ by 1; where the grid falls on an axis of the image, on the border
 * between pixels, rounding decides which are seen. */
static void turning_about_the_axis_shifts(void **state) {
    (void)state;
    uint8_t image[PIXELS], still[SPHERE_PIXELS], turned[SPHERE_PIXELS];
    const double step = 6 * acos(-1) / 180;
    const double rotation[9] = {cos(step), -sin(step), 0, sin(step), cos(step), 0, 0, 0, 1};
    whet_i_rng rng;
    whet_i_rng_init(&rng, 5, 0);
    for (int i = 0; i < PIXELS; i++) image[i] = (uint8_t)whet_i_rng_below(&rng, 256);
    whet_i_image_to_sphere(image, UNTURNED, still);
    whet_i_image_to_sphere(image, rotation, turned);
    for (int i = 0; i < SPHERE; i++)
        for (int j = 0; j < SPHERE; j++) {
            const int k = (j + 1) % SPHERE;
            if (k % 15 != 0)
                assert_in_range(turned[i * SPHERE + j] + 1 - still[i * SPHERE + k], 0, 2);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(permutes_as_listed),     cmocka_unit_test(permutes_as_published),
        cmocka_unit_test(rotates_as_published),   cmocka_unit_test(rotations_are_uniform),
        cmocka_unit_test(projects_as_published),  cmocka_unit_test(even_images_are_black),
        cmocka_unit_test(samples_above_the_edge), cmocka_unit_test(turning_about_the_axis_shifts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
