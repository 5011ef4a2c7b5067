/* SPDX-License-Identifier: Apache-2.0
 * Carrying a plan out: the output's files are made at their full size in "<output>.whet-merge", each
 * tensor is merged to its final place, and noted as done; then everything is synced and renamed into place.
 *
 * What is noted is there: notes follow the writes of one process, and a killed process leaves its writes
 * to the system. A machine that stops may lose them; so notes carry the machine's boot, and those of
 * another are not believed. */
#define _GNU_SOURCE /* fallocate; NOLINT(bugprone-reserved-identifier): as libc calls it */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "merge/merge_ahead.h"
#include "merge/merge_lanes.h"
#include "merge/merge_passes.h"

enum { BOOT_SIZE = 40 };
static const char stage[] = "merge", notes_name[] = "done.txt";

typedef struct stream {
    const whet_merge_plan *plan;
    char *folder; /* <output>.whet-merge */
    char *notes_path;
    char **paths; /* [n_shards] */
    int *fds;     /* [n_shards], -1 = not open */
    int notes;    /* locked while it is open, so that two runs do not meet */
    bool *done;   /* [n] */
    int64_t n_done, bytes;
    atomic_llong bytes_done;
    whet_i_merge_ahead *ahead;
    whet_i_merge_lanes *lanes; /* NULL = nothing goes side by side */
    int64_t *items;            /* [n] room for those that do */
    whet_i_merge_lane own;     /* of what all threads do together */
} stream;

static whet_status cannot(whet_ctx *ctx, const char *path, const char *what) {
    return whet_i_fail(ctx, WHET_ERR_IO, "%s: cannot be %s: %s", path, what, strerror(errno));
}

static int open_again(const char *path, int flags) {
    int fd;
    do fd = open(path, flags | O_CLOEXEC, 0666);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* ---- notes ------------------------------------------------------------------------------------ */

/* What is the same until the machine starts again; "" where that is not known. */
static void boot_of(char out[BOOT_SIZE]) {
    const int fd = open_again("/proc/sys/kernel/random/boot_id", O_RDONLY);
    const ssize_t len = fd < 0 ? 0 : read(fd, out, BOOT_SIZE - 1);
    if (fd >= 0) (void)close(fd);
    out[len < 0 ? 0 : len] = '\0';
    char *end = strchr(out, '\n');
    if (end) *end = '\0';
}

static whet_status first_line(whet_ctx *ctx, const whet_merge_plan *plan, whet_i_buf *out) {
    char boot[BOOT_SIZE];
    boot_of(boot);
    return whet_i_buf_printf(ctx, out, "%s %s\n", plan->fingerprint, boot);
}

/* Whether the files of an earlier run have their sizes. */
static bool files_stand(const stream *s) {
    for (int64_t i = 0; i < s->plan->n_shards; i++) {
        struct stat info;
        if (stat(s->paths[i], &info) != 0 || (int64_t)info.st_size != s->plan->shards[i].bytes)
            return false;
    }
    return true;
}

/* Which tensors an earlier run finished, when its notes are of this plan and boot. */
static whet_status read_notes(whet_ctx *ctx, stream *s) {
    whet_i_buf expected = {0};
    char *bytes = NULL;
    int64_t len = 0;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(first_line(ctx, s->plan, &expected));
    WHET_TRY_DONE(whet_i_file_read(ctx, s->notes_path, WHET_FILE_MAX, &bytes, &len));
    if (len < expected.len || memcmp(bytes, expected.data, (size_t)expected.len) != 0 ||
        expected.data[expected.len - 2] == ' ' || !files_stand(s))
        goto done;
    for (int64_t at = expected.len; at < len;) {
        const char *end = memchr(bytes + at, '\n', (size_t)(len - at));
        int64_t i;
        if (!end || !whet_i_parse_int((whet_str){bytes + at, end - bytes - at}, &i)) break;
        if (i >= 0 && i < s->plan->n && !s->done[i]) {
            s->done[i] = true;
            s->n_done++;
            s->bytes_done += s->plan->items[i].bytes;
        }
        at = end - bytes + 1;
    }
done:
    whet_i_free(ctx, bytes);
    whet_i_buf_free(ctx, &expected);
    return status;
}

static whet_status note(whet_ctx *ctx, const stream *s, int64_t i) {
    char line[32];
    const int len = snprintf(line, sizeof line, "%" PRId64 "\n", i);
    if (write(s->notes, line, (size_t)len) == len) return WHET_OK;
    return cannot(ctx, s->notes_path, "written");
}

/* ---- the folder of what is being made --------------------------------------------------------- */

/* Everything in it, also what an earlier run of other files left; `but` stays. */
static void empty_folder(const stream *s, const char *but) {
    DIR *entries = opendir(s->folder);
    for (const struct dirent *e; entries && (e = readdir(entries));)
        if (e->d_name[0] != '.' && strcmp(e->d_name, but) != 0)
            (void)unlinkat(dirfd(entries), e->d_name, 0);
    if (entries) (void)closedir(entries);
}

static void remove_all(const stream *s) {
    if (!s->folder) return;
    empty_folder(s, "");
    (void)rmdir(s->folder);
}

static whet_status open_notes(whet_ctx *ctx, stream *s) {
    if (mkdir(s->folder, 0777) != 0 && errno != EEXIST) return cannot(ctx, s->folder, "created");
    s->notes = open_again(s->notes_path, O_RDWR | O_CREAT | O_APPEND);
    if (s->notes < 0) return cannot(ctx, s->notes_path, "opened");
    if (flock(s->notes, LOCK_EX | LOCK_NB) == 0) return WHET_OK;
    const int taken = errno;
    (void)close(s->notes);
    s->notes = -1;
    errno = taken;
    return whet_i_fail(ctx, WHET_ERR_IO, "%s: another process merges to it; expected none",
                       s->plan->output);
}

/* Its room on the disk at once, which then nobody else takes; and pages that have their place are written
 * with a third less work. Where the file system cannot, its size alone. */
static bool make_room(int fd, int64_t bytes) {
    int failed;
    do failed = fallocate(fd, 0, 0, (off_t)bytes);
    while (failed && errno == EINTR);
    if (failed && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG || errno == EIO))
        return false;
    return ftruncate(fd, (off_t)bytes) == 0;
}

/* Files of full size, with their headers. */
static whet_status begin_files(whet_ctx *ctx, stream *s) {
    whet_i_buf line = {0};
    empty_folder(s, notes_name);
    for (int64_t i = 0; i < s->plan->n_shards; i++) {
        const whet_i_merge_shard *shard = &s->plan->shards[i];
        s->fds[i] = open_again(s->paths[i], O_RDWR | O_CREAT | O_TRUNC);
        if (s->fds[i] < 0) return cannot(ctx, s->paths[i], "created");
        if (!make_room(s->fds[i], shard->bytes) ||
            !whet_i_merge_pwrite(s->fds[i], shard->header.data, shard->header.len, 0))
            return cannot(ctx, s->paths[i], "written");
    }
    if (ftruncate(s->notes, 0) != 0) return cannot(ctx, s->notes_path, "written");
    whet_status status = first_line(ctx, s->plan, &line);
    if (status == WHET_OK && write(s->notes, line.data, (size_t)line.len) != line.len)
        status = cannot(ctx, s->notes_path, "written");
    whet_i_buf_free(ctx, &line);
    return status;
}

static whet_status begin(whet_ctx *ctx, stream *s) {
    const whet_merge_plan *plan = s->plan;
    whet_i_buf text = {0};
    WHET_TRY(whet_i_calloc(ctx, plan->n, &s->done));
    WHET_TRY(whet_i_calloc(ctx, plan->n_shards, &s->paths));
    WHET_TRY(whet_i_alloc(ctx, plan->n_shards, &s->fds));
    for (int64_t i = 0; i < plan->n_shards; i++) s->fds[i] = -1;
    for (int64_t i = 0; i < plan->n; i++) s->bytes += plan->items[i].bytes;
    WHET_TRY(whet_i_buf_printf(ctx, &text, "%s" WHET_I_MERGE_STAGE, plan->output));
    s->folder = text.data;
    WHET_TRY(whet_i_join_path(ctx, s->folder, notes_name, &s->notes_path));
    for (int64_t i = 0; i < plan->n_shards; i++)
        WHET_TRY(whet_i_join_path(ctx, s->folder, plan->shards[i].name, &s->paths[i]));
    WHET_TRY(open_notes(ctx, s));
    WHET_TRY(read_notes(ctx, s));
    if (s->n_done == 0) return begin_files(ctx, s);
    for (int64_t i = 0; i < plan->n_shards; i++) {
        s->fds[i] = open_again(s->paths[i], O_RDWR);
        if (s->fds[i] < 0) return cannot(ctx, s->paths[i], "opened");
    }
    return WHET_OK;
}

static void end(whet_ctx *ctx, stream *s) {
    for (int64_t i = 0; i < s->plan->n_shards; i++) {
        if (s->fds && s->fds[i] >= 0) (void)close(s->fds[i]);
        if (s->paths) whet_i_free(ctx, s->paths[i]);
    }
    if (s->notes >= 0) (void)close(s->notes);
    whet_i_free(ctx, s->fds);
    whet_i_free(ctx, s->paths);
    whet_i_free(ctx, s->done);
    whet_i_free(ctx, s->items);
    whet_i_free(ctx, s->own.setting);
    whet_i_free(ctx, s->own.block.bytes);
    whet_i_merge_lanes_destroy(ctx, s->lanes);
    whet_i_merge_ahead_destroy(ctx, s->ahead);
    whet_i_free(ctx, s->notes_path);
    whet_i_free(ctx, s->folder);
}

/* ---- one tensor ------------------------------------------------------------------------------- */

/* Opens the file of each place that has one. */
static whet_status open_places(whet_ctx *ctx, const whet_merge_plan *plan,
                               const whet_i_merge_place *places, int64_t n, bool table,
                               whet_i_merge_source *source) {
    for (int64_t i = 0; i < n; i++) source[i].fd = -1;
    for (int64_t i = 0; i < n; i++) {
        const whet_i_merge_place *p = &places[i];
        if (!p->file) continue;
        source[i].model = plan->models[p->model].path;
        source[i].offset = p->offset;
        source[i].dtype = p->dtype;
        source[i].lora = p->lora;
        if (table && p->model < plan->vocabulary.n)
            source[i].rows = plan->vocabulary.rows[p->model];
        source[i].fd = open_again(p->file->path, O_RDONLY);
        if (source[i].fd < 0) return cannot(ctx, p->file->path, "opened");
    }
    return WHET_OK;
}

/* Has the system begin to write what tensor i has become, so that not all is left for the end. */
static void write_behind(const stream *s, int64_t i) {
    const whet_i_merge_item *item = &s->plan->items[i];
    (void)posix_fadvise(s->fds[item->shard], (off_t)item->offset, (off_t)item->bytes,
                        POSIX_FADV_DONTNEED);
}

static void close_places(const whet_i_merge_source *source, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (source[i].fd >= 0) (void)close(source[i].fd);
}

/* Bytes as they are. */
static whet_status copy_item(whet_ctx *ctx, const stream *s, const whet_i_merge_item *item,
                             const whet_i_merge_source *source) {
    enum { PART = 1 << 20 };
    char *part;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_alloc(ctx, PART, &part));
    for (int64_t at = 0; status == WHET_OK && at < item->bytes; at += PART) {
        const int64_t len = item->bytes - at < PART ? item->bytes - at : PART;
        char quoted[WHET_QUOTE_SIZE];
        status = whet_i_progress(ctx, NULL, at, item->bytes);
        if (status != WHET_OK) break;
        if (!whet_i_merge_pread(source->fd, part, len, source->offset + at))
            status = whet_i_fail(ctx, WHET_ERR_IO, "%s: tensor %s cannot be read: %s",
                                 source->model, whet_i_quote(quoted, whet_str_from(item->name)),
                                 errno ? strerror(errno) : "the file ends before it");
        else if (!whet_i_merge_pwrite(s->fds[item->shard], part, len, item->offset + at))
            status = cannot(ctx, s->plan->output, "written");
    }
    whet_i_free(ctx, part);
    return status;
}

static whet_status merge_item(whet_i_merge_lane *lane, const stream *s,
                              const whet_i_merge_item *item, const whet_i_merge_source *source,
                              const whet_i_merge_words *words) {
    const whet_merge_plan *plan = s->plan;
    whet_i_merge_tensor t;
    whet_i_plan_tensor(plan, item, &t);
    t.source = source;
    t.words = words;
    t.setting = (const double(*)[WHET_I_SET_COUNT])lane->setting;
    t.seed = plan->seed;
    t.out_fd = s->fds[item->shard];
    t.out_offset = item->offset;
    t.out_dtype = item->dtype;
    t.out_path = plan->output;
    t.block = &lane->block;
    t.ahead = s->ahead;
    t.item = item - plan->items;
    WHET_TRY(whet_i_plan_settings(lane->ctx, plan, item, lane->setting));
    return whet_i_merge_tensor_run(lane->ctx, &t);
}

static whet_status run_item(whet_i_merge_lane *lane, const stream *s, int64_t i) {
    whet_ctx *ctx = lane->ctx;
    const whet_i_merge_item *item = &s->plan->items[i];
    const whet_i_merge_vocabulary *v = &s->plan->vocabulary;
    const int64_t n_lenders = item->lenders ? v->n : 0;
    whet_i_merge_source source[2 * WHET_MERGE_MODELS_MAX + 1], *lender = NULL;
    whet_i_merge_moves moves[2 * WHET_MERGE_MODELS_MAX + 1];
    memset(source, 0, sizeof source);
    memset(moves, 0, sizeof moves);
    WHET_TRY(whet_i_calloc(ctx, n_lenders + 1, &lender));
    const whet_i_merge_words words = {.n = v->n,
                                      .own = (const int64_t *const *)v->rows,
                                      .row = v->row,
                                      .from = v->from,
                                      .forced = v->forced,
                                      .lender = lender};
    whet_status status =
        open_places(ctx, s->plan, item->places, item->n_places, item->table, source);
    if (status == WHET_OK)
        status = open_places(ctx, s->plan, item->lenders, n_lenders, false, lender);
    else
        for (int64_t k = 0; k < n_lenders; k++) lender[k].fd = -1;
    for (int64_t k = 0; status == WHET_OK && !item->copied && k < item->n_places; k++) {
        status = whet_i_plan_moves(ctx, s->plan, item, k, &moves[k]);
        if (moves[k].rows || moves[k].columns) source[k].moves = &moves[k];
    }
    if (status == WHET_OK)
        status = item->copied ? copy_item(ctx, s, item, source)
                              : merge_item(lane, s, item, source, &words);
    for (int64_t k = 0; k < item->n_places; k++) whet_i_merge_moves_free(ctx, &moves[k]);
    close_places(source, item->n_places);
    close_places(lender, n_lenders);
    whet_i_free(ctx, lender);
    return status == WHET_OK ? note(ctx, s, i) : status;
}

/* One item, in a lane or by all threads; ctx: whom progress is told, or NULL. */
static whet_status run_one(void *arg, int64_t i, whet_i_merge_lane *lane, whet_ctx *ctx) {
    stream *s = arg;
    const int64_t bytes = s->plan->items[i].bytes;
    whet_i_merge_ahead_reach(s->ahead, i, 0);
    WHET_TRY(run_item(lane, s, i));
    write_behind(s, i);
    const int64_t done = atomic_fetch_add(&s->bytes_done, bytes) + bytes;
    return ctx ? whet_i_progress(ctx, stage, done, s->bytes) : WHET_OK;
}

/* The items from i on that go side by side; where others begin. */
static whet_status run_beside(whet_ctx *ctx, stream *s, int64_t *i) {
    const whet_merge_plan *plan = s->plan;
    int64_t n = 0;
    for (; *i < plan->n && plan->items[*i].beside; ++*i)
        if (!s->done[*i]) s->items[n++] = *i;
    if (!s->lanes) WHET_TRY(whet_i_merge_lanes_create(ctx, &s->lanes));
    whet_i_free(ctx, s->own.block.bytes);
    s->own.block = (whet_i_merge_block){0};
    return whet_i_merge_lanes_run(ctx, s->lanes, s->items, n, run_one, s);
}

static whet_status run_all(whet_ctx *ctx, stream *s) {
    const whet_merge_plan *plan = s->plan;
    s->own.ctx = ctx;
    WHET_TRY(whet_i_alloc(ctx, plan->n, &s->items));
    WHET_TRY(whet_i_alloc(ctx, WHET_MERGE_MODELS_MAX, &s->own.setting));
    WHET_TRY(whet_i_merge_ahead_create(ctx, plan, s->done, &s->ahead));
    WHET_TRY(whet_i_progress(ctx, stage, atomic_load(&s->bytes_done), s->bytes));
    for (int64_t i = 0; i < plan->n;) {
        if (plan->items[i].beside && whet_ctx_threads(ctx) > 1) {
            WHET_TRY(run_beside(ctx, s, &i));
        } else {
            if (!s->done[i]) WHET_TRY(run_one(s, i, &s->own, ctx));
            i++;
        }
    }
    return WHET_OK;
}

/* ---- into place ------------------------------------------------------------------------------- */

static whet_status sync_files(whet_ctx *ctx, const stream *s) {
    for (int64_t i = 0; i < s->plan->n_shards; i++) {
        const int failed = fsync(s->fds[i]);
        const int closed = failed ? 0 : close(s->fds[i]);
        if (!failed) s->fds[i] = -1;
        if (failed || closed != 0) return cannot(ctx, s->paths[i], "synced");
    }
    return WHET_OK;
}

static whet_status publish_folder(whet_ctx *ctx, const stream *s) {
    whet_out_dir *dir = NULL;
    char *to = NULL;
    whet_status status = whet_out_dir_open(ctx, s->plan->output, s->plan->force, &dir);
    if (status != WHET_OK) return status;
    WHET_TRY_DONE(whet_i_plan_write_folder(ctx, s->plan, whet_out_dir_path(dir)));
    for (int64_t i = 0; i < s->plan->n_shards; i++) {
        WHET_TRY_DONE(whet_i_join_path(ctx, whet_out_dir_path(dir), s->plan->shards[i].name, &to));
        if (rename(s->paths[i], to) != 0) {
            status = cannot(ctx, to, "put in place");
            goto done;
        }
        whet_i_free(ctx, to);
        to = NULL;
    }
    whet_out_dir *finished = dir;
    dir = NULL;
    status = whet_out_dir_commit(ctx, finished);
done:
    whet_i_free(ctx, to);
    whet_out_dir_abort(ctx, dir);
    return status;
}

whet_status whet_merge_plan_run(whet_ctx *ctx, const whet_merge_plan *plan, int64_t *resumed) {
    stream s = {.plan = plan, .notes = -1};
    whet_status status = WHET_OK;
    bool ours = false; /* nobody else is at it */
    WHET_TRY_DONE(begin(ctx, &s));
    ours = true;
    if (s.n_done)
        whet_i_log(ctx, WHET_LOG_INFO, "%s: %lld of %lld tensors are there from before",
                   plan->output, (long long)s.n_done, (long long)plan->n);
    if (resumed) *resumed = s.n_done;
    if (plan->aligning) WHET_TRY_DONE(whet_i_plan_match(ctx, plan));
    WHET_TRY_DONE(run_all(ctx, &s));
    WHET_TRY_DONE(sync_files(ctx, &s));
    status = plan->single ? whet_i_out_publish(ctx, s.paths[0], plan->output, plan->force)
                          : publish_folder(ctx, &s);
done:
    if (status == WHET_ERR_CANCELLED)
        status = whet_i_fail_at(ctx, status, "%s: the same command goes on where it stopped",
                                plan->output);
    else if (ours || s.notes >= 0)
        remove_all(&s);
    end(ctx, &s);
    return status;
}
