/* SPDX-License-Identifier: Apache-2.0
 * The kernels on AVX-512. Compiled with -mavx512f and companions; nothing here runs unless the
 * processor is asked first. */
#include "kernels/avx512_vec.h"
#include "kernels/plain_assignment.h"
#include "kernels/plain_dropout.h"
#include "kernels/plain_merge.h"
#include "kernels/plain_solve.h"
#include "kernels/plain_votes.h"
#include "kernels/simd_kernels.h"
#include "kernels/simd_norms.h"
#include "kernels/simd_product.h"
#include "kernels/simd_widening.h"

extern const whet_kernels whet_i_kernels_avx512;
const whet_kernels whet_i_kernels_avx512 = {.name = "avx512",
                                            .supported = supported_avx512,
                                            SIMD_SLOTS,
                                            CHANNEL_SLOTS,
                                            WIDENING_SLOTS,
                                            LINEAR_SLOTS,
                                            PRODUCT_SLOTS,
                                            PRODUCT_F32_SLOTS,
                                            VOTE_SLOTS,
                                            COST_SLOTS,
                                            DROPOUT_SLOTS,
                                            SOLVE_SLOTS,
                                            MERGE_SLOTS};
