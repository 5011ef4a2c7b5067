/* SPDX-License-Identifier: Apache-2.0
 * Numbers from untrusted text, whole or not at all, whatever the process's locale.
 * Reals: when the digits fit 2^53 and the power of ten fits 10^22, one exact operation rounds
 * correctly (Clinger 1990); else strtod, with the point that the locale wants. */
#include <locale.h>
#include <math.h>
#include <stdlib.h>

#include "core/core_i.h"

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool whet_i_parse_int(whet_str text, int64_t *out) {
    int64_t i = 0, value = 0;
    const bool negative = text.len > 0 && text.ptr[0] == '-';
    if (text.len > 0 && (negative || text.ptr[0] == '+')) i++;
    if (i == text.len) return false;
    for (; i < text.len; i++) {
        if (!is_digit(text.ptr[i])) return false;
        const int64_t digit = text.ptr[i] - '0';
        if (__builtin_mul_overflow(value, 10, &value)) return false;
        if (negative ? __builtin_sub_overflow(value, digit, &value)
                     : __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *out = value;
    return true;
}

typedef struct decimal {
    uint64_t digits;  /* significant digits as an integer, valid while n_digits <= 19 */
    int64_t n_digits; /* without leading zeros */
    int64_t exponent; /* value = digits * 10^exponent */
    bool negative;
} decimal;

static int64_t read_digits(whet_str text, int64_t i, bool fraction, decimal *d) {
    for (; i < text.len && is_digit(text.ptr[i]); i++) {
        if (d->n_digits > 0 || text.ptr[i] != '0') d->n_digits++;
        if (d->n_digits <= 19) d->digits = d->digits * 10 + (uint64_t)(text.ptr[i] - '0');
        if (fraction) d->exponent--;
    }
    return i;
}

/* The grammar [+-] digits [. digits] [e [+-] digits], with at least one digit before the e. */
static bool scan_decimal(whet_str text, decimal *d) {
    int64_t i = 0;
    if (text.len > 0 && (text.ptr[0] == '-' || text.ptr[0] == '+'))
        d->negative = text.ptr[i++] == '-';
    const int64_t first = i;
    i = read_digits(text, i, false, d);
    int64_t n = i - first;
    if (i < text.len && text.ptr[i] == '.') {
        const int64_t after = i + 1;
        i = read_digits(text, after, true, d);
        n += i - after;
    }
    if (n == 0) return false;
    if (i < text.len && (text.ptr[i] == 'e' || text.ptr[i] == 'E')) {
        int64_t exponent;
        if (!whet_i_parse_int((whet_str){text.ptr + i + 1, text.len - i - 1}, &exponent))
            return false;
        if (exponent > 100000 || exponent < -100000) exponent = exponent > 0 ? 100000 : -100000;
        d->exponent += exponent;
        i = text.len;
    }
    return i == text.len;
}

static bool parse_by_library(whet_str text, double *out) {
    char copy[512];
    if (text.len >= (int64_t)sizeof copy) return false;
    memcpy(copy, text.ptr, (size_t)text.len);
    copy[text.len] = '\0';
    char *point = strchr(copy, '.');
    if (point) *point = localeconv()->decimal_point[0];
    char *end;
    *out = strtod(copy, &end);
    return end == copy + text.len;
}

bool whet_i_parse_real(whet_str text, double *out) {
    static const double power[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    decimal d = {0, 0, 0, false};
    if (!scan_decimal(text, &d)) return false;
    double value;
    if (d.n_digits == 0) {
        value = 0;
    } else if (d.n_digits <= 19 && d.digits <= (1ULL << 53) && d.exponent >= -22 &&
               d.exponent <= 22) {
        value = (double)d.digits;
        value = d.exponent < 0 ? value / power[-d.exponent] : value * power[d.exponent];
    } else {
        double signed_value;
        if (!parse_by_library(text, &signed_value)) return false;
        value = fabs(signed_value);
    }
    *out = d.negative ? -value : value;
    return true;
}
