/* SPDX-License-Identifier: Apache-2.0
 * The loops over lanes for AVX-512. */
#define LANE_LOOPS whet_i_lane_loops_avx512
#define LANE_LOOPS_NAME "avx512"
#define LANE_VECTOR 8
#include "space/lane_loops.h"
