/* SPDX-License-Identifier: Apache-2.0
 * Images made of others: rows and columns in bit-reversed order, and digits turned on a sphere
 * (Cohen, Geiger, Koehler & Welling 2018, arXiv 1801.10130, section 5.2, as its code and
 * AutoWS-Bench-101 have it; rotations after Arvo 1992).
 *
 * On the sphere of the Driscoll-Healy grid (60 by 60 directions) a point (x, y, z), turned and moved up
 * by 1, is seen from (0, 0, 2.001) on the plane z = 0, where the image covers [-1.5, 1.5]^2. Corners of
 * a sample are two pixels apart, as in the code that made the published sets: a blur by design. */
#include <math.h>

#include "bench/bench_i.h"

enum { SIDE = WHET_I_IMAGE_SIDE, SPHERE = WHET_I_SPHERE_SIDE, BITS = 5 };
static const double PI = 3.14159265358979323846, EYE = 2 + 1e-3, EDGE = 1.5;

static int64_t reversed(int64_t value) {
    int64_t out = 0;
    for (int64_t bit = 0; bit < BITS; bit++) out |= ((value >> bit) & 1) << (BITS - 1 - bit);
    return out;
}

void whet_i_image_permute(const uint8_t *in, uint8_t *out) {
    int64_t order[SIDE], count = 0;
    for (int64_t i = 0; i < 1 << BITS; i++)
        if (reversed(i) < SIDE) order[count++] = reversed(i);
    for (int64_t r = 0; r < SIDE; r++)
        for (int64_t c = 0; c < SIDE; c++) out[r * SIDE + c] = in[order[r] * SIDE + order[c]];
}

/* (V V^T - I) R_z: |V|^2 = 2, so a turn about z, then half a turn about V. */
void whet_i_random_rotation(double u1, double u2, double u3, double rotation[9]) {
    const double t = u1 * 2 * PI, f = u2 * 2 * PI, z = u3 * 2, r = sqrt(z);
    const double v[3] = {sin(f) * r, cos(f) * r, sqrt(2 - z)};
    const double turn[9] = {cos(t), sin(t), 0, -sin(t), cos(t), 0, 0, 0, 1};
    for (int64_t i = 0; i < 3; i++)
        for (int64_t j = 0; j < 3; j++) {
            double sum = 0;
            for (int64_t k = 0; k < 3; k++)
                sum += (v[i] * v[k] - (i == k ? 1 : 0)) * turn[k * 3 + j];
            rotation[i * 3 + j] = sum;
        }
}

static double pixel(const uint8_t *in, int64_t r, int64_t c) {
    return r < 0 || r >= SIDE || c < 0 || c >= SIDE ? 0 : in[r * SIDE + c];
}

/* At row x, column y, both in pixels; weights of two corners add up to 2. */
static double sample(const uint8_t *in, double x, double y) {
    const int64_t i = (int64_t)x, j = (int64_t)y; /* towards zero, as in the source */
    const double x0 = x - (double)(i - 1), x1 = (double)(i + 1) - x;
    const double left = x1 * pixel(in, i - 1, j - 1) + x0 * pixel(in, i + 1, j - 1);
    const double right = x1 * pixel(in, i - 1, j + 1) + x0 * pixel(in, i + 1, j + 1);
    return ((double)(j + 1) - y) * left + (y - (double)(j - 1)) * right;
}

/* The image where direction (x, y, z) of the unit sphere shows it. The eye is above the sphere's top:
 * the divisor is at least 0.001. */
static double seen(const uint8_t *in, const double turn[9], double x, double y, double z) {
    const double a = turn[0] * x + turn[1] * y + turn[2] * z;
    const double b = turn[3] * x + turn[4] * y + turn[5] * z;
    const double c = turn[6] * x + turn[7] * y + turn[8] * z + 1;
    const double along = -c / (c - EYE);
    const double row = (along * a + a + EDGE) / (2 * EDGE);
    const double column = (along * b + b + EDGE) / (2 * EDGE);
    return sample(in, row * SIDE, column * SIDE);
}

void whet_i_image_to_sphere(const uint8_t *in, const double rotation[9], uint8_t *out) {
    double values[WHET_I_SPHERE_PIXELS], cosine[SPHERE], sine[SPHERE];
    double low = (double)INFINITY, high = -(double)INFINITY;
    for (int64_t j = 0; j < SPHERE; j++) {
        const double phi = PI * (double)j / (SPHERE * 0.5);
        cosine[j] = cos(phi);
        sine[j] = sin(phi);
    }
    for (int64_t i = 0; i < SPHERE; i++) {
        const double theta = PI * (double)i / SPHERE, z = cos(theta), ring = sin(theta);
        for (int64_t j = 0; j < SPHERE; j++) {
            const double v = seen(in, rotation, ring * cosine[j], ring * sine[j], z);
            values[i * SPHERE + j] = v;
            low = fmin(low, v);
            high = fmax(high, v);
        }
    }
    for (int64_t i = 0; i < WHET_I_SPHERE_PIXELS; i++) /* of an even image: black */
        out[i] = high > low ? (uint8_t)((values[i] - low) / (high - low) * 255) : 0;
}
