// The softmax of attention, a block of keys at a time: masks, the running maximum, and the sum. Scores
// are in units of ln 2, so that the weights are powers of two.
#pragma once

#include <math.h>

#include "../kernels.h"
#include "../simd/math.h"
#include "attention_tile.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

// Rows of a register tile on their way from scores of a block to weights.
struct ScoredRows {
  float* scores;            // kScorePitch apart
  int64_t r, rows, n;       // first row and number; keys [0, n) of the block that one of them sees
  bool plain, all;          // no causal limit below n; and no mask either
  int64_t seen[kTileRows];  // keys that a row sees
  float top[16];            // the maximum up to this block, 0 where that is -inf
  float factor[16];         // of what came before
  float added[16];          // to the sum
};

// What is added to a row's scores, -inf where a key is not seen; from the block's first key on.
struct MaskRow {
  const float* bias;
  const uint8_t* seen;
  int64_t step;

  FP_INLINE bool sees(int64_t i) const {
    return bias ? bias[i * step] != -INFINITY : !seen || seen[i * step];
  }
  FP_INLINE f32x16 at(int64_t i, int64_t lanes) const {
    if (bias) return step ? load_n(bias + i, lanes) : set1(*bias);
    float added[16] = {};
    for (int64_t j = 0; j < lanes; ++j) added[j] = seen[(i + j) * step] ? 0.0f : -INFINITY;
    return load(added);
  }
};

FP_INLINE MaskRow mask_row(const AttentionArgs& a, int64_t b, int64_t h, int64_t query,
                           int64_t key) {
  const int64_t* step = a.mask_step;
  const int64_t at = b * step[0] + h * step[1] + query * step[2] + key * step[3];
  return {a.bias ? a.bias + at : nullptr, a.seen ? a.seen + at : nullptr, step[3]};
}

// s[i] += mask, -inf where that is -inf whatever the score (a key that is not seen may hold NaN).
FP_INLINE void add_mask(const MaskRow& mask, float* s, int64_t n) {
  const f32x16 lowest = set1(-INFINITY), unit = set1(kLog2E);
  for (int64_t i = 0; i < n; i += 16) {
    const f32x16 added = mask.at(i, n - i < 16 ? n - i : 16);
    store(s + i, select(eq(added, lowest), lowest, fma(added, unit, load(s + i))));
  }
}

// The largest of `most` and s[0, n); NaN never becomes it.
FP_INLINE float block_max(const float* s, int64_t n, float most) {
  const f32x16 lowest = set1(-INFINITY);
  f32x16 top[4] = {set1(most), lowest, lowest, lowest};
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) {
    FP_UNROLL
    for (int v = 0; v < 4; ++v) top[v] = max(load(s + i + 16 * v), top[v]);
  }
  for (; i < n; i += 16) {
    top[0] = max(n - i < 16 ? load_or(s + i, n - i, lowest) : load(s + i), top[0]);
  }
  return reduce_max(max(max(top[0], top[1]), max(top[2], top[3])));
}

// s[i] = 2^(s[i] - top) for i < n, +0 from there to `padded`, a multiple of 16; their row sum, as in
// norm.h.
FP_INLINE float block_weights(float* s, int64_t n, int64_t padded, f32x16 top) {
  f32x16 sum[4] = {zero(), zero(), zero(), zero()};
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) {
    FP_UNROLL
    for (int v = 0; v < 4; ++v) {
      const f32x16 p = exp2_negative(sub(load(s + i + 16 * v), top));
      store(s + i + 16 * v, p);
      sum[v] = add(sum[v], p);
    }
  }
  FP_UNROLL
  for (int v = 0; v < 4; ++v) {
    const int64_t at = i + 16 * v;
    if (at >= n) continue;
    f32x16 p = exp2_negative(sub(load(s + at), top));
    if (n - at < 16) p = keep_n(p, n - at);
    store(s + at, p);
    sum[v] = add(sum[v], p);
  }
  for (i = (n + 15) / 16 * 16; i < padded; i += 16) store(s + i, zero());
  return reduce_add(add(add(sum[0], sum[1]), add(sum[2], sum[3])));
}

// Lane m: the lanes of row(m) joined by `op` in the order of reduce_add, lane i and lane i + 8 first. Many
// rows go together, `rows` and what lies behind them up to 16; few go one by one.
template <class Row, class Op, class One>
FP_INLINE f32x16 reduce_rows(int64_t rows, Row row, Op op, One one) {
  if constexpr (kTileRows > 8) {
    f32x16 v[16];
    FP_UNROLL
    for (int m = 0; m < 16; ++m) v[m] = m < kTileRows ? row(m) : zero();
    FP_UNROLL
    for (int n = 8; n > 0; n /= 2) {
      FP_UNROLL
      for (int m = 0; m < n; ++m) v[m] = op(zip_lo(v[m], v[m + n]), zip_hi(v[m], v[m + n]));
    }
    return v[0];
  } else {
    float joined[16] = {};
    for (int64_t m = 0; m < rows; ++m) joined[m] = one(row(m));
    return load(joined);
  }
}

FP_INLINE f32x16 joined_maxima(const float* tops, int64_t rows) {
  return reduce_rows(
      rows, [&](int64_t m) FP_INLINE_LAMBDA { return load(tops + 16 * m); },
      [](f32x16 a, f32x16 b) FP_INLINE_LAMBDA { return max(a, b); },
      [](f32x16 a) FP_INLINE_LAMBDA { return reduce_max(a); });
}

// Maximum and factor of rows whose scores stand, or their partial maxima, 16 a row (`tops`, else null);
// `most` moves on. Where nothing is seen yet the maximum is -inf, and 0 stands for it, so that 2^ gives 0
// and not NaN.
FP_INLINE void find_maxima(ScoredRows& s, const float* tops, float* most) {
  const f32x16 lowest = set1(-INFINITY), before = load_n(most, s.rows);
  f32x16 after;
  if (tops) {
    after = joined_maxima(tops, s.rows);
    store(s.top, select(eq(after, lowest), zero(), after));
  } else {
    float now[16] = {};
    for (int64_t m = 0; m < s.rows; ++m) {
      now[m] = block_max(s.scores + m * kScorePitch, s.seen[m], most[m]);
      // A number by itself: a piece of a vector would have to wait for all of it.
      s.top[m] = now[m] == -INFINITY ? 0.0f : now[m];
    }
    after = load(now);
  }
  store(s.factor, exp2_negative(sub(before, select(eq(after, lowest), zero(), after))));
  store_n(most, after, s.rows);
}

// Work beside the products of values with a tile whose weights stand: partial maxima of `rows` rows of
// `vectors` whole vectors of scores, and scaled queries of `next` rows.
struct RowWork {
  const float *scores, *most;
  float* tops;  // 16 a row
  int64_t rows = 0, vectors, next;
  const float* from[16];  // the next rows' queries
  float* to;
  int64_t width;
  float factor;
  bool done = false;
};

// Scores of row m to weights, with 0 up to whole vectors of n.
FP_INLINE void weigh_row(ScoredRows& s, int64_t m) {
  float* row = s.scores + m * kScorePitch;
  s.added[m] = block_weights(row, s.seen[m], round16(s.n), set1(s.top[m]));
}

FP_INLINE void move_sums(const ScoredRows& s, float* sum) {
  store_n(sum, fma(load_n(sum, s.rows), load(s.factor), load(s.added)), s.rows);
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
