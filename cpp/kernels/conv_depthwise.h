// Depthwise convolutions: one input and one output channel a group, K x K neighbouring taps, step S.
//
// The register tile is R rows of outputs. What is read of the input is read once for all the rows
// that it reaches: output row r takes input row S * r + i as its tap row i, so going through input
// rows upwards gives every output its taps in rising order.
//
// Here straight from the input, 16 columns wide: rows outside it are read from a row of zeros;
// columns outside become +0 with the load, in blocks of their own (kEdge). Wide planes with step 1
// run over a copy of their rows: conv_depthwise_copied.h.
#pragma once

#include "conv_depthwise_copied.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

struct DepthwiseBlock {
  const float* const* rows;  // of the input, or the zeros
  const float* w;
  const float* bias;
  float* y;
  int64_t ldy, lanes;     // lanes that are stored
  int64_t col, from, to;  // columns: the first tap's in lane 0; those inside, counted from there
};

// Sixteen columns from the block's first plus `at` on.
template <bool kEdge>
FP_INLINE f32x16 load_columns(const DepthwiseBlock& t, const float* row, int64_t at) {
  const float* p = row + t.col + at;
  if constexpr (!kEdge) return load(p);
  const int64_t from = t.from - at, to = t.to - at;
  return load_range(p, from < 0 ? 0 : min64(from, 16), to < 0 ? 0 : min64(to, 16));
}

// The columns that each of K taps reads, for step 2: the last two taps' from 32 neighbours, those of
// tap j from tap j + 2's, one output before.
template <int K, bool kEdge>
FP_INLINE void load_taps(const DepthwiseBlock& t, const float* row, f32x16 (&tap)[K]) {
  const f32x16 a = in_register(load_columns<kEdge>(t, row, K - 2));
  const f32x16 b = in_register(load_columns<kEdge>(t, row, K + 14));
  tap[K - 2] = evens(a, b);
  tap[K - 1] = odds(a, b);
  FP_UNROLL
  for (int j = K - 3; j >= 0; --j) {
    tap[j] = slide(kEdge ? load_columns<kEdge>(t, row, j - 15) : set1(row[t.col + j]), tap[j + 2]);
  }
}

template <int K, int S, int R, bool kEdge>
FP_NOINLINE void depthwise_block(const DepthwiseBlock& t) {
  DepthwiseWeights<K> w(t.w);
  f32x16 acc[R];
  FP_UNROLL
  for (int r = 0; r < R; ++r) acc[r] = zero();
  FP_UNROLL
  for (int i = 0; i < S * (R - 1) + K; ++i) {
    w.next_row();
    f32x16 tap[K];
    if constexpr (S == 2) load_taps<K, kEdge>(t, t.rows[i], tap);
    FP_UNROLL
    for (int j = 0; j < K; ++j) {
      if constexpr (S == 1) tap[j] = load_columns<kEdge>(t, t.rows[i], j);
      FP_UNROLL
      for (int r = 0; r < R; ++r) {
        const int k = i - S * r;
        if (k >= 0 && k < K) acc[r] = fma(w.at(k * K + j), tap[j], acc[r]);
      }
    }
  }
  float* y = t.y;
  const f32x16 bias = t.bias ? set1(*t.bias) : zero();
  FP_UNROLL
  for (int r = 0; r < R; ++r, y += t.ldy) {
    const f32x16 sum = t.bias ? add(acc[r], bias) : acc[r];
    t.lanes >= 16 ? store(y, sum) : store_n(y, sum, t.lanes);
  }
}

// Output rows [u0, u1), at least R, in blocks of R rows and 16 columns; the last ones reach back over
// the ones before.
template <int K, int S, int R>
FP_NOINLINE void depthwise_rows(const DepthwisePlane& g, int64_t u0, int64_t u1) {
  constexpr int kRows = S * (R - 1) + K;
  for (int64_t i = 0; i < g.width; i += 16) store(g.scratch + i, zero());
  const float* rows[kRows];
  for (int64_t at = u0; at < u1; at += R) {
    const int64_t u = min64(at, u1 - R);
    for (int i = 0; i < kRows; ++i) {
      const int64_t row = S * u + g.top + i;
      rows[i] = row >= 0 && row < g.height ? g.x + row * g.width : g.scratch;
    }
    for (int64_t next = 0; next < g.out_width; next += 16) {
      const int64_t v = g.out_width < 16 ? 0 : min64(next, g.out_width - 16);
      const int64_t col = S * v + g.left, lanes = g.out_width - v;
      float* y = g.y + u * g.out_width + v;
      const DepthwiseBlock t{rows, g.w, g.bias, y, g.out_width, lanes, col, -col, g.width - col};
      const bool inside = col >= 0 && t.to >= 15 * S + K;
      (inside ? depthwise_block<K, S, R, false> : depthwise_block<K, S, R, true>)(t);
    }
  }
}

template <int K, int S>
FP_INLINE void depthwise_plane(const DepthwisePlane& g, int64_t u0, int64_t u1) {
  constexpr int R = depthwise_row_count(K);
  if constexpr (S == 1) {
    if (g.out_width >= (K == 3 ? 48 : 17)) {
      return (u1 - u0 < R ? depthwise_copied_rows<K, 1> : depthwise_copied_rows<K, R>)(g, u0, u1);
    }
  }
  (u1 - u0 < R ? depthwise_rows<K, S, 1> : depthwise_rows<K, S, R>)(g, u0, u1);
}

// k in {3, 5, 7}, step 1 or 2.
FP_INLINE void run_depthwise(const DepthwisePlane& g, int64_t k, int64_t step, int64_t u0,
                             int64_t u1) {
  switch (2 * k + step) {
    case 7: return depthwise_plane<3, 1>(g, u0, u1);
    case 8: return depthwise_plane<3, 2>(g, u0, u1);
    case 11: return depthwise_plane<5, 1>(g, u0, u1);
    case 12: return depthwise_plane<5, 2>(g, u0, u1);
    case 15: return depthwise_plane<7, 1>(g, u0, u1);
    default: return depthwise_plane<7, 2>(g, u0, u1);
  }
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
