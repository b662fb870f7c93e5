/* Sound waiting to be heard: a bounded pool of blocks shared by a few runs, each a chain of blocks.
 *
 * A run's sound is addressed by sample number since the run began: first <= sent <= written. What lies before `first`
 * is forgotten, what lies before `sent` has gone to the wire and can be sent again. */
#ifndef ENGINE_PLAYOUT_H
#define ENGINE_PLAYOUT_H

#include "_codec.h"

#define PLAYOUT_RUNS 8
#define PLAYOUT_BLOCK 512 /* samples */
#define PLAYOUT_BLOCKS_FIRST 32
#define NONE (-1)

struct track {
    int64_t run;
    int64_t first, sent, written;
    int64_t head_at;              /* sample number at which the head block begins */
    int64_t fade_from;            /* where the fade-in after a rewind began; fades while sent < fade_from + fade */
    int32_t head, tail, cursor;   /* blocks; the cursor is the one that holds `sent` */
    int32_t open;
};

struct playout {
    struct track tracks[PLAYOUT_RUNS];
    int64_t capacity, retained;   /* samples, all runs together */
    int32_t fade;                 /* samples in 5 ms */
    int32_t blocks, fresh, freed; /* pool size so far, how many were ever used, head of the free chain */
    int32_t *next;                /* blocks */
    int16_t *sound;               /* blocks * PLAYOUT_BLOCK */
};

/* The size to which a pool may have to grow: each run may leave two blocks half empty. */
static inline int32_t playout_blocks(int64_t capacity) {
    return (int32_t)((capacity + PLAYOUT_BLOCK - 1) / PLAYOUT_BLOCK + 2 * PLAYOUT_RUNS);
}

static inline struct track *playout_track(struct playout *p, int64_t run) {
    for (int i = 0; i < PLAYOUT_RUNS; i++)
        if (p->tracks[i].open && p->tracks[i].run == run) return &p->tracks[i];
    return NULL;
}

static int playout_open(struct playout *p, int64_t run) {
    if (playout_track(p, run)) return 1;
    for (int i = 0; i < PLAYOUT_RUNS; i++) {
        struct track *t = &p->tracks[i];
        if (t->open) continue;
        memset(t, 0, sizeof *t);
        t->run = run;
        t->open = 1;
        t->head = t->tail = t->cursor = NONE;
        t->fade_from = INT64_MIN / 2;
        return 1;
    }
    return 0;
}

static inline int32_t playout_take(struct playout *p) {
    int32_t block = p->freed;
    if (block != NONE) p->freed = p->next[block];
    else if (p->fresh < p->blocks) block = p->fresh++;
    return block;
}

/* Append; returns how many samples were accepted: fewer than n when the pool is full. Once it has grown, go on with the rest. */
static int64_t playout_write(struct playout *p, struct track *t, const int16_t *in, int64_t n) {
    int64_t done = 0;
    if (n > p->capacity - p->retained) n = p->capacity - p->retained;
    while (done < n) {
        const int64_t at = (t->written - t->head_at) % PLAYOUT_BLOCK;
        if (at == 0) {
            const int32_t block = playout_take(p);
            if (block == NONE) break;
            p->next[block] = NONE;
            if (t->head == NONE) t->head = block;
            else p->next[t->tail] = block;
            t->tail = block;
            if (t->cursor == NONE) t->cursor = block;
        }
        const int64_t step = n - done < PLAYOUT_BLOCK - at ? n - done : PLAYOUT_BLOCK - at;
        memcpy(p->sound + (int64_t)t->tail * PLAYOUT_BLOCK + at, in + done, (size_t)step * sizeof(int16_t));
        t->written += step;
        done += step;
    }
    p->retained += done;
    return done;
}

/* The next n samples, n <= written - sent. */
static void playout_read(struct playout *p, struct track *t, int16_t *out, int64_t n) {
    const int64_t began = t->sent;
    assert(n <= t->written - t->sent);
    int64_t done = 0;
    while (done < n) {
        const int64_t at = (t->sent - t->head_at) % PLAYOUT_BLOCK;
        assert(t->cursor >= 0 && t->cursor < p->fresh);
        const int64_t step = n - done < PLAYOUT_BLOCK - at ? n - done : PLAYOUT_BLOCK - at;
        memcpy(out + done, p->sound + (int64_t)t->cursor * PLAYOUT_BLOCK + at, (size_t)step * sizeof(int16_t));
        t->sent += step;
        done += step;
        if (at + step == PLAYOUT_BLOCK) t->cursor = p->next[t->cursor];
    }
    if (began - t->fade_from < p->fade) pcm_fade(out, n, began - t->fade_from, p->fade, 1);
}

/* Forget what lies before `sample`; what was not sent is never forgotten. */
static void playout_keep_from(struct playout *p, struct track *t, int64_t sample) {
    if (sample > t->sent) sample = t->sent;
    if (sample <= t->first) return;
    p->retained -= sample - t->first;
    t->first = sample;
    while (t->head != t->cursor && t->head != t->tail && sample - t->head_at >= PLAYOUT_BLOCK) {
        const int32_t block = t->head;
        t->head = p->next[block];
        t->head_at += PLAYOUT_BLOCK;
        p->next[block] = p->freed;
        p->freed = block;
    }
}

/* The next read begins at `sample`, or at the nearest one retained. Returns which. */
static int64_t playout_rewind(struct playout *p, struct track *t, int64_t sample) {
    sample = sample < t->first ? t->first : sample > t->written ? t->written : sample;
    t->sent = sample;
    t->fade_from = sample;
    t->cursor = t->head;
    for (int64_t steps = (sample - t->head_at) / PLAYOUT_BLOCK; steps > 0; steps--) t->cursor = p->next[t->cursor];
    return sample;
}

/* One splice, however long the run. */
static void playout_drop(struct playout *p, struct track *t) {
    if (t->head != NONE) {
        p->next[t->tail] = p->freed;
        p->freed = t->head;
    }
    p->retained -= t->written - t->first;
    t->open = 0;
}

#endif
