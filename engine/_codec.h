/* The inner loops on plain samples: G.711, base64, gain, mixing, level.
 *
 * No Python, no allocation, no mutable globals, integers only: the same samples on every CPU, and testable under a
 * sanitizer in ten lines of C. Lengths are in samples unless a name says bytes; the caller has checked them.
 * Source for the companding laws: ITU-T G.711 (11/88). */
#ifndef ENGINE_CODEC_H
#define ENGINE_CODEC_H

#include <stdint.h>
#include <string.h>

/* The same loop compiled for three generations of x86-64; the loader picks one. musl and macOS have no ifunc. */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(ENGINE_NO_CLONES) && \
    ((defined(__clang__) && __clang_major__ >= 17) || (!defined(__clang__) && defined(__GNUC__) && __GNUC__ >= 12))
#define ENGINE_CLONED 1
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define ENGINE_CLONED 0
#define CLONES
#endif

static const char *codec_clone(void) {
#if ENGINE_CLONED
    __builtin_cpu_init();
    if (__builtin_cpu_supports("x86-64-v4")) return "x86-64-v4";
    if (__builtin_cpu_supports("x86-64-v3")) return "x86-64-v3";
#endif
    return "default";
}

static inline int16_t saturate16(int32_t value) {
    return (int16_t)(value > INT16_MAX ? INT16_MAX : value < INT16_MIN ? INT16_MIN : value);
}

/* G.711 table 2a: a segment number and four bits of step, all inverted on the wire. */
CLONES static void ulaw_decode(const uint8_t *restrict in, int16_t *restrict out, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const uint8_t u = (uint8_t)~in[i];
        int16_t t = (int16_t)(((u & 15) << 3) + 132);
        t = (int16_t)(u & 16 ? t << 1 : t);
        t = (int16_t)(u & 32 ? t << 2 : t);
        t = (int16_t)(u & 64 ? t << 4 : t);
        out[i] = (int16_t)(u & 128 ? 132 - t : t - 132);
    }
}

/* The curve is concave and its segments are lines whose slope halves, so the code is the least of the eight lines. */
CLONES static void ulaw_encode(const int16_t *restrict in, uint8_t *restrict out, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const int16_t s = in[i];
        int16_t m = (int16_t)(s < 0 ? (s == INT16_MIN ? INT16_MAX : -s) : s);
        m = (int16_t)((m > 32635 ? 32635 : m) + 132);
        int16_t code = (int16_t)((m >> 3) - 16);
        for (int e = 1; e < 8; e++) {
            const int16_t line = (int16_t)((m >> (e + 3)) + 16 * e - 16);
            code = line < code ? line : code;
        }
        out[i] = (uint8_t)~(code | (s < 0 ? 128 : 0));
    }
}

/* G.711 table 1a; even bits inverted on the wire. */
CLONES static void alaw_decode(const uint8_t *restrict in, int16_t *restrict out, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const uint8_t a = in[i] ^ 0x55;
        const uint8_t segment = (a >> 4) & 7;
        int16_t t = (int16_t)(((a & 15) << 4) + (segment ? 264 : 8));
        const uint8_t shift = (uint8_t)(segment ? segment - 1 : 0);
        t = (int16_t)(shift & 1 ? t << 1 : t);
        t = (int16_t)(shift & 2 ? t << 2 : t);
        t = (int16_t)(shift & 4 ? t << 4 : t);
        out[i] = (int16_t)(a & 128 ? t : -t);
    }
}

CLONES static void alaw_encode(const int16_t *restrict in, uint8_t *restrict out, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const int16_t s = in[i];
        const int16_t m = (int16_t)((s ^ (s >> 15)) >> 4);
        int16_t code = m;
        for (int k = 1; k < 7; k++) {
            const int16_t line = (int16_t)((m >> k) + 16 * k);
            code = line < code ? line : code;
        }
        out[i] = (uint8_t)((code | (s < 0 ? 0 : 128)) ^ 0x55);
    }
}

CLONES static void pcm_mix(const int16_t *restrict a, const int16_t *restrict b, int16_t *restrict out, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = saturate16((int32_t)a[i] + b[i]);
}

/* gain is in 1/4096, 0 to 65535 (16 times): the product fits 32 bits. Rounds to nearest, halves up. */
CLONES static void pcm_gain(const int16_t *restrict in, int16_t *restrict out, int64_t n, int32_t gain) {
    for (int64_t i = 0; i < n; i++) out[i] = saturate16((in[i] * gain + 2048) >> 12);
}

/* A straight ramp over `length` samples, from which `out` takes those at `from` and after; rising, or falling. */
static void pcm_fade(int16_t *out, int64_t n, int64_t from, int64_t length, int rising) {
    for (int64_t i = 0; i < n && from + i < length; i++) {
        const int64_t step = rising ? 2 * (from + i) + 1 : 2 * (length - from - i) - 1;
        out[i] = (int16_t)(out[i] * step / (2 * length));
    }
}

static const char BASE64[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static inline int64_t base64_encoded_bytes(int64_t n) { return (n + 2) / 3 * 4; }

/* RFC 4648 section 4, padded. */
static void base64_encode(const uint8_t *restrict in, char *restrict out, int64_t n) {
    int64_t i = 0, o = 0;
    for (; i + 3 <= n; i += 3, o += 4) {
        const uint32_t v = (uint32_t)in[i] << 16 | (uint32_t)in[i + 1] << 8 | in[i + 2];
        out[o] = BASE64[v >> 18];
        out[o + 1] = BASE64[v >> 12 & 63];
        out[o + 2] = BASE64[v >> 6 & 63];
        out[o + 3] = BASE64[v & 63];
    }
    if (i < n) {
        const uint32_t v = (uint32_t)in[i] << 16 | (i + 1 < n ? (uint32_t)in[i + 1] << 8 : 0);
        out[o] = BASE64[v >> 18];
        out[o + 1] = BASE64[v >> 12 & 63];
        out[o + 2] = i + 1 < n ? BASE64[v >> 6 & 63] : '=';
        out[o + 3] = '=';
    }
}

static inline int base64_value(uint8_t c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* How many bytes a text of n characters holds at most; -1 when n is no length of padded base64. */
static inline int64_t base64_decoded_bytes(const uint8_t *in, int64_t n) {
    if (n % 4) return -1;
    if (n == 0) return 0;
    return n / 4 * 3 - (in[n - 1] == '=') - (in[n - 1] == '=' && in[n - 2] == '=');
}

/* Strict: the alphabet, padding at the end alone, no stray bits. 0 when good, -1 otherwise. */
static int base64_decode(const uint8_t *restrict in, uint8_t *restrict out, int64_t n) {
    const int64_t size = base64_decoded_bytes(in, n);
    int64_t o = 0;
    if (size < 0) return -1;
    for (int64_t i = 0; i < n; i += 4) {
        const int pad = i + 4 == n ? (int)(n / 4 * 3 - size) : 0;
        const int a = base64_value(in[i]), b = base64_value(in[i + 1]);
        const int c = pad == 2 ? 0 : base64_value(in[i + 2]), d = pad ? 0 : base64_value(in[i + 3]);
        if ((a | b | c | d) < 0) return -1;
        if ((pad == 2 && (b & 15)) || (pad == 1 && (c & 3))) return -1;
        out[o++] = (uint8_t)(a << 2 | b >> 4);
        if (pad < 2) out[o++] = (uint8_t)(b << 4 | c >> 2);
        if (pad < 1) out[o++] = (uint8_t)(c << 6 | d);
    }
    return 0;
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
#define LEVEL_SAMPLES 256  /* 64 ms of it at most */

struct sound_level {
    int32_t rms, peak, clipped, periodicity;
};

/* The best normalised autocorrelation over periods of 2.5 to 10 ms (400 to 100 Hz), in thousandths. */
static int32_t voice_periodicity(const int32_t *x, int n) {
    const int shortest = LEVEL_HZ / 400, longest = LEVEL_HZ / 100;
    int32_t best = 0;
    for (int lag = shortest; lag <= longest && 2 * lag <= n; lag++) {
        int64_t product = 0, here = 0, there = 0;
        for (int i = 0; i + lag < n; i++) {
            product += (int64_t)x[i] * x[i + lag];
            here += (int64_t)x[i] * x[i];
            there += (int64_t)x[i + lag] * x[i + lag];
        }
        if (product > 0) {
            const int64_t norm = (int64_t)(root((uint64_t)here) * root((uint64_t)there));
            const int32_t ratio = norm ? (int32_t)(product * 1000 / norm) : 0;
            best = ratio > best ? ratio : best;
        }
    }
    return best > 1000 ? 1000 : best;
}

CLONES static void pcm_level(const int16_t *in, int64_t n, int32_t rate_hz, struct sound_level *out) {
    uint64_t energy = 0;
    int32_t peak = 0, clipped = 0;
    for (int64_t i = 0; i < n; i++) {
        const int32_t s = in[i], m = s < 0 ? -s : s;
        energy += (uint64_t)((int64_t)s * s);
        peak = m > peak ? m : peak;
        clipped += (s == INT16_MAX) | (s == INT16_MIN);
    }
    int32_t slow[LEVEL_SAMPLES];
    const int step = rate_hz / LEVEL_HZ;
    int count = 0;
    for (int64_t i = 0; i + step <= n && count < LEVEL_SAMPLES; i += step) {
        int32_t sum = 0;
        for (int k = 0; k < step; k++) sum += in[i + k];
        slow[count++] = sum / step;
    }
    out->rms = n ? (int32_t)root(energy / (uint64_t)n) : 0;
    out->peak = peak;
    out->clipped = clipped;
    out->periodicity = voice_periodicity(slow, count);
}

#endif
