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

// What tap J of NV vectors of outputs reads of a row of the ring.
template <int J, int NV>
FP_INLINE void load_tap(const f32x16 (&own)[NV + 1], const float* row, f32x16 (&tap)[NV]) {
  FP_UNROLL
  for (int v = 0; v < NV; ++v) {
    tap[v] = in_register(load_ahead<J>(row + 16 * v, own[v], own[v + 1]));
  }
}

// Tap J of input row i and those behind it.
template <int K, int J, int R, int NV>
FP_INLINE void add_taps(const DepthwiseWeights<K>& w, const f32x16 (&own)[NV + 1], const float* row,
                        int i, f32x16 (&acc)[R][NV]) {
  f32x16 tap[NV];
  load_tap<J, NV>(own, row, tap);
  FP_UNROLL
  for (int r = 0; r < R; ++r) {
    const int k = i - r;
    if (k < 0 || k >= K) continue;
    const f32x16 weight = w.at(k * K + J);
    FP_UNROLL
    for (int v = 0; v < NV; ++v) acc[r][v] = fma(weight, tap[v], acc[r][v]);
  }
  if constexpr (J + 1 < K) add_taps<K, J + 1>(w, own, row, i, acc);
}

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
    f32x16 own[NV + 1];
    FP_UNROLL
    for (int v = 0; v <= NV; ++v) own[v] = in_register(load(row + 16 * v));
    add_taps<K, 0>(w, own, row, i, acc);
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

// R rows of outputs from `y` on, in tiles of NV vectors; the last one is cut off.
template <int K, int R, int NV>
FP_INLINE void depthwise_row_block(const DepthwisePlane& g, const float* const* rows, float* y) {
  for (int64_t v = 0; v < g.out_width; v += 16 * NV) {
    const int64_t left = g.out_width - v;
    if (left <= 16) {
      depthwise_ring_block<K, R, 1>(g, rows, v, y + v, left);
    } else {
      depthwise_ring_block<K, R, NV>(g, rows, v, y + v, min64(16, left - 16 * (NV - 1)));
    }
  }
}

// The n columns of a row that lie inside the input.
FP_INLINE void copy_row(const float* x, int64_t n, float* to) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store(to + i, load(x + i));
  if (i < n) store(to + i, load_n(x + i, n - i));
}

// Rows [first, last) of the input, counted from g.top, to their places in the ring, in which what lies
// left and right of the input is +0 already.
FP_INLINE void copy_rows(const DepthwisePlane& g, int64_t first, int64_t last, int64_t ring,
                         int64_t begin, int64_t columns) {
  int64_t slot = first % ring;
  for (; first < last; ++first) {
    const int64_t row = first + g.top;
    float* to = g.scratch + slot * g.pitch;
    if (++slot == ring) slot = 0;
    if (row >= 0 && row < g.height) {
      copy_row(g.x + row * g.width + begin + g.left, columns, to + begin);
    } else {
      for (int64_t i = 0; i < columns; i += 16) store(to + begin + i, zero());
    }
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
  for (int64_t slot = 0; slot < kRing; ++slot) {
    float* to = g.scratch + slot * g.pitch;
    for (int64_t i = 0; i < begin; i += 16) store(to + i, zero());
    for (int64_t i = begin + columns; i < span; i += 16) store(to + i, zero());
  }
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
    depthwise_row_block<K, R, kDepthwiseVectors>(g, rows, g.y + u * g.out_width);
  }
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
