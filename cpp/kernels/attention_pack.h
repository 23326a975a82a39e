// A tile of attention and its arrays: queries, keys and values where and how the products read them.
#pragma once

#include "attention_softmax.h"
#include "load_block.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

// Rows of a tile, for which a block of keys is packed once; a multiple of 12.
constexpr int64_t kQueryRows = 516;
constexpr double kLog2EDouble = 1.4426950408889634;

constexpr int64_t query_floats(int64_t width) {
  return (width + kQueryPitch - 1) / kQueryPitch * kQueryPitch;
}

// Rows [r0, r0 + rows) of a key head, and where their arrays stand in scratch.
struct AttentionTile {
  const AttentionArgs& a;
  int64_t b, kv, r0, rows;
  int64_t padded;                // value_width in whole vectors
  const float *k_head, *v_head;  // of the first key
  float *scores, *values, *y;    // scores of two row tiles and sums, a block's values, outputs
  float *most, *sum, *keys, *q;  // state of each row, a block's keys, scaled queries

  int64_t query(int64_t r) const { return (r0 + r) / a.group(); }
  int64_t head(int64_t r) const { return kv * a.group() + (r0 + r) % a.group(); }
  // Queries: tile by tile, [width / kQueryPitch][kTileRows][kQueryPitch].
  float* query_row(int64_t r) const {
    return q + r / kTileRows * kTileRows * query_floats(a.width) + r % kTileRows * kQueryPitch;
  }
};

// Floats of the arrays in order; state is loaded in whole vectors.
struct AttentionSizes {
  int64_t scores, values, y, state, keys, q;
  AttentionSizes(const AttentionArgs& a, int64_t rows) {
    const int64_t block = min64(a.keys, kKeyBlock), padded = round16(a.value_width);
    scores = 2 * kTileRows * kScorePitch + 64 * kTileRows;
    values = block * padded;
    y = rows * padded;
    state = round16(rows);
    keys = (block + kPanel - 1) / kPanel * kPanel * a.width;
    q = (rows + kTileRows - 1) / kTileRows * kTileRows * query_floats(a.width);
  }
};

int64_t attention_scratch(const AttentionArgs& a, int64_t rows) {
  const AttentionSizes n(a, rows);
  return n.scores + n.values + n.y + 2 * n.state + n.keys + n.q;
}

FP_INLINE AttentionTile tile_of(const AttentionArgs& a, int64_t b, int64_t kv, int64_t r0,
                                int64_t r1, float* scratch) {
  const AttentionSizes n(a, r1 - r0);
  float* values = scratch + n.scores;
  float* y = values + n.values;
  float* most = y + n.y;
  float* keys = most + 2 * n.state;
  return {a,
          b,
          kv,
          r0,
          r1 - r0,
          round16(a.value_width),
          a.k + b * a.k_step[0] + kv * a.k_step[1],
          a.v + b * a.v_step[0] + kv * a.v_step[1],
          scratch,
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

// Rows [r0, r1): q times the scale, in units of ln 2.
FP_INLINE void begin_rows(const AttentionTile& t, int64_t r0, int64_t r1) {
  const f32x16 factor = set1(static_cast<float>(t.a.scale * kLog2EDouble));
  int64_t query = t.query(r0), head = t.head(r0);
  const int64_t first = t.kv * t.a.group(), end = first + t.a.group();
  for (int64_t r = r0; r < r1; ++r) {
    const float* from = t.a.q + t.b * t.a.q_step[0] + head * t.a.q_step[1] + query * t.a.q_step[2];
    float* to = t.query_row(r);
    for_vectors(t.a.width, [&](int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
      const f32x16 x = lanes == 16 ? load(from + i) : load_n(from + i, lanes);
      store(to + i / kQueryPitch * kQueryPitch * kTileRows + i % kQueryPitch, mul(x, factor));
    });
    if (++head == end) {
      head = first;
      ++query;
    }
  }
}

FP_INLINE void begin_state(const AttentionTile& t) {
  for (int64_t i = 0; i < round16(t.rows); i += 16) {
    store(t.most + i, set1(-INFINITY));
    store(t.sum + i, zero());
  }
}

// Rows [r0, r1), 16 at most: y / sum, as a product with 1 / sum; + 0 turns -0, whose sign could tell of
// keys not seen, to +0. A row that sees nothing, or only -inf, has the sum 0 and gives 0.
FP_INLINE void end_rows(const AttentionTile& t, int64_t r0, int64_t r1) {
  const f32x16 one = set1(1.0f), sum = load_n(t.sum + r0, r1 - r0);
  float scales[16];
  store(scales, div(one, select(eq(sum, zero()), one, sum)));
  int64_t query = t.query(r0), head = t.head(r0);
  const int64_t first = t.kv * t.a.group(), end = first + t.a.group();
  for (int64_t r = r0; r < r1; ++r) {
    float* to = t.a.y + t.b * t.a.y_step[0] + head * t.a.y_step[1] + query * t.a.y_step[2];
    const float* from = t.y + r * t.padded;
    const f32x16 scale = set1(scales[r - r0]);
    for_vectors(t.a.value_width, [&](int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
      const f32x16 y = add(mul(load(from + i), scale), zero());
      if (lanes == 16) {
        store(to + i, y);
      } else {
        store_n(to + i, y, lanes);
      }
    });
    if (++head == end) {
      head = first;
      ++query;
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
    int64_t i = 0;
    if (n - j >= 16) {
      for (; i + 8 <= width; i += 8) {
        load_transposed(from + i, ld, v);
        FP_UNROLL
        for (int c = 0; c < 8; ++c) store(to + (i + c) * kPanel, v[c]);
      }
    }
    for (; i < width; i += 8) {
      const int64_t left = min64(width - i, 8);
      load_block(from + i, ld, min64(n - j, 16), left, v);
      for (int64_t c = 0; c < left; ++c) store(to + (i + c) * kPanel, v[c]);
    }
  }
}

// Values of keys [k0, k0 + n): how the products read them, and whether all are finite.
struct Values {
  const float* data;
  int64_t ld;  // 0: panels of kPanel columns, [panel][key][kPanel], the last as wide as needed
  bool finite;
};

FP_INLINE bool all_finite(f32x16 times_zero) { return reduce_add(times_zero) == 0.0f; }

FP_NOINLINE Values copied_values(const AttentionTile& t, int64_t k0, int64_t n) {
  f32x16 bad = zero();
  for (int64_t c = 0; c < t.padded; c += kPanel) {
    const int64_t width = min64(t.a.value_width - c, kPanel), ld = min64(t.padded - c, kPanel);
    for (int64_t j = 0; j < n; ++j) {
      const float* from = t.v_head + (k0 + j) * t.a.v_step[2] + c;
      float* to = t.values + c * n + j * ld;
      for_vectors(width, [&](int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
        const f32x16 v = lanes == 16 ? load(from + i) : load_n(from + i, lanes);
        bad = fma(v, zero(), bad);
        store(to + i, v);
      });
    }
  }
  return {t.values, 0, all_finite(bad)};
}

// The same where they lie, rows of whole vectors; `check` asks for `finite`.
FP_INLINE Values values_in_place(const AttentionTile& t, int64_t k0, int64_t n, bool check) {
  const float* data = t.v_head + k0 * t.a.v_step[2];
  f32x16 bad = zero();
  for (int64_t j = 0; check && j < n; ++j) {
    const float* from = data + j * t.a.v_step[2];
    for (int64_t i = 0; i < t.padded; i += 16) bad = fma(load(from + i), zero(), bad);
  }
  return {data, t.a.v_step[2], check && all_finite(bad)};
}

// Fetches rows [r0, r1) of a matrix whose rows are ld floats apart, while other things are computed.
FP_INLINE void fetch_rows_ahead(const float* data, int64_t ld, int64_t width, int64_t r0,
                                int64_t r1) {
  for (int64_t r = r0; r < r1; ++r) {
    for (int64_t i = 0; i < width; i += 16) FP_PREFETCH_L2(data + r * ld + i);
  }
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
