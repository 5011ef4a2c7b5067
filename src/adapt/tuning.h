/* SPDX-License-Identifier: Apache-2.0
 * Tuning the encoder of a run: the lessons that there are, what is learned of one, and the stage that tries
 * them on labels held out and keeps the best where it helps.
 * Legend: n rows of the pool, b labels, d features of the encoder, k classes. */
#ifndef WHET_ADAPT_TUNING_H
#define WHET_ADAPT_TUNING_H

#include "adapt/pipeline_i.h"
#include "whet/tune.h"

/* ---- lessons (lessons.c) ------------------------------------------------------------------------ */

/* What a lesson's rows are. */
typedef enum whet_i_lesson_rows {
    WHET_I_LESSON_LABELS, /* the labelled texts */
    WHET_I_LESSON_NAMES,  /* and the class names, each a text of its class */
    WHET_I_LESSON_POOL    /* and texts of the pool, with a candidate's probabilities */
} whet_i_lesson_rows;

/* Who asks for it: bits of whet_i_lesson.asked_by. */
enum {
    WHET_I_BY_MORE = 1,     /* --adapter more */
    WHET_I_BY_LORA = 2,     /* --adapter lora */
    WHET_I_BY_AUTO = 4,     /* --adapter auto */
    WHET_I_BY_TIME = 8,     /* --adapter auto that is given a time */
    WHET_I_BY_ENCODER = 16, /* --end-model encoder */
    WHET_I_BY_END_AUTO = 32 /* --end-model auto */
};

/* A way to tune the encoder: one row of the table. */
struct whet_i_lesson {
    const char *name, *title;
    unsigned asked_by;
    whet_i_lesson_rows rows;
    whet_tune_adapter adapter;
    whet_tune_loss loss;
    double temperature;            /* of the loss; 0 = it has none */
    whet_tune_weights row_weights; /* of rows with probabilities */
    int64_t steps;                 /* of 32 texts, and at least 3 passes; 0 = 3 passes */
    double rate, head_rate;
};

extern const whet_i_lesson whet_i_lessons[];
int64_t whet_i_lesson_count(void);
/* The bits that the job's options set. */
unsigned whet_i_lessons_asked(const whet_adapt_job *job);
/* What keeps it out of this run, or NULL. */
const char *whet_i_lesson_unfit(const whet_i_lesson *lesson, const whet_i_run *run);
/* Whether a head of its own is trained with the encoder; else one is fitted to the tuned embeddings. */
bool whet_i_lesson_has_head(const whet_i_lesson *lesson);

/* ---- heads (tuned_head.c) ------------------------------------------------------------------------- */

/* In label_i.h, beside which the engine's headers cannot stand. */
struct whet_i_linear_model;

/* Of embeddings x [n, d], for lessons without a head of their own; y [n] are classes. */
WHET_CHECKED whet_status whet_i_head_fit(whet_ctx *ctx, const whet_i_lesson *lesson, const float *x,
                                         const int32_t *y, int64_t n, int64_t d, int64_t k,
                                         struct whet_i_linear_model **out);
/* A trained one: weight [k, d], bias [k]. */
WHET_CHECKED whet_status whet_i_head_take(whet_ctx *ctx, const float *weight, const float *bias,
                                          int64_t d, int64_t k, struct whet_i_linear_model **out);
/* probs [n, k] of embeddings x [n, d], at temperature 1. */
WHET_CHECKED whet_status whet_i_head_predict(whet_ctx *ctx, const struct whet_i_linear_model *head,
                                             const float *x, int64_t n, double *probs);
/* And of logits [n, k]. */
void whet_i_head_softmax(const float *logits, int64_t n, int64_t k, double *probs);
void whet_i_head_free(whet_ctx *ctx, struct whet_i_linear_model *head);

/* ---- a run (tune_encoder.c) ----------------------------------------------------------------------- */

/* Training that must be done by some time, and what it took: tune_i.h's, beside which label_i.h cannot
 * stand. */
typedef struct whet_i_pace {
    double until;         /* its steps must be done, of whet_i_seconds_now; infinite: whenever */
    bool late;            /* it was stopped, as they would not be: nothing comes out of it */
    int64_t steps, total; /* taken, of so many */
    double seconds;       /* that they took */
} whet_i_pace;

/* What a lesson is given. */
typedef struct whet_i_pupil {
    const whet_i_run *run;
    const whet_i_lesson *lesson;
    const int32_t *labels; /* [n], -1 = none */
    const double *teach;   /* [n, k] of the pool; needed by WHET_I_LESSON_POOL */
    bool half;             /* to stop after half of the steps, for whet_i_tune_encoder */
    whet_i_pace *pace;     /* NULL = it may take its time */
} whet_i_pupil;

/* What the products of a run are in: the job's, or of WHET_F32, unless it is to be exact, bf16 where the
 * processor multiplies that. */
whet_dtype whet_i_tuning_dtype(whet_ctx *ctx, const whet_adapt_job *job);

/* A tuned encoder and its head. */
typedef struct whet_i_tuned {
    whet_encoder *encoder;
    int64_t d;
    float *features; /* [n, d] of the pool */
    struct whet_i_linear_model *head;
} whet_i_tuned;

enum { WHET_I_TUNE_ROWS = 2000, WHET_I_HEAD_ROWS = 1000 };

/* Heads that a lesson is tried with: its own, and unless that is trained with the encoder others, the last of
 * which is its own again after half of the steps: early stopping. */
int64_t whet_i_lesson_heads(const whet_i_lesson *lesson);
bool whet_i_lesson_head_is_half(const whet_i_lesson *lesson, int64_t head);
/* Name of such a head, and its settings in words, "" for the lesson's own. */
const char *whet_i_lesson_head_name(const whet_i_lesson *lesson, int64_t head);
const char *whet_i_lesson_head_words(const whet_i_lesson *lesson, int64_t head);
/* Tunes without a file and predicts texts [n] by each head: probs [heads, n, k], not calibrated. Heads that
 * look at the pool are given at most WHET_I_HEAD_ROWS evenly spaced rows of it that no label is known of.
 * Where its pace was too slow (pace->late), probs are not written. */
WHET_CHECKED whet_status whet_i_tune_and_predict(whet_ctx *ctx, const whet_i_pupil *pupil,
                                                 const whet_str *texts, int64_t n, double *probs);
/* Tunes into `folder`, which there is. What it leaves in *out on failure is released by whet_i_tuned_free. */
WHET_CHECKED whet_status whet_i_tune_encoder(whet_ctx *ctx, const whet_i_pupil *pupil,
                                             const char *folder, whet_i_tuned *out);
void whet_i_tuned_free(whet_ctx *ctx, whet_i_tuned *tuned);
/* Bytes of a text that are read at most, about. */
double whet_i_text_bytes(const whet_i_run *run, whet_str text);
/* Bytes of text that it reads in training, each text as often as it is read: what its time goes with. */
double whet_i_lesson_bytes(const whet_i_pupil *pupil);

/* ---- on labels held out (tuning_folds.c) ------------------------------------------------------------ */

enum { WHET_I_TUNE_FOLDS = 3 };

typedef struct whet_i_held {
    int64_t b, k;
    int64_t *rows;   /* [b] labelled rows of the pool */
    int32_t *y;      /* [b] */
    int32_t *fold;   /* [b] */
    int32_t *labels; /* [n] of a fit */
    double *teach;   /* [n, k] what the teacher says of the pool */
    double *without; /* [b, k] held-out probabilities of the chosen candidate */
    double *with; /* [contenders, WHET_I_MOST_HEADS, b, k] and of the tuned encoders by each head */
} whet_i_held;

WHET_CHECKED whet_status whet_i_held_make(whet_ctx *ctx, const whet_i_run *run, whet_i_held *held);
void whet_i_held_free(whet_ctx *ctx, whet_i_held *held);
/* Probabilities [b, k] of a contender by one of its heads. */
static inline double *whet_i_held_with(const whet_i_held *held, int64_t contender, int64_t head) {
    return held->with + (contender * WHET_I_MOST_HEADS + head) * held->b * held->k;
}
/* Each fold leaves labels of two classes, and holds one out of a class that is left. */
bool whet_i_held_tells(const whet_i_held *held);
/* held->labels: those of all folds but one (-1: of all). */
void whet_i_hold_out(const whet_i_run *run, int32_t fold, whet_i_held *held);
/* Fits the candidates without the fold; held->without of it, and held->teach. */
WHET_CHECKED whet_status whet_i_held_fit(whet_ctx *ctx, const whet_i_run *run, int32_t fold,
                                         whet_i_held *held);
/* held->with of contender `at` for the fold; adds to its seconds and, unless it is stopped as pace->late, to
 * its folds. */
WHET_CHECKED whet_status whet_i_held_try(whet_ctx *ctx, whet_i_run *run, int32_t fold, int64_t at,
                                         whet_i_pace *pace, whet_i_held *held);
/* The calibrated log loss of probs [b, k] on the labels of one fold (-1: of all), which are tempered in
 * place where it is all. */
WHET_CHECKED whet_status whet_i_held_loss(whet_ctx *ctx, const whet_i_held *held, int32_t fold,
                                          double *probs, double *temperature, double *loss);
/* Fills log losses, accuracies, gain and its error of the contenders that were tried on all folds, and where
 * `averages` the share of each that has the least log loss. */
WHET_CHECKED whet_status whet_i_held_compare(whet_ctx *ctx, whet_i_held *held, bool averages,
                                             whet_i_tuning *t);

/* ---- the stage (tuning.c) ------------------------------------------------------------------------- */

/* Complaints about the options, before the work. */
WHET_CHECKED whet_status whet_i_tuning_check(whet_ctx *ctx, const whet_adapt_job *job);
/* Tries, decides, and where a tuned encoder is kept, makes it in dir/classifier/encoder: run->tuning. Does
 * nothing where the job asks for none. */
WHET_CHECKED whet_status whet_i_run_tuning(whet_ctx *ctx, whet_i_run *run, const char *dir);
/* Of `left` seconds, what a run may take when `folds` more of it and the run on all labels follow, which take
 * as long, or as those of the best so far (`of_best` a run, 0: none), whose time is kept. Pure. */
double whet_i_tuning_allowed(double left, double of_best, int64_t folds);
/* Asked for by its name: taken whatever the held-out labels say. */
bool whet_i_tuning_is_asked(const whet_adapt_job *job);
/* Whether anything was trained, kept or not. */
bool whet_i_tuning_ran(const whet_i_tuning *tuning);
/* Calibrated probabilities [n, k] of rows of the run by the tuned encoder that was kept, averaged with the
 * teacher's by its share. */
WHET_CHECKED whet_status whet_i_tuning_predict(whet_ctx *ctx, const whet_i_run *run,
                                               const whet_i_run_rows *rows, double *probs);
void whet_i_tuning_free(whet_ctx *ctx, whet_i_tuning *tuning);

#endif
