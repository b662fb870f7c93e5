/* Drives every loop of the audio core with arbitrary bytes; the sanitizers judge. No Python is needed.
 *
 *     gcc -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all fuzz/codec_fuzz.c -o codec_fuzz && ./codec_fuzz 2000
 *     clang -g -O1 -DLIBFUZZER -fsanitize=fuzzer,address,undefined fuzz/codec_fuzz.c -o codec_fuzz && ./codec_fuzz -max_len=4096
 *
 * Without libFuzzer, `codec_fuzz COUNT [SEED]` makes its own inputs, and `codec_fuzz FILE` plays one. Every buffer is allocated
 * at its exact size, so that one byte too far is caught; every variant runs, and its answer must be that of plain C. */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "../engine/_conceal.h"
#include "../engine/_playout.h"
#include "../engine/_resample.h"

static const int32_t RATES[] = {8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000};

struct input {
    const uint8_t *data;
    size_t left;
};

static uint32_t number(struct input *in, uint32_t below) {
    uint32_t value = 0;
    for (int i = 0; i < 3 && in->left; i++, in->data++, in->left--) value = value << 8 | *in->data;
    return below ? value % below : value;
}

/* The next `size` bytes, repeated when there are fewer, in memory of exactly that size. */
static void *bytes(struct input *in, size_t size) {
    uint8_t *out = malloc(size ? size : 1);
    for (size_t i = 0; i < size; i++) out[i] = in->left ? in->data[i % in->left] : (uint8_t)(i * 37);
    const size_t used = size < in->left ? size : in->left;
    in->data += used;
    in->left -= used;
    return out;
}

static void *room(size_t size) { return malloc(size ? size : 1); }

#define SAME(a, b, size) assert(memcmp(a, b, size) == 0)

static void try_samples(struct input *in) {
    const int64_t n = number(in, 700);
    uint8_t *codes = bytes(in, (size_t)n);
    int16_t *pcm = bytes(in, 2 * (size_t)n), *other = bytes(in, 2 * (size_t)n);
    int16_t *plain16 = room(2 * (size_t)n), *ours16 = room(2 * (size_t)n);
    uint8_t *plain8 = room((size_t)n), *ours8 = room((size_t)n);
    char *plain_text = room((size_t)base64_encoded_bytes(n)), *ours_text = room((size_t)base64_encoded_bytes(n));
    const int32_t gain = (int32_t)number(in, 65536);
    const struct kernels *plain = &kernels_plain;
    for (int rank = 0; codec_kernels(rank); rank++) {
        const struct kernels *k = codec_kernels(rank);
        plain->ulaw_decode(codes, plain16, n), k->ulaw_decode(codes, ours16, n);
        SAME(plain16, ours16, 2 * (size_t)n);
        plain->alaw_decode(codes, plain16, n), k->alaw_decode(codes, ours16, n);
        SAME(plain16, ours16, 2 * (size_t)n);
        plain->ulaw_encode(pcm, plain8, n), k->ulaw_encode(pcm, ours8, n);
        SAME(plain8, ours8, (size_t)n);
        plain->alaw_encode(pcm, plain8, n), k->alaw_encode(pcm, ours8, n);
        SAME(plain8, ours8, (size_t)n);
        plain->mix(pcm, other, plain16, n), k->mix(pcm, other, ours16, n);
        SAME(plain16, ours16, 2 * (size_t)n);
        plain->gain(pcm, plain16, n, gain), k->gain(pcm, ours16, n, gain);
        SAME(plain16, ours16, 2 * (size_t)n);
        plain->base64_encode(codes, plain_text, n), k->base64_encode(codes, ours_text, n);
        SAME(plain_text, ours_text, (size_t)base64_encoded_bytes(n));
        const int64_t characters = base64_encoded_bytes(n);
        const int64_t size = base64_decoded_bytes((const uint8_t *)ours_text, characters);
        assert(size == n && k->base64_decode((const uint8_t *)ours_text, ours8, characters, size) == 0);
        SAME(codes, ours8, (size_t)n);
        const int64_t found = base64_decoded_bytes(codes, n); /* as text: good or bad, all agree */
        if (found >= 0) assert(plain->base64_decode(codes, plain8, n, found) == k->base64_decode(codes, ours8, n, found));
    }
    const uint8_t key[4] = {(uint8_t)gain, (uint8_t)(gain >> 8), 0x5a, 0};
    mask_octets(codes, ours8, n, key);
    for (int64_t i = 0; i < n; i++) assert(ours8[i] == (codes[i] ^ key[i % 4]));
    struct sound_level level;
    pcm_level(pcm, n, RATES[number(in, 8)], &level);
    assert(level.rms <= level.peak && level.peak <= 32768 && level.periodicity >= 0 && level.periodicity <= 1000);
    free(codes), free(pcm), free(other), free(plain16), free(ours16), free(plain8), free(ours8), free(plain_text), free(ours_text);
}

static void design(struct filter *f, int32_t source, int32_t target, int high) {
    int32_t a = source, b = target;
    while (b) {
        const int32_t rest = a % b;
        a = b;
        b = rest;
    }
    memset(f, 0, sizeof *f);
    f->up = target / a;
    f->down = source / a;
    f->fine = !high ? 0 : source < 4 * target ? 7 : 8;
    f->half = source == target ? 0 : (high ? 44 : 32) * (f->up > f->down ? f->up : f->down) / 2 - 1;
    filter_begin(f);
    int32_t *rows = room(sizeof(int32_t) * (size_t)f->up * (size_t)f->taps);
    double *exact = room(sizeof(double) * (size_t)f->taps);
    for (int32_t i = 0; i < f->up; i++)
        filter_row(f, i, high ? 10.06 : 6.2, COARSE_BITS + f->fine, rows + (int64_t)i * f->taps, exact);
    filter_middle(f, rows);
    f->rows = room(sizeof(int16_t) * (size_t)f->up * (size_t)f->stride);
    f->advance = room(sizeof(int16_t) * (size_t)f->up);
    filter_split(f, rows);
    if (f->pairs) {
        const size_t dealt = (size_t)f->up * (size_t)f->down;
        f->coarse_pairs = room(dealt * (size_t)f->pairs * sizeof(int32_t));
        f->fine_pairs = room(dealt * (size_t)f->pairs * sizeof(int32_t));
        f->spans = room(dealt * 2 * sizeof(int32_t));
        filter_deal(f);
    }
    free(rows), free(exact);
}

/* The sound in chunks of its own choice, through one variant; returns how many samples came out. */
static int64_t stream(const struct filter *f, const struct kernels *k, int live, const int16_t *pcm, int64_t n, int64_t chunk,
                      int16_t *out) {
    struct resampler r = {.filter = f, .room = resampler_room(f)};
    int64_t made = 0;
    r.held = room(resampler_bytes(f));
    resampler_begin(&r, live);
    for (int64_t at = 0; at < n;) {
        const int64_t most = chunk < n - at ? chunk : n - at, space = resampler_ready(&r), step = most < space ? most : space;
        memcpy(r.held + r.fill, pcm + at, (size_t)step * sizeof(int16_t));
        r.fill += (int32_t)step;
        r.taken += step;
        at += step;
        const int64_t due = resampler_due(&r, r.taken) - r.given;
        int16_t *exactly = room((size_t)due * sizeof(int16_t)); /* one sample too many would be caught */
        const int32_t got = resampler_make(&r, k, exactly, INT32_MAX);
        assert(got == due);
        memcpy(out + made, exactly, (size_t)got * sizeof(int16_t));
        free(exactly);
        made += got;
    }
    free(r.held);
    return made;
}

static void try_resampler(struct input *in) {
    static struct filter cache[8][8][2];
    const uint32_t s = number(in, 8), t = number(in, 8), high = number(in, 2), live = number(in, 2);
    struct filter *f = &cache[s][t][high];
    if (!f->rows) design(f, RATES[s], RATES[t], (int)high);
    const int64_t n = number(in, 2500), chunk = 1 + number(in, 1500);
    int16_t *pcm = bytes(in, 2 * (size_t)n);
    const size_t most = (size_t)(n * f->up / f->down + f->half + 8);
    int16_t *plain = room(most * sizeof(int16_t)), *ours = room(most * sizeof(int16_t));
    const int64_t expected = stream(f, &kernels_plain, (int)live, pcm, n, n ? n : 1, plain);
    for (int rank = 0; codec_kernels(rank); rank++) {
        assert(stream(f, codec_kernels(rank), (int)live, pcm, n, chunk, ours) == expected);
        SAME(plain, ours, (size_t)expected * sizeof(int16_t));
    }
    free(pcm), free(plain), free(ours);
}

static void try_playout(struct input *in) {
    struct playout p = {.capacity = 1 + number(in, 6000), .fade = 40, .freed = NONE};
    p.blocks = playout_blocks(p.capacity);
    p.next = room((size_t)p.blocks * sizeof(int32_t));
    p.sound = room((size_t)p.blocks * PLAYOUT_BLOCK * sizeof(int16_t));
    for (int step = 0; step < 200 && in->left; step++) {
        const int64_t run = number(in, 10), samples = number(in, 3000);
        const uint32_t act = number(in, 6);
        struct track *t = playout_track(&p, run);
        if (act == 0) playout_open(&p, run);
        if (!t) continue;
        if (act == 1) {
            int16_t *pcm = bytes(in, 2 * (size_t)samples);
            const int64_t took = playout_write(&p, t, pcm, samples);
            assert(took == samples || p.retained == p.capacity);
            free(pcm);
        } else if (act == 2) {
            const int64_t n = samples < t->written - t->sent ? samples : t->written - t->sent;
            int16_t *pcm = room(2 * (size_t)n);
            playout_read(&p, t, pcm, n);
            free(pcm);
        } else if (act == 3) {
            playout_keep_from(&p, t, samples);
        } else if (act == 4) {
            playout_rewind(&p, t, samples);
        } else if (act == 5) {
            playout_drop(&p, t);
        }
        assert(p.retained >= 0 && p.retained <= p.capacity);
    }
    free(p.next), free(p.sound);
}

static void try_concealer(struct input *in) {
    struct concealer *c = calloc(1, sizeof *c);
    c->rate_hz = RATES[number(in, 8)];
    while (in->left) {
        const int64_t n = number(in, 1500);
        int16_t *pcm = bytes(in, 2 * (size_t)n);
        if (number(in, 2)) conceal_heard(c, pcm, n);
        else conceal_lost(c, pcm, n);
        noise_fill(number(in, 0) | 1, pcm, n, (int32_t)number(in, 8001));
        free(pcm);
    }
    free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input in = {data, size};
    void (*const targets[])(struct input *) = {try_samples, try_resampler, try_playout, try_concealer};
    targets[number(&in, 4)](&in);
    return 0;
}

#ifndef LIBFUZZER
int main(int argc, char **argv) {
    static uint8_t data[4096];
    char *end = "";
    const long count = argc > 1 ? strtol(argv[1], &end, 10) : 1000;
    if (*end) {
        FILE *file = fopen(argv[1], "rb");
        if (!file) return 2;
        const size_t size = fread(data, 1, sizeof data, file);
        fclose(file);
        return LLVMFuzzerTestOneInput(data, size);
    }
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    for (long i = 0; i < count; i++) {
        const size_t size = (size_t)(seed >> 40) % sizeof data;
        const int rails = (seed >> 20 & 7) == 0; /* now and then only full-scale samples */
        for (size_t k = 0; k < size; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            const int low = seed >> 63 ? 0xFF : 0x00; /* 0x7FFF or 0x8000, little end first */
            data[k] = (uint8_t)(!rails || k < 24 ? (int)(seed >> 33 & 255) : k & 1 ? data[k - 1] ^ 0x80 : low);
        }
        LLVMFuzzerTestOneInput(data, size);
        seed = seed * 6364136223846793005u + 1442695040888963407u;
    }
    printf("%ld inputs, variants:", count);
    for (int rank = 0; codec_kernels(rank); rank++) printf(" %s", codec_kernels(rank)->name);
    printf("\n");
    return 0;
}
#endif
