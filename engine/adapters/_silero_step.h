/* One step of Silero's network, as a template: `_silero.h` includes this file once for each variant.
 *
 * Before each inclusion it defines
 *     NAMED(name)   the function's name in this variant
 *     KERNEL        static, with the target attribute of this variant
 *     INTO          the same, for what becomes part of it
 *     LANES         floats in a vector */

typedef float NAMED(wide) __attribute__((vector_size(4 * LANES)));
#define VECTORS (COLUMNS / LANES)

/* out = in @ weights for `rows` rows of `n` inputs, each `step` after the one before; `strip` times COLUMNS columns at a time. */
INTO void NAMED(dense)(const float *in, int rows, int step, int n, const float *weights, int width, int strip, float *out) {
    const int vectors = strip * VECTORS;
    for (int column = 0; column < width; column += strip * COLUMNS) {
        NAMED(wide) sums[4 * VECTORS] = {{0}}; /* as many as the registers hold: rows * strip <= 4 */
        for (int i = 0; i < n; i++)
#pragma GCC unroll 16
            for (int v = 0; v < vectors; v++, weights += LANES) {
                NAMED(wide) weight;
                memcpy(&weight, weights, sizeof weight);
#pragma GCC unroll 4
                for (int row = 0; row < rows; row++) sums[row * vectors + v] += weight * in[row * step + i];
            }
#pragma GCC unroll 4
        for (int row = 0; row < rows; row++)
#pragma GCC unroll 16
            for (int v = 0; v < vectors; v++)
                memcpy(out + row * width + column + v * LANES, &sums[row * vectors + v], sizeof(NAMED(wide)));
    }
}

INTO void NAMED(rectify)(float *values, const float *bias, int rows, int width) {
    for (int row = 0; row < rows; row++)
        for (int i = 0; i < width; i++) {
            const float sum = values[row * width + i] + bias[i];
            values[row * width + i] = sum > 0 ? sum : 0;
        }
}

/* A ratio of polynomials, as in Eigen: within 3e-7 of the function, and without a call that differs between C libraries. */
INTO float NAMED(tangent)(float x) {
    const float a = x > 7.9f ? 7.9f : x < -7.9f ? -7.9f : x, b = a * a;
    float p = -2.76076847742355e-16f, q = 1.19825839466702e-06f;
    p = p * b + 2.00018790482477e-13f;
    p = p * b + -8.60467152213735e-11f;
    p = p * b + 5.12229709037114e-08f;
    p = p * b + 1.48572235717979e-05f;
    p = p * b + 6.37261928875436e-04f;
    p = p * b + 4.89352455891786e-03f;
    q = q * b + 1.18534705686654e-04f;
    q = q * b + 2.26843463243900e-03f;
    q = q * b + 4.89352518554385e-03f;
    return a * p / q;
}

/* Magnitudes of four overlapping transforms. The window is symmetric, so each half of the samples is added to, or taken from, the other. */
INTO void NAMED(spectrum)(const struct silero_weights *net, const float *samples, float *magnitudes) {
    float even[STEPS * (HALF + 1)] = {0}, odd[STEPS * (HALF + 1)] = {0};
    float real[STEPS * BINS_ROOM], imaginary[STEPS * BINS_ROOM];
    for (int step = 0; step < STEPS; step++) {
        const float *x = samples + step * HOP;
        float *sum = even + step * (HALF + 1), *difference = odd + step * (HALF + 1);
        for (int i = 1; i < HALF; i++) {
            sum[i] = x[i] + x[2 * HALF - i];
            difference[i] = x[i] - x[2 * HALF - i];
        }
        sum[0] = x[0];
        sum[HALF] = x[HALF];
    }
    NAMED(dense)(even, STEPS, HALF + 1, HALF + 1, net->even, BINS_ROOM, 1, real);
    NAMED(dense)(odd, STEPS, HALF + 1, HALF + 1, net->odd, BINS_ROOM, 1, imaginary);
    for (int step = 0; step < STEPS; step++)
        for (int i = 0; i < BINS; i++) {
            const float re = real[step * BINS_ROOM + i], im = imaginary[step * BINS_ROOM + i];
            magnitudes[step * BINS + i] = sqrtf(re * re + im * im);
        }
}

/* Four convolutions over time, of which 4, 2, 1 and 1 columns are left. Around them lies silence. */
INTO void NAMED(encode)(const struct silero_weights *net, const float *magnitudes, float *out) {
    float first[5 * 128] = {0}, second[2 * 64], third[64];
    NAMED(dense)(magnitudes, 4, BINS, 3 * BINS, net->first, 128, 1, first + 128);
    NAMED(rectify)(first + 128, net->first_bias, 4, 128);
    NAMED(dense)(first, 2, 2 * 128, 3 * 128, net->second, 64, 2, second);
    NAMED(rectify)(second, net->second_bias, 2, 64);
    NAMED(dense)(second, 1, 0, 2 * 64, net->third, 64, 4, third);
    NAMED(rectify)(third, net->third_bias, 1, 64);
    NAMED(dense)(third, 1, 0, 64, net->last, STATE, 4, out);
    NAMED(rectify)(out, net->last_bias, 1, STATE);
}

/* The LSTM cell and the linear layer. Gates in PyTorch's order: input, forget, cell, output. The three logistic ones are
 * 0.5 + 0.5 tanh(x / 2), whose halving is in the weights. */
INTO float NAMED(remember)(const struct silero_weights *net, struct silero_caller *caller) {
    float gates[GATES], logit = net->answer_bias;
    NAMED(dense)(caller->joined, 1, 0, 2 * STATE, net->gates, GATES, 4, gates);
    for (int i = 0; i < GATES; i++) gates[i] = NAMED(tangent)(gates[i] + net->gates_bias[i]);
    float *hidden = caller->joined + STATE, *cell = caller->cell;
    for (int i = 0; i < STATE; i++) {
        const float in = 0.5f + 0.5f * gates[i], keep = 0.5f + 0.5f * gates[STATE + i], out = 0.5f + 0.5f * gates[3 * STATE + i];
        cell[i] = keep * cell[i] + in * gates[2 * STATE + i];
        hidden[i] = out * NAMED(tangent)(cell[i]);
    }
    for (int i = 0; i < STATE; i++) logit += (hidden[i] > 0 ? hidden[i] : 0) * net->answer[i];
    return 0.5f + 0.5f * NAMED(tangent)(0.5f * logit);
}

/* The probability of speech in a window; the caller's state goes on. */
KERNEL float NAMED(silero_step)(const struct silero_weights *net, struct silero_caller *caller, const int16_t *window) {
    float samples[CONTEXT + WINDOW + MIRROR], magnitudes[6 * BINS] = {0};
    memcpy(samples, caller->context, sizeof caller->context);
    for (int i = 0; i < WINDOW; i++) samples[CONTEXT + i] = window[i] * (1.0f / 32768);
    for (int i = 0; i < MIRROR; i++) samples[CONTEXT + WINDOW + i] = samples[CONTEXT + WINDOW - 2 - i];
    memcpy(caller->context, samples + WINDOW, sizeof caller->context);
    NAMED(spectrum)(net, samples, magnitudes + BINS);
    NAMED(encode)(net, magnitudes, caller->joined);
    return NAMED(remember)(net, caller);
}

#undef NAMED
#undef KERNEL
#undef INTO
#undef LANES
#undef VECTORS
