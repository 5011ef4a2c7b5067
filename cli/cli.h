/* SPDX-License-Identifier: Apache-2.0
 * What a command file sees: its options, its run, ways to print. A command parses nothing and
 * computes nothing: it takes values from its run, calls the library, prints what came back.
 * The recipe for a new command is at the top of commands.c. */
#ifndef WHET_CLI_H
#define WHET_CLI_H

#include <jansson.h>
#include <stdio.h>

#include "whet/whet.h"

/* ---- the table ------------------------------------------------------------------------------- */

typedef enum cli_type {
    CLI_FLAG,   /* present or not */
    CLI_STRING, /* any text */
    CLI_PATH,   /* a file or folder; same as CLI_STRING, for help and for readers */
    CLI_OUTPUT, /* a file to write; "-" is standard output, and then cli_print goes to stderr. Refused before
                   the command runs: one that exists, without --force; two that are one; a name of another
                   format than `value` has */
    CLI_INT,   /* a whole number, min..max */
    CLI_FLOAT, /* a finite number, low..high */
    CLI_ENUM,  /* one of `choices`, written "a|b|c" */
    CLI_LIST   /* texts joined by commas; the option may also be repeated */
} cli_type;

typedef struct cli_option {
    const char *name; /* without the dashes */
    cli_type type;
    const char *value; /* how help calls the value: "FILE"; NULL = by type */
    const char *help;  /* what it means, without the default */
    bool required;
    const char *preset; /* default, as one would type it; NULL = none */
    const char *choices;
    int64_t min, max; /* CLI_INT; both 0 = any */
    double low, high; /* CLI_FLOAT; both 0 = any */
} cli_option;

typedef struct cli_run cli_run;

typedef struct cli_command {
    const char *name; /* "adapt" or "label fit": one or two words */
    whet_status (*run)(cli_run *run);
    const cli_option *options; /* ends with a row {0}; the common options are not listed */
    const char *summary;       /* one line, lower case, no full stop */
    const char *help;          /* what it does, for --help; lines of at most 78 columns; or NULL */
    const char *examples;      /* lines as typed; or NULL */
    const char *arguments;     /* how help calls words that are not options; NULL = none allowed */
    int32_t min_args, max_args;
    bool light; /* computes nothing: runs in any address space */
} cli_command;

/* All commands; ends with a row {0}. */
extern const cli_command cli_commands[];

/* ---- what a command takes from its run ----------------------------------------------------------
 */

/* CLI_OPTIONS_MAX: rows of a command's table and the common ones; a table with more is our bug (exit 70). */
enum { CLI_OPTIONS_MAX = 128, CLI_LIST_MAX = 256, CLI_ARGS_MAX = 1024 };

typedef struct cli_value {
    const cli_option *option;
    const char *text; /* NULL = not given and no default */
    bool given;       /* by the user */
    int64_t integer;
    double number;
} cli_value;

typedef struct cli_progress {
    bool shown, color;
    bool drawn;     /* a bar stands on the current line */
    char stage[32]; /* of that bar */
    char note[128]; /* words behind it */
    double started, last;
    int64_t first, latest; /* units done when the stage started; at the latest call */
} cli_progress;

struct cli_run {
    const cli_command *command;
    whet_ctx *ctx;
    bool json, quiet, force;
    uint64_t seed;
    int argc;
    char **argv; /* as the process got them, for cli_command_line */
    /* Set to finish with exit code 1: it ran, and the answer is no. */
    bool answer_no;

    /* The rest is the framework's. */
    cli_value values[CLI_OPTIONS_MAX];
    int32_t n_values;
    const char *list[CLI_LIST_MAX]; /* values of all CLI_LIST options, in order ... */
    const cli_option *list_of[CLI_LIST_MAX];
    char *list_bytes[CLI_LIST_MAX]; /* ... and the copies they point into */
    int32_t n_list;
    const char *args[CLI_ARGS_MAX];
    int32_t n_args;
    bool want_help;
    bool stdout_taken; /* an output file is "-" */
    json_t *document;
    char error[1024];
    cli_progress progress;
};

/* Values by option name. Asking for a name that the table does not have is our bug (exit 70). */
bool cli_given(const cli_run *run, const char *name);       /* by the user; not the default */
bool cli_flag(const cli_run *run, const char *name);        /* CLI_FLAG */
const char *cli_text(const cli_run *run, const char *name); /* any but flags; NULL = absent */
int64_t cli_integer(const cli_run *run, const char *name);  /* CLI_INT; 0 = absent */
double cli_number(const cli_run *run, const char *name);    /* CLI_FLOAT; 0 = absent */
int32_t cli_choice(const cli_run *run, const char *name);   /* CLI_ENUM: place in choices; -1 */
int32_t cli_list_count(const cli_run *run, const char *name);
const char *cli_list_item(const cli_run *run, const char *name, int32_t i);
int32_t cli_args(const cli_run *run); /* words that are not options */
const char *cli_arg(const cli_run *run, int32_t i);

/* A failure found by the command itself: `return cli_fail(run, WHET_ERR_ARG, "...")`. A failure of
 * the library needs nothing: return its status, the context has the sentence. */
whet_status cli_fail(cli_run *run, whet_status status, const char *format, ...) WHET_PRINTF(3, 4);
/* Text for people on stdout (stderr when an output took stdout); nothing with --json. */
void cli_print(cli_run *run, const char *format, ...) WHET_PRINTF(2, 3);
/* A note or warning on stderr; nothing with --quiet. */
void cli_note(cli_run *run, const char *format, ...) WHET_PRINTF(2, 3);
/* The document that --json prints at the end; takes the reference over. Without --json, released.
 * NULL (out of memory while building it) is reported at the end. */
void cli_json(cli_run *run, json_t *document);
/* json_real, or null when x is not finite (JSON has no NaN). */
json_t *cli_json_number(double x);
/* A report of the library as a document, released by cli_json; its text is released. */
whet_status cli_report(cli_run *run, char *text, json_t **root);
/* Members of it: a number, NaN where there is none; an integer, or 0; a text, or "". */
double cli_real_at(const json_t *object, const char *key);
long long cli_count_at(const json_t *object, const char *key);
const char *cli_text_at(const json_t *object, const char *key);
/* weighted.c: values of --adapter, "DIR=WEIGHT" where a number follows the last sign, else "DIR"; and
 * what to load a model with, of --any-base too. Released also on failure. */
enum { CLI_WEIGHTED_MAX = 64 };
typedef struct cli_weighted {
    char *paths[CLI_WEIGHTED_MAX];
    double weights[CLI_WEIGHTED_MAX];
    int32_t n;
    const char *heads; /* of `paths` that --heads-of names; NULL = none */
} cli_weighted;
whet_status cli_weighted_read(cli_run *run, cli_weighted *w);
void cli_weighted_free(cli_weighted *w);
whet_adapter_use cli_weighted_use(const cli_run *run, const cli_weighted *w);
/* How classes came to components of a mixture, and what is doubtful of it; and the same as JSON. Nothing,
 * and null, for mapping NULL. */
void cli_print_mapping(cli_run *run, const whet_names *classes, const whet_class_mapping *mapping);
json_t *cli_mapping_json(const whet_names *classes, const whet_class_mapping *mapping);
/* The command as it can be typed again, quoted for a shell. malloc'ed; NULL when out of memory. */
char *cli_command_line(const cli_run *run);
/* Bytes made printable between quotes, cut at 80. size >= 16. Returns out. */
const char *cli_quote(char *out, size_t size, const char *text);

/* ---- the framework's own -------------------------------------------------------------------- */

extern const cli_option cli_common_options[];

/* options.c: words after the command's name; WHET_ERR_ARG with a sentence in run->error. */
whet_status cli_parse(cli_run *run, int argc, char **argv);
/* suggest.c: the nearest of `n` words within a third of its length; NULL = none is near. */
const char *cli_nearest(const char *word, const char *const *words, int32_t n);
/* help.c */
whet_status cli_help_overview(FILE *to);
whet_status cli_help_command(FILE *to, const cli_command *command);
/* The commands of a group ("label"); false when there is no such group. */
bool cli_help_group(FILE *to, const char *group);
/* progress.c: hooks of the context; `user` is the run. */
void cli_progress_init(cli_run *run);
void cli_progress_hook(void *user, const char *stage, int64_t done, int64_t total);
void cli_note_hook(void *user, const char *words);
void cli_progress_clear(cli_run *run);
/* room.c: NOMEM when the address space is limited below what the threads need. */
whet_status cli_check_room(cli_run *run);
/* output.c */
void cli_log_hook(void *user, whet_log_level level, const char *sentence);
void cli_print_error(cli_run *run, whet_status status, const char *sentence);
/* Prints the document and makes sure that stdout took everything. */
whet_status cli_finish_output(cli_run *run);

/* The commands. */
whet_status cmd_locus(cli_run *run);
extern const cli_option cmd_locus_options[];
whet_status cmd_predict(cli_run *run);
extern const cli_option cmd_predict_options[];
whet_status cmd_adapt(cli_run *run);
extern const cli_option cmd_adapt_options[];
whet_status cmd_adapt_apply(cli_run *run);
extern const cli_option cmd_adapt_apply_options[];
whet_status cmd_align(cli_run *run);
extern const cli_option cmd_align_options[];
whet_status cmd_bench_autows(cli_run *run);
extern const cli_option cmd_bench_autows_options[];
whet_status cmd_bench_glue(cli_run *run);
extern const cli_option cmd_bench_glue_options[];
whet_status cmd_bench_commonsense(cli_run *run);
extern const cli_option cmd_bench_commonsense_options[];
whet_status cmd_version(cli_run *run);
extern const cli_option cmd_version_options[];
whet_status cmd_label_baseline(cli_run *run);
extern const cli_option cmd_label_baseline_options[];
whet_status cmd_label_features(cli_run *run);
extern const cli_option cmd_label_features_options[];
whet_status cmd_label_fit(cli_run *run);
extern const cli_option cmd_label_fit_options[];
whet_status cmd_label_count(cli_run *run);
extern const cli_option cmd_label_count_options[];
whet_status cmd_label_predict(cli_run *run);
extern const cli_option cmd_label_predict_options[];
whet_status cmd_label_analyze(cli_run *run);
extern const cli_option cmd_label_analyze_options[];
whet_status cmd_label_apply(cli_run *run);
extern const cli_option cmd_label_apply_options[];
whet_status cmd_label_generate(cli_run *run);
extern const cli_option cmd_label_generate_options[];
whet_status cmd_embed(cli_run *run);
extern const cli_option cmd_embed_options[];
whet_status cmd_generate(cli_run *run);
extern const cli_option cmd_generate_options[];
/* --mean and --deviation of channels; NaN where they are not given (cmd_align.c). */
whet_status cli_image_scale(cli_run *run, double mean[3], double scale[3]);
whet_status cmd_market_price(cli_run *run);
extern const cli_option cmd_market_price_options[];
whet_status cmd_market_simulate(cli_run *run);
extern const cli_option cmd_market_simulate_options[];
whet_status cmd_market_trial(cli_run *run);
extern const cli_option cmd_market_trial_options[];
whet_status cmd_merge(cli_run *run);
extern const cli_option cmd_merge_options[];
whet_status cmd_tune(cli_run *run);
extern const cli_option cmd_tune_options[];
/* Of cmd_tune, with --search. */
whet_status cmd_tune_search(cli_run *run, const whet_tune_job *job, const char *budget);
whet_status cmd_tune_export(cli_run *run);
extern const cli_option cmd_tune_export_options[];
whet_status cmd_tune_combine(cli_run *run);
extern const cli_option cmd_tune_combine_options[];
whet_status cmd_tune_project(cli_run *run);
extern const cli_option cmd_tune_project_options[];
whet_status cmd_tune_merge(cli_run *run);
extern const cli_option cmd_tune_merge_options[];
whet_status cmd_tune_inspect(cli_run *run);
extern const cli_option cmd_tune_inspect_options[];
#endif
