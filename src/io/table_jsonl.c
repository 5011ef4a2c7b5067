/* SPDX-License-Identifier: Apache-2.0
 * JSON lines: one object a line, its members are cells of the columns they name; blank lines are
 * skipped. Columns stand in the order in which they first appear.
 * Strings and numbers are scanned here, because cells keep numbers as written (jansson would make
 * doubles of them) and are decoded in place; nested values stay JSON text, checked by jansson. */
#include "io/table_i.h"

typedef struct reader {
    whet_ctx *ctx;
    whet_table *table;
    int64_t at, end;    /* in bytes: the next byte, and the end of the line */
    int64_t line_start; /* for columns in sentences */
    int64_t line;
    int64_t write; /* where the next cell goes; always behind `at` */
    int64_t *seen; /* [columns] line on which a column last had a cell */
    int64_t seen_cap;
} reader;

static whet_status wrong(const reader *r, const char *expected) {
    char quoted[WHET_QUOTE_SIZE];
    const whet_str next = {r->table->bytes + r->at, r->end > r->at ? 1 : 0};
    return whet_i_fail(r->ctx, WHET_ERR_FORMAT, "%s:%lld:%lld: %s; expected %s", r->table->path,
                       (long long)r->line, (long long)(r->at - r->line_start + 1),
                       next.len ? whet_i_quote(quoted, next) : "end of line", expected);
}

static void skip_space(reader *r) {
    const char *b = r->table->bytes;
    while (r->at < r->end && (b[r->at] == ' ' || b[r->at] == '\t' || b[r->at] == '\r')) r->at++;
}

static bool next_is(reader *r, char c) {
    if (r->at >= r->end || r->table->bytes[r->at] != c) return false;
    r->at++;
    return true;
}

/* ---- strings --------------------------------------------------------------------------------- */

static bool hex4(const reader *r, int64_t at, uint32_t *out) {
    if (r->end - at < 4) return false;
    uint32_t sum = 0;
    for (int64_t i = at; i < at + 4; i++) {
        const char c = r->table->bytes[i];
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0) return false;
        sum = sum * 16 + (uint32_t)digit;
    }
    *out = sum;
    return true;
}

static int64_t put_utf8(char *to, uint32_t c) {
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 0x3f));
        to[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 0x3f));
    to[2] = (char)(0x80 | (c >> 6 & 0x3f));
    to[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* Behind "\u": the code point, pairs joined; half a pair becomes U+FFFD as in most readers. */
static whet_status unicode_escape(reader *r, uint32_t *out) {
    uint32_t c, low = 0;
    if (!hex4(r, r->at, &c)) return wrong(r, "four hexadecimal digits");
    r->at += 4;
    if (c >= 0xd800 && c < 0xdc00 && r->end - r->at >= 6 &&
        memcmp(r->table->bytes + r->at, "\\u", 2) == 0 && hex4(r, r->at + 2, &low) &&
        low >= 0xdc00 && low < 0xe000) {
        r->at += 6;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    *out = c >= 0xd800 && c < 0xe000 ? 0xfffd : c;
    return WHET_OK;
}

static whet_status escape(reader *r, int64_t *write) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char *b = r->table->bytes;
    if (next_is(r, 'u')) {
        uint32_t c = 0;
        WHET_TRY(unicode_escape(r, &c));
        *write += put_utf8(b + *write, c);
        return WHET_OK;
    }
    const char *found = r->at < r->end && b[r->at] ? strchr(from, b[r->at]) : NULL;
    if (!found) return wrong(r, "one of \" \\ / b f n r t u behind a backslash");
    b[(*write)++] = to[found - from];
    r->at++;
    return WHET_OK;
}

/* A string, its opening quote already taken, decoded to *write onwards (not ahead of `at`). */
static whet_status string(reader *r, int64_t *write) {
    char *b = r->table->bytes;
    for (;;) {
        int64_t stop = r->at;
        while (stop < r->end && b[stop] != '"' && b[stop] != '\\' && (unsigned char)b[stop] >= 0x20)
            stop++;
        const int64_t plain = stop - r->at;
        if (plain) memmove(b + *write, b + r->at, (size_t)plain);
        *write += plain;
        r->at = stop;
        if (next_is(r, '"')) return WHET_OK;
        if (!next_is(r, '\\')) return wrong(r, "a closing quote or a character of the string");
        WHET_TRY(escape(r, write));
    }
}

/* ---- other values ---------------------------------------------------------------------------- */

static int64_t digits(reader *r) {
    const int64_t first = r->at;
    while (r->at < r->end && r->table->bytes[r->at] >= '0' && r->table->bytes[r->at] <= '9')
        r->at++;
    return r->at - first;
}

static whet_status number(reader *r) {
    (void)next_is(r, '-');
    if (!next_is(r, '0') && digits(r) == 0) return wrong(r, "a value");
    if (next_is(r, '.') && digits(r) == 0) return wrong(r, "a digit behind the point");
    if (next_is(r, 'e') || next_is(r, 'E')) {
        if (!next_is(r, '+')) (void)next_is(r, '-');
        if (digits(r) == 0) return wrong(r, "a digit of the exponent");
    }
    return WHET_OK;
}

static bool word(reader *r, const char *text) {
    const size_t len = strlen(text);
    if ((size_t)(r->end - r->at) < len || memcmp(r->table->bytes + r->at, text, len) != 0)
        return false;
    r->at += (int64_t)len;
    return true;
}

/* An array or object: jansson finds its end and judges it; it stays as text. */
static whet_status nested(reader *r) {
    json_error_t error;
    json_t *value =
        json_loadb(r->table->bytes + r->at, (size_t)(r->end - r->at),
                   JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, &error);
    if (!value) {
        if (json_error_code(&error) == json_error_out_of_memory)
            return whet_i_fail(r->ctx, WHET_ERR_NOMEM, "%s:%lld: out of memory in the JSON parser",
                               r->table->path, (long long)r->line);
        return wrong(r, "a well-formed array or object");
    }
    json_decref(value);
    r->at += error.position;
    return WHET_OK;
}

/* Reads a value; *empty when it is null. Its text ends up at table->bytes[r->write .. *stop). */
static whet_status value(reader *r, int64_t *stop, bool *empty) {
    char *b = r->table->bytes;
    const int64_t first = r->at;
    *empty = false;
    if (next_is(r, '"')) {
        *stop = r->write;
        return string(r, stop);
    }
    if (word(r, "null")) {
        *empty = true;
        return WHET_OK;
    }
    if (r->at < r->end && (b[r->at] == '{' || b[r->at] == '['))
        WHET_TRY(nested(r));
    else if (!word(r, "true") && !word(r, "false"))
        WHET_TRY(number(r));
    memmove(b + r->write, b + first, (size_t)(r->at - first));
    *stop = r->write + (r->at - first);
    return WHET_OK;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* The column named `name`; most records repeat the order of the first, so place `guess` is tried
 * before the hash. A column met twice on a line is refused. */
static whet_status column_of(reader *r, whet_str name, int64_t guess, int64_t *out) {
    const whet_names *names = r->table->columns;
    const int64_t n = whet_names_count(names);
    int64_t column = guess;
    if (guess >= n || !whet_str_equal(whet_names_get(names, guess), name))
        column = whet_names_find(names, name);
    if (column < 0) {
        WHET_TRY(whet_i_table_column(r->ctx, r->table, name, r->line));
        column = n;
        if (column == r->seen_cap) {
            const int64_t cap = r->seen_cap ? r->seen_cap * 2 : 32;
            WHET_TRY(whet_i_realloc(r->ctx, &r->seen, cap));
            r->seen_cap = cap;
        }
        r->seen[column] = 0;
    }
    if (r->seen[column] == r->line) {
        char quoted[WHET_QUOTE_SIZE];
        return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                           "%s:%lld: member %s appears twice; expected distinct names",
                           r->table->path, (long long)r->line, whet_i_quote(quoted, name));
    }
    r->seen[column] = r->line;
    *out = column;
    return WHET_OK;
}

static whet_status member(reader *r, int64_t k) {
    skip_space(r);
    if (!next_is(r, '"')) return wrong(r, "a quoted name");
    const int64_t name = r->at;
    int64_t stop = name, column;
    bool empty;
    WHET_TRY(string(r, &stop)); /* decoded where it stands */
    WHET_TRY(column_of(r, (whet_str){r->table->bytes + name, stop - name}, k, &column));
    skip_space(r);
    if (!next_is(r, ':')) return wrong(r, "\":\"");
    skip_space(r);
    WHET_TRY(value(r, &stop, &empty));
    skip_space(r);
    if (empty) return WHET_OK;
    /* The cell's NUL may fall on the byte that comes next in a line like {"":1}; it cannot: a
     * member takes at least four bytes more than its text. */
    WHET_TRY(whet_i_table_cell(r->ctx, r->table, stop, (int32_t)column));
    r->write = stop + 1;
    return WHET_OK;
}

static whet_status record(reader *r) {
    if (!next_is(r, '{')) return wrong(r, "an object, one on each line");
    r->write = r->line_start;
    WHET_TRY(whet_i_table_row(r->ctx, r->table, r->write, r->line));
    skip_space(r);
    if (!next_is(r, '}')) {
        for (int64_t k = 0;; k++) {
            WHET_TRY(member(r, k));
            if (next_is(r, '}')) break;
            if (!next_is(r, ',')) return wrong(r, "\",\" or \"}\"");
        }
    }
    skip_space(r);
    return r->at == r->end ? WHET_OK : wrong(r, "the end of the line behind the object");
}

whet_status whet_i_table_jsonl(whet_ctx *ctx, whet_table *table, int64_t at) {
    enum { FIRST = 64 };
    WHET_TRY(whet_i_alloc(ctx, FIRST, &table->start));
    WHET_TRY(whet_i_alloc(ctx, FIRST, &table->line));
    WHET_TRY(whet_i_alloc(ctx, FIRST, &table->first));
    WHET_TRY(whet_i_alloc(ctx, FIRST, &table->column));
    WHET_TRY(whet_i_alloc(ctx, FIRST, &table->end));
    table->row_cap = table->cell_cap = FIRST;
    reader r = {.ctx = ctx, .table = table, .line = 1 + table->skipped};
    whet_status status = WHET_OK;
    while (at < table->len) {
        const char *feed = memchr(table->bytes + at, '\n', (size_t)(table->len - at));
        r.at = r.line_start = at;
        r.end = feed ? feed - table->bytes : table->len;
        at = r.end + 1;
        skip_space(&r);
        if (r.at < r.end) WHET_TRY_DONE(record(&r));
        r.line++;
    }
done:
    whet_i_free(ctx, r.seen);
    return status;
}

/* ---- lines that grow -------------------------------------------------------------------------- */

/* Where the last line begins, if it was cut in its middle; else len. */
static int64_t torn_line(const char *bytes, int64_t len) {
    int64_t begin = len;
    while (begin > 0 && bytes[begin - 1] != '\n') begin--;
    json_t *last = json_loadb(bytes + begin, (size_t)(len - begin), 0, NULL);
    json_decref(last);
    return last ? len : begin;
}

whet_status whet_i_journal_read(whet_ctx *ctx, const char *path, whet_table **out, int64_t *torn) {
    char *bytes;
    int64_t len, line = 0;
    WHET_TRY(whet_i_file_read(ctx, path, WHET_FILE_MAX, &bytes, &len));
    const int64_t end = torn_line(bytes, len);
    if (end < len) {
        line = 1;
        for (int64_t i = 0; i < end; i++) line += bytes[i] == '\n';
        bytes[end] = '\0';
    }
    WHET_TRY(whet_i_table_parse(ctx, WHET_TABLE_JSONL, path, bytes, end, out));
    *torn = line;
    return WHET_OK;
}
