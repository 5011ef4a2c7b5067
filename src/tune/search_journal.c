/* SPDX-License-Identifier: Apache-2.0
 * The journal of a search: one line a fact, appended and synced under a lock, never changed. Each line begins
 * with the hash of what follows, so that a line that a killed process or a full disk cut short is known: the
 * last line may be so, and is taken away by who comes next; any other is damage.
 * Processes share it through flock, which the kernel gives back when one dies, in whatever way. A process at
 * work holds the lock of a file of its own (search/worker-N): what it has claimed is another's once that
 * lock is free, or the time it was given is over (a process that is stopped). A unit that two have done has
 * one result, for it follows from the unit alone; the first line counts.
 * docs/formats/search.md. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tune/search_i.h"

enum { HASH = 16, BYTES_MAX = 1 << 28 };
/* 1: trials of a limited search were drawn otherwise, so that their numbers mean other settings. */
enum { VERSION = 2 };

/* ---- lines to facts --------------------------------------------------------------------------- */

void whet_i_search_state_free(whet_ctx *ctx, whet_i_search_state *state) {
    whet_i_free(ctx, state->rows);
    *state = (whet_i_search_state){.last_worker = -1};
}

static double real_or_nan(const json_t *o, const char *key) {
    const json_t *value = json_object_get(o, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static whet_status parse_head(whet_ctx *ctx, const char *where, const json_t *o,
                              whet_i_search_head *head) {
    int64_t version, rungs, replicates;
    json_t *steps;
    whet_str print;
    WHET_TRY(whet_i_json_int(ctx, where, o, "search", 1, INT32_MAX, &version));
    if (version != VERSION)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: the journal is of version %" PRId64
                           ", whose trials were drawn otherwise; expected version %d; try --force, "
                           "which begins again",
                           where, version, VERSION);
    WHET_TRY(whet_i_json_str(ctx, where, o, "fingerprint", &print));
    WHET_TRY(whet_i_json_int(ctx, where, o, "rungs", 1, WHET_I_SEARCH_RUNGS, &rungs));
    WHET_TRY(whet_i_json_int(ctx, where, o, "replicates", 2, WHET_I_SEARCH_FOLDS, &replicates));
    WHET_TRY(whet_i_json_int(ctx, where, o, "folds", 0, WHET_I_SEARCH_FOLDS, &head->folds));
    WHET_TRY(whet_i_json_int(ctx, where, o, "final_steps", 1, INT32_MAX, &head->final_steps));
    WHET_TRY(whet_i_json_real(ctx, where, o, "step_seconds", &head->step_seconds));
    WHET_TRY(whet_i_json_real(ctx, where, o, "overhead", &head->overhead));
    WHET_TRY(whet_i_json_array(ctx, where, o, "steps", &steps));
    if (print.len != HASH || (int64_t)json_array_size(steps) != rungs ||
        (head->folds && head->folds != replicates) || !(head->step_seconds >= 0) ||
        !(head->overhead >= 0))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: not the first line of a search's journal",
                           where);
    for (int64_t i = 0, least = 1; i < rungs; i++) {
        const json_int_t n = json_integer_value(json_array_get(steps, (size_t)i));
        if (n < least || n > INT32_MAX)
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "%s: rung %" PRId64 " has %lld steps; expected rising numbers",
                               where, i, (long long)n);
        head->steps[i] = least = n;
    }
    memcpy(head->fingerprint, print.ptr, HASH);
    head->rungs = (int32_t)rungs;
    head->replicates = (int32_t)replicates;
    return WHET_OK;
}

static bool is_unit(const whet_i_search_head *h, const whet_i_search_unit *u) {
    const int32_t top = h->rungs - 1, most = u->level > top    ? 1
                                             : u->level == top ? 2 * h->replicates
                                                               : h->replicates;
    return u->level >= 0 && u->level <= h->rungs && u->replicate >= 0 && u->replicate < most;
}

static whet_status parse_unit(whet_ctx *ctx, const char *where, const json_t *array,
                              const whet_i_search_state *state, whet_i_search_unit *unit) {
    int64_t number[3] = {-1, -1, -1};
    for (size_t i = 0; i < 3; i++) {
        const json_t *value = json_array_get(array, i);
        if (json_is_integer(value)) number[i] = json_integer_value(value);
    }
    /* Trials begin one after the other. */
    const bool fits = number[0] >= 0 && number[0] <= state->n_trials &&
                      number[0] < WHET_I_SEARCH_TRIALS && number[1] >= 0 &&
                      number[1] < WHET_I_SEARCH_LEVELS && number[2] >= 0 &&
                      number[2] < WHET_I_SEARCH_REPLICATES;
    if (fits) *unit = (whet_i_search_unit){number[0], (int32_t)number[1], (int32_t)number[2]};
    if (fits && json_array_size(array) == 3 && is_unit(&state->head, unit)) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_DATA,
                       "%s: no unit of this search; expected a trial up to %" PRId64
                       ", a level and a replicate",
                       where, state->n_trials);
}

static whet_status row_of(whet_ctx *ctx, whet_i_search_state *state, int64_t trial,
                          whet_i_search_row **row) {
    if (trial >= state->cap) {
        const int64_t cap = state->cap ? 2 * state->cap : 16;
        WHET_TRY(whet_i_realloc(ctx, &state->rows, cap));
        memset(state->rows + state->cap, 0, (size_t)(cap - state->cap) * sizeof *state->rows);
        state->cap = cap;
    }
    if (trial >= state->n_trials) state->n_trials = trial + 1;
    *row = &state->rows[trial];
    return WHET_OK;
}

/* What a fact changes: the first result of a unit stays; a later claim takes over. */
static whet_status put(whet_ctx *ctx, whet_i_search_state *state, whet_i_search_unit unit,
                       const whet_i_search_cell *cell) {
    whet_i_search_row *row;
    WHET_TRY(row_of(ctx, state, unit.trial, &row));
    whet_i_search_cell *at = &row->cell[unit.level][unit.replicate];
    if (cell->worker > state->last_worker) state->last_worker = cell->worker;
    if (at->state >= WHET_I_CELL_DONE) return WHET_OK;
    *at = *cell;
    if (cell->state >= WHET_I_CELL_DONE && cell->seconds > 0) state->spent += cell->seconds;
    return WHET_OK;
}

static whet_status parse_fact(whet_ctx *ctx, const char *where, const json_t *o,
                              whet_i_search_state *state) {
    static const char *const keys[] = {"claim", "done", "failed"};
    whet_i_search_cell cell = {0};
    whet_i_search_unit unit = {0};
    for (int i = 0; i < 3; i++) {
        const json_t *array = json_object_get(o, keys[i]);
        if (!json_is_array(array)) continue;
        cell.state = (whet_i_cell_state)(WHET_I_CELL_CLAIMED + i);
        WHET_TRY(parse_unit(ctx, where, array, state, &unit));
    }
    if (cell.state == WHET_I_CELL_EMPTY)
        return whet_i_fail(ctx, WHET_ERR_DATA, "%s: neither a claim nor a result; expected one",
                           where);
    WHET_TRY(whet_i_json_int(ctx, where, o, "worker", 0, INT32_MAX, &cell.worker));
    WHET_TRY(whet_i_json_real_or(ctx, where, o, "until", 0, &cell.until));
    WHET_TRY(whet_i_json_real_or(ctx, where, o, "seconds", 0, &cell.seconds));
    WHET_TRY(whet_i_json_int_or(ctx, where, o, "steps", 0, INT32_MAX, 0, &cell.steps));
    cell.metric = real_or_nan(o, "metric");
    cell.loss = real_or_nan(o, "loss");
    cell.first = real_or_nan(o, "first");
    cell.last = real_or_nan(o, "last");
    cell.norm = real_or_nan(o, "norm");
    cell.early = json_is_true(json_object_get(o, "early"));
    return put(ctx, state, unit, &cell);
}

static whet_status parse_line(whet_ctx *ctx, const char *where, const char *line, int64_t len,
                              whet_i_search_state *state) {
    json_t *o = NULL;
    WHET_TRY(whet_i_json_parse(ctx, where, line + HASH + 1, len - HASH - 1, &o));
    const whet_status status =
        state->lines ? parse_fact(ctx, where, o, state) : parse_head(ctx, where, o, &state->head);
    json_decref(o);
    return status;
}

/* len: without the line feed. */
static bool is_sound(const char *line, int64_t len) {
    char hash[HASH + 1];
    if (len < HASH + 2 || line[HASH] != ' ') return false;
    (void)snprintf(hash, sizeof hash, "%016" PRIx64,
                   whet_i_hash_bytes(line + HASH + 1, len - HASH - 1));
    return memcmp(hash, line, HASH) == 0;
}

whet_status whet_i_search_parse(whet_ctx *ctx, const char *where, const char *bytes, int64_t len,
                                whet_i_search_state *state, int64_t *whole) {
    enum { PLACE = 1024 };
    char place[PLACE];
    whet_status status = WHET_OK;
    int64_t at = 0;
    *state = (whet_i_search_state){.last_worker = -1};
    while (status == WHET_OK && at < len) {
        const char *line = bytes + at, *end = memchr(line, '\n', (size_t)(len - at));
        const int64_t next = end ? end - bytes + 1 : len;
        (void)snprintf(place, sizeof place, "%s:%" PRId64, where, state->lines + 1);
        if (end && is_sound(line, end - line)) {
            status = parse_line(ctx, place, line, end - line, state);
            state->lines++;
            at = next;
            continue;
        }
        if (next == len) break; /* cut short */
        status = whet_i_fail(ctx, WHET_ERR_DATA,
                             "%s: the line is damaged; expected its hash before it; try --force, "
                             "which begins again",
                             place);
    }
    if (status == WHET_OK && state->lines == 0)
        status = whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: no journal of a search", where);
    if (status != WHET_OK) whet_i_search_state_free(ctx, state);
    *whole = at;
    return status;
}

/* ---- facts to lines --------------------------------------------------------------------------- */

/* Takes the reference to `o`. */
static whet_status make_line(whet_ctx *ctx, json_t *o, whet_i_buf *line) {
    whet_i_buf text = {0};
    whet_status status = whet_i_json_dump(ctx, o, JSON_COMPACT | JSON_REAL_PRECISION(17), &text);
    json_decref(o);
    if (status == WHET_OK)
        status =
            whet_i_buf_printf(ctx, line, "%016" PRIx64 " ", whet_i_hash_bytes(text.data, text.len));
    if (status == WHET_OK) status = whet_i_buf_append(ctx, line, text.data, text.len);
    if (status == WHET_OK) status = whet_i_buf_append(ctx, line, "\n", 1);
    whet_i_buf_free(ctx, &text);
    return status;
}

static whet_status cannot(whet_ctx *ctx, const char *path, const char *what) {
    return whet_i_fail(ctx, WHET_ERR_IO, "%s: cannot be %s: %s", path, what, strerror(errno));
}

/* All of it, or nothing. */
static whet_status append(whet_ctx *ctx, const whet_i_search_journal *j, const whet_i_buf *line) {
    struct stat info;
    int64_t done = 0;
    int error = 0;
    if (fstat(j->fd, &info) != 0) return cannot(ctx, j->path, "read");
    while (done < line->len && !error) {
        const ssize_t n = write(j->fd, line->data + done, (size_t)(line->len - done));
        if (n < 0 && errno != EINTR) error = errno;
        if (n > 0) done += n;
    }
    if (!error && fdatasync(j->fd) != 0) error = errno;
    if (!error) return WHET_OK;
    /* Where that fails, the next reader leaves the cut line out. */
    if (ftruncate(j->fd, info.st_size) != 0) errno = error;
    errno = error;
    return cannot(ctx, j->path, "written");
}

static json_t *unit_json(whet_i_search_unit u) {
    return json_pack("[I, i, i]", (json_int_t)u.trial, u.level, u.replicate);
}

static whet_status write_fact(whet_ctx *ctx, const whet_i_search_journal *j,
                              whet_i_search_state *state, whet_i_search_unit unit,
                              const whet_i_search_cell *cell, json_t *o) {
    whet_i_buf line = {0};
    whet_status status = make_line(ctx, o, &line);
    if (status == WHET_OK) status = append(ctx, j, &line);
    if (status == WHET_OK) status = put(ctx, state, unit, cell);
    whet_i_buf_free(ctx, &line);
    return status;
}

whet_status whet_i_search_note(whet_ctx *ctx, whet_i_search_journal *j, whet_i_search_state *state,
                               whet_i_search_unit unit, const whet_i_search_cell *cell) {
    const char *key = cell->state == WHET_I_CELL_DONE ? "done" : "failed";
    whet_i_search_cell own = *cell;
    own.worker = j->worker;
    json_t *fact =
        json_pack("{s:o, s:I, s:o, s:o, s:f, s:I, s:o, s:o, s:o}", key, unit_json(unit), "worker",
                  (json_int_t)j->worker, "metric", whet_i_json_number(cell->metric), "loss",
                  whet_i_json_number(cell->loss), "seconds", cell->seconds, "steps",
                  (json_int_t)cell->steps, "first", whet_i_json_number(cell->first), "last",
                  whet_i_json_number(cell->last), "norm", whet_i_json_number(cell->norm));
    if (fact && cell->early) (void)json_object_set_new(fact, "early", json_true());
    return write_fact(ctx, j, state, unit, &own, fact);
}

/* ---- who is at work --------------------------------------------------------------------------- */

static whet_status worker_path(whet_ctx *ctx, const whet_i_search_journal *j, int64_t worker,
                               char **out) {
    char name[40];
    (void)snprintf(name, sizeof name, "worker-%" PRId64, worker);
    return whet_i_join_path(ctx, j->folder, name, out);
}

/* A number of its own, with the lock that says that it lives. */
static whet_status enrol(whet_ctx *ctx, whet_i_search_journal *j,
                         const whet_i_search_state *state) {
    char *path;
    if (j->lock >= 0) return WHET_OK;
    j->worker = state->last_worker + 1;
    WHET_TRY(worker_path(ctx, j, j->worker, &path));
    whet_status status = WHET_OK;
    j->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (j->lock < 0 || flock(j->lock, LOCK_EX | LOCK_NB) != 0) status = cannot(ctx, path, "locked");
    whet_i_free(ctx, path);
    return status;
}

bool whet_i_search_alive(const whet_i_search_journal *j, const whet_i_search_cell *cell) {
    char path[4096];
    if (whet_i_seconds_now() > cell->until) return false;
    if (!j) return true;
    if (j->lock >= 0 && cell->worker == j->worker) return true;
    const int n = snprintf(path, sizeof path, "%s/worker-%" PRId64, j->folder, cell->worker);
    const int fd = n > 0 && (size_t)n < sizeof path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return false;
    const bool held = flock(fd, LOCK_SH | LOCK_NB) != 0;
    (void)close(fd); /* which gives the lock back */
    return held;
}

whet_status whet_i_search_claim(whet_ctx *ctx, whet_i_search_journal *j, whet_i_search_state *state,
                                whet_i_search_unit unit, double seconds) {
    WHET_TRY(enrol(ctx, j, state));
    const whet_i_search_cell cell = {
        .state = WHET_I_CELL_CLAIMED, .worker = j->worker, .until = whet_i_seconds_now() + seconds};
    return write_fact(ctx, j, state, unit, &cell,
                      json_pack("{s:o, s:I, s:f}", "claim", unit_json(unit), "worker",
                                (json_int_t)j->worker, "until", cell.until));
}

/* ---- the file --------------------------------------------------------------------------------- */

static whet_status open_paths(whet_ctx *ctx, const char *output, whet_i_search_journal *j) {
    *j = (whet_i_search_journal){.fd = -1, .lock = -1, .worker = -1};
    WHET_TRY(whet_i_join_path(ctx, output, "search", &j->folder));
    return whet_i_join_path(ctx, j->folder, "journal", &j->path);
}

static whet_status make_folder(whet_ctx *ctx, const char *path) {
    if (mkdir(path, 0777) == 0 || errno == EEXIST) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_IO, "%s: %s; expected to make this folder", path,
                       strerror(errno));
}

static whet_status open_file(whet_ctx *ctx, whet_i_search_journal *j) {
    j->fd = open(j->path, O_RDWR | O_APPEND | O_CLOEXEC);
    return j->fd >= 0 ? WHET_OK : cannot(ctx, j->path, "opened");
}

static json_t *head_json(const whet_i_search_head *h) {
    json_t *steps = json_array();
    for (int32_t i = 0; i < h->rungs; i++)
        (void)json_array_append_new(steps, json_integer(h->steps[i]));
    return json_pack("{s:i, s:s, s:i, s:i, s:I, s:o, s:f, s:f, s:I}", "search", VERSION,
                     "fingerprint", h->fingerprint, "rungs", h->rungs, "replicates", h->replicates,
                     "folds", (json_int_t)h->folds, "steps", steps, "step_seconds", h->step_seconds,
                     "overhead", h->overhead, "final_steps", (json_int_t)h->final_steps);
}

whet_status whet_i_search_begin(whet_ctx *ctx, const char *output, const whet_i_search_head *head,
                                whet_i_search_journal *out) {
    whet_i_buf line = {0};
    whet_out *file = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(open_paths(ctx, output, out));
    WHET_TRY_DONE(make_folder(ctx, output));
    WHET_TRY_DONE(make_folder(ctx, out->folder));
    WHET_TRY_DONE(make_line(ctx, head_json(head), &line));
    WHET_TRY_DONE(whet_out_open(ctx, out->path, true, &file));
    WHET_TRY_DONE(whet_out_write(ctx, file, line.data, line.len));
    status = whet_out_commit(ctx, file);
    file = NULL;
    if (status == WHET_OK) status = open_file(ctx, out);
done:
    whet_out_abort(ctx, file);
    whet_i_buf_free(ctx, &line);
    if (status != WHET_OK) whet_i_search_close(ctx, out);
    return status;
}

whet_status whet_i_search_join(whet_ctx *ctx, const char *output, whet_i_search_journal *out) {
    whet_status status = open_paths(ctx, output, out);
    if (status == WHET_OK) status = open_file(ctx, out);
    if (status == WHET_ERR_IO && whet_error_errno(ctx) == ENOENT)
        status = whet_i_fail(ctx, WHET_ERR_IO,
                             "%s: no search (search/journal); expected one to go on with", output);
    if (status != WHET_OK) whet_i_search_close(ctx, out);
    return status;
}

void whet_i_search_close(whet_ctx *ctx, whet_i_search_journal *j) {
    char path[4096];
    const int n =
        j->folder ? snprintf(path, sizeof path, "%s/worker-%" PRId64, j->folder, j->worker) : -1;
    if (j->lock >= 0 && n > 0 && (size_t)n < sizeof path) (void)unlink(path);
    if (j->lock >= 0) (void)close(j->lock);
    if (j->fd >= 0) (void)close(j->fd);
    whet_i_free(ctx, j->path);
    whet_i_free(ctx, j->folder);
    *j = (whet_i_search_journal){.fd = -1, .lock = -1, .worker = -1};
}

static whet_status read_all(whet_ctx *ctx, whet_i_search_journal *j, whet_i_search_state *state) {
    char *bytes = NULL;
    int64_t len = 0, whole = 0;
    WHET_TRY(whet_i_file_read(ctx, j->path, BYTES_MAX, &bytes, &len));
    whet_status status = whet_i_search_parse(ctx, j->path, bytes, len, state, &whole);
    whet_i_free(ctx, bytes);
    if (status != WHET_OK || whole == len) return status;
    whet_i_log(ctx, WHET_LOG_WARN,
               "%s: the last line was cut short by a process that ended; it is left out", j->path);
    if (ftruncate(j->fd, whole) == 0) return WHET_OK;
    status = cannot(ctx, j->path, "cut");
    whet_i_search_state_free(ctx, state);
    return status;
}

/* What is locked must be what is read, and what others read: --force of another process puts a new journal in
 * the place of this one. */
static whet_status check_place(whet_ctx *ctx, const whet_i_search_journal *j) {
    struct stat own, there;
    if (fstat(j->fd, &own) != 0) return cannot(ctx, j->path, "examined");
    if (stat(j->path, &there) == 0 && own.st_dev == there.st_dev && own.st_ino == there.st_ino)
        return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_IO,
                       "%s: is another file now; expected that of this search; another process has "
                       "begun anew or removed it",
                       j->path);
}

whet_status whet_i_search_lock(whet_ctx *ctx, whet_i_search_journal *j,
                               whet_i_search_state *state) {
    while (flock(j->fd, LOCK_EX) != 0)
        if (errno != EINTR) return cannot(ctx, j->path, "locked");
    whet_i_search_state_free(ctx, state);
    whet_status status = check_place(ctx, j);
    if (status == WHET_OK) status = read_all(ctx, j, state);
    if (status != WHET_OK) whet_i_search_unlock(j);
    return status;
}

void whet_i_search_unlock(whet_i_search_journal *j) { (void)flock(j->fd, LOCK_UN); }
