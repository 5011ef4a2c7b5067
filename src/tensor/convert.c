/* SPDX-License-Identifier: Apache-2.0
 * Copies of arrays in another element type.
 *
 * Each element passes through long double, which holds every 64-bit integer and every float exactly
 * (64 bits of mantissa on x86-64, 113 on arm64), and is then rounded once: to nearest even for
 * floats, toward zero and saturated for integers. */
#include <math.h>

#include "tensor/tensor_i.h"

/* ---- small floats -----------------------------------------------------------------------------
 */

/* A float format by its precision (bits with the hidden one) and least normal exponent. */
typedef struct format {
    int precision, least_exponent;
    long double largest;
} format;
static const format half = {11, -14, 65504.0L};
static const format brain = {8, -126, 0x1.fep127L};

/* x rounded to the format, to nearest even; infinity past the largest. */
static long double round_to(long double x, const format *f) {
    if (!isfinite(x) || x == 0) return x;
    int exponent;
    (void)frexpl(x, &exponent); /* |x| = m 2^exponent, 1/2 <= m < 1 */
    const int least = f->least_exponent + 1;
    const int unit = (exponent > least ? exponent : least) - f->precision;
    const long double rounded = ldexpl(rintl(ldexpl(x, -unit)), unit);
    return fabsl(rounded) > f->largest ? copysignl(HUGE_VALL, x) : rounded;
}

static uint16_t bf16_bits(long double x) {
    const float exact = (float)round_to(x, &brain);
    uint32_t bits;
    memcpy(&bits, &exact, sizeof bits);
    if (isnan(exact)) bits |= 0x00400000U; /* the payload's low half is cut: keep it a NaN */
    return (uint16_t)(bits >> 16);
}

static uint16_t f16_bits(long double x) {
    const uint16_t sign = signbit(x) ? 0x8000 : 0;
    if (isnan(x)) return (uint16_t)(sign | 0x7e00);
    const long double size = fabsl(round_to(x, &half));
    if (isinf(size)) return (uint16_t)(sign | 0x7c00);
    /* Subnormal: the bits are the count of units of 2^-24; a normal number continues the count. */
    if (size < 0x1p-14L) return (uint16_t)(sign | (uint16_t)(size * 0x1p24L));
    int exponent;
    const long double mantissa = frexpl(size, &exponent);
    const uint16_t fraction = (uint16_t)(mantissa * 2048.0L);
    return (uint16_t)(sign | (uint16_t)((exponent + 13) * 1024 + fraction));
}

static long double f16_value(uint16_t bits) {
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    long double size;
    if (exponent == 31)
        size = fraction ? (long double)NAN : HUGE_VALL;
    else if (exponent == 0)
        size = ldexpl(fraction, -24);
    else
        size = ldexpl(fraction + 1024, exponent - 25);
    return bits & 0x8000 ? -size : size;
}

static long double bf16_value(uint16_t bits) {
    const uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return (long double)value;
}

/* ---- one element ------------------------------------------------------------------------------
 */

#define LOAD(type) \
    do { \
        type value_; \
        memcpy(&value_, at, sizeof value_); \
        return (long double)value_; \
    } while (0)

static long double load(const char *at, whet_dtype dtype) {
    uint16_t bits;
    switch (dtype) {
    case WHET_F64: LOAD(double);
    case WHET_F32: LOAD(float);
    case WHET_F16: memcpy(&bits, at, sizeof bits); return f16_value(bits);
    case WHET_BF16: memcpy(&bits, at, sizeof bits); return bf16_value(bits);
    case WHET_I64: LOAD(int64_t);
    case WHET_I32: LOAD(int32_t);
    case WHET_I16: LOAD(int16_t);
    case WHET_I8: LOAD(int8_t);
    case WHET_U64: LOAD(uint64_t);
    case WHET_U32: LOAD(uint32_t);
    case WHET_U16: LOAD(uint16_t);
    case WHET_U8: LOAD(uint8_t);
    case WHET_BOOL: return *at != 0 ? 1 : 0;
    }
    return 0;
}

#define STORE(type, value) \
    do { \
        const type value_ = (type)(value); \
        memcpy(at, &value_, sizeof value_); \
        return; \
    } while (0)
#define STORE_SATURATED(type, least, most) \
    STORE(type, x <= (long double)(least) ? (least) : x >= (long double)(most) ? (most) : (type)x)

static void store(char *at, whet_dtype dtype, long double x) {
    switch (dtype) {
    case WHET_F64: STORE(double, x);
    case WHET_F32: STORE(float, x);
    case WHET_F16: STORE(uint16_t, f16_bits(x));
    case WHET_BF16: STORE(uint16_t, bf16_bits(x));
    case WHET_I64: STORE_SATURATED(int64_t, INT64_MIN, INT64_MAX);
    case WHET_I32: STORE_SATURATED(int32_t, INT32_MIN, INT32_MAX);
    case WHET_I16: STORE_SATURATED(int16_t, INT16_MIN, INT16_MAX);
    case WHET_I8: STORE_SATURATED(int8_t, INT8_MIN, INT8_MAX);
    case WHET_U64: STORE_SATURATED(uint64_t, (uint64_t)0, UINT64_MAX);
    case WHET_U32: STORE_SATURATED(uint32_t, (uint32_t)0, UINT32_MAX);
    case WHET_U16: STORE_SATURATED(uint16_t, 0, UINT16_MAX);
    case WHET_U8: STORE_SATURATED(uint8_t, 0, UINT8_MAX);
    case WHET_BOOL: STORE(uint8_t, x != 0 ? 1 : 0);
    }
}

double whet_i_tensor_real(const whet_tensor *tensor, int64_t i) {
    const char *at = (const char *)tensor->data + i * (int64_t)whet_dtype_size(tensor->dtype);
    return (double)load(at, tensor->dtype);
}

/* ---- arrays -----------------------------------------------------------------------------------
 */

whet_status whet_tensor_convert(whet_ctx *ctx, const whet_tensor *in, whet_dtype dtype,
                                whet_tensor *out) {
    whet_tensor made;
    WHET_TRY(whet_tensor_create(ctx, dtype, in->rank, in->shape, &made));
    const int64_t n = whet_tensor_count(in);
    const size_t from = whet_dtype_size(in->dtype), to = whet_dtype_size(dtype);
    const char *source = in->data;
    char *target = made.data;
    if (in->dtype == dtype) {
        if (n) memcpy(target, source, (size_t)n * to);
        *out = made;
        return WHET_OK;
    }
    for (int64_t i = 0; i < n; i++) {
        const long double x = load(source + (size_t)i * from, in->dtype);
        if (isnan(x) && !whet_dtype_is_float(dtype)) {
            whet_tensor_destroy(ctx, &made);
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "element %lld is NaN; expected a number to "
                               "convert to %s",
                               (long long)i, whet_dtype_name(dtype));
        }
        store(target + (size_t)i * to, dtype, x);
    }
    *out = made;
    return WHET_OK;
}
