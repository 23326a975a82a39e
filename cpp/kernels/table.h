// Rows of a table joined to one, in the order of their indices; and two rows blended.
#pragma once

#include "../kernels.h"
#include "../simd/f32x16.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

// 16 columns: a chain from +0 of additions, or of fma with the factors; the largest by
// compare-and-select from the first row on, as in torch (a NaN later than that is not larger). No
// row gives +0.
FP_INLINE f32x16 bag_of_columns(const float* table, int64_t width, const int64_t* index,
                                int64_t count, const float* factors, Bag mode, int64_t lanes) {
  if (count == 0) return zero();
  f32x16 acc = mode == Bag::max ? load_n(table + index[0] * width, lanes) : zero();
  for (int64_t i = mode == Bag::max ? 1 : 0; i < count; ++i) {
    const f32x16 row = load_n(table + index[i] * width, lanes);
    if (mode == Bag::max) {
      acc = max(row, acc);
    } else {
      acc = factors ? fma(row, set1(factors[i]), acc) : add(acc, row);
    }
  }
  return mode == Bag::mean ? div(acc, set1(static_cast<float>(count))) : acc;
}

void bag_of_rows(const float* table, int64_t width, const int64_t* index, int64_t count,
                 const float* factors, Bag mode, float* y) {
  for (int64_t c = 0; c < width; c += 16) {
    const int64_t left = width - c, lanes = left < 16 ? left : 16;
    store_n(y + c, bag_of_columns(table + c, width, index, count, factors, mode, lanes), lanes);
  }
}

void blend_rows(const float* a, const float* b, float p, float q, int64_t n, float* y) {
  const f32x16 u = set1(p), v = set1(q);
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store(y + i, add(mul(u, load(a + i)), mul(v, load(b + i))));
  if (i < n) {
    store_n(y + i, add(mul(u, load_n(a + i, n - i)), mul(v, load_n(b + i, n - i))), n - i);
  }
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
