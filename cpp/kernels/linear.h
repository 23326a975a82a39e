// linear: y[m, n] = f(sum_k x[m, k] * w[n, k] + bias[n]) + residual[m, n].
//
// Order of additions (docs/numerics.md): P chains of fma over rising k, chain p taking k = p,
// p + P, ..., from +0, joined in a fixed tree. P depends on the weight's shape alone (`chains`):
// one chain where there are enough outputs to keep the pipes busy, several where there are few.
//
// Vectors run over n, so a weight is packed into panels of NR columns, [panel][k][NR] (the last
// panel as wide as needed, in steps of 16), which each tile reads as one linear stream. (Prefetching
// it by hand, 1 KiB ahead, made M = 1 1.5 times slower: the hardware follows a stream better alone.)
// x is read in place by broadcasts. The register tile is MR x 16*NV, BLIS's MR x NR.
// With at most 4 outputs and a long k ("dot form") vectors run over k instead: P = 64, w unpacked.
#pragma once

#include "linear_chains.h"
#include "linear_pack.h"
#include "linear_raw.h"
#include "linear_tile.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

// Vectors a tile spans. Wide panels: the panel's own. Narrow ones: as many panels as few rows need
// to keep enough chains in flight.
FP_INLINE int64_t vectors_per_tile(int64_t rows, int64_t columns, int64_t p) {
  const int64_t have = (columns + 15) / 16;
  if (!kNarrow) return min64(have, kNR / 16);
  if (p == 4) return 1;
  if (p == 2) return rows == 1 ? min64(have, 2) : 1;
  return min64(have, rows == 1 ? 4 : rows == 2 ? 2 : 1);
}

// Dot form: 64 partial sums over k (padded with +0 to a multiple of 64), joined in a fixed tree.
FP_INLINE float dot64(const float* x, const float* w, int64_t k) {
  f32x16 acc[4] = {zero(), zero(), zero(), zero()};
  int64_t i = 0;
  for (; i + 64 <= k; i += 64) {
    FP_UNROLL
    for (int v = 0; v < 4; ++v) {
      acc[v] = fma(load(x + i + 16 * v), load(w + i + 16 * v), acc[v]);
    }
  }
  if (i < k) {
    FP_UNROLL
    for (int v = 0; v < 4; ++v) {
      const int64_t left = k - i - 16 * v, lanes = left < 0 ? 0 : left > 16 ? 16 : left;
      const int64_t at = lanes ? i + 16 * v : 0;
      acc[v] = fma(load_n(x + at, lanes), load_n(w + at, lanes), acc[v]);
    }
  }
  return reduce_add(add(add(acc[0], acc[1]), add(acc[2], acc[3])));
}

void linear_dot(const LinearArgs& g, int64_t m0, int64_t m1, int64_t n0, int64_t n1) {
  const float* w = g.packed ? g.packed : g.raw;
  for (int64_t m = m0; m < m1; ++m) {
    for (int64_t n = n0; n < n1; ++n) {
      const float sum = dot64(g.x + m * g.ldx, w + n * g.k, g.k);
      g.y[m * g.n + n] = g.epilogue.bias ? sum + g.epilogue.bias[n] : sum;
    }
  }
  finish_rows(g.epilogue, g.y, m0 * g.n + n0, m1 - m0, n1 - n0, g.n);
}

constexpr int64_t kFetchAhead = 1 << 16;  // floats of a weight that hardly stays in L2

constexpr int64_t kPast = 1 << 21;  // floats of an output that is written past the caches

// The output would push weights and x out of the caches, and be read into them first. What follows in
// the epilogue reads it again, and wants it there.
FP_INLINE bool past_caches(const LinearArgs& g) {
  return g.m * g.n >= kPast && g.n % 16 == 0 && !g.epilogue.activation && !g.epilogue.residual &&
         reinterpret_cast<uintptr_t>(g.y) % 64 == 0;
}

constexpr int64_t kFarAway = 1 << 22;      // floats of a weight that the last cache hardly holds
constexpr int64_t kStreamAhead = 1 << 12;  // floats: what memory sends while it is waited for

// Two to four rows of a weight far away fetch it themselves: fewer of its lines fit in the window of
// instructions than with one row, and the hardware alone asks for too little.
FP_INLINE bool streamed(int64_t rows) { return !kNarrow && 2 <= rows && rows <= 4; }

// A few rows more than a tile has: one tile of all for each half of the panel, and not two of half the rows.
// Four rows multiply a panel quicker than the second cache gives it, and so it is read once. From far
// away the first half would be waited for, and so the next panel is fetched by both.
FP_INLINE bool in_halves(int64_t rows, int64_t nv, int64_t p) {
  return !kNarrow && nv == kPanelVectors && p == 1 && rows > kMR && rows <= 8;
}
FP_INLINE void linear_halves(const LinearArgs& g, TileArgs t, int64_t m0, int64_t m1, int64_t n0,
                             bool fetch, const float* read, bool adds) {
  constexpr int64_t kHalf = kNR / 2;
  const int64_t at = m0 * g.n + n0, last = t.last;
  const TileFn tile = fetch ? half_tile_for<kStreamLines / 2>(m1 - m0) : half_tile_for<0>(m1 - m0);
  t.x = g.x + m0 * g.ldx;
  t.ahead = t.w + kNR * g.k;
  for (int64_t c = 0; c < kNR; c += kHalf) {
    t.last = c ? last : 16;
    t.y = g.y + at + c;
    if (read) t.fetched = read + at + c;
    if (adds) t.residual = t.fetched;
    tile(t);
    t.w += kHalf;
    t.ahead += kHalf * g.k;
    if (t.bias) t.bias += kHalf;
  }
}

// Rows [m0, m1) of `nv` vectors of columns from n0 on, of all those up to n1, in balanced blocks of
// at most MR rows.
FP_INLINE void linear_columns(const LinearArgs& g, const float* w, int64_t m0, int64_t m1,
                              int64_t n0, int64_t n1, int64_t nv, int64_t p) {
  const Epilogue& e = g.epilogue;
  const int64_t columns = min64(16 * nv, g.n - n0);
  const int64_t most = !kNarrow || chain_by_chain(m1 - m0, nv, p)
                           ? kMR
                           : max_rows(static_cast<int>(nv), static_cast<int>(p));
  const int64_t blocks = (m1 - m0 + most - 1) / most;
  TileArgs t{nullptr,
             g.ldx,
             w,
             g.k,
             e.bias ? e.bias + n0 : nullptr,
             nullptr,
             g.n,
             columns - 16 * (nv - 1),
             nullptr,
             past_caches(g),
             nullptr,
             nullptr};
  // The next panel is fetched meanwhile, some lines at each k and block of rows, until it is all in
  // L2: by as many blocks as there are, so that memory is asked for little at a time, and if possible
  // not by the first, which of the first panel of all finds nothing there.
  const bool more = g.packed && nv == kPanelVectors && p == 1 && n0 + kNR < n1 && blocks > 1 &&
                    g.n * g.k >= kFetchAhead;
  const int64_t first = blocks > nv ? 1 : 0, fetching = blocks > nv ? nv : blocks;
  const bool adds = e.residual && !e.activation && p == 1 && t.last == 16;  // the tile itself does
  const float* read = e.residual ? e.residual : e.activation ? g.y : nullptr;
  const bool far =
      g.packed && nv == kPanelVectors && p == 1 && n0 + kNR < n1 && g.n * g.k > kFarAway;
  if (in_halves(m1 - m0, nv, p)) {
    linear_halves(g, t, m0, m1, n0, far, read, adds);
    if (!adds) finish_rows(e, g.y, m0 * g.n + n0, m1 - m0, columns, g.n);
    return;
  }
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t r0 = m0 + b * (m1 - m0) / blocks, r1 = m0 + (b + 1) * (m1 - m0) / blocks;
    const int64_t at = r0 * g.n + n0;
    t.x = g.x + r0 * g.ldx;
    t.y = g.y + at;
    const int64_t turn = b - first, line = nv * turn / fetching;
    const int64_t lines =
        more && turn >= 0 && turn < fetching ? nv * (turn + 1) / fetching - line : 0;
    t.ahead = w + 16 * (nv + line) * g.k;
    if (read) t.fetched = read + at;
    if (adds) t.residual = t.fetched;
    const bool in_turn = chain_by_chain(r1 - r0, nv, p), stream = far && streamed(m1 - m0);
    if (stream) t.ahead = w + kStreamAhead;
    (in_turn  ? chains_tile_for(r1 - r0, p)
     : stream ? stream_tile_for(r1 - r0)
              : tile_for(r1 - r0, nv, p, t.last, lines))(t);
    if (!adds) finish_rows(e, g.y, at, r1 - r0, columns, g.n);
  }
}

void linear_run(const LinearArgs& g, int64_t m0, int64_t m1, int64_t n0, int64_t n1,
                float* scratch) {
  const int64_t p = chains(g.n, g.k);
  if (p == 64) return linear_dot(g, m0, m1, n0, n1);
  if (!g.packed && p == 1 && m1 - m0 <= kFewRows) {
    return linear_raw_rows(g, m0, m1, n0, n1);
  }
  for (int64_t n = n0; n < n1;) {
    // Raw weights are packed a panel at a time.
    const int64_t nv =
        g.packed ? vectors_per_tile(m1 - m0, n1 - n, p) : min64(kNR / 16, (n1 - n + 15) / 16);
    if (!g.packed) {
      pack_panel(g.raw + n * g.k, min64(kNR, g.n - n), g.k, panel_width(g.n, n), scratch);
    }
    linear_columns(g, g.packed ? g.packed + n * g.k : scratch, m0, m1, n, n1, nv, p);
    n += 16 * nv;
  }
  if (past_caches(g)) end_past();
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
