// Rows divided by their p-norm. Sums of powers in the order of norm.h.
#pragma once

#include "norm.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

FP_INLINE float first_lane(f32x16 v) {
  float lanes[16];
  store(lanes, v);
  return lanes[0];
}

// The sum over the row of f(|x|).
template <class F>
FP_INLINE float sum_of(const float* x, int64_t n, F f) {
  RowSum sum;
  for_row(n, [&](int v, int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
    f32x16 a = f(abs(load_lanes(x + i, lanes)));
    if (lanes < 16) a = keep_n(a, lanes);
    sum.acc[v] = add(sum.acc[v], a);
  });
  return sum.total();
}

// The largest |x|, or for p = -inf the smallest, as -max(-|x|); NaN wins.
FP_INLINE float extreme(const float* x, int64_t n, bool largest) {
  f32x16 most = set1(largest ? 0.0f : -INFINITY);
  const f32x16 rest = set1(largest ? 0.0f : INFINITY);
  for (int64_t i = 0; i < n; i += 16) {
    const int64_t lanes = n - i < 16 ? n - i : 16;
    f32x16 a = abs(load_or(x + i, lanes, rest));
    if (!largest) a = neg(a);
    most = select(is_nan(a), a, max(a, most));
  }
  float lanes[16];
  store(lanes, most);
  float m = lanes[0];
  for (int i = 1; i < 16; ++i) m = lanes[i] > m || lanes[i] != lanes[i] ? lanes[i] : m;
  return largest ? m : -m;
}

// (sum |x|^p)^(1/p); p = 0 counts what is not 0. |x|^p = e^(p ln|x|) where p is none of 1, 2.
FP_INLINE float row_norm(const float* x, int64_t n, float p) {
  if (p == 2.0f) {
    RowSum squares;
    for_row(n, [&](int v, int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
      const f32x16 a = load_lanes(x + i, lanes);
      squares.acc[v] = fma(a, a, squares.acc[v]);
    });
    return first_lane(sqrt(set1(squares.total())));
  }
  if (p == 1.0f) return sum_of(x, n, [](f32x16 a) FP_INLINE_LAMBDA { return a; });
  if (p == 0.0f) {
    return sum_of(
        x, n, [](f32x16 a) FP_INLINE_LAMBDA { return select(eq(a, zero()), zero(), set1(1.0f)); });
  }
  if (p == INFINITY || p == -INFINITY) return extreme(x, n, p > 0);
  const f32x16 power = set1(p);
  const float sum =
      sum_of(x, n, [power](f32x16 a) FP_INLINE_LAMBDA { return exp(mul(power, log(a))); });
  return first_lane(exp(div(log(set1(sum)), power)));
}

void normalize_rows(const float* x, float p, float eps, int64_t rows, int64_t n, float* y) {
  for (int64_t r = 0; r < rows; ++r, x += n, y += n) {
    const float norm = row_norm(x, n, p);
    const f32x16 divisor = set1(norm < eps ? eps : norm);
    for_row(n, [&](int, int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
      store_lanes(y + i, div(load_lanes(x + i, lanes), divisor), lanes);
    });
  }
}

void renorm_rows(const float* x, float p, float most, int64_t rows, int64_t n, float* y) {
  for (int64_t r = 0; r < rows; ++r, x += n, y += n) {
    const float norm = row_norm(x, n, p);
    const f32x16 scale = norm > most ? div(set1(most), add(set1(norm), set1(1e-7f))) : set1(1.0f);
    for_row(n, [&](int, int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
      store_lanes(y + i, mul(load_lanes(x + i, lanes), scale), lanes);
    });
  }
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
