// f32x16 on AVX2 + FMA: two ymm registers, lanes 0-7 and 8-15. The contract is in f32x16.h.
#pragma once

#include <immintrin.h>
#include <stdint.h>

#define FP_LINEAR_MR 6   // 6 x 16 accumulators: 12 of the 16 registers
#define FP_LINEAR_NR 16  // columns of one packed panel
#define FP_CONV_MR 6     // 6 channels x 16 positions

namespace forwardpass {
namespace avx2 {
namespace {

constexpr int kNativeLanes = 8;  // floats in one register

struct f32x16 {
  __m256 lo, hi;
};
struct mask16 {
  __m256 lo, hi;
};

FP_INLINE f32x16 zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
FP_INLINE f32x16 set1(float s) {
  const __m256 v = _mm256_set1_ps(s);
  return {v, v};
}
FP_INLINE f32x16 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
FP_INLINE void store(float* p, f32x16 a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
FP_INLINE void store_past(float* p, f32x16 a) {
  _mm256_stream_ps(p, a.lo);
  _mm256_stream_ps(p + 8, a.hi);
}
FP_INLINE void end_past() { _mm_sfence(); }
FP_INLINE f32x16 in_register(f32x16 a) { return a; }
// All-ones in the first n of eight lanes, any n.
FP_INLINE __m256i first8(int64_t n) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lane);
}
FP_INLINE f32x16 load_n(const float* p, int64_t n) {
  return {_mm256_maskload_ps(p, first8(n)), _mm256_maskload_ps(p + 8, first8(n - 8))};
}
FP_INLINE f32x16 load_or(const float* p, int64_t n, f32x16 rest) {
  const f32x16 a = load_n(p, n);
  return {_mm256_blendv_ps(rest.lo, a.lo, _mm256_castsi256_ps(first8(n))),
          _mm256_blendv_ps(rest.hi, a.hi, _mm256_castsi256_ps(first8(n - 8)))};
}
FP_INLINE __m256i range8(int64_t from, int64_t to) {
  return _mm256_andnot_si256(first8(from), first8(to));
}
FP_INLINE f32x16 load_range(const float* p, int64_t from, int64_t to) {
  return {_mm256_maskload_ps(p, range8(from, to)),
          _mm256_maskload_ps(p + 8, range8(from - 8, to - 8))};
}
FP_INLINE f32x16 keep_n(f32x16 a, int64_t n) {
  return {_mm256_and_ps(a.lo, _mm256_castsi256_ps(first8(n))),
          _mm256_and_ps(a.hi, _mm256_castsi256_ps(first8(n - 8)))};
}
// Masked stores cost 42 micro-ops on AMD: whole 128-bit pieces and single floats instead.
FP_INLINE void store_n(float* p, f32x16 a, int64_t n) {
  if (n >= 16) return store(p, a);
  __m256 half = a.lo;
  if (n >= 8) {
    _mm256_storeu_ps(p, a.lo);
    half = a.hi;
    p += 8;
    n -= 8;
  }
  __m128 q = _mm256_castps256_ps128(half);
  if (n >= 4) {
    _mm_storeu_ps(p, q);
    q = _mm256_extractf128_ps(half, 1);
    p += 4;
    n -= 4;
  }
  if (n >= 1) _mm_store_ss(p, q);
  if (n >= 2) _mm_store_ss(p + 1, _mm_movehdup_ps(q));
  if (n >= 3) _mm_store_ss(p + 2, _mm_movehl_ps(q, q));
}

#define FP_BOTH(name, intrinsic)                           \
  FP_INLINE f32x16 name(f32x16 a, f32x16 b) {              \
    return {intrinsic(a.lo, b.lo), intrinsic(a.hi, b.hi)}; \
  }
FP_BOTH(add, _mm256_add_ps)
FP_BOTH(sub, _mm256_sub_ps)
FP_BOTH(mul, _mm256_mul_ps)
FP_BOTH(div, _mm256_div_ps)
FP_BOTH(max, _mm256_max_ps)
FP_BOTH(min, _mm256_min_ps)
#undef FP_BOTH
FP_INLINE f32x16 fma(f32x16 a, f32x16 b, f32x16 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
FP_INLINE f32x16 fma_low8(f32x16 a, f32x16 b, f32x16 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), c.hi};
}
FP_INLINE f32x16 fnma(f32x16 a, f32x16 b, f32x16 c) {
  return {_mm256_fnmadd_ps(a.lo, b.lo, c.lo), _mm256_fnmadd_ps(a.hi, b.hi, c.hi)};
}
FP_INLINE f32x16 sqrt(f32x16 a) { return {_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)}; }

FP_INLINE f32x16 bits_and(f32x16 a, uint32_t u) {
  const __m256 w = _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(u)));
  return {_mm256_and_ps(a.lo, w), _mm256_and_ps(a.hi, w)};
}
FP_INLINE f32x16 bits_or(f32x16 a, uint32_t u) {
  const __m256 w = _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(u)));
  return {_mm256_or_ps(a.lo, w), _mm256_or_ps(a.hi, w)};
}
FP_INLINE f32x16 abs(f32x16 a) { return bits_and(a, 0x7fffffffu); }
FP_INLINE f32x16 neg(f32x16 a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_xor_ps(a.lo, sign), _mm256_xor_ps(a.hi, sign)};
}
FP_INLINE f32x16 copysign(f32x16 magnitude, f32x16 sign) {
  const f32x16 m = abs(magnitude), s = bits_and(sign, 0x80000000u);
  return {_mm256_or_ps(m.lo, s.lo), _mm256_or_ps(m.hi, s.hi)};
}

#define FP_COMPARE(name, predicate)                                                      \
  FP_INLINE mask16 name(f32x16 a, f32x16 b) {                                            \
    return {_mm256_cmp_ps(a.lo, b.lo, predicate), _mm256_cmp_ps(a.hi, b.hi, predicate)}; \
  }
FP_COMPARE(lt, _CMP_LT_OQ)
FP_COMPARE(le, _CMP_LE_OQ)
FP_COMPARE(gt, _CMP_GT_OQ)
FP_COMPARE(eq, _CMP_EQ_OQ)
#undef FP_COMPARE
FP_INLINE mask16 is_nan(f32x16 a) {
  return {_mm256_cmp_ps(a.lo, a.lo, _CMP_UNORD_Q), _mm256_cmp_ps(a.hi, a.hi, _CMP_UNORD_Q)};
}
FP_INLINE mask16 mask_or(mask16 a, mask16 b) {
  return {_mm256_or_ps(a.lo, b.lo), _mm256_or_ps(a.hi, b.hi)};
}
FP_INLINE f32x16 select(mask16 m, f32x16 a, f32x16 b) {
  return {_mm256_blendv_ps(b.lo, a.lo, m.lo), _mm256_blendv_ps(b.hi, a.hi, m.hi)};
}

// 2^n as n0 = n >> 1 and n1 = n - n0, two exact powers: the first product is exact, so the pair
// rounds once, as scalef does. n + 1.5 * 2^23 + 254 has n + 254 in its low bits; shifting left by
// 23 drops the bits above the nine that matter.
FP_INLINE __m256 scale2_half(__m256 a, __m256 n) {
  const __m256i i = _mm256_castps_si256(_mm256_add_ps(n, _mm256_set1_ps(12582912.0f + 254.0f)));
  const __m256i i0 = _mm256_srai_epi32(i, 1);
  const __m256i i1 = _mm256_sub_epi32(i, i0);
  const __m256 s0 = _mm256_castsi256_ps(_mm256_slli_epi32(i0, 23));
  const __m256 s1 = _mm256_castsi256_ps(_mm256_slli_epi32(i1, 23));
  return _mm256_mul_ps(_mm256_mul_ps(a, s0), s1);
}
FP_INLINE f32x16 scale2(f32x16 a, f32x16 n) {
  return {scale2_half(a.lo, n.lo), scale2_half(a.hi, n.hi)};
}

FP_INLINE f32x16 from_int(__m256i lo, __m256i hi) {
  return {_mm256_castsi256_ps(lo), _mm256_castsi256_ps(hi)};
}
FP_INLINE __m256i int_lo(f32x16 a) { return _mm256_castps_si256(a.lo); }
FP_INLINE __m256i int_hi(f32x16 a) { return _mm256_castps_si256(a.hi); }
FP_INLINE f32x16 bits_sub(f32x16 a, int32_t i) {
  const __m256i w = _mm256_set1_epi32(i);
  return from_int(_mm256_sub_epi32(int_lo(a), w), _mm256_sub_epi32(int_hi(a), w));
}
FP_INLINE f32x16 bits_add(f32x16 a, f32x16 b) {
  return from_int(_mm256_add_epi32(int_lo(a), int_lo(b)), _mm256_add_epi32(int_hi(a), int_hi(b)));
}
template <int S>
FP_INLINE f32x16 bits_sra(f32x16 a) {
  return from_int(_mm256_srai_epi32(int_lo(a), S), _mm256_srai_epi32(int_hi(a), S));
}
template <int S>
FP_INLINE f32x16 bits_sll(f32x16 a) {
  return from_int(_mm256_slli_epi32(int_lo(a), S), _mm256_slli_epi32(int_hi(a), S));
}
FP_INLINE f32x16 int_to_float(f32x16 a) {
  return {_mm256_cvtepi32_ps(int_lo(a)), _mm256_cvtepi32_ps(int_hi(a))};
}

FP_INLINE f32x16 zip_half(__m256 a, __m256 b) {
  const __m256 lo = _mm256_unpacklo_ps(a, b), hi = _mm256_unpackhi_ps(a, b);
  return {_mm256_permute2f128_ps(lo, hi, 0x20), _mm256_permute2f128_ps(lo, hi, 0x31)};
}
FP_INLINE f32x16 zip_lo(f32x16 a, f32x16 b) { return zip_half(a.lo, b.lo); }
FP_INLINE f32x16 zip_hi(f32x16 a, f32x16 b) { return zip_half(a.hi, b.hi); }

// Eight rows of four columns: rows r and r + 4 come into one register with the load, and pairs and
// quads within 128 bits are left to shuffle.
FP_INLINE __m256 two_rows(const float* p, int64_t ld) {
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(p + 4 * ld), 1);
}
FP_INLINE void transpose_quads(const float* p, int64_t ld, __m256 (&q)[4]) {
  const __m256 a = two_rows(p, ld), b = two_rows(p + ld, ld);
  const __m256 c = two_rows(p + 2 * ld, ld), d = two_rows(p + 3 * ld, ld);
  const __m256 ab0 = _mm256_unpacklo_ps(a, b), ab2 = _mm256_unpackhi_ps(a, b);
  const __m256 cd0 = _mm256_unpacklo_ps(c, d), cd2 = _mm256_unpackhi_ps(c, d);
  q[0] = _mm256_shuffle_ps(ab0, cd0, 0x44);
  q[1] = _mm256_shuffle_ps(ab0, cd0, 0xee);
  q[2] = _mm256_shuffle_ps(ab2, cd2, 0x44);
  q[3] = _mm256_shuffle_ps(ab2, cd2, 0xee);
}
FP_INLINE void load_transposed(const float* p, int64_t ld, f32x16 (&v)[8]) {
  FP_UNROLL
  for (int i = 0; i < 8; i += 4) {
    __m256 lo[4], hi[4];
    transpose_quads(p + i, ld, lo);
    transpose_quads(p + i + 8 * ld, ld, hi);
    FP_UNROLL
    for (int j = 0; j < 4; ++j) v[i + j] = {lo[j], hi[j]};
  }
}

// Within 128 bits of both halves: lanes 0 1 4 5 | 2 3 6 7 of each eight.
FP_INLINE f32x16 mixed_evens(f32x16 a, f32x16 b) {
  return {_mm256_shuffle_ps(a.lo, a.hi, 0x88), _mm256_shuffle_ps(b.lo, b.hi, 0x88)};
}
FP_INLINE f32x16 mixed_odds(f32x16 a, f32x16 b) {
  return {_mm256_shuffle_ps(a.lo, a.hi, 0xdd), _mm256_shuffle_ps(b.lo, b.hi, 0xdd)};
}
FP_INLINE __m256 in_order8(__m256 a) {
  return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(a), 0xd8));
}
FP_INLINE f32x16 in_order(f32x16 a) { return {in_order8(a.lo), in_order8(a.hi)}; }
FP_INLINE __m256 mixed_slide8(__m256 a, __m256 b) {
  const __m256i before = _mm256_setr_epi32(7, 0, 5, 2, 1, 4, 3, 6);
  return _mm256_blend_ps(_mm256_permutevar8x32_ps(b, before), _mm256_permutevar8x32_ps(a, before),
                         1);
}
FP_INLINE f32x16 mixed_slide(f32x16 a, f32x16 b) {
  return {mixed_slide8(a.hi, b.lo), mixed_slide8(b.lo, b.hi)};
}
// GCC would read it again for each use.
template <int N>
FP_INLINE f32x16 load_ahead(const float* p, f32x16, f32x16) {
  f32x16 r = load(p + N);
#if defined(__GNUC__) || defined(__clang__)
  __asm__("" : "+x"(r.lo), "+x"(r.hi));
#endif
  return r;
}
FP_INLINE f32x16 evens(f32x16 a, f32x16 b) { return in_order(mixed_evens(a, b)); }
FP_INLINE f32x16 odds(f32x16 a, f32x16 b) { return in_order(mixed_odds(a, b)); }

FP_INLINE float reduce_add(f32x16 a) {
  const __m256 half = _mm256_add_ps(a.lo, a.hi);
  __m128 q = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  q = _mm_add_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
FP_INLINE float reduce_max(f32x16 a) {
  const __m256 half = _mm256_max_ps(a.lo, a.hi);
  __m128 q = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  q = _mm_max_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
}

}  // namespace
}  // namespace avx2
}  // namespace forwardpass
