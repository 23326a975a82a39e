// attention: y = softmax(q k^T scale + mask) v, a block of kKeyBlock keys after the other.
//
// Order of operations (docs/numerics.md): q scaled first; a score is one chain of fma over the width,
// an output one chain over the keys in rising order, both from +0. Blocks begin at multiples of
// kKeyBlock keys, whatever the rows: after each the running maximum may have grown, and then sum and
// output are scaled by exp(old - new). A key that is not seen takes no part.
//
// A tile is up to kQueryRows rows of one key head: all query heads of its group, position by
// position, so that keys and values are read once for the group, and causal limits lie close.
// Vectors run over keys for the scores, so keys are transposed: into panels where there are rows
// enough to pay for it, else in registers on the way. Memory: a block's keys and values, and
// the tile's queries and outputs.
#pragma once

#include "attention_softmax.h"
#include "attention_tile.h"
#include "load_block.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

constexpr int64_t kKeyBlock = 256;   // part of the numerics contract; a multiple of 64
constexpr int64_t kQueryRows = 128;  // rows of a tile
constexpr int64_t kFewRows = 8;      // up to here keys are transposed in registers
constexpr int64_t kScorePitch = kKeyBlock + 16;

// Where a tile's arrays stand in scratch.
struct AttentionTile {
  const AttentionArgs& a;
  int64_t b, kv, r0, rows;
  int64_t padded;  // value_width in whole vectors
  float *q, *y, *keys, *values, *scores;
  RowState* state;
  const float *k_head, *v_head;

  int64_t query(int64_t r) const { return (r0 + r) / a.group(); }
  int64_t head(int64_t r) const { return kv * a.group() + (r0 + r) % a.group(); }
  int64_t limit(int64_t r) const { return a.limit(query(r)); }
};

constexpr int64_t kStateFloats = 4;  // of a row
int64_t attention_scratch(const AttentionArgs& a, int64_t rows) {
  const int64_t padded = round16(a.value_width), keys = min64(round16(a.keys), kKeyBlock);
  return rows * (a.width + padded + kStateFloats) + keys * (a.width + padded) +
         kRowsPerTile * kScorePitch + 2 * kPanel * a.width + 64;
}

FP_INLINE AttentionTile tile_of(const AttentionArgs& a, int64_t b, int64_t kv, int64_t r0,
                                int64_t r1, float* scratch) {
  const int64_t padded = round16(a.value_width), rows = r1 - r0;
  AttentionTile t{a,       b,       kv,      r0,      rows,    padded,  nullptr,
                  nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr};
  t.scores = scratch;
  t.values = t.scores + kRowsPerTile * kScorePitch;
  t.y = t.values + min64(round16(a.keys), kKeyBlock) * padded;
  t.keys = t.y + rows * padded;
  t.q = t.keys + (min64(round16(a.keys), kKeyBlock) + kPanel) * a.width;
  t.state = reinterpret_cast<RowState*>(t.q + rows * a.width);
  t.k_head = a.k + b * a.k_step[0] + kv * a.k_step[1];
  t.v_head = a.v + b * a.v_step[0] + kv * a.v_step[1];
  return t;
}

FP_INLINE void begin_rows(const AttentionTile& t) {
  const f32x16 scale = set1(t.a.scale);
  for (int64_t r = 0; r < t.rows; ++r) {
    const float* from =
        t.a.q + t.b * t.a.q_step[0] + t.head(r) * t.a.q_step[1] + t.query(r) * t.a.q_step[2];
    float* to = t.q + r * t.a.width;
    for (int64_t i = 0; i < t.a.width; i += 16) {
      const int64_t lanes = min64(t.a.width - i, 16);
      store_n(to + i, mul(load_n(from + i, lanes), scale), lanes);
    }
    for (int64_t i = 0; i < t.padded; i += 16) store(t.y + r * t.padded + i, zero());
    t.state[r] = {-INFINITY, 0.0f, 0.0f};
  }
}

// y / sum, as a product with 1 / sum; + 0 turns -0, whose sign could tell of keys not seen, to +0. A
// row that sees nothing, or only -inf, has the sum 0 and gives 0.
FP_INLINE void store_rows(const AttentionTile& t) {
  for (int64_t r = 0; r < t.rows; ++r) {
    float* to =
        t.a.y + t.b * t.a.y_step[0] + t.head(r) * t.a.y_step[1] + t.query(r) * t.a.y_step[2];
    const float sum = t.state[r].sum;
    const f32x16 scale = sum == 0.0f ? set1(1.0f) : div(set1(1.0f), set1(sum));
    for (int64_t i = 0; i < t.a.value_width; i += 16) {
      const f32x16 y = add(mul(load(t.y + r * t.padded + i), scale), zero());
      store_n(to + i, y, min64(t.a.value_width - i, 16));
    }
  }
}

// Keys [k0, k0 + n) to panels of kPanel, [panel][width][kPanel], the last filled up with +0.
FP_INLINE void pack_keys(const AttentionTile& t, int64_t k0, int64_t n) {
  const int64_t ld = t.a.k_step[2], width = t.a.width;
  f32x16 v[8];
  for (int64_t j = 0; j < n; j += 16) {
    const float* from = t.k_head + (k0 + j) * ld;
    float* to = t.keys + j / kPanel * kPanel * width + j % kPanel;
    for (int64_t i = 0; i < width; i += 8) {
      const int64_t left = min64(width - i, 8);
      load_block(from + i, ld, min64(n - j, 16), left, v);
      for (int64_t c = 0; c < left; ++c) store(to + (i + c) * kPanel, v[c]);
    }
  }
}

// Values of the same keys to panels of kPanel columns, [panel][key][kPanel], the last as wide as
// needed. Says whether all of them are finite.
FP_INLINE bool copy_values(const AttentionTile& t, int64_t k0, int64_t n) {
  f32x16 bad = zero();
  for (int64_t c0 = 0; c0 < t.padded; c0 += kPanel) {
    const int64_t width = min64(t.padded - c0, kPanel);
    for (int64_t j = 0; j < n; ++j) {
      const float* from = t.v_head + (k0 + j) * t.a.v_step[2] + c0;
      float* to = t.values + c0 * n + j * width;
      for (int64_t i = 0; i < width; i += 16) {
        const f32x16 v = load_n(from + i, min64(t.a.value_width - c0 - i, 16));
        bad = fma(v, zero(), bad);
        store(to + i, v);
      }
    }
  }
  return reduce_add(bad) == 0.0f;
}

// Scores of `rows` rows from r on and keys [0, n) of the packed block.
FP_INLINE void scores_packed(const AttentionTile& t, int64_t r, int64_t rows, int64_t n) {
  ProductArgs p{t.q + r * t.a.width, t.a.width, nullptr, kPanel, nullptr,
                kScorePitch,         t.a.width, nullptr};
  for (int64_t j = 0; j < n; j += kPanel) {
    p.b = t.keys + j * t.a.width;
    p.c = t.scores + j;
    product_for<false>(rows, min64(kPanel, round16(n - j)) / 16)(p);
  }
}

// The same from the keys themselves, transposed in registers.
template <int M>
FP_NOINLINE void scores_few(const AttentionTile& t, int64_t r, int64_t k0, int64_t n) {
  const int64_t ld = t.a.k_step[2], width = t.a.width;
  const float* q = t.q + r * width;
  f32x16 v[8];
  for (int64_t j = 0; j < n; j += 16) {
    const float* from = t.k_head + (k0 + j) * ld;
    const int64_t keys = min64(n - j, 16);
    f32x16 acc[M];
    FP_UNROLL
    for (int m = 0; m < M; ++m) acc[m] = zero();
    int64_t i = 0;
    for (const int64_t whole = keys == 16 ? width - 8 : -1; i <= whole; i += 8) {
      load_transposed(from + i, ld, v);
      FP_UNROLL
      for (int c = 0; c < 8; ++c) {
        FP_UNROLL
        for (int m = 0; m < M; ++m) acc[m] = fma(set1(q[m * width + i + c]), v[c], acc[m]);
      }
    }
    for (; i < width; i += 8) {
      const int64_t left = min64(width - i, 8);
      load_block(from + i, ld, keys, left, v);
      for (int64_t c = 0; c < left; ++c) {
        FP_UNROLL
        for (int m = 0; m < M; ++m) acc[m] = fma(set1(q[m * width + i + c]), v[c], acc[m]);
      }
    }
    FP_UNROLL
    for (int m = 0; m < M; ++m) store(t.scores + m * kScorePitch + j, acc[m]);
  }
}

using ScoresFn = void (*)(const AttentionTile&, int64_t, int64_t, int64_t);
FP_INLINE ScoresFn scores_few_for(int64_t rows) {
  constexpr int kMost = kRowsPerTile;
  switch (rows) {
    case 6: return scores_few<(kMost < 6 ? kMost : 6)>;
    case 5: return scores_few<(kMost < 5 ? kMost : 5)>;
    case 4: return scores_few<(kMost < 4 ? kMost : 4)>;
    case 3: return scores_few<(kMost < 3 ? kMost : 3)>;
    case 2: return scores_few<(kMost < 2 ? kMost : 2)>;
    default: return scores_few<1>;
  }
}

// The block's values: as they are, or copied.
struct Values {
  const float* data;
  int64_t ld;  // 0: panels of copy_values
  bool finite;
};

// y = factor y + weights * values, for `rows` rows from r on and keys [0, n) of `keys` in the block.
FP_INLINE void add_values(const AttentionTile& t, const Values& v, int64_t r, int64_t rows,
                          int64_t n, int64_t keys) {
  float factor[kRowsPerTile];
  for (int64_t m = 0; m < rows; ++m) factor[m] = t.state[r + m].factor;
  ProductArgs p{t.scores, kScorePitch, nullptr, v.ld, nullptr, t.padded, n, factor};
  const int64_t most = v.ld ? most_vectors(static_cast<int>(rows)) : kPanel / 16;
  for (int64_t c = 0; c < t.padded;) {
    const int64_t nv = min64(most, (t.padded - c) / 16);
    p.b = v.data + (v.ld ? c : c * keys);
    if (!v.ld) p.ldb = min64(kPanel, t.padded - c);
    p.c = t.y + r * t.padded + c;
    product_for<true>(rows, nv)(p);
    c += 16 * nv;
  }
}

// The same key by key, leaving out those not seen: where values hold NaN or infinities, a weight of
// 0 is not nothing.
FP_NOINLINE void add_seen_values(const AttentionTile& t, int64_t r, int64_t rows, int64_t k0,
                                 int64_t n) {
  for (int64_t m = 0; m < rows; ++m) {
    float* y = t.y + (r + m) * t.padded;
    const f32x16 factor = set1(t.state[r + m].factor);
    for (int64_t i = 0; i < t.padded; i += 16) store(y + i, mul(load(y + i), factor));
    const MaskRow mask = mask_row(t.a, t.b, t.head(r + m), t.query(r + m), k0);
    const int64_t keys = min64(t.limit(r + m) - k0, n);
    for (int64_t j = 0; j < keys; ++j) {
      if (mask.bias && mask.bias[j * mask.step] == -INFINITY) continue;
      if (mask.seen && !mask.seen[j * mask.step]) continue;
      const f32x16 weight = set1(t.scores[m * kScorePitch + j]);
      const float* v = t.v_head + (k0 + j) * t.a.v_step[2];
      for (int64_t i = 0; i < t.a.value_width; i += 16) {
        const f32x16 value = load_n(v + i, min64(t.a.value_width - i, 16));
        store(y + i, fma(weight, value, load(y + i)));
      }
    }
  }
}

// Rows [r, r + rows) over keys [k0, k0 + keys), which are packed if `packed`.
FP_INLINE void attend(const AttentionTile& t, const Values& v, int64_t r, int64_t rows, int64_t k0,
                      int64_t keys, bool packed) {
  const int64_t n = min64(t.limit(r + rows - 1) - k0, keys);
  if (n <= 0) return;
  if (packed) {
    scores_packed(t, r, rows, n);
  } else {
    scores_few_for(rows)(t, r, k0, n);
  }
  bool all_seen = true;
  for (int64_t m = 0; m < rows; ++m) {
    float* s = t.scores + m * kScorePitch;
    const int64_t limit = t.limit(r + m) - k0, seen = limit < 0 ? 0 : min64(limit, n);
    const MaskRow mask = mask_row(t.a, t.b, t.head(r + m), t.query(r + m), k0);
    if (mask.given()) add_mask(mask, s, seen);
    all_seen = all_seen && seen == n && !mask.given();
    softmax_block(t.state[r + m], s, seen, round16(n));
  }
  if (all_seen || v.finite) {
    add_values(t, v, r, rows, n, keys);
  } else {
    add_seen_values(t, r, rows, k0, n);
  }
}

void attention_run(const AttentionArgs& a, int64_t b, int64_t kv, int64_t r0, int64_t r1,
                   float* scratch) {
  const AttentionTile t = tile_of(a, b, kv, r0, r1, scratch);
  begin_rows(t);
  const int64_t end = t.limit(t.rows - 1);
  const bool few = t.rows <= kFewRows, in_place = few && a.value_width % 16 == 0;
  const int64_t groups = (t.rows + kRowsPerTile - 1) / kRowsPerTile;
  for (int64_t k0 = 0; k0 < end; k0 += kKeyBlock) {
    const int64_t keys = min64(end - k0, kKeyBlock);
    if (!few) pack_keys(t, k0, keys);
    Values v{t.v_head + k0 * a.v_step[2], a.v_step[2], false};
    if (!in_place) v = {t.values, 0, copy_values(t, k0, keys)};
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t from = g * t.rows / groups, to = (g + 1) * t.rows / groups;
      attend(t, v, from, to - from, k0, keys, !few);
    }
  }
  store_rows(t);
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
