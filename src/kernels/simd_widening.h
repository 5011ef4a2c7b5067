/* SPDX-License-Identifier: Apache-2.0
 * Weights of bfloat16 on processors that cannot multiply them: each panel is widened to f32 once
 * for all rows, and multiplied as f32. Half the memory, the speed of f32. Included after
 * simd_kernels.h. */

static void linear_bf16(const whet_i_linear *p) {
    const uint16_t *panel = p->packed;
    float *wide = p->scratch;
    for (int64_t first = 0; first < p->n; first += WHET_I_PANEL, panel += whet_i_panel_step(p->k)) {
        f32_from_bf16(WHET_I_PANEL * p->k, panel, wide);
        linear_panel(p, first, wide);
    }
}

static int64_t linear_bf16_scratch(int64_t rows, int64_t k) {
    (void)rows;
    return (int64_t)sizeof(float) * WHET_I_PANEL * k;
}

static void product_bf16(const whet_i_product *p, void *scratch) {
    (void)scratch;
    product(p);
}

static int64_t product_bf16_scratch(int64_t m, int64_t n) {
    (void)m;
    (void)n;
    return 0;
}

#define WIDENING_SLOTS \
    .pack_bf16 = whet_i_ref_pack_bf16, .linear_bf16 = linear_bf16, \
    .linear_bf16_scratch = linear_bf16_scratch, .product_bf16 = product_bf16, \
    .product_bf16_scratch = product_bf16_scratch, .bf16_products = false
