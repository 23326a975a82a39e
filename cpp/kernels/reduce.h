// Sum, mean and variance of rows of n contiguous floats, by the row sum of norm.h.
#pragma once

#include "norm.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

// sum; sum / divisor; sum of (x - sum / n)^2 by fma / divisor: each step rounded on its own.
void reduce_rows(const float* x, int64_t rows, int64_t n, Reduction what, float divisor, float* y) {
  for (int64_t r = 0; r < rows; ++r, x += n) {
    RowSum total;
    for_row(n, [&](int v, int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
      total.acc[v] = add(total.acc[v], load_lanes(x + i, lanes));
    });
    float result[16];
    f32x16 value = set1(total.total());
    if (what == Reduction::var) {
      RowSum squares;
      const f32x16 mean = div(value, set1(static_cast<float>(n)));
      for_row(n, [&](int v, int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
        f32x16 d = sub(load_lanes(x + i, lanes), mean);
        if (lanes < 16) d = keep_n(d, lanes);  // lanes past the row add nothing
        squares.acc[v] = fma(d, d, squares.acc[v]);
      });
      value = set1(squares.total());
    }
    if (what != Reduction::sum) value = div(value, set1(divisor));
    store(result, value);
    y[r] = result[0];
  }
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
