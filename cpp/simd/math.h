// Elementary functions on f32x16, written once over the contract in f32x16.h: only correctly
// rounded operations, explicit fma and bit operations, so every instruction set gives the same
// bits. No branches, no tables, no libm.
#pragma once

#include "f32x16.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

// c[0] + c[1] x + c[2] x^2 + ...
template <int N>
FP_INLINE f32x16 horner(const float (&c)[N], f32x16 x) {
  f32x16 sum = set1(c[N - 1]);
  FP_UNROLL for (int i = N - 2; i >= 0; --i) sum = fma(sum, x, set1(c[i]));
  return sum;
}

// Adding kRound rounds to a whole number n (|n| < 2^21) and leaves n in the sum's low bits; a sum
// of kRound + 127 + n shifted left by 23 is therefore the float 2^n, for n in [-126, 127].
constexpr float kRound = 12582912.0f;  // 1.5 * 2^23
constexpr float kLog2E = 1.44269502f;
constexpr float kLn2High = 0.693147182f;     // the float nearest to ln 2
constexpr float kLn2Low = -1.90465421e-09f;  // ln 2 - kLn2High
constexpr float kInfinity = __builtin_inff();
constexpr float kNaN = __builtin_nanf("");

FP_INLINE f32x16 power_of_two(f32x16 rounded) { return bits_sll<23>(rounded); }

// e^r ~ 1 + r + r^2 q(r), |r| <= ln(2)/2
constexpr float kExpTail[] = {0.49999997f, 0.16666539f, 0.0416677557f, 0.00836712401f,
                              0.0013835642f};
// e^r ~ 1 + r q(r)
constexpr float kExpShort[] = {0.999999702f, 0.499991477f, 0.166676596f, 0.0418981537f,
                               0.0082885297f};

FP_INLINE f32x16 exp_reduced(f32x16 r) {
  const f32x16 q = fma(horner(kExpTail, r), r, set1(1.0f));
  return fma(q, r, set1(1.0f));
}
FP_INLINE f32x16 exp_reduced_short(f32x16 r) { return fma(horner(kExpShort, r), r, set1(1.0f)); }

// r = x - n ln 2 for the whole number n = t - (kRound + bias).
FP_INLINE f32x16 reduce_ln2(f32x16 x, f32x16 n) {
  return fnma(n, set1(kLn2Low), fnma(n, set1(kLn2High), x));
}

FP_INLINE f32x16 exp(f32x16 x) {
  const f32x16 y = max(set1(-104.0f), x);
  f32x16 n = sub(fma(y, set1(kLog2E), set1(kRound)), set1(kRound));
  n = min(n, set1(129.0f));
  return scale2(exp_reduced(reduce_ln2(y, n)), n);
}

FP_INLINE f32x16 expm1(f32x16 x) {
  const f32x16 y = min(set1(89.0f), max(set1(-20.0f), x));
  const f32x16 t = fma(y, set1(kLog2E), set1(kRound + 126.0f));
  const f32x16 n = sub(t, set1(kRound + 126.0f));
  const f32x16 half = power_of_two(t);  // 2^(n-1)
  const f32x16 r = reduce_ln2(y, n);
  const f32x16 head = fma(half, r, sub(half, set1(0.5f)));
  const f32x16 v = fma(horner(kExpTail, r), mul(mul(r, r), half), head);
  return select(lt(abs(x), set1(1e-10f)), x, add(v, v));
}

// ln(1 + f) ~ f - f^2/2 + f^3 q(f)
constexpr float kLogTail[] = {0.333333313f, -0.250008225f, 0.200012609f, -0.166233212f,
                              0.142009228f, -0.131596982f, 0.127674162f, -0.0764320567f};
constexpr int32_t kSqrtHalfBits = 0x3f3504f3;

// ln(1 + f) + e ln 2
FP_INLINE f32x16 log_reduced(f32x16 f, f32x16 e) {
  const f32x16 q = fma(horner(kLogTail, f), f, set1(-0.5f));
  const f32x16 y = fma(e, set1(kLn2Low), mul(mul(f, f), q));
  return fma(e, set1(kLn2High), add(f, y));
}

FP_INLINE f32x16 log(f32x16 x) {
  const mask16 tiny = lt(x, set1(1.17549435e-38f));
  const f32x16 y = select(tiny, mul(x, set1(16777216.0f)), x);
  const f32x16 i = bits_sub(y, kSqrtHalfBits);
  const f32x16 m = bits_sub(bits_and(i, 0x007fffffu), -kSqrtHalfBits);
  const f32x16 e = add(int_to_float(bits_sra<23>(i)), select(tiny, set1(-24.0f), zero()));
  f32x16 y1 = log_reduced(sub(m, set1(1.0f)), e);
  y1 = select(lt(x, set1(kInfinity)), y1, x);
  return select(gt(x, zero()), y1, select(eq(x, zero()), set1(-kInfinity), set1(kNaN)));
}

FP_INLINE f32x16 log1p(f32x16 x) {
  const f32x16 i = bits_sub(add(x, set1(1.0f)), kSqrtHalfBits);
  const f32x16 e = int_to_float(bits_sra<23>(i));
  const f32x16 s4 = power_of_two(sub(set1(kRound + 129.0f), e));
  const f32x16 f = fma(mul(x, s4), set1(0.25f), fma(s4, set1(0.25f), set1(-1.0f)));
  f32x16 y = log_reduced(f, e);
  y = select(lt(abs(x), set1(1e-10f)), x, y);
  y = select(lt(x, set1(kInfinity)), y, x);
  return select(gt(x, set1(-1.0f)), y,
                select(eq(x, set1(-1.0f)), set1(-kInfinity), set1(kNaN)));
}

// e^y - 1 for y in [-80, 0]
FP_INLINE f32x16 expm1_negative(f32x16 y) {
  const f32x16 t = fma(y, set1(kLog2E), set1(kRound + 127.0f));
  const f32x16 n = sub(t, set1(kRound + 127.0f));
  const f32x16 r = fnma(n, set1(kLn2High), y);
  const f32x16 s = power_of_two(t);
#ifdef ALT_SPLIT
  const f32x16 head = fma(s, r, sub(s, set1(1.0f)));
  return fma(horner(kExpTail, r), mul(mul(r, r), s), head);
#else
  const f32x16 k = fma(horner(kExpTail, r), mul(r, r), r);
  return fma(k, s, sub(s, set1(1.0f)));
#endif
}

// ln(erfc(a)) ~ a g(a), 0 <= a <= 4
#ifdef ALT_ERF7
constexpr float kErf[] = {-1.12837911f, -0.636615157f, -0.102829032f, 0.0193779711f, -0.000303161039f, -0.00116951251f, 0.000348267902f, -3.58358775e-05f};
#else
constexpr float kErf[] = {-1.12837911f, -0.636614978f, -0.10283348f, 0.0194087084f, -0.00039253608f, -0.00104209804f, 0.000255202875f, -2.67531414e-06f, -4.52953282e-06f};
#endif

FP_INLINE f32x16 erf(f32x16 x) {
  const f32x16 a = min(set1(4.0f), abs(x));
  return copysign(expm1_negative(mul(a, horner(kErf, a))), x);
}

FP_INLINE f32x16 tanh(f32x16 x) {
  const f32x16 a = min(set1(10.0f), abs(x));
  const f32x16 em = expm1_negative(mul(a, set1(-2.0f)));
  return copysign(div(em, add(em, set1(2.0f))), x);
}

FP_INLINE f32x16 sigmoid(f32x16 x) {
  const f32x16 y = min(set1(110.0f), max(set1(-30.0f), neg(x)));
  const f32x16 t = fma(y, set1(kLog2E), set1(kRound + 63.0f));
  const f32x16 n = sub(t, set1(kRound + 63.0f));
  const f32x16 p = exp_reduced(reduce_ln2(y, n));
  const f32x16 scale = set1(5.42101086e-20f);  // 2^-64
  return div(scale, fma(p, power_of_two(t), scale));
}

FP_INLINE f32x16 relu_or_nan(f32x16 x) { return sub(x, min(x, zero())); }

FP_INLINE f32x16 silu(f32x16 x) {
  const f32x16 a = min(abs(x), set1(110.0f));
  const f32x16 t = fma(a, set1(kLog2E), set1(kRound + 87.0f));
  const f32x16 n = sub(t, set1(kRound + 87.0f));
  const f32x16 p = exp_reduced(reduce_ln2(a, n));
  const f32x16 scale = set1(9.09494702e-13f);  // 2^-40
  const f32x16 w = div(a, fma(p, power_of_two(t), scale));
  return fnma(w, scale, relu_or_nan(x));
}

// 2^r ~ 1 + r q(r), |r| <= 1/2
constexpr float kExp2Short[] = {0.693147004f, 0.240222245f, 0.0555065088f, 0.00967265479f,
                                0.00133037067f};

FP_INLINE f32x16 gelu_tanh(f32x16 x) {
  const f32x16 a = min(abs(x), set1(11.0f));
  const f32x16 u = mul(a, fma(mul(a, a), set1(0.102943240f), set1(2.30220819f)));
  const f32x16 t = add(u, set1(kRound + 87.0f));
  const f32x16 r = sub(u, sub(t, set1(kRound + 87.0f)));
  const f32x16 p = fma(horner(kExp2Short, r), r, set1(1.0f));
  const f32x16 scale = set1(9.09494702e-13f);  // 2^-40
  const f32x16 w = div(a, fma(p, power_of_two(t), scale));
  return fnma(w, scale, relu_or_nan(x));
}

// Phi(-a) e^(a^2/2) ~ P(a) / Q(a)
#ifdef ALT_M44
constexpr float kMillsP[] = {0.49999997f, 0.330034345f, 0.102439359f, 0.0132287629f, 3.6713945e-07f};
constexpr float kMillsQ[] = {1.0f, 1.45794976f, 0.868187249f, 0.256034702f, 0.0332000516f};
#else
constexpr float kMillsP[] = {0.5f, 0.424019724f, 0.172721624f, 0.0371058807f, 0.0035968048f};
constexpr float kMillsQ[] = {1.0f, 1.64592409f, 1.15869927f, 0.441727191f, 0.0930223241f, 0.00901560485f};
#endif
// e^(-R/2) ~ 1 - R/2 + R^2 q(R)
constexpr float kExpHalf[] = {0.49999997f/4, -0.16666539f/8, 0.0416677557f/16, -0.00836712401f/32,
                              0.0013835642f/64};

FP_INLINE f32x16 gelu(f32x16 x) {
  const f32x16 a = min(abs(x), set1(14.5f));
  const f32x16 t = fma(mul(a, a), set1(-0.5f * kLog2E), set1(kRound + 64.0f));
  const f32x16 n = sub(t, set1(kRound + 64.0f));
  // R = a^2 + 2 n ln 2
  f32x16 r = fma(a, a, mul(n, set1(1.38629150390625f)));  // 16 bits of ln 2
  r = fma(n, set1(2*1.42860677e-06f), r);
  f32x16 p = fma(fma(horner(kExpHalf, r), r, set1(-0.5f)), r, set1(1.0f));
  p = bits_add(p, power_of_two(t));
  const f32x16 w = div(mul(mul(a, horner(kMillsP, a)), p), horner(kMillsQ, a));
  return fnma(w, set1(5.42101086e-20f), relu_or_nan(x));
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
