/* SPDX-License-Identifier: Apache-2.0
 * Numbers of a merge in and out of files: pread at their place, so that nothing but the buffer is in this
 * process's memory; f16, bf16 and f64 to f32, low-rank additions, and back to the output's type. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "merge/merge_passes.h"

/* ---- files ------------------------------------------------------------------------------------ */

bool whet_i_merge_pread(int fd, char *to, int64_t len, int64_t offset) {
    enum { STEP = 1 << 30 };
    while (len > 0) {
        const ssize_t got = pread(fd, to, (size_t)(len < STEP ? len : STEP), (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got == 0) errno = 0;
        if (got <= 0) return false;
        to += got;
        len -= got;
        offset += got;
    }
    return true;
}

bool whet_i_merge_pwrite(int fd, const char *bytes, int64_t len, int64_t offset) {
    enum { STEP = 1 << 30 };
    while (len > 0) {
        const ssize_t put = pwrite(fd, bytes, (size_t)(len < STEP ? len : STEP), (off_t)offset);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return false;
        bytes += put;
        len -= put;
        offset += put;
    }
    return true;
}

/* ---- types ------------------------------------------------------------------------------------ */

uint16_t whet_i_f16_from_f32(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    const uint32_t size = bits & 0x7fffffff;
    if (size > 0x7f800000) return sign | 0x7e00;          /* NaN */
    if (size >= 0x477ff000) return sign | 0x7c00;         /* from 65520 on: infinity */
    if (size < 0x33000001) return sign;                   /* up to 2^-25: zero */
    const int32_t exponent = (int32_t)(size >> 23) - 112; /* of f16 */
    uint32_t mantissa = (size & 0x7fffff) | 0x800000;
    const int32_t cut = exponent > 0 ? 13 : 14 - exponent; /* bits that go; 13..24 */
    const uint32_t rest = mantissa & ((1U << cut) - 1), half = 1U << (cut - 1);
    mantissa >>= cut;
    if (rest > half || (rest == half && (mantissa & 1))) mantissa++;
    /* Without its hidden bit a normal mantissa counts on from the exponent; a carry goes into it. */
    if (exponent > 0) mantissa += (uint32_t)(exponent - 1) << 10;
    return (uint16_t)(sign | mantissa);
}

void whet_i_merge_widen(const whet_i_merge_tensor *t, whet_dtype dtype, const char *raw, int64_t n,
                        float *out) {
    if (dtype == WHET_BF16) {
        t->kernels->f32_from_bf16(n, (const uint16_t *)(const void *)raw, out);
    } else if (dtype == WHET_F16) {
        t->kernels->f32_from_f16(n, (const uint16_t *)(const void *)raw, out);
    } else {
        for (int64_t i = 0; i < n; i++) {
            double x;
            memcpy(&x, raw + 8 * i, sizeof x);
            out[i] = (float)x;
        }
    }
}

int64_t whet_i_merge_encode(const whet_i_merge_tensor *t, const float *x, int64_t n, char *raw) {
    enum { INFINITE = 0x7f800000, OVER_BF16 = 0x7f7f8000, OVER_F16 = 0x477ff000 };
    uint16_t *half = (uint16_t *)(void *)raw;
    if (t->out_dtype == WHET_BF16) {
        t->kernels->bf16_from_f32(n, x, half);
        return t->kernels->first_from(n, x, OVER_BF16);
    }
    if (t->out_dtype == WHET_F16) {
        for (int64_t i = 0; i < n; i++) half[i] = whet_i_f16_from_f32(x[i]);
        return t->kernels->first_from(n, x, OVER_F16);
    }
    for (int64_t i = 0; t->out_dtype == WHET_F64 && i < n; i++) {
        const double wide = (double)x[i];
        memcpy(raw + 8 * i, &wide, sizeof wide);
    }
    return t->kernels->first_from(n, x, INFINITE);
}

/* ---- sources ---------------------------------------------------------------------------------- */

/* n numbers from place `first` of the file's array. */
static bool read_run(const whet_i_merge_tensor *t, const whet_i_merge_source *s, int64_t first,
                     int64_t n, char *raw, float *out) {
    const int64_t size = (int64_t)whet_dtype_size(s->dtype);
    const bool same = s->dtype == WHET_F32;
    if (!whet_i_merge_pread(s->fd, same ? (char *)out : raw, n * size, s->offset + first * size))
        return false;
    if (!same) whet_i_merge_widen(t, s->dtype, raw, n, out);
    return true;
}

/* out += scale B A on numbers first .. first + n - 1 of [out, in]. */
static void add_low_rank(const whet_i_merge_lora *lora, int64_t first, int64_t n, float *out) {
    enum { PART = 512 };
    double sum[PART];
    for (int64_t at = 0; at < n;) {
        const int64_t row = (first + at) / lora->in, column = (first + at) % lora->in;
        int64_t len = lora->in - column < n - at ? lora->in - column : n - at;
        if (len > PART) len = PART;
        for (int64_t j = 0; j < len; j++) sum[j] = 0;
        for (int64_t r = 0; r < lora->rank; r++) {
            const double b = lora->scale * (double)lora->b[row * lora->rank + r];
            const float *a = lora->a + r * lora->in + column;
            for (int64_t j = 0; j < len; j++) sum[j] += b * (double)a[j];
        }
        for (int64_t j = 0; j < len; j++) out[at + j] = (float)((double)out[at + j] + sum[j]);
        at += len;
    }
}

/* The same with what is added to them. */
static bool read_place(const whet_i_merge_tensor *t, const whet_i_merge_source *s, int64_t first,
                       int64_t n, char *raw, float *out) {
    if (!read_run(t, s, first, n, raw, out)) return false;
    if (s->lora) add_low_rank(s->lora, first, n, out);
    return true;
}

/* The mean over the lenders that have the row, of n numbers from `column` on. */
static bool read_mean(const whet_i_merge_tensor *t, int64_t row, int64_t column, int64_t n,
                      char *raw, float *out) {
    enum { PART = 512 };
    const whet_i_merge_words *w = t->words;
    const int64_t width = t->count / t->shape[0];
    double sum[PART];
    float part[PART];
    for (int64_t at = 0; at < n; at += PART) {
        const int64_t len = n - at < PART ? n - at : PART;
        int64_t have = 0;
        for (int64_t j = 0; j < len; j++) sum[j] = 0;
        for (int64_t m = 0; m < w->n; m++) {
            const int64_t place = w->own[m][row] * width + column + at;
            if (w->own[m][row] < 0) continue;
            if (!read_place(t, &w->lender[m], place, len, raw, part)) return false;
            for (int64_t j = 0; j < len; j++) sum[j] += (double)part[j];
            have++;
        }
        for (int64_t j = 0; j < len; j++) out[at + j] = (float)(sum[j] / (double)have);
    }
    return true;
}

/* Row by row where rows have other places in the file. */
static bool read_rows(const whet_i_merge_tensor *t, const whet_i_merge_source *s, int64_t first,
                      int64_t n, char *raw, float *out) {
    const whet_i_merge_words *w = t->words;
    const int64_t width = t->count / t->shape[0];
    for (int64_t at = 0; at < n;) {
        const int64_t row = (first + at) / width, column = (first + at) % width;
        const int64_t len = width - column < n - at ? width - column : n - at;
        bool read = true;
        if (s->rows[row] >= 0 && !w->forced[row])
            read = read_place(t, s, s->rows[row] * width + column, len, raw, out + at);
        else if (w->from[row] == WHET_I_ROW_MEAN)
            read = read_mean(t, row, column, len, raw, out + at);
        else if (w->from[row] == WHET_I_ROW_ZERO)
            memset(out + at, 0, (size_t)len * sizeof *out);
        else
            read = read_place(t, &w->lender[w->from[row]], w->row[row] * width + column, len, raw,
                              out + at);
        if (!read) return false;
        at += len;
    }
    return true;
}

/* A whole row of the file's, from place `begin`, to raw as f32. */
static const float *read_row(const whet_i_merge_tensor *t, const whet_i_merge_source *s,
                             int64_t begin, int64_t width, char *raw) {
    float *wide = (float *)(void *)raw;
    if (s->dtype != WHET_F64)
        return read_run(t, s, begin, width, raw + width * (int64_t)sizeof *wide, wide) ? wide
                                                                                       : NULL;
    if (!whet_i_merge_pread(s->fd, raw, width * 8, s->offset + begin * 8)) return NULL;
    for (int64_t i = 0; i < width; i++) { /* a number is read before one lies there */
        double x;
        memcpy(&x, raw + 8 * i, sizeof x);
        const float narrow = (float)x;
        memcpy(raw + 4 * i, &narrow, sizeof narrow);
    }
    return wide;
}

/* Numbers `column` and on of a row that begins at place `begin` of the file's. */
static bool read_gathered(const whet_i_merge_tensor *t, const whet_i_merge_source *s, int64_t begin,
                          int64_t column, int64_t n, char *raw, float *out) {
    const int64_t *from = s->moves->columns + column;
    if (s->moves->width <= t->chunk) {
        const float *row = read_row(t, s, begin, s->moves->width, raw);
        for (int64_t i = 0; row && i < n; i++) out[i] = row[from[i]];
        return row != NULL;
    }
    for (int64_t i = 0, run; i < n; i += run) { /* what lies together at once */
        run = 1;
        while (i + run < n && from[i + run] == from[i] + run) run++;
        if (!read_run(t, s, begin + from[i], run, raw, out + i)) return false;
    }
    return true;
}

static bool read_moved(const whet_i_merge_tensor *t, const whet_i_merge_source *s, int64_t first,
                       int64_t n, char *raw, float *out) {
    const whet_i_merge_moves *m = s->moves;
    for (int64_t at = 0; at < n;) {
        const int64_t row = (first + at) / m->width, column = (first + at) % m->width;
        const int64_t len = m->width - column < n - at ? m->width - column : n - at;
        const int64_t begin = (m->rows ? m->rows[row] : row) * m->width;
        const bool read = m->columns ? read_gathered(t, s, begin, column, len, raw, out + at)
                                     : read_run(t, s, begin + column, len, raw, out + at);
        if (!read) return false;
        at += len;
    }
    return true;
}

bool whet_i_merge_read(const whet_i_merge_tensor *t, const whet_i_merge_source *source,
                       int64_t first, int64_t n, char *raw, float *out) {
    if (source->moves) return read_moved(t, source, first, n, raw, out);
    return source->rows ? read_rows(t, source, first, n, raw, out)
                        : read_place(t, source, first, n, raw, out);
}

/* ---- sentences -------------------------------------------------------------------------------- */

/* "[3, 17]", the place of an element; out holds 160 bytes. */
static const char *place_of(char out[160], const whet_i_merge_tensor *t, int64_t element) {
    int64_t index[WHET_RANK_MAX];
    for (int32_t d = t->rank - 1; d >= 0; d--) {
        index[d] = element % t->shape[d];
        element /= t->shape[d];
    }
    int used = snprintf(out, 160, "[");
    for (int32_t d = 0; d < t->rank && used < 140; d++)
        used += snprintf(out + used, 160 - (size_t)used, "%s%" PRId64, d ? ", " : "", index[d]);
    (void)snprintf(out + used, 160 - (size_t)used, "]");
    return out;
}

whet_status whet_i_merge_tell(whet_ctx *ctx, const whet_i_merge_tensor *t,
                              const whet_i_merge_fault *f) {
    char quoted[WHET_QUOTE_SIZE], place[160];
    const char *model = f->source >= 0 ? t->source[f->source].model : t->out_path;
    (void)whet_i_quote(quoted, whet_str_from(t->name));
    (void)place_of(place, t, f->element);
    if (!model) model = "result";
    switch (f->kind) {
    case WHET_I_MERGE_NOT_FINITE:
        return whet_i_fail(
            ctx, WHET_ERR_DATA, "%s: tensor %s is NaN or infinite%s at %s; expected finite numbers",
            model, quoted, t->source[f->source].dtype == WHET_F64 ? " as f32" : "", place);
    case WHET_I_MERGE_NEGATIVE:
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s: tensor %s is negative at %s; expected importances of at least 0; "
                           "try method gradient if these are gradients",
                           model, quoted, place);
    case WHET_I_MERGE_RESULT:
        return whet_i_fail(ctx, WHET_ERR_NUMERIC,
                           "%s: tensor %s becomes infinite at %s; expected a result that f32 "
                           "holds; try smaller weights",
                           model, quoted, place);
    case WHET_I_MERGE_OVERFLOW:
        return whet_i_fail(ctx, WHET_ERR_NUMERIC,
                           "%s: tensor %s at %s is too large for %s; expected a result that it "
                           "holds; try --dtype bf16 or f32",
                           model, quoted, place, whet_dtype_name(t->out_dtype));
    case WHET_I_MERGE_UNREADABLE:
        errno = f->error;
        return whet_i_fail(ctx, WHET_ERR_IO, "%s: tensor %s cannot be read: %s", model, quoted,
                           f->error ? strerror(f->error) : "the file ends before it");
    case WHET_I_MERGE_UNWRITABLE:
        errno = f->error;
        return whet_i_fail(ctx, WHET_ERR_IO, "%s: tensor %s cannot be written: %s", model, quoted,
                           strerror(f->error));
    case WHET_I_MERGE_FINE: break;
    }
    return WHET_OK;
}
