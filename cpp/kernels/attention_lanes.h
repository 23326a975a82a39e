// Attention with queries in the lanes, 32 a tile: scores are [key][query], so that keys are read where
// they lie, number by number, and maxima and sums of the queries need no joining of lanes. Each score,
// weight, sum and output is made of the same operations in the same order as in attention.h, which does
// what this does not: masks, causal limits, blocks that are no multiple of 64 keys, other widths.
#pragma once

#include "attention_beside.h"
#include "attention_values.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

#if FP_LINEAR_NR == 64  // 32 wide registers

constexpr int kLaneKeys = 8;        // of a register tile of scores
constexpr int64_t kLaneWidth = 64;  // of keys and values, and floats from one to the next

// A tile on its way from the scores of a block to its outputs.
struct LaneTile {
  float *scores, *sums;  // [key][kLaneQueries]; partial sums, [2][64][16]: by key mod 64
  float top[kLaneQueries], factor[kLaneQueries], sum[kLaneQueries];
  int64_t keys;  // 0: no tile
  bool first, last;
  const float* values;
  float* y;  // its first row, and floats to the next
  int64_t ldy;
  float* sum_after;
};

// Whether a tile's rows see all keys that it has, and all is as wide and as long as needed here. Two tiles
// of lanes at least where blocks follow one another: the sums of one are read before the other's stand.
FP_INLINE bool fits_lanes(const AttentionTile& t, int64_t end) {
  const AttentionArgs& a = t.a;
  const bool wide = a.width == kLaneWidth && a.value_width == kLaneWidth &&
                    a.k_step[2] == kLaneWidth && a.v_step[2] == kLaneWidth;
  const bool whole = t.rows % kLaneQueries == 0 && end > 0 && end % 64 == 0 &&
                     (end <= kKeyBlock || t.rows > kLaneQueries);
  return wide && whole && t.group == 1 && a.limit(t.query(0)) == end && !(a.bias || a.seen);
}

// Weights that may be computed beside products: partial sums [at, end) of 128.
struct LaneRun {
  LaneTile* tile;
  int64_t at, end;

  float* scores() const { return tile->scores + at % 64 * kLaneQueries + at / 64 * 16; }
  const float* top() const { return tile->top + at / 64 * 16; }
  float* sum() const { return tile->sums + 16 * at; }
  int64_t keys() const { return tile->keys / 64; }  // of one partial sum
};

// Scores of `Keys` keys, beside them weights of the tile before; `most` becomes the largest of each
// query.
template <int Keys>
FP_NOINLINE void lane_scores_tile(const float* q, const float* keys, float* scores, float* most,
                                  LaneRun& w) {
  f32x16 acc[Keys][2], v[2];
  FP_UNROLL
  for (int m = 0; m < Keys; ++m) acc[m][0] = acc[m][1] = zero();
  const float* const end = keys + kLaneWidth;
  for (; w.at < w.end && keys + 2 * w.keys() <= end; ++w.at) {
    const float* top = w.top();
    float* s = w.scores();
    f32x16 sum = zero();
    for (int64_t n = w.keys(); n > 0; --n, s += 64 * kLaneQueries) {
      FP_FORGET(top);
      const f32x16 p =
          weigh_beside<kLaneWidth, kLaneQueries>(acc, keys, q, sub(load(s), load(top)));
      store(s, p);
      sum = add(sum, p);
      keys += 2;
      q += 2 * kLaneQueries;
    }
    store(w.sum(), sum);
  }
  for (; keys < end; ++keys, q += kLaneQueries) {
    load_columns<Keys>(q, v);
    product_rows<0, Keys, kLaneWidth>(acc, keys, v);
  }
  f32x16 top[2] = {load(most), load(most + 16)};
  FP_UNROLL
  for (int m = 0; m < Keys; ++m) {
    FP_UNROLL
    for (int j = 0; j < 2; ++j) {
      store(scores + m * kLaneQueries + 16 * j, acc[m][j]);
      top[j] = max(acc[m][j], top[j]);
    }
  }
  store(most, top[0]);
  store(most + 16, top[1]);
}

FP_NOINLINE void lane_weights(LaneRun& w) {
  for (; w.at < w.end; ++w.at) {
    const f32x16 top = load(w.top());
    float* s = w.scores();
    f32x16 sum = zero();
    for (int64_t n = w.keys(); n > 0; --n, s += 64 * kLaneQueries) {
      const f32x16 p = exp2_negative(sub(load(s), top));
      store(s, p);
      sum = add(sum, p);
    }
    store(w.sum(), sum);
  }
}

// The sums of 16 queries: what joins lanes elsewhere joins vectors here, in the same order.
FP_INLINE f32x16 lane_sums(const float* sums) {
  const auto four = [&](int i) FP_INLINE_LAMBDA {
    const float* s = sums + 16 * i;
    return add(add(load(s), load(s + 16 * 16)), add(load(s + 32 * 16), load(s + 48 * 16)));
  };
  f32x16 v[8];
  FP_UNROLL
  for (int i = 0; i < 8; ++i) v[i] = add(four(i), four(i + 8));
  FP_UNROLL
  for (int i = 0; i < 4; ++i) v[i] = add(v[i], v[i + 4]);
  return add(add(v[0], v[2]), add(v[1], v[3]));
}

// Outputs of MR queries from m on; `scale` is 1 while more keys are to come.
template <int MR>
FP_NOINLINE void lane_values_tile(const LaneTile& t, const float* scale, int64_t m) {
  f32x16 acc[MR][4], v[4];
  float* const y = t.y + m * t.ldy;
  FP_UNROLL
  for (int i = 0; i < MR; ++i) {
    FP_UNROLL
    for (int j = 0; j < 4; ++j) {
      acc[i][j] = t.first ? zero() : mul(load(y + i * t.ldy + 16 * j), set1(t.factor[m + i]));
    }
  }
  const float *p = t.scores + m, *b = t.values;
  for (const float* end = p + t.keys * kLaneQueries; p < end; p += kLaneQueries, b += kLaneWidth) {
    load_columns<MR>(b, v);
    product_rows<0, MR, 1>(acc, p, v);
  }
  FP_UNROLL
  for (int i = 0; i < MR; ++i) {
    FP_UNROLL
    for (int j = 0; j < 4; ++j) {
      store(y + i * t.ldy + 16 * j, end_value(acc[i][j], set1(scale[m + i])));
    }
  }
}

// Outputs of a tile whose weights stand.
FP_NOINLINE void lane_outputs(LaneTile& t) {
  float scale[kLaneQueries];
  const f32x16 one = set1(1.0f);
  for (int64_t i = 0; i < kLaneQueries; i += 16) {
    const f32x16 sum = fma(load(t.sum + i), load(t.factor + i), lane_sums(t.sums + 64 * i));
    store(scale + i, t.last ? div(one, select(eq(sum, zero()), one, sum)) : one);
    if (!t.last) store(t.sum_after + i, sum);  // where another head's sums may stand by now
  }
  for (int64_t m = 0; m < 12; m += 6) lane_values_tile<6>(t, scale, m);
  for (int64_t m = 12; m < kLaneQueries; m += 5) lane_values_tile<5>(t, scale, m);
  t.keys = 0;
}

FP_INLINE const float* lane_query(const AttentionTile& t, int64_t r) {
  const int64_t* step = t.a.q_step;
  return t.a.q + t.b * step[0] + t.kv * step[1] + (t.r0 + r) * step[2];
}

// Queries [r, r + 32) times the scale, [width][kLaneQueries].
FP_NOINLINE void begin_lanes(const AttentionTile& t, int64_t r, float* to) {
  const float* from = lane_query(t, r);
  const f32x16 factor = set1(query_factor(t.a));
  const int64_t step = t.a.q_step[2];
  f32x16 v[8];
  for (int64_t j = 0; j < kLaneQueries; j += 16) {
    for (int64_t i = 0; i < kLaneWidth; i += 8) {
      load_transposed(from + j * step + i, step, v);
      FP_UNROLL
      for (int c = 0; c < 8; ++c) store(to + (i + c) * kLaneQueries + j, mul(v[c], factor));
    }
  }
}

// Fetches two of the next tile's queries.
FP_INLINE void fetch_queries(const AttentionTile& t, int64_t r) {
  const float* q = lane_query(t, r);
  for (int64_t i = 0; i < kLaneWidth; i += 16) {
    FP_PREFETCH_L1(q + i);
    FP_PREFETCH_L1(q + t.a.q_step[2] + i);
  }
}

FP_INLINE void begin_lane_tile(LaneTile& c, const AttentionTile& t, int64_t r, int64_t k0,
                               int64_t keys) {
  const int64_t* step = t.a.y_step;
  c.keys = keys;
  c.first = k0 == 0;
  c.values = t.v_head + k0 * kLaneWidth;
  c.y = t.a.y + t.b * step[0] + t.kv * step[1] + (t.r0 + r) * step[2];
  c.ldy = step[2];
  c.sum_after = t.sum + r;
  for (int64_t i = 0; i < kLaneQueries; i += 16) {
    store(c.top + i, load(t.most + r + i));
    store(c.sum + i, load(t.sum + r + i));
  }
}

// From the maxima up to this block, `top`, and those before it, `most`, which move on.
FP_INLINE void find_lane_maxima(LaneTile& c, float* most) {
  const f32x16 lowest = set1(-INFINITY);
  for (int64_t i = 0; i < kLaneQueries; i += 16) {
    const f32x16 after = load(c.top + i), top = select(eq(after, lowest), zero(), after);
    store(c.top + i, top);
    store(c.factor + i, exp2_negative(sub(load(most + i), top)));
    store(most + i, after);
  }
}

// The two tiles that are under way: one whose scores are made, beside the weights of the other. The last
// of a block waits for the next one's first, of another head too; `finish` ends it.
class Lanes {
 public:
  explicit Lanes(float* scratch) {
    for (LaneTile& t : tiles_) {
      t.scores = scratch;
      t.sums = scratch + kKeyBlock * kLaneQueries;
      t.keys = 0;
      scratch += kLaneFloats;
    }
  }

  // A tile with keys [0, end), block by block; false: it does not fit, and nothing is under way.
  FP_NOINLINE bool attend(const AttentionTile& t, int64_t end) {
    if (!fits_lanes(t, end)) {
      finish();
      return false;
    }
    for (int64_t k0 = 0; k0 < end; k0 += kKeyBlock) {
      for (int64_t r = 0; r < t.rows; r += kLaneQueries) block(t, r, k0, end);
    }
    return true;
  }

  FP_NOINLINE void finish() {
    LaneRun run{&tiles_[1 - now_], 0, 128};
    if (run.tile->keys) end_tile(run);
  }

 private:
  static void end_tile(LaneRun& run) {
    lane_weights(run);
    lane_outputs(*run.tile);
  }

  // Rows [r, r + 32) and a block of keys from k0 on: their scores, and the outputs of the tile before.
  FP_INLINE void block(const AttentionTile& t, int64_t r, int64_t k0, int64_t end) {
    const int64_t keys = min64(end - k0, kKeyBlock);
    LaneTile& c = tiles_[now_];
    LaneRun run{&tiles_[1 - now_], 0, 0};
    float* q = t.q + (t.one_block ? 0 : r * kLaneWidth);
    if (k0 == 0) begin_lanes(t, r, q);
    begin_lane_tile(c, t, r, k0, keys);
    const bool fetch = k0 == 0 && r + kLaneQueries < t.rows;
    const int64_t all = run.tile->keys ? 128 : 0, share = 128 * kLaneKeys / keys;
    for (int64_t j = 0; j < keys; j += kLaneKeys) {
      if (fetch && j < 16 * kLaneKeys) fetch_queries(t, r + kLaneQueries + j / kLaneKeys * 2);
      run.end = min64(run.end + share, all);
      lane_scores_tile<kLaneKeys>(q, t.k_head + (k0 + j) * kLaneWidth, c.scores + j * kLaneQueries,
                                  c.top, run);
    }
    find_lane_maxima(c, t.most + r);
    c.last = k0 + keys == end;
    run.end = all;
    if (all) end_tile(run);
    now_ = 1 - now_;
  }

  LaneTile tiles_[2];
  int64_t now_ = 0;
};

#else

struct Lanes {
  explicit Lanes(float*) {}
  bool attend(const AttentionTile&, int64_t) { return false; }
  void finish() {}
};

#endif

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
