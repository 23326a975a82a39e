// sin, cos and pow in double, for the tables of rotary embeddings: scalar, in + - * / alone, so the
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

// x = n pi/2 + r, |r| <= pi/4 (Cody and Waite), and Taylor's series up to r^19 and r^18, the next
// terms 2^-67. 0 <= x <= 2^31.
inline SinCos sin_cos_of(double x) {
  const double n = floor(x * 0.63661977236758138 + 0.5);
  double r = x;
  for (const double part : kHalfPi) r -= n * part;
  const double z = r * r;
  double s = 1, c = 1;
  for (int i = 18; i >= 2; i -= 2) {
    s = 1 - s * z / (i * (i + 1));
    c = 1 - c * z / (i * (i - 1));
  }
  s *= r;
  switch (static_cast<int64_t>(n) % 4) {
    case 0: return {s, c};
    case 1: return {c, -s};
    case 2: return {-s, -c};
    default: return {-c, s};
  }
}

}  // namespace forwardpass
