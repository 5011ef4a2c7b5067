/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel_tables.h"

#if defined(WHET_KERNELS_X86) && !defined(WHET_I_DOUBLE)
extern const whet_kernels whet_i_kernels_bf16_emulated, whet_i_kernels_amx_emulated;
#endif

void each_table(void (*check)(const whet_kernels *table)) {
#ifdef WHET_I_DOUBLE
    check(&whet_i_kernels_ref);
#else
    for (const whet_kernels *const *table = whet_i_kernels_all(); *table; table++) {
        if ((*table)->supported())
            check(*table);
        else
            print_message("[   NOTE   ] kernel set %s cannot run here; skipped\n", (*table)->name);
    }
#ifdef WHET_KERNELS_X86
    if (whet_i_kernels_bf16_emulated.supported()) check(&whet_i_kernels_bf16_emulated);
    if (whet_i_kernels_amx_emulated.supported()) check(&whet_i_kernels_amx_emulated);
#endif
#endif
}

enum { GUARD = 3 };

numbers make_numbers(int64_t n, uint64_t seed) {
    numbers v = {malloc(sizeof(whet_i_real) * (size_t)(n + 1 + GUARD)), NULL, n};
    assert_non_null(v.block);
    v.x = v.block + 1;
    whet_i_rng rng;
    whet_i_rng_init(&rng, seed, (uint64_t)n);
    for (int64_t i = 0; i < n; i++) v.x[i] = (whet_i_real)whet_i_rng_normal(&rng);
    for (int64_t i = n; i < n + GUARD; i++) v.x[i] = 12345;
    return v;
}

void drop_numbers(numbers *v) {
    for (int64_t i = v->n; i < v->n + GUARD; i++) assert_true(v->x[i] == 12345);
    free(v->block);
}

double through_bf16(whet_i_real x) {
    const float in = (float)x;
    uint16_t half;
    float back;
    whet_i_ref_bf16_from_f32(1, &in, &half);
    whet_i_kernels_ref.f32_from_bf16(1, &half, &back);
    return (double)back;
}

void *linear_scratch(const whet_kernels *table, bool half, int64_t rows, int64_t k) {
    return malloc((size_t)(half ? table->linear_bf16_scratch : table->linear_f32_scratch)(rows, k));
}

double exact_act(whet_i_act act, double x) {
    switch (act) {
    case WHET_I_ACT_NONE: return x;
    case WHET_I_ACT_GELU: return x * 0.5 * erfc(-x * sqrt(0.5));
    case WHET_I_ACT_GELU_TANH: /* (1 + tanh u) / 2 = 1 / (1 + exp(-2u)), without cancellation */
        return x / (1 + exp(-2 * sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
    case WHET_I_ACT_RELU: return x < 0 ? 0 : x;
    case WHET_I_ACT_SILU: return x / (1 + exp(-x));
    case WHET_I_ACT_TANH: return tanh(x);
    }
    return 0;
}

double left_out(const whet_kernels *table, number_kind of) {
    return of == COARSE && table->linear_f32_converts ? 3.1 * 0x1p-16 : 0;
}
