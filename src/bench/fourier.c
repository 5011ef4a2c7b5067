/* SPDX-License-Identifier: Apache-2.0
 * The fast Fourier transform: Stockham's, which sorts as it goes, by four, and once by two where the
 * length asks for it (Van Loan 1992, Computational Frameworks for the FFT, section 1.7).
 *
 * A pass transforms the columns of an array and writes them as rows: two passes are the transform of
 * both. Columns are taken LANES at a time into a buffer of the nearest cache, where a value is LANES real
 * parts and as many imaginary ones: every loop over lanes is one of vectors, without a shuffle.
 * Legend: n side; m length of the transforms that are left, s their number, m s = n. */
#include <math.h>

#include "bench/fourier.h"

enum { LANES = 8, VALUE = 2 * LANES, MOST = 1 << 15 };

whet_status whet_i_fourier_make(whet_ctx *ctx, int64_t n, whet_i_fourier *out) {
    whet_status status = WHET_OK;
    whet_i_fourier f = {.n = n};
    if (n < 1 || n > MOST || (n & (n - 1)) != 0)
        return whet_i_fail(ctx, WHET_ERR_ARG, "side %lld; expected a power of two up to %d",
                           (long long)n, MOST);
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &f.cosine));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &f.sine));
    for (int64_t p = 0; p < n; p++) {
        const double angle = 6.283185307179586476925 * (double)p / (double)n;
        f.cosine[p] = cos(angle);
        f.sine[p] = sin(angle);
    }
    *out = f;
    return WHET_OK;
done:
    whet_i_fourier_free(ctx, &f);
    return status;
}

void whet_i_fourier_free(whet_ctx *ctx, whet_i_fourier *f) {
    whet_i_free(ctx, f->cosine);
    whet_i_free(ctx, f->sine);
    *f = (whet_i_fourier){0};
}

int64_t whet_i_fourier_room(const whet_i_fourier *f) {
    return 2 * f->n * f->n + 2 * f->n * VALUE; /* the array turned, two buffers */
}

/* out = (re + i im) exp(-2 pi i p / n) */
static void put_turned(const whet_i_fourier *f, int64_t p, const double *restrict re,
                       const double *restrict im, double *restrict out) {
    const double c = f->cosine[p], s = f->sine[p];
    for (int64_t l = 0; l < LANES; l++) {
        out[l] = re[l] * c + im[l] * s;
        out[LANES + l] = im[l] * c - re[l] * s;
    }
}

/* Transforms of length m become four times as many of length m / 4. */
static void by_four(const whet_i_fourier *f, int64_t m, const double *restrict x,
                    double *restrict y) {
    const int64_t s = f->n / m, quarter = f->n / 4 * VALUE;
    for (int64_t p = 0; p < m / 4; p++)
        for (int64_t q = 0; q < s; q++) {
            const double *a = x + (q + s * p) * VALUE, *b = a + quarter, *c = b + quarter;
            const double *d = c + quarter;
            double *to = y + (q + s * 4 * p) * VALUE;
            double one_re[LANES], one_im[LANES], two_re[LANES], two_im[LANES], three_re[LANES],
                three_im[LANES];
            for (int64_t l = 0, i = LANES; l < LANES; l++, i++) {
                const double sum_re = a[l] + c[l], sum_im = a[i] + c[i];
                const double off_re = a[l] - c[l], off_im = a[i] - c[i];
                const double also_re = b[l] + d[l], also_im = b[i] + d[i];
                const double side_re = b[l] - d[l], side_im = b[i] - d[i];
                to[l] = sum_re + also_re;
                to[i] = sum_im + also_im;
                one_re[l] = off_re + side_im;
                one_im[l] = off_im - side_re;
                two_re[l] = sum_re - also_re;
                two_im[l] = sum_im - also_im;
                three_re[l] = off_re - side_im;
                three_im[l] = off_im + side_re;
            }
            put_turned(f, s * p, one_re, one_im, to + s * VALUE);
            put_turned(f, 2 * s * p, two_re, two_im, to + 2 * s * VALUE);
            put_turned(f, 3 * s * p, three_re, three_im, to + 3 * s * VALUE);
        }
}

/* The last step where n is 2, 8, 32, ...: transforms of length 2. */
static void by_two(const whet_i_fourier *f, const double *restrict x, double *restrict y) {
    const int64_t half = f->n / 2 * VALUE;
    for (int64_t i = 0; i < half; i++) {
        y[i] = x[i] + x[half + i];
        y[half + i] = x[i] - x[half + i];
    }
}

/* Columns first.. of `in`, width of them, become rows of `out`. */
static void pass_strip(const whet_i_fourier *f, int64_t first, int64_t width, const double *in_re,
                       const double *in_im, double *out_re, double *out_im, double *buffer) {
    const int64_t n = f->n;
    double *x = buffer, *y = buffer + n * VALUE;
    for (int64_t r = 0; r < n; r++)
        for (int64_t l = 0; l < width; l++) {
            x[r * VALUE + l] = in_re[r * n + first + l];
            x[r * VALUE + LANES + l] = in_im[r * n + first + l];
        }
    int64_t m = n;
    for (; m >= 4; m /= 4) {
        by_four(f, m, x, y);
        double *other = x;
        x = y;
        y = other;
    }
    if (m == 2) by_two(f, x, y);
    const double *done = m == 2 ? y : x;
    for (int64_t l = 0; l < width; l++)
        for (int64_t r = 0; r < n; r++) {
            out_re[(first + l) * n + r] = done[r * VALUE + l];
            out_im[(first + l) * n + r] = done[r * VALUE + LANES + l];
        }
}

static void pass(const whet_i_fourier *f, const double *in_re, const double *in_im, double *out_re,
                 double *out_im, double *buffer) {
    for (int64_t first = 0; first < f->n; first += LANES) {
        const int64_t left = f->n - first;
        pass_strip(f, first, left < LANES ? left : LANES, in_re, in_im, out_re, out_im, buffer);
    }
}

void whet_i_fourier_2d(const whet_i_fourier *f, double *re, double *im, double *scratch) {
    const int64_t n = f->n;
    double *turned_re = scratch, *turned_im = scratch + n * n, *buffer = scratch + 2 * n * n;
    if (n < LANES) memset(buffer, 0, (size_t)(n * VALUE) * sizeof *buffer); /* lanes without use */
    pass(f, re, im, turned_re, turned_im, buffer);
    pass(f, turned_re, turned_im, re, im, buffer);
}
