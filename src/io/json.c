/* SPDX-License-Identifier: Apache-2.0
 * JSON documents through jansson, and members taken out of them with sentences that say what was
 * found. jansson's allocator is process-wide state, so it stays malloc; the size of a document is
 * bounded by the size of the file, which the caller limits. */
#include <math.h>

#include "io/io_i.h"

/* jansson quotes the input ("... near 'x'"): untrusted bytes, made printable here. */
static whet_status syntax(whet_ctx *ctx, const char *where, const json_error_t *error) {
    static const char near[] = " near '";
    char quoted[WHET_QUOTE_SIZE];
    const char *found = strstr(error->text, near);
    const int text_len = found ? (int)(found - error->text) : (int)strlen(error->text);
    const int column = error->column > 0 ? error->column : 1;
    if (!found)
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s:%d:%d: %.*s; expected a JSON document", where,
                           error->line, column, text_len, error->text);
    const char *token = found + sizeof near - 1;
    int64_t len = (int64_t)strlen(token);
    if (len > 0 && token[len - 1] == '\'') len--;
    return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s:%d:%d: %.*s near %s; expected a JSON document",
                       where, error->line, column, text_len, error->text,
                       whet_i_quote(quoted, (whet_str){token, len}));
}

/* The value as it stands for in a document that was read with all integers as reals: those that are exact
 * become integers again. NULL where memory is short. */
static json_t *with_integers(json_t *value) {
    static const double exact = 9007199254740992.0;
    json_t *item, *changed = value;
    const char *key;
    size_t i;
    void *next;
    if (json_is_real(value)) {
        const double x = json_real_value(value);
        if (fabs(x) <= exact && x == floor(x)) return json_integer((json_int_t)x);
    }
    json_object_foreach_safe(value, next, key, item) {
        json_t *made = with_integers(item);
        if (!made || (made != item && json_object_set_new(value, key, made) != 0)) changed = NULL;
    }
    json_array_foreach(value, i, item) {
        json_t *made = with_integers(item);
        if (!made || (made != item && json_array_set_new(value, i, made) != 0)) changed = NULL;
    }
    return changed;
}

/* Documents with integers beyond 64 bits: those become reals. transformers writes 1e30 so for "no limit". */
static json_t *parse_large(const char *bytes, int64_t len, json_error_t *error) {
    json_t *document =
        json_loadb(bytes, (size_t)len, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, error);
    json_t *made = document ? with_integers(document) : NULL;
    if (made == document) return document;
    json_decref(document);
    return made;
}

whet_status whet_i_json_parse(whet_ctx *ctx, const char *where, const char *bytes, int64_t len,
                              json_t **out) {
    if (len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) {
        bytes += 3;
        len -= 3;
    }
    json_error_t error;
    json_t *document = json_loadb(bytes, (size_t)len, JSON_REJECT_DUPLICATES, &error);
    if (!document && json_error_code(&error) == json_error_numeric_overflow) {
        json_error_t again;
        document = parse_large(bytes, len, &again);
    }
    if (!document) {
        if (json_error_code(&error) == json_error_out_of_memory)
            return whet_i_fail(ctx, WHET_ERR_NOMEM, "%s: out of memory in the JSON parser", where);
        if (json_error_code(&error) == json_error_stack_overflow)
            return whet_i_fail(ctx, WHET_ERR_LIMIT,
                               "%s:%d:%d: nested too deep; expected at most 2048 levels", where,
                               error.line, error.column);
        return syntax(ctx, where, &error);
    }
    *out = document;
    return WHET_OK;
}

whet_status whet_i_json_read(whet_ctx *ctx, const char *path, int64_t max_bytes, json_t **out) {
    char *bytes;
    int64_t len;
    WHET_TRY(whet_i_file_read(ctx, path, max_bytes, &bytes, &len));
    const whet_status status = whet_i_json_parse(ctx, path, bytes, len, out);
    whet_i_free(ctx, bytes);
    return status;
}

/* ---- members --------------------------------------------------------------------------------- */

const char *whet_i_json_kind(const json_t *value) {
    if (!value) return "missing";
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a real number";
    case JSON_TRUE: return "true";
    case JSON_FALSE: return "false";
    case JSON_NULL: return "null";
    }
    return "unknown";
}

static whet_status unexpected(whet_ctx *ctx, const char *where, const char *key,
                              const json_t *value, const char *expected) {
    char quoted[WHET_QUOTE_SIZE];
    return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: %s is %s; expected %s", where,
                       whet_i_quote(quoted, whet_str_from(key)), whet_i_json_kind(value), expected);
}

static bool given(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return value && !json_is_null(value);
}

whet_status whet_i_json_int(whet_ctx *ctx, const char *where, const json_t *object, const char *key,
                            int64_t least, int64_t most, int64_t *out) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value)) return unexpected(ctx, where, key, value, "an integer");
    const int64_t found = json_integer_value(value);
    if (found < least || found > most)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: \"%s\" is %lld; expected an integer from %lld to %lld", where, key,
                           (long long)found, (long long)least, (long long)most);
    *out = found;
    return WHET_OK;
}

whet_status whet_i_json_int_or(whet_ctx *ctx, const char *where, const json_t *object,
                               const char *key, int64_t least, int64_t most, int64_t fallback,
                               int64_t *out) {
    if (given(object, key)) return whet_i_json_int(ctx, where, object, key, least, most, out);
    *out = fallback;
    return WHET_OK;
}

whet_status whet_i_json_real(whet_ctx *ctx, const char *where, const json_t *object,
                             const char *key, double *out) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value)) return unexpected(ctx, where, key, value, "a number");
    *out = json_number_value(value); /* finite: jansson refuses what overflows */
    return WHET_OK;
}

whet_status whet_i_json_real_or(whet_ctx *ctx, const char *where, const json_t *object,
                                const char *key, double fallback, double *out) {
    if (given(object, key)) return whet_i_json_real(ctx, where, object, key, out);
    *out = fallback;
    return WHET_OK;
}

whet_status whet_i_json_bool(whet_ctx *ctx, const char *where, const json_t *object,
                             const char *key, bool *out) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_boolean(value)) return unexpected(ctx, where, key, value, "true or false");
    *out = json_is_true(value);
    return WHET_OK;
}

whet_status whet_i_json_bool_or(whet_ctx *ctx, const char *where, const json_t *object,
                                const char *key, bool fallback, bool *out) {
    if (given(object, key)) return whet_i_json_bool(ctx, where, object, key, out);
    *out = fallback;
    return WHET_OK;
}

whet_status whet_i_json_str(whet_ctx *ctx, const char *where, const json_t *object, const char *key,
                            whet_str *out) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value)) return unexpected(ctx, where, key, value, "a string");
    *out = (whet_str){json_string_value(value), (int64_t)json_string_length(value)};
    return WHET_OK;
}

whet_status whet_i_json_str_or_none(whet_ctx *ctx, const char *where, const json_t *object,
                                    const char *key, whet_str *out) {
    if (given(object, key)) return whet_i_json_str(ctx, where, object, key, out);
    *out = (whet_str){NULL, 0};
    return WHET_OK;
}

whet_status whet_i_json_object(whet_ctx *ctx, const char *where, const json_t *object,
                               const char *key, json_t **out) {
    json_t *value = json_object_get(object, key);
    if (!json_is_object(value)) return unexpected(ctx, where, key, value, "an object");
    *out = value;
    return WHET_OK;
}

whet_status whet_i_json_array(whet_ctx *ctx, const char *where, const json_t *object,
                              const char *key, json_t **out) {
    json_t *value = json_object_get(object, key);
    if (!json_is_array(value)) return unexpected(ctx, where, key, value, "an array");
    *out = value;
    return WHET_OK;
}

whet_status whet_i_json_object_or_none(whet_ctx *ctx, const char *where, const json_t *object,
                                       const char *key, json_t **out) {
    if (given(object, key)) return whet_i_json_object(ctx, where, object, key, out);
    *out = NULL;
    return WHET_OK;
}

whet_status whet_i_json_array_or_none(whet_ctx *ctx, const char *where, const json_t *object,
                                      const char *key, json_t **out) {
    if (given(object, key)) return whet_i_json_array(ctx, where, object, key, out);
    *out = NULL;
    return WHET_OK;
}

/* ---- writing ---------------------------------------------------------------------------------- */

typedef struct sink {
    whet_ctx *ctx;
    whet_i_buf *buf;
    whet_status status;
} sink;

/* jansson 2.14 does not look at the result for every piece: the first failure is kept here. */
static int append(const char *bytes, size_t len, void *data) {
    sink *to = data;
    if (to->status == WHET_OK)
        to->status = whet_i_buf_append(to->ctx, to->buf, bytes, (int64_t)len);
    return to->status == WHET_OK ? 0 : -1;
}

whet_status whet_i_json_dump(whet_ctx *ctx, const json_t *json, size_t flags, whet_i_buf *out) {
    sink to = {ctx, out, WHET_OK};
    const bool written = json && json_dump_callback(json, append, &to, flags) == 0;
    if (to.status != WHET_OK) return to.status;
    if (written) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_NOMEM, "out of memory: a JSON document");
}

whet_status whet_i_json_save(whet_ctx *ctx, const json_t *json, const char *path, bool force) {
    whet_status status = WHET_OK;
    whet_i_buf text = {0};
    whet_out *out = NULL;
    WHET_TRY_DONE(whet_i_json_dump(ctx, json, JSON_COMPACT | JSON_REAL_PRECISION(17), &text));
    WHET_TRY_DONE(whet_out_open(ctx, path, force, &out));
    WHET_TRY_DONE(whet_out_write(ctx, out, text.data, text.len));
    WHET_TRY_DONE(whet_out_write(ctx, out, "\n", 1));
    status = whet_out_commit(ctx, out);
    out = NULL;
done:
    whet_out_abort(ctx, out);
    whet_i_buf_free(ctx, &text);
    return status;
}

json_t *whet_i_json_number(double x) { return isfinite(x) ? json_real(x) : json_null(); }
