/* SPDX-License-Identifier: Apache-2.0
 * What the command prints: text or one JSON document on stdout; notes, warnings and errors on
 * stderr; and the check at the end that stdout took everything (a full disk, a closed pipe). */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

whet_status cli_fail(cli_run *run, whet_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    (void)vsnprintf(run->error, sizeof run->error, format, args);
    va_end(args);
    return status;
}

void cli_print(cli_run *run, const char *format, ...) {
    if (run->json) return;
    FILE *to = run->stdout_taken ? stderr : stdout;
    if (run->stdout_taken && run->quiet) return;
    cli_progress_clear(run);
    va_list args;
    va_start(args, format);
    (void)vfprintf(to, format, args); /* failures show in ferror at the end */
    va_end(args);
}

/* {"warning": {"message": ...}}: with --json every line of stderr is a JSON object. */
static void print_stderr_json(const char *kind, const char *code, const char *message) {
    json_t *body = json_object();
    if (code) (void)json_object_set_new(body, "code", json_string(code));
    /* json_string refuses invalid UTF-8, which a path may hold. */
    json_t *text = json_string(message);
    (void)json_object_set_new(body, "message", text ? text : json_string("(not valid UTF-8)"));
    json_t *line = json_pack("{s:o}", kind, body);
    if (line) (void)json_dumpf(line, stderr, JSON_COMPACT);
    (void)fputc('\n', stderr);
    json_decref(line);
}

static void print_note(cli_run *run, const char *kind, const char *sentence) {
    if (run->quiet) return;
    cli_progress_clear(run);
    if (run->json)
        print_stderr_json(kind, NULL, sentence);
    else
        (void)fprintf(stderr, "whet: %s: %s\n", kind, sentence);
}

void cli_note(cli_run *run, const char *format, ...) {
    char sentence[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    print_note(run, "note", sentence);
}

void cli_log_hook(void *user, whet_log_level level, const char *sentence) {
    if (level == WHET_LOG_WARN) print_note(user, "warning", sentence);
    if (level == WHET_LOG_INFO) print_note(user, "note", sentence);
}

/* "format" for WHET_ERR_FORMAT. */
static const char *status_code(whet_status status, char out[32]) {
    const char *name = "WHET_ERR_INTERNAL";
    switch (status) {
#define CLI_STATUS_CASE(status_name, value, exit_code, text) \
    case status_name: name = #status_name; break;
        WHET_STATUS_LIST(CLI_STATUS_CASE)
#undef CLI_STATUS_CASE
    }
    const size_t prefix = strlen("WHET_ERR_");
    size_t n = 0;
    for (const char *c = strlen(name) > prefix ? name + prefix : name; *c && n < 31; c++)
        out[n++] = (char)tolower((unsigned char)*c);
    out[n] = '\0';
    return out;
}

void cli_print_error(cli_run *run, whet_status status, const char *sentence) {
    char code[32];
    cli_progress_clear(run);
    if (!*sentence) sentence = whet_status_text(status);
    if (run->json)
        print_stderr_json("error", status_code(status, code), sentence);
    else
        (void)fprintf(stderr, "whet: %s\n", sentence);
}

void cli_json(cli_run *run, json_t *document) {
    if (!run->json) {
        json_decref(document);
        return;
    }
    json_decref(run->document);
    run->document = document;
}

json_t *cli_json_number(double x) { return isfinite(x) ? json_real(x) : json_null(); }

whet_status cli_finish_output(cli_run *run) {
    cli_progress_clear(run);
    if (run->json && run->command && !run->want_help) {
        if (!run->document)
            return cli_fail(run, WHET_ERR_INTERNAL, "whet %s gave no JSON document",
                            run->command->name);
        /* 15 digits print decimal fractions as they were meant (0.1, not 0.10000000000000001). */
        (void)json_dumpf(run->document, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
        (void)fputc('\n', stdout);
    }
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout))
        return cli_fail(run, WHET_ERR_IO, "standard output: %s; expected room for the result",
                        errno ? strerror(errno) : "a write failed");
    return WHET_OK;
}

const char *cli_quote(char *out, size_t size, const char *text) {
    size_t n = 0;
    out[n++] = '"';
    for (const char *c = text; *c; c++) {
        const unsigned char byte = (unsigned char)*c;
        if (c - text == 80 || n + 9 > size) {
            n += (size_t)snprintf(out + n, size - n, "...");
            break;
        }
        if (byte < 0x20 || byte == 0x7f)
            n += (size_t)snprintf(out + n, size - n, "\\x%02x", byte);
        else
            out[n++] = *c;
    }
    out[n++] = '"';
    out[n] = '\0';
    return out;
}

static bool is_plain(const char *word) {
    if (!*word) return false;
    for (const char *c = word; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("_-+=./:,@%", *c)) return false;
    return true;
}

char *cli_command_line(const cli_run *run) {
    size_t size = 8;
    for (int i = 1; i < run->argc; i++) size += 4 * strlen(run->argv[i]) + 4;
    char *out = malloc(size), *o = out;
    if (!out) return NULL;
    o += sprintf(o, "whet");
    for (int i = 1; i < run->argc; i++) {
        *o++ = ' ';
        if (is_plain(run->argv[i])) {
            o += sprintf(o, "%s", run->argv[i]);
            continue;
        }
        *o++ = '\'';
        for (const char *c = run->argv[i]; *c; c++) {
            if (*c == '\'') /* close, an escaped quote, open again */
                o += sprintf(o, "'\\''");
            else
                *o++ = *c;
        }
        *o++ = '\'';
    }
    *o = '\0';
    return out;
}
