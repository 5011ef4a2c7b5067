/* SPDX-License-Identifier: Apache-2.0
 * Writes .npz archives of stored entries as a stream: libzip would need the whole archive in memory
 * or a second temporary. Records are those of the PKWARE APPNOTE 6.3 (4.3.7, 4.3.12, 4.3.14-16,
 * 4.5.3); every entry carries the ZIP64 sizes, as numpy's do, so that arrays over 4 GiB need no
 * other path. Times are 1980-01-01: equal arrays give equal files. */
#include "io/npy_i.h"

enum { VERSION_ZIP64 = 45, DOS_DATE_1980 = 0x21, HEADER_64_EXTRA = 20, CENTRAL_64_EXTRA = 28 };

typedef struct entry {
    whet_i_buf header; /* of the array */
    int64_t data_bytes, offset;
    uint32_t crc;
} entry;

/* CRC-32 (reflected 0xedb88320), eight bytes a step over eight tables (Kounavis & Berry 2005). */
typedef uint32_t crc_tables[8][256];

static void fill_tables(crc_tables t) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++) c = c & 1 ? c >> 1 ^ 0xedb88320U : c >> 1;
        t[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int k = 1; k < 8; k++) t[k][i] = t[k - 1][i] >> 8 ^ t[0][t[k - 1][i] & 0xff];
}

static uint32_t crc_add(crc_tables t, uint32_t crc, const unsigned char *p, int64_t n) {
    for (; n >= 8; n -= 8, p += 8) {
        uint32_t low, high;
        memcpy(&low, p, 4);
        memcpy(&high, p + 4, 4);
        low ^= crc;
        crc = t[7][low & 0xff] ^ t[6][low >> 8 & 0xff] ^ t[5][low >> 16 & 0xff] ^ t[4][low >> 24] ^
              t[3][high & 0xff] ^ t[2][high >> 8 & 0xff] ^ t[1][high >> 16 & 0xff] ^
              t[0][high >> 24];
    }
    for (; n > 0; n--) crc = crc >> 8 ^ t[0][(crc ^ *p++) & 0xff];
    return crc;
}

static whet_status put(whet_ctx *ctx, whet_i_buf *out, uint64_t value, int bytes) {
    unsigned char le[8];
    for (int i = 0; i < bytes; i++) le[i] = (unsigned char)(value >> (8 * i));
    return whet_i_buf_append(ctx, out, le, bytes);
}

/* The fields that local and central records share, from "version needed" to the name's length. */
static whet_status put_common(whet_ctx *ctx, whet_i_buf *out, const entry *e, int64_t name_len) {
    enum { UTF8_NAMES = 0x800, STORED = 0 };
    WHET_TRY(put(ctx, out, VERSION_ZIP64, 2));
    WHET_TRY(put(ctx, out, UTF8_NAMES, 2));
    WHET_TRY(put(ctx, out, STORED, 2));
    WHET_TRY(put(ctx, out, 0, 2)); /* time */
    WHET_TRY(put(ctx, out, DOS_DATE_1980, 2));
    WHET_TRY(put(ctx, out, e->crc, 4));
    WHET_TRY(put(ctx, out, UINT32_MAX, 4)); /* both sizes: see the extra field */
    WHET_TRY(put(ctx, out, UINT32_MAX, 4));
    return put(ctx, out, (uint64_t)name_len, 2);
}

static whet_status put_extra(whet_ctx *ctx, whet_i_buf *out, const entry *e, bool central) {
    enum { ZIP64 = 1, HEAD = 4 };
    const uint64_t size = (uint64_t)(e->header.len + e->data_bytes);
    WHET_TRY(put(ctx, out, ZIP64, 2));
    WHET_TRY(put(ctx, out, (central ? CENTRAL_64_EXTRA : HEADER_64_EXTRA) - HEAD, 2));
    WHET_TRY(put(ctx, out, size, 8));
    WHET_TRY(put(ctx, out, size, 8));
    return central ? put(ctx, out, (uint64_t)e->offset, 8) : WHET_OK;
}

static whet_status put_name(whet_ctx *ctx, whet_i_buf *out, const char *name) {
    WHET_TRY(whet_i_buf_append(ctx, out, name, (int64_t)strlen(name)));
    return whet_i_buf_append(ctx, out, ".npy", 4);
}

static whet_status put_local(whet_ctx *ctx, whet_i_buf *out, const entry *e, const char *name) {
    WHET_TRY(put(ctx, out, 0x04034b50, 4));
    WHET_TRY(put_common(ctx, out, e, (int64_t)strlen(name) + 4));
    WHET_TRY(put(ctx, out, HEADER_64_EXTRA, 2));
    WHET_TRY(put_name(ctx, out, name));
    return put_extra(ctx, out, e, false);
}

static whet_status put_central(whet_ctx *ctx, whet_i_buf *out, const entry *e, const char *name) {
    WHET_TRY(put(ctx, out, 0x02014b50, 4));
    WHET_TRY(put(ctx, out, VERSION_ZIP64, 2));
    WHET_TRY(put_common(ctx, out, e, (int64_t)strlen(name) + 4));
    WHET_TRY(put(ctx, out, CENTRAL_64_EXTRA, 2));
    WHET_TRY(put(ctx, out, 0, 8)); /* comment, disk, internal attributes; half of external ones */
    WHET_TRY(put(ctx, out, 0, 2));
    WHET_TRY(put(ctx, out, UINT32_MAX, 4)); /* offset: see the extra field */
    WHET_TRY(put_name(ctx, out, name));
    return put_extra(ctx, out, e, true);
}

static whet_status put_end(whet_ctx *ctx, whet_i_buf *out, int64_t n, int64_t central_at) {
    enum { END_64_REST = 44 };
    const uint64_t size = (uint64_t)out->len, count = (uint64_t)n;
    WHET_TRY(put(ctx, out, 0x06064b50, 4));
    WHET_TRY(put(ctx, out, END_64_REST, 8));
    WHET_TRY(put(ctx, out, VERSION_ZIP64, 2));
    WHET_TRY(put(ctx, out, VERSION_ZIP64, 2));
    WHET_TRY(put(ctx, out, 0, 8)); /* disks */
    WHET_TRY(put(ctx, out, count, 8));
    WHET_TRY(put(ctx, out, count, 8));
    WHET_TRY(put(ctx, out, size, 8));
    WHET_TRY(put(ctx, out, (uint64_t)central_at, 8));
    WHET_TRY(put(ctx, out, 0x07064b50, 4));
    WHET_TRY(put(ctx, out, 0, 4));
    WHET_TRY(put(ctx, out, (uint64_t)central_at + size, 8));
    WHET_TRY(put(ctx, out, 1, 4));
    WHET_TRY(put(ctx, out, 0x06054b50, 4));
    WHET_TRY(put(ctx, out, 0, 4));
    WHET_TRY(put(ctx, out, UINT32_MAX, 4)); /* both counts of 2 bytes */
    WHET_TRY(put(ctx, out, UINT32_MAX, 4));
    WHET_TRY(put(ctx, out, UINT32_MAX, 4));
    return put(ctx, out, 0, 2);
}

static whet_status write_entry(whet_ctx *ctx, whet_out *out, const char *path,
                               const whet_named_tensor *item, crc_tables tables, int64_t *at,
                               entry *e) {
    whet_i_buf local = {0};
    whet_status status = WHET_OK;
    if (!*item->name || strlen(item->name) > 1000) {
        char quoted[WHET_QUOTE_SIZE];
        return whet_i_fail(ctx, WHET_ERR_ARG, "%s: array name %s; expected 1 to 1000 bytes", path,
                           whet_i_quote(quoted, whet_str_from(item->name)));
    }
    const whet_tensor *t = &item->tensor;
    WHET_TRY(whet_i_npy_write_header(ctx, path, t->dtype, t->rank, t->shape, &e->header));
    e->data_bytes = whet_tensor_count(t) * (int64_t)whet_dtype_size(t->dtype);
    e->offset = *at;
    uint32_t crc =
        crc_add(tables, UINT32_MAX, (const unsigned char *)e->header.data, e->header.len);
    e->crc = ~crc_add(tables, crc, t->data, e->data_bytes);
    WHET_TRY_DONE(put_local(ctx, &local, e, item->name));
    WHET_TRY_DONE(whet_out_write(ctx, out, local.data, local.len));
    WHET_TRY_DONE(whet_out_write(ctx, out, e->header.data, e->header.len));
    WHET_TRY_DONE(whet_out_write(ctx, out, t->data, e->data_bytes));
    *at += local.len + e->header.len + e->data_bytes;
done:
    whet_i_buf_free(ctx, &local);
    return status;
}

static whet_status check_names(whet_ctx *ctx, const char *path, const whet_named_tensor *items,
                               int64_t n) {
    whet_names *names = NULL;
    WHET_TRY(whet_names_create(ctx, &names));
    whet_status status = WHET_OK;
    for (int64_t i = 0; i < n && status == WHET_OK; i++) {
        int64_t index = 0;
        char quoted[WHET_QUOTE_SIZE];
        const whet_str name = whet_str_from(items[i].name);
        status = whet_names_add(ctx, names, name, &index);
        if (status == WHET_OK && index != i)
            status = whet_i_fail(ctx, WHET_ERR_ARG, "%s: two arrays %s; expected distinct names",
                                 path, whet_i_quote(quoted, name));
    }
    whet_names_destroy(ctx, names);
    return status;
}

whet_status whet_npz_write(whet_ctx *ctx, const char *path, bool force,
                           const whet_named_tensor *items, int64_t n) {
    entry *entries = NULL;
    whet_out *out = NULL;
    whet_i_buf central = {0};
    crc_tables tables;
    int64_t at = 0;
    WHET_TRY(check_names(ctx, path, items, n));
    WHET_TRY(whet_i_calloc(ctx, n, &entries));
    fill_tables(tables);
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_out_open(ctx, path, force, &out));
    for (int64_t i = 0; i < n; i++) {
        WHET_TRY_DONE(write_entry(ctx, out, path, &items[i], tables, &at, &entries[i]));
        WHET_TRY_DONE(put_central(ctx, &central, &entries[i], items[i].name));
    }
    WHET_TRY_DONE(put_end(ctx, &central, n, at));
    WHET_TRY_DONE(whet_out_write(ctx, out, central.data, central.len));
    whet_out *whole = out;
    out = NULL;
    status = whet_out_commit(ctx, whole);
done:
    whet_out_abort(ctx, out);
    whet_i_buf_free(ctx, &central);
    for (int64_t i = 0; i < n; i++) whet_i_buf_free(ctx, &entries[i].header);
    whet_i_free(ctx, entries);
    return status;
}
