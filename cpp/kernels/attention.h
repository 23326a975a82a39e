// attention: y = softmax(q k^T scale + mask) v, a block of kKeyBlock keys after the other.
//
// Order of operations (docs/numerics.md): q is scaled first; a score is one chain of fma over the
// width, an output one chain over the keys in rising order, both from +0. Blocks begin at multiples of
// kKeyBlock keys, whatever the rows: after each the running maximum may have grown, and then sum and
// output are scaled by 2^(old - new). A key that is not seen takes no part.
//
// A tile is up to kQueryRows rows of one key head: all query heads of its group, position by
// position, so that keys and values are read once for the group, and causal limits lie close.
// Vectors run over keys for the scores, so keys are transposed: into panels where there are rows
// enough to pay for it, else in registers on the way. Memory: a block's keys and values, and
// the tile's queries and outputs.
#pragma once

#include "attention_pack.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

constexpr int64_t kFewRows = 8;  // up to here keys are transposed in registers

// Scores of `rows` rows from r on and keys [0, n) of the packed block.
FP_INLINE void scores_packed(const AttentionTile& t, int64_t r, int64_t rows, int64_t n) {
  const int64_t width = t.a.width;
  ProductArgs p{t.q + r * width, width, nullptr, kPanel, nullptr, kScorePitch, width, nullptr};
  for (int64_t j = 0; j < n; j += kPanel) {
    p.b = t.keys + j * width;
    p.c = t.scores + j;
    product_for<false>(rows, min64(kPanel, round16(n - j)) / 16)(p);
  }
}

// Those of keys [k0, k0 + n) from the keys themselves, transposed in registers. Sixteen rows side by
// side are too many streams for the hardware to follow: the next sixteen are fetched by hand.
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
    const bool more = k0 + j + 32 <= t.a.keys;
    int64_t i = 0;
    for (const int64_t whole = keys == 16 ? width - 8 : -1; i <= whole; i += 8) {
      if (more && i % 16 == 0) {
        FP_UNROLL
        for (int64_t row = 16; row < 32; ++row) FP_PREFETCH_L1(from + row * ld + i);
      }
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

// y = factor y + weights * values, for `rows` rows from r on and keys [0, n) of the block's `keys`.
FP_INLINE void add_values(const AttentionTile& t, const Values& v, int64_t r, int64_t rows,
                          int64_t n, int64_t keys, const float* factor) {
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
                                 const int64_t* seen, const float* factor) {
  for (int64_t m = 0; m < rows; ++m) {
    float* y = t.y + (r + m) * t.padded;
    for (int64_t i = 0; i < t.padded; i += 16) store(y + i, mul(load(y + i), set1(factor[m])));
    const MaskRow mask = mask_row(t.a, t.b, t.head(r + m), t.query(r + m), k0);
    for (int64_t j = 0; j < seen[m]; ++j) {
      if (!mask.sees(j)) continue;
      const f32x16 weight = set1(t.scores[m * kScorePitch + j]);
      const float* v = t.v_head + (k0 + j) * t.a.v_step[2];
      for_vectors(t.a.value_width, [&](int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
        store(y + i, fma(weight, load_n(v + i, lanes), load(y + i)));
      });
    }
  }
}

// Rows [r, r + rows) over keys [k0, k0 + keys), which are packed or not.
FP_INLINE void attend(const AttentionTile& t, const Values& v, int64_t r, int64_t rows, int64_t k0,
                      int64_t keys, bool packed) {
  const bool masked = t.a.bias || t.a.seen;
  int64_t seen[kRowsPerTile], query = t.query(r), head = (t.r0 + r) % t.a.group();
  const int64_t last = t.a.limit(t.query(r + rows - 1)) - k0, n = min64(last, keys);
  if (n <= 0) return;
  if (packed) {
    scores_packed(t, r, rows, n);
  } else {
    scores_few_for(rows)(t, r, k0, n);
  }
  bool all = !masked;
  for (int64_t m = 0; m < rows; ++m) {
    const int64_t limit = t.a.limit(query) - k0;
    seen[m] = limit < 0 ? 0 : min64(limit, n);
    all = all && seen[m] == n;
    if (masked) {
      const MaskRow mask = mask_row(t.a, t.b, t.kv * t.a.group() + head, query, k0);
      add_mask(mask, t.scores + m * kScorePitch, seen[m]);
    }
    if (++head == t.a.group()) {
      head = 0;
      ++query;
    }
  }
  float factor[16];
  softmax_block(t.scores, kScorePitch, rows, seen, round16(n), t.most + r, t.sum + r, factor);
  if (all || v.finite) {
    add_values(t, v, r, rows, n, keys, factor);
  } else {
    add_seen_values(t, r, rows, k0, seen, factor);
  }
}

void attention_run(const AttentionArgs& a, int64_t b, int64_t kv, int64_t r0, int64_t r1,
                   float* scratch) {
  const AttentionTile t = tile_of(a, b, kv, r0, r1, scratch);
  begin_rows(t, static_cast<float>(a.scale * kLog2EDouble));
  const int64_t end = a.limit(t.query(t.rows - 1)), all_see = a.limit(t.query(0));
  const bool few = t.rows <= kFewRows, masked = a.bias || a.seen;
  // Rows of values that lie side by side, or that are read but once, need no copy.
  const bool in_place = a.value_width == t.padded && (few || a.v_step[2] == a.value_width);
  const int64_t groups = (t.rows + kRowsPerTile - 1) / kRowsPerTile;
  for (int64_t k0 = 0; k0 < end; k0 += kKeyBlock) {
    const int64_t keys = min64(end - k0, kKeyBlock);
    if (!few && k0 == 0) fetch_rows_ahead(t.v_head, a.v_step[2], a.value_width, 0, keys);
    if (!few) pack_keys(t, k0, keys);
    const bool check = masked || k0 + keys > all_see;
    const Values v = in_place ? values_in_place(t, k0, keys, check) : copied_values(t, k0, keys);
    const int64_t ahead = k0 + keys, more = min64(end - ahead, kKeyBlock);
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t from = g * t.rows / groups, to = (g + 1) * t.rows / groups;
      if (!few) {  // the next block's keys and values, a share of them at a time
        const int64_t k1 = ahead + g * more / groups, k2 = ahead + (g + 1) * more / groups;
        fetch_rows_ahead(t.k_head, a.k_step[2], a.width, k1, k2);
        fetch_rows_ahead(t.v_head, a.v_step[2], a.value_width, k1, k2);
      }
      attend(t, v, from, to - from, k0, keys, !few);
    }
  }
  end_rows(t);
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
