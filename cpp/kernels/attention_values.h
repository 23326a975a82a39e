// The outputs of attention: weights times values, block by block.
#pragma once

#include "attention_pack.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

struct ValueArgs {
  const float* weights;
  const float* values;
  int64_t ldv;
  float* y;
  int64_t ldy;
  int64_t keys;
  const float* factor;  // of each row, null: y begins at +0
};

// y = factor y + weights * values, the first product rounded by itself.
template <int MR, int NV>
FP_NOINLINE void values_tile(const ValueArgs& t) {
  f32x16 acc[MR][NV];
  const float *y = t.y, *factor = t.factor;
  FP_UNROLL
  for (int m = 0; m < MR; ++m) {
    FP_UNROLL
    for (int j = 0; j < NV; ++j) {
      acc[m][j] = factor ? mul(load(y + m * t.ldy + 16 * j), set1(factor[m])) : zero();
    }
  }
  product_steps<kScorePitch>(acc, t.weights, t.values, t.ldv, t.keys);
  store_tile(acc, t.y, t.ldy);
}

using ValuesFn = void (*)(const ValueArgs&);
template <int NV>
FP_INLINE ValuesFn values_for(int64_t rows) {
  return with_rows<kFewTileRows>(rows, [](auto n) FP_INLINE_LAMBDA -> ValuesFn {
    constexpr int kMost = most_vectors(n.value);
    return values_tile<n.value, (kMost < NV ? kMost : NV)>;
  });
}

// The outputs of a tile whose weights stand, with values of a block's `keys`. Rows in sixes: wide tiles
// read whole rows of values.
FP_INLINE void add_values(const AttentionTile& t, const Values& v, const ScoredRows& s,
                          int64_t keys, bool first) {
  for (int64_t m = 0; m < s.rows; m += kFewTileRows) {
    const int64_t rows = min64(kFewTileRows, s.rows - m);
    ValueArgs p{s.scores + m * kScorePitch,    nullptr, v.ld, nullptr, t.padded, s.n,
                first ? nullptr : s.factor + m};
    const int64_t most = v.ld ? most_vectors(static_cast<int>(rows)) : kPanel / 16;
    for (int64_t c = 0; c < t.padded;) {
      const int64_t nv = min64(most, (t.padded - c) / 16);
      p.values = v.data + (v.ld ? c : c * keys);
      if (!v.ld) p.ldv = min64(kPanel, t.padded - c);
      p.y = t.y + (s.r + m) * t.padded + c;
      c += 16 * nv;
      switch (nv) {
        case 1: values_for<1>(rows)(p); break;
        case 2: values_for<2>(rows)(p); break;
        case 3: values_for<3>(rows)(p); break;
        default: values_for<4>(rows)(p);
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
