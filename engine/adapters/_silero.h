/* Silero's network for 512 samples at 16 kHz. What its parts are is said in silero.py, which also brings the weights.
 *
 * In as many variants as there are generations of CPU. Every sum is taken in one order and nothing is contracted, so all variants,
 * hence all machines, give the same bits. */
#ifndef ENGINE_SILERO_H
#define ENGINE_SILERO_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define WINDOW 512
#define CONTEXT 64
#define MIRROR 64
#define STEPS 4   /* of the Fourier transform in a window */
#define HOP 128   /* samples between them */
#define HALF 128  /* samples in half of one */
#define BINS 129
#define BINS_ROOM 144 /* whole vectors of them */
#define STATE 128
#define GATES (4 * STATE)

#define COLUMNS 16 /* of the narrowest strip */

/* A matrix lies as `dense` reads it: strips of columns, each row by row. */
struct silero_weights {
    float even[(HALF + 1) * BINS_ROOM], odd[(HALF + 1) * BINS_ROOM];
    float first[3 * BINS * 128], first_bias[128];
    float second[3 * 128 * 64], second_bias[64];
    float third[2 * 64 * 64], third_bias[64];
    float last[64 * STATE], last_bias[STATE];
    float gates[2 * STATE * GATES], gates_bias[GATES];
    float answer[STATE], answer_bias;
};

struct silero_caller {
    float context[CONTEXT];      /* the end of the window before */
    float joined[2 * STATE];     /* the cell's input, then its output */
    float cell[STATE];
};

typedef float silero_step(const struct silero_weights *, struct silero_caller *, const int16_t *);

#define NAMED(name) name##_plain
#define KERNEL static
#define INTO static inline __attribute__((always_inline))
#define LANES 4
#include "_silero_step.h"

#if defined(__x86_64__) && ((defined(__clang__) && __clang_major__ >= 14) || (!defined(__clang__) && __GNUC__ >= 12))
#define TARGET(cpu) __attribute__((target("arch=" cpu)))

#define NAMED(name) name##_x86_64_v3
#define KERNEL TARGET("x86-64-v3") static
#define INTO TARGET("x86-64-v3") static inline __attribute__((always_inline))
#define LANES 8
#include "_silero_step.h"

#define NAMED(name) name##_x86_64_v4
#define KERNEL TARGET("x86-64-v4") static
#define INTO TARGET("x86-64-v4") static inline __attribute__((always_inline))
#define LANES 8 /* 16 are no faster: the weights come from the second cache */
#include "_silero_step.h"

/* The variants that this machine can run, best first; NULL after the last. */
static silero_step *silero_variant(int rank) {
    __builtin_cpu_init();
    silero_step *all[] = {silero_step_x86_64_v4, silero_step_x86_64_v3, silero_step_plain, NULL};
    /* The levels by their rarest parts: older Clang does not know them by name. */
    const int v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma");
    const int v4 = v3 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                   __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd");
    rank += v4 ? 0 : v3 ? 1 : 2;
    return all[rank < 3 ? rank : 3];
}
#else
static silero_step *silero_variant(int rank) { return rank ? NULL : silero_step_plain; }
#endif

#endif
