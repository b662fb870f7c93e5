/* A streaming polyphase resampler between any two rates whose ratio is a fraction L / M.
 *
 * Output k is the sum over n of x[n] g(k M - n L), where g is a symmetric low-pass of 2 half + 1 taps at the common rate
 * (source rate times L). It is determined as soon as x[(k M + half) / L] is there, and is made in that very call.
 * Taps are integers in two parts of 16 bits, products and sums are exact, and one rounding ends each output: the
 * order of addition cannot matter, so every CPU and every chunking gives the same samples. */
#ifndef ENGINE_RESAMPLE_H
#define ENGINE_RESAMPLE_H

#include "_codec.h"

#define TAP_BITS 14          /* fraction of the coarse part of a tap: room for sums of |tap| up to 4 */
#define FINE_BITS 8          /* further bits in the fine part: a row of up to 512 taps cannot overflow */
#define TAP_ALIGN 16         /* rows are padded to this many taps */
#define BLOCK_SAMPLES 1024   /* new samples held at once */

/* A filter: one row of taps for each of the L phases, in the order in which a stream visits them. Shared, read only. */
struct filter {
    int32_t up, down, half; /* L, M, and the filter's half length at the common rate */
    int32_t taps;           /* of one row, a multiple of TAP_ALIGN */
    int16_t *coarse;        /* up * taps */
    int16_t *fine;          /* up * taps; NULL when the quality does without */
    int16_t *advance;       /* up: how many samples later the window of the next row ends */
};

struct resampler {
    const struct filter *filter;
    int64_t taken, given;   /* samples in and out since the beginning */
    int32_t row;            /* of the next output */
    int32_t last;           /* where in `held` its window ends */
    int32_t fill;           /* samples in `held` */
    int32_t room;           /* capacity of `held` */
    int32_t lead;           /* outputs made before the first sample's own */
    int16_t *held;
};

/* sin(pi x) for 0 <= x <= 1/2 by its series: libm differs between machines in the last bit, this does not. */
static double sin_pi(double x) {
    const double t = 3.14159265358979323846 * x, t2 = t * t;
    double term = t, sum = t;
    for (int k = 1; k < 14; k++) {
        term *= -t2 / (double)((2 * k) * (2 * k + 1));
        sum += term;
    }
    return sum;
}

/* sin(pi a / b) / (pi a / b), exactly reduced. */
static double sinc(int64_t a, int64_t b) {
    if (a < 0) a = -a;
    if (a == 0) return 1.0;
    int64_t r = a % (2 * b);
    double sign = 1.0;
    if (r >= b) {
        r -= b;
        sign = -1.0;
    }
    if (2 * r > b) r = b - r;
    return sign * sin_pi((double)r / (double)b) / (3.14159265358979323846 * (double)a / (double)b);
}

/* The modified Bessel function of order 0 of sqrt(x2). */
static double bessel_i0(double x2) {
    double term = 1.0, sum = 1.0;
    for (int k = 1; k < 64 && term > 1e-18 * sum; k++) {
        term *= x2 / (4.0 * k * k);
        sum += term;
    }
    return sum;
}

/* One tap of a Kaiser-windowed sinc that cuts at the Nyquist frequency of the slower rate, with a gain of L. */
static double ideal_tap(const struct filter *f, int64_t at, double beta) {
    const int64_t slow = f->up > f->down ? f->up : f->down;
    const double edge = (double)at / (double)(f->half + 1);
    return (double)f->up / (double)slow * sinc(at, slow) * bessel_i0(beta * beta * (1.0 - edge * edge)) /
           bessel_i0(beta * beta);
}

static inline int32_t filter_taps(int32_t up, int32_t half) {
    const int32_t most = 2 * half / up + 1;
    return (most + TAP_ALIGN - 1) / TAP_ALIGN * TAP_ALIGN;
}

static inline int64_t rounded(double value) { return (int64_t)(value < 0 ? value - 0.5 : value + 0.5); }

/* Fill the rows. Each row sums to exactly one, so a constant passes unchanged at every phase. `row` has room for taps. */
static void filter_design(struct filter *f, double beta, int64_t *row) {
    const int bits = TAP_BITS + (f->fine ? FINE_BITS : 0);
    const double one = (double)((int64_t)1 << bits);
    for (int32_t i = 0; i < f->up; i++) {
        const int64_t phase = (int64_t)i * f->down % f->up, ends = (phase + f->half) / f->up;
        const int64_t next = phase + f->down;
        double sum = 0;
        int64_t total = 0;
        int32_t top = 0;
        f->advance[i] = (int16_t)((next + f->half) / f->up - ends);
        for (int32_t j = 0; j < f->taps; j++) { /* j = 0 is the oldest sample of the window */
            const int64_t at = phase - (ends - (f->taps - 1 - j)) * f->up;
            sum += at > f->half ? 0.0 : ideal_tap(f, at, beta);
        }
        for (int32_t j = 0; j < f->taps; j++) {
            const int64_t at = phase - (ends - (f->taps - 1 - j)) * f->up;
            row[j] = at > f->half ? 0 : rounded(ideal_tap(f, at, beta) / sum * one);
            total += row[j];
            top = row[j] > row[top] ? j : top;
        }
        row[top] += ((int64_t)1 << bits) - total;
        for (int32_t j = 0; j < f->taps; j++) {
            const int64_t k = (int64_t)i * f->taps + j;
            const int64_t coarse = f->fine ? (row[j] + (1 << (FINE_BITS - 1))) >> FINE_BITS : row[j];
            f->coarse[k] = (int16_t)coarse;
            if (f->fine) f->fine[k] = (int16_t)(row[j] - coarse * (1 << FINE_BITS));
        }
    }
}

static inline int64_t ceil_div(int64_t a, int64_t b) { return a > 0 ? (a + b - 1) / b : -(-a / b); }

/* How many outputs a stream that has taken n samples determines. */
static inline int64_t resampler_due(const struct resampler *r, int64_t n) {
    const struct filter *f = r->filter;
    const int64_t due = ceil_div(n * f->up - f->half, f->down) + r->lead;
    return due > 0 ? due : 0;
}

static inline int32_t resampler_room(const struct filter *f) { return 2 * f->taps + BLOCK_SAMPLES; }

/* Begin a stream. live: start with as much silence as the filter looks ahead, so that every call gives its full share. */
static void resampler_begin(struct resampler *r, int live) {
    const struct filter *f = r->filter;
    const int32_t before = f->taps; /* zeros in front of the first sample */
    r->lead = live ? f->half / f->down : 0;
    const int32_t ends = (f->half - r->lead * f->down) / f->up; /* the window of the first output, live or not */
    r->row = (f->up - r->lead % f->up) % f->up;
    r->last = before + ends;
    r->fill = before;
    r->taken = 0;
    r->given = 0;
    memset(r->held, 0, (size_t)r->room * sizeof(int16_t));
}

/* Room for new samples at `held + fill`, after moving the window to the front. */
static int32_t resampler_ready(struct resampler *r) {
    const int32_t unused = r->last - (r->filter->taps - 1), passed = unused < r->fill ? unused : r->fill;
    if (passed > 0) {
        memmove(r->held, r->held + passed, (size_t)(r->fill - passed) * sizeof(int16_t));
        r->fill -= passed;
        r->last -= passed;
    }
    return r->room - r->fill;
}

static inline int32_t dot(const int16_t *restrict x, const int16_t *restrict taps, int32_t n) {
    int32_t sum = 0;
    for (int32_t i = 0; i < n; i++) sum += x[i] * taps[i];
    return sum;
}

/* Make outputs until `limit` or until the next one waits for a sample. Returns how many. */
CLONES static int32_t resampler_make(struct resampler *r, int16_t *restrict out, int32_t limit) {
    const struct filter *f = r->filter;
    const int32_t taps = f->taps, up = f->up;
    int32_t row = r->row, last = r->last, made = 0;
    for (; made < limit && last < r->fill; made++) {
        const int16_t *x = r->held + last - (taps - 1);
        const int32_t coarse = dot(x, f->coarse + (int64_t)row * taps, taps);
        if (f->fine) {
            const int32_t fine = dot(x, f->fine + (int64_t)row * taps, taps);
            const int64_t sum = (int64_t)coarse * (1 << FINE_BITS) + fine;
            out[made] = saturate16((int32_t)((sum + (1 << (TAP_BITS + FINE_BITS - 1))) >> (TAP_BITS + FINE_BITS)));
        } else {
            out[made] = saturate16((coarse + (1 << (TAP_BITS - 1))) >> TAP_BITS);
        }
        last += f->advance[row];
        row = row + 1 == up ? 0 : row + 1;
    }
    r->row = row;
    r->last = last;
    r->given += made;
    return made;
}

#endif
