// The phases of a transposed convolution, put between each other: y[S * i + j] = phase j's i-th.
#pragma once

#include "epilogue.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

// `phase` holds rows of `ld` floats; writes y[0, limit), limit <= S * n.
template <int S>
FP_INLINE void interleave_powers(const float* phase, int64_t ld, int64_t limit, float* y) {
  for (int64_t i = 0; S * i < limit; i += 16) {
    f32x16 v[S], w[S];
    FP_UNROLL
    for (int j = 0; j < S; ++j) v[j] = load(phase + j * ld + i);
    // A perfect shuffle a level: v[j] and v[j + S / 2] become neighbours.
    FP_UNROLL
    for (int level = 1; level < S; level *= 2) {
      FP_UNROLL
      for (int j = 0; j < S / 2; ++j) {
        w[2 * j] = zip_lo(v[j], v[j + S / 2]);
        w[2 * j + 1] = zip_hi(v[j], v[j + S / 2]);
      }
      FP_UNROLL
      for (int j = 0; j < S; ++j) v[j] = w[j];
    }
    FP_UNROLL
    for (int j = 0; j < S; ++j) {
      const int64_t at = S * i + 16 * j, rest = limit - at;
      if (rest >= 16) {
        store(y + at, v[j]);
      } else if (rest > 0) {
        store_n(y + at, v[j], rest);
      }
    }
  }
}

FP_NOINLINE void interleave(const float* phase, int64_t ld, int64_t step, int64_t limit, float* y) {
  switch (step) {
    case 1: return interleave_powers<1>(phase, ld, limit, y);
    case 2: return interleave_powers<2>(phase, ld, limit, y);
    case 4: return interleave_powers<4>(phase, ld, limit, y);
    case 8: return interleave_powers<8>(phase, ld, limit, y);
    default:
      for (int64_t j = 0; j < step; ++j, phase += ld) {
        for (int64_t i = 0, at = j; at < limit; ++i, at += step) y[at] = phase[i];
      }
  }
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
