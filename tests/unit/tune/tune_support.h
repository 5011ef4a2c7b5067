/* SPDX-License-Identifier: Apache-2.0
 * What the tests of whet tune share. */
#ifndef WHET_TUNE_SUPPORT_H
#define WHET_TUNE_SUPPORT_H

#include <stdio.h>
#include <unistd.h>

#include "tune/tune_i.h"

/* Removes all that a run can leave in its output folder, and the folder. */
static inline void remove_output(const char *output) {
    static const char *const names[] = {"model.safetensors",
                                        "config.json",
                                        "tokenizer.json",
                                        "metrics.jsonl",
                                        "learning-curve.svg",
                                        "training.json",
                                        "checkpoint/state.safetensors",
                                        "checkpoint/best.safetensors",
                                        "checkpoint",
                                        "adapter_model.safetensors",
                                        "adapter_config.json",
                                        "adapter/adapter_model.safetensors",
                                        "adapter/adapter_config.json",
                                        "adapter"};
    char path[1024];
    for (int64_t i = 0; i < WHET_COUNT_OF(names); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", output, names[i]);
        (void)remove(path);
    }
    (void)rmdir(output);
}

#endif
