/* SPDX-License-Identifier: Apache-2.0
 * The loops over lanes for plain C. */
#define LANE_LOOPS whet_i_lane_loops_ref
#define LANE_LOOPS_NAME "ref"
#define LANE_VECTOR 2
#include "space/lane_loops.h"
