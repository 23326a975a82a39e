// The scores of attention: rows of scaled queries times keys, packed or as they lie.
#pragma once

#include "attention_beside.h"
#include "attention_pack.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

struct ScoreArgs {
  const float* q;     // pieces of kQueryPitch of the width, kTileRows rows each
  const float* keys;  // [width][kPanel]
  float* scores;
  int64_t width;
};

// One tile of scores, and beside it the weights of `w`, two steps of the product for each vector.
template <int MR, int NV, bool Beside>
FP_NOINLINE void scores_tile(const ScoreArgs& t, WeighRun& w) {
  f32x16 acc[MR][NV];
  FP_UNROLL
  for (int m = 0; m < MR; ++m) {
    FP_UNROLL
    for (int j = 0; j < NV; ++j) acc[m][j] = zero();
  }
  for (int64_t i = 0; i < t.width; i += kQueryPitch) {
    const float *q = t.q + i * kTileRows, *keys = t.keys + i * kPanel;
    int64_t k = min64(t.width - i, kQueryPitch);
    if constexpr (Beside) {
      const int64_t steps = beside_steps(acc, q, keys, k, w);
      q += steps;
      keys += steps * kPanel;
      k -= steps;
    }
    product_steps<kQueryPitch>(acc, q, keys, kPanel, k);
  }
  store_tile(acc, t.scores, kScorePitch);
}

using ScoresFn = void (*)(const ScoreArgs&, WeighRun&);
// The widest tile of `rows` rows.
FP_INLINE ScoresFn widest_scores(int64_t rows, bool beside) {
  return with_rows<kTileRows>(rows, [&](auto n) FP_INLINE_LAMBDA -> ScoresFn {
    constexpr int kRows = n.value, kPanelVectors = static_cast<int>(kPanel / 16);
    constexpr int kMost = most_vectors(kRows);
    constexpr int kVectors = kMost < kPanelVectors ? kMost : kPanelVectors;
    if constexpr (kPanel == 64 && (kRows == kTileRows || kRows == 8)) {
      if (beside) return scores_tile<kRows, kVectors, true>;
    }
    return scores_tile<kRows, kVectors, false>;
  });
}
// One of NV vectors, or the widest where that is less.
template <int NV>
FP_INLINE ScoresFn scores_of(int64_t rows) {
  return with_rows<kTileRows>(rows, [&](auto n) FP_INLINE_LAMBDA -> ScoresFn {
    constexpr int kPanelVectors = static_cast<int>(kPanel / 16), kRowsMost = most_vectors(n.value);
    constexpr int kMost = kRowsMost < kPanelVectors ? kRowsMost : kPanelVectors;
    return scores_tile<n.value, (kMost < NV ? kMost : NV), false>;
  });
}

// Scores of `rows` rows from r on and keys [0, n) of the packed block, and beside them weights, in equal
// shares.
FP_INLINE void scores_packed(const AttentionTile& t, float* scores, int64_t r, int64_t rows,
                             int64_t n, WeighRun& w) {
  const int64_t most = min64(kPanel, most_vectors(static_cast<int>(rows)) * 16), partials = w.end;
  const int64_t share = partials ? (partials * most + n - 1) / n : 0;
  const ScoresFn widest = widest_scores(rows, partials > 0);
  ScoreArgs s{t.query_row(r), nullptr, nullptr, t.a.width};
  w.end = w.at;
  for (int64_t j = 0; j < n;) {
    int64_t columns = min64(most, round16(n - j));
    if (columns == 48) columns = 32;  // and 16: seldom, and not worth its code
    s.keys = t.keys + j / kPanel * kPanel * t.a.width + j % kPanel;
    s.scores = scores + j;
    j += columns;
    w.end = min64(w.end + share, partials);
    if (columns == most) {
      widest(s, w);
    } else {
      (columns == 16 ? scores_of<1>(rows) : scores_of<2>(rows))(s, w);
    }
  }
  w.end = partials;
}

// Those of keys [k0, k0 + n) from the keys themselves, transposed in registers. Sixteen rows side by
// side are too many streams for the hardware to follow: the next sixteen are fetched by hand.
template <int M>
FP_NOINLINE void scores_few(const AttentionTile& t, float* scores, int64_t r, int64_t k0,
                            int64_t n) {
  const int64_t ld = t.a.k_step[2], width = t.a.width;
  const float* queries = t.query_row(r);
  f32x16 v[8];
  for (int64_t j = 0; j < n; j += 16) {
    const float* from = t.k_head + (k0 + j) * ld;
    const int64_t keys = min64(n - j, 16);
    f32x16 acc[M];
    FP_UNROLL
    for (int m = 0; m < M; ++m) acc[m] = zero();
    const bool more = k0 + j + 32 <= t.a.keys;
    int64_t i = 0;
    for (const int64_t whole = keys == 16 ? width - 8 : -1; i <= whole; i += 8) {
      if (more && i % 16 == 0) {
        FP_UNROLL
        for (int64_t row = 16; row < 32; ++row) FP_PREFETCH_L1(from + row * ld + i);
      }
      load_transposed(from + i, ld, v);
      const float* q = queries + query_at(i);
      FP_UNROLL
      for (int c = 0; c < 8; ++c) {
        FP_UNROLL
        for (int m = 0; m < M; ++m) acc[m] = fma(set1(q[m * kQueryPitch + c]), v[c], acc[m]);
      }
    }
    for (; i < width; i += 8) {
      const int64_t left = min64(width - i, 8);
      load_block(from + i, ld, keys, left, v);
      const float* q = queries + query_at(i);
      for (int64_t c = 0; c < left; ++c) {
        FP_UNROLL
        for (int m = 0; m < M; ++m) acc[m] = fma(set1(q[m * kQueryPitch + c]), v[c], acc[m]);
      }
    }
    FP_UNROLL
    for (int m = 0; m < M; ++m) store(scores + m * kScorePitch + j, acc[m]);
  }
}

using FewScoresFn = void (*)(const AttentionTile&, float*, int64_t, int64_t, int64_t);
FP_INLINE FewScoresFn scores_few_for(int64_t rows) {
  return with_rows<kFewTileRows>(
      rows, [](auto n) FP_INLINE_LAMBDA -> FewScoresFn { return scores_few<n.value>; });
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
