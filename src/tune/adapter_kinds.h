/* SPDX-License-Identifier: Apache-2.0
 * The kinds of what a run may train, one row each: adapters of linear layers, or weights of the model
 * itself. */
#ifndef WHET_TUNE_ADAPTER_KINDS_H
#define WHET_TUNE_ADAPTER_KINDS_H

#include "whet/tune.h"

#include "tune/adapter_config.h"

typedef struct whet_i_tune_adapter {
    whet_tune_adapter id;
    const char *name;
    const char *peft_type; /* of its folder; NULL = the whole model is written */
    const char *segment;   /* of names in that folder, before the last part; NULL = none */
    bool adapts;           /* linear layers get adapters of `kind`, and everything else is frozen */
    whet_i_adapter_kind kind;
    bool scaled, blocks; /* has an alpha, has blocks */
    /* Of the model's own parameters: whether it is trained, where targets do not forbid it. */
    bool (*trains)(const whet_i_params *params, const whet_i_param *p);
    double rate; /* learning rate by default */
} whet_i_tune_adapter;

/* The row of a kind; NULL = no such kind. */
const whet_i_tune_adapter *whet_i_tune_adapter_find(whet_tune_adapter id);
/* The kind of weights of the model itself whose folders say this; NULL = none. */
const whet_i_tune_adapter *whet_i_own_weights_find(whet_str peft_type);

#endif
