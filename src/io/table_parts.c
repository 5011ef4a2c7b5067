/* SPDX-License-Identifier: Apache-2.0
 * Tables part by part. A part is cut behind a row: at a line feed, in CSV at one outside quotes, which is
 * one that an even number of quotes precedes (where quotes are no better than that, parsing stops before
 * it matters). TSV's blank lines are nothing at the end only, so no part but the last ends with one. The
 * header's bytes are put before each part: the parsers need to know nothing of parts but their lines. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/table_i.h"

struct whet_i_table_parts {
    whet_i_table_format format;
    char *path;
    int64_t part_bytes;
    int fd;            /* -1: the bytes are in memory */
    const char *bytes; /* [len] */
    char *owned;
    int64_t len; /* of the file, or of bytes; for progress */
    int64_t at;  /* what has been read */
    bool ended, given, rewound;
    whet_i_buf header;    /* with its line end, which is a line feed; empty in JSONL */
    int64_t header_feeds; /* line feeds in it */
    int64_t header_bytes; /* that it takes in the file */
    whet_i_buf rest;      /* read, not given yet */
    int64_t line;         /* of the file, on which rest begins */
};

/* ---- bytes ----------------------------------------------------------------------------------- */

/* `count` bytes more behind the rest, fewer at the end. */
static whet_status read_more(whet_ctx *ctx, whet_i_table_parts *s, int64_t count) {
    int64_t want;
    WHET_TRY(whet_i_add(ctx, s->rest.len, count, &want));
    if (want + 1 > s->rest.cap) {
        WHET_TRY(whet_i_realloc(ctx, &s->rest.data, want + 1));
        s->rest.cap = want + 1;
    }
    while (s->rest.len < want && !s->ended) {
        const int64_t room = want - s->rest.len;
        int64_t got = room < s->len - s->at ? room : s->len - s->at;
        if (s->fd >= 0) {
            got = read(s->fd, s->rest.data + s->rest.len, (size_t)room);
            if (got < 0 && errno == EINTR) continue;
            if (got < 0)
                return whet_i_fail(ctx, WHET_ERR_IO, "%s: cannot be read: %s", s->path,
                                   strerror(errno));
        } else if (got > 0) {
            memcpy(s->rest.data + s->rest.len, s->bytes + s->at, (size_t)got);
        }
        s->rest.len += got;
        s->at += got;
        s->ended = got == 0;
    }
    return WHET_OK;
}

/* ---- where rows end -------------------------------------------------------------------------- */

/* Behind the header, or -1 when it does not end in these bytes. CSV: blank lines before it are skipped,
 * and a lone carriage return ends it too. */
static int64_t header_end(whet_i_table_format format, const char *b, int64_t len) {
    bool quoted = false, any = false;
    for (int64_t i = len >= 3 && memcmp(b, "\xef\xbb\xbf", 3) == 0 ? 3 : 0; i < len; i++) {
        const bool ends = b[i] == '\n' || (b[i] == '\r' && format == WHET_TABLE_CSV);
        quoted ^= b[i] == '"' && format == WHET_TABLE_CSV;
        if (!ends || quoted) {
            any = true;
            continue;
        }
        if (!any && format == WHET_TABLE_CSV) continue;
        if (b[i] == '\n') return i + 1;
        if (i + 1 < len) return b[i + 1] == '\n' ? i + 2 : i + 1;
    }
    return -1;
}

/* Behind the last line feed outside quotes, or 0. */
static int64_t last_row_end(const char *b, int64_t len) {
    int64_t end = 0;
    bool quoted = false;
    for (int64_t i = 0; i < len; i++) {
        quoted ^= b[i] == '"';
        if (b[i] == '\n' && !quoted) end = i + 1;
    }
    return end;
}

/* Behind the last line that is not blank, or 0. */
static int64_t last_line_end(const char *b, int64_t len) {
    int64_t end = len;
    while (end > 0 && b[end - 1] != '\n') end--;
    int64_t text = end;
    while (text > 0 && (b[text - 1] == '\n' || b[text - 1] == '\r')) text--;
    if (text == 0) return 0;
    const char *feed = memchr(b + text, '\n', (size_t)(end - text));
    return feed ? feed - b + 1 : 0;
}

static int64_t count_feeds(const char *b, int64_t len) {
    int64_t n = 0;
    for (int64_t i = 0; i < len; i++) n += b[i] == '\n';
    return n;
}

/* ---- parts ----------------------------------------------------------------------------------- */

/* Takes the header out of the rest, which stays without one where the file ends before. */
static whet_status take_header(whet_ctx *ctx, whet_i_table_parts *s) {
    int64_t end = -1;
    if (s->format == WHET_TABLE_JSONL || s->header.len > 0) return WHET_OK;
    while ((end = header_end(s->format, s->rest.data, s->rest.len)) < 0) {
        if (s->ended) return WHET_OK;
        WHET_TRY(read_more(ctx, s, s->part_bytes));
    }
    WHET_TRY(whet_i_buf_append(ctx, &s->header, s->rest.data, end));
    if (s->header.data[end - 1] != '\n') WHET_TRY(whet_i_buf_append(ctx, &s->header, "\n", 1));
    s->header_feeds = count_feeds(s->header.data, s->header.len);
    s->header_bytes = end;
    return WHET_OK;
}

/* How much of the rest is the next part. */
static whet_status find_cut(whet_ctx *ctx, whet_i_table_parts *s, int64_t from, int64_t *cut) {
    for (;;) {
        if (s->ended) break;
        const char *b = s->rest.data + from;
        const int64_t len = s->rest.len - from;
        const int64_t end =
            s->format == WHET_TABLE_CSV ? last_row_end(b, len) : last_line_end(b, len);
        if (end > 0) {
            *cut = from + end;
            return WHET_OK;
        }
        /* Twice as much, so that long rows are not gone through again and again. */
        WHET_TRY(read_more(ctx, s, s->rest.len > s->part_bytes ? s->rest.len : s->part_bytes));
    }
    *cut = s->rest.len;
    return WHET_OK;
}

whet_status whet_i_table_parts_next(whet_ctx *ctx, whet_i_table_parts *s, whet_table **out) {
    char *bytes;
    int64_t cut, len;
    if (s->rest.len < s->part_bytes) WHET_TRY(read_more(ctx, s, s->part_bytes - s->rest.len));
    if (s->given && s->ended && s->rest.len == 0) {
        *out = NULL;
        return WHET_OK;
    }
    if (!s->rewound) WHET_TRY(whet_i_progress(ctx, "read", s->at, s->len));
    const bool first = !s->given;
    WHET_TRY(take_header(ctx, s));
    WHET_TRY(find_cut(ctx, s, first ? s->header_bytes : 0, &cut));
    const int64_t before = first ? 0 : s->header.len;
    WHET_TRY(whet_i_add(ctx, before, cut, &len));
    WHET_TRY(whet_i_alloc(ctx, len + 1, &bytes));
    if (before > 0) memcpy(bytes, s->header.data, (size_t)before);
    if (cut > 0) memcpy(bytes + before, s->rest.data, (size_t)cut);
    bytes[len] = '\0';
    const int64_t skipped = first ? 0 : s->line - 1 - s->header_feeds;
    s->line += count_feeds(s->rest.data, cut);
    s->rest.len -= cut;
    if (s->rest.len > 0) memmove(s->rest.data, s->rest.data + cut, (size_t)s->rest.len);
    s->given = true;
    return whet_i_table_parse_part(ctx, s->format, s->path, bytes, len, skipped, out);
}

int64_t whet_i_table_parts_bytes(const whet_i_table_parts *s) { return s->len; }

whet_status whet_i_table_parts_rewind(whet_ctx *ctx, whet_i_table_parts *s) {
    if (s->fd >= 0 && lseek(s->fd, 0, SEEK_SET) != 0)
        return whet_i_fail(ctx, WHET_ERR_IO, "%s: cannot be read again: %s", s->path,
                           strerror(errno));
    s->at = s->rest.len = 0;
    s->line = 1;
    s->ended = s->given = false;
    s->rewound = true;
    return WHET_OK;
}

/* ---- opening --------------------------------------------------------------------------------- */

static whet_status begin(whet_ctx *ctx, whet_i_table_format format, const char *where,
                         int64_t part_bytes, whet_i_table_parts **out) {
    whet_i_table_parts *s;
    WHET_TRY(whet_i_calloc(ctx, 1, &s));
    s->format = format;
    s->part_bytes = part_bytes;
    s->fd = -1;
    s->line = 1;
    const whet_status status = whet_i_strdup(ctx, whet_str_from(where), &s->path);
    if (status == WHET_OK)
        *out = s;
    else
        whet_i_free(ctx, s);
    return status;
}

whet_status whet_i_table_parts_over(whet_ctx *ctx, whet_i_table_format format, const char *where,
                                    const char *bytes, int64_t len, int64_t part_bytes,
                                    whet_i_table_parts **out) {
    WHET_TRY(begin(ctx, format, where, part_bytes, out));
    (*out)->bytes = bytes;
    (*out)->len = len;
    return WHET_OK;
}

whet_status whet_i_table_parts_open(whet_ctx *ctx, const char *path, int64_t part_bytes,
                                    whet_i_table_parts **out) {
    whet_i_table_format format;
    struct stat info;
    whet_i_table_parts *s = NULL;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_table_format_of(ctx, path, &format));
    WHET_TRY(begin(ctx, format, path, part_bytes, &s));
    if (stat(path, &info) == 0 && S_ISREG(info.st_mode)) {
        do s->fd = open(path, O_RDONLY | O_CLOEXEC);
        while (s->fd < 0 && errno == EINTR);
        s->len = (int64_t)info.st_size;
    }
    /* What cannot be read twice, and the sentence for what cannot be opened. */
    if (s->fd < 0) {
        WHET_TRY_DONE(whet_i_file_read(ctx, path, WHET_FILE_MAX, &s->owned, &s->len));
        s->bytes = s->owned;
    }
    *out = s;
    return WHET_OK;
done:
    whet_i_table_parts_close(ctx, s);
    return status;
}

void whet_i_table_parts_close(whet_ctx *ctx, whet_i_table_parts *s) {
    if (!s) return;
    if (s->fd >= 0) (void)close(s->fd);
    whet_i_free(ctx, s->owned);
    whet_i_free(ctx, s->path);
    whet_i_buf_free(ctx, &s->header);
    whet_i_buf_free(ctx, &s->rest);
    whet_i_free(ctx, s);
}
