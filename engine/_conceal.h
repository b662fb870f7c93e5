/* What to play where a frame was lost, and a quiet noise for where nothing is said.
 *
 * The idea is that of ITU-T G.711 Appendix I (9/99), written from its description: repeat the last pitch period, longer
 * stretches of it as the loss goes on, at full level for 10 ms and fading to silence at 60 ms; blend into the sound
 * that comes back. Unlike the Appendix it adds no delay: the step at the junction is spread over a quarter period. */
#ifndef ENGINE_CONCEAL_H
#define ENGINE_CONCEAL_H

#include "_codec.h"

#define CONCEAL_HZ_MAX 48000
#define CONCEAL_PITCHES 727                                     /* the longest period, 66 Hz at 48 kHz */
#define CONCEAL_HISTORY (3 * CONCEAL_PITCHES + CONCEAL_PITCHES / 4 + 1)

struct concealer {
    int32_t rate_hz;
    int32_t known;                 /* samples of history that were really heard */
    int32_t period;                /* of the voice before the loss; 0 when there is none */
    int32_t step;                  /* between the last sample heard and its repetition */
    int64_t lost;                  /* samples concealed in this loss */
    int16_t history[CONCEAL_HISTORY];
};

/* The lag from 200 Hz to 66 Hz at which the last 20 ms resemble what came before most. */
static int32_t conceal_period(const struct concealer *c) {
    const int32_t shortest = c->rate_hz / 200, longest = c->rate_hz / 66, window = c->rate_hz / 50;
    const int32_t step = c->rate_hz / 4000 > 0 ? c->rate_hz / 4000 : 1;
    const int16_t *end = c->history + CONCEAL_HISTORY;
    int32_t best = shortest;
    int64_t best_score = -1;
    for (int pass = 0; pass < 2; pass++) { /* coarse over all lags, then fine about the best */
        const int32_t from = pass && best - step > shortest ? best - step : shortest;
        const int32_t to = pass && best + step < longest ? best + step : longest;
        for (int32_t lag = from; lag <= to; lag += pass ? 1 : step) {
            int64_t product = 0, energy = 1;
            for (int32_t i = 1; i <= window; i += pass ? 1 : step) {
                product += end[-i] * end[-i - lag];
                energy += end[-i - lag] * end[-i - lag];
            }
            const int64_t scale = (int64_t)root((uint64_t)energy);
            const int64_t score = product > 0 ? product / (scale ? scale : 1) : 0;
            if (score > best_score) {
                best_score = score;
                best = lag;
            }
        }
    }
    return best;
}

/* Sample i of the repeated stretch of `periods` periods; its end is blended into what came before its beginning. */
static int32_t conceal_repeat(const struct concealer *c, int32_t periods, int64_t i) {
    const int16_t *end = c->history + CONCEAL_HISTORY;
    const int32_t length = periods * c->period, quarter = c->period / 4;
    const int32_t at = (int32_t)(i % length), left = length - at;
    const int32_t here = end[-left];
    if (left > quarter) return here;
    const int32_t weight = quarter - left + 1; /* 1 to quarter */
    return (here * (quarter + 1 - weight) + end[-left - length] * weight) / (quarter + 1);
}

/* The substitute for lost sample i. */
static int32_t conceal_sample(const struct concealer *c, int64_t i) {
    const int64_t ten_ms = c->rate_hz / 100, block = i / ten_ms;
    const int32_t quarter = c->period / 4;
    if (c->period == 0 || block >= 6) return 0;
    const int32_t periods = block < 1 ? 1 : block < 2 ? 2 : 3;
    int64_t value = conceal_repeat(c, periods, i);
    if (block > 0 && block < 3 && i % ten_ms < quarter) { /* from the shorter stretch into the longer */
        const int64_t in = i % ten_ms + 1;
        value = (conceal_repeat(c, periods - 1, i) * (quarter + 1 - in) + value * in) / (quarter + 1);
    }
    if (i < quarter) value += (int64_t)c->step * (quarter - i) / (quarter + 1);
    if (block > 0) value = value * (6 * ten_ms - i) / (5 * ten_ms);
    return saturate16((int32_t)value);
}

static void conceal_remember(struct concealer *c, const int16_t *in, int64_t n) {
    if (n >= CONCEAL_HISTORY) {
        memcpy(c->history, in + n - CONCEAL_HISTORY, sizeof c->history);
    } else {
        memmove(c->history, c->history + n, (size_t)(CONCEAL_HISTORY - n) * sizeof(int16_t));
        memcpy(c->history + CONCEAL_HISTORY - n, in, (size_t)n * sizeof(int16_t));
    }
    c->known = n >= CONCEAL_HISTORY - c->known ? CONCEAL_HISTORY : c->known + (int32_t)n;
}

/* n samples for a gap. */
static void conceal_lost(struct concealer *c, int16_t *out, int64_t n) {
    if (c->lost == 0) {
        c->period = c->known >= c->rate_hz / 50 + c->rate_hz / 66 ? conceal_period(c) : 0;
        c->step = c->period ? c->history[CONCEAL_HISTORY - 1] - c->history[CONCEAL_HISTORY - 1 - c->period] : 0;
    }
    for (int64_t i = 0; i < n; i++) out[i] = (int16_t)conceal_sample(c, c->lost + i);
    c->lost += n;
}

/* A frame that arrived, in place; after a gap its beginning is blended with the substitute. */
static void conceal_heard(struct concealer *c, int16_t *frame, int64_t n) {
    if (c->lost) {
        const int64_t ten_ms = c->rate_hz / 100, more = (c->lost - 1) / ten_ms;
        int64_t blend = c->period / 4 + more * c->rate_hz / 250;
        blend = blend > ten_ms ? ten_ms : blend;
        for (int64_t i = 0; i < blend && i < n; i++)
            frame[i] = (int16_t)((frame[i] * (i + 1) + conceal_sample(c, c->lost + i) * (blend - i)) / (blend + 1));
        c->lost = 0;
    }
    conceal_remember(c, frame, n);
}

/* Noise of a soft spectrum: neighbours of a xorshift generator averaged. rms is in sample units, at most 8,000. */
static uint32_t noise_fill(uint32_t seed, int16_t *out, int64_t n, int32_t rms) {
    int32_t before = (int32_t)(seed >> 16) - 32768;
    for (int64_t i = 0; i < n; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        const int32_t now = (int32_t)(seed >> 16) - 32768;
        /* uniform on +-32768 has an rms of 18919, the mean of two 13378 */
        out[i] = (int16_t)((int64_t)(now + before) * rms / 2 / 13378);
        before = now;
    }
    return seed;
}

#endif
