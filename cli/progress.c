/* SPDX-License-Identifier: Apache-2.0
 * The progress bar: one line on stderr, redrawn at most ten times a second, only on a terminal and
 * without --quiet. Shows stage, share, rate, time left and the stage's own words; wiped before anything
 * else is printed and at the end. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

static double now_seconds(void) {
    struct timespec t;
    if (clock_gettime(CLOCK_MONOTONIC, &t) != 0) return 0;
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void cli_progress_init(cli_run *run) {
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    const bool smart = term && *term && strcmp(term, "dumb") != 0;
    run->progress.shown = !run->quiet && smart && isatty(STDERR_FILENO);
    run->progress.color = !(no_color && *no_color);
}

void cli_progress_clear(cli_run *run) {
    if (!run->progress.drawn) return;
    (void)fputs("\r\033[K", stderr);
    (void)fflush(stderr);
    run->progress.drawn = false;
}

static void put_duration(char *out, size_t size, double seconds) {
    const long s = seconds < 0 ? 0 : seconds > 359999 ? 359999 : (long)(seconds + 0.5);
    if (s >= 3600)
        (void)snprintf(out, size, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        (void)snprintf(out, size, "%ld:%02ld", s / 60, s % 60);
}

static void put_rate(char *out, size_t size, double rate) {
    if (rate >= 1e6)
        (void)snprintf(out, size, "%.1fM/s", rate / 1e6);
    else if (rate >= 1e4)
        (void)snprintf(out, size, "%.1fk/s", rate / 1e3);
    else
        (void)snprintf(out, size, "%.*f/s", rate < 10 ? 1 : 0, rate);
}

static void draw(cli_progress *p, int64_t done, int64_t total, double now) {
    enum { CELLS = 28 };
    char rate[32] = "", left[32] = "";
    const double elapsed = now - p->started;
    const double speed = elapsed > 0 ? (double)(done - p->first) / elapsed : 0;
    if (elapsed > 0.5 && speed > 0) {
        put_rate(rate, sizeof rate, speed);
        if (total) put_duration(left, sizeof left, (double)(total - done) / speed);
    }
    const char *on = p->color ? "\033[36m" : "", *off = p->color ? "\033[0m" : "";
    (void)fprintf(stderr, "\r\033[K%-12s ", p->stage);
    if (total > 0) {
        const double share = done >= total ? 1 : (double)done / (double)total;
        const int filled = (int)(share * CELLS);
        (void)fprintf(stderr, "%s", on);
        for (int i = 0; i < CELLS; i++) (void)fputc(i < filled ? '#' : '.', stderr);
        (void)fprintf(stderr, "%s %3d%%  %lld/%lld", off, (int)(share * 100), (long long)done,
                      (long long)total);
    } else {
        (void)fprintf(stderr, "%lld", (long long)done);
    }
    (void)fprintf(stderr, "  %s%s%s%s", rate, *left ? "  " : "", left, *left ? " left" : "");
    if (*p->note) (void)fprintf(stderr, "  %s", p->note);
    (void)fflush(stderr);
    p->drawn = true;
}

void cli_note_hook(void *user, const char *words) {
    cli_progress *p = &((cli_run *)user)->progress;
    (void)snprintf(p->note, sizeof p->note, "%s", words);
}

void cli_progress_hook(void *user, const char *stage, int64_t done, int64_t total) {
    cli_run *run = user;
    cli_progress *p = &run->progress;
    if (!p->shown) return;
    const double now = now_seconds();
    const bool fresh = strncmp(p->stage, stage, sizeof p->stage - 1) != 0 || done < p->latest;
    if (fresh) {
        (void)snprintf(p->stage, sizeof p->stage, "%s", stage);
        p->note[0] = '\0';
        p->started = now;
        p->first = done;
    }
    p->latest = done;
    if (!fresh && now - p->last < 0.1 && done != total) return;
    p->last = now;
    draw(p, done, total, now);
}
