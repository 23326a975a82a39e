// Depthwise convolutions: one input and one output channel a group, K x K neighbouring taps, step S.
//
// Straight from the input, nothing copied. The register tile is R rows of outputs x 16 columns. What
// is read of the input is read once for all the rows that it reaches: output row r takes input row
// S * r + i as its tap row i, so going through input rows upwards gives every output its taps in
// rising order. Rows outside the input are read from a row of zeros; columns outside become +0 with
// the load, in blocks of their own (kEdge).
#pragma once

#include "epilogue.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

// Rows of a block: where there are 16 registers of 8, K taps leave few.
constexpr int depthwise_row_count(int k) { return kNativeLanes == 16 ? 7 : k == 3 ? 4 : 2; }

struct DepthwisePlane {
  const float* x;      // one plane of the input
  const float* zeros;  // a row of `width` floats
  int64_t height, width;
  int64_t top, left;  // input position of the first tap of output (0, 0)
  const float* w;     // [K][K]
  const float* bias;
  float* y;  // one plane of the output
  int64_t out_width;
};

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
  const float* rows[kRows];
  for (int64_t at = u0; at < u1; at += R) {
    const int64_t u = min64(at, u1 - R);
    for (int i = 0; i < kRows; ++i) {
      const int64_t row = S * u + g.top + i;
      rows[i] = row >= 0 && row < g.height ? g.x + row * g.width : g.zeros;
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
