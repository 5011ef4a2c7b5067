/* SPDX-License-Identifier: Apache-2.0
 * whet: sharpens a pretrained model with about a hundred labels. Includes every module. */
#ifndef WHET_WHET_H
#define WHET_WHET_H

#include "whet/adapt.h"
#include "whet/adapters.h"
#include "whet/bench.h"
#include "whet/commitment.h"
#include "whet/core.h"
#include "whet/io.h"
#include "whet/kernels.h"
#include "whet/label.h"
#include "whet/labelling.h"
#include "whet/ledger.h"
#include "whet/market.h"
#include "whet/merge.h"
#include "whet/merging.h"
#include "whet/nn.h"
#include "whet/space.h"
#include "whet/tensor.h"
#include "whet/trading.h"
#include "whet/trial.h"
#include "whet/tune.h"
#include "whet/tune_search.h"
#include "whet/votes.h"

#endif
