/* A streaming polyphase resampler between any two rates whose ratio is a fraction L / M.
 *
 * Output k is the sum over n of x[n] g(k M - n L), where g is a symmetric low-pass of 2 half + 1 taps at the common rate
 * (source rate times L). It is determined as soon as x[(k M + half) / L] is there, and is made in that very call.
 * Taps are integers: a coarse part of 14 fractional bits and, for the better quality, a fine part of some more. Where
 * taps are small, as they are but for the middle of a row, the fine part alone holds them. Products and sums are exact and
 * one rounding ends each output: the order of addition cannot matter, so every CPU and every chunking gives the same samples. */
#ifndef ENGINE_RESAMPLE_H
#define ENGINE_RESAMPLE_H

#include "_codec.h"

#define BLOCK_SAMPLES 1024   /* new samples held at once */

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

/* One tap of a Kaiser-windowed sinc that cuts at the Nyquist frequency of the slower rate, but for a factor: rows are made to
 * sum to one in any case. */
static double ideal_tap(const struct filter *f, int64_t at, double beta) {
    const double edge = (double)at / (double)(f->half + 1);
    return sinc(at, f->up > f->down ? f->up : f->down) * bessel_i0(beta * beta * (1.0 - edge * edge));
}

/* Rows and their middles are whole numbers of this many taps: a vector, or a pair in each stream. */
static inline int32_t filter_align(const struct filter *f) { return f->up <= FEW && f->down <= FEW ? 2 * f->down : 16; }

/* Fill in what follows from the ratio and the half length. */
static void filter_begin(struct filter *f) {
    const int32_t most = 2 * f->half / f->up + 1, align = filter_align(f);
    f->taps = (most + align - 1) / align * align;
    f->pairs = f->up <= FEW && f->down <= FEW ? f->taps / align : 0;
}

static inline int64_t rounded(double value) { return (int64_t)(value < 0 ? value - 0.5 : value + 0.5); }

/* Where the window of row i's output ends, after the sample in which the output falls. */
static inline int64_t row_phase(const struct filter *f, int32_t i) { return (int64_t)i * f->down % f->up; }
static inline int64_t row_end(const struct filter *f, int32_t i) { return (row_phase(f, i) + f->half) / f->up; }

/* The taps of row i as integers of `bits` fractional bits. They sum to exactly one, so that a constant passes unchanged: what
 * rounding leaves over goes to the taps that it moved most. `exact` is room for `taps` numbers. */
static void filter_row(const struct filter *f, int32_t i, double beta, int bits, int32_t *row, double *exact) {
    const int64_t phase = row_phase(f, i), end = row_end(f, i), one = (int64_t)1 << bits;
    double sum = 0;
    int64_t left = one;
    for (int32_t j = 0; j < f->taps; j++) { /* j = 0 is the oldest sample of the window */
        const int64_t at = phase - (end - (f->taps - 1 - j)) * f->up;
        exact[j] = at > f->half ? 0.0 : ideal_tap(f, at, beta);
        sum += exact[j];
    }
    for (int32_t j = 0; j < f->taps; j++) {
        exact[j] *= (double)one / sum;
        row[j] = (int32_t)rounded(exact[j]);
        left -= row[j];
    }
    for (const int32_t sign = left > 0 ? 1 : -1; left; left -= sign) {
        int32_t most = 0;
        for (int32_t j = 1; j < f->taps; j++)
            if (sign * (exact[j] - row[j]) > sign * (exact[most] - row[most])) most = j;
        row[most] += sign;
    }
}

/* Whether with this middle every tap and every sum of products fits its integer. `rows` has up * taps. */
static int filter_fits(const struct filter *f, const int32_t *rows) {
    for (int32_t i = 0; i < f->up; i++) {
        int64_t sum = 0;
        for (int32_t j = 0; j < f->taps; j++) {
            const int32_t tap = rows[(int64_t)i * f->taps + j];
            const int middle = j >= f->from && j < f->to;
            if (!middle && magnitude(tap) > INT16_MAX) return 0;
            sum += middle ? 1 << (f->fine - 1) : magnitude(tap);
        }
        if (sum * 32768 + (1 << (COARSE_BITS + f->fine - 1)) > INT32_MAX) return 0;
    }
    return 1;
}

/* Choose the shortest middle, grown from the centre of the row in steps of filter_align. */
static void filter_middle(struct filter *f, const int32_t *rows) {
    const int32_t align = filter_align(f), blocks = f->taps / align;
    for (int32_t wide = f->fine ? 1 : blocks; wide <= blocks; wide++) {
        for (int32_t at = (blocks - wide) / 2; at <= (blocks - wide + 1) / 2; at++) {
            f->from = at * align;
            f->to = (at + wide) * align;
            f->stride = f->to - f->from + (f->fine ? f->taps : 0);
            if (!f->fine || filter_fits(f, rows)) return;
        }
    }
}

/* Split the rows into their parts. `rows` has up * taps integers of COARSE_BITS and the fine bits. */
static void filter_split(struct filter *f, const int32_t *rows) {
    for (int32_t i = 0; i < f->up; i++) {
        int16_t *coarse = f->rows + (int64_t)i * f->stride, *fine = coarse + f->to - f->from;
        f->advance[i] = (int16_t)((row_phase(f, i) + f->down + f->half) / f->up - row_end(f, i));
        for (int32_t j = 0; j < f->taps; j++) {
            const int32_t tap = rows[(int64_t)i * f->taps + j];
            const int middle = j >= f->from && j < f->to;
            const int32_t above = !middle ? 0 : f->fine ? (tap + (1 << (f->fine - 1))) >> f->fine : tap;
            if (middle) coarse[j - f->from] = (int16_t)above;
            if (f->fine) fine[j] = (int16_t)(tap - above * (1 << f->fine));
        }
    }
}

static inline int32_t pair_of(int32_t first, int32_t second) {
    return (int32_t)((uint32_t)(first & 0xFFFF) | (uint32_t)second << 16);
}

/* Deal the rows' taps to their streams. */
static void filter_deal(struct filter *f) {
    for (int32_t i = 0; i < f->up; i++) {
        const int16_t *coarse = f->rows + (int64_t)i * f->stride, *fine = coarse + f->to - f->from;
        for (int32_t m = 0; m < f->down; m++) {
            const int64_t at = (int64_t)i * f->down + m;
            int32_t begin = f->pairs, end = 0;
            for (int32_t k = 0; k < f->pairs; k++) {
                int32_t parts[4] = {0, 0, 0, 0};
                for (int32_t second = 0; second < 2; second++) {
                    const int32_t j = (2 * k + second) * f->down + m;
                    if (j >= f->from && j < f->to) parts[second] = coarse[j - f->from];
                    if (f->fine) parts[2 + second] = fine[j];
                }
                f->coarse_pairs[at * f->pairs + k] = pair_of(parts[0], parts[1]);
                f->fine_pairs[at * f->pairs + k] = pair_of(parts[2], parts[3]);
                if (parts[0] | parts[1] | parts[2] | parts[3]) {
                    begin = k < begin ? k : begin;
                    end = k + 1;
                }
            }
            f->spans[2 * at] = begin < end ? begin : end;
            f->spans[2 * at + 1] = end;
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

/* Bytes of `held`. */
static inline size_t resampler_bytes(const struct filter *f) {
    return (size_t)(resampler_room(f) + BEYOND) * sizeof(int16_t);
}

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
    memset(r->held, 0, resampler_bytes(f));
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

/* Make outputs until `limit` or until the next one waits for a sample. Returns how many. */
static inline int32_t resampler_make(struct resampler *r, const struct kernels *k, int16_t *out, int32_t limit) {
    const int32_t made = k->resample(r->filter, r->held, r->fill, &r->row, &r->last, out, limit);
    r->given += made;
    return made;
}

#endif
