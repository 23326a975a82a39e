// rms_norm, layer_norm, softmax on rows of n contiguous floats.
//
// Order of additions (docs/numerics.md): a row sum is 64 partial sums, partial i taking the
// elements with index mod 64 == i in rising order from +0 (vector v of a 64-block goes to acc[v]),
// joined as (acc0 + acc1) + (acc2 + acc3), then lanes i + (i + 8), + 4, + 2, + 1. Every other step
// is rounded on its own, in the order written.
#pragma once

#include <math.h>

#include "../kernels.h"
#include "../simd/math.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

// Calls step(v, i, lanes) for the vectors of a row: v = which of the four partials, i = index of
// the first element, lanes = 16 but in the last vector.
template <class Step>
FP_INLINE void for_row(int64_t n, Step step) {
  int64_t i = 0;
  if constexpr (kNativeLanes == 1) {  // one copy of a step: a vector alone is long enough
    for (; i < n; i += 16) step(static_cast<int>(i / 16 % 4), i, n - i < 16 ? n - i : int64_t{16});
    return;
  }
  for (; i + 64 <= n; i += 64) {
    FP_UNROLL
    for (int v = 0; v < 4; ++v) step(v, i + 16 * v, int64_t{16});
  }
  FP_UNROLL
  for (int v = 0; v < 4; ++v) {
    const int64_t left = n - i - 16 * v;
    if (left > 0) step(v, i + 16 * v, left < 16 ? left : int64_t{16});
  }
}

FP_INLINE f32x16 load_lanes(const float* p, int64_t lanes) {
  return lanes == 16 ? load(p) : load_n(p, lanes);
}
FP_INLINE void store_lanes(float* p, f32x16 v, int64_t lanes, bool past = false) {
  if (past) {
    store_past(p, v);
  } else if (lanes == 16) {
    store(p, v);
  } else {
    store_n(p, v, lanes);
  }
}

struct RowSum {
  f32x16 acc[4] = {zero(), zero(), zero(), zero()};
  FP_INLINE float total() const {
    return reduce_add(add(add(acc[0], acc[1]), add(acc[2], acc[3])));
  }
};

// 1 / sqrt(a / n + eps), each operation rounded.
FP_INLINE float reciprocal_root(float a, int64_t n, float eps) {
  const f32x16 v = add(div(set1(a), set1(static_cast<float>(n))), set1(eps));
  float lanes[16];
  store(lanes, div(set1(1.0f), sqrt(v)));
  return lanes[0];
}

void rms_norm_rows(const float* x, const float* residual, const float* weight, float eps,
                   int64_t rows, int64_t n, float* y, float* sum, bool past) {
  for (int64_t r = 0; r < rows; ++r, x += n, y += n) {
    RowSum squares;
    const float* z = x;
    if (residual) {
      for_row(n, [&](int v, int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
        const f32x16 a = add(load_lanes(x + i, lanes), load_lanes(residual + i, lanes));
        store_lanes(sum + i, a, lanes);
        squares.acc[v] = fma(a, a, squares.acc[v]);
      });
      z = sum;
      residual += n;
      sum += n;
    } else {
      for_row(n, [&](int v, int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
        const f32x16 a = load_lanes(x + i, lanes);
        squares.acc[v] = fma(a, a, squares.acc[v]);
      });
    }
    const f32x16 scale = set1(reciprocal_root(squares.total(), n, eps));
    for_row(n, [&](int, int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
      f32x16 a = mul(load_lanes(z + i, lanes), scale);
      if (weight) a = mul(a, load_lanes(weight + i, lanes));
      store_lanes(y + i, a, lanes, past);
    });
  }
  if (past) end_past();
}

void layer_norm_rows(const float* x, const float* residual, const float* weight, const float* bias,
                     float eps, int64_t rows, int64_t n, float* y, float* sum, bool past) {
  for (int64_t r = 0; r < rows; ++r, x += n, y += n) {
    RowSum total, squares;
    const float* z = x;
    if (residual) {
      for_row(n, [&](int v, int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
        const f32x16 a = add(load_lanes(x + i, lanes), load_lanes(residual + i, lanes));
        store_lanes(sum + i, a, lanes);
        total.acc[v] = add(total.acc[v], a);
      });
      z = sum;
      residual += n;
      sum += n;
    } else {
      for_row(n, [&](int v, int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
        total.acc[v] = add(total.acc[v], load_lanes(x + i, lanes));
      });
    }
    const f32x16 mean = div(set1(total.total()), set1(static_cast<float>(n)));
    for_row(n, [&](int v, int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
      f32x16 d = sub(load_lanes(z + i, lanes), mean);
      if (lanes < 16) d = keep_n(d, lanes);  // lanes past the row add nothing
      squares.acc[v] = fma(d, d, squares.acc[v]);
    });
    const f32x16 scale = set1(reciprocal_root(squares.total(), n, eps));
    for_row(n, [&](int, int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
      f32x16 a = mul(sub(load_lanes(z + i, lanes), mean), scale);
      if (weight && bias) {
        a = fma(a, load_lanes(weight + i, lanes), load_lanes(bias + i, lanes));
      } else if (weight) {
        a = mul(a, load_lanes(weight + i, lanes));
      } else if (bias) {
        a = add(a, load_lanes(bias + i, lanes));
      }
      store_lanes(y + i, a, lanes, past);
    });
  }
  if (past) end_past();
}

// The largest element, NaN left out: it never becomes the maximum, and the sum carries it.
FP_INLINE f32x16 row_max(const float* x, int64_t n) {
  const f32x16 lowest = set1(-INFINITY);
  f32x16 most[4] = {lowest, lowest, lowest, lowest};
  for_row(n, [&](int v, int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
    const f32x16 a = lanes == 16 ? load(x + i) : load_or(x + i, lanes, lowest);
    most[v] = max(a, most[v]);
  });
  return set1(reduce_max(max(max(most[0], most[1]), max(most[2], most[3]))));
}

// exp(x - max) / sum, with the quotient as a product with 1 / sum. A NaN makes its row NaN; so does
// a row whose maximum is infinite, except that -inf beside finite values gives +0 (as in torch).
void softmax_rows(const float* x, int64_t rows, int64_t n, float* y) {
  for (int64_t r = 0; r < rows; ++r, x += n, y += n) {
    const int64_t ahead = r + 1 < rows ? n : 0;  // the next row of both arrays, fetched beside exp
    const f32x16 top = row_max(x, n);
    RowSum total;
    for_row(n, [&](int v, int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
      f32x16 e = exp(sub(load_lanes(x + i, lanes), top));
      if (lanes < 16) e = keep_n(e, lanes);
      FP_PREFETCH_L1(x + i + ahead);
      FP_PREFETCH_WRITE(y + i + ahead);
      store_lanes(y + i, e, lanes);
      total.acc[v] = add(total.acc[v], e);
    });
    const f32x16 scale = div(set1(1.0f), set1(total.total()));
    for_row(n, [&](int, int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
      store_lanes(y + i, mul(load_lanes(y + i, lanes), scale), lanes);
    });
  }
}

// (x - max) - ln(sum of exp(x - max)); NaN and infinities as in softmax.
void log_softmax_rows(const float* x, int64_t rows, int64_t n, float* y) {
  for (int64_t r = 0; r < rows; ++r, x += n, y += n) {
    const f32x16 top = row_max(x, n);
    RowSum total;
    for_row(n, [&](int v, int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
      f32x16 e = exp(sub(load_lanes(x + i, lanes), top));
      if (lanes < 16) e = keep_n(e, lanes);
      total.acc[v] = add(total.acc[v], e);
    });
    const f32x16 shift = log(set1(total.total()));
    for_row(n, [&](int, int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
      store_lanes(y + i, sub(sub(load_lanes(x + i, lanes), top), shift), lanes);
    });
  }
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
