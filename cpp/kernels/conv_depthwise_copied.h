// Depthwise convolutions of step 1 on wide planes. The rows of the input that a block reads are copied
// with their padding, each once, into a ring, so no block has edges; the register tile is R rows of
// outputs and two vectors of columns, which share each read of a weight.
#pragma once

#include "conv_load.h"
#include "epilogue.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

constexpr int kDepthwiseVectors = kNativeLanes == 16 ? 2 : 1;
// Rows of a block: where there are 16 registers of 8, K taps leave few.
constexpr int depthwise_row_count(int k) { return kNativeLanes == 16 ? 7 : k == 3 ? 4 : 2; }

struct DepthwisePlane {
  const float* x;  // one plane of the input
  float* scratch;  // kDepthwiseRows rows of `pitch` floats; for step 2 a row of zeros
  int64_t pitch;
  int64_t height, width;
  int64_t top, left;  // input position of the first tap of output (0, 0)
  const float* w;     // [K][K]
  const float* bias;
  float* y;  // one plane of the output
  int64_t out_width;
};

// K x K weights: in registers where they fit, else read where they are used.
template <int K>
struct DepthwiseWeights {
  static constexpr bool kHeld = K == 3 && kNativeLanes == 16;
  const float* w;
  f32x16 held[kHeld ? K * K : 1];
  FP_INLINE explicit DepthwiseWeights(const float* from) : w(from) {
    FP_UNROLL
    for (int i = 0; kHeld && i < K * K; ++i) held[i] = in_register(set1(w[i]));
  }
  FP_INLINE void next_row() {
    if (!kHeld) FP_FORGET(w);
  }
  FP_INLINE f32x16 at(int i) const { return kHeld ? held[kHeld ? i : 0] : set1(w[i]); }
};

// `rows` rows of the ring at the first column; `lanes` of the last vector are stored.
template <int K, int R, int NV>
FP_NOINLINE void depthwise_ring_block(const DepthwisePlane& g, const float* const* rows,
                                      int64_t column, float* y, int64_t lanes) {
  DepthwiseWeights<K> w(g.w);
  f32x16 acc[R][NV];
  FP_UNROLL
  for (int r = 0; r < R; ++r) {
    FP_UNROLL
    for (int v = 0; v < NV; ++v) acc[r][v] = zero();
  }
  FP_UNROLL
  for (int i = 0; i < R - 1 + K; ++i) {
    w.next_row();
    const float* row = rows[i] + column;
    FP_UNROLL
    for (int j = 0; j < K; ++j) {
      f32x16 tap[NV];
      FP_UNROLL
      for (int v = 0; v < NV; ++v) tap[v] = in_register(load(row + j + 16 * v));
      FP_UNROLL
      for (int r = 0; r < R; ++r) {
        const int k = i - r;
        if (k < 0 || k >= K) continue;
        const f32x16 weight = w.at(k * K + j);
        FP_UNROLL
        for (int v = 0; v < NV; ++v) acc[r][v] = fma(weight, tap[v], acc[r][v]);
      }
    }
  }
  const f32x16 bias = g.bias ? set1(*g.bias) : zero();
  FP_UNROLL
  for (int r = 0; r < R; ++r, y += g.out_width) {
    FP_UNROLL
    for (int v = 0; v < NV; ++v) {
      const f32x16 sum = g.bias ? add(acc[r][v], bias) : acc[r][v];
      v + 1 < NV || lanes == 16 ? store(y + 16 * v, sum) : store_n(y + 16 * v, sum, lanes);
    }
  }
}

// R rows of outputs from `y` on, in tiles of NV vectors; the last ones reach back over those before.
template <int K, int R, int NV>
FP_INLINE void depthwise_row_block(const DepthwisePlane& g, const float* const* rows, float* y) {
  constexpr int64_t kWide = 16 * NV;
  const int64_t width = g.out_width;
  if (width <= 16) return depthwise_ring_block<K, R, 1>(g, rows, 0, y, width);
  if (width < kWide) return depthwise_ring_block<K, R, NV>(g, rows, 0, y, width - 16 * (NV - 1));
  for (int64_t next = 0; next < width; next += kWide) {
    if (width - next <= 16) {
      depthwise_ring_block<K, R, 1>(g, rows, width - 16, y + width - 16, 16);
    } else {
      const int64_t v = min64(next, width - kWide);
      depthwise_ring_block<K, R, NV>(g, rows, v, y + v, 16);
    }
  }
}

// Rows [first, last) of the input, counted from g.top, to their places in the ring, in which what lies
// left and right of the input is +0 already.
FP_INLINE void copy_rows(const DepthwisePlane& g, int64_t first, int64_t last, int64_t ring,
                         int64_t begin, int64_t columns) {
  int64_t slot = first % ring;
  for (; first < last; ++first) {
    const int64_t row = first + g.top;
    float* to = g.scratch + slot * g.pitch + begin;
    if (++slot == ring) slot = 0;
    if (row < 0 || row >= g.height) {
      for (int64_t i = 0; i < columns; i += 16) store(to + i, zero());
      continue;
    }
    const float* x = g.x + row * g.width + begin + g.left;
    int64_t i = 0;
    for (; i + 16 <= columns; i += 16) store(to + i, load(x + i));
    if (i < columns) store_n(to + i, load_n(x + i, columns - i), columns - i);
  }
}

// Output rows [u0, u1), at least R, in blocks of R rows; the last one reaches back. The rows of the
// next block are copied before this one is computed, so that no read waits for a write.
template <int K, int R>
FP_NOINLINE void depthwise_copied_rows(const DepthwisePlane& g, int64_t u0, int64_t u1) {
  constexpr int64_t kReach = R - 1 + K, kRing = kReach + R;
  static_assert(kRing <= kDepthwiseRows, "what the caller's scratch holds");
  const int64_t begin = g.left < 0 ? -g.left : 0, span = g.out_width - 1 + K;
  const int64_t columns = min64(span - begin, g.width - g.left - begin);
  for (int64_t i = 0; i < kRing * g.pitch; i += 16) store(g.scratch + i, zero());
  const float* rows[kReach];
  int64_t copied = u0;
  for (int64_t at = u0; at < u1; at += R) {
    const int64_t u = min64(at, u1 - R), wanted = min64(u1 - R, u + R) + kReach;
    copy_rows(g, copied, wanted, kRing, begin, columns);
    copied = wanted;
    int64_t slot = u % kRing;
    for (int64_t i = 0; i < kReach; ++i) {
      rows[i] = g.scratch + slot * g.pitch;
      if (++slot == kRing) slot = 0;
    }
    depthwise_row_block<K, R, R == 1 ? 1 : kDepthwiseVectors>(g, rows, g.y + u * g.out_width);
  }
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
