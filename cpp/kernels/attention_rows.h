// A tile of attention, its arrays, and how its rows begin and end.
#pragma once

#include "attention_softmax.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

// Rows of a tile, for which a block of keys is packed once, where keys and values are 64 wide.
constexpr int64_t kQueryRows = 1032;
constexpr double kLog2EDouble = 1.4426950408889634;

constexpr int64_t query_floats(int64_t width) {
  return (width + kQueryPitch - 1) / kQueryPitch * kQueryPitch;
}

// Rows [r0, r0 + rows) of a key head, and where their arrays stand in scratch.
struct AttentionTile {
  const AttentionArgs& a;
  int64_t b, kv, r0, rows;
  int64_t group;                 // query heads; divisions by it take longer than what they are for
  int64_t padded;                // value_width in whole vectors
  bool one_block;                // of keys
  const float *k_head, *v_head;  // of the first key
  float *scores, *sums, *tops;   // scores of two row tiles, partial sums and maxima of one
  float *values, *y;             // a block's values, outputs
  float *most, *sum, *keys, *q;  // state of each row, a block's keys, scaled queries

  int64_t query(int64_t r) const { return group == 1 ? r0 + r : (r0 + r) / group; }
  int64_t head(int64_t r) const { return group == 1 ? kv : kv * group + (r0 + r) % group; }
  // Queries: tile by tile, [width / kQueryPitch][kTileRows][kQueryPitch]. One block needs those of two
  // tiles at a time, which stay in L1.
  float* query_row(int64_t r) const {
    const int64_t tile = one_block ? r / kTileRows % 2 : r / kTileRows;
    return q + tile * kTileRows * query_floats(a.width) + r % kTileRows * kQueryPitch;
  }
};

// The tile's rows from r on, one by one: the heads of the group, then the next query.
struct RowWalk {
  int64_t query, head, first, end;
  FP_INLINE RowWalk(const AttentionTile& t, int64_t r)
      : query(t.query(r)), head(t.head(r)), first(t.kv * t.group), end(first + t.group) {}
  FP_INLINE void next() {
    if (++head == end) {
      head = first;
      ++query;
    }
  }
  FP_INLINE int64_t at(const int64_t (&step)[3]) const { return head * step[1] + query * step[2]; }
};

// Floats of the arrays in order; state is loaded in whole vectors.
struct AttentionSizes {
  int64_t scores, sums, tops, values, y, state, keys, q;
  AttentionSizes(const AttentionArgs& a, int64_t rows) {
    const int64_t block = min64(a.keys, kKeyBlock), padded = round16(a.value_width);
    const int64_t tiles = (rows + kTileRows - 1) / kTileRows;
    scores = kPanel == 64 ? 2 * kLaneFloats : 2 * kTileRows * kScorePitch;
    sums = 64 * 16;
    tops = 16 * 16;
    values = block * padded;
    y = rows * padded;
    state = round16(rows);
    keys = (block + kPanel - 1) / kPanel * kPanel * a.width;
    q = (a.keys <= kKeyBlock ? min64(tiles, 2) : tiles) * kTileRows * query_floats(a.width);
    if (kPanel == 64) q += kLaneQueries * query_floats(a.width);
  }
};

int64_t attention_scratch(const AttentionArgs& a, int64_t rows) {
  const AttentionSizes n(a, rows);
  return n.scores + n.sums + n.tops + n.values + n.y + 2 * n.state + n.keys + n.q;
}

FP_INLINE AttentionTile tile_of(const AttentionArgs& a, int64_t b, int64_t kv, int64_t r0,
                                int64_t r1, float* scratch) {
  const AttentionSizes n(a, r1 - r0);
  float* sums = scratch + n.scores;
  float* values = sums + n.sums + n.tops;
  float* y = values + n.values;
  float* most = y + n.y;
  float* keys = most + 2 * n.state;
  return {a,
          b,
          kv,
          r0,
          r1 - r0,
          a.group(),
          round16(a.value_width),
          a.keys <= kKeyBlock,
          a.k + b * a.k_step[0] + kv * a.k_step[1],
          a.v + b * a.v_step[0] + kv * a.v_step[1],
          scratch,
          sums,
          sums + n.sums,
          values,
          y,
          most,
          most + n.state,
          keys,
          keys + n.keys};
}

// Whole vectors, then what is left of n.
template <class Step>
FP_INLINE void for_vectors(int64_t n, Step step) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) step(i, int64_t{16});
  if (i < n) step(i, n - i);
}

// Vector i of a query in its tile.
FP_INLINE int64_t query_at(int64_t i) {
  return i / kQueryPitch * kQueryPitch * kTileRows + i % kQueryPitch;
}

// In units of ln 2.
FP_INLINE float query_factor(const AttentionArgs& a) {
  return static_cast<float>(a.scale * kLog2EDouble);
}

// Rows [r0, r1): q times the scale.
FP_INLINE void begin_rows(const AttentionTile& t, int64_t r0, int64_t r1) {
  const f32x16 factor = set1(query_factor(t.a));
  const float* q = t.a.q + t.b * t.a.q_step[0];
  RowWalk walk(t, r0);
  for (int64_t r = r0; r < r1; ++r, walk.next()) {
    const float* from = q + walk.at(t.a.q_step);
    float* to = t.query_row(r);
    for_vectors(t.a.width, [&](int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
      const f32x16 x = lanes == 16 ? load(from + i) : load_n(from + i, lanes);
      store(to + query_at(i), mul(x, factor));
    });
  }
}

FP_INLINE void begin_state(const AttentionTile& t, bool packed) {
  for (int64_t i = 0; i < round16(t.rows); i += 16) {
    store(t.most + i, set1(-INFINITY));
    store(t.sum + i, zero());
  }
  if (!packed) return;
  for (int64_t i = 0; i < 80 * 16; i += 16) store(t.sums + i, zero());  // and tops
}

// Where rows [r0, r1), 16 at most, end, and 1 / sum. A row that sees nothing, or only -inf, has the sum 0
// and gives 0.
struct RowEnds {
  float* to[16];
  float scale[16];
  FP_INLINE void find(const AttentionTile& t, int64_t r0, int64_t r1) {
    const f32x16 one = set1(1.0f), sum = load_n(t.sum + r0, r1 - r0);
    store(scale, div(one, select(eq(sum, zero()), one, sum)));
    float* y = t.a.y + t.b * t.a.y_step[0];
    RowWalk walk(t, r0);
    for (int64_t r = r0; r < r1; ++r, walk.next()) to[r - r0] = y + walk.at(t.a.y_step);
  }
};

// y / sum, as a product with 1 / sum; + 0 turns -0, whose sign could tell of keys not seen, to +0.
FP_INLINE f32x16 end_value(f32x16 y, f32x16 scale) { return add(mul(y, scale), zero()); }

// The same for rows whose outputs stand in the tile.
FP_INLINE void end_rows(const AttentionTile& t, int64_t r0, int64_t r1) {
  RowEnds ends;
  ends.find(t, r0, r1);
  for (int64_t r = r0; r < r1; ++r) {
    float* to = ends.to[r - r0];
    const float* from = t.y + r * t.padded;
    const f32x16 scale = set1(ends.scale[r - r0]);
    for_vectors(t.a.value_width, [&](int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
      const f32x16 y = end_value(load(from + i), scale);
      if (lanes == 16) {
        store(to + i, y);
      } else {
        store_n(to + i, y, lanes);
      }
    });
  }
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
