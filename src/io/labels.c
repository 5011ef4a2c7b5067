/* SPDX-License-Identifier: Apache-2.0
 * Labels as tables give them: names with the place to complain about; and the classes they make. */
#include <inttypes.h>
#include <stdlib.h>

#include "io/io_i.h"

/* The Unicode standard, table 3-7. */
int64_t whet_i_utf8_length(const char *text, int64_t len) {
    const unsigned char *t = (const unsigned char *)text;
    if (len < 1) return 0;
    if (t[0] < 0x80) return 1;
    const int64_t need = t[0] >= 0xf0 ? 4 : t[0] >= 0xe0 ? 3 : 2;
    if (t[0] < 0xc2 || t[0] > 0xf4 || len < need) return 0;
    for (int64_t i = 1; i < need; i++)
        if ((t[i] & 0xc0) != 0x80) return 0;
    if (t[0] == 0xe0 && t[1] < 0xa0) return 0; /* overlong */
    if (t[0] == 0xed && t[1] > 0x9f) return 0; /* surrogates */
    if (t[0] == 0xf0 && t[1] < 0x90) return 0; /* overlong */
    if (t[0] == 0xf4 && t[1] > 0x8f) return 0; /* beyond U+10FFFF */
    return need;
}

static whet_status check_name(whet_ctx *ctx, const char *path, int64_t line, whet_str name) {
    char quoted[WHET_QUOTE_SIZE];
    for (int64_t i = 0; i < name.len;) {
        const int64_t length = whet_i_utf8_length(name.ptr + i, name.len - i);
        if (length == 0 || (unsigned char)name.ptr[i] < 0x20)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s:%" PRId64 ": label %s holds %s; expected printable UTF-8", path,
                               line, whet_i_quote(quoted, name),
                               length ? "a control character" : "bytes that are not UTF-8");
        i += length;
    }
    return WHET_OK;
}

/* Bytes of the white space that a text begins with, or 0: all that have the property White_Space (The
 * Unicode Standard, PropList.txt), as U+00A0, which spreadsheets write. */
static int64_t space_length(whet_str text) {
    static const char *const wide[] = {"\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80",
                                       "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaf",
                                       "\xe2\x81\x9f", "\xe3\x80\x80"};
    if (text.len < 1) return 0;
    if (whet_i_is_space(*text.ptr)) return 1;
    for (int64_t i = 0; i < WHET_COUNT_OF(wide); i++) {
        const int64_t n = (int64_t)strlen(wide[i]);
        if (text.len >= n && memcmp(text.ptr, wide[i], (size_t)n) == 0) return n;
    }
    const bool spaces = text.len >= 3 && memcmp(text.ptr, "\xe2\x80", 2) == 0 &&
                        (unsigned char)text.ptr[2] >= 0x80 && (unsigned char)text.ptr[2] <= 0x8a;
    return spaces ? 3 : 0; /* U+2000 to U+200A */
}

/* And that it ends with: no such sequence is the end of another character. */
static int64_t space_at_end(whet_str text) {
    for (int64_t n = 1; n <= 3 && n <= text.len; n++)
        if (space_length((whet_str){text.ptr + text.len - n, n}) == n) return n;
    return 0;
}

whet_str whet_i_trim(whet_str name) {
    for (int64_t n; (n = space_at_end(name)) > 0;) name.len -= n;
    for (int64_t n; (n = space_length(name)) > 0; name.ptr += n) name.len -= n;
    return name;
}

whet_status whet_i_labels_of_column(whet_ctx *ctx, const whet_table *table, int64_t column,
                                    whet_i_given_labels *given) {
    const int64_t n = whet_table_rows(table);
    WHET_TRY(whet_i_alloc(ctx, n, &given->items));
    given->path = whet_table_path(table);
    for (int64_t i = 0; i < n; i++) {
        const whet_str name = whet_i_trim(whet_table_cell(table, i, column));
        if (name.len == 0) continue;
        WHET_TRY(check_name(ctx, given->path, whet_table_line(table, i), name));
        given->items[given->n++] = (whet_i_given_label){i, whet_table_line(table, i), name};
    }
    return WHET_OK;
}

whet_status whet_i_labels_of_sparse(whet_ctx *ctx, const whet_table *table, int64_t n_rows,
                                    whet_i_given_labels *given) {
    int64_t row_column, label_column;
    char quoted[WHET_QUOTE_SIZE];
    WHET_TRY(whet_i_table_needs(ctx, table, "row", &row_column));
    WHET_TRY(whet_i_table_needs(ctx, table, "label", &label_column));
    WHET_TRY(whet_i_alloc(ctx, whet_table_rows(table), &given->items));
    given->path = whet_table_path(table);
    for (int64_t i = 0; i < whet_table_rows(table); i++) {
        const whet_str cell = whet_table_cell(table, i, row_column);
        const whet_str name = whet_i_trim(whet_table_cell(table, i, label_column));
        const int64_t line = whet_table_line(table, i);
        int64_t row;
        if (n_rows == 0)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s:%" PRId64
                               ": a label of row %s; expected none, as there are no rows",
                               given->path, line, whet_i_quote(quoted, cell));
        if (!whet_i_parse_int(cell, &row) || row < 0 || row >= n_rows)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s:%" PRId64 ": row is %s; expected a number from 0 to %" PRId64
                               " (rows count from 0, without the header)",
                               given->path, line, whet_i_quote(quoted, cell), n_rows - 1);
        if (name.len == 0) continue;
        WHET_TRY(check_name(ctx, given->path, line, name));
        given->items[given->n++] = (whet_i_given_label){row, line, name};
    }
    return WHET_OK;
}

/* ---- classes --------------------------------------------------------------------------------- */

static bool is_integer(whet_str name) {
    const int64_t sign = name.len > 1 && name.ptr[0] == '-';
    if (name.len <= sign || name.len > 18) return false;
    for (int64_t i = sign; i < name.len; i++)
        if (!whet_i_is_digit(name.ptr[i])) return false;
    return true;
}

static int64_t integer_of(whet_str name) {
    const int64_t sign = name.ptr[0] == '-';
    int64_t value = 0;
    for (int64_t i = sign; i < name.len; i++) value = 10 * value + (name.ptr[i] - '0');
    return sign ? -value : value;
}

static int by_bytes(const void *left, const void *right) {
    const whet_str *a = left, *b = right;
    const int64_t common = a->len < b->len ? a->len : b->len;
    const int order = memcmp(a->ptr, b->ptr, (size_t)common);
    return order ? order : (a->len > b->len) - (a->len < b->len);
}

static int by_number(const void *left, const void *right) {
    const int64_t a = integer_of(*(const whet_str *)left), b = integer_of(*(const whet_str *)right);
    return a != b ? (a > b) - (a < b) : by_bytes(left, right); /* "1" and "01" */
}

whet_status whet_i_labels_classes(whet_ctx *ctx, const whet_i_given_labels *given,
                                  whet_names **out) {
    whet_names *classes = NULL, *found = NULL;
    whet_str *sorted = NULL;
    whet_status status = WHET_OK;
    bool numbers = true;
    WHET_TRY_DONE(whet_names_create(ctx, &found));
    for (int64_t i = 0; i < given->n; i++)
        WHET_TRY_DONE(whet_names_add(ctx, found, given->items[i].name, NULL));
    const int64_t k = whet_names_count(found);
    WHET_TRY_DONE(whet_i_alloc(ctx, k, &sorted));
    for (int64_t i = 0; i < k; i++) {
        sorted[i] = whet_names_get(found, i);
        numbers = numbers && is_integer(sorted[i]);
    }
    qsort(sorted, (size_t)k, sizeof *sorted, numbers ? by_number : by_bytes);
    WHET_TRY_DONE(whet_names_create(ctx, &classes));
    for (int64_t i = 0; i < k; i++) WHET_TRY_DONE(whet_names_add(ctx, classes, sorted[i], NULL));
    WHET_TRY_DONE(whet_i_warn_of_names(ctx, given->path, classes));
    *out = classes;
    classes = NULL;
done:
    whet_names_destroy(ctx, classes);
    whet_i_free(ctx, sorted);
    whet_names_destroy(ctx, found);
    return status;
}
