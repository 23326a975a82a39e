// The end of a linear or conv1d: activation and residual on a finished piece of the output, which
// is still in L1. The bias was added when the register tile was stored.
#pragma once

#include "../kernels.h"
#include "../simd/f32x16.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

FP_INLINE int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
FP_INLINE int64_t round16(int64_t n) { return (n + 15) / 16 * 16; }

// y[i] = f(y[i]) + residual[i] for n contiguous floats.
FP_INLINE void finish(const Epilogue& e, float* y, const float* residual, int64_t n) {
  if (e.activation) e.activation(y, y, n, e.param);
  if (!residual) return;
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store(y + i, add(load(y + i), load(residual + i)));
  if (i < n) store_n(y + i, add(load_n(y + i, n - i), load_n(residual + i, n - i)), n - i);
}

// The same for rows of a matrix whose rows are ld floats apart; `offset` locates y in the output.
FP_INLINE void finish_rows(const Epilogue& e, float* y, int64_t offset, int64_t rows, int64_t cols,
                           int64_t ld) {
  if (!e.activation && !e.residual) return;
  if (cols == ld) {
    cols *= rows;
    rows = 1;
  }
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t at = offset + r * ld;
    finish(e, y + at, e.residual ? e.residual + at : nullptr, cols);
  }
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
