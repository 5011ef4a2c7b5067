/* SPDX-License-Identifier: Apache-2.0
 * Words of the command line to checked values, by the command's option table. Not getopt_long: it
 * takes abbreviations, which would freeze every name for ever, and swallows a following option as
 * the value of one whose value was forgotten. A value that starts with -- is given as --name=--x.
 */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "cli.h"

const cli_option cli_common_options[] = {
    {.name = "threads",
     .type = CLI_INT,
     .value = "N",
     .min = 0,
     .max = 256,
     .preset = "0",
     .help = "threads to use; 0 = all processors"},
    {.name = "seed",
     .type = CLI_INT,
     .value = "N",
     .min = 0,
     .max = INT64_MAX,
     .preset = "0",
     .help = "of everything drawn at random; same seed, same result"},
    {.name = "kernels",
     .type = CLI_STRING,
     .value = "NAME",
     .help = "CPU kernels: auto, ref, avx2, avx512, avx512-bf16, amx (or set WHET_KERNELS)"},
    {.name = "json", .type = CLI_FLAG, .help = "print one JSON document instead of text"},
    {.name = "quiet", .type = CLI_FLAG, .help = "no progress and no warnings"},
    {.name = "force", .type = CLI_FLAG, .help = "replace existing outputs"},
    {.name = "help", .type = CLI_FLAG, .help = "this text"},
    {0},
};

/* ---- looking values up ----------------------------------------------------------------------- */

static cli_value *find(cli_run *run, const char *name, size_t length) {
    for (int32_t i = 0; i < run->n_values; i++) {
        const char *known = run->values[i].option->name;
        if (strlen(known) == length && memcmp(known, name, length) == 0) return &run->values[i];
    }
    return NULL;
}

static const cli_value *value_of(const cli_run *run, const char *name) {
    for (int32_t i = 0; i < run->n_values; i++)
        if (strcmp(run->values[i].option->name, name) == 0) return &run->values[i];
    (void)fprintf(stderr, "whet: internal: option --%s is not in the command's table\n", name);
    exit(70);
}

bool cli_given(const cli_run *run, const char *name) { return value_of(run, name)->given; }

bool cli_flag(const cli_run *run, const char *name) { return value_of(run, name)->given; }

const char *cli_text(const cli_run *run, const char *name) { return value_of(run, name)->text; }

int64_t cli_integer(const cli_run *run, const char *name) { return value_of(run, name)->integer; }

double cli_number(const cli_run *run, const char *name) { return value_of(run, name)->number; }

int32_t cli_choice(const cli_run *run, const char *name) {
    const cli_value *value = value_of(run, name);
    return value->text ? (int32_t)value->integer : -1;
}

int32_t cli_list_count(const cli_run *run, const char *name) {
    const cli_option *option = value_of(run, name)->option;
    int32_t count = 0;
    for (int32_t i = 0; i < run->n_list; i++) count += run->list_of[i] == option;
    return count;
}

const char *cli_list_item(const cli_run *run, const char *name, int32_t i) {
    const cli_option *option = value_of(run, name)->option;
    for (int32_t j = 0; j < run->n_list; j++)
        if (run->list_of[j] == option && i-- == 0) return run->list[j];
    return NULL;
}

int32_t cli_args(const cli_run *run) { return run->n_args; }

const char *cli_arg(const cli_run *run, int32_t i) { return run->args[i]; }

/* ---- one value ------------------------------------------------------------------------------- */

static whet_status bad_value(cli_run *run, const cli_value *value, const char *expected) {
    char quoted[128];
    return cli_fail(run, WHET_ERR_ARG, "option --%s is %s; expected %s", value->option->name,
                    cli_quote(quoted, sizeof quoted, value->text), expected);
}

static whet_status parse_integer(cli_run *run, cli_value *value) {
    const cli_option *o = value->option;
    const bool any = o->min == 0 && o->max == 0;
    char *end = NULL, expected[96];
    errno = 0;
    const long long parsed = strtoll(value->text, &end, 10);
    const bool whole = *value->text && !isspace((unsigned char)*value->text) && *end == '\0';
    if (whole && errno == 0 && (any || (parsed >= o->min && parsed <= o->max))) {
        value->integer = parsed;
        return WHET_OK;
    }
    if (any)
        (void)snprintf(expected, sizeof expected, "a whole number");
    else if (o->max == INT64_MAX)
        (void)snprintf(expected, sizeof expected, "a whole number of at least %lld",
                       (long long)o->min);
    else
        (void)snprintf(expected, sizeof expected, "a whole number from %lld to %lld",
                       (long long)o->min, (long long)o->max);
    return bad_value(run, value, expected);
}

static whet_status parse_number(cli_run *run, cli_value *value) {
    const cli_option *o = value->option;
    const bool any = !(o->low < 0) && !(o->low > 0) && !(o->high < 0) && !(o->high > 0);
    char *end = NULL, expected[96];
    const double parsed = strtod(value->text, &end); /* the process keeps the C locale */
    /* Hexadecimal, "inf" and "nan" are numbers to strtod, and typing errors to us. */
    const bool plain = strspn(value->text, "0123456789+-.eE") == strlen(value->text);
    if (*value->text && plain && *end == '\0' && isfinite(parsed) &&
        (any || (parsed >= o->low && parsed <= o->high))) {
        value->number = parsed;
        return WHET_OK;
    }
    if (any)
        (void)snprintf(expected, sizeof expected, "a number");
    else
        (void)snprintf(expected, sizeof expected, "a number from %g to %g", o->low, o->high);
    return bad_value(run, value, expected);
}

static whet_status parse_choice(cli_run *run, cli_value *value) {
    const size_t length = strlen(value->text);
    int64_t place = 0;
    for (const char *c = value->option->choices; c; place++) {
        const char *end = strchr(c, '|');
        const size_t size = end ? (size_t)(end - c) : strlen(c);
        if (size == length && memcmp(c, value->text, size) == 0) {
            value->integer = place;
            return WHET_OK;
        }
        c = end ? end + 1 : NULL;
    }
    char expected[512];
    (void)snprintf(expected, sizeof expected, "one of %s", value->option->choices);
    return bad_value(run, value, expected);
}

static whet_status parse_list(cli_run *run, const cli_value *value) {
    if (run->n_list >= CLI_LIST_MAX)
        return bad_value(run, value, "a shorter list (256 items in all)");
    char *copy = strdup(value->text);
    if (!copy) return cli_fail(run, WHET_ERR_NOMEM, "out of memory");
    run->list_bytes[run->n_list] = copy;
    for (char *item = copy; item;) {
        char *comma = strchr(item, ',');
        if (comma) *comma = '\0';
        if (!*item) return bad_value(run, value, "items joined by single commas");
        if (run->n_list >= CLI_LIST_MAX)
            return bad_value(run, value, "a shorter list (256 items in all)");
        run->list[run->n_list] = item;
        run->list_of[run->n_list++] = value->option;
        item = comma ? comma + 1 : NULL;
    }
    return WHET_OK;
}

static whet_status parse_value(cli_run *run, cli_value *value) {
    switch (value->option->type) {
    case CLI_FLAG: return WHET_OK;
    case CLI_INT: return parse_integer(run, value);
    case CLI_FLOAT: return parse_number(run, value);
    case CLI_ENUM: return parse_choice(run, value);
    case CLI_LIST: return parse_list(run, value);
    case CLI_OUTPUT:
        if (strcmp(value->text, "-") == 0) run->stdout_taken = true;
        break;
    case CLI_STRING:
    case CLI_PATH: break;
    }
    if (!*value->text) return bad_value(run, value, "a value that is not empty");
    return WHET_OK;
}

/* ---- the command line ------------------------------------------------------------------------ */

static void declare(cli_run *run, const cli_option *options) {
    for (const cli_option *o = options; o && o->name; o++) {
        if (run->n_values >= CLI_OPTIONS_MAX) {
            (void)fprintf(stderr, "whet: internal: whet %s has more than %d options\n",
                          run->command->name, CLI_OPTIONS_MAX);
            exit(70);
        }
        run->values[run->n_values++] = (cli_value){.option = o};
    }
}

static whet_status unknown_option(cli_run *run, const char *word, size_t length) {
    const char *names[CLI_OPTIONS_MAX], *near = NULL;
    char name[64], quoted[128];
    for (int32_t i = 0; i < run->n_values; i++) names[i] = run->values[i].option->name;
    if (length > 2 && length - 2 < sizeof name && word[1] == '-') {
        memcpy(name, word + 2, length - 2);
        name[length - 2] = '\0';
        near = cli_nearest(name, names, run->n_values);
    }
    const char *shown = cli_quote(quoted, sizeof quoted, word);
    if (near)
        return cli_fail(run, WHET_ERR_ARG, "whet %s has no option %s; did you mean --%s?",
                        run->command->name, shown, near);
    return cli_fail(run, WHET_ERR_ARG, "whet %s has no option %s; see whet %s --help",
                    run->command->name, shown, run->command->name);
}

/* Takes the option at argv[*i], and its value when that is the next word. */
static whet_status take_option(cli_run *run, int argc, char **argv, int *i) {
    const char *word = argv[*i], *equals = strchr(word, '=');
    const size_t length = equals ? (size_t)(equals - word) : strlen(word);
    cli_value *value = length > 2 && word[1] == '-' ? find(run, word + 2, length - 2) : NULL;
    if (strcmp(word, "-h") == 0) value = find(run, "help", 4);
    if (!value) return unknown_option(run, word, length);
    const cli_option *o = value->option;
    if (value->given && o->type != CLI_LIST)
        return cli_fail(run, WHET_ERR_ARG, "option --%s is given twice; expected once", o->name);
    value->given = true;
    if (o->type == CLI_FLAG) {
        if (equals)
            return cli_fail(run, WHET_ERR_ARG,
                            "option --%s takes no value; found a value behind =", o->name);
        return WHET_OK;
    }
    if (equals) {
        value->text = equals + 1;
    } else {
        const char *next = *i + 1 < argc ? argv[*i + 1] : NULL;
        char quoted[128];
        if (!next)
            return cli_fail(run, WHET_ERR_ARG, "option --%s needs a value; found none", o->name);
        if (strncmp(next, "--", 2) == 0)
            return cli_fail(run, WHET_ERR_ARG,
                            "option --%s needs a value; found %s (if it is meant: --%s=VALUE)",
                            o->name, cli_quote(quoted, sizeof quoted, next), o->name);
        value->text = next;
        ++*i;
    }
    return parse_value(run, value);
}

/* The second word of a command, misspelt or missing: "adapt aply". */
static whet_status too_many_arguments(cli_run *run) {
    const char *verbs[CLI_OPTIONS_MAX];
    char quoted[128];
    int32_t n = 0;
    const size_t length = strlen(run->command->name);
    for (const cli_command *c = cli_commands; c->name && n < CLI_OPTIONS_MAX; c++)
        if (strncmp(c->name, run->command->name, length) == 0 && c->name[length] == ' ')
            verbs[n++] = c->name + length + 1;
    const char *word = run->args[run->command->max_args];
    const char *near = cli_nearest(word, verbs, n);
    const char *shown = cli_quote(quoted, sizeof quoted, word);
    if (near)
        return cli_fail(run, WHET_ERR_ARG, "unexpected %s; did you mean whet %s %s?", shown,
                        run->command->name, near);
    return cli_fail(run, WHET_ERR_ARG, "unexpected %s; expected options (see whet %s --help)",
                    shown, run->command->name);
}

static whet_status check_complete(cli_run *run) {
    const cli_command *command = run->command;
    if (run->n_args > command->max_args) return too_many_arguments(run);
    if (run->n_args < command->min_args)
        return cli_fail(run, WHET_ERR_ARG, "%s is missing; see whet %s --help", command->arguments,
                        command->name);
    for (int32_t i = 0; i < run->n_values; i++) {
        cli_value *value = &run->values[i];
        if (value->option->required && !value->given)
            return cli_fail(run, WHET_ERR_ARG, "option --%s is missing; see whet %s --help",
                            value->option->name, command->name);
        if (value->text || !value->option->preset) continue;
        value->text = value->option->preset;
        const whet_status status = parse_value(run, value);
        if (status != WHET_OK) return status;
    }
    if (run->json && run->stdout_taken)
        return cli_fail(run, WHET_ERR_ARG,
                        "--json and an output to - both want standard output; expected one");
    return WHET_OK;
}

/* ---- outputs --------------------------------------------------------------------------------- */

static bool is_output(const cli_value *v) {
    return v->option->type == CLI_OUTPUT && v->text && strcmp(v->text, "-") != 0;
}

static const char *name_in(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool stat_folder(const char *path, struct stat *info) {
    char folder[4096];
    const int n = (int)(name_in(path) - path);
    return snprintf(folder, sizeof folder, "%.*s.", n, path) < (int)sizeof folder &&
           stat(folder, info) == 0;
}

/* Devices and pipes take several outputs. */
static bool same_file(const char *a, const char *b) {
    struct stat info;
    return whet_same_path(a, b) && (stat(a, &info) != 0 || S_ISREG(info.st_mode));
}

/* A name that promises another format than what is written under it: the help has that one. */
static const char *other_format(const cli_value *v) {
    static const char *const known[] = {".npy", ".npz",   ".safetensors", ".tsv", ".csv",
                                        ".txt", ".jsonl", ".json",        ".svg", ".html"};
    const char *dot = strrchr(v->text, '.'), *value = v->option->value;
    for (size_t i = 0; dot && value && i < sizeof known / sizeof *known; i++) {
        if (strcasecmp(dot, known[i]) != 0) continue;
        const bool table = strcmp(known[i], ".txt") == 0 && strstr(value, ".tsv");
        return strstr(value, known[i]) || table ? NULL : known[i];
    }
    return NULL;
}

/* Of two outputs the second would replace the first, of an input its own result. */
static whet_status check_apart(cli_run *run, int32_t i) {
    const cli_value *v = &run->values[i];
    char quoted[128];
    for (int32_t j = 0; j < run->n_values; j++) {
        const cli_value *o = &run->values[j];
        const bool input = o->option->type == CLI_PATH && o->given;
        if ((input || (j < i && is_output(o))) && same_file(v->text, o->text))
            return cli_fail(
                run, WHET_ERR_ARG, "options --%s and --%s are both %s; expected two files",
                o->option->name, v->option->name, cli_quote(quoted, sizeof quoted, v->text));
    }
    for (int32_t j = 0; j < run->n_args; j++)
        if (same_file(v->text, run->args[j]))
            return cli_fail(run, WHET_ERR_ARG, "option --%s is %s, which is read; expected another",
                            v->option->name, cli_quote(quoted, sizeof quoted, v->text));
    return WHET_OK;
}

/* What would be found out at the end of the work. */
static whet_status check_outputs(cli_run *run) {
    for (int32_t i = 0; i < run->n_values; i++) {
        const cli_value *v = &run->values[i];
        char quoted[128];
        struct stat info;
        if (!is_output(v)) continue;
        if (other_format(v))
            return cli_fail(run, WHET_ERR_ARG,
                            "option --%s is %s, but what is written there is no %s; expected %s",
                            v->option->name, cli_quote(quoted, sizeof quoted, v->text),
                            other_format(v), v->option->value);
        const whet_status status = check_apart(run, i);
        if (status != WHET_OK) return status;
        if (stat(v->text, &info) == 0 && S_ISDIR(info.st_mode))
            return cli_fail(run, WHET_ERR_IO, "%s: cannot be written: %s", v->text,
                            strerror(EISDIR));
        if (!stat_folder(v->text, &info))
            return cli_fail(run, WHET_ERR_IO, "%s: cannot be created: %s", v->text,
                            strerror(errno));
        if (!run->force && lstat(v->text, &info) == 0 && S_ISREG(info.st_mode))
            return cli_fail(run, WHET_ERR_EXISTS, "%s: exists; expected a new path; try --force",
                            v->text);
    }
    return WHET_OK;
}

whet_status cli_parse(cli_run *run, int argc, char **argv) {
    bool options_end = false;
    declare(run, run->command->options);
    declare(run, cli_common_options);
    for (int i = 0; i < argc; i++) {
        if (!options_end && strcmp(argv[i], "--") == 0) {
            options_end = true;
        } else if (!options_end && argv[i][0] == '-' && argv[i][1] != '\0') {
            const whet_status status = take_option(run, argc, argv, &i);
            if (status != WHET_OK) return status;
        } else if (run->n_args < CLI_ARGS_MAX) {
            run->args[run->n_args++] = argv[i];
        } else {
            return cli_fail(run, WHET_ERR_ARG, "more than %d arguments", CLI_ARGS_MAX);
        }
    }
    run->json = cli_flag(run, "json");
    run->quiet = cli_flag(run, "quiet");
    run->force = cli_flag(run, "force");
    run->want_help = cli_flag(run, "help");
    if (run->want_help) return WHET_OK; /* whatever else is wrong, help is what was asked */
    whet_status status = check_complete(run);
    if (status == WHET_OK) status = check_outputs(run);
    if (status == WHET_OK) run->seed = (uint64_t)cli_integer(run, "seed");
    return status;
}
