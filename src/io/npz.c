/* SPDX-License-Identifier: Apache-2.0
 * Arrays out of .npz archives (zip, entries "key.npy"), stored or deflated, through libzip.
 * An entry's array header is read first; header, entry size and the compressed bytes present must
 * agree before memory is asked for: deflate never gains more than 1032 times. */
#include <stdio.h>
#include <zip.h>

#include "io/npy_i.h"

static whet_status archive_error(whet_ctx *ctx, const char *where, zip_error_t *error) {
    char quoted[WHET_QUOTE_SIZE];
    const bool memory = zip_error_code_zip(error) == ZIP_ER_MEMORY;
    return whet_i_fail(ctx, memory ? WHET_ERR_NOMEM : WHET_ERR_FORMAT,
                       "%s: %s; expected a readable .npz archive", where,
                       whet_i_quote(quoted, whet_str_from(zip_error_strerror(error))));
}

static whet_status open_archive(whet_ctx *ctx, const char *where, const char *bytes, int64_t len,
                                zip_t **out) {
    zip_error_t error;
    zip_error_init(&error);
    zip_t *archive = NULL;
    zip_source_t *source = zip_source_buffer_create(bytes, (zip_uint64_t)len, 0, &error);
    if (source) archive = zip_open_from_source(source, ZIP_RDONLY, &error);
    if (!archive && source) zip_source_free(source);
    const whet_status status = archive ? WHET_OK : archive_error(ctx, where, &error);
    zip_error_fini(&error);
    if (archive) *out = archive;
    return status;
}

/* The entry's key: its name without ".npy", or {NULL, 0} when it is no array. */
static whet_str key_of(zip_t *archive, int64_t i) {
    const char *name = zip_get_name(archive, (zip_uint64_t)i, ZIP_FL_ENC_RAW);
    if (!name || !whet_i_has_extension(name, ".npy")) return (whet_str){NULL, 0};
    return (whet_str){name, (int64_t)strlen(name) - 4};
}

static whet_status no_such_key(whet_ctx *ctx, const char *where, zip_t *archive, const char *key) {
    enum { SHOWN = 8 };
    whet_i_buf list = {0};
    char quoted[WHET_QUOTE_SIZE];
    whet_status status = WHET_OK;
    int64_t shown = 0;
    const int64_t n = zip_get_num_entries(archive, 0);
    for (int64_t i = 0; i < n && shown <= SHOWN; i++) {
        const whet_str name = key_of(archive, i);
        if (!name.ptr) continue;
        WHET_TRY_DONE(whet_i_buf_printf(ctx, &list, "%s%s", shown ? ", " : "",
                                        shown < SHOWN ? whet_i_quote(quoted, name) : "..."));
        shown++;
    }
    if (shown == 0)
        status = whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: holds no array; expected entries key.npy",
                             where);
    else if (key)
        status = whet_i_fail(ctx, WHET_ERR_ARG, "%s: no array %s; expected one of %s", where,
                             whet_i_quote(quoted, whet_str_from(key)), list.data);
    else
        status = whet_i_fail(ctx, WHET_ERR_ARG,
                             "%s: holds several arrays; expected one; try \":key\" behind the "
                             "name with a key of %s",
                             where, list.data);
done:
    whet_i_buf_free(ctx, &list);
    return status;
}

static whet_status find(whet_ctx *ctx, const char *where, zip_t *archive, const char *key,
                        int64_t *out) {
    const int64_t n = zip_get_num_entries(archive, 0);
    int64_t found = -1;
    if (key && !*key) key = NULL;
    for (int64_t i = 0; i < n; i++) {
        const whet_str name = key_of(archive, i);
        if (!name.ptr || (key && !whet_str_equal(name, whet_str_from(key)))) continue;
        if (found >= 0 && !key) return no_such_key(ctx, where, archive, NULL);
        found = i; /* of entries with one name the last counts, as in Python */
    }
    if (found < 0) return no_such_key(ctx, where, archive, key);
    *out = found;
    return WHET_OK;
}

/* Exactly `len` bytes of the entry. */
static whet_status take(whet_ctx *ctx, const char *where, zip_file_t *entry, char *to,
                        int64_t len) {
    int64_t taken = 0;
    while (taken < len) {
        const zip_int64_t got = zip_fread(entry, to + taken, (zip_uint64_t)(len - taken));
        if (got < 0) return archive_error(ctx, where, zip_file_get_error(entry));
        if (got == 0)
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "%s: entry ends %lld bytes early; expected its whole size", where,
                               (long long)(len - taken));
        taken += got;
    }
    return WHET_OK;
}

/* The sizes that the archive claims for an entry, before anything of it is believed. */
static whet_status entry_size(whet_ctx *ctx, const char *where, zip_t *archive, int64_t index,
                              int64_t archive_len, int64_t *out) {
    enum { GAIN = 1032, SLACK = 64 };
    zip_stat_t info;
    zip_stat_init(&info);
    if (zip_stat_index(archive, (zip_uint64_t)index, 0, &info) != 0)
        return archive_error(ctx, where, zip_get_error(archive));
    if (info.comp_method != ZIP_CM_STORE && info.comp_method != ZIP_CM_DEFLATE)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "%s: compression method %d; expected stored or deflated", where,
                           (int)info.comp_method);
    if (info.comp_size > (zip_uint64_t)archive_len || info.size > INT64_MAX / 2 ||
        info.size / GAIN > info.comp_size + SLACK)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: entry of %llu bytes from %llu in an archive of %lld; expected "
                           "sizes that agree",
                           where, (unsigned long long)info.size, (unsigned long long)info.comp_size,
                           (long long)archive_len);
    *out = (int64_t)info.size;
    return WHET_OK;
}

static whet_status read_header(whet_ctx *ctx, const char *where, zip_file_t *entry, int64_t size,
                               whet_i_npy *npy) {
    enum { PREFIX = 12 };
    whet_i_buf head = {0};
    char prefix[PREFIX];
    whet_status status = WHET_OK;
    /* Every header is longer than the longest prefix. */
    const int64_t first = size < PREFIX ? size : PREFIX;
    WHET_TRY_DONE(take(ctx, where, entry, prefix, first));
    WHET_TRY_DONE(whet_i_buf_append(ctx, &head, prefix, first));
    const unsigned char *b = (const unsigned char *)prefix;
    int64_t whole = 0;
    if (first == PREFIX) {
        whole = (int64_t)b[8] | (int64_t)b[9] << 8;
        if (b[6] > 1) whole |= (int64_t)b[10] << 16 | (int64_t)b[11] << 24;
        whole += b[6] > 1 ? 12 : 10;
    }
    if (whole > size || whole > WHET_NPY_HEADER_MAX) whole = 0; /* whet_i_npy_header explains */
    for (char chunk[256]; head.len < whole;) {
        const int64_t left = whole - head.len, n = left < 256 ? left : 256;
        WHET_TRY_DONE(take(ctx, where, entry, chunk, n));
        WHET_TRY_DONE(whet_i_buf_append(ctx, &head, chunk, n));
    }
    if (head.len == 0) WHET_TRY_DONE(whet_i_buf_append(ctx, &head, "", 0));
    status = whet_i_npy_header(ctx, where, head.data, head.len, size, npy);
    if (status == WHET_OK && npy->offset != head.len)
        status = whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: header of %lld bytes; expected more", where,
                             (long long)npy->offset);
done:
    whet_i_buf_free(ctx, &head);
    return status;
}

static whet_status read_entry(whet_ctx *ctx, const char *where, zip_file_t *entry, int64_t size,
                              whet_tensor *out) {
    whet_i_npy npy;
    whet_tensor made = {0};
    char *fortran = NULL, spare;
    WHET_TRY(read_header(ctx, where, entry, size, &npy));
    whet_status status = whet_i_npy_tensor(ctx, where, &npy, &made);
    if (status != WHET_OK) return status;
    const bool turn = npy.fortran && npy.rank > 1;
    if (turn) WHET_TRY_DONE(whet_i_alloc(ctx, npy.data_bytes, &fortran));
    WHET_TRY_DONE(take(ctx, where, entry, turn ? fortran : made.data, npy.data_bytes));
    /* One byte more, which must not be there: libzip compares the checksum at the end only. */
    const zip_int64_t more = zip_fread(entry, &spare, 1);
    if (more < 0) {
        status = archive_error(ctx, where, zip_file_get_error(entry));
    } else if (more > 0) {
        status = whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: entry is longer than its size", where);
    } else {
        if (turn) whet_i_npy_from_fortran(&npy, fortran, made.data);
        *out = made;
        made.data = NULL;
    }
done:
    whet_i_free(ctx, fortran);
    whet_tensor_destroy(ctx, &made);
    return status;
}

whet_status whet_i_npz_parse(whet_ctx *ctx, const char *where, const char *bytes, int64_t len,
                             const char *key, whet_tensor *out) {
    zip_t *archive = NULL;
    zip_file_t *entry = NULL;
    int64_t index = -1, size = 0;
    WHET_TRY(open_archive(ctx, where, bytes, len, &archive));
    whet_status status = WHET_OK;
    WHET_TRY_DONE(find(ctx, where, archive, key, &index));
    WHET_TRY_DONE(entry_size(ctx, where, archive, index, len, &size));
    entry = zip_fopen_index(archive, (zip_uint64_t)index, 0);
    if (!entry) {
        status = archive_error(ctx, where, zip_get_error(archive));
        goto done;
    }
    status = read_entry(ctx, where, entry, size, out);
done:
    if (entry) (void)zip_fclose(entry);
    zip_discard(archive);
    return status;
}

/* ---- one element after another ---------------------------------------------------------------- */

struct whet_i_npz_stream {
    char *spec; /* for sentences */
    whet_i_map map;
    zip_t *archive;
    zip_file_t *entry;
    int64_t index, size;
    whet_i_npy npy;
    int64_t at; /* elements read */
    char *raw;  /* as they lie in the entry */
    int64_t room;
};

static whet_status open_entry(whet_ctx *ctx, whet_i_npz_stream *s) {
    s->entry = zip_fopen_index(s->archive, (zip_uint64_t)s->index, 0);
    if (!s->entry) return archive_error(ctx, s->spec, zip_get_error(s->archive));
    s->at = 0;
    return read_header(ctx, s->spec, s->entry, s->size, &s->npy);
}

whet_status whet_i_npz_stream_open(whet_ctx *ctx, const char *path, const char *key,
                                   whet_i_npz_stream **out) {
    whet_status status = WHET_OK;
    whet_i_npz_stream *s;
    whet_i_buf spec = {0};
    WHET_TRY(whet_i_calloc(ctx, 1, &s));
    WHET_TRY_DONE(whet_i_buf_printf(ctx, &spec, key ? "%s:%s" : "%s", path, key));
    WHET_TRY_DONE(whet_i_strdup(ctx, (whet_str){spec.data, spec.len}, &s->spec));
    WHET_TRY_DONE(whet_i_map_open(ctx, path, &s->map));
    WHET_TRY_DONE(open_archive(ctx, path, s->map.ptr, s->map.len, &s->archive));
    WHET_TRY_DONE(find(ctx, path, s->archive, key, &s->index));
    WHET_TRY_DONE(entry_size(ctx, path, s->archive, s->index, s->map.len, &s->size));
    WHET_TRY_DONE(open_entry(ctx, s));
    *out = s;
    s = NULL;
done:
    whet_i_buf_free(ctx, &spec);
    whet_i_npz_stream_close(ctx, s);
    return status;
}

int64_t whet_i_npz_stream_count(const whet_i_npz_stream *s) {
    return s->npy.rank == 1 ? s->npy.shape[0] : -1;
}

bool whet_i_npz_stream_head(const whet_i_npz_stream *s, whet_tensor *out) {
    *out = (whet_tensor){.dtype = s->npy.dtype, .rank = s->npy.rank};
    memcpy(out->shape, s->npy.shape, sizeof out->shape);
    return !s->npy.fortran || s->npy.rank < 2;
}

whet_status whet_i_npz_stream_take(whet_ctx *ctx, whet_i_npz_stream *s, int64_t n, void *out) {
    const int64_t size = (int64_t)whet_dtype_size(s->npy.dtype);
    if (n > s->npy.data_bytes / size - s->at)
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: ends early; expected more", s->spec);
    WHET_TRY(take(ctx, s->spec, s->entry, out, n * size));
    s->at += n;
    whet_i_map_forget(&s->map);
    return WHET_OK;
}

whet_status whet_i_npz_stream_read(whet_ctx *ctx, whet_i_npz_stream *s, int64_t n, whet_dtype dtype,
                                   void *out) {
    const int64_t size = (int64_t)whet_dtype_size(s->npy.dtype);
    const int64_t from = s->at;
    if (n == 0) return WHET_OK;
    if (n > s->room) {
        WHET_TRY(whet_i_realloc(ctx, &s->raw, n * size));
        s->room = n;
    }
    WHET_TRY(whet_i_npz_stream_take(ctx, s, n, s->raw));
    const whet_tensor raw = {s->raw, s->npy.dtype, 1, {n}};
    whet_tensor made;
    WHET_TRY(whet_i_array_convert(ctx, s->spec, &raw, from, dtype, true, &made));
    memcpy(out, made.data, (size_t)n * whet_dtype_size(dtype));
    whet_tensor_destroy(ctx, &made);
    return WHET_OK;
}

whet_status whet_i_npz_stream_end(whet_ctx *ctx, whet_i_npz_stream *s) {
    char rest[4096];
    zip_int64_t got;
    while ((got = zip_fread(s->entry, rest, sizeof rest)) > 0) continue;
    whet_i_map_forget(&s->map);
    return got < 0 ? archive_error(ctx, s->spec, zip_file_get_error(s->entry)) : WHET_OK;
}

whet_status whet_i_npz_stream_rewind(whet_ctx *ctx, whet_i_npz_stream *s) {
    if (s->entry) (void)zip_fclose(s->entry);
    return open_entry(ctx, s);
}

void whet_i_npz_stream_close(whet_ctx *ctx, whet_i_npz_stream *s) {
    if (!s) return;
    if (s->entry) (void)zip_fclose(s->entry);
    if (s->archive) zip_discard(s->archive);
    whet_i_map_close(&s->map);
    whet_i_free(ctx, s->raw);
    whet_i_free(ctx, s->spec);
    whet_i_free(ctx, s);
}

bool whet_i_npz_has(whet_ctx *ctx, const char *path, const char *key) {
    whet_i_map map = {0};
    zip_t *archive = NULL;
    char name[64];
    bool found = false;
    (void)snprintf(name, sizeof name, "%s.npy", key);
    if (whet_i_map_open(ctx, path, &map) != WHET_OK) return false;
    if (open_archive(ctx, path, map.ptr, map.len, &archive) == WHET_OK)
        found = zip_name_locate(archive, name, 0) >= 0;
    if (archive) zip_discard(archive);
    whet_i_map_close(&map);
    return found;
}

/* Printable bytes of the array behind its header: of "S3", and of "U3" without the zeros. */
static void word_of(const char *bytes, int64_t n, char *out, int64_t room) {
    const int64_t header = n >= 10 ? 10 + (uint8_t)bytes[8] + 256 * (int64_t)(uint8_t)bytes[9] : n;
    int64_t at = 0;
    for (int64_t i = header; i < n && at < room - 1; i++)
        if (bytes[i] > ' ' && bytes[i] <= '~') out[at++] = bytes[i];
    out[at] = '\0';
}

void whet_i_npz_word(whet_ctx *ctx, const char *path, const char *key, char *out, int64_t room) {
    enum { BYTES = 1024 };
    char name[64], bytes[BYTES];
    whet_i_map map = {0};
    zip_t *archive = NULL;
    zip_file_t *entry = NULL;
    out[0] = '\0';
    (void)snprintf(name, sizeof name, "%s.npy", key);
    if (whet_i_map_open(ctx, path, &map) != WHET_OK) return;
    if (open_archive(ctx, path, map.ptr, map.len, &archive) == WHET_OK)
        entry = zip_fopen(archive, name, 0);
    const zip_int64_t n = entry ? zip_fread(entry, bytes, sizeof bytes) : 0;
    if (n > 0) word_of(bytes, n, out, room);
    if (entry) (void)zip_fclose(entry);
    if (archive) zip_discard(archive);
    whet_i_map_close(&map);
}
