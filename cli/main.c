/* SPDX-License-Identifier: Apache-2.0
 * The command: find the row of the table, parse, make a context, run, finish, exit code. */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

/* The one mutable global: a signal handler has nothing else to reach. */
static atomic_int interrupted;

static void on_signal(int number) {
    (void)number;
    atomic_store(&interrupted, 1);
}

static bool cancel_hook(void *user) {
    (void)user;
    return atomic_load_explicit(&interrupted, memory_order_relaxed) != 0;
}

/* The first signal asks the work to stop; the second finds the default action and kills. */
static void catch_signals(void) {
    struct sigaction action = {0};
    action.sa_handler = on_signal;
    action.sa_flags = (int)(SA_RESETHAND | SA_RESTART);
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    action.sa_handler = SIG_IGN; /* a closed pipe is a failed write, reported with exit code 4 */
    action.sa_flags = 0;
    (void)sigaction(SIGPIPE, &action, NULL);
    (void)sigaction(SIGXFSZ, &action, NULL); /* so is a file beyond ulimit -f */
}

/* Started with a standard stream closed, the first file opened would take its place: keep all
 * three occupied. Read-only for output, so that writing fails and is noticed. */
static void occupy_streams(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) == -1) (void)open("/dev/null", O_RDONLY);
}

/* The command named by the first one or two words; *used = how many. */
static const cli_command *find_command(int n, char **words, int *used) {
    const cli_command *found = NULL;
    *used = 0;
    for (const cli_command *c = cli_commands; c->name; c++) {
        const char *space = strchr(c->name, ' ');
        const size_t first = space ? (size_t)(space - c->name) : strlen(c->name);
        const int length = space ? 2 : 1;
        if (n < length || strlen(words[0]) != first || memcmp(words[0], c->name, first) != 0)
            continue;
        if (space && strcmp(words[1], space + 1) != 0) continue;
        if (length <= *used) continue;
        found = c;
        *used = length;
    }
    return found;
}

/* First words of the table ("adapt", "label"), or the second words of a group. */
static int32_t known_words(const char *group, const char **words, char storage[][64]) {
    int32_t n = 0;
    const size_t length = group ? strlen(group) : 0;
    for (const cli_command *c = cli_commands; c->name && n < CLI_OPTIONS_MAX; c++) {
        const char *start = c->name;
        if (group) {
            if (strncmp(start, group, length) != 0 || start[length] != ' ') continue;
            start += length + 1;
        }
        (void)snprintf(storage[n], 64, "%.*s", (int)strcspn(start, " "), start);
        words[n] = storage[n];
        n++;
    }
    return n;
}

static whet_status unknown_command(cli_run *run, int n, char **words) {
    const char *known[CLI_OPTIONS_MAX + 1];
    char storage[CLI_OPTIONS_MAX][64], quoted[128];
    const bool has_second = n > 1 && words[1][0] != '-';
    int32_t count = known_words(words[0], known, storage);
    if (count > 0 && !has_second)
        return cli_fail(run, WHET_ERR_ARG, "whet %s needs a command; see whet help %s", words[0],
                        words[0]);
    if (count > 0) {
        const char *near = cli_nearest(words[1], known, count);
        return cli_fail(run, WHET_ERR_ARG, "whet %s has no command %s; %s%s%s", words[0],
                        cli_quote(quoted, sizeof quoted, words[1]),
                        near ? "did you mean " : "see whet help ", near ? near : words[0],
                        near ? "?" : "");
    }
    count = known_words(NULL, known, storage);
    known[count++] = "help";
    const char *near = cli_nearest(words[0], known, count);
    return cli_fail(run, WHET_ERR_ARG, "unknown command %s; %s%s%s",
                    cli_quote(quoted, sizeof quoted, words[0]), near ? "did you mean " : "",
                    near ? near : "see whet help", near ? "?" : "");
}

/* whet help [command], whet --help, whet label --help. */
static whet_status run_help(cli_run *run, int n, char **words) {
    int used;
    while (n > 0 && words[n - 1][0] == '-') n--; /* whet help --json and the like */
    if (n == 0) return cli_help_overview(stdout);
    const cli_command *command = find_command(n, words, &used);
    if (command && used == n) return cli_help_command(stdout, command);
    if (n == 1 && cli_help_group(stdout, words[0])) return WHET_OK;
    if (n == 1 && strcmp(words[0], "help") == 0) return cli_help_overview(stdout);
    return unknown_command(run, n, words);
}

static bool asks_help(const char *word) {
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static whet_status make_context(cli_run *run) {
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    opts.progress = cli_progress_hook;
    opts.note = cli_note_hook;
    opts.log = cli_log_hook;
    opts.cancel = cancel_hook;
    opts.user = run;
    opts.threads = (int32_t)cli_integer(run, "threads");
    const whet_status status = whet_ctx_create(&opts, &run->ctx);
    if (status != WHET_OK) return cli_fail(run, status, "%s", whet_status_text(status));
    const char *kernels = cli_text(run, "kernels");
    const char *from = kernels ? "option --kernels" : "WHET_KERNELS";
    if (!kernels) kernels = getenv("WHET_KERNELS");
    if (!kernels || !*kernels) return WHET_OK;
    const whet_status chosen = whet_kernels_select(run->ctx, kernels);
    if (chosen == WHET_OK) return WHET_OK;
    return cli_fail(run, chosen, "%s: %s", from, whet_error(run->ctx));
}

static whet_status run_command(cli_run *run, int n, char **words) {
    int used;
    run->command = find_command(n, words, &used);
    if (!run->command) {
        if (n == 2 && asks_help(words[1])) return run_help(run, 1, words);
        return unknown_command(run, n, words);
    }
    whet_status status = cli_parse(run, n - used, words + used);
    if (status != WHET_OK) return status;
    if (run->want_help) return cli_help_command(stdout, run->command);
    cli_progress_init(run);
    status = make_context(run);
    if (status == WHET_OK && !run->command->light) status = cli_check_room(run);
    if (status == WHET_OK) status = run->command->run(run);
    /* Work that ended before it looked at the flag is still interrupted work to who pressed. */
    return status;
}

static whet_status dispatch(cli_run *run, int n, char **words) {
    if (n == 0) {
        (void)cli_help_overview(stderr);
        return cli_fail(run, WHET_ERR_ARG, "no command is given; expected one of those above");
    }
    if (asks_help(words[0])) return run_help(run, 0, NULL);
    if (strcmp(words[0], "help") == 0) return run_help(run, n - 1, words + 1);
    if (strcmp(words[0], "--version") == 0 || strcmp(words[0], "-V") == 0) {
        static char version[] = "version";
        words[0] = version;
    }
    return run_command(run, n, words);
}

static void release(cli_run *run) {
    json_decref(run->document);
    for (int32_t i = 0; i < CLI_LIST_MAX; i++) free(run->list_bytes[i]);
    whet_ctx_destroy(run->ctx);
    free(run);
}

int main(int argc, char **argv) {
    occupy_streams();
    catch_signals();
    cli_run *run = calloc(1, sizeof *run);
    if (!run) return whet_status_exit_code(WHET_ERR_NOMEM);
    run->argc = argc;
    run->argv = argv;
    for (int i = 1; i < argc; i++) /* known before parsing, so that its errors are JSON too */
        if (strcmp(argv[i], "--json") == 0) run->json = true;
    whet_status status = dispatch(run, argc - 1, argv + 1);
    if (status == WHET_OK) status = cli_finish_output(run);
    int code = whet_status_exit_code(status);
    if (status == WHET_OK && run->answer_no) code = 1;
    if (status != WHET_OK)
        cli_print_error(run, status,
                        run->error[0] ? run->error
                        : run->ctx    ? whet_error(run->ctx)
                                      : "");
    release(run);
    return code;
}
