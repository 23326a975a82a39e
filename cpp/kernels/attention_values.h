// The outputs of attention: weights times values, block by block.
#pragma once

#include "attention_pack.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

// Whether tiles of NV vectors end their rows: not where registers are few, since the end would take one
// of the products', nor narrow ones, for little more than code.
constexpr bool end_in_tile(int64_t vectors) { return kPanel == 64 && vectors % 4 == 0; }

struct ValueArgs {
  const float* weights;
  const float* values;
  int64_t ldv;
  float* y;
  int64_t ldy;
  int64_t keys;
  const float* factor;  // of each row, null: y begins at +0
  float* const* to;     // where each row ends (+ column), null: in y, to be continued
  const float* scale;   // and what it is multiplied by then
  int64_t column;
};

// `work` beside as many steps of the product as its rows have vectors; returns their number. For each
// row its query comes first, then a vector of scores with each step; where the tile's outputs end is
// fetched meanwhile.
template <int MR, int NV>
FP_INLINE int64_t steps_beside(f32x16 (&acc)[MR][NV], const ValueArgs& t, RowWork& work) {
  const float *a = t.weights, *b = t.values, *s = work.scores;
  f32x16 v[NV];
  for (int64_t m = 0; m < work.rows; ++m, s += kScorePitch) {
    if (m < work.next) {
      const float* from = work.from[m];
      float* to = work.to + m * kQueryPitch;
      for (int64_t i = 0; i < work.width; i += 16) {
        store(to + query_at(i), mul(load(from + i), set1(work.factor)));
      }
    }
    if (t.to) {
      FP_UNROLL
      for (int j = 0; j < NV; ++j) FP_PREFETCH_L1(t.to[m] + t.column + 16 * j);
    }
    f32x16 top = set1(work.most[m]);
    const float* x = s;
    for (const float* end = s + work.vectors * 16; x < end; x += 16, ++a, b += t.ldv) {
      load_columns<MR>(b, v);
      product_rows<0, MR, kScorePitch>(acc, a, v);
      top = max(load(x), top);
    }
    store(work.tops + 16 * m, top);
  }
  work.done = true;
  return work.rows * work.vectors;
}

// y = factor y + weights * values, the first product rounded by itself.
template <int MR, int NV, bool Beside>
FP_NOINLINE void values_tile(const ValueArgs& t, RowWork& work) {
  f32x16 acc[MR][NV];
  const float *y = t.y, *factor = t.factor;
  FP_UNROLL
  for (int m = 0; m < MR; ++m) {
    FP_UNROLL
    for (int j = 0; j < NV; ++j) {
      acc[m][j] = factor ? mul(load(y + m * t.ldy + 16 * j), set1(factor[m])) : zero();
    }
  }
  int64_t i = 0;
  if constexpr (Beside) i = steps_beside(acc, t, work);
  product_steps<kScorePitch>(acc, t.weights + i, t.values + i * t.ldv, t.ldv, t.keys - i);
  if (!end_in_tile(NV) || !t.to) return store_tile(acc, t.y, t.ldy);
  FP_UNROLL
  for (int m = 0; m < MR; ++m) {
    const f32x16 scale = set1(t.scale[m]);
    float* to = t.to[m] + t.column;
    FP_UNROLL
    for (int j = 0; j < NV; ++j) store(to + 16 * j, end_value(acc[m][j], scale));
  }
}

using ValuesFn = void (*)(const ValueArgs&, RowWork&);
template <int NV>
FP_INLINE ValuesFn values_for(int64_t rows, bool beside) {
  return with_rows<kFewTileRows>(rows, [&](auto n) FP_INLINE_LAMBDA -> ValuesFn {
    constexpr int kRows = n.value, kMost = most_vectors(kRows), kVectors = kMost < NV ? kMost : NV;
    if constexpr (kPanel == 64 && kRows == kFewTileRows && kVectors == 4) {
      if (beside) return values_tile<kRows, kVectors, true>;
    }
    return values_tile<kRows, kVectors, false>;
  });
}

// The outputs of a tile whose weights stand, with values of a block's `keys`, and `work` beside where it
// fits; after the `last` block each row goes where it ends. Rows in sixes: wide tiles read whole rows
// of values.
FP_INLINE void add_values(const AttentionTile& t, const Values& v, const ScoredRows& s,
                          int64_t keys, bool first, bool last, RowWork& work) {
  RowEnds ends;
  if (last) ends.find(t, s.r, s.r + s.rows);
  for (int64_t m = 0; m < s.rows; m += kFewTileRows) {
    const int64_t rows = min64(kFewTileRows, s.rows - m);
    ValueArgs p{s.scores + m * kScorePitch,
                nullptr,
                v.ld,
                nullptr,
                t.padded,
                s.n,
                first ? nullptr : s.factor + m,
                last ? ends.to + m : nullptr,
                ends.scale + m,
                0};
    const int64_t most = v.ld ? most_vectors(static_cast<int>(rows)) : kPanel / 16;
    for (int64_t c = 0; c < t.padded;) {
      const int64_t nv = min64(most, (t.padded - c) / 16);
      p.values = v.data + (v.ld ? c : c * keys);
      if (!v.ld) p.ldv = min64(kPanel, t.padded - c);
      p.y = t.y + (s.r + m) * t.padded + c;
      p.column = c;
      c += 16 * nv;
      const bool beside = !work.done && work.rows > 0 && work.rows * work.vectors <= s.n;
      switch (nv) {
        case 1: values_for<1>(rows, beside)(p, work); break;
        case 2: values_for<2>(rows, beside)(p, work); break;
        case 3: values_for<3>(rows, beside)(p, work); break;
        default: values_for<4>(rows, beside)(p, work);
      }
    }
  }
}

// The same key by key, leaving out those not seen: where values hold NaN or infinities, a weight of
// 0 is not nothing.
FP_NOINLINE void add_seen_values(const AttentionTile& t, const ScoredRows& s, int64_t k0,
                                 bool first) {
  for (int64_t m = 0; m < s.rows; ++m) {
    float* y = t.y + (s.r + m) * t.padded;
    for (int64_t i = 0; i < t.padded; i += 16) {
      store(y + i, first ? zero() : mul(load(y + i), set1(s.factor[m])));
    }
    const MaskRow mask = mask_row(t.a, t.b, t.head(s.r + m), t.query(s.r + m), k0);
    for (int64_t j = 0; j < s.seen[m]; ++j) {
      if (!mask.sees(j)) continue;
      const f32x16 weight = set1(s.scores[m * kScorePitch + j]);
      const float* v = t.v_head + (k0 + j) * t.a.v_step[2];
      for_vectors(t.a.value_width, [&](int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
        store(y + i, fma(weight, load_n(v + i, lanes), load(y + i)));
      });
    }
  }
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
