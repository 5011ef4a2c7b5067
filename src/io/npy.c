/* SPDX-License-Identifier: Apache-2.0
 * NumPy's array format, versions 1.0 to 3.0: a magic string, a length, a Python dictionary as text
 * {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }, and the data.
 * Source: numpy.org/devdocs/reference/generated/numpy.lib.format.html. */
#include "io/npy_i.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little-endian");

/* Types by numpy's code without the byte order. */
static const struct {
    const char *code;
    whet_dtype dtype;
} codes[] = {
    {"f8", WHET_F64}, {"f4", WHET_F32}, {"f2", WHET_F16}, {"i8", WHET_I64},
    {"i4", WHET_I32}, {"i2", WHET_I16}, {"i1", WHET_I8},  {"u8", WHET_U64},
    {"u4", WHET_U32}, {"u2", WHET_U16}, {"u1", WHET_U8},  {"b1", WHET_BOOL},
};

/* ---- the dictionary -------------------------------------------------------------------------- */

typedef struct reader {
    whet_ctx *ctx;
    const char *where;
    const char *begin, *at, *end;
} reader;

static whet_status wrong(const reader *r, const char *expected) {
    char quoted[WHET_QUOTE_SIZE];
    const int64_t left = r->end - r->at;
    return whet_i_fail(r->ctx, WHET_ERR_FORMAT, "%s: header has %s at byte %lld; expected %s",
                       r->where, whet_i_quote(quoted, (whet_str){r->at, left < 12 ? left : 12}),
                       (long long)(r->at - r->begin), expected);
}

static void skip_space(reader *r) {
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\t')) r->at++;
}

static bool next_is(reader *r, char c) {
    skip_space(r);
    if (r->at == r->end || *r->at != c) return false;
    r->at++;
    return true;
}

static bool word(reader *r, const char *text) {
    const size_t len = strlen(text);
    skip_space(r);
    if ((size_t)(r->end - r->at) < len || memcmp(r->at, text, len) != 0) return false;
    r->at += len;
    return true;
}

static whet_status quoted_text(reader *r, whet_str *out) {
    skip_space(r);
    if (r->at == r->end || (*r->at != '\'' && *r->at != '"')) return wrong(r, "a quoted string");
    const char *first = r->at + 1;
    const char *last = memchr(first, *r->at, (size_t)(r->end - first));
    if (!last) return wrong(r, "a closing quote");
    *out = (whet_str){first, last - first};
    r->at = last + 1;
    return WHET_OK;
}

static whet_status read_type(reader *r, whet_i_npy *npy) {
    char quoted[WHET_QUOTE_SIZE];
    whet_str text;
    skip_space(r);
    if (r->at < r->end && *r->at == '[')
        return whet_i_fail(r->ctx, WHET_ERR_UNSUPPORTED,
                           "%s: structured array; expected one of plain numbers; try saving each "
                           "field by itself",
                           r->where);
    WHET_TRY(quoted_text(r, &text));
    if (text.len == 3 && (text.ptr[0] == '<' || text.ptr[0] == '|'))
        for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
            if (memcmp(text.ptr + 1, codes[i].code, 2) == 0) {
                npy->dtype = codes[i].dtype;
                return WHET_OK;
            }
    return whet_i_fail(r->ctx, WHET_ERR_UNSUPPORTED,
                       "%s: dtype %s; expected little-endian f2 to f8, i1 to i8, u1 to u8 or b1",
                       r->where, whet_i_quote(quoted, text));
}

static whet_status read_size(reader *r, int64_t *out) {
    int64_t value = 0;
    skip_space(r);
    const char *first = r->at;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *r->at - '0', &value))
            return whet_i_fail(r->ctx, WHET_ERR_LIMIT, "%s: shape has a size over 2^63", r->where);
    }
    if (r->at == first) return wrong(r, "a size of the shape");
    if (r->at < r->end && *r->at == 'L') r->at++; /* Python 2 wrote long integers so */
    *out = value;
    return WHET_OK;
}

static whet_status read_shape(reader *r, whet_i_npy *npy) {
    npy->rank = 0;
    if (!next_is(r, '(')) return wrong(r, "a tuple");
    while (!next_is(r, ')')) {
        if (npy->rank == WHET_RANK_MAX)
            return whet_i_fail(r->ctx, WHET_ERR_LIMIT, "%s: over %d dimensions", r->where,
                               WHET_RANK_MAX);
        WHET_TRY(read_size(r, &npy->shape[npy->rank++]));
        if (!next_is(r, ',') && (r->at == r->end || *r->at != ')')) return wrong(r, "\",\"");
    }
    return WHET_OK;
}

static whet_status read_member(reader *r, whet_i_npy *npy, unsigned *seen) {
    enum { DESCR = 1, ORDER = 2, SHAPE = 4 };
    whet_str key;
    const char *at = r->at;
    WHET_TRY(quoted_text(r, &key));
    if (!next_is(r, ':')) return wrong(r, "\":\"");
    const unsigned which = whet_str_equal(key, whet_str_from("descr"))           ? DESCR
                           : whet_str_equal(key, whet_str_from("fortran_order")) ? ORDER
                           : whet_str_equal(key, whet_str_from("shape"))         ? SHAPE
                                                                                 : 0;
    if (which == 0 || (*seen & which)) {
        r->at = at;
        return wrong(r, "descr, fortran_order and shape, each once");
    }
    *seen |= which;
    if (which == DESCR) return read_type(r, npy);
    if (which == SHAPE) return read_shape(r, npy);
    npy->fortran = word(r, "True");
    return npy->fortran || word(r, "False") ? WHET_OK : wrong(r, "True or False");
}

static whet_status read_dictionary(reader *r, whet_i_npy *npy) {
    unsigned seen = 0;
    if (!next_is(r, '{')) return wrong(r, "a dictionary");
    while (!next_is(r, '}')) {
        WHET_TRY(read_member(r, npy, &seen));
        skip_space(r);
        if (!next_is(r, ',') && (r->at == r->end || *r->at != '}')) return wrong(r, "\",\"");
    }
    skip_space(r);
    if (r->at != r->end) return wrong(r, "the end of the header");
    return seen == 7 ? WHET_OK : wrong(r, "descr, fortran_order and shape");
}

/* ---- reading --------------------------------------------------------------------------------- */

static whet_status check_sizes(whet_ctx *ctx, const char *where, whet_i_npy *npy, int64_t total) {
    int64_t bytes = (int64_t)whet_dtype_size(npy->dtype);
    for (int32_t i = 0; i < npy->rank; i++)
        if (whet_i_mul(ctx, bytes, npy->shape[i], &bytes) != WHET_OK)
            return whet_i_fail_at(ctx, WHET_ERR_LIMIT, "%s", where);
    if (bytes != total - npy->offset)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: %lld bytes of data; expected %lld for its shape and dtype", where,
                           (long long)(total - npy->offset), (long long)bytes);
    npy->data_bytes = bytes;
    return WHET_OK;
}

whet_status whet_i_npy_header(whet_ctx *ctx, const char *where, const char *bytes, int64_t len,
                              int64_t total, whet_i_npy *out) {
    enum { SHORT_PREFIX = 10, LONG_PREFIX = 12 };
    const unsigned char *b = (const unsigned char *)bytes;
    if (len < SHORT_PREFIX || memcmp(b, "\x93NUMPY", 6) != 0)
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: not a .npy array; expected \\x93NUMPY first",
                           where);
    if (b[6] < 1 || b[6] > 3)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED, "%s: .npy version %d.%d; expected 1 to 3",
                           where, b[6], b[7]);
    const int64_t prefix = b[6] == 1 ? SHORT_PREFIX : LONG_PREFIX;
    int64_t size = (int64_t)b[8] | (int64_t)b[9] << 8;
    if (b[6] > 1 && len >= LONG_PREFIX) size |= (int64_t)b[10] << 16 | (int64_t)b[11] << 24;
    if (len < prefix || size > total - prefix)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: header of %lld bytes in a file of %lld; expected it inside", where,
                           (long long)size, (long long)total);
    if (size > len - prefix)
        return whet_i_fail(ctx, WHET_ERR_LIMIT, "%s: header of %lld bytes; expected at most %d",
                           where, (long long)size, WHET_NPY_HEADER_MAX);
    reader r = {ctx, where, bytes, bytes + prefix, bytes + prefix + size};
    whet_i_npy npy = {.offset = prefix + size};
    WHET_TRY(read_dictionary(&r, &npy));
    WHET_TRY(check_sizes(ctx, where, &npy, total));
    *out = npy;
    return WHET_OK;
}

void whet_i_npy_from_fortran(const whet_i_npy *npy, const char *data, char *out) {
    const size_t size = whet_dtype_size(npy->dtype);
    int64_t stride[WHET_RANK_MAX], index[WHET_RANK_MAX] = {0}, step = (int64_t)size;
    for (int32_t i = 0; i < npy->rank; i++) {
        stride[i] = step;
        step *= npy->shape[i];
    }
    int64_t from = 0;
    for (int64_t done = 0; done < npy->data_bytes; done += (int64_t)size) {
        memcpy(out + done, data + from, size);
        for (int32_t i = npy->rank - 1; i >= 0; i--) { /* the last index runs fastest */
            from += stride[i];
            if (++index[i] < npy->shape[i]) break;
            from -= stride[i] * npy->shape[i];
            index[i] = 0;
        }
    }
}

whet_status whet_i_npy_tensor(whet_ctx *ctx, const char *where, const whet_i_npy *npy,
                              whet_tensor *out) {
    whet_tensor made = {.dtype = npy->dtype, .rank = npy->rank};
    memcpy(made.shape, npy->shape, sizeof made.shape);
    WHET_TRY(whet_i_array_room(ctx, where, &made));
    WHET_TRY(whet_i_alloc_(ctx, npy->data_bytes, 1, false, &made.data));
    *out = made;
    return WHET_OK;
}

whet_status whet_i_npy_parse(whet_ctx *ctx, const char *where, const char *bytes, int64_t len,
                             whet_tensor *out) {
    whet_i_npy npy;
    WHET_TRY(whet_i_npy_header(ctx, where, bytes, len, len, &npy));
    WHET_TRY(whet_i_npy_tensor(ctx, where, &npy, out));
    if (npy.fortran && npy.rank > 1)
        whet_i_npy_from_fortran(&npy, bytes + npy.offset, out->data);
    else if (npy.data_bytes)
        memcpy(out->data, bytes + npy.offset, (size_t)npy.data_bytes);
    return WHET_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

whet_status whet_i_npy_write_header(whet_ctx *ctx, const char *where, whet_dtype dtype,
                                    int32_t rank, const int64_t *shape, whet_i_buf *out) {
    enum { PREFIX = 10, ALIGN = 64, SIZE_AT = 8 };
    const char *code = NULL;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (codes[i].dtype == dtype) code = codes[i].code;
    if (!code)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "%s: numpy has no %s; try f32, or write safetensors", where,
                           whet_dtype_name(dtype));
    const int64_t start = out->len;
    WHET_TRY(whet_i_buf_append(ctx, out, "\x93NUMPY\1\0\0\0", PREFIX));
    WHET_TRY(whet_i_buf_printf(ctx, out, "{'descr': '%c%s', 'fortran_order': False, 'shape': (",
                               whet_dtype_size(dtype) == 1 ? '|' : '<', code));
    for (int32_t i = 0; i < rank; i++)
        WHET_TRY(whet_i_buf_printf(ctx, out, "%s%lld%s", i ? ", " : "", (long long)shape[i],
                                   rank == 1 ? "," : ""));
    WHET_TRY(whet_i_buf_printf(ctx, out, "), }"));
    while ((out->len - start + 1) % ALIGN) WHET_TRY(whet_i_buf_append(ctx, out, " ", 1));
    WHET_TRY(whet_i_buf_append(ctx, out, "\n", 1));
    const int64_t size = out->len - start - PREFIX;
    out->data[start + SIZE_AT] = (char)(size & 0xff);
    out->data[start + SIZE_AT + 1] = (char)(size >> 8 & 0xff);
    return WHET_OK;
}

struct whet_npy_stream {
    whet_out *out;
    int64_t rows, row_bytes, appended;
    char *path;
};

whet_status whet_npy_stream_open(whet_ctx *ctx, const char *path, bool force, whet_dtype dtype,
                                 int32_t rank, const int64_t *shape, whet_npy_stream **out) {
    if (rank < 1 || rank > WHET_RANK_MAX)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%s: %d dimensions; expected 1 to %d", path, rank,
                           WHET_RANK_MAX);
    int64_t row_bytes = (int64_t)whet_dtype_size(dtype), total;
    for (int32_t i = 1; i < rank; i++) WHET_TRY(whet_i_mul(ctx, row_bytes, shape[i], &row_bytes));
    WHET_TRY(whet_i_mul(ctx, row_bytes, shape[0], &total));
    whet_npy_stream *made = NULL;
    whet_i_buf header = {0};
    WHET_TRY(whet_i_calloc(ctx, 1, &made));
    made->rows = shape[0];
    made->row_bytes = row_bytes;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_strdup(ctx, whet_str_from(path), &made->path));
    WHET_TRY_DONE(whet_i_npy_write_header(ctx, path, dtype, rank, shape, &header));
    WHET_TRY_DONE(whet_out_open(ctx, path, force, &made->out));
    WHET_TRY_DONE(whet_out_write(ctx, made->out, header.data, header.len));
    *out = made;
    made = NULL;
done:
    whet_i_buf_free(ctx, &header);
    whet_npy_stream_abort(ctx, made);
    return status;
}

whet_status whet_npy_stream_append(whet_ctx *ctx, whet_npy_stream *stream, const void *rows,
                                   int64_t n_rows) {
    if (n_rows < 0 || n_rows > stream->rows - stream->appended)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s: %lld rows behind %lld; expected at most %lld in all", stream->path,
                           (long long)n_rows, (long long)stream->appended, (long long)stream->rows);
    WHET_TRY(whet_out_write(ctx, stream->out, rows, n_rows * stream->row_bytes));
    stream->appended += n_rows;
    return WHET_OK;
}

whet_status whet_npy_stream_commit(whet_ctx *ctx, whet_npy_stream *stream) {
    whet_status status;
    if (stream->appended != stream->rows) {
        status = whet_i_fail(ctx, WHET_ERR_SHAPE, "%s: %lld rows; expected %lld as announced",
                             stream->path, (long long)stream->appended, (long long)stream->rows);
    } else {
        whet_out *out = stream->out;
        stream->out = NULL;
        status = whet_out_commit(ctx, out);
    }
    whet_npy_stream_abort(ctx, stream);
    return status;
}

void whet_npy_stream_abort(whet_ctx *ctx, whet_npy_stream *stream) {
    if (!stream) return;
    whet_out_abort(ctx, stream->out);
    whet_i_free(ctx, stream->path);
    whet_i_free(ctx, stream);
}

whet_status whet_npy_write(whet_ctx *ctx, const char *path, bool force, const whet_tensor *tensor) {
    whet_i_buf header = {0};
    whet_out *out = NULL;
    whet_status status =
        whet_i_npy_write_header(ctx, path, tensor->dtype, tensor->rank, tensor->shape, &header);
    if (status != WHET_OK) goto done;
    WHET_TRY_DONE(whet_out_open(ctx, path, force, &out));
    WHET_TRY_DONE(whet_out_write(ctx, out, header.data, header.len));
    WHET_TRY_DONE(
        whet_out_write(ctx, out, tensor->data,
                       whet_tensor_count(tensor) * (int64_t)whet_dtype_size(tensor->dtype)));
    whet_out *whole = out;
    out = NULL;
    status = whet_out_commit(ctx, whole);
done:
    whet_out_abort(ctx, out);
    whet_i_buf_free(ctx, &header);
    return status;
}
