/* SPDX-License-Identifier: Apache-2.0
 * The table of lessons: ways to tune the encoder on the labels. Settings stand beforehand.
 *
 * Of adapters: rank 8 (MoRe: 4 blocks) on every linear layer at 1e-3; 60 steps of 32 texts, their
 * classes drawn evenly; the loss is over all pairs of the batch, (cosine - [same class])^2, which
 * makes of 32 texts 496 terms where pairs that are encoded two by two (SetFit, arXiv 2209.11055) make
 * 16. Of every weight: 5e-5, of the rates that Devlin et al. 2019 (A.3) recommend, the new layer at
 * 100 times that, since its input has unit length and its logits must grow. */
#include "adapt/head_candidates.h"
#include "adapt/tuning.h"

#define PAIRS "all pairs of a batch of labelled texts"

const whet_i_lesson whet_i_lessons[] = {
    {.name = "more-pairs",
     .title = "MoRe adapters, " PAIRS,
     .asked_by = WHET_I_BY_MORE | WHET_I_BY_AUTO,
     .rows = WHET_I_LESSON_LABELS,
     .adapter = WHET_TUNE_MORE,
     .loss = WHET_TUNE_CONTRASTIVE,
     .steps = 60,
     .rate = 1e-3},
    {.name = "lora-pairs",
     .title = "LoRA adapters, " PAIRS,
     .asked_by = WHET_I_BY_LORA | WHET_I_BY_AUTO,
     .rows = WHET_I_LESSON_LABELS,
     .adapter = WHET_TUNE_LORA,
     .loss = WHET_TUNE_CONTRASTIVE,
     .steps = 60,
     .rate = 1e-3},
    {.name = "lora-names",
     .title = "LoRA adapters, labelled texts against class names",
     .asked_by = WHET_I_BY_AUTO,
     .rows = WHET_I_LESSON_NAMES,
     .adapter = WHET_TUNE_LORA,
     .loss = WHET_TUNE_SUPERVISED,
     .temperature = .05,
     .steps = 60,
     .rate = 5e-4},
    {.name = "lora-labels",
     .title = "LoRA adapters, cross-entropy of the labels",
     .asked_by = WHET_I_BY_TIME,
     .rows = WHET_I_LESSON_LABELS,
     .adapter = WHET_TUNE_LORA,
     .loss = WHET_TUNE_CROSS_ENTROPY,
     .steps = 60,
     .rate = 1e-3,
     .head_rate = 10},
    {.name = "lora-taught",
     .title =
         "LoRA adapters, cross-entropy of the chosen candidate's probabilities by their confidence",
     .asked_by = WHET_I_BY_TIME,
     .rows = WHET_I_LESSON_POOL,
     .adapter = WHET_TUNE_LORA,
     .loss = WHET_TUNE_CROSS_ENTROPY,
     .row_weights = WHET_TUNE_WEIGHTS_CONFIDENCE,
     .rate = 1e-3,
     .head_rate = 10},
    {.name = "full-labels",
     .title = "every weight, cross-entropy of the labels",
     .asked_by = WHET_I_BY_END_AUTO,
     .rows = WHET_I_LESSON_LABELS,
     .adapter = WHET_TUNE_FULL,
     .loss = WHET_TUNE_CROSS_ENTROPY,
     .steps = 200,
     .rate = 5e-5,
     .head_rate = 100},
    {.name = "full-taught",
     .title = "every weight, cross-entropy of the chosen candidate's probabilities",
     .asked_by = WHET_I_BY_ENCODER | WHET_I_BY_END_AUTO,
     .rows = WHET_I_LESSON_POOL,
     .adapter = WHET_TUNE_FULL,
     .loss = WHET_TUNE_CROSS_ENTROPY,
     .rate = 5e-5,
     .head_rate = 100},
};

int64_t whet_i_lesson_count(void) { return WHET_COUNT_OF(whet_i_lessons); }

unsigned whet_i_lessons_asked(const whet_adapt_job *job) {
    unsigned bits = 0;
    if (job->adapter == WHET_ADAPTER_MORE) bits |= WHET_I_BY_MORE;
    if (job->adapter == WHET_ADAPTER_LORA) bits |= WHET_I_BY_LORA;
    if (job->adapter == WHET_ADAPTER_AUTO) bits |= WHET_I_BY_AUTO;
    if (job->adapter == WHET_ADAPTER_AUTO && job->time_limit > 0) bits |= WHET_I_BY_TIME;
    if (job->end_model == WHET_END_ENCODER) bits |= WHET_I_BY_ENCODER;
    if (job->end_model == WHET_END_AUTO) bits |= WHET_I_BY_END_AUTO;
    return bits;
}

/* Below so many classes their names say little that the labels do not. */
enum { MANY_CLASSES = 10 };

const char *whet_i_lesson_unfit(const whet_i_lesson *lesson, const whet_i_run *run) {
    if (lesson->rows != WHET_I_LESSON_NAMES) return NULL;
    if (!run->class_texts_mean) return "needs class names that say something";
    return whet_names_count(run->classes) < MANY_CLASSES ? "is for 10 classes or more" : NULL;
}

bool whet_i_lesson_has_head(const whet_i_lesson *lesson) {
    return lesson->loss == WHET_TUNE_CROSS_ENTROPY;
}

int64_t whet_i_lesson_heads(const whet_i_lesson *lesson) {
    return whet_i_lesson_has_head(lesson) ? 1 : 2 + whet_i_heads_count();
}

bool whet_i_lesson_head_is_half(const whet_i_lesson *lesson, int64_t head) {
    return head > 0 && head == whet_i_lesson_heads(lesson) - 1;
}

const char *whet_i_lesson_head_name(const whet_i_lesson *lesson, int64_t head) {
    if (head > 0 && !whet_i_lesson_head_is_half(lesson, head)) return whet_i_heads_name(head - 1);
    if (whet_i_lesson_has_head(lesson)) return "trained";
    return lesson->rows == WHET_I_LESSON_NAMES ? "names" : "logistic";
}

const char *whet_i_lesson_head_words(const whet_i_lesson *lesson, int64_t head) {
    if (whet_i_lesson_head_is_half(lesson, head)) return "half of the steps";
    return head > 0 ? whet_i_heads_words(head - 1) : "";
}
