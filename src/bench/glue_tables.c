/* SPDX-License-Identifier: Apache-2.0
 * The tasks and methods of the comparison of adapters. */
#include "bench/glue_i.h"

/* What is tested is the task's development part where its test labels are not public. */
const whet_i_glue_task whet_i_glue_tasks[] = {
    {"cola", "cola/train.tsv", "cola/dev.tsv", "text", NULL, "label", false, WHET_TUNE_METRIC_MCC,
     "mcc"},
    {"sst2", "sst2/sentences_train.tsv", "sst2/sentences_test.tsv", "text", NULL, "label", false,
     WHET_TUNE_METRIC_ACCURACY, "accuracy"},
    {"mrpc", "mrpc/train.tsv", "mrpc/test.tsv", "text_a", "text_b", "label", false,
     WHET_TUNE_METRIC_ACCURACY, "accuracy"},
    {"stsb", "stsb/train.tsv", "stsb/test.tsv", "text_a", "text_b", "score", true,
     WHET_TUNE_METRIC_PEARSON, "pearson"},
    {"rte", "rte/train.tsv", "rte/dev.tsv", "text_a", "text_b", "label", false,
     WHET_TUNE_METRIC_ACCURACY, "accuracy"},
    {"trec", "trec/train.tsv", "trec/test.tsv", "text", NULL, "coarse", false,
     WHET_TUNE_METRIC_ACCURACY, "accuracy"},
    {"agnews", "agnews/train10k.tsv", "agnews/test.tsv", "text", NULL, "label", false,
     WHET_TUNE_METRIC_ACCURACY, "accuracy"},
};

int64_t whet_i_glue_task_count(void) { return WHET_COUNT_OF(whet_i_glue_tasks); }

/* Adapters of query, key and value. Of equal size: lora-8, more-4x8 (dora-8 has the magnitudes more); half:
 * more-4x4, the authors' default; a quarter: lora-2, more-2x2. */
#define ADAPTER_RATES \
    { 3e-4, 1e-3, 3e-3 }
const whet_i_glue_method whet_i_glue_methods[] = {
    {"full", WHET_TUNE_FULL, 0, 0, {2e-5, 5e-5, 1e-4}},
    {"lora-8", WHET_TUNE_LORA, 8, 0, ADAPTER_RATES},
    {"dora-8", WHET_TUNE_DORA, 8, 0, ADAPTER_RATES},
    {"more-4x8", WHET_TUNE_MORE, 8, 4, ADAPTER_RATES},
    {"more-4x4", WHET_TUNE_MORE, 4, 4, ADAPTER_RATES},
    {"lora-2", WHET_TUNE_LORA, 2, 0, ADAPTER_RATES},
    {"more-2x2", WHET_TUNE_MORE, 2, 2, ADAPTER_RATES},
};

int64_t whet_i_glue_method_count(void) { return WHET_COUNT_OF(whet_i_glue_methods); }
