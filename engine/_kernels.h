/* The loops that are worth a CPU of their own, as a template: `_codec.h` includes this file once for each variant.
 *
 * Before each inclusion it defines
 *     NAMED(name)   the function's name in this variant
 *     KERNEL        static, with the target attribute of this variant
 *     INLINE        the same, for what must become part of a kernel
 *     LANES         16-bit lanes of the vectors used by hand: 0 (none, plain C), 8 (SSE2), 16 (AVX2) or 32 (AVX-512 where it pays)
 * Everything is exact integer arithmetic, so all variants give the same bytes; tests/test_codec.py runs each of them.
 * Where the compiler finds the vector form by itself there are no intrinsics: the loops over G.711 and levels. */

#if LANES >= 16
#define VEC __m256i
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define STORE(p, v) _mm256_storeu_si256((__m256i *)(p), v)
#define ZERO() _mm256_setzero_si256()
#define ADD(a, b) _mm256_add_epi32(a, b)
#define MADD(a, b) _mm256_madd_epi16(a, b)
#define SPREAD(v) _mm256_set1_epi32(v)
#define SHIFT_RIGHT(v, n) _mm256_srai_epi32(v, n)
#define LOW_LANES(a, b) _mm256_unpacklo_epi32(a, b)
#define HIGH_LANES(a, b) _mm256_unpackhi_epi32(a, b)
#define LOW_PAIRS(a, b) _mm256_unpacklo_epi64(a, b)
#define HIGH_PAIRS(a, b) _mm256_unpackhi_epi64(a, b)
#define PACK(a, b) _mm256_packs_epi32(a, b)
#elif LANES == 8
#define VEC __m128i
#define LOAD(p) _mm_loadu_si128((const __m128i *)(p))
#define STORE(p, v) _mm_storeu_si128((__m128i *)(p), v)
#define ZERO() _mm_setzero_si128()
#define ADD(a, b) _mm_add_epi32(a, b)
#define MADD(a, b) _mm_madd_epi16(a, b)
#define SPREAD(v) _mm_set1_epi32(v)
#define SHIFT_RIGHT(v, n) _mm_srai_epi32(v, n)
#define LOW_LANES(a, b) _mm_unpacklo_epi32(a, b)
#define HIGH_LANES(a, b) _mm_unpackhi_epi32(a, b)
#define LOW_PAIRS(a, b) _mm_unpacklo_epi64(a, b)
#define HIGH_PAIRS(a, b) _mm_unpackhi_epi64(a, b)
#define PACK(a, b) _mm_packs_epi32(a, b)
#endif

/* G.711 table 2a: a sign, a segment number and four bits of step, all inverted on the wire. */
KERNEL void NAMED(ulaw_decode)(const uint8_t *restrict in, int16_t *restrict out, int64_t n) {
    int64_t i = 0;
#if LANES == 32
    const __m512i seven = _mm512_set1_epi16(7), steps = _mm512_set1_epi16(0x78), bias = _mm512_set1_epi16(132);
    for (; i + 32 <= n; i += 32) {
        const __m512i c = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(in + i)));
        const __m512i base = _mm512_ternarylogic_epi64(_mm512_slli_epi16(c, 3), steps, bias, 0xAE); /* ~a & b | c */
        const __m512i t = _mm512_sllv_epi16(base, _mm512_andnot_si512(_mm512_srli_epi16(c, 4), seven));
        const __mmask32 plus = _mm512_test_epi16_mask(c, _mm512_set1_epi16(128));
        _mm512_storeu_si512(out + i, _mm512_mask_sub_epi16(_mm512_sub_epi16(bias, t), plus, t, bias));
    }
#elif LANES == 16
    const __m256i powers = _mm256_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64,
                                            -128, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m256i bias = _mm256_set1_epi16(132), one = _mm256_set1_epi16(1);
    for (; i + 16 <= n; i += 16) {
        const __m256i c = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(in + i)));
        /* The index's upper byte gets its top bit set, for which the shuffle gives 0. */
        const __m256i segment = _mm256_andnot_si256(_mm256_srli_epi16(c, 4), _mm256_set1_epi16((int16_t)0x8007));
        const __m256i step = _mm256_andnot_si256(_mm256_slli_epi16(c, 3), _mm256_set1_epi16(0x78));
        const __m256i t = _mm256_mullo_epi16(_mm256_or_si256(step, bias), _mm256_shuffle_epi8(powers, segment));
        const __m256i minus = _mm256_or_si256(_mm256_slli_epi16(c, 8), one);
        _mm256_storeu_si256((__m256i *)(out + i), _mm256_sign_epi16(_mm256_sub_epi16(bias, t), minus));
    }
#endif
    for (; i < n; i++) {
        const uint16_t u = (uint16_t)(in[i] ^ 255);
        uint16_t t = (uint16_t)(((u & 15) << 3) + 132);
        t = (uint16_t)(t * (1 + ((u >> 4) & 1)) * (1 + 3 * ((u >> 5) & 1)) * (1 + 15 * ((u >> 6) & 1)));
        out[i] = (int16_t)(u & 128 ? 132 - t : t - 132);
    }
}

/* The curve is concave and its segments are lines whose slope halves, so the code is the least of the eight lines. */
KERNEL void NAMED(ulaw_encode)(const int16_t *restrict in, uint8_t *restrict out, int64_t n) {
    int64_t i = 0;
#if LANES == 32
    /* Here a lane can be shifted by its own amount: find the segment from two nibbles' logarithms instead. */
    const __m512i low = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3));
    const __m512i high = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7, 7, 7, 7, 7));
    const __m512i nibble = _mm512_set1_epi16(15), three = _mm512_set1_epi16(3), bit7 = _mm512_set1_epi16(128);
    for (; i + 32 <= n; i += 32) {
        const __m512i s = _mm512_loadu_si512(in + i);
        const __m512i m = _mm512_add_epi16(_mm512_min_epu16(_mm512_abs_epi16(s), _mm512_set1_epi16(32635)),
                                           _mm512_set1_epi16(132));
        const __m512i segment = _mm512_max_epu8( /* both tables give 0 for the upper byte, whose index is 0 */
            _mm512_shuffle_epi8(low, _mm512_and_si512(_mm512_srli_epi16(m, 7), nibble)),
            _mm512_shuffle_epi8(high, _mm512_srli_epi16(m, 11)));
        const __m512i step = _mm512_srlv_epi16(m, _mm512_add_epi16(segment, three));
        const __m512i code = _mm512_ternarylogic_epi64(step, nibble, _mm512_slli_epi16(segment, 4), 0xEA); /* a & b | c */
        const __m512i sign = _mm512_and_si512(_mm512_srli_epi16(s, 8), bit7);
        const __m512i inverted = _mm512_ternarylogic_epi64(code, sign, sign, 0x03); /* ~(a | b) */
        _mm256_storeu_si256((__m256i *)(out + i), _mm512_cvtepi16_epi8(inverted));
    }
#endif
    for (; i < n; i++) {
        const uint16_t sign = (uint16_t)(in[i] >> 15);
        uint16_t m = (uint16_t)((uint16_t)(in[i] ^ sign) - sign);
        m = (uint16_t)((m > 32635 ? 32635 : m) + 132);
        uint16_t code = (uint16_t)((m >> 3) - 16);
#define LINE(e) \
    { \
        const uint16_t line = (uint16_t)((m >> (e + 3)) + 16 * e - 16); \
        code = line < code ? line : code; \
    }
        LINE(1) LINE(2) LINE(3) LINE(4) LINE(5) LINE(6) LINE(7)
#undef LINE
        out[i] = (uint8_t)~(code | (sign & 128));
    }
}

/* G.711 table 1a; even bits inverted on the wire. */
KERNEL void NAMED(alaw_decode)(const uint8_t *restrict in, int16_t *restrict out, int64_t n) {
    int64_t i = 0;
#if LANES >= 16
    const __m256i powers = _mm256_setr_epi8(1, 1, 2, 4, 8, 16, 32, 64, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 4, 8, 16, 32, 64,
                                            0, 0, 0, 0, 0, 0, 0, 0);
    const __m256i seven = _mm256_set1_epi16(7), one = _mm256_set1_epi16(1), half = _mm256_set1_epi16(8);
    for (; i + 16 <= n; i += 16) {
        const __m256i c = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(in + i)));
        const __m256i a = _mm256_xor_si256(c, _mm256_set1_epi16(0x55));
        const __m256i segment = _mm256_and_si256(_mm256_srli_epi16(a, 4), seven);
        const __m256i index = _mm256_or_si256(segment, _mm256_set1_epi16((int16_t)0x8000));
        const __m256i step = _mm256_and_si256(_mm256_slli_epi16(a, 4), _mm256_set1_epi16(0xF0));
        const __m256i upper = _mm256_slli_epi16(_mm256_min_epi16(segment, one), 8); /* 256 but in the lowest segment */
        const __m256i base = _mm256_or_si256(_mm256_or_si256(step, half), upper);
        const __m256i t = _mm256_mullo_epi16(base, _mm256_shuffle_epi8(powers, index));
        const __m256i minus = _mm256_or_si256(_mm256_slli_epi16(_mm256_xor_si256(a, _mm256_set1_epi16(128)), 8), one);
        _mm256_storeu_si256((__m256i *)(out + i), _mm256_sign_epi16(t, minus));
    }
#endif
    for (; i < n; i++) {
        const uint16_t a = in[i] ^ 0x55, segment = (a >> 4) & 7, lowest = segment == 0;
        const uint16_t shift = (uint16_t)(segment - !lowest);
        uint16_t t = (uint16_t)(((a & 15) << 4) + 8 + (lowest ? 0 : 256));
        t = (uint16_t)(t * (1 + (shift & 1)) * (1 + 3 * ((shift >> 1) & 1)) * (1 + 15 * (shift >> 2)));
        out[i] = (int16_t)(a & 128 ? t : -t);
    }
}

KERNEL void NAMED(alaw_encode)(const int16_t *restrict in, uint8_t *restrict out, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const uint16_t sign = (uint16_t)(in[i] >> 15), m = (uint16_t)((uint16_t)(in[i] ^ sign) >> 4);
        uint16_t code = m;
#define LINE(k) \
    { \
        const uint16_t line = (uint16_t)((m >> k) + 16 * k); \
        code = line < code ? line : code; \
    }
        LINE(1) LINE(2) LINE(3) LINE(4) LINE(5) LINE(6)
#undef LINE
        out[i] = (uint8_t)((code | (~sign & 128)) ^ 0x55);
    }
}

KERNEL void NAMED(mix)(const int16_t *restrict a, const int16_t *restrict b, int16_t *restrict out, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = saturate16((int32_t)a[i] + b[i]);
}

/* gain is in 1/4096, 0 to 65535 (16 times): the product fits 32 bits. Rounds to nearest, halves up. */
KERNEL void NAMED(gain)(const int16_t *restrict in, int16_t *restrict out, int64_t n, int32_t gain) {
    for (int64_t i = 0; i < n; i++) out[i] = saturate16((in[i] * gain + 2048) >> 12);
}

/* RFC 4648 section 4, padded: three bytes to four characters. */
KERNEL void NAMED(base64_encode)(const uint8_t *restrict in, char *restrict out, int64_t n) {
    int64_t i = 0, o = 0;
#if LANES >= 16
    const __m256i spread = _mm256_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10, 1, 0, 2, 1, 4, 3, 5, 4, 7, 6,
                                            8, 7, 10, 9, 11, 10);
    /* From a value's class to what must be added: capitals 13, small letters 0, digits 1 to 10, plus 11, slash 12. */
    const __m256i offsets = _mm256_broadcastsi128_si256(
        _mm_setr_epi8('a' - 26, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
                      '0' - 52, '+' - 62, '/' - 63, 'A', 0, 0));
    for (; i + 28 <= n; i += 24, o += 32) {
        const __m256i bytes = _mm256_shuffle_epi8(
            _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(in + i))),
                                    _mm_loadu_si128((const __m128i *)(in + i + 12)), 1),
            spread);
        /* Each 32-bit lane holds b c a b (from the top); the four values are moved to their bytes by multiplication. */
        const __m256i first = _mm256_mulhi_epu16(_mm256_and_si256(bytes, _mm256_set1_epi32(0x0FC0FC00)),
                                                 _mm256_set1_epi32(0x04000040));
        const __m256i second = _mm256_mullo_epi16(_mm256_and_si256(bytes, _mm256_set1_epi32(0x003F03F0)),
                                                  _mm256_set1_epi32(0x01000010));
        const __m256i values = _mm256_or_si256(first, second);
        const __m256i capital = _mm256_and_si256(_mm256_cmpgt_epi8(_mm256_set1_epi8(26), values), _mm256_set1_epi8(13));
        const __m256i class = _mm256_or_si256(_mm256_subs_epu8(values, _mm256_set1_epi8(51)), capital);
        _mm256_storeu_si256((__m256i *)(out + o), _mm256_add_epi8(values, _mm256_shuffle_epi8(offsets, class)));
    }
#endif
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

/* Strict: the alphabet, padding at the end alone, no stray bits. 0 when good, -1 otherwise. size: base64_decoded_bytes. */
KERNEL int NAMED(base64_decode)(const uint8_t *restrict in, uint8_t *restrict out, int64_t n, int64_t size) {
    int64_t i = 0, o = 0;
#if LANES >= 16
#define BETWEEN(c, low, high) \
    _mm256_and_si256(_mm256_cmpgt_epi8(c, _mm256_set1_epi8((low) - 1)), _mm256_cmpgt_epi8(_mm256_set1_epi8((high) + 1), c))
#define IF(mask, value) _mm256_and_si256(mask, _mm256_set1_epi8(value))
    const __m256i gather = _mm256_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1, 2, 1, 0, 6, 5, 4, 10, 9, 8,
                                            14, 13, 12, -1, -1, -1, -1);
    for (; o + 28 <= size; i += 32, o += 24) {
        const __m256i c = _mm256_loadu_si256((const __m256i *)(in + i));
        const __m256i capital = BETWEEN(c, 'A', 'Z'), small = BETWEEN(c, 'a', 'z'), digit = BETWEEN(c, '0', '9');
        const __m256i plus = _mm256_cmpeq_epi8(c, _mm256_set1_epi8('+')), slash = _mm256_cmpeq_epi8(c, _mm256_set1_epi8('/'));
        const __m256i letter = _mm256_or_si256(capital, small), sign = _mm256_or_si256(plus, slash);
        if (_mm256_movemask_epi8(_mm256_or_si256(_mm256_or_si256(letter, digit), sign)) != -1) return -1;
        const __m256i offset = _mm256_or_si256(
            _mm256_or_si256(IF(capital, -'A'), IF(small, 26 - 'a')),
            _mm256_or_si256(IF(digit, 52 - '0'), _mm256_or_si256(IF(plus, 62 - '+'), IF(slash, 63 - '/'))));
        const __m256i values = _mm256_add_epi8(c, offset);
        const __m256i pairs = _mm256_maddubs_epi16(values, _mm256_set1_epi16(0x0140)); /* 64 a + b */
        const __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x00011000)); /* 4096 ab + cd */
        const __m256i bytes = _mm256_shuffle_epi8(fours, gather);
        _mm_storeu_si128((__m128i *)(out + o), _mm256_castsi256_si128(bytes));
        _mm_storeu_si128((__m128i *)(out + o + 12), _mm256_extracti128_si256(bytes, 1));
    }
#undef BETWEEN
#undef IF
#endif
    for (; i < n; i += 4) {
        const int pad = i + 4 == n ? (int)(n / 4 * 3 - size) : 0;
        const int a = BASE64_VALUE[in[i]], b = BASE64_VALUE[in[i + 1]];
        const int c = pad == 2 ? 0 : BASE64_VALUE[in[i + 2]], d = pad ? 0 : BASE64_VALUE[in[i + 3]];
        if ((a | b | c | d) < 0 || (pad == 2 && (b & 15)) || (pad == 1 && (c & 3))) return -1;
        out[o++] = (uint8_t)(a << 2 | b >> 4);
        if (pad < 2) out[o++] = (uint8_t)(b << 4 | c >> 2);
        if (pad < 1) out[o++] = (uint8_t)(c << 6 | d);
    }
    return 0;
}

/* One output of a filter: `x` is the oldest sample of its window. See _resample.h for the two parts of a tap. */
INLINE int16_t NAMED(one)(const struct filter *f, const int16_t *restrict x, int32_t row) {
    const int16_t *restrict taps = f->rows + (int64_t)row * f->stride;
    int32_t coarse = 0, fine = 0;
    for (int64_t i = f->from; i < f->to; i++) coarse += x[i] * taps[i - f->from];
    if (!f->fine) return saturate16((coarse + (1 << (COARSE_BITS - 1))) >> COARSE_BITS);
    taps += f->to - f->from;
    for (int64_t i = 0; i < f->taps; i++) fine += x[i] * taps[i];
    fine = (fine + (1 << (COARSE_BITS + f->fine - 1))) >> f->fine;
    return saturate16((coarse + fine) >> COARSE_BITS);
}

#if LANES
/* The sums of four vectors' lanes. */
INLINE __m128i NAMED(sums)(VEC a, VEC b, VEC c, VEC d) {
    const VEC ab = ADD(LOW_LANES(a, b), HIGH_LANES(a, b)), cd = ADD(LOW_LANES(c, d), HIGH_LANES(c, d));
    const VEC abcd = ADD(LOW_PAIRS(ab, cd), HIGH_PAIRS(ab, cd));
#if LANES >= 16
    return _mm_add_epi32(_mm256_castsi256_si128(abcd), _mm256_extracti128_si256(abcd, 1));
#else
    return abcd;
#endif
}

/* Outputs of a filter of many rows, four at a time, while four rows are left. Vectors run along the taps. */
KERNEL APART int32_t NAMED(fours)(const struct filter *f, const int16_t *held, int32_t fill, int32_t *row, int32_t *last,
                                  int16_t *restrict out, int32_t limit) {
    const int64_t step = sizeof(VEC) / sizeof(int16_t), from = f->from, to = f->to, taps = f->taps, stride = f->stride;
    const int16_t *x0 = held + *last - (taps - 1), *const end = held + fill - (taps - 1);
    const int16_t *t0 = f->rows + *row * stride, *advance = f->advance + *row;
    int32_t made = 0, most = (f->up - *row < limit ? f->up - *row : limit) / 4 * 4;
    const VEC zero = ZERO();
    for (; made < most; made += 4) {
        const int16_t *const x1 = x0 + advance[made], *const x2 = x1 + advance[made + 1], *const x3 = x2 + advance[made + 2];
        const int16_t *const t1 = t0 + stride, *const t2 = t1 + stride, *const t3 = t2 + stride;
        if (x3 >= end) break;
        VEC c0 = zero, c1 = zero, c2 = zero, c3 = zero;
#define EACH(a, at) \
    a##0 = ADD(a##0, MADD(LOAD(x0 + i), LOAD(t0 + i + (at)))); \
    a##1 = ADD(a##1, MADD(LOAD(x1 + i), LOAD(t1 + i + (at)))); \
    a##2 = ADD(a##2, MADD(LOAD(x2 + i), LOAD(t2 + i + (at)))); \
    a##3 = ADD(a##3, MADD(LOAD(x3 + i), LOAD(t3 + i + (at))));
        for (int64_t i = from; i < to; i += step) { EACH(c, -from) }
        __m128i below = _mm_set1_epi32(1 << (COARSE_BITS - 1));
        if (f->fine) {
            VEC f0 = zero, f1 = zero, f2 = zero, f3 = zero;
            for (int64_t i = 0; i < taps; i += step) { EACH(f, to - from) }
            const __m128i half = _mm_set1_epi32(1 << (COARSE_BITS + f->fine - 1));
            below = _mm_srai_epi32(_mm_add_epi32(NAMED(sums)(f0, f1, f2, f3), half), f->fine);
        }
#undef EACH
        const __m128i sum = _mm_srai_epi32(_mm_add_epi32(NAMED(sums)(c0, c1, c2, c3), below), COARSE_BITS);
        _mm_storel_epi64((__m128i *)(out + made), _mm_packs_epi32(sum, sum));
        x0 = x3 + advance[made + 3];
        t0 = t3 + stride;
    }
    *last = (int32_t)(x0 - held + taps - 1);
    *row = *row + made == f->up ? 0 : *row + made;
    return made;
}

/* Split x into `down` streams of every down-th sample. */
KERNEL APART void NAMED(deal)(const int16_t *restrict x, int16_t (*restrict streams)[STREAM], int32_t down, int32_t n) {
    if (down == 2) {
        for (int64_t k = 0; k < n; k++) {
            streams[0][k] = x[2 * k];
            streams[1][k] = x[2 * k + 1];
        }
    } else if (down == 3) {
        for (int64_t k = 0; k < n; k++) {
            streams[0][k] = x[3 * k];
            streams[1][k] = x[3 * k + 1];
            streams[2][k] = x[3 * k + 2];
        }
    } else {
        for (int64_t k = 0; k < n; k++)
            for (int64_t m = 0; m < down; m++) streams[m][k] = x[down * k + m];
    }
}

/* The other way round: the outputs of `up` rows in turn. */
KERNEL APART void NAMED(collect)(const int16_t *const *made, int16_t *restrict out, int32_t up, int32_t n) {
    const int16_t *const a = made[0], *const b = made[1], *const c = made[up > 2 ? 2 : 0];
    if (up == 2) {
        for (int64_t k = 0; k < n; k++) {
            out[2 * k] = a[k];
            out[2 * k + 1] = b[k];
        }
    } else if (up == 3) {
        for (int64_t k = 0; k < n; k++) {
            out[3 * k] = a[k];
            out[3 * k + 1] = b[k];
            out[3 * k + 2] = c[k];
        }
    } else {
        for (int64_t k = 0; k < n; k++)
            for (int64_t row = 0; row < up; row++) out[up * k + row] = made[row][k];
    }
}

/* n outputs of one row, one cycle apart. Vectors run along the outputs. Multiplying and adding
 * neighbours gives every second output; the same one sample later gives those between. x: where each stream begins. */
INLINE void NAMED(column)(const struct filter *f, const int16_t *const *x, int32_t row, int16_t *restrict out, int32_t n) {
    const int32_t step = sizeof(VEC) / sizeof(int16_t), down = f->down, pairs = f->pairs;
    const int32_t from = f->from / (2 * down), to = f->to / (2 * down);
    const VEC half = SPREAD(1 << (COARSE_BITS + f->fine - 1));
    for (int64_t k = 0; k < n; k += 2 * step) {
        VEC c0 = ZERO(), c1 = ZERO(), c2 = ZERO(), c3 = ZERO(), f0 = half, f1 = half, f2 = half, f3 = half;
#define TAKE(a, t) \
    { \
        const VEC tap = SPREAD(t); \
        a##0 = ADD(a##0, MADD(LOAD(s + 2 * i), tap)); \
        a##1 = ADD(a##1, MADD(LOAD(s + 2 * i + 1), tap)); \
        a##2 = ADD(a##2, MADD(LOAD(s + 2 * i + step), tap)); \
        a##3 = ADD(a##3, MADD(LOAD(s + 2 * i + step + 1), tap)); \
    }
        for (int32_t m = 0; m < down; m++) {
            const int64_t at = (int64_t)row * down + m;
            const int32_t begin = f->spans[2 * at], end = f->spans[2 * at + 1];
            const int32_t *coarse = f->coarse_pairs + at * pairs, *fine = f->fine_pairs + at * pairs;
            const int16_t *s = x[m] + k;
            int64_t i = begin;
            if (!f->fine) {
                for (; i < end; i++) TAKE(c, coarse[i])
                continue;
            }
            for (; i < (end < from ? end : from); i++) TAKE(f, fine[i])
            for (; i < (end < to ? end : to); i++) {
                TAKE(c, coarse[i])
                TAKE(f, fine[i])
            }
            for (; i < end; i++) TAKE(f, fine[i])
        }
#undef TAKE
#define SUM(j) SHIFT_RIGHT(ADD(c##j, f->fine ? SHIFT_RIGHT(f##j, f->fine) : f##j), COARSE_BITS)
        const VEC even0 = SUM(0), odd0 = SUM(1), even1 = SUM(2), odd1 = SUM(3);
#undef SUM
        const VEC first = PACK(LOW_LANES(even0, odd0), HIGH_LANES(even0, odd0));
        const VEC second = PACK(LOW_LANES(even1, odd1), HIGH_LANES(even1, odd1));
        if (k + 2 * step <= n) {
            STORE(out + k, first);
            STORE(out + k + step, second);
        } else {
            int16_t rest[sizeof(VEC)];
            STORE(rest, first);
            STORE(rest + step, second);
            memcpy(out + k, rest, (size_t)(n - k) * sizeof(int16_t));
        }
    }
}

/* Whole cycles of a filter of few rows: `up` outputs for `down` samples each. `first` is the window of the first output. */
KERNEL APART void NAMED(cycles)(const struct filter *f, const int16_t *first, int16_t *restrict out, int32_t n) {
    int16_t streams[FEW][STREAM], columns[FEW][CYCLES];
    const int16_t *made[FEW];
    const int32_t up = f->up, down = f->down;
    assert(up <= FEW && down <= FEW && n <= CYCLES && n + 2 * f->pairs + BEYOND <= STREAM);
    int32_t at = 0; /* where the row's window begins, after the first row's */
    if (down > 1) NAMED(deal)(first, streams, down, n + 2 * f->pairs + 1);
    /* Where every sample has an output of its own, that output is the sample: all other taps of the row are zero. */
    const int32_t kept = down == 1 && up > 1;
    if (kept) {
        made[0] = first + f->taps - 1 - f->half / up;
        at = f->advance[0];
    }
    for (int32_t row = kept; row < up; row++) {
        const int16_t *x[FEW];
        for (int32_t m = 0; m < down; m++)
            x[m] = down > 1 ? streams[(at + m) % down] + (at + m) / down : first + at;
        made[row] = columns[row];
        NAMED(column)(f, x, row, up > 1 ? columns[row] : out, n);
        at += f->advance[row];
    }
    if (up > 1) NAMED(collect)(made, out, up, n);
}
#endif

/* Make outputs until `limit`, or until the next window ends at `fill` or after. Returns how many; moves *row and *last. */
KERNEL int32_t NAMED(resample)(const struct filter *f, const int16_t *held, int32_t fill, int32_t *row_, int32_t *last_,
                               int16_t *restrict out, int32_t limit) {
    const int16_t *const window = held - (f->taps - 1);
    int32_t row = *row_, last = *last_, made = 0;
    assert(last >= f->taps - 1 && row >= 0 && row < f->up);
    while (made < limit && last < fill) {
#if LANES
        if (f->pairs && row == 0) {
            /* A cycle is ready when the window of its last row is: that row's advance leads to the next cycle. */
            const int32_t ready = (fill - 1 - last + f->advance[f->up - 1]) / f->down, most = (limit - made) / f->up;
            int32_t n = ready < most ? ready : most;
            n = n < CYCLES ? n : CYCLES;
            if (n) {
                NAMED(cycles)(f, window + last, out + made, n);
                made += n * f->up;
                last += n * f->down;
                continue;
            }
        } else if (!f->pairs) {
            const int32_t n = NAMED(fours)(f, held, fill, &row, &last, out + made, limit - made);
            made += n;
            if (n) continue;
        }
#endif
        out[made++] = NAMED(one)(f, window + last, row);
        last += f->advance[row];
        row = row + 1 == f->up ? 0 : row + 1;
    }
    *row_ = row;
    *last_ = last;
    return made;
}

static const struct kernels NAMED(kernels) = {
    .name = VARIANT,
    .ulaw_decode = NAMED(ulaw_decode),
    .ulaw_encode = NAMED(ulaw_encode),
    .alaw_decode = NAMED(alaw_decode),
    .alaw_encode = NAMED(alaw_encode),
    .mix = NAMED(mix),
    .gain = NAMED(gain),
    .base64_encode = NAMED(base64_encode),
    .base64_decode = NAMED(base64_decode),
    .resample = NAMED(resample),
};

#undef VARIANT
#undef NAMED
#undef KERNEL
#undef INLINE
#undef LANES
#undef VEC
#undef LOAD
#undef STORE
#undef ZERO
#undef ADD
#undef MADD
#undef SPREAD
#undef SHIFT_RIGHT
#undef LOW_LANES
#undef HIGH_LANES
#undef LOW_PAIRS
#undef HIGH_PAIRS
#undef PACK
