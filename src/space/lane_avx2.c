/* SPDX-License-Identifier: Apache-2.0
 * The loops over lanes for AVX2. */
#define LANE_LOOPS whet_i_lane_loops_avx2
#define LANE_LOOPS_NAME "avx2"
#define LANE_VECTOR 4
#include "space/lane_loops.h"
