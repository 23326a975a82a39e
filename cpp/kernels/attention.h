// attention: y = softmax(q k^T scale + mask) v, a block of kKeyBlock keys after the other.
//
// Order of operations (docs/numerics.md): q is scaled first; a score is one chain of fma over the
// width, an output one chain over the keys in rising order, both from +0. Blocks begin at multiples of
// kKeyBlock keys, whatever the rows: after each the running maximum may have grown, and then sum and
// output are scaled by 2^(old - new). A key that is not seen takes no part.
//
// A tile is up to kQueryRows rows of one key head: all query heads of its group, position by
// position, so that keys and values are read once for the group, and causal limits lie close.
// Vectors run over keys for the scores (over queries in attention_lanes.h), so keys are transposed:
// into panels where there are rows enough to pay for it, else in registers on the way. Memory: a
// block's keys and values, and the tile's queries and outputs.
#pragma once

#include "attention_lanes.h"
#include "attention_scores.h"
#include "attention_values.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

constexpr int64_t kFewRows = 8;  // up to here keys are transposed in registers

// A block of keys, and how it is read.
struct KeyBlock {
  int64_t k0, keys;
  bool packed, first, last;
  Values values;
};

// s: rows [r, r + rows) and the keys of the block that they see.
FP_INLINE void begin_scored(const AttentionTile& t, const KeyBlock& b, int64_t r, int64_t rows,
                            float* scores, ScoredRows& s) {
  s.scores = scores;
  s.r = r;
  s.rows = rows;
  const int64_t last = t.a.limit(t.query(r + rows - 1)) - b.k0;
  s.n = last < 0 ? 0 : min64(last, b.keys);
  s.plain = true;
  RowWalk walk(t, r);
  for (int64_t m = 0; m < rows; ++m, walk.next()) {
    const int64_t limit = t.a.limit(walk.query) - b.k0;
    s.seen[m] = limit < 0 ? 0 : min64(limit, s.n);
    s.plain = s.plain && s.seen[m] == s.n;
  }
  s.all = s.plain && !(t.a.bias || t.a.seen);
}

// The weights of rows from m on, whose maxima are known.
FP_NOINLINE void weigh_rows(ScoredRows& s, int64_t m) {
  for (; m < s.rows; ++m) weigh_row(s, m);
}

// The run of weights that may be computed beside products: rows that see whole runs of 64 keys.
FP_INLINE WeighRun run_of(const AttentionTile& t, ScoredRows& s) {
  const bool whole = s.rows > 0 && s.plain && s.n % 64 == 0;
  return {&s, t.sums, 0, whole ? 4 * s.rows : 0, s.n / 64};
}

// Maxima of rows whose scores stand and queries of rows [r, r + next), where they may be computed beside
// products.
FP_INLINE void begin_work(const AttentionTile& t, const ScoredRows& s, int64_t r, int64_t next,
                          RowWork& work) {
  const bool whole = s.plain && s.n > 0 && s.n % 16 == 0 && t.a.width % 16 == 0 && next <= s.rows;
  if (!whole) return;
  work.rows = s.rows;
  work.scores = s.scores;
  work.most = t.most + s.r;
  work.tops = t.tops;
  work.vectors = s.n / 16;
  work.next = next;
  if (next == 0) return;
  const float* q = t.a.q + t.b * t.a.q_step[0];
  RowWalk walk(t, r);
  for (int64_t m = 0; m < next; ++m, walk.next()) work.from[m] = q + walk.at(t.a.q_step);
  work.to = t.query_row(r);
  work.width = t.a.width;
  work.factor = query_factor(t.a);
}

// What is left of a run, and the rows that are not in it.
FP_INLINE void weigh_rest(ScoredRows& s, WeighRun& w) {
  if (w.end == 0) return weigh_rows(s, 0);
  for (; w.at < w.end; ++w.at) weigh_partial(w);
  store(s.added, joined_sums(w.sums, s.rows));
}

// Scores of a tile, and weights of the one before: no result of the one enters the other.
FP_INLINE void score(const AttentionTile& t, const KeyBlock& b, ScoredRows& s, ScoredRows& before) {
  if (b.packed) {
    WeighRun run = run_of(t, before);
    if (s.n > 0) scores_packed(t, s.scores, s.r, s.rows, s.n, run);
    weigh_rest(before, run);
  } else {
    weigh_rows(before, 0);
    scores_few_for(s.rows)(t, s.scores, s.r, b.k0, s.n);
  }
  if (t.a.bias || t.a.seen) {
    for (int64_t m = 0; m < s.rows; ++m) {
      const MaskRow mask = mask_row(t.a, t.b, t.head(s.r + m), t.query(s.r + m), b.k0);
      add_mask(mask, s.scores + m * kScorePitch, s.seen[m]);
    }
  }
}

// Outputs of a tile whose weights stand, and `work` beside.
FP_NOINLINE void add_weighted(const AttentionTile& t, const KeyBlock& b, const ScoredRows& s,
                              RowWork& work) {
  bool ended = false;
  if (s.n > 0 || b.first) {
    move_sums(s, t.sum + s.r);
    if (s.all || b.values.finite) {
      ended = b.last && t.padded == t.a.value_width && end_in_tile(t.padded / 16);
      add_values(t, b.values, s, b.keys, b.first, ended, work);
    } else {
      add_seen_values(t, s, b.k0, b.first);
    }
  }
  if (b.last && !ended) end_rows(t, s.r, s.r + s.rows);
}

// One block of keys for all rows: the scores of each tile, beside the weights of the one before it,
// whose outputs follow, beside the tile's maxima and the queries of the next.
FP_INLINE void attend(const AttentionTile& t, const KeyBlock& b, int64_t ahead, int64_t more) {
  const int64_t step = b.packed ? kTileRows : kFewTileRows;
  ScoredRows tiles[2];
  tiles[0].rows = tiles[1].rows = 0;
  int64_t now = 0, fetched = 0;
  const int64_t share = more > 0 && b.packed ? (more * step + t.rows - 1) / t.rows : 0;
  for (int64_t r = 0; r < t.rows; r += step, now = 1 - now) {
    const int64_t rows = min64(step, t.rows - r);
    if (b.packed &&
        fetched < more) {  // the next block's keys and values, a share of them at a time
      const int64_t to = min64(fetched + share, more);
      fetch_rows_ahead(t.k_head, t.a.k_step[2], t.a.width, ahead + fetched, ahead + to);
      fetch_rows_ahead(t.v_head, t.a.v_step[2], t.a.value_width, ahead + fetched, ahead + to);
      fetched = to;
    }
    if (b.first && r == 0) begin_rows(t, 0, rows);
    const int64_t r1 = r + rows, next = b.first ? min64(step, t.rows - r1) : 0;
    ScoredRows &s = tiles[now], &before = tiles[1 - now];
    begin_scored(t, b, r, rows, t.scores + now * kTileRows * kScorePitch, s);
    score(t, b, s, before);
    RowWork work;
    if (b.packed) begin_work(t, s, r1, next, work);
    if (before.rows > 0) add_weighted(t, b, before, work);
    find_maxima(s, work.done ? t.tops : nullptr, t.most + r);
    if (next && !work.done) begin_rows(t, r1, r1 + next);
  }
  ScoredRows& last = tiles[1 - now];
  weigh_rows(last, 0);
  RowWork none;
  add_weighted(t, b, last, none);
}

// A tile with all its keys, block by block.
FP_INLINE void attend_blocks(const AttentionTile& t, int64_t end) {
  const AttentionArgs& a = t.a;
  const int64_t all_see = a.limit(t.query(0));
  const bool few = t.rows <= kFewRows, masked = a.bias || a.seen;
  // Rows of values that lie side by side, or that are read but once, need no copy.
  const bool in_place = a.value_width == t.padded && (few || a.v_step[2] == a.value_width);
  for (int64_t k0 = 0; k0 < end || k0 == 0; k0 += kKeyBlock) {
    const int64_t keys = min64(end - k0, kKeyBlock), ahead = k0 + keys;
    if (!few) pack_keys(t, k0, keys);
    const bool check = masked || ahead > all_see;
    const Values v = in_place ? values_in_place(t, k0, keys, check) : copied_values(t, k0, keys);
    const KeyBlock block{k0, keys, !few, k0 == 0, ahead == end, v};
    attend(t, block, ahead, min64(end - ahead, kKeyBlock));
  }
}

void attention_run(const AttentionArgs& a, int64_t step, int64_t first, int64_t last,
                   float* scratch) {
  const int64_t rows = a.queries * a.group(), tiles = (rows + step - 1) / step;
  Lanes lanes(scratch);
  for (int64_t i = first; i < last; ++i) {
    const int64_t head = i / tiles, r0 = (tiles - 1 - i % tiles) * step;
    const AttentionTile t =
        tile_of(a, head / a.kv_heads, head % a.kv_heads, r0, min64(r0 + step, rows), scratch);
    const int64_t end = a.limit(t.query(t.rows - 1));
    begin_state(t, t.rows > kFewRows);
    if (!lanes.attend(t, end)) attend_blocks(t, end);
  }
  lanes.finish();
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
