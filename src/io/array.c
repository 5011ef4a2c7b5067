/* SPDX-License-Identifier: Apache-2.0
 * Arrays by a specification "path" or "path:key", whatever file holds them. */
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "io/npy_i.h"

/* ---- the specification ----------------------------------------------------------------------- */

static bool takes_key(const char *path) {
    return whet_i_has_extension(path, ".npz") || whet_i_has_extension(path, ".safetensors");
}

/* A file of the whole name wins; else the first colon behind an archive's name that exists, else the
 * first behind an archive's name: folders and keys may hold colons themselves. */
whet_status whet_i_array_split(whet_ctx *ctx, const char *spec, char **text, const char **key) {
    char *copy;
    char *guess = NULL;
    WHET_TRY(whet_i_strdup(ctx, whet_str_from(spec), &copy));
    *text = copy;
    *key = NULL;
    if (access(copy, F_OK) == 0) return WHET_OK;
    for (char *colon = strchr(copy, ':'); colon; colon = strchr(colon + 1, ':')) {
        *colon = '\0';
        const bool archive = takes_key(copy), present = archive && access(copy, F_OK) == 0;
        *colon = ':';
        if (archive && !guess) guess = colon;
        if (!present) continue;
        guess = colon;
        break;
    }
    if (guess) {
        *guess = '\0';
        *key = guess + 1;
    }
    return WHET_OK;
}

/* ---- reading --------------------------------------------------------------------------------- */

whet_status whet_i_array_room(whet_ctx *ctx, const char *where, const whet_tensor *head) {
    enum { SMALL = 64 << 20 }; /* the question itself takes some reading */
    char shape[160], what[512];
    int64_t bytes = (int64_t)whet_dtype_size(head->dtype), used = 0;
    for (int32_t i = 0; i < head->rank; i++)
        WHET_TRY(whet_i_mul(ctx, bytes, head->shape[i], &bytes));
    if (bytes < SMALL) return WHET_OK;
    for (int32_t i = 0; i < head->rank; i++)
        used += snprintf(shape + used, sizeof shape - (size_t)used, "%s%lld", i ? ", " : "",
                         (long long)head->shape[i]);
    (void)snprintf(what, sizeof what, "%.240s, [%s] of %s,", where, shape,
                   whet_dtype_name(head->dtype));
    return whet_i_check_room(ctx, what, (double)bytes, "fewer rows at a time");
}

static whet_status several(whet_ctx *ctx, const char *path, const whet_safetensors *file,
                           const char *key) {
    enum { SHOWN = 8 };
    whet_i_buf list = {0};
    char quoted[WHET_QUOTE_SIZE];
    whet_status status = WHET_OK;
    const int64_t n = whet_safetensors_count(file);
    for (int64_t i = 0; i < n && i < SHOWN; i++)
        WHET_TRY_DONE(whet_i_buf_printf(ctx, &list, "%s%s", i ? ", " : "",
                                        whet_i_quote(quoted, whet_safetensors_name(file, i))));
    if (key)
        status = whet_i_fail(ctx, WHET_ERR_ARG, "%s: no tensor %s; expected one of %s%s", path,
                             whet_i_quote(quoted, whet_str_from(key)), n ? list.data : "none",
                             n > SHOWN ? ", ..." : "");
    else
        status = whet_i_fail(ctx, WHET_ERR_ARG,
                             "%s: holds %lld tensors; expected one; try \":name\" behind the path",
                             path, (long long)n);
done:
    whet_i_buf_free(ctx, &list);
    return status;
}

whet_status whet_i_array_pick(whet_ctx *ctx, const char *path, const char *key,
                              whet_safetensors **file, whet_tensor *view) {
    whet_safetensors *opened = NULL;
    WHET_TRY(whet_safetensors_open(ctx, path, &opened));
    const char *name = key && *key ? key : NULL;
    if (!name && whet_safetensors_count(opened) == 1) name = whet_safetensors_name(opened, 0).ptr;
    if (name && whet_safetensors_find(opened, name, view)) {
        *file = opened;
        return WHET_OK;
    }
    const whet_status status = several(ctx, path, opened, name);
    whet_safetensors_close(ctx, opened);
    return status;
}

static whet_status from_safetensors(whet_ctx *ctx, const char *path, const char *key,
                                    whet_tensor *out) {
    whet_safetensors *file;
    whet_tensor view;
    WHET_TRY(whet_i_array_pick(ctx, path, key, &file, &view));
    whet_status status = whet_i_array_room(ctx, path, &view);
    if (status == WHET_OK) status = whet_tensor_convert(ctx, &view, view.dtype, out);
    whet_safetensors_close(ctx, file);
    return status;
}

static whet_status from_bytes(whet_ctx *ctx, const char *path, const char *key, const char *bytes,
                              int64_t len, whet_tensor *out) {
    if (len >= 6 && memcmp(bytes, "\x93NUMPY", 6) == 0)
        return whet_i_npy_parse(ctx, path, bytes, len, out);
    if (len >= 2 && memcmp(bytes, "PK", 2) == 0)
        return whet_i_npz_parse(ctx, path, bytes, len, key, out);
    return whet_i_fail(ctx, WHET_ERR_FORMAT,
                       "%s: begins as no array file does; expected .npy, .npz or .safetensors",
                       path);
}

whet_status whet_array_read(whet_ctx *ctx, const char *spec, whet_tensor *out) {
    char *path = NULL;
    const char *key = NULL;
    whet_i_map map = {0};
    WHET_TRY(whet_i_array_split(ctx, spec, &path, &key));
    whet_status status = WHET_OK;
    if (whet_i_has_extension(path, ".safetensors")) {
        status = from_safetensors(ctx, path, key, out);
    } else {
        WHET_TRY_DONE(whet_i_map_open(ctx, path, &map));
        status = from_bytes(ctx, path, key, map.ptr, map.len, out);
    }
done:
    whet_i_map_close(&map);
    whet_i_free(ctx, path);
    return status;
}

/* ---- checks ---------------------------------------------------------------------------------- */

/* "[3,1]" for element i; `first` is added where there is one dimension. */
static const char *place(const whet_tensor *t, int64_t i, int64_t first, char out[256]) {
    int64_t index[WHET_RANK_MAX];
    size_t used = 1;
    for (int32_t d = t->rank - 1; d >= 0; d--) {
        index[d] = i % t->shape[d];
        i /= t->shape[d];
    }
    if (t->rank == 1) index[0] += first;
    out[0] = '[';
    for (int32_t d = 0; d < t->rank; d++)
        used +=
            (size_t)snprintf(out + used, 256 - used, "%s%lld", d ? "," : "", (long long)index[d]);
    out[used] = ']';
    out[used + 1] = '\0';
    return out;
}

/* First element that is NaN or infinite, or -1: the exponent's bits are all set. */
static int64_t first_not_finite(const whet_tensor *t) {
    const int64_t n = whet_tensor_count(t);
    const char *data = t->data;
    switch (t->dtype) {
    case WHET_F64:
        for (int64_t i = 0; i < n; i++)
            if (!isfinite(((const double *)t->data)[i])) return i;
        return -1;
    case WHET_F32:
        for (int64_t i = 0; i < n; i++)
            if (!isfinite(((const float *)t->data)[i])) return i;
        return -1;
    case WHET_F16:
    case WHET_BF16:
        for (int64_t i = 0; i < n; i++) {
            const uint16_t mask = t->dtype == WHET_F16 ? 0x7c00 : 0x7f80;
            uint16_t bits;
            memcpy(&bits, data + i * 2, 2);
            if ((bits & mask) == mask) return i;
        }
        return -1;
    default: return -1;
    }
}

/* First element that changes when it is converted to whole numbers and back, or -1. */
static whet_status first_changed(whet_ctx *ctx, const whet_tensor *in, const whet_tensor *converted,
                                 int64_t *out) {
    whet_tensor back;
    WHET_TRY(whet_tensor_convert(ctx, converted, in->dtype, &back));
    const int64_t n = whet_tensor_count(in), size = (int64_t)whet_dtype_size(in->dtype);
    const unsigned char *a = in->data, *b = back.data;
    int64_t found = -1;
    for (int64_t i = 0; i < n && found < 0; i++, a += size, b += size) {
        if (memcmp(a, b, (size_t)size) == 0) continue;
        bool zero = whet_dtype_is_float(in->dtype) && (a[size - 1] & 0x7f) == 0; /* -0 is 0 */
        for (int64_t k = 0; k < size - 1; k++) zero = zero && a[k] == 0;
        if (!zero) found = i;
    }
    whet_tensor_destroy(ctx, &back);
    *out = found;
    return WHET_OK;
}

whet_status whet_i_array_convert(whet_ctx *ctx, const char *spec, const whet_tensor *in,
                                 int64_t first, whet_dtype dtype, bool finite, whet_tensor *out) {
    char where[256];
    whet_tensor made = {0};
    int64_t bad = -1;
    whet_status status = whet_tensor_convert(ctx, in, dtype, &made);
    if (status == WHET_ERR_DATA) return whet_i_fail_at(ctx, status, "%s", spec);
    if (status != WHET_OK) return status;
    if (!whet_dtype_is_float(dtype) && in->dtype != dtype)
        WHET_TRY_DONE(first_changed(ctx, in, &made, &bad));
    if (bad >= 0) {
        status = whet_i_fail(
            ctx, WHET_ERR_DATA, "%s: %s of %s is no %s; expected whole numbers in its range", spec,
            place(in, bad, first, where), whet_dtype_name(in->dtype), whet_dtype_name(dtype));
        goto done;
    }
    bad = finite ? first_not_finite(&made) : -1;
    if (bad >= 0) {
        /* A narrower type is widened as it is: the number is the file's. */
        const bool widened =
            whet_dtype_is_float(in->dtype) && whet_dtype_size(in->dtype) < whet_dtype_size(dtype);
        status = whet_i_fail(ctx, WHET_ERR_DATA,
                             "%s: %s is NaN or infinite in %s; expected finite "
                             "numbers",
                             spec, place(&made, bad, first, where),
                             whet_dtype_name(widened ? in->dtype : dtype));
        goto done;
    }
    *out = made;
    made = (whet_tensor){0};
done:
    whet_tensor_destroy(ctx, &made);
    return status;
}

whet_status whet_array_read_as(whet_ctx *ctx, const char *spec, whet_dtype dtype, int32_t rank,
                               bool finite, whet_tensor *out) {
    whet_tensor in = {0};
    WHET_TRY(whet_array_read(ctx, spec, &in));
    whet_status status = WHET_OK;
    if (in.rank != rank)
        status =
            whet_i_fail(ctx, WHET_ERR_SHAPE, "%s: %d dimensions; expected %d", spec, in.rank, rank);
    else if (in.dtype == dtype && (!finite || first_not_finite(&in) < 0)) {
        *out = in; /* as it is: no copy */
        in = (whet_tensor){0};
    } else
        status = whet_i_array_convert(ctx, spec, &in, 0, dtype, finite, out);
    whet_tensor_destroy(ctx, &in);
    return status;
}
