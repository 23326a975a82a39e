// Depthwise convolutions: one input and one output channel a group, K x K taps, row step S.
//
// The register tile is R rows of outputs x 16 columns. A vector of the input is loaded once and meets
// all the rows that it reaches: output row r takes input row S * r + i as its tap row i, so going
// through input rows upwards gives every output its taps in rising order.
#pragma once

#include "conv_tile.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

constexpr int kDepthwiseRows = kConvMR == 8 ? 4 : 2;

struct DepthwiseArgs {
  const float* x;  // scratch at the first position
  int64_t pitch;   // floats between rows of outputs in scratch
  const int64_t* tap_offset;
  const float* w;  // [K][K]
  const float* bias;
  float* y;
  int64_t ldy, rows, cols;  // rows >= kDepthwiseRows
};

// A function of its own, so that weights and offsets are read where they are used: kept in registers
// over the loop around it they would not leave enough.
template <int K, int S, int R>
FP_NOINLINE void depthwise_block(const DepthwiseArgs& t, const float* x, float* y, int64_t lanes) {
  const float* FP_RESTRICT w = t.w;
  const int64_t* FP_RESTRICT offset = t.tap_offset;
  f32x16 acc[R];
  FP_UNROLL
  for (int r = 0; r < R; ++r) acc[r] = zero();
  FP_UNROLL
  for (int i = 0; i < S * (R - 1) + K; ++i) {
    // The first output row that input row i reaches, and as which of its tap rows.
    const int first = i < K ? 0 : (i - K) / S + 1, tap = i - S * first;
    FP_UNROLL
    for (int j = 0; j < K; ++j) {
      const f32x16 v = load(x + first * t.pitch + offset[tap * K + j]);
      FP_UNROLL
      for (int r = 0; r < R; ++r) {
        const int k = i - S * r;
        if (k >= 0 && k < K) acc[r] = fma(set1(w[k * K + j]), v, acc[r]);
      }
    }
  }
  FP_UNROLL
  for (int r = 0; r < R; ++r) {
    const f32x16 sum = t.bias ? add(acc[r], set1(*t.bias)) : acc[r];
    if (lanes >= 16) {
      store(y + r * t.ldy, sum);
    } else {
      store_n(y + r * t.ldy, sum, lanes);
    }
  }
}

// Blocks of R rows and 16 columns; the last ones reach back over the ones before.
template <int K, int S>
FP_NOINLINE void depthwise_rows(const DepthwiseArgs& t) {
  constexpr int R = kDepthwiseRows;
  for (int64_t top = 0; top < t.rows; top += R) {
    const int64_t row = min64(top, t.rows - R);
    for (int64_t left = 0; left < t.cols; left += 16) {
      const int64_t col = t.cols < 16 ? 0 : min64(left, t.cols - 16);
      depthwise_block<K, S, R>(t, t.x + row * t.pitch + col, t.y + row * t.ldy + col, t.cols - col);
    }
  }
}

using DepthwiseFn = void (*)(const DepthwiseArgs&);

// Null where there is none for this kernel: then it is a convolution as others are.
FP_INLINE DepthwiseFn depthwise_for(int64_t k, int64_t step) {
  if (step != 1 && step != 2) return nullptr;
  switch (k) {
    case 3: return step == 1 ? depthwise_rows<3, 1> : depthwise_rows<3, 2>;
    case 5: return step == 1 ? depthwise_rows<5, 1> : depthwise_rows<5, 2>;
    case 7: return step == 1 ? depthwise_rows<7, 1> : nullptr;  // 49 taps apart: spills
    default: return nullptr;
  }
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
