// f32x16 on AArch64's Advanced SIMD: four q registers, lanes 0-3, 4-7, 8-11, 12-15. The contract is
// in f32x16.h.
//
// NaN: fmax and fmin would return NaN or skip it, where the contract wants b; so max and min are
// compare and select. Subnormals and rounding follow FPCR, which cpu.h clears.
#pragma once

#include <arm_neon.h>
#include <stdint.h>

#define FP_LINEAR_MR 5   // 5 x 16 accumulators: 20 of the 32 registers (with 24, GCC 12 spills)
#define FP_LINEAR_NR 16  // columns of one packed panel
#define FP_CONV_MR 5     // 5 channels x 16 positions

namespace forwardpass {
namespace neon {
namespace {

constexpr int kNativeLanes = 4;  // floats in one register

// Named members, not arrays: compilers then keep them in registers without fail.
struct f32x16 {
  float32x4_t a, b, c, d;
};
struct mask16 {
  uint32x4_t a, b, c, d;
};

FP_INLINE f32x16 set1(float s) {
  const float32x4_t v = vdupq_n_f32(s);
  return {v, v, v, v};
}
FP_INLINE f32x16 zero() { return set1(0.0f); }
FP_INLINE f32x16 load(const float* p) {
  return {vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)};
}
FP_INLINE void store(float* p, f32x16 v) {
  vst1q_f32(p, v.a);
  vst1q_f32(p + 4, v.b);
  vst1q_f32(p + 8, v.c);
  vst1q_f32(p + 12, v.d);
}
FP_INLINE void store_past(float* p, f32x16 v) { store(p, v); }
FP_INLINE void end_past() {}
FP_INLINE f32x16 in_register(f32x16 v) { return v; }  // no instruction here reads memory besides
// There are no masked loads and stores: whole registers, then single floats. Any n.
FP_INLINE float32x4_t load4(const float* p, int64_t n) {
  if (n >= 4) return vld1q_f32(p);
  float32x4_t v = vdupq_n_f32(0.0f);
  if (n >= 1) v = vld1q_lane_f32(p, v, 0);
  if (n >= 2) v = vld1q_lane_f32(p + 1, v, 1);
  if (n >= 3) v = vld1q_lane_f32(p + 2, v, 2);
  return v;
}
FP_INLINE void store4(float* p, float32x4_t v, int64_t n) {
  if (n >= 4) return vst1q_f32(p, v);
  if (n >= 1) vst1q_lane_f32(p, v, 0);
  if (n >= 2) vst1q_lane_f32(p + 1, v, 1);
  if (n >= 3) vst1q_lane_f32(p + 2, v, 2);
}
FP_INLINE f32x16 load_n(const float* p, int64_t n) {
  return {load4(p, n), load4(p + 4, n - 4), load4(p + 8, n - 8), load4(p + 12, n - 12)};
}
FP_INLINE f32x16 load_range(const float* p, int64_t from, int64_t to) {
  float lanes[16] = {};
  for (int64_t i = from; i < to; ++i) lanes[i] = p[i];
  return load(lanes);
}
FP_INLINE void store_n(float* p, f32x16 v, int64_t n) {
  store4(p, v.a, n);
  store4(p + 4, v.b, n - 4);
  store4(p + 8, v.c, n - 8);
  store4(p + 12, v.d, n - 12);
}
// All-ones in the first n of four lanes, any n.
FP_INLINE uint32x4_t first4(int64_t n) {
  static constexpr int32_t kLane[4] = {0, 1, 2, 3};
  return vcgtq_s32(vdupq_n_s32(static_cast<int32_t>(n)), vld1q_s32(kLane));
}
FP_INLINE mask16 first(int64_t n) {
  return {first4(n), first4(n - 4), first4(n - 8), first4(n - 12)};
}

#define FP_EACH1(name, f) \
  FP_INLINE f32x16 name(f32x16 v) { return {f(v.a), f(v.b), f(v.c), f(v.d)}; }
#define FP_EACH2(result, name, type, f)                          \
  FP_INLINE result name(type v, type w) {                        \
    return {f(v.a, w.a), f(v.b, w.b), f(v.c, w.c), f(v.d, w.d)}; \
  }
#define FP_EACH3(name, f)                                                            \
  FP_INLINE f32x16 name(f32x16 v, f32x16 w, f32x16 z) {                              \
    return {f(z.a, v.a, w.a), f(z.b, v.b, w.b), f(z.c, v.c, w.c), f(z.d, v.d, w.d)}; \
  }
FP_EACH2(f32x16, add, f32x16, vaddq_f32)
FP_EACH2(f32x16, sub, f32x16, vsubq_f32)
FP_EACH2(f32x16, mul, f32x16, vmulq_f32)
FP_EACH2(f32x16, div, f32x16, vdivq_f32)
FP_EACH3(fma, vfmaq_f32)  // z + v w
FP_INLINE f32x16 fma_low8(f32x16 v, f32x16 w, f32x16 z) {
  return {vfmaq_f32(z.a, v.a, w.a), vfmaq_f32(z.b, v.b, w.b), z.c, z.d};
}
FP_EACH3(fnma, vfmsq_f32)  // z - v w
FP_EACH1(sqrt, vsqrtq_f32)
FP_EACH1(abs, vabsq_f32)  // abs and neg change the sign bit alone, of NaN too
FP_EACH1(neg, vnegq_f32)
FP_EACH2(mask16, lt, f32x16, vcltq_f32)
FP_EACH2(mask16, le, f32x16, vcleq_f32)
FP_EACH2(mask16, gt, f32x16, vcgtq_f32)
FP_EACH2(mask16, eq, f32x16, vceqq_f32)
FP_EACH2(mask16, mask_or, mask16, vorrq_u32)

FP_INLINE mask16 is_nan(f32x16 v) {
  const mask16 m = eq(v, v);
  return {vmvnq_u32(m.a), vmvnq_u32(m.b), vmvnq_u32(m.c), vmvnq_u32(m.d)};
}
// clang 14 makes fmax of `x < 0 ? 0 : x`, and fmin of its like, which turn -0 into +0. An empty asm
// between comparison and choice hides the one from the other, and costs no instruction.
FP_INLINE uint32x4_t hidden(uint32x4_t m) {
#if defined(__clang__)
  __asm__("" : "+w"(m));
#endif
  return m;
}
FP_INLINE float32x4_t select4(uint32x4_t m, float32x4_t v, float32x4_t w) {
  return vbslq_f32(hidden(m), v, w);
}
FP_INLINE f32x16 select(mask16 m, f32x16 v, f32x16 w) {
  return {select4(m.a, v.a, w.a), select4(m.b, v.b, w.b), select4(m.c, v.c, w.c),
          select4(m.d, v.d, w.d)};
}
FP_INLINE f32x16 max(f32x16 v, f32x16 w) { return select(gt(v, w), v, w); }
FP_INLINE f32x16 min(f32x16 v, f32x16 w) { return select(lt(v, w), v, w); }
FP_INLINE f32x16 keep_n(f32x16 v, int64_t n) { return select(first(n), v, zero()); }
FP_INLINE f32x16 load_or(const float* p, int64_t n, f32x16 rest) {
  return select(first(n), load_n(p, n), rest);
}

FP_INLINE uint32x4_t as_bits(float32x4_t v) { return vreinterpretq_u32_f32(v); }
FP_INLINE int32x4_t as_int(float32x4_t v) { return vreinterpretq_s32_f32(v); }
FP_INLINE float32x4_t from_bits(uint32x4_t v) { return vreinterpretq_f32_u32(v); }
FP_INLINE float32x4_t from_int(int32x4_t v) { return vreinterpretq_f32_s32(v); }

FP_INLINE f32x16 bits_and(f32x16 v, uint32_t u) {
  const uint32x4_t w = vdupq_n_u32(u);
  return {from_bits(vandq_u32(as_bits(v.a), w)), from_bits(vandq_u32(as_bits(v.b), w)),
          from_bits(vandq_u32(as_bits(v.c), w)), from_bits(vandq_u32(as_bits(v.d), w))};
}
FP_INLINE f32x16 bits_or(f32x16 v, uint32_t u) {
  const uint32x4_t w = vdupq_n_u32(u);
  return {from_bits(vorrq_u32(as_bits(v.a), w)), from_bits(vorrq_u32(as_bits(v.b), w)),
          from_bits(vorrq_u32(as_bits(v.c), w)), from_bits(vorrq_u32(as_bits(v.d), w))};
}
FP_INLINE f32x16 copysign(f32x16 magnitude, f32x16 sign) {
  const uint32x4_t m = vdupq_n_u32(0x7fffffffu);
  return select({m, m, m, m}, magnitude, sign);
}
FP_INLINE f32x16 bits_sub(f32x16 v, int32_t i) {
  const int32x4_t w = vdupq_n_s32(i);
  return {from_int(vsubq_s32(as_int(v.a), w)), from_int(vsubq_s32(as_int(v.b), w)),
          from_int(vsubq_s32(as_int(v.c), w)), from_int(vsubq_s32(as_int(v.d), w))};
}
FP_INLINE float32x4_t bits_add4(float32x4_t v, float32x4_t w) {
  return from_int(vaddq_s32(as_int(v), as_int(w)));
}
FP_EACH2(f32x16, bits_add, f32x16, bits_add4)
template <int S>
FP_INLINE f32x16 bits_sra(f32x16 v) {
  return {from_int(vshrq_n_s32(as_int(v.a), S)), from_int(vshrq_n_s32(as_int(v.b), S)),
          from_int(vshrq_n_s32(as_int(v.c), S)), from_int(vshrq_n_s32(as_int(v.d), S))};
}
template <int S>
FP_INLINE f32x16 bits_sll(f32x16 v) {
  return {from_int(vshlq_n_s32(as_int(v.a), S)), from_int(vshlq_n_s32(as_int(v.b), S)),
          from_int(vshlq_n_s32(as_int(v.c), S)), from_int(vshlq_n_s32(as_int(v.d), S))};
}
FP_INLINE float32x4_t int_to_float4(float32x4_t v) { return vcvtq_f32_s32(as_int(v)); }
FP_EACH1(int_to_float, int_to_float4)

// As in avx2.h: n + 1.5 * 2^23 + 254 has n + 254 in its low bits; 2^n as two exact powers, of which
// the first product is exact.
FP_INLINE float32x4_t scale2_4(float32x4_t v, float32x4_t n) {
  const int32x4_t i = as_int(vaddq_f32(n, vdupq_n_f32(12582912.0f + 254.0f)));
  const int32x4_t i0 = vshrq_n_s32(i, 1), i1 = vsubq_s32(i, i0);
  return vmulq_f32(vmulq_f32(v, from_int(vshlq_n_s32(i0, 23))), from_int(vshlq_n_s32(i1, 23)));
}
FP_EACH2(f32x16, scale2, f32x16, scale2_4)
#undef FP_EACH1
#undef FP_EACH2
#undef FP_EACH3

FP_INLINE f32x16 zip_lo(f32x16 v, f32x16 w) {
  return {vzip1q_f32(v.a, w.a), vzip2q_f32(v.a, w.a), vzip1q_f32(v.b, w.b), vzip2q_f32(v.b, w.b)};
}
FP_INLINE f32x16 zip_hi(f32x16 v, f32x16 w) {
  return {vzip1q_f32(v.c, w.c), vzip2q_f32(v.c, w.c), vzip1q_f32(v.d, w.d), vzip2q_f32(v.d, w.d)};
}

// One 4 x 4 block in two rounds: pairs of lanes, then pairs of pairs.
FP_INLINE void transpose4(float32x4_t& r0, float32x4_t& r1, float32x4_t& r2, float32x4_t& r3) {
  const float32x4_t a = vtrn1q_f32(r0, r1), b = vtrn2q_f32(r0, r1);
  const float32x4_t c = vtrn1q_f32(r2, r3), d = vtrn2q_f32(r2, r3);
  r0 = vcombine_f32(vget_low_f32(a), vget_low_f32(c));
  r1 = vcombine_f32(vget_low_f32(b), vget_low_f32(d));
  r2 = vcombine_f32(vget_high_f32(a), vget_high_f32(c));
  r3 = vcombine_f32(vget_high_f32(b), vget_high_f32(d));
}
FP_INLINE void load_block(const float* p, int64_t ld, float32x4_t& r0, float32x4_t& r1,
                          float32x4_t& r2, float32x4_t& r3) {
  r0 = vld1q_f32(p);
  r1 = vld1q_f32(p + ld);
  r2 = vld1q_f32(p + 2 * ld);
  r3 = vld1q_f32(p + 3 * ld);
  transpose4(r0, r1, r2, r3);
}
// 16 rows of 8 floats as eight such blocks.
FP_INLINE void load_transposed(const float* p, int64_t ld, f32x16 (&v)[8]) {
  FP_UNROLL
  for (int i = 0; i < 8; i += 4) {
    load_block(p + i, ld, v[i].a, v[i + 1].a, v[i + 2].a, v[i + 3].a);
    load_block(p + i + 4 * ld, ld, v[i].b, v[i + 1].b, v[i + 2].b, v[i + 3].b);
    load_block(p + i + 8 * ld, ld, v[i].c, v[i + 1].c, v[i + 2].c, v[i + 3].c);
    load_block(p + i + 12 * ld, ld, v[i].d, v[i + 1].d, v[i + 2].d, v[i + 3].d);
  }
}

// The tree of the contract: lane i + lane i + 8, then + 4, + 2, + 1; never faddp or faddv.
FP_INLINE f32x16 evens(f32x16 v, f32x16 w) {
  return {vuzp1q_f32(v.a, v.b), vuzp1q_f32(v.c, v.d), vuzp1q_f32(w.a, w.b), vuzp1q_f32(w.c, w.d)};
}
FP_INLINE f32x16 mixed_slide(f32x16 v, f32x16 w) {
  return {vextq_f32(v.d, w.a, 3), vextq_f32(w.a, w.b, 3), vextq_f32(w.b, w.c, 3),
          vextq_f32(w.c, w.d, 3)};
}
template <int N>
FP_INLINE f32x16 load_ahead(const float* p, f32x16, f32x16) {
  return load(p + N);
}
FP_INLINE f32x16 odds(f32x16 v, f32x16 w) {
  return {vuzp2q_f32(v.a, v.b), vuzp2q_f32(v.c, v.d), vuzp2q_f32(w.a, w.b), vuzp2q_f32(w.c, w.d)};
}

FP_INLINE f32x16 mixed_evens(f32x16 v, f32x16 w) { return evens(v, w); }
FP_INLINE f32x16 mixed_odds(f32x16 v, f32x16 w) { return odds(v, w); }
FP_INLINE f32x16 in_order(f32x16 v) { return v; }

FP_INLINE float reduce_add(f32x16 v) {
  const float32x4_t q = vaddq_f32(vaddq_f32(v.a, v.c), vaddq_f32(v.b, v.d));
  const float32x2_t h = vadd_f32(vget_low_f32(q), vget_high_f32(q));
  return vget_lane_f32(h, 0) + vget_lane_f32(h, 1);
}
FP_INLINE float32x4_t max4(float32x4_t v, float32x4_t w) { return select4(vcgtq_f32(v, w), v, w); }
FP_INLINE float reduce_max(f32x16 v) {
  const float32x4_t q = max4(max4(v.a, v.c), max4(v.b, v.d));
  const float32x2_t low = vget_low_f32(q), high = vget_high_f32(q);
  const float32x2_t h = vbsl_f32(vcgt_f32(low, high), low, high);
  const float a = vget_lane_f32(h, 0), b = vget_lane_f32(h, 1);
  return a > b ? a : b;
}

}  // namespace
}  // namespace neon
}  // namespace forwardpass
