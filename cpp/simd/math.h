// Elementary functions on f32x16, written once over the contract in f32x16.h: correctly rounded
// operations, explicit fma and bit operations only, so every instruction set gives the same bits.
// No branches, no tables, no libm. tools/derive_polynomials.py derives the constants.
//
// "Error" is the measured maximum over all 2^32 float32 inputs against a float64 reference, in
// ULP of the result (the spacing of floats in the binade of the exact value, at least 2^-149).
// NaN gives NaN; infinities and signed zeros follow torch (where torch's gelu, silu give NaN for
// -inf, so do these).
#pragma once

#include <math.h>  // INFINITY, NAN
#include <stdint.h>

#include "f32x16.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

// ---- Polynomials ---------------------------------------------------------------------------

// c[0] + c[1] x + c[2] x^2 + ...
template <int N>
FP_INLINE f32x16 horner(const float (&c)[N], f32x16 x) {
  f32x16 sum = set1(c[N - 1]);
  FP_UNROLL
  for (int i = N - 2; i >= 0; --i) sum = fma(sum, x, set1(c[i]));
  return sum;
}

// c[0] + c[1] x + ... + x^N: the first step is an addition, which has a pipe of its own.
template <int N>
FP_INLINE f32x16 horner_monic(const float (&c)[N], f32x16 x) {
  f32x16 sum = add(x, set1(c[N - 1]));
  FP_UNROLL
  for (int i = N - 2; i >= 0; --i) sum = fma(sum, x, set1(c[i]));
  return sum;
}

// ---- Powers of two -------------------------------------------------------------------------

// t = x + kRound + bias, in one rounding, holds the whole number n nearest to x, plus bias, in
// its low bits; n = t - (kRound + bias) is exact.
constexpr float kRound = 12582912.0f;  // 1.5 * 2^23

// n + bias shifted to the exponent's place, modulo 2^32. With bias = 127 + k these are the bits
// of the float 2^(n + k), for n + k in [-126, 127]; added to the bits of a positive normal float
// n + bias multiplies it by 2^(n + bias). The k moves a factor that would be subnormal or
// infinite into range; the function takes it out again in its last, rounding, operation.
FP_INLINE f32x16 exponent_bits(f32x16 t) { return bits_sll<23>(t); }

// ---- exp, expm1 ----------------------------------------------------------------------------

constexpr float kLog2E = 1.44269502f;
constexpr float kLn2High = 0.693147182f;  // the float nearest to ln 2
constexpr float kLn2Low = -1.90465421e-09f;
// e^r ~ 1 + r + r^2 q(r), |r| <= ln(2)/2; relative error 2^-26 of e^r - 1
constexpr float kExpTail[] = {0.49999997f, 0.16666539f, 0.0416677557f, 0.00836712215f,
                              0.00138357072f};
// e^r ~ 1 + r q(r); relative error 2^-23.4 of e^r
constexpr float kExpShort[] = {0.999999702f, 0.499991477f, 0.166676596f, 0.0418981798f,
                               0.00828841515f};

// x - n ln 2 (Cody and Waite, in two constants: each step one rounding).
FP_INLINE f32x16 reduce_ln2(f32x16 x, f32x16 n) {
  return fnma(n, set1(kLn2Low), fnma(n, set1(kLn2High), x));
}

FP_INLINE f32x16 exp_reduced(f32x16 r) {
  const f32x16 q = fma(horner(kExpTail, r), r, set1(1.0f));
#if defined(FP_BREAK_FMA)  // CMake's FORWARDPASS_BREAK_FMA: what a compiler's slip would look like
  return add(mul(q, r), set1(1.0f));
#else
  return fma(q, r, set1(1.0f));
#endif
}

// e^x = 2^n e^r. Error 0.92 ULP (at x = 59.3).
// exp(-inf) = +0, exp(inf) = inf; subnormal results are rounded once. The order in max keeps NaN
// in r while min makes n a number, as scale2 wants; for x > 89 the polynomial, all of whose
// coefficients are positive, only grows, up to inf.
FP_INLINE f32x16 exp(f32x16 x) {
  const f32x16 y = max(set1(-104.0f), x);
  f32x16 n = sub(fma(y, set1(kLog2E), set1(kRound)), set1(kRound));
  n = min(n, set1(129.0f));
  return scale2(exp_reduced(reduce_ln2(y, n)), n);
}

// e^x - 1 = 2 (2^(n-1) (e^r - 1) + 2^(n-1) - 1/2), added so that only the last two roundings
// count. Error 1.29 ULP (at x = 59.3).
// expm1(-0) = -0, expm1(-inf) = -1, expm1(inf) = inf.
FP_INLINE f32x16 expm1(f32x16 x) {
  const f32x16 y = min(set1(89.0f), max(set1(-20.0f), x));
  const f32x16 bias = set1(kRound + 126.0f);
  const f32x16 t = fma(y, set1(kLog2E), bias);
  const f32x16 r = reduce_ln2(y, sub(t, bias));
  const f32x16 half = exponent_bits(t);  // 2^(n-1)
  const f32x16 head = fma(half, r, sub(half, set1(0.5f)));
  const f32x16 v = fma(horner(kExpTail, r), mul(mul(r, r), half), head);
  return select(lt(abs(x), set1(1e-10f)), x, add(v, v));
}

// ---- log, log1p ----------------------------------------------------------------------------

// ln(1 + f) ~ f - f^2/2 + f^3 q(f), sqrt(1/2) <= 1 + f <= sqrt(2); relative error 2^-27.3
constexpr float kLogTail[] = {0.333333313f, -0.250008225f, 0.200012431f, -0.166233212f,
                              0.142016307f, -0.131605878f, 0.12761429f,  -0.0763197914f};
constexpr int32_t kSqrtHalfBits = 0x3f3504f3;

// ln(1 + f) + e ln 2
FP_INLINE f32x16 log_reduced(f32x16 f, f32x16 e) {
  const f32x16 q = fma(horner(kLogTail, f), f, set1(-0.5f));
  const f32x16 tail = fma(e, set1(kLn2Low), mul(mul(f, f), q));
  return fma(e, set1(kLn2High), add(f, tail));
}

// ln x, x = 2^e (1 + f). Error 0.93 ULP (at x = 0.7064).
// log(+-0) = -inf, log(x < 0) = NaN, log(inf) = inf; subnormals are first scaled by 2^24.
FP_INLINE f32x16 log(f32x16 x) {
  const mask16 tiny = lt(x, set1(0x1p-126f));
  const f32x16 scaled = select(tiny, mul(x, set1(0x1p24f)), x);
  const f32x16 i = bits_sub(scaled, kSqrtHalfBits);
  const f32x16 m = bits_sub(bits_and(i, 0x007fffffu), -kSqrtHalfBits);
  const f32x16 e = add(int_to_float(bits_sra<23>(i)), select(tiny, set1(-24.0f), zero()));
  f32x16 y = log_reduced(sub(m, set1(1.0f)), e);
  y = select(lt(x, set1(INFINITY)), y, x);
  return select(gt(x, zero()), y, select(eq(x, zero()), set1(-INFINITY), set1(NAN)));
}

// ln(1 + x): e is taken from 1 + x as rounded, and f = x 2^-e + (2^-e - 1) from x itself, so the
// rounding of 1 + x does no harm. Error 1.53 ULP (at x = 0.442).
// log1p(-0) = -0, log1p(-1) = -inf, log1p(x < -1) = NaN, log1p(inf) = inf.
FP_INLINE f32x16 log1p(f32x16 x) {
  const f32x16 i = bits_sub(add(x, set1(1.0f)), kSqrtHalfBits);
  const f32x16 e = int_to_float(bits_sra<23>(i));
  const f32x16 s = exponent_bits(sub(set1(kRound + 129.0f), e));  // 4 * 2^-e: never subnormal
  const f32x16 quarter = set1(0.25f);
  const f32x16 f = fma(mul(x, s), quarter, fma(s, quarter, set1(-1.0f)));
  f32x16 y = log_reduced(f, e);
  y = select(lt(abs(x), set1(1e-10f)), x, y);
  y = select(lt(x, set1(INFINITY)), y, x);
  return select(gt(x, set1(-1.0f)), y, select(eq(x, set1(-1.0f)), set1(-INFINITY), set1(NAN)));
}

// ---- tanh, erf -----------------------------------------------------------------------------

// e^y = s (1 + k) with s = 2^n, k = e^r - 1, for -80 <= y <= 0. For 1 - e^y and 1 + e^y, where
// n is small or e^y negligible, one constant for ln 2 is enough. NaN stays in k.
struct Exp1 {
  f32x16 k, s;
};
FP_INLINE Exp1 exp_minus_one_parts(f32x16 y) {
  const f32x16 bias = set1(kRound + 127.0f);
  const f32x16 t = fma(y, set1(kLog2E), bias);
  const f32x16 r = fnma(sub(t, bias), set1(kLn2High), y);
  return {fma(horner(kExpTail, r), mul(r, r), r), exponent_bits(t)};
}

// (1 - e^(-2|x|)) / (1 + e^(-2|x|)), with x's sign; the numerator never exceeds the denominator.
// Error 1.91 ULP (at |x| = 0.511).
FP_INLINE f32x16 tanh(f32x16 x) {
  const f32x16 a = min(set1(10.0f), abs(x));
  const Exp1 e = exp_minus_one_parts(mul(a, set1(-2.0f)));
  const f32x16 one = set1(1.0f);
  const f32x16 y = div(fma(e.k, e.s, sub(e.s, one)), fma(e.k, e.s, add(e.s, one)));
  return copysign(y, x);
}

// ln(erfc(a)) ~ a (kErfHead + g(a)), 0 <= a <= 4; relative error 2^-27.9 of erf
constexpr float kErfHead = -1.12837923f;  // the float nearest to -2/sqrt(pi)
constexpr float kErfTail[] = {5.41198482e-08f, -0.636619389f,    -0.102777757f,
                              0.0191527884f,   0.000160894255f,  -0.00166751095f,
                              0.000633093179f, -0.000117710915f, 9.26382199e-06f};

// 1 - e^(ln(erfc|x|)), with x's sign: one smooth exponent from 0 to saturation, so neither two
// pieces nor a division. Error 1.80 ULP (at |x| = 0.225).
FP_INLINE f32x16 erf(f32x16 x) {
  const f32x16 a = min(set1(4.0f), abs(x));
  const f32x16 y = fma(a, set1(kErfHead), mul(a, horner(kErfTail, a)));
  const Exp1 e = exp_minus_one_parts(y);
  return copysign(fma(e.k, e.s, sub(e.s, set1(1.0f))), x);
}

// ---- sigmoid, silu, gelu -------------------------------------------------------------------

// 1 / (1 + e^-x), as 2^-64 / (2^-64 + 2^-64 e^-x): in range for every x, and a subnormal result
// is rounded once, by the division. Error 2.49 ULP (at x = -16.6).
FP_INLINE f32x16 sigmoid(f32x16 x) {
  const f32x16 y = min(set1(110.0f), max(set1(-30.0f), neg(x)));
  const f32x16 bias = set1(kRound + 127.0f - 64.0f);
  const f32x16 t = fma(y, set1(kLog2E), bias);
  const f32x16 p = exp_reduced(reduce_ln2(y, sub(t, bias)));
  const f32x16 scale = set1(0x1p-64f);
  return div(scale, fma(p, exponent_bits(t), scale));
}

// x s(x) = max(x, 0) - |x| s(-|x|) for a sigmoid s, so silu and both gelus end in one fnma from
// this term: max(x, 0), but NaN for -inf as in torch; -0 stays -0.
FP_INLINE f32x16 positive_part(f32x16 x) { return sub(x, min(x, zero())); }

// x / (1 + e^-x), as max(x, 0) - |x| / (1 + e^|x|) with 2^-40 in the denominator against overflow.
// |x| stops at 110, where the second term has long vanished.
// Error 2.76 ULP for x >= -1, 3.57 below (at x = -16.8).
FP_INLINE f32x16 silu(f32x16 x) {
  const f32x16 a = min(abs(x), set1(110.0f));
  const f32x16 bias = set1(kRound + 127.0f - 40.0f);
  const f32x16 t = fma(a, set1(kLog2E), bias);
  const f32x16 r = reduce_ln2(a, sub(t, bias));
  const f32x16 p = fma(horner(kExpShort, r), r, set1(1.0f));
  const f32x16 scale = set1(0x1p-40f);
  return fnma(div(a, fma(p, exponent_bits(t), scale)), scale, positive_part(x));
}

// 2^r ~ 1 + r q(r), |r| <= 1/2; relative error 2^-23.3
constexpr float kExp2Short[] = {0.693147004f, 0.240222245f, 0.0555065088f, 0.00967260543f,
                                0.00133026706f};

// 2^x = 2^n 2^r for x <= 0, with half the work of exp: what a softmax is made of. Error 2.00 ULP (at
// x = -0.2391); relative 2.67 2^-24 until the result is subnormal. 2^-inf = +0, as is all from -150
// down; subnormal results are rounded once; the order in max keeps NaN. One sum is an fma, since
// additions, maximum and scale2 share pipes.
FP_INLINE f32x16 exp2_negative(f32x16 x) {
  const f32x16 one = set1(1.0f), round = set1(kRound);
  const f32x16 y = max(set1(-150.0f), x);
  const f32x16 n = sub(fma(y, one, round), round);
  const f32x16 r = sub(y, n);  // exact
  return scale2(fma(horner(kExp2Short, r), r, one), n);
}

constexpr float kGeluTanhLinear = 2.30220819f;  // 2 sqrt(2/pi) log2(e)
constexpr float kGeluTanhCubic = 0.102943242f;  // 0.044715 times that

// x/2 (1 + tanh u), u = sqrt(2/pi) (x + 0.044715 x^3), as max(x, 0) - |x| / (1 + 2^v) with
// v = |2 u| log2(e); 2^-40 as in silu. Error 2.43 ULP for x >= 0, 3.28 for x >= -1; below, where
// a rounding of v is magnified v times, relative 0.65 * 2^-22 (1 + |2 u|), at most 1.3e-5, until
// the result is subnormal (x < -10.06).
FP_INLINE f32x16 gelu_tanh(f32x16 x) {
  const f32x16 a = min(abs(x), set1(11.0f));
  const f32x16 v = mul(a, fma(mul(a, a), set1(kGeluTanhCubic), set1(kGeluTanhLinear)));
  const f32x16 bias = set1(kRound + 127.0f - 40.0f);
  const f32x16 t = add(v, bias);
  const f32x16 r = sub(v, sub(t, bias));  // exact
  const f32x16 p = fma(horner(kExp2Short, r), r, set1(1.0f));
  const f32x16 scale = set1(0x1p-40f);
  return fnma(div(a, fma(p, exponent_bits(t), scale)), scale, positive_part(x));
}

// e^(-a^2/2) / Phi(-a) ~ kSqrt2Pi a + P(a) / Q(a), Q monic, a >= 0; relative error 2^-25.7 up to
// a = 5, 2^-20.7 up to 14.5. The fraction tends to 0, and with it the effect of its roundings.
constexpr float kSqrt2Pi = 2.50662827f;
constexpr float kPhiP[] = {198.709351f, 93.3607254f, 23.4480324f, 2.50163794f};
constexpr float kPhiQ[] = {99.3546753f, 91.9293442f, 40.0184708f, 9.29530334f};
// 2 ln 2 in 16 bits, so that n times it is exact, and the rest
constexpr float kTwoLn2Head = 1.3862915f;
constexpr float kTwoLn2Rest = 2.85721353e-06f;
// e^(-r/2) ~ 1 - r/2 + r^2 q(r): kExpTail, exactly rescaled
constexpr float kExpHalfTail[] = {kExpTail[0] / 4, -kExpTail[1] / 8, kExpTail[2] / 16,
                                  -kExpTail[3] / 32, kExpTail[4] / 64};

// x Phi(x) = x/2 (1 + erf(x/sqrt 2)), as max(x, 0) - a Phi(-a), a = |x| up to 14.5, where the
// second term has vanished. a Phi(-a) = a e^(-r/2) / (2^n S(a)), S the approximation above and
// r = a^2 - 2 n ln 2, where a^2 is not rounded; 2^n enters through S's exponent, with 2^-64
// against overflow. Error 3.47 ULP for x >= 0, 3.86 for x >= -5, below 8.6 (relative 5.8e-7) until
// the result is subnormal (x < -13.1).
FP_INLINE f32x16 gelu(f32x16 x) {
  const f32x16 a = min(abs(x), set1(14.5f));
  const f32x16 bias = set1(kRound - 64.0f);
  const f32x16 t = fma(mul(a, a), set1(0.5f * kLog2E), bias);
  const f32x16 n = sub(t, bias);
  const f32x16 r = fnma(n, set1(kTwoLn2Rest), fma(a, a, mul(n, set1(-kTwoLn2Head))));
  const f32x16 e = mul(fma(horner(kExpHalfTail, r), r, set1(-0.5f)), r);  // e^(-r/2) - 1
  const f32x16 fraction = div(horner(kPhiP, a), horner_monic(kPhiQ, a));
  const f32x16 s = bits_add(fma(a, set1(kSqrt2Pi), fraction), exponent_bits(t));
  return fnma(div(fma(e, a, a), s), set1(0x1p-64f), positive_part(x));
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
