// Depthwise convolutions: one input and one output channel a group, K x K neighbouring taps, step S.
//
// The register tile is R rows of outputs. What is read of the input is read once for all the rows
// that it reaches: output row r takes input row S * r + i as its tap row i, so going through input
// rows upwards gives every output its taps in rising order.
//
// Here straight from the input, 16 columns wide or (step 2) 32: rows outside it are read from a row of
// zeros; columns outside become +0 with the load, in blocks of their own (kEdge). Step 2 parts even and
// odd columns within 128 bits, where shuffles are cheap, and puts the sums in order at the end. Wide
// planes with step 1 run over a copy of their rows: conv_depthwise_copied.h.
#pragma once

#include "conv_depthwise_copied.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

struct DepthwiseBlock {
  const float* const* rows;       // of the input, or the zeros
  const float* const* before[5];  // the rows that tap j of lane -1 is read from, for step 2
  const float* w;
  const float* bias;
  float* y;
  int64_t ldy, lanes;     // lanes of the last vector that are stored
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

// With step 2, the columns that each of K taps of NV vectors reads, in mixed order: the last two taps'
// come from pairs of vectors, those of tap j are tap j + 2's of one output before.
template <int K, int NV, bool kEdge>
FP_INLINE void load_taps(const DepthwiseBlock& t, int i, f32x16 (&tap)[K][NV]) {
  FP_UNROLL
  for (int v = 0; v < NV; ++v) {
    const f32x16 a = in_register(load_columns<kEdge>(t, t.rows[i], K - 2 + 32 * v));
    const f32x16 b = in_register(load_columns<kEdge>(t, t.rows[i], K + 14 + 32 * v));
    tap[K - 2][v] = mixed_evens(a, b);
    tap[K - 1][v] = mixed_odds(a, b);
  }
  FP_UNROLL
  for (int j = K - 3; j >= 0; --j) {
    const f32x16 before = set1(t.before[j][i][t.col + j]);
    FP_UNROLL
    for (int v = 0; v < NV; ++v) {
      tap[j][v] = mixed_slide(v ? tap[j + 2][v ? v - 1 : 0] : before, tap[j + 2][v]);
    }
  }
}

// R rows, NV vectors of columns.
template <int K, int S, int R, int NV, bool kEdge>
FP_NOINLINE void depthwise_block(const DepthwiseBlock& t) {
  DepthwiseWeights<K> w(t.w);
  f32x16 acc[R][NV];
  FP_UNROLL
  for (int r = 0; r < R; ++r) {
    FP_UNROLL
    for (int v = 0; v < NV; ++v) acc[r][v] = zero();
  }
  FP_UNROLL
  for (int i = 0; i < S * (R - 1) + K; ++i) {
    w.next_row();
    f32x16 tap[K][NV];
    if constexpr (S == 2) load_taps<K, NV, kEdge>(t, i, tap);
    FP_UNROLL
    for (int j = 0; j < K; ++j) {
      FP_UNROLL
      for (int v = 0; S == 1 && v < NV; ++v) {
        tap[j][v] = load_columns<kEdge>(t, t.rows[i], j + 16 * v);
      }
      FP_UNROLL
      for (int r = 0; r < R; ++r) {
        const int k = i - S * r;
        if (k < 0 || k >= K) continue;
        const f32x16 weight = w.at(k * K + j);
        FP_UNROLL
        for (int v = 0; v < NV; ++v) acc[r][v] = fma(weight, tap[j][v], acc[r][v]);
      }
    }
  }
  float* y = t.y;
  const f32x16 bias = t.bias ? set1(*t.bias) : zero();
  FP_UNROLL
  for (int r = 0; r < R; ++r, y += t.ldy) {
    FP_UNROLL
    for (int v = 0; v < NV; ++v) {
      f32x16 sum = t.bias ? add(acc[r][v], bias) : acc[r][v];
      if constexpr (S == 2) sum = in_order(sum);
      v + 1 < NV || t.lanes >= 16 ? store(y + 16 * v, sum) : store_n(y + 16 * v, sum, t.lanes);
    }
  }
}

// The tile of R rows and NV vectors of outputs from column v on.
template <int K, int S, int R, int NV>
FP_INLINE void depthwise_columns(const DepthwisePlane& g, const float* const* rows,
                                 const float* const* zeros, int64_t v, float* y) {
  constexpr int64_t kWide = 16 * NV;
  const int64_t col = S * v + g.left, lanes = g.out_width - v - (kWide - 16);
  DepthwiseBlock t{rows, {}, g.w, g.bias, y + v, g.out_width, lanes, col, -col, g.width - col};
  for (int j = 0; S == 2 && j < K - 2; ++j) {
    t.before[j] = col + j >= 0 && col + j < g.width ? rows : zeros;
  }
  const bool inside = col + (S == 2 ? K - 2 : 0) >= 0 && t.to >= (kWide - 1) * S + K;
  if (R > 1 && inside) return depthwise_block<K, S, R, NV, R == 1>(t);
  depthwise_block<K, S, R, NV, true>(t);
}

// Output rows [u0, u1), at least R, in tiles of R rows and NV vectors, the last one of one where that
// will do; the last ones reach back over those before.
template <int K, int S, int R, int NV>
FP_NOINLINE void depthwise_rows(const DepthwisePlane& g, int64_t u0, int64_t u1) {
  constexpr int kRows = S * (R - 1) + K;
  constexpr int64_t kWide = 16 * NV;
  const int64_t wide = g.out_width, reach = S * wide + K;
  for (int64_t i = 0; i < reach || i < g.width; i += 16) store(g.scratch + i, zero());
  const float *rows[kRows], *zeros[kRows];
  for (int i = 0; S == 2 && i < kRows; ++i) zeros[i] = g.scratch - g.left;
  for (int64_t at = u0; at < u1; at += R) {
    const int64_t u = min64(at, u1 - R);
    for (int i = 0; i < kRows; ++i) {
      const int64_t row = S * u + g.top + i;
      rows[i] = row >= 0 && row < g.height ? g.x + row * g.width : g.scratch;
    }
    float* y = g.y + u * wide;
    for (int64_t v = 0; v < wide; v += kWide) {
      if (NV > 1 && wide - v <= 16) {
        depthwise_columns<K, S, R, 1>(g, rows, zeros, wide - 16, y);
      } else {
        depthwise_columns<K, S, R, NV>(g, rows, zeros, wide < kWide ? 0 : min64(v, wide - kWide),
                                       y);
      }
    }
  }
}

template <int K, int S>
FP_INLINE void depthwise_plane(const DepthwisePlane& g, int64_t u0, int64_t u1) {
  constexpr int R = depthwise_row_count(K);
  if (u1 - u0 < R) return depthwise_rows<K, S, 1, 1>(g, u0, u1);
  if constexpr (S == 1) {
    if (g.out_width >= (K > 3 ? 17 : kNativeLanes == 16 ? 32 : 48)) {
      return depthwise_copied_rows<K, R>(g, u0, u1);
    }
  }
  if constexpr (S == 2 && K == 3 && kDepthwiseVectors == 2) {
    const bool two = g.out_width > 16 && g.out_width <= 64;  // longer rows: one was faster
    if (two) return depthwise_rows<K, S, R, 2>(g, u0, u1);
  }
  depthwise_rows<K, S, R, 1>(g, u0, u1);
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
