/* SPDX-License-Identifier: Apache-2.0
 * A search, filled stage by stage: search_space.c draws trials, search_journal.c keeps what became of them,
 * successive_halving.c says what is next, search.c does it, search_report.c tells of it.
 *
 * A unit of work is a trial, a level and a replicate. Levels 0 .. rungs-1 are rungs, of rising numbers of
 * steps; the last of them is the whole length. Replicates 0 .. K-1 are the folds (or seeds) that choose;
 * K .. 2K-1, at whole length alone, those that compare the winner with its rival. Level `rungs` is the
 * training of the winner on all rows. */
#ifndef WHET_TUNE_SEARCH_I_H
#define WHET_TUNE_SEARCH_I_H

#include "whet/tune_search.h"

#include "tune/tune_i.h"

enum {
    WHET_I_SEARCH_TRIALS = 4096, /* at most */
    WHET_I_SEARCH_RUNGS = 4,     /* at most */
    WHET_I_SEARCH_FOLDS = 10,    /* at most */
    WHET_I_SEARCH_ETA = 3,       /* of a rung, one in so many goes on */
    WHET_I_SEARCH_LEAST = 8,     /* steps of the first rung */
    WHET_I_SEARCH_RANKS = 6,     /* that are drawn from */
    WHET_I_SEARCH_KINDS = 6,     /* numbers of whet_tune_adapter */
    WHET_I_SEARCH_LEVELS = WHET_I_SEARCH_RUNGS + 1,
    WHET_I_SEARCH_REPLICATES = 2 * WHET_I_SEARCH_FOLDS
};

typedef struct whet_i_search_unit {
    int64_t trial;
    int32_t level, replicate;
} whet_i_search_unit;

typedef enum whet_i_cell_state {
    WHET_I_CELL_EMPTY = 0,
    WHET_I_CELL_CLAIMED = 1, /* by `worker`, at most until `until` */
    WHET_I_CELL_DONE = 2,
    WHET_I_CELL_FAILED = 3 /* the loss became no number, or memory is too small */
} whet_i_cell_state;

typedef struct whet_i_search_cell {
    whet_i_cell_state state;
    int64_t worker;
    double until;        /* seconds since 1970 */
    double metric, loss; /* loss NaN where the metric has none beside it */
    double seconds;      /* of the unit, with what it takes to set up */
    int64_t steps;       /* taken */
    bool early;          /* stopped by patience */
    double first, last, norm;
} whet_i_search_cell;

/* What the journal's first line says: a search that goes on must find it again. */
typedef struct whet_i_search_head {
    char fingerprint[17]; /* of settings, data, model, and of the space that is drawn from */
    int32_t rungs, replicates;
    int64_t folds;                      /* K, or 0: a validation table and K seeds */
    int64_t steps[WHET_I_SEARCH_RUNGS]; /* of the rungs */
    double step_seconds, overhead;      /* measured before the first trial */
    int64_t final_steps;
} whet_i_search_head;

typedef struct whet_i_search_row { /* a trial's cells */
    whet_i_search_cell cell[WHET_I_SEARCH_LEVELS][WHET_I_SEARCH_REPLICATES];
} whet_i_search_row;

typedef struct whet_i_search_state {
    whet_i_search_head head;
    int64_t n_trials, cap; /* begun: the highest trial of any line, and one */
    whet_i_search_row *rows;
    int64_t last_worker; /* highest number of a worker; -1 = none */
    int64_t lines;
    double spent; /* seconds of units that are done */
} whet_i_search_state;

/* ---- search_space.c --------------------------------------------------------------------------- */

typedef struct whet_i_search_trial {
    whet_tune_job job;  /* all settings given */
    int64_t parameters; /* trained outside the head */
    int64_t pair;       /* LoRA and MoRe of a pair have equal ranks, layers and rates; -1 = none */
    int64_t attempt;    /* the first that fitted; -1 = none was asked for, or none did */
} whet_i_search_trial;

typedef struct whet_i_search_space {
    whet_i_tune *survey;
    whet_tune_job base; /* what is given is not searched */
    int64_t limit;      /* of parameters; 0 = none */
    unsigned also;      /* what else is searched: 1 << kind, WHET_I_SEARCH_DROPOUT */
    /* kinds, by whet_tune_adapter, of which a candidate is within the limit */
    bool can[WHET_I_SEARCH_KINDS];
    int64_t least;    /* parameters of the smallest candidate */
    char *targets[5]; /* lists of layers, in the survey's arena, as what follows */
    char *halves[2];  /* numbers of the lower and the upper layers; NULL = there is one layer */
    /* Patterns of ranks that rise or fall, by the mean rank, and twice those; NULL = the rank is odd. */
    char *ranks[2][WHET_I_SEARCH_RANKS], *alphas[2][WHET_I_SEARCH_RANKS];
    whet_i_search_trial *trials; /* drawn so far */
    int64_t n, cap;
} whet_i_search_space;

/* Errors: ARG (the limit is below the smallest candidate; a kind that finds nothing to train). */
WHET_CHECKED whet_status whet_i_search_space_open(whet_ctx *ctx, whet_i_tune *survey,
                                                  const whet_tune_job *base, int64_t limit,
                                                  unsigned also, whet_i_search_space *out);
/* What whet_tune_search_opts.also names. Errors: ARG. */
#define WHET_I_SEARCH_DROPOUT (1u << 8) /* of adapters */
WHET_CHECKED whet_status whet_i_search_also(whet_ctx *ctx, const char *text, unsigned *also);
void whet_i_search_space_free(whet_ctx *ctx, whet_i_search_space *space);
/* Trial i, which follows from the seed and i alone; valid until the next call. */
WHET_CHECKED whet_status whet_i_search_draw(whet_ctx *ctx, whet_i_search_space *space, int64_t i,
                                            const whet_i_search_trial **out);
/* Of the table of what is searched and of the trials that are not drawn. */
uint64_t whet_i_search_space_hash(const whet_i_search_space *space);
/* The settings of a trial, as members of an object; NULL = no memory. */
json_t *whet_i_search_settings(const whet_tune_job *job);
const char *whet_i_search_kind_name(whet_tune_adapter adapter);

/* ---- search_journal.c ------------------------------------------------------------------------- */

/* What lines say, from memory. A last line that is cut or damaged is left out, as a process that is killed
 * leaves it; *whole is the length of what was read. where: for sentences. Errors: DATA (damage before the
 * last line, with its number), FORMAT (not a journal), LIMIT, NOMEM; the state is then freed. */
WHET_CHECKED whet_status whet_i_search_parse(whet_ctx *ctx, const char *where, const char *bytes,
                                             int64_t len, whet_i_search_state *state,
                                             int64_t *whole);
void whet_i_search_state_free(whet_ctx *ctx, whet_i_search_state *state);

typedef struct whet_i_search_journal {
    int fd;   /* -1 = closed */
    int lock; /* of this worker, held while the process lives; -1 = none */
    int64_t worker;
    char *folder, *path; /* output/search, and its journal */
} whet_i_search_journal;

/* Makes the folder and a journal with this head. Errors: IO, NOMEM. */
WHET_CHECKED whet_status whet_i_search_begin(whet_ctx *ctx, const char *output,
                                             const whet_i_search_head *head,
                                             whet_i_search_journal *out);
/* Opens the one that is there. Errors: IO (none), and as parsing. */
WHET_CHECKED whet_status whet_i_search_join(whet_ctx *ctx, const char *output,
                                            whet_i_search_journal *out);
void whet_i_search_close(whet_ctx *ctx, whet_i_search_journal *journal);
/* Keeps others out, and reads; unlock ends that. Errors: IO (also where another journal stands in its place),
 * and as parsing. */
WHET_CHECKED whet_status whet_i_search_lock(whet_ctx *ctx, whet_i_search_journal *journal,
                                            whet_i_search_state *state);
void whet_i_search_unlock(whet_i_search_journal *journal);
/* While locked: appended, synced, and noted in the state; on failure the file is as it was. */
WHET_CHECKED whet_status whet_i_search_claim(whet_ctx *ctx, whet_i_search_journal *journal,
                                             whet_i_search_state *state, whet_i_search_unit unit,
                                             double seconds);
WHET_CHECKED whet_status whet_i_search_note(whet_ctx *ctx, whet_i_search_journal *journal,
                                            whet_i_search_state *state, whet_i_search_unit unit,
                                            const whet_i_search_cell *cell);
/* Whether the process that claimed it is at work still (journal NULL: it is), and its time is not over. */
bool whet_i_search_alive(const whet_i_search_journal *journal, const whet_i_search_cell *cell);

/* ---- successive_halving.c --------------------------------------------------------------------- */

/* What a trial comes to at a level: the mean over replicates [from, to). */
typedef struct whet_i_search_mean {
    bool whole;                 /* all replicates are there, or one failed */
    bool begun;                 /* one is there or claimed */
    bool failed;                /* or the metric is no number */
    double metric, loss, error; /* error: of the mean, over replicates */
    int64_t n;
} whet_i_search_mean;

whet_i_search_mean whet_i_search_mean_of(const whet_i_search_state *state, int64_t trial,
                                         int32_t level, int32_t from, int32_t to);

typedef enum whet_i_search_step {
    WHET_I_SEARCH_WORK,  /* on the unit */
    WHET_I_SEARCH_WAIT,  /* for others' units */
    WHET_I_SEARCH_TRAIN, /* the winner: the unit */
    WHET_I_SEARCH_OVER
} whet_i_search_step;

/* The rules of one search: what is asked to decide what is next. */
typedef struct whet_i_search_rules {
    const whet_i_search_state *state;
    const whet_i_search_trial *trials;    /* those of the state and one more */
    bool lower;                           /* a lower metric is better */
    int64_t most;                         /* trials to begin; 0 = no limit */
    double seconds;                       /* 0 = no limit */
    const whet_i_search_journal *journal; /* who is alive; NULL = all that claimed */
} whet_i_search_rules;

/* O(trials^2). */
whet_i_search_step whet_i_search_next(const whet_i_search_rules *rules, whet_i_search_unit *unit);
/* The best trial at whole length, or -1; of equals the one of least loss, fewest parameters, first. */
int64_t whet_i_search_winner(const whet_i_search_rules *rules);
/* The other of a pair, among the trials begun and the next one; -1 = none. */
int64_t whet_i_search_partner(const whet_i_search_rules *rules, int64_t trial);
bool whet_i_search_are_pair(const whet_i_search_rules *rules, int64_t a, int64_t b);
/* Whom the winner is compared with, at whole length, or -1: its partner; where that is not there, the best
 * LoRA of no more parameters (to a hundredth), of a LoRA the best MoRe. */
int64_t whet_i_search_rival(const whet_i_search_rules *rules, int64_t winner);
/* Whether trial a is better than b at a level; both whole. */
bool whet_i_search_better(const whet_i_search_rules *rules, int32_t level, int64_t a, int64_t b);
/* Seconds that a unit is expected to take. */
double whet_i_search_expected(const whet_i_search_rules *rules, whet_i_search_unit unit);
/* The highest rung below `level` that this replicate has passed, or -1. */
int32_t whet_i_search_passed(const whet_i_search_state *state, whet_i_search_unit unit);

/* ---- search_report.c, pareto_plot.c ----------------------------------------------------------- */

/* W minus R by replicates that chose nothing (or, fresh false, by those that chose). */
typedef struct whet_i_search_verdict {
    bool there, fresh;
    int64_t n;
    double mean, low, high; /* of the difference, so that above 0 the winner is better; 95 % */
} whet_i_search_verdict;
whet_i_search_verdict whet_i_search_judge(const whet_i_search_state *state, bool lower,
                                          int64_t winner, int64_t rival);
/* The verdict as a sentence: what they share is said of a pair alone, and what differs of all others. */
void whet_i_search_verdict_text(const whet_i_search_rules *rules,
                                const whet_i_search_verdict *verdict, int64_t winner, int64_t rival,
                                char *out, size_t size);

typedef struct whet_i_search_point { /* of the picture */
    whet_tune_adapter kind;
    int64_t trial, parameters;
    double metric, error;
    bool whole; /* at whole length */
    bool front, winner;
} whet_i_search_point;
/* Marks points that no other one of fewer or equal parameters at whole length beats. */
void whet_i_search_front(whet_i_search_point *points, int64_t n, bool lower);
WHET_CHECKED whet_status whet_i_search_plot(whet_ctx *ctx, const whet_i_search_point *points,
                                            int64_t n, const char *metric, whet_i_buf *svg);
WHET_CHECKED whet_status whet_i_search_tell(whet_ctx *ctx, whet_i_search_space *space,
                                            const whet_i_search_rules *rules,
                                            const whet_tune_search_opts *budget, bool trained,
                                            whet_i_buf *json, whet_i_buf *svg);

#endif
