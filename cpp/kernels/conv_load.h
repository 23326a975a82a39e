// Every step-th float of a row of the input, padded with +0: what the convolutions copy.
#pragma once

#include "epilogue.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

// Lanes p[0], p[S], ... p[15 * S].
template <int S>
FP_INLINE f32x16 load_every(const float* p) {
  if constexpr (S == 1) {
    return load(p);
  } else {
    return evens(load_every<S / 2>(p), load_every<S / 2>(p + 8 * S));
  }
}
// The same; reads only where the index is less than n, +0 elsewhere.
template <int S>
FP_INLINE f32x16 load_every_n(const float* p, int64_t n) {
  if constexpr (S == 1) {
    return load_n(p, n < 0 ? 0 : min64(n, 16));
  } else {
    return evens(load_every_n<S / 2>(p, n), load_every_n<S / 2>(p + 8 * S, n - 8 * S));
  }
}

// row[i] = x[i * S] for i < n while i * S < length; returns how many were written, in whole vectors.
template <int S>
FP_INLINE int64_t load_row_inner(const float* x, int64_t length, float* row, int64_t n) {
  const int64_t whole = min64(n, length / S) / 16 * 16;
  int64_t i = 0;
  for (; i < whole; i += 16) store(row + i, load_every<S>(x + i * S));
  if (i < n && i * S < length) {
    store(row + i, load_every_n<S>(x + i * S, length - i * S));
    i += 16;
  }
  return i;
}

// row[i] = x[first + i * step] for i in [0, n), +0 outside [0, length). Up to 15 floats behind
// row[n - 1] are overwritten.
FP_INLINE void load_padded_row(const float* x, int64_t length, int64_t first, int64_t step,
                               float* row, int64_t n) {
  int64_t head = 0;  // before the input
  if (first < 0) {
    head = min64((-first + step - 1) / step, n);
    for (int64_t i = 0; i < head; i += 16) store(row + i, zero());
    first += head * step;
  }
  row += head;
  n -= head;
  const int64_t inside = length - first;
  int64_t i = 0;
  if (inside > 0) {
    x += first;
    switch (step) {
      case 1: i = load_row_inner<1>(x, inside, row, n); break;
      case 2: i = load_row_inner<2>(x, inside, row, n); break;
      case 4: i = load_row_inner<4>(x, inside, row, n); break;
      default:
        for (; i < n && i * step < inside; ++i) row[i] = x[i * step];
    }
  }
  for (; i < n; i += 16) store(row + i, zero());
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
