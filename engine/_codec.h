/* The loops on plain samples, in as many variants as there are generations of CPU: G.711, base64, gain, level.
 *
 * No Python, no allocation, no mutable globals, integers only: the same samples on every CPU, and testable under a
 * sanitizer in ten lines of C. Lengths are in samples unless a name says bytes; the caller has checked them.
 * Source for the companding laws: ITU-T G.711 (11/88). */
#ifndef ENGINE_CODEC_H
#define ENGINE_CODEC_H

#include <assert.h> /* checked in a debug build */
#include <stdint.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "PCM16 on the wire is little-endian, and so must the machine be"
#endif

static inline int16_t saturate16(int32_t value) {
    return (int16_t)(value > INT16_MAX ? INT16_MAX : value < INT16_MIN ? INT16_MIN : value);
}

static inline int32_t magnitude(int32_t value) { return value < 0 ? -value : value; }

/* RFC 4648 section 4. */
static const char BASE64[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const int8_t BASE64_VALUE[256] = {
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 62, -1, -1, -1, 63,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, -1, -1, -1, -1, -1, -1,
    -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, -1, -1, -1, -1, -1,
    -1, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
};

static inline int64_t base64_encoded_bytes(int64_t n) { return (n + 2) / 3 * 4; }

/* How many bytes a text of n characters decodes to; -1 when n is no length of padded base64. */
static inline int64_t base64_decoded_bytes(const uint8_t *in, int64_t n) {
    if (n % 4) return -1;
    if (n == 0) return 0;
    return n / 4 * 3 - (in[n - 1] == '=') - (in[n - 1] == '=' && in[n - 2] == '=');
}

/* A WebSocket's masking, 4 octets of key over and over; eight at a time, which compilers make vectors of. */
static inline void mask_octets(const uint8_t *in, uint8_t *out, int64_t n, const uint8_t key[4]) {
    uint64_t both, word;
    memcpy(&both, key, 4);
    memcpy((uint8_t *)&both + 4, key, 4);
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        memcpy(&word, in + i, 8);
        word ^= both;
        memcpy(out + i, &word, 8);
    }
    for (; i < n; i++) out[i] = in[i] ^ key[i & 3];
}

/* The payload of a masked WebSocket frame of 126 to 65,535 octets that is whole and alone, with this first octet; NULL otherwise.
 * `n`: of the frame, then of its payload. */
static inline const uint8_t *lone_payload(const uint8_t *frame, int64_t *n, uint8_t first) {
    if (*n < 8 || frame[0] != first || frame[1] != (0x80 | 126) || *n != 8 + (frame[2] << 8 | frame[3])) return NULL;
    *n -= 8;
    return frame + 8;
}

/* Whether all octets are ASCII. */
static inline int all_ascii(const uint8_t *in, int64_t n) {
    uint8_t any = 0;
    for (int64_t i = 0; i < n; i++) any |= in[i];
    return any < 128;
}

#define COARSE_BITS 14 /* fraction of the coarse part of a tap: room for rows whose |taps| sum to less than 4 */

#define FEW 6           /* up to so many rows and samples in a cycle, vectors run along the outputs */
#define CYCLES 256      /* cycles made at once */
#define STREAM 640      /* samples of one dealt stream: CYCLES, twice the pairs of the longest row, a vector beyond */
#define BEYOND 64       /* samples that vectors may read past the newest; their products meet no output */

/* A resampling filter: one row of taps for each of `up` phases, in the order in which a stream visits them. */
struct filter {
    int32_t up, down, half; /* ratio, and half the filter's length at the common rate (source rate times up) */
    int32_t taps;           /* of one row, padded in front */
    int32_t from, to;       /* the middle of a row, whose taps have a coarse part */
    int32_t fine;           /* further bits of the fine part; 0 when there is none */
    int32_t stride;         /* from row to row: the coarse part, to - from, then the fine one, taps or nothing */
    int16_t *rows;          /* up * stride */
    int16_t *advance;       /* up: how many samples later the window of the next row ends */
    /* When up and down are few: the same taps in pairs, for each row and each stream of every down-th sample. */
    int32_t pairs;          /* in one stream; 0 when up or down are many */
    int32_t *coarse_pairs;  /* up * down * pairs */
    int32_t *fine_pairs;    /* up * down * pairs */
    int32_t *spans;         /* up * down * 2: the first pair that is not zero, and the end of them */
};

/* The loops of one variant. */
struct kernels {
    const char *name;
    void (*ulaw_decode)(const uint8_t *, int16_t *, int64_t);
    void (*ulaw_encode)(const int16_t *, uint8_t *, int64_t);
    void (*alaw_decode)(const uint8_t *, int16_t *, int64_t);
    void (*alaw_encode)(const int16_t *, uint8_t *, int64_t);
    void (*mix)(const int16_t *, const int16_t *, int16_t *, int64_t);
    void (*gain)(const int16_t *, int16_t *, int64_t, int32_t);
    void (*base64_encode)(const uint8_t *, char *, int64_t);
    int (*base64_decode)(const uint8_t *, uint8_t *, int64_t, int64_t);
    int32_t (*resample)(const struct filter *, const int16_t *, int32_t, int32_t *, int32_t *, int16_t *, int32_t);
};

/* Not target_clones: that needs an ifunc, so glibc; cannot hold intrinsics; and lets a test reach one variant only. */
#define VARIANT "plain"
#define NAMED(name) name##_plain
#define KERNEL static
#define INLINE static inline
#define LANES 0
#include "_kernels.h"

#if defined(__x86_64__) && ((defined(__clang__) && __clang_major__ >= 14) || (!defined(__clang__) && __GNUC__ >= 12))
#include <immintrin.h>
#define TARGET(cpu) __attribute__((target("arch=" cpu)))
#define INTO __attribute__((always_inline))
#define APART __attribute__((noinline)) /* a loop that wants the registers to itself */

#define VARIANT "x86-64"
#define NAMED(name) name##_x86_64
#define KERNEL static
#define INLINE static inline INTO
#define LANES 8
#include "_kernels.h"

#define VARIANT "x86-64-v3"
#define NAMED(name) name##_x86_64_v3
#define KERNEL TARGET("x86-64-v3") static
#define INLINE TARGET("x86-64-v3") static inline INTO
#define LANES 16
#include "_kernels.h"

#define VARIANT "x86-64-v4"
#define NAMED(name) name##_x86_64_v4
#define KERNEL TARGET("x86-64-v4") static
#define INLINE TARGET("x86-64-v4") static inline INTO
#define LANES 32
#include "_kernels.h"

/* The variants that this machine can run, best first; NULL after the last. */
static const struct kernels *codec_kernels(int rank) {
    __builtin_cpu_init();
    const struct kernels *all[] = {&kernels_x86_64_v4, &kernels_x86_64_v3, &kernels_x86_64, &kernels_plain, NULL};
    /* The levels by their rarest parts: older Clang does not know them by name. */
    const int v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma");
    const int v4 = v3 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                   __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd");
    rank += v4 ? 0 : v3 ? 1 : 2;
    return all[rank < 4 ? rank : 4];
}
#else
static const struct kernels *codec_kernels(int rank) { return rank ? NULL : &kernels_plain; }
#endif

/* A straight ramp over `length` samples, from which `out` takes those at `from` and after; rising, or falling. */
static void pcm_fade(int16_t *out, int64_t n, int64_t from, int64_t length, int rising) {
    for (int64_t i = 0; i < n && from + i < length; i++) {
        const int64_t step = rising ? 2 * (from + i) + 1 : 2 * (length - from - i) - 1;
        out[i] = (int16_t)(out[i] * step / (2 * length));
    }
}

/* Floor of the square root, digit by digit: no libm. */
static inline uint64_t root(uint64_t value) {
    uint64_t result = 0;
    for (uint64_t bit = (uint64_t)1 << 62; bit; bit >>= 2) {
        if (value >= result + bit) {
            value -= result + bit;
            result = (result >> 1) + bit;
        } else {
            result >>= 1;
        }
    }
    return result;
}

#define LEVEL_HZ 4000      /* the rate at which a voice's period is looked for */
#define LEVEL_SAMPLES 256  /* 64 ms of it at most: their energy fits 32 bits */

struct sound_level {
    int32_t rms, peak, clipped, periodicity;
};

/* The best normalised autocorrelation over periods of 2.5 to 10 ms (400 to 100 Hz), in thousandths. |x| <= 2047. */
static int32_t voice_periodicity(const int16_t *x, int n) {
    const int shortest = LEVEL_HZ / 400, longest = LEVEL_HZ / 100;
    int32_t before = 0, after = 0; /* energy of all but the last samples, and of all but the first */
    double best = 0;
    for (int i = 0; i < n; i++) before += x[i] * x[i];
    after = before;
    for (int lag = 1; lag <= longest && 2 * lag <= n; lag++) {
        before -= x[n - lag] * x[n - lag];
        after -= x[lag - 1] * x[lag - 1];
        if (lag < shortest) continue;
        int32_t product = 0;
        for (int i = 0; i < n - lag; i++) product += x[i] * x[i + lag];
        if (product <= 0) continue;
        const double ratio = (double)product * product / ((double)before * after);
        best = ratio > best ? ratio : best;
    }
    return (int32_t)root((uint64_t)(best * 1e6));
}

static int32_t pcm_rms(const int16_t *in, int64_t n) {
    uint64_t energy = 0;
    for (int64_t i = 0; i < n; i++) energy += (uint32_t)(in[i] * in[i]);
    return n ? (int32_t)root(energy / (uint64_t)n) : 0;
}

static void pcm_level(const int16_t *in, int64_t n, int32_t rate_hz, struct sound_level *out) {
    int32_t peak = 0, clipped = 0, loudest = 0;
    for (int64_t i = 0; i < n; i++) {
        const int32_t s = in[i], m = s < 0 ? -s : s;
        peak = m > peak ? m : peak;
        clipped += (s == INT16_MAX) | (s == INT16_MIN);
    }
    int32_t sums[LEVEL_SAMPLES];
    int16_t slow[LEVEL_SAMPLES];
    const int step = rate_hz / LEVEL_HZ;
    int32_t offset = 0;
    int count = 0, shift = 0;
    for (int64_t i = 0; i + step <= n && count < LEVEL_SAMPLES; i += step, count++) {
        int32_t sum = 0;
        for (int k = 0; k < step; k++) sum += in[i + k];
        sums[count] = sum;
        offset += sum;
    }
    for (int i = 0; i < count; i++) { /* a constant is not a voice */
        sums[i] -= offset / count;
        loudest = magnitude(sums[i]) > loudest ? magnitude(sums[i]) : loudest;
    }
    while (loudest >> shift > 2047) shift++;
    for (int i = 0; i < count; i++) slow[i] = (int16_t)(sums[i] / (1 << shift));
    out->rms = pcm_rms(in, n);
    out->peak = peak;
    out->clipped = clipped;
    out->periodicity = voice_periodicity(slow, count);
}

#endif
