// conv2d with output channels in the lanes: a register tile is MR positions x NR channels, the input
// as broadcasts, the weights as vectors. For many channels: any number of positions fills the tiles,
// any step reads straight from the input, and what the padding would add is left out.
//
// Order of additions (docs/numerics.md): one chain of fma over (c, tap), c outer, both rising, from
// +0; positions outside the input take part as w * (+0). Leaving such a product out changes a sum
// in two cases only, and then the position is computed again, with all of them: where the weight is
// infinite or NaN, and where the sum is -0, which comes of underflow alone and which a product +0
// would have made +0.
#pragma once

#include "epilogue.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

constexpr int kLanesMR = FP_LINEAR_MR, kLanesNR = FP_LINEAR_NR;
constexpr int kLanesRow = kLanesNR + 16;  // floats between the sums of two positions

struct LanesTile {
  const float* x[kLanesMR];  // per position: where a tap of offset 0 reads channel c0
  int64_t channel_step, in, taps;
  const int64_t* offset;  // per tap
  const uint8_t* inside;  // per tap: bit m where position m reads within the input
  const float* w;         // [in][taps][16 * NV]
  float* sums;            // kLanesRow floats a position
  bool first;             // the sums begin
};

// kEdge: only the positions that `inside` tells; else all of them, and all of them there.
template <int NV, bool kEdge>
FP_NOINLINE void lanes_tile(const LanesTile& t) {
  const float* FP_RESTRICT w = t.w;
  const int64_t* FP_RESTRICT offset = t.offset;
  const uint8_t* FP_RESTRICT inside = t.inside;
  const int64_t taps = t.taps, step = t.channel_step;
  const float* x[kLanesMR];
  f32x16 acc[kLanesMR][NV];
  FP_UNROLL
  for (int m = 0; m < kLanesMR; ++m) {
    x[m] = t.x[m];
    FP_UNROLL
    for (int j = 0; j < NV; ++j)
      acc[m][j] = t.first ? zero() : load(t.sums + m * kLanesRow + 16 * j);
  }
  for (int64_t c = t.in; c > 0; --c) {
    for (int64_t tap = 0; tap < taps; ++tap) {
      const int64_t at = offset[tap];
      f32x16 b[NV];
      FP_UNROLL
      for (int j = 0; j < NV; ++j) b[j] = load(w + 16 * j);
      FP_UNROLL
      for (int m = 0; m < kLanesMR; ++m) {
        if (kEdge && !(inside[tap] & (1 << m))) continue;
        const f32x16 a = set1(x[m][at]);
        FP_UNROLL
        for (int j = 0; j < NV; ++j) acc[m][j] = fma(a, b[j], acc[m][j]);
      }
      w += 16 * NV;
    }
    FP_UNROLL
    for (int m = 0; m < kLanesMR; ++m) x[m] += step;
  }
  FP_UNROLL
  for (int m = 0; m < kLanesMR; ++m) {
    FP_UNROLL
    for (int j = 0; j < NV; ++j) store(t.sums + m * kLanesRow + 16 * j, acc[m][j]);
  }
}

using LanesTileFn = void (*)(const LanesTile&);
template <bool kEdge>
FP_INLINE LanesTileFn lanes_tile_for(int64_t nv) {
  constexpr int kMax = kLanesNR / 16;
  switch (nv) {
    case 4: return lanes_tile<(kMax < 4 ? kMax : 4), kEdge>;
    case 3: return lanes_tile<(kMax < 3 ? kMax : 3), kEdge>;
    case 2: return lanes_tile<(kMax < 2 ? kMax : 2), kEdge>;
    default: return lanes_tile<1, kEdge>;
  }
}

// What the tiles of one panel of channels share.
struct LanesPanel {
  const float* x;  // the group's first channel
  const float* w;
  int64_t vectors, channel, channels;  // of the panel: 16 lanes each; the first; how many are real
};

// The taps of one axis that read within the input: a range, since they rise.
struct TapRange {
  int64_t first = 0, last = 0;
  TapRange() = default;
  TapRange(const int64_t* at, int64_t taps, int64_t base, int64_t length) : first(0), last(taps) {
    while (first < last && base + at[first] < 0) ++first;
    while (last > first && base + at[last - 1] >= length) --last;
  }
  int64_t count() const { return last - first; }
};

// Positions [p, p + n), n <= MR: where they read; and where some lie outside or n < MR (the result),
// which taps of theirs lie inside.
FP_INLINE bool place_tile(const Conv2dArgs& g, const LanesPlan& plan, int64_t p, int64_t n,
                          int64_t* base, uint8_t* inside) {
  bool edge = n < kLanesMR;
  TapRange rows[kLanesMR], cols[kLanesMR];
  int64_t u = p / g.out_width, v = p % g.out_width;
  for (int m = 0; m < kLanesMR; ++m) {
    if (m < n) {
      rows[m] = {plan.row_at, plan.row_taps, plan.step_h * u, g.height};
      cols[m] = {plan.col_at, plan.col_taps, plan.step_w * v, g.width};
      edge = edge || rows[m].count() * cols[m].count() < g.taps;
    }
    base[m] = m < n ? plan.step_h * u * g.width + plan.step_w * v : base[0];
    if (++v == g.out_width) v = 0, ++u;
  }
  if (!edge) return false;
  for (int64_t t = 0; t < g.taps; ++t) inside[t] = 0;
  for (int m = 0; m < kLanesMR; ++m) {
    for (int64_t i = rows[m].first; i < rows[m].last; ++i) {
      uint8_t* row = inside + i * plan.col_taps;
      for (int64_t j = cols[m].first; j < cols[m].last; ++j) row[j] |= static_cast<uint8_t>(1 << m);
    }
  }
  return true;
}

// Rows of the input that a block of positions reads and the one before did not: fetched while that
// one is computed, channel by channel. 64 channels are too many streams for the hardware to follow,
// and where the input lies in memory the kernel would wait for it half of the time.
struct LanesAhead {
  int64_t first = 0, floats = 0;  // of each channel

  // None for an input that is in L2 anyway.
  LanesAhead(const Conv2dArgs& g, const LanesPlan& plan, int64_t p0, int64_t p1,
             int64_t positions) {
    constexpr int64_t kInL2 = 128 << 10;
    if (p1 >= positions || g.in * g.height * g.width < kInL2) return;
    const int64_t p2 = min64(positions, p1 + (p1 - p0)), last = plan.row_at[plan.row_taps - 1];
    const int64_t from = plan.step_h * ((p1 - 1) / g.out_width) + last + 1;
    const int64_t to = min64(g.height, plan.step_h * ((p2 - 1) / g.out_width) + last + 1);
    if (from < 0 || from >= to) return;
    first = from * g.width;
    floats = (to - from) * g.width;
  }
  FP_INLINE void fetch(const float* x, int64_t channel_step, int64_t c0, int64_t c1) const {
    for (int64_t c = c0; floats && c < c1; ++c) {
      const float* row = x + c * channel_step + first;
      for (int64_t i = 0; i < floats; i += 16) FP_PREFETCH_L2(row + i);
    }
  }
};

// The sums of positions [p0, p1) from all channels of the input, some at a time, so that their
// weights stay in L2 while they meet all the positions.
FP_INLINE void lanes_sums(const Conv2dArgs& g, const LanesPlan& plan, const LanesPanel& panel,
                          int64_t p0, int64_t p1, const LanesAhead& ahead, float* sums,
                          uint8_t* inside) {
  const int64_t tiles = (p1 - p0 + kLanesMR - 1) / kLanesMR, size = g.height * g.width;
  for (int64_t c = 0; c < g.in; c += plan.chunk) {
    const int64_t in = min64(plan.chunk, g.in - c);
    for (int64_t i = 0; i < tiles; ++i) {
      const int64_t first = i * (p1 - p0) / tiles, last = (i + 1) * (p1 - p0) / tiles;
      int64_t base[kLanesMR];
      ahead.fetch(panel.x, size, c + i * in / tiles, c + (i + 1) * in / tiles);
      const bool edge = place_tile(g, plan, p0 + first, last - first, base, inside);
      LanesTile t{{},
                  size,
                  in,
                  g.taps,
                  plan.offset,
                  inside,
                  panel.w + c * g.taps * 16 * panel.vectors,
                  sums + first * kLanesRow,
                  c == 0};
      for (int m = 0; m < kLanesMR; ++m) t.x[m] = panel.x + c * size + base[m];
      (edge ? lanes_tile_for<true>(panel.vectors) : lanes_tile_for<false>(panel.vectors))(t);
    }
  }
}

// One position and 16 channels, nothing left out.
FP_NOINLINE void lanes_whole_chain(const Conv2dArgs& g, const LanesPlan& plan,
                                   const LanesPanel& panel, int64_t p, int64_t vector,
                                   float* sums) {
  const int64_t row0 = plan.step_h * (p / g.out_width), col0 = plan.step_w * (p % g.out_width);
  const float *x = panel.x, *w = panel.w + 16 * vector;
  f32x16 acc = zero();
  for (int64_t c = 0; c < g.in; ++c, x += g.height * g.width) {
    for (int64_t i = 0; i < plan.row_taps; ++i) {
      const int64_t row = row0 + plan.row_at[i];
      for (int64_t j = 0; j < plan.col_taps; ++j, w += 16 * panel.vectors) {
        const int64_t col = col0 + plan.col_at[j];
        const bool in = row >= 0 && row < g.height && col >= 0 && col < g.width;
        acc = fma(set1(in ? x[row * g.width + col] : 0.0f), load(w), acc);
      }
    }
  }
  store(sums + 16 * vector, acc);
}

FP_INLINE bool has_negative_zero(f32x16 v) {
  const f32x16 one = set1(1.0f);
  return reduce_max(select(eq(v, zero()), neg(copysign(one, v)), neg(one))) > 0.0f;
}

// Where products were left out that would have changed the sum: see above.
FP_INLINE void complete_sums(const Conv2dArgs& g, const LanesPlan& plan, const LanesPanel& panel,
                             int64_t p0, int64_t p1, float* sums) {
  if (!plan.padded) return;
  for (int64_t p = p0; p < p1; ++p, sums += kLanesRow) {
    const TapRange rows(plan.row_at, plan.row_taps, plan.step_h * (p / g.out_width), g.height);
    const TapRange cols(plan.col_at, plan.col_taps, plan.step_w * (p % g.out_width), g.width);
    if (rows.count() * cols.count() == g.taps) continue;
    for (int64_t j = 0; j < panel.vectors; ++j) {
      if (!plan.finite || has_negative_zero(load(sums + 16 * j))) {
        lanes_whole_chain(g, plan, panel, p, j, sums);
      }
    }
  }
}

// The sums of n positions, plus bias, to the channels' planes.
FP_INLINE void lanes_write(const Conv2dArgs& g, const LanesPanel& panel, int64_t n,
                           const float* sums, float* y) {
  const float* bias = g.epilogue.bias ? g.epilogue.bias + panel.channel : nullptr;
  const int64_t size = g.out_height * g.out_width;
  for (int64_t o = 0; o < panel.channels; o += 8) {
    const int64_t count = min64(8, panel.channels - o);
    for (int64_t p = 0; p < n; p += 16) {
      f32x16 v[8];
      load_transposed(sums + p * kLanesRow + o, kLanesRow, v);
      for (int64_t i = 0; i < count; ++i) {
        const f32x16 sum = bias ? add(v[i], set1(bias[o + i])) : v[i];
        float* to = y + (o + i) * size + p;
        n - p >= 16 ? store(to, sum) : store_n(to, sum, n - p);
      }
    }
  }
}

// Blocks of positions: `plan.block` each, the last one also what is left.
FP_INLINE int64_t lanes_block_first(const LanesPlan& plan, int64_t i, int64_t positions) {
  return i < plan.blocks ? i * plan.block : positions;
}

void conv2d_run_lanes(const Conv2dArgs& g, const LanesPlan& plan, const LanesTask& task,
                      float* scratch) {
  const int64_t reduction = g.in * g.taps, positions = g.out_height * g.out_width;
  const int64_t width = (g.out + 15) / 16 * 16;  // of all panels
  uint8_t* inside = reinterpret_cast<uint8_t*>(scratch);
  float* sums = scratch + round16(g.taps);
  LanesPanel panel;
  panel.x = g.x + (task.b * g.groups + task.g) * g.in * g.height * g.width;
  for (int64_t o = task.o0; o < task.o1; o += kLanesNR) {
    panel.vectors = min64(kLanesNR, width - o) / 16;
    panel.channel = task.g * g.out + o;
    panel.channels = min64(kLanesNR, g.out - o);
    panel.w = g.packed + (task.g * width + o) * reduction;
    const int64_t plane = (task.b * g.groups * g.out + panel.channel) * positions;
    for (int64_t i = task.block0; i < task.block1; ++i) {
      const int64_t p0 = lanes_block_first(plan, i, positions);
      const int64_t p1 = lanes_block_first(plan, i + 1, positions);
      const LanesAhead ahead(g, plan, p0, p1, positions);
      lanes_sums(g, plan, panel, p0, p1, ahead, sums, inside);
      complete_sums(g, plan, panel, p0, p1, sums);
      lanes_write(g, panel, p1 - p0, sums, g.y + plane + p0);
      finish_rows(g.epilogue, g.y, plane + p0, panel.channels, p1 - p0, positions);
    }
  }
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
