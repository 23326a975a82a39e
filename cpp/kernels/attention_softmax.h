// The softmax of attention, a row and a block of keys at a time: masks, the running maximum, and
// the row sum of softmax (norm.h) over the block.
#pragma once

#include <math.h>

#include "../kernels.h"
#include "../simd/math.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

// What is added to a row's scores, -inf where a key is not seen; from the block's first key on.
struct MaskRow {
  const float* bias = nullptr;
  const uint8_t* seen = nullptr;
  int64_t step = 0;

  FP_INLINE bool given() const { return bias || seen; }
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
  const f32x16 lowest = set1(-INFINITY);
  for (int64_t i = 0; i < n; i += 16) {
    const f32x16 added = mask.at(i, n - i < 16 ? n - i : 16);
    store(s + i, select(eq(added, lowest), lowest, add(load(s + i), added)));
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

// s[i] = exp(s[i] - top) for i < n, +0 from there to `padded`, a multiple of 16; their sum.
FP_INLINE float block_exp(float* s, int64_t n, int64_t padded, float top) {
  const f32x16 most = set1(top);
  f32x16 sum[4] = {zero(), zero(), zero(), zero()};
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) {
    FP_UNROLL
    for (int v = 0; v < 4; ++v) {
      const f32x16 e = exp(sub(load(s + i + 16 * v), most));
      store(s + i + 16 * v, e);
      sum[v] = add(sum[v], e);
    }
  }
  FP_UNROLL
  for (int v = 0; v < 4; ++v) {
    const int64_t at = i + 16 * v;
    if (at < n) {
      f32x16 e = exp(sub(load(s + at), most));
      if (n - at < 16) e = keep_n(e, n - at);
      store(s + at, e);
      sum[v] = add(sum[v], e);
    }
  }
  for (i = (n + 15) / 16 * 16; i < padded; i += 16) store(s + i, zero());
  return reduce_add(add(add(sum[0], sum[1]), add(sum[2], sum[3])));
}

// Of one number, as the vector function gives it.
FP_INLINE float exp_of(float x) {
  float lanes[16];
  store(lanes, exp(set1(x)));
  return lanes[0];
}

// What a row carries from one block of keys to the next.
struct RowState {
  float most, sum, factor;
};

// Scores of a block to weights; the state moves on, `factor` scaling what came before. Where nothing
// is seen yet the maximum is -inf, and 0 stands for it, so that exp gives 0 and not NaN.
FP_INLINE void softmax_block(RowState& row, float* s, int64_t n, int64_t padded) {
  const float most = block_max(s, n, row.most), top = most == -INFINITY ? 0.0f : most;
  row.factor = exp_of(row.most - top);
  row.most = most;
  const float sum = block_exp(s, n, padded, top);
  float lanes[16];
  store(lanes, fma(set1(row.sum), set1(row.factor), set1(sum)));
  row.sum = lanes[0];
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
