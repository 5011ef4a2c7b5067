/* SPDX-License-Identifier: Apache-2.0
 * Candidate "encoder": the head of an encoder that was tuned on the labels, or the probabilities of
 * another candidate, over the tuned encoder's features. Features that are given once cannot make it:
 * tuning.c does. */
#include "adapt/candidate.h"

extern const whet_i_candidate whet_i_candidate_encoder;

const whet_i_candidate whet_i_candidate_encoder = {
    .name = "encoder",
    .title = "the encoder, tuned",
    .view = WHET_I_RAW,
    .on_request = true,
    .predict = whet_i_base_model_predict_raw,
    .save = whet_i_base_model_save,
    .load = whet_i_base_model_load,
    .destroy = whet_i_base_model_destroy,
};
