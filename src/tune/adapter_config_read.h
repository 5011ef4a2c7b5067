/* SPDX-License-Identifier: Apache-2.0
 * adapter_config.json read: LORA, GRALORA, LN_TUNING of PEFT 0.21, MORE, BITFIT. Members that do not change
 * what the adapters compute are passed by, unknown ones with a warning; those that change it in a way that
 * is not known here are refused by name. */
#ifndef WHET_TUNE_ADAPTER_CONFIG_READ_H
#define WHET_TUNE_ADAPTER_CONFIG_READ_H

#include "tune/adapter_config.h"

typedef enum whet_i_peft_type {
    WHET_I_PEFT_LORA,
    WHET_I_PEFT_MORE,
    WHET_I_PEFT_GRALORA,
    WHET_I_PEFT_OWN /* weights of the model itself: LN_TUNING, BITFIT */
} whet_i_peft_type;

typedef struct whet_i_peft_config {
    whet_i_peft_type type;
    bool dora; /* of LORA */
    int64_t gralora_k,
        hybrid; /* of GRALORA: blocks, and the rank of an ordinary LoRA beside them */
    whet_i_adapter_config common; /* GRALORA's alpha is in it too */
} whet_i_peft_config;

/* Of a parsed document; `where` is its name for sentences. out->common must be initialised, and is freed by
 * the caller also on failure. Errors: FORMAT (a member of another type or out of range), UNSUPPORTED (other
 * kinds of adapters, members that change the mathematics, patterns that do not compile), NOMEM. */
WHET_CHECKED whet_status whet_i_peft_config_read(whet_ctx *ctx, const char *where, json_t *object,
                                                 whet_i_peft_config *out);

#endif
