// f32x16 on AVX-512 F, DQ, BW, VL: one zmm register. The contract is in f32x16.h.
#pragma once

#include <immintrin.h>
#include <stdint.h>

#define FP_LINEAR_MR 6   // 6 x 64 accumulators: 24 of the 32 registers
#define FP_LINEAR_NR 64  // columns of one packed panel
#define FP_CONV_MR 8     // 8 channels x 48 positions

namespace forwardpass {
namespace avx512 {
namespace {

constexpr int kNativeLanes = 16;  // floats in one register

struct f32x16 {
  __m512 v;
};
using mask16 = __mmask16;

FP_INLINE f32x16 zero() { return {_mm512_setzero_ps()}; }
FP_INLINE f32x16 set1(float s) { return {_mm512_set1_ps(s)}; }
FP_INLINE f32x16 load(const float* p) { return {_mm512_loadu_ps(p)}; }
FP_INLINE void store(float* p, f32x16 a) { _mm512_storeu_ps(p, a.v); }
FP_INLINE void store_past(float* p, f32x16 a) { _mm512_stream_ps(p, a.v); }
FP_INLINE void end_past() { _mm_sfence(); }
// A vector that the compiler must hold in a register, not read again from memory for each use.
FP_INLINE f32x16 in_register(f32x16 a) {
#if defined(__GNUC__) || defined(__clang__)
  __asm__("" : "+v"(a.v));
#endif
  return a;
}
FP_INLINE mask16 first(int64_t n) { return static_cast<mask16>((1u << n) - 1u); }
FP_INLINE f32x16 load_n(const float* p, int64_t n) { return {_mm512_maskz_loadu_ps(first(n), p)}; }
FP_INLINE f32x16 load_or(const float* p, int64_t n, f32x16 rest) {
  return {_mm512_mask_loadu_ps(rest.v, first(n), p)};
}
FP_INLINE f32x16 load_range(const float* p, int64_t from, int64_t to) {
  return {_mm512_maskz_loadu_ps(static_cast<mask16>(first(to) & ~first(from)), p)};
}
FP_INLINE f32x16 keep_n(f32x16 a, int64_t n) { return {_mm512_maskz_mov_ps(first(n), a.v)}; }
FP_INLINE void store_n(float* p, f32x16 a, int64_t n) { _mm512_mask_storeu_ps(p, first(n), a.v); }

FP_INLINE f32x16 add(f32x16 a, f32x16 b) { return {_mm512_add_ps(a.v, b.v)}; }
FP_INLINE f32x16 sub(f32x16 a, f32x16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
FP_INLINE f32x16 mul(f32x16 a, f32x16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
FP_INLINE f32x16 div(f32x16 a, f32x16 b) { return {_mm512_div_ps(a.v, b.v)}; }
FP_INLINE f32x16 fma(f32x16 a, f32x16 b, f32x16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
// In asm where we can: of the casts between widths GCC 12 makes a move for each accumulator.
FP_INLINE f32x16 fma_low8(f32x16 a, f32x16 b, f32x16 c) {
#if defined(__GNUC__) || defined(__clang__)
  __asm__("vfmadd231ps %t1, %t2, %t0" : "+v"(c.v) : "v"(a.v), "v"(b.v));
  return c;
#else
  return fma(a, b, c);
#endif
}
FP_INLINE f32x16 fnma(f32x16 a, f32x16 b, f32x16 c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }
FP_INLINE f32x16 sqrt(f32x16 a) { return {_mm512_sqrt_ps(a.v)}; }

FP_INLINE f32x16 bits_and(f32x16 a, uint32_t u) {
  return {_mm512_and_ps(a.v, _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(u))))};
}
FP_INLINE f32x16 bits_or(f32x16 a, uint32_t u) {
  return {_mm512_or_ps(a.v, _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(u))))};
}
FP_INLINE f32x16 abs(f32x16 a) { return bits_and(a, 0x7fffffffu); }
FP_INLINE f32x16 neg(f32x16 a) { return {_mm512_xor_ps(a.v, _mm512_set1_ps(-0.0f))}; }
FP_INLINE f32x16 copysign(f32x16 magnitude, f32x16 sign) {
  const __m512i mask = _mm512_set1_epi32(0x7fffffff);  // 0xca: first ? second : third, bit by bit
  return {_mm512_castsi512_ps(_mm512_ternarylogic_epi32(mask, _mm512_castps_si512(magnitude.v),
                                                        _mm512_castps_si512(sign.v), 0xca))};
}

FP_INLINE mask16 lt(f32x16 a, f32x16 b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ); }
FP_INLINE mask16 le(f32x16 a, f32x16 b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ); }
FP_INLINE mask16 gt(f32x16 a, f32x16 b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ); }
FP_INLINE mask16 eq(f32x16 a, f32x16 b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ); }
FP_INLINE mask16 is_nan(f32x16 a) { return _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q); }
FP_INLINE mask16 mask_or(mask16 a, mask16 b) { return static_cast<mask16>(a | b); }
FP_INLINE f32x16 select(mask16 m, f32x16 a, f32x16 b) {
  return {_mm512_mask_blend_ps(m, b.v, a.v)};
}
FP_INLINE f32x16 max(f32x16 a, f32x16 b) { return {_mm512_max_ps(a.v, b.v)}; }
FP_INLINE f32x16 min(f32x16 a, f32x16 b) { return {_mm512_min_ps(a.v, b.v)}; }
FP_INLINE f32x16 scale2(f32x16 a, f32x16 n) { return {_mm512_scalef_ps(a.v, n.v)}; }

FP_INLINE __m512i as_int(f32x16 a) { return _mm512_castps_si512(a.v); }
FP_INLINE f32x16 bits_sub(f32x16 a, int32_t i) {
  return {_mm512_castsi512_ps(_mm512_sub_epi32(as_int(a), _mm512_set1_epi32(i)))};
}
FP_INLINE f32x16 bits_add(f32x16 a, f32x16 b) {
  return {_mm512_castsi512_ps(_mm512_add_epi32(as_int(a), as_int(b)))};
}
template <int S>
FP_INLINE f32x16 bits_sra(f32x16 a) {
  return {_mm512_castsi512_ps(_mm512_srai_epi32(as_int(a), S))};
}
template <int S>
FP_INLINE f32x16 bits_sll(f32x16 a) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(as_int(a), S))};
}
FP_INLINE f32x16 int_to_float(f32x16 a) { return {_mm512_cvtepi32_ps(as_int(a))}; }

FP_INLINE f32x16 zip_lo(f32x16 a, f32x16 b) {
  const __m512i from = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  return {_mm512_permutex2var_ps(a.v, from, b.v)};
}
FP_INLINE f32x16 zip_hi(f32x16 a, f32x16 b) {
  const __m512i from =
      _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  return {_mm512_permutex2var_ps(a.v, from, b.v)};
}

// Half of each row comes with the load (rows r and r + 4 in one register), so three rounds of shuffles
// are left instead of four: pairs and quads within 128 bits, then 128-bit pieces.
FP_INLINE __m512 two_rows(const float* p, int64_t ld) {
  const __m512 a = _mm512_castps256_ps512(_mm256_loadu_ps(p));
  return _mm512_insertf32x8(a, _mm256_loadu_ps(p + 4 * ld), 1);
}
// Of eight rows, columns 0-7: q[i] = [rows 0-3 of column i, of column i + 4, then rows 4-7 of both].
FP_INLINE void transpose_quads(const float* p, int64_t ld, __m512 (&q)[4]) {
  const __m512 a = two_rows(p, ld), b = two_rows(p + ld, ld);
  const __m512 c = two_rows(p + 2 * ld, ld), d = two_rows(p + 3 * ld, ld);
  const __m512 ab0 = _mm512_unpacklo_ps(a, b), ab2 = _mm512_unpackhi_ps(a, b);
  const __m512 cd0 = _mm512_unpacklo_ps(c, d), cd2 = _mm512_unpackhi_ps(c, d);
  q[0] = _mm512_shuffle_ps(ab0, cd0, 0x44);
  q[1] = _mm512_shuffle_ps(ab0, cd0, 0xee);
  q[2] = _mm512_shuffle_ps(ab2, cd2, 0x44);
  q[3] = _mm512_shuffle_ps(ab2, cd2, 0xee);
}
FP_INLINE void load_transposed(const float* p, int64_t ld, f32x16 (&v)[8]) {
  __m512 top[4], bottom[4];
  transpose_quads(p, ld, top);
  transpose_quads(p + 8 * ld, ld, bottom);
  FP_UNROLL
  for (int i = 0; i < 4; ++i) {
    v[i].v = _mm512_shuffle_f32x4(top[i], bottom[i], 0x88);
    v[i + 4].v = _mm512_shuffle_f32x4(top[i], bottom[i], 0xdd);
  }
}

// Of sixteen rows, four from each of `quads` on, columns 0-15 or those of a mask, the others +0: each cache
// line is read once. Four rounds of shuffles instead of load_transposed's three, for half of its loads.
struct AllColumns {};
FP_INLINE __m512 load_row(const float* p, AllColumns) { return in_register(load(p)).v; }
FP_INLINE __m512 load_row(const float* p, mask16 columns) {
  return _mm512_maskz_loadu_ps(columns, p);
}
template <bool Fetch, typename Columns>
FP_INLINE void load_lines(const float* const (&quads)[4], int64_t ld, Columns columns,
                          f32x16 (&v)[16]) {
  int64_t ld3 = 3 * ld;
  FP_FORGET(ld3);
  __m512 t[4][4];
  FP_UNROLL
  for (int q = 0; q < 4; ++q) {
    const float* p = quads[q];
    FP_FORGET(p);  // four pointers, not sixteen
    const float* const rows[4] = {p, p + ld, p + 2 * ld, p + ld3};
    __m512 r[4];
    FP_UNROLL
    for (int i = 0; i < 4; ++i) {
      if constexpr (Fetch) FP_PREFETCH_L1(rows[i] + 32);
      r[i] = load_row(rows[i], columns);
    }
    const __m512 ab0 = _mm512_unpacklo_ps(r[0], r[1]), ab2 = _mm512_unpackhi_ps(r[0], r[1]);
    const __m512 cd0 = _mm512_unpacklo_ps(r[2], r[3]), cd2 = _mm512_unpackhi_ps(r[2], r[3]);
    t[q][0] = _mm512_shuffle_ps(ab0, cd0, 0x44);
    t[q][1] = _mm512_shuffle_ps(ab0, cd0, 0xee);
    t[q][2] = _mm512_shuffle_ps(ab2, cd2, 0x44);
    t[q][3] = _mm512_shuffle_ps(ab2, cd2, 0xee);
  }
  FP_UNROLL
  for (int i = 0; i < 4; ++i) {
    const __m512 a = _mm512_shuffle_f32x4(t[0][i], t[1][i], 0x88);
    const __m512 b = _mm512_shuffle_f32x4(t[0][i], t[1][i], 0xdd);
    const __m512 c = _mm512_shuffle_f32x4(t[2][i], t[3][i], 0x88);
    const __m512 d = _mm512_shuffle_f32x4(t[2][i], t[3][i], 0xdd);
    v[i].v = _mm512_shuffle_f32x4(a, c, 0x88);
    v[i + 4].v = _mm512_shuffle_f32x4(b, d, 0x88);
    v[i + 8].v = _mm512_shuffle_f32x4(a, c, 0xdd);
    v[i + 12].v = _mm512_shuffle_f32x4(b, d, 0xdd);
  }
}

// Of four vectors: v[i] = the i-th four lanes of each.
FP_INLINE void transpose_fours(f32x16 (&v)[4]) {
  const __m512 a = _mm512_shuffle_f32x4(v[0].v, v[1].v, 0x44);
  const __m512 b = _mm512_shuffle_f32x4(v[0].v, v[1].v, 0xee);
  const __m512 c = _mm512_shuffle_f32x4(v[2].v, v[3].v, 0x44);
  const __m512 d = _mm512_shuffle_f32x4(v[2].v, v[3].v, 0xee);
  v[0].v = _mm512_shuffle_f32x4(a, c, 0x88);
  v[1].v = _mm512_shuffle_f32x4(a, c, 0xdd);
  v[2].v = _mm512_shuffle_f32x4(b, d, 0x88);
  v[3].v = _mm512_shuffle_f32x4(b, d, 0xdd);
}
// Of each four lanes, lane I in all of them.
template <int I>
FP_INLINE f32x16 spread_in_fours(f32x16 a) {
  return {_mm512_permute_ps(a.v, I * 0x55)};
}
FP_INLINE void store_range(float* p, f32x16 a, int64_t from, int64_t to) {
  _mm512_mask_storeu_ps(p, static_cast<mask16>(first(to) & ~first(from)), a.v);
}
FP_INLINE f32x16 zero_range(f32x16 a, int64_t from, int64_t to) {
  return {
      _mm512_mask_mov_ps(a.v, static_cast<mask16>(first(to) & ~first(from)), _mm512_setzero_ps())};
}

FP_INLINE f32x16 evens(f32x16 a, f32x16 b) {
  const __m512i from = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  return {_mm512_permutex2var_ps(a.v, from, b.v)};
}
// Within 128 bits: lanes 0 1 8 9 | 2 3 10 11 | 4 5 12 13 | 6 7 14 15.
FP_INLINE f32x16 mixed_evens(f32x16 a, f32x16 b) { return {_mm512_shuffle_ps(a.v, b.v, 0x88)}; }
FP_INLINE f32x16 mixed_odds(f32x16 a, f32x16 b) { return {_mm512_shuffle_ps(a.v, b.v, 0xdd)}; }
FP_INLINE f32x16 in_order(f32x16 a) {
  const __m512i pairs = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
  return {_mm512_castsi512_ps(_mm512_permutexvar_epi64(pairs, as_int(a)))};
}
FP_INLINE f32x16 mixed_slide(f32x16 before, f32x16 a) {
  const __m512i from = _mm512_setr_epi32(31, 0, 13, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14);
  return {_mm512_permutex2var_ps(a.v, from, before.v)};
}
// A load across two cache lines takes as long as two: lanes of both instead.
template <int N>
FP_INLINE f32x16 load_ahead(const float*, f32x16 a, f32x16 b) {
  if constexpr (N == 0) return a;
  return {_mm512_castsi512_ps(_mm512_alignr_epi32(as_int(b), as_int(a), N))};
}
FP_INLINE f32x16 odds(f32x16 a, f32x16 b) {
  const __m512i from = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
  return {_mm512_permutex2var_ps(a.v, from, b.v)};
}

FP_INLINE float reduce_add(f32x16 a) {
  __m256 half = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 q = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  q = _mm_add_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
FP_INLINE float reduce_max(f32x16 a) {
  __m256 half = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 q = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  q = _mm_max_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
}

}  // namespace
}  // namespace avx512
}  // namespace forwardpass
