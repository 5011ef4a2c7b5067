/* SPDX-License-Identifier: Apache-2.0
 * The table of kinds; see adapter_kinds.h. */
#include "tune/adapter_kinds.h"

#include <stdio.h>

/* ---- adapters --------------------------------------------------------------------------------- */

const char *whet_i_adapter_factor(whet_i_adapter_kind kind, int32_t i) {
    static const char *const names[][4] = {
        [WHET_I_ADAPTER_MORE] = {"more_w1", "more_w2"},
        [WHET_I_ADAPTER_LORA] = {"lora_A.weight", "lora_B.weight"},
        [WHET_I_ADAPTER_DORA] = {"lora_A.weight", "lora_B.weight", "lora_magnitude_vector"}};
    return names[kind][i];
}

bool whet_i_adapter_is_second(whet_i_adapter_kind kind, const char *name) {
    return whet_i_ends_with(name, whet_i_adapter_factor(kind, 1));
}

/* ---- weights of the model itself --------------------------------------------------------------- */

static bool every(const whet_i_params *params, const whet_i_param *p) {
    (void)params;
    (void)p;
    return true;
}

/* BitFit, Ben Zaken et al. 2022 (arXiv 2106.10199). */
static bool biases(const whet_i_params *params, const whet_i_param *p) {
    (void)params;
    return whet_i_ends_with(p->name, ".bias");
}

/* The scales of norms are the only weights that are vectors; their biases stand beside them. */
static bool norms(const whet_i_params *params, const whet_i_param *p) {
    char name[512];
    if (whet_i_ends_with(p->name, ".weight")) return p->rank == 1;
    if (!whet_i_ends_with(p->name, ".bias")) return false;
    const int n = (int)(strlen(p->name) - strlen("bias"));
    (void)snprintf(name, sizeof name, "%.*sweight", n, p->name);
    const whet_i_param_id id = whet_i_params_find(params, name);
    return id >= 0 && params->items[id].rank == 1;
}

/* ---- the table --------------------------------------------------------------------------------- */

static const whet_i_tune_adapter kinds[] = {
    {.id = WHET_TUNE_FULL, .name = "full", .trains = every, .rate = 5e-5},
    {.id = WHET_TUNE_LORA,
     .name = "lora",
     .peft_type = "LORA",
     .adapts = true,
     .kind = WHET_I_ADAPTER_LORA,
     .scaled = true,
     .rate = 1e-3},
    {.id = WHET_TUNE_MORE,
     .name = "more",
     .peft_type = "MORE",
     .adapts = true,
     .kind = WHET_I_ADAPTER_MORE,
     .blocks = true,
     .rate = 1e-3},
    {.id = WHET_TUNE_DORA,
     .name = "dora",
     .peft_type = "LORA",
     .adapts = true,
     .kind = WHET_I_ADAPTER_DORA,
     .scaled = true,
     .rate = 1e-3},
    {.id = WHET_TUNE_BITFIT,
     .name = "bitfit",
     .peft_type = "BITFIT",
     .trains = biases,
     .rate = 1e-3},
    {.id = WHET_TUNE_NORMS,
     .name = "norms",
     .peft_type = "LN_TUNING",
     .segment = "ln_tuning_layers",
     .trains = norms,
     .rate = 1e-3},
};

const whet_i_tune_adapter *whet_i_tune_adapter_find(whet_tune_adapter id) {
    for (int64_t i = 0; i < WHET_COUNT_OF(kinds); i++)
        if (kinds[i].id == id) return &kinds[i];
    return NULL;
}

const whet_i_tune_adapter *whet_i_own_weights_find(whet_str peft_type) {
    for (int64_t i = 0; i < WHET_COUNT_OF(kinds); i++)
        if (kinds[i].trains && kinds[i].peft_type &&
            whet_str_equal(peft_type, whet_str_from(kinds[i].peft_type)))
            return &kinds[i];
    return NULL;
}
