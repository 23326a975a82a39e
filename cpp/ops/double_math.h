// sin, cos and pow in double, for rotary embeddings and graphs: scalar, in + - * / alone, so the
// same bits everywhere (libm's differ from system to system). Each to about 2^-50 of its result,
// which is then rounded to float32.
#pragma once

#include <math.h>  // frexp, ldexp, floor: exact
#include <stdint.h>

namespace forwardpass {

// ln 2 = kLn2High + kLn2Low, the first in 32 bits: n times it is exact for |n| < 2^21.
constexpr double kLn2High = 0x1.62e42feep-1, kLn2Low = 0x1.a39ef35793c76p-33;

// ln x = e ln 2 + 2 artanh(s), x = m 2^e, sqrt(1/2) <= m <= sqrt(2), s = (m - 1) / (m + 1), |s| < 0.172;
// artanh's series up to s^21, the next term 2^-63 of it. x > 0, finite.
inline double log_of(double x) {
  int e = 0;
  double m = frexp(x, &e);  // [1/2, 1)
  if (m < 0.70710678118654752) {
    m *= 2;
    e -= 1;
  }
  const double s = (m - 1) / (m + 1), z = s * s;
  double sum = 0;
  for (int i = 21; i >= 3; i -= 2) sum = (sum + 1.0 / i) * z;
  return e * kLn2High + (e * kLn2Low + 2 * (s + s * sum));
}

// e^x = 2^n e^r, |r| <= ln(2)/2, Taylor's series up to r^14, the next term 2^-62. |x| < 700.
inline double exp_of(double x) {
  const double n = floor(x * 1.4426950408889634 + 0.5);
  const double r = (x - n * kLn2High) - n * kLn2Low;
  double sum = 1;
  for (int i = 14; i >= 1; --i) sum = 1 + sum * r / i;
  return ldexp(sum, static_cast<int>(n));
}

// pi/2 in three parts of at most 22 bits, n times which is exact for n <= 2^31, and the rest.
constexpr double kHalfPi[] = {0x1.921fbp+0, 0x1.5110bp-22, 0x1.184698p-44, 0x1.3198a2e037073p-69};

struct SinCos {
  double sin, cos;
};

// Of n pi/2 + r, n = `quarter`: Taylor's series up to r^19 and r^18, the next terms 2^-67.
inline SinCos sin_cos_of_rest(double r, int64_t quarter) {
  const double z = r * r;
  double s = 1, c = 1;
  for (int i = 18; i >= 2; i -= 2) {
    s = 1 - s * z / (i * (i + 1));
    c = 1 - c * z / (i * (i - 1));
  }
  s *= r;
  switch (quarter % 4) {
    case 0: return {s, c};
    case 1: return {c, -s};
    case 2: return {-s, -c};
    default: return {-c, s};
  }
}

// x = n pi/2 + r, |r| <= pi/4 (Cody and Waite). 0 <= x <= 2^31.
inline SinCos sin_cos_of(double x) {
  const double n = floor(x * 0.63661977236758138 + 0.5);
  double r = x;
  for (const double part : kHalfPi) r -= n * part;
  return sin_cos_of_rest(r, static_cast<int64_t>(n));
}

// 2/pi in words of 32 bits behind the point.
constexpr uint32_t kTwoOverPi[] = {0xa2f9836e, 0x4e441529, 0xfc2757d1, 0xf534ddc0,
                                   0xdb629599, 0x3c439041, 0xfe5163ab, 0xdebbc561};

// The same for every float x >= 0; NaN for infinity and NaN. Beyond 2^31, x = m 2^e with m of 24
// bits: what the bits of 2/pi in front of 2^(1-e) add to x 2/pi is a multiple of 4. The 96 bits
// from there on, times m, modulo 2^96, give n mod 4 in two bits and the fraction to 2^-60
// (Payne and Hanek).
inline SinCos sin_cos_any(double x) {
  if (x <= 2147483648.0) return sin_cos_of(x);
  int e = 0;
  const double m = frexp(x, &e);
  if (!(m < 1)) return {NAN, NAN};
  const auto whole = static_cast<uint64_t>(ldexp(m, 24));
  const int at = e - 24 - 2;  // bits of 2/pi to leave out
  const auto window = [at](int word) {
    const int first = at + 32 * word, shift = first % 32;
    const uint64_t two = uint64_t{kTwoOverPi[first / 32]} << 32 | kTwoOverPi[first / 32 + 1];
    return two << shift >> 32;
  };
  const uint64_t product =
      (whole * window(0) << 32) + whole * window(1) + (whole * window(2) >> 32);
  const uint64_t n = (product + (uint64_t{1} << 61)) >> 62;
  const auto fraction = static_cast<int64_t>(product - (n << 62));
  return sin_cos_of_rest(static_cast<double>(fraction) * 0x1.921fb54442d18p-62,
                         static_cast<int64_t>(n));
}

}  // namespace forwardpass
