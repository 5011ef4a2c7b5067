/* SPDX-License-Identifier: Apache-2.0
 * safetensors: 8 bytes of header length (little-endian), a JSON header, then the tensors' bytes.
 *   {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "__metadata__": {...}}
 * The header is checked whole before a view is handed out: offsets count from the end of the
 * header, tensors lie one behind the other without hole or overlap and fill the file, as the
 * format demands. Source: https://github.com/huggingface/safetensors (README, "Format"). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "io/safetensors_i.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little-endian");

enum { LENGTH_BYTES = 8, HEADER_MAX = 100 * 1000 * 1000 };
static const char metadata_key[] = "__metadata__";

struct whet_safetensors {
    whet_i_map map; /* {0} when the bytes are somebody else's */
    whet_names *names;
    whet_tensor *views;
    whet_names *keys; /* metadata */
    whet_str *values;
    whet_i_arena text;
};

static const struct {
    const char *name;
    whet_dtype dtype;
} dtypes[] = {
    {"F64", WHET_F64},   {"F32", WHET_F32}, {"F16", WHET_F16}, {"BF16", WHET_BF16},
    {"I64", WHET_I64},   {"I32", WHET_I32}, {"I16", WHET_I16}, {"I8", WHET_I8},
    {"U64", WHET_U64},   {"U32", WHET_U32}, {"U16", WHET_U16}, {"U8", WHET_U8},
    {"BOOL", WHET_BOOL},
};

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct span {
    int64_t begin, end, tensor;
} span;

static whet_status read_dtype(whet_ctx *ctx, const char *where, const json_t *entry,
                              whet_dtype *out) {
    whet_str name;
    WHET_TRY(whet_i_json_str(ctx, where, entry, "dtype", &name));
    for (int64_t i = 0; i < WHET_COUNT_OF(dtypes); i++) {
        if (!whet_str_equal(name, whet_str_from(dtypes[i].name))) continue;
        *out = dtypes[i].dtype;
        return WHET_OK;
    }
    char quoted[WHET_QUOTE_SIZE];
    return whet_i_fail(
        ctx, WHET_ERR_UNSUPPORTED,
        "%s: the element type is %s; expected F64, F32, F16, BF16, BOOL or an integer", where,
        whet_i_quote(quoted, name));
}

static whet_status read_shape(whet_ctx *ctx, const char *where, const json_t *entry,
                              whet_tensor *view, int64_t *bytes) {
    json_t *shape;
    WHET_TRY(whet_i_json_array(ctx, where, entry, "shape", &shape));
    const size_t rank = json_array_size(shape);
    if (rank > WHET_RANK_MAX)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED, "%s: %zu dimensions; expected at most %d",
                           where, rank, WHET_RANK_MAX);
    view->rank = (int32_t)rank;
    *bytes = (int64_t)whet_dtype_size(view->dtype);
    for (size_t i = 0; i < rank; i++) {
        const json_t *size = json_array_get(shape, i);
        if (!json_is_integer(size) || json_integer_value(size) < 0)
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "%s: shape[%zu] is %s; expected an integer of at least 0", where, i,
                               json_is_integer(size) ? "negative" : whet_i_json_kind(size));
        view->shape[i] = json_integer_value(size);
    }
    for (size_t i = 0; i < rank; i++) {
        if (whet_i_mul(ctx, *bytes, view->shape[i], bytes) != WHET_OK)
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "%s: the shape's product overflows; expected "
                               "one that fits the file",
                               where);
    }
    return WHET_OK;
}

static whet_status read_entry(whet_ctx *ctx, const char *where, const json_t *entry,
                              int64_t data_len, whet_tensor *view, span *place) {
    if (!json_is_object(entry))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: the entry is %s; expected an object", where,
                           whet_i_json_kind(entry));
    int64_t bytes = 0;
    json_t *offsets;
    WHET_TRY(read_dtype(ctx, where, entry, &view->dtype));
    WHET_TRY(read_shape(ctx, where, entry, view, &bytes));
    WHET_TRY(whet_i_json_array(ctx, where, entry, "data_offsets", &offsets));
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: data_offsets; expected two integers", where);
    place->begin = json_integer_value(begin);
    place->end = json_integer_value(end);
    if (place->begin < 0 || place->end < place->begin || place->end > data_len)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: the data lie at %" PRId64 " to %" PRId64
                           "; expected a range within the %" PRId64 " bytes that the file has",
                           where, place->begin, place->end, data_len);
    if (place->end - place->begin != bytes)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: %" PRId64 " bytes of data; expected %" PRId64
                           " from its type and shape",
                           where, place->end - place->begin, bytes);
    return WHET_OK;
}

static int by_begin(const void *a, const void *b) {
    const span *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

static whet_status check_cover(whet_ctx *ctx, const char *where, const whet_names *names,
                               span *spans, int64_t n, int64_t data_len) {
    qsort(spans, (size_t)n, sizeof *spans, by_begin);
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        char quoted[WHET_QUOTE_SIZE];
        if (spans[i].begin != at)
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "%s: tensor %s begins at byte %" PRId64 "; expected %" PRId64
                               ", right behind the one before",
                               where, whet_i_quote(quoted, whet_names_get(names, spans[i].tensor)),
                               spans[i].begin, at);
        at = spans[i].end;
    }
    if (at != data_len)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: %" PRId64 " bytes of data; expected %" PRId64 " as the header says",
                           where, data_len, at);
    return WHET_OK;
}

static whet_status read_metadata(whet_ctx *ctx, const char *where, json_t *metadata,
                                 whet_safetensors *file) {
    if (!metadata) return WHET_OK;
    if (!json_is_object(metadata))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: __metadata__ is %s; expected an object",
                           where, whet_i_json_kind(metadata));
    WHET_TRY(whet_i_calloc(ctx, (int64_t)json_object_size(metadata), &file->values));
    const char *key;
    json_t *value;
    json_object_foreach(metadata, key, value) {
        if (!json_is_string(value))
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "%s: a value of __metadata__ is %s; expected a string", where,
                               whet_i_json_kind(value));
        int64_t index = 0;
        const int64_t len = (int64_t)json_string_length(value);
        char *copy;
        WHET_TRY(whet_names_add(ctx, file->keys, whet_str_from(key), &index));
        WHET_TRY(whet_i_arena_alloc(ctx, &file->text, len + 1, 1, &copy));
        memcpy(copy, json_string_value(value), (size_t)len + 1);
        file->values[index] = (whet_str){copy, len};
    }
    return WHET_OK;
}

static whet_status read_header(whet_ctx *ctx, const char *where, json_t *header, const char *data,
                               int64_t data_len, whet_safetensors *file, span *spans) {
    const char *key;
    json_t *entry;
    int64_t n = 0;
    json_object_foreach(header, key, entry) {
        if (strcmp(key, metadata_key) == 0) continue;
        char quoted[WHET_QUOTE_SIZE], place[WHET_QUOTE_SIZE + 16];
        (void)snprintf(place, sizeof place, "tensor %s", whet_i_quote(quoted, whet_str_from(key)));
        const whet_status status =
            read_entry(ctx, place, entry, data_len, &file->views[n], &spans[n]);
        if (status != WHET_OK) return whet_i_fail_at(ctx, status, "%s", where);
        /* Views are handed out as plain tensors; the mapping stays read-only all the same. */
        file->views[n].data = (void *)((uintptr_t)data + (uintptr_t)spans[n].begin);
        spans[n].tensor = n;
        WHET_TRY(whet_names_add(ctx, file->names, whet_str_from(key), NULL));
        n++;
    }
    WHET_TRY(check_cover(ctx, where, file->names, spans, n, data_len));
    return read_metadata(ctx, where, json_object_get(header, metadata_key), file);
}

static whet_status header_length(whet_ctx *ctx, const char *where, const char *bytes, int64_t len,
                                 int64_t *out) {
    uint64_t header = 0;
    if (len < LENGTH_BYTES)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: %" PRId64 " bytes; expected a header length "
                           "of 8",
                           where, len);
    memcpy(&header, bytes, sizeof header);
    if (header > HEADER_MAX || (int64_t)header > len - LENGTH_BYTES)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: a header of %" PRIu64 " bytes; expected at most the %" PRId64
                           " that follow, and 100 MB",
                           where, header, len - LENGTH_BYTES);
    *out = (int64_t)header;
    return WHET_OK;
}

whet_status whet_i_safetensors_parse(whet_ctx *ctx, const char *where, const char *bytes,
                                     int64_t len, whet_safetensors **out) {
    whet_status status = WHET_OK;
    whet_safetensors *file = NULL;
    json_t *header = NULL;
    span *spans = NULL;
    int64_t header_len = 0;
    WHET_TRY(header_length(ctx, where, bytes, len, &header_len));
    WHET_TRY(whet_i_json_parse(ctx, where, bytes + LENGTH_BYTES, header_len, &header));
    if (!json_is_object(header)) {
        status = whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: the header is %s; expected an object",
                             where, whet_i_json_kind(header));
        goto done;
    }
    const int64_t most = (int64_t)json_object_size(header);
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &file));
    WHET_TRY_DONE(whet_names_create(ctx, &file->names));
    WHET_TRY_DONE(whet_names_create(ctx, &file->keys));
    WHET_TRY_DONE(whet_i_calloc(ctx, most, &file->views));
    WHET_TRY_DONE(whet_i_calloc(ctx, most, &spans));
    const int64_t data_at = LENGTH_BYTES + header_len;
    WHET_TRY_DONE(read_header(ctx, where, header, bytes + data_at, len - data_at, file, spans));
    *out = file;
    file = NULL;
done:
    json_decref(header);
    whet_i_free(ctx, spans);
    whet_safetensors_close(ctx, file);
    return status;
}

whet_status whet_safetensors_open(whet_ctx *ctx, const char *path, whet_safetensors **out) {
    whet_i_map map = {0};
    whet_safetensors *file = NULL;
    WHET_TRY(whet_i_map_open(ctx, path, &map));
    const whet_status status = whet_i_safetensors_parse(ctx, path, map.ptr, map.len, &file);
    if (status != WHET_OK) {
        whet_i_map_close(&map);
        return status;
    }
    file->map = map;
    *out = file;
    return WHET_OK;
}

static whet_status join(whet_ctx *ctx, const char *where, whet_safetensors *const *files, int64_t n,
                        whet_safetensors *out) {
    int64_t count = 0, at = 0;
    for (int64_t f = 0; f < n; f++) count += whet_safetensors_count(files[f]);
    WHET_TRY(whet_names_create(ctx, &out->names));
    WHET_TRY(whet_names_create(ctx, &out->keys));
    WHET_TRY(whet_i_calloc(ctx, count, &out->views));
    WHET_TRY(whet_i_calloc(ctx, whet_names_count(files[0]->keys), &out->values));
    for (int64_t k = 0; k < whet_names_count(files[0]->keys); k++) {
        WHET_TRY(whet_names_add(ctx, out->keys, whet_names_get(files[0]->keys, k), NULL));
        out->values[k] = files[0]->values[k];
    }
    for (int64_t f = 0; f < n; f++)
        for (int64_t i = 0; i < whet_safetensors_count(files[f]); i++, at++) {
            const whet_str name = whet_safetensors_name(files[f], i);
            char quoted[WHET_QUOTE_SIZE];
            if (whet_names_find(out->names, name) >= 0)
                return whet_i_fail(ctx, WHET_ERR_FORMAT,
                                   "%s: tensor %s is in two files; expected it in one", where,
                                   whet_i_quote(quoted, name));
            WHET_TRY(whet_names_add(ctx, out->names, name, NULL));
            out->views[at] = files[f]->views[i];
        }
    return WHET_OK;
}

whet_status whet_i_safetensors_join(whet_ctx *ctx, const char *where,
                                    whet_safetensors *const *files, int64_t n,
                                    whet_safetensors **out) {
    whet_safetensors *all;
    WHET_TRY(whet_i_calloc(ctx, 1, &all));
    const whet_status status = join(ctx, where, files, n, all);
    if (status == WHET_OK)
        *out = all;
    else
        whet_safetensors_close(ctx, all);
    return status;
}

void whet_i_safetensors_forget(const whet_safetensors *file) { whet_i_map_forget(&file->map); }

int64_t whet_i_safetensors_offset(const whet_safetensors *file, const whet_tensor *view) {
    return (int64_t)((uintptr_t)view->data - (uintptr_t)file->map.ptr);
}

void whet_safetensors_close(whet_ctx *ctx, whet_safetensors *file) {
    if (!file) return;
    whet_i_map_close(&file->map);
    whet_names_destroy(ctx, file->names);
    whet_names_destroy(ctx, file->keys);
    whet_i_free(ctx, file->views);
    whet_i_free(ctx, file->values);
    whet_i_arena_free(ctx, &file->text);
    whet_i_free(ctx, file);
}

int64_t whet_safetensors_count(const whet_safetensors *file) {
    return whet_names_count(file->names);
}

whet_str whet_safetensors_name(const whet_safetensors *file, int64_t i) {
    return whet_names_get(file->names, i);
}

bool whet_safetensors_find(const whet_safetensors *file, const char *name, whet_tensor *view) {
    const int64_t i = whet_names_find(file->names, whet_str_from(name));
    if (i < 0) return false;
    *view = file->views[i];
    return true;
}

whet_str whet_safetensors_metadata(const whet_safetensors *file, const char *key) {
    const int64_t i = whet_names_find(file->keys, whet_str_from(key));
    return i < 0 ? (whet_str){NULL, 0} : file->values[i];
}

/* ---- writing --------------------------------------------------------------------------------- */

static const char *dtype_name(whet_dtype dtype) {
    for (int64_t i = 0; i < WHET_COUNT_OF(dtypes); i++)
        if (dtypes[i].dtype == dtype) return dtypes[i].name;
    return "";
}

/* Takes over `value` whatever happens, as json_object_set_new does. */
static whet_status set_new(whet_ctx *ctx, json_t *object, const char *key, json_t *value) {
    if (json_object_set_new(object, key, value) == 0) return WHET_OK;
    char quoted[WHET_QUOTE_SIZE];
    return whet_i_fail(ctx, WHET_ERR_ARG, "%s cannot be written as JSON; expected valid UTF-8",
                       whet_i_quote(quoted, whet_str_from(key)));
}

static whet_status add_entry(whet_ctx *ctx, json_t *header, const whet_named_tensor *item,
                             int64_t *at) {
    const whet_tensor *t = &item->tensor;
    char quoted[WHET_QUOTE_SIZE];
    if (json_object_get(header, item->name) || strcmp(item->name, metadata_key) == 0)
        return whet_i_fail(ctx, WHET_ERR_ARG, "tensor name %s; expected distinct names",
                           whet_i_quote(quoted, whet_str_from(item->name)));
    int64_t bytes = 0, end = 0;
    WHET_TRY(whet_i_mul(ctx, whet_tensor_count(t), (int64_t)whet_dtype_size(t->dtype), &bytes));
    WHET_TRY(whet_i_add(ctx, *at, bytes, &end));
    json_t *shape = json_array();
    for (int32_t i = 0; i < t->rank; i++)
        (void)json_array_append_new(shape, json_integer(t->shape[i]));
    json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype_name(t->dtype), "shape", shape,
                              "data_offsets", (json_int_t)*at, (json_int_t)end);
    if (!entry) return whet_i_fail(ctx, WHET_ERR_NOMEM, "out of memory in a safetensors header");
    *at = end;
    return set_new(ctx, header, item->name, entry);
}

static whet_status build_header(whet_ctx *ctx, const whet_named_tensor *items, int64_t n,
                                const char *const *metadata, json_t *header) {
    if (metadata && metadata[0]) {
        json_t *object = json_object();
        WHET_TRY(set_new(ctx, header, metadata_key, object));
        for (int64_t i = 0; metadata[i]; i += 2)
            WHET_TRY(set_new(ctx, object, metadata[i], json_string(metadata[i + 1])));
    }
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++) WHET_TRY(add_entry(ctx, header, &items[i], &at));
    return WHET_OK;
}

whet_status whet_i_safetensors_header(whet_ctx *ctx, const whet_named_tensor *items, int64_t n,
                                      const char *const *metadata, whet_i_buf *out) {
    static const char spaces[LENGTH_BYTES] = {' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '};
    whet_i_buf text = {0};
    whet_status status = WHET_OK;
    json_t *header = json_object();
    if (!header) return whet_i_fail(ctx, WHET_ERR_NOMEM, "out of memory in a safetensors header");
    WHET_TRY_DONE(build_header(ctx, items, n, metadata, header));
    WHET_TRY_DONE(whet_i_json_dump(ctx, header, JSON_COMPACT, &text));
    const int64_t pad = (LENGTH_BYTES - text.len % LENGTH_BYTES) % LENGTH_BYTES;
    const uint64_t length = (uint64_t)(text.len + pad);
    WHET_TRY_DONE(whet_i_buf_append(ctx, out, &length, LENGTH_BYTES));
    WHET_TRY_DONE(whet_i_buf_append(ctx, out, text.data, text.len));
    WHET_TRY_DONE(
        whet_i_buf_append(ctx, out, spaces, pad)); /* data then begin at a multiple of 8 */
done:
    whet_i_buf_free(ctx, &text);
    json_decref(header);
    return status;
}

static whet_status write_all(whet_ctx *ctx, whet_out *out, const whet_i_buf *header,
                             const whet_named_tensor *items, int64_t n) {
    WHET_TRY(whet_out_write(ctx, out, header->data, header->len));
    for (int64_t i = 0; i < n; i++) {
        const whet_tensor *t = &items[i].tensor;
        WHET_TRY(whet_out_write(ctx, out, t->data,
                                whet_tensor_count(t) * (int64_t)whet_dtype_size(t->dtype)));
    }
    return WHET_OK;
}

whet_status whet_safetensors_write(whet_ctx *ctx, const char *path, bool force,
                                   const whet_named_tensor *items, int64_t n,
                                   const char *const *metadata) {
    whet_status status = WHET_OK;
    whet_out *out = NULL;
    whet_i_buf header = {0};
    WHET_TRY_DONE(whet_i_safetensors_header(ctx, items, n, metadata, &header));
    WHET_TRY_DONE(whet_out_open(ctx, path, force, &out));
    WHET_TRY_DONE(write_all(ctx, out, &header, items, n));
    whet_out *finished = out;
    out = NULL;
    status = whet_out_commit(ctx, finished);
done:
    whet_out_abort(ctx, out);
    whet_i_buf_free(ctx, &header);
    return status;
}
