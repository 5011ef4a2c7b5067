/* SPDX-License-Identifier: Apache-2.0
 * The golden files of tests/golden/tokenizer: hard texts, and the ids that Hugging Face gives them. */
#ifndef WHET_TEST_TOKENIZER_GOLDEN_H
#define WHET_TEST_TOKENIZER_GOLDEN_H

#include <stdio.h>
#include <stdlib.h>

#include "core/core_i.h"
#include "support.h"
#include "whet/nn.h"

#define GOLDEN "tests/golden/tokenizer/"

/* ---- golden files ---------------------------------------------------------------------------- */

typedef struct texts {
    char *bytes;
    whet_str items[1024];
    int64_t n;
} texts;

static inline char *read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    const long size = ftell(file);
    rewind(file);
    char *bytes = malloc((size_t)size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, (size_t)size, file), size);
    bytes[size] = '\0';
    (void)fclose(file);
    return bytes;
}

static inline int nibble(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

/* The hard texts, decoded in place. */
static inline void read_texts(texts *out) {
    out->bytes = read_file(test_source(GOLDEN "texts.hex"));
    out->n = 0;
    char *write = out->bytes;
    for (const char *read = out->bytes; *read; read++) {
        out->items[out->n].ptr = write;
        for (; *read != '\n'; read += 2) *write++ = (char)(nibble(read[0]) << 4 | nibble(read[1]));
        out->items[out->n].len = write - out->items[out->n].ptr;
        out->n++;
        assert_true(out->n < 1024);
    }
    assert_true(out->n > 200);
}

static inline whet_tokenizer *load(whet_ctx *ctx, const char *path) {
    whet_tokenizer *tokenizer = NULL;
    test_ok(ctx, whet_tokenizer_load(ctx, path, &tokenizer));
    return tokenizer;
}

static inline void compare(whet_ctx *ctx, const whet_tokenizer *tokenizer, const texts *in,
                           int64_t max_length, const char *ids_path) {
    whet_token_rows rows;
    test_ok(ctx, whet_tokenizer_encode(ctx, tokenizer, in->items, in->n, max_length, &rows));
    char *golden = read_file(ids_path), *p = golden;
    for (int64_t i = 0; i < in->n; i++) {
        for (int64_t k = rows.start[i]; k < rows.start[i + 1]; k++) {
            const long expected = strtol(p, &p, 10);
            if (rows.ids[k] != expected)
                fail_msg("%s line %d: id %d is %d; expected %ld", ids_path, (int)i + 1,
                         (int)(k - rows.start[i]), rows.ids[k], expected);
        }
        if (*p != '\n') fail_msg("%s line %d: ids are missing", ids_path, (int)i + 1);
        p++;
    }
    assert_int_equal(*p, '\0');
    free(golden);
    whet_token_rows_destroy(ctx, &rows);
}

static inline void check_golden(whet_ctx *ctx, const char *tokenizer_path, const char *name) {
    texts in;
    char path[128];
    read_texts(&in);
    whet_tokenizer *tokenizer = load(ctx, tokenizer_path);
    (void)snprintf(path, sizeof path, GOLDEN "%s.ids", name);
    compare(ctx, tokenizer, &in, 0, test_source(path));
    (void)snprintf(path, sizeof path, GOLDEN "%s.max7.ids", name);
    compare(ctx, tokenizer, &in, 7, test_source(path));
    whet_tokenizer_destroy(ctx, tokenizer);
    free(in.bytes);
}

/* ---- families of small tokenizers: NAME.json, NAME.ids, ... ----------------------------------- */

#define FIRST_TEXTS 130 /* those that their files are of */

static inline const char *golden_file(const char *name, const char *kind) {
    char path[128];
    (void)snprintf(path, sizeof path, GOLDEN "%s%s", name, kind);
    return test_source(path);
}

static inline void check_ids(const char *const *names, int64_t n) {
    whet_ctx *ctx = test_ctx(2);
    texts in;
    read_texts(&in);
    in.n = FIRST_TEXTS;
    for (int64_t v = 0; v < n; v++) {
        whet_tokenizer *tokenizer = load(ctx, golden_file(names[v], ".json"));
        compare(ctx, tokenizer, &in, 0, golden_file(names[v], ".ids"));
        compare(ctx, tokenizer, &in, 7, golden_file(names[v], ".max7.ids"));
        whet_tokenizer_destroy(ctx, tokenizer);
    }
    free(in.bytes);
    test_ctx_done(ctx);
}

/* A row of numbers: the ids, then the types. */
static inline void check_pair(const whet_token_rows *rows, int64_t i, char **p, const char *path) {
    for (int64_t k = rows->start[i]; k < rows->start[i + 1]; k++)
        if (strtol(*p, p, 10) != rows->ids[k]) fail_msg("%s line %d: an id differs", path, (int)i);
    for (int64_t k = rows->start[i]; k < rows->start[i + 1]; k++)
        if (strtol(*p, p, 10) != rows->types[k]) fail_msg("%s line %d: a type", path, (int)i);
    if (**p != '\n') fail_msg("%s line %d: of another length", path, (int)i);
    ++*p;
}

static inline void check_pairs(const char *const *names, int64_t n) {
    whet_ctx *ctx = test_ctx(2);
    texts in;
    read_texts(&in);
    for (int64_t v = 0; v < n; v++) {
        whet_tokenizer *tokenizer = load(ctx, golden_file(names[v], ".json"));
        whet_token_rows rows;
        char *lines = read_file(golden_file(names[v], ".pairs.ids")), *p = lines;
        test_ok(ctx, whet_tokenizer_encode_pairs(ctx, tokenizer, in.items, in.items + 1,
                                                 FIRST_TEXTS - 1, 11, &rows, NULL));
        for (int64_t i = 0; i < rows.n_rows; i++) check_pair(&rows, i, &p, names[v]);
        assert_int_equal(*p, '\0');
        free(lines);
        whet_token_rows_destroy(ctx, &rows);
        whet_tokenizer_destroy(ctx, tokenizer);
    }
    free(in.bytes);
    test_ctx_done(ctx);
}

static inline void check_decoded(const char *const *names, int64_t n) {
    whet_ctx *ctx = test_ctx(1);
    texts in;
    read_texts(&in);
    for (int64_t v = 0; v < n; v++) {
        whet_tokenizer *tokenizer = load(ctx, golden_file(names[v], ".json"));
        whet_token_rows rows;
        char *lines = read_file(golden_file(names[v], ".text.hex")), *p = lines;
        test_ok(ctx, whet_tokenizer_encode(ctx, tokenizer, in.items, FIRST_TEXTS, 0, &rows));
        for (int64_t i = 0; i < FIRST_TEXTS; i++) {
            char *text;
            int64_t len;
            test_ok(ctx,
                    whet_tokenizer_decode(ctx, tokenizer, rows.ids + rows.start[i],
                                          rows.start[i + 1] - rows.start[i], true, &text, &len));
            for (int64_t k = 0; k < len; k++, p += 2)
                if ((uint8_t)text[k] != (nibble(p[0]) << 4 | nibble(p[1])))
                    fail_msg("%s text %d: byte %d differs: %s", names[v], (int)i, (int)k, text);
            assert_int_equal(*p, '\n');
            p++;
            whet_free_text(ctx, text);
        }
        free(lines);
        whet_token_rows_destroy(ctx, &rows);
        whet_tokenizer_destroy(ctx, tokenizer);
    }
    free(in.bytes);
    test_ctx_done(ctx);
}

/* Of a small tokenizer: the ids of a text, written as digits. */
static inline void expect(whet_ctx *ctx, const char *file, const char *text, const char *ids) {
    whet_tokenizer *tokenizer = load(ctx, test_write_text("tokenizer.json", file));
    const whet_str one = whet_str_from(text);
    whet_token_rows rows;
    test_ok(ctx, whet_tokenizer_encode(ctx, tokenizer, &one, 1, 0, &rows));
    assert_int_equal(rows.start[1], strlen(ids));
    for (int64_t i = 0; i < rows.start[1]; i++) assert_int_equal(rows.ids[i], ids[i] - '0');
    whet_token_rows_destroy(ctx, &rows);
    whet_tokenizer_destroy(ctx, tokenizer);
}

#endif
