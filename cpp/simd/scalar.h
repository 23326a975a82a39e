// f32x16 as a plain array of sixteen floats: the readable truth that the other backends must
// equal bit for bit, and the fallback on any machine. The contract is in f32x16.h.
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

#define FP_LINEAR_MR 2
#define FP_LINEAR_NR 16
#define FP_CONV_MR 2

// Out of line: inlined, the sixteen lanes of every operation of a polynomial make a function that
// takes the compiler minutes.
#define FP_LANE_OP inline FP_NOINLINE

namespace forwardpass {
namespace scalar {
namespace {

constexpr int kNativeLanes = 1;  // floats in one register
constexpr int kLanes = 16;

struct f32x16 {
  float v[kLanes];
};
struct mask16 {
  bool v[kLanes];
};

FP_INLINE uint32_t float_bits(float a) {
  uint32_t u;
  memcpy(&u, &a, sizeof u);
  return u;
}
FP_INLINE float bits_float(uint32_t u) {
  float a;
  memcpy(&a, &u, sizeof a);
  return a;
}

// a*b + c with one rounding, without hardware FMA. The product of two floats is exact in double.
// TwoSum gives the double sum s and its error e; rounding s to odd with e as the sticky bit makes
// the final conversion to float the only rounding that counts (53 >= 2*24 + 2 bits; Boldo and
// Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
FP_INLINE float fma_exact(float a, float b, float c) {
  const double p = static_cast<double>(a) * static_cast<double>(b);
  const double z = static_cast<double>(c);
  const double s = p + z;
  const double zz = s - p;
  const double e = (p - (s - zz)) + (z - zz);
  uint64_t bits, error;
  memcpy(&bits, &s, sizeof bits);
  memcpy(&error, &e, sizeof error);
  // In whole numbers, so that compilers vectorise it: 1 where s is infinite or NaN; 1 where s is
  // finite and e is not zero; 1 where besides |s| is larger than the exact sum.
  const uint64_t special = (((bits >> 52) & 0x7ff) + 1) >> 11;
  const uint64_t nonzero = ((error << 1) | (0 - (error << 1))) >> 63;
  const uint64_t inexact = nonzero & (special ^ 1);
  const uint64_t above = inexact & ((error ^ bits) >> 63);
  bits = (bits - above) | inexact;
  double odd;
  memcpy(&odd, &bits, sizeof odd);
  return static_cast<float>(odd);
}

#define FP_LANES(body)               \
  f32x16 r;                          \
  for (int i = 0; i < kLanes; ++i) { \
    r.v[i] = (body);                 \
  }                                  \
  return r
#define FP_MASK(body)                \
  mask16 r;                          \
  for (int i = 0; i < kLanes; ++i) { \
    r.v[i] = (body);                 \
  }                                  \
  return r

FP_LANE_OP f32x16 set1(float s) { FP_LANES(s); }
FP_LANE_OP f32x16 zero() { return set1(0.0f); }
FP_LANE_OP f32x16 load(const float* p) { FP_LANES(p[i]); }
FP_LANE_OP void store(float* p, f32x16 a) {
  for (int i = 0; i < kLanes; ++i) {
    p[i] = a.v[i];
  }
}
FP_LANE_OP void store_past(float* p, f32x16 a) { store(p, a); }
FP_LANE_OP void end_past() {}
FP_LANE_OP f32x16 in_register(f32x16 a) { return a; }
FP_LANE_OP f32x16 load_n(const float* p, int64_t n) { FP_LANES(i < n ? p[i] : 0.0f); }
FP_LANE_OP f32x16 load_or(const float* p, int64_t n, f32x16 rest) {
  FP_LANES(i < n ? p[i] : rest.v[i]);
}
FP_LANE_OP f32x16 load_range(const float* p, int64_t from, int64_t to) {
  FP_LANES(i >= from && i < to ? p[i] : 0.0f);
}
FP_LANE_OP f32x16 keep_n(f32x16 a, int64_t n) { FP_LANES(i < n ? a.v[i] : 0.0f); }
FP_LANE_OP void store_n(float* p, f32x16 a, int64_t n) {
  for (int i = 0; i < n; ++i) p[i] = a.v[i];
}

FP_LANE_OP f32x16 add(f32x16 a, f32x16 b) { FP_LANES(a.v[i] + b.v[i]); }
FP_LANE_OP f32x16 sub(f32x16 a, f32x16 b) { FP_LANES(a.v[i] - b.v[i]); }
FP_LANE_OP f32x16 mul(f32x16 a, f32x16 b) { FP_LANES(a.v[i] * b.v[i]); }
FP_LANE_OP f32x16 div(f32x16 a, f32x16 b) { FP_LANES(a.v[i] / b.v[i]); }
FP_LANE_OP f32x16 fma(f32x16 a, f32x16 b, f32x16 c) { FP_LANES(fma_exact(a.v[i], b.v[i], c.v[i])); }
FP_INLINE f32x16 fma_low8(f32x16 a, f32x16 b, f32x16 c) { return fma(a, b, c); }
FP_LANE_OP f32x16 fnma(f32x16 a, f32x16 b, f32x16 c) {
  FP_LANES(fma_exact(-a.v[i], b.v[i], c.v[i]));
}
FP_LANE_OP f32x16 sqrt(f32x16 a) { FP_LANES(::sqrtf(a.v[i])); }

FP_LANE_OP f32x16 bits_and(f32x16 a, uint32_t u) { FP_LANES(bits_float(float_bits(a.v[i]) & u)); }
FP_LANE_OP f32x16 bits_or(f32x16 a, uint32_t u) { FP_LANES(bits_float(float_bits(a.v[i]) | u)); }
FP_LANE_OP f32x16 abs(f32x16 a) { return bits_and(a, 0x7fffffffu); }
FP_LANE_OP f32x16 neg(f32x16 a) { FP_LANES(bits_float(float_bits(a.v[i]) ^ 0x80000000u)); }
FP_LANE_OP f32x16 copysign(f32x16 magnitude, f32x16 sign) {
  FP_LANES(bits_float((float_bits(magnitude.v[i]) & 0x7fffffffu) |
                      (float_bits(sign.v[i]) & 0x80000000u)));
}

FP_LANE_OP mask16 lt(f32x16 a, f32x16 b) { FP_MASK(a.v[i] < b.v[i]); }
FP_LANE_OP mask16 le(f32x16 a, f32x16 b) { FP_MASK(a.v[i] <= b.v[i]); }
FP_LANE_OP mask16 gt(f32x16 a, f32x16 b) { FP_MASK(a.v[i] > b.v[i]); }
FP_LANE_OP mask16 eq(f32x16 a, f32x16 b) { FP_MASK(a.v[i] == b.v[i]); }
FP_LANE_OP mask16 is_nan(f32x16 a) { FP_MASK(a.v[i] != a.v[i]); }
FP_LANE_OP mask16 mask_or(mask16 a, mask16 b) { FP_MASK(a.v[i] || b.v[i]); }
FP_LANE_OP f32x16 select(mask16 m, f32x16 a, f32x16 b) { FP_LANES(m.v[i] ? a.v[i] : b.v[i]); }
FP_LANE_OP f32x16 max(f32x16 a, f32x16 b) { FP_LANES(a.v[i] > b.v[i] ? a.v[i] : b.v[i]); }
FP_LANE_OP f32x16 min(f32x16 a, f32x16 b) { FP_LANES(a.v[i] < b.v[i] ? a.v[i] : b.v[i]); }

// v * 2^(n>>1) * 2^(n - (n>>1)): the first product is exact, so the pair rounds once.
FP_INLINE float scale2_lane(float a, float n) {
  const int32_t i = n == n ? static_cast<int32_t>(n) : 0, i0 = i >> 1, i1 = i - i0;
  return a * bits_float(static_cast<uint32_t>(i0 + 127) << 23) *
         bits_float(static_cast<uint32_t>(i1 + 127) << 23);
}
FP_LANE_OP f32x16 scale2(f32x16 a, f32x16 n) { FP_LANES(scale2_lane(a.v[i], n.v[i])); }

FP_LANE_OP f32x16 bits_sub(f32x16 a, int32_t k) {
  FP_LANES(bits_float(float_bits(a.v[i]) - static_cast<uint32_t>(k)));
}
FP_LANE_OP f32x16 bits_add(f32x16 a, f32x16 b) {
  FP_LANES(bits_float(float_bits(a.v[i]) + float_bits(b.v[i])));
}
template <int S>
FP_LANE_OP f32x16 bits_sra(f32x16 a) {
  FP_LANES(bits_float(static_cast<uint32_t>(static_cast<int32_t>(float_bits(a.v[i])) >> S)));
}
template <int S>
FP_LANE_OP f32x16 bits_sll(f32x16 a) {
  FP_LANES(bits_float(float_bits(a.v[i]) << S));
}
FP_LANE_OP f32x16 int_to_float(f32x16 a) {
  FP_LANES(static_cast<float>(static_cast<int32_t>(float_bits(a.v[i]))));
}
#undef FP_LANES
#undef FP_MASK

FP_LANE_OP f32x16 zip_from(f32x16 a, f32x16 b, int start) {
  f32x16 r;
  for (int i = 0; i < kLanes / 2; ++i) {
    r.v[2 * i] = a.v[start + i];
    r.v[2 * i + 1] = b.v[start + i];
  }
  return r;
}
FP_LANE_OP f32x16 zip_lo(f32x16 a, f32x16 b) { return zip_from(a, b, 0); }
FP_LANE_OP f32x16 zip_hi(f32x16 a, f32x16 b) { return zip_from(a, b, kLanes / 2); }

FP_LANE_OP void load_transposed(const float* p, int64_t ld, f32x16 (&v)[8]) {
  for (int i = 0; i < 8; ++i) {
    for (int j = 0; j < kLanes; ++j) v[i].v[j] = p[j * ld + i];
  }
}

FP_LANE_OP f32x16 evens(f32x16 a, f32x16 b) {
  f32x16 r;
  for (int i = 0; i < 8; ++i) {
    r.v[i] = a.v[2 * i];
    r.v[i + 8] = b.v[2 * i];
  }
  return r;
}
FP_LANE_OP f32x16 mixed_slide(f32x16 a, f32x16 b) {
  f32x16 r;
  r.v[0] = a.v[kLanes - 1];
  for (int i = 1; i < kLanes; ++i) r.v[i] = b.v[i - 1];
  return r;
}
template <int N>
FP_LANE_OP f32x16 load_ahead(const float* p, f32x16, f32x16) {
  return load(p + N);
}
FP_LANE_OP f32x16 odds(f32x16 a, f32x16 b) {
  f32x16 r;
  for (int i = 0; i < 8; ++i) {
    r.v[i] = a.v[2 * i + 1];
    r.v[i + 8] = b.v[2 * i + 1];
  }
  return r;
}

FP_LANE_OP f32x16 mixed_evens(f32x16 v, f32x16 w) { return evens(v, w); }
FP_LANE_OP f32x16 mixed_odds(f32x16 v, f32x16 w) { return odds(v, w); }
FP_LANE_OP f32x16 in_order(f32x16 v) { return v; }

FP_LANE_OP float reduce_add(f32x16 a) {
  for (int width = 8; width >= 1; width /= 2)
    for (int i = 0; i < width; ++i) a.v[i] = a.v[i] + a.v[i + width];
  return a.v[0];
}
FP_LANE_OP float reduce_max(f32x16 a) {
  for (int width = 8; width >= 1; width /= 2)
    for (int i = 0; i < width; ++i) a.v[i] = a.v[i] > a.v[i + width] ? a.v[i] : a.v[i + width];
  return a.v[0];
}

}  // namespace
}  // namespace scalar
}  // namespace forwardpass
