// conv2d and the transposed convolutions, in one and two dimensions, on a grid of positions:
//
//   y[b, o, phase at (u, v)] = f(sum_{c, tap} w[o, c, tap] * x[b, c, step_h * u + row(tap),
//                                                                    step_w * v + col(tap)]
//                                + bias[o]) + residual
//
// Order of additions (docs/numerics.md): one chain of fma over (c, tap of the phase), c outer, both
// rising, from +0; positions outside the input take part as w * (+0).
//
// Straight on (batch, channels, rows, columns), no im2col and no col2im: a tile first copies its
// piece of the input to planes, the padding written out and the residues of rows and columns modulo
// the step apart. Then a tap is a pointer offset and vectors run along a row of the grid, or over
// many where rows of planes are as long as those of the grid (Conv2dPlan, made in ops/conv2d.cpp).
// The phases of a transposed convolution run one after the other; their results wait in `staging`
// until all columns of a piece are there, and go out interleaved.
#pragma once

#include "conv_depthwise.h"
#include "conv_interleave.h"
#include "conv_load.h"
#include "conv_tile.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

// Rows of N planes whose columns follow each other: N columns of 16 positions at once. Whether it
// could, without reading behind `end`.
template <int N>
FP_INLINE bool load_columns(const float* x, const float* end, int64_t step, int64_t n, float* to,
                            int64_t plane_step) {
  if (end - x < (round16(n) - 1) * step + N) return false;
  for (int64_t i = 0; i < n; i += 16) {
    f32x16 v[N];
    if constexpr (N == 8) {
      load_transposed(x + i * step, step, v);
    } else {  // step 4
      const float* from = x + 4 * i;
      const f32x16 a = load(from), b = load(from + 16), c = load(from + 32), d = load(from + 48);
      const f32x16 even_ab = evens(a, b), even_cd = evens(c, d);
      const f32x16 odd_ab = odds(a, b), odd_cd = odds(c, d);
      v[0] = evens(even_ab, even_cd);
      v[1] = evens(odd_ab, odd_cd);
      v[2] = odds(even_ab, even_cd);
      v[3] = odds(odd_ab, odd_cd);
    }
    FP_UNROLL
    for (int j = 0; j < N; ++j) store(to + j * plane_step + i, v[j]);
  }
  return true;
}

// Patches: planes [p, p + plan.together) of one channel.
FP_INLINE void load_planes_together(const Conv2dArgs& g, const Conv2dPlan& plan,
                                    const Conv2dTile& tile, const float* x, int64_t p, float* to) {
  const float* end = g.x + g.batch * g.groups * g.in * g.height * g.width;
  int64_t row = plan.plane[p].row + tile.u0 * plan.step_h;
  for (int64_t i = 0; i < plan.plane_rows; ++i, row += plan.step_h, to += plan.pitch) {
    const int64_t col = plan.plane[p].col + tile.v0 * plan.step_w, n = plan.plane_cols;
    const float* from = x + row * g.width;
    if (plan.together == 8 ? load_columns<8>(from + col, end, plan.step_w, n, to, plan.plane_step)
                           : load_columns<4>(from + col, end, plan.step_w, n, to, plan.plane_step))
      continue;
    for (int64_t j = 0; j < plan.together; ++j) {
      load_padded_row(from, g.width, col + j, plan.step_w, to + j * plan.plane_step, n);
    }
  }
}

FP_INLINE void load_planes(const Conv2dArgs& g, const Conv2dPlan& plan, const Conv2dTile& tile,
                           float* scratch) {
  const int64_t size = g.height * g.width;
  const float* x = g.x + (tile.b * g.groups + tile.g) * g.in * size;
  for (int64_t c = 0; c < g.in; ++c, x += size, scratch += plan.channel_step) {
    for (int64_t p = 0; p < plan.planes; ++p) {
      float* to = scratch + p * plan.plane_step;
      if (plan.together > 1) {
        if (p % plan.together == 0) load_planes_together(g, plan, tile, x, p, to);
        continue;
      }
      const int64_t col = plan.plane[p].col + tile.v0 * plan.step_w;
      int64_t row = plan.plane[p].row + tile.u0 * plan.step_h;
      for (int64_t i = 0; i < plan.plane_rows; ++i, row += plan.step_h, to += plan.pitch) {
        const bool inside = row >= 0 && row < g.height;
        load_padded_row(inside ? x + row * g.width : x, inside ? g.width : 0, col, plan.step_w, to,
                        plan.plane_cols);
      }
      store(to, zero());  // what the last row shares with the row behind it
    }
  }
}

// Positions [s, s + n) of one phase from `x` on, to rows of `ldy` floats.
FP_INLINE void run_positions(ConvTileArgs& t, const float* x, int64_t n, int64_t mr, float* y) {
  const int64_t most = conv_vectors(static_cast<int>(mr));
  for (int64_t s = 0; s < n;) {
    const int64_t left = (n - s + 15) / 16;
    const int64_t nv = left > most && left < 2 * most ? (left + 1) / 2 : min64(most, left);
    t.x = x + s;
    t.y = y + s;
    t.last = min64(16, n - s - 16 * (nv - 1));
    conv_tile_for(mr, nv)(t);
    s += 16 * nv;
  }
}

// One block of output channels: its weights, its bias, where its results go.
struct ConvBlock {
  int64_t mr;
  const float* w;
  const float* bias;
  int64_t y;  // offset of the first channel's plane in the output
};

FP_INLINE ConvTileArgs tile_args(const Conv2dArgs& g, const Conv2dPlan& plan,
                                 const ConvBlock& block, int64_t phase, int64_t ldy) {
  const Conv2dPhase& f = plan.phases[phase];
  const float* w = block.w + f.taps_before * g.in * block.mr;
  return {nullptr, plan.channel_step, f.tap_offset, g.in, f.taps, w, block.bias, nullptr, ldy, 16};
}

// One phase: straight to the output, the whole tile at once where its rows touch.
FP_INLINE void run_direct(const Conv2dArgs& g, const Conv2dPlan& plan, const Conv2dTile& tile,
                          const ConvBlock& block, const float* scratch) {
  ConvTileArgs t = tile_args(g, plan, block, 0, g.out_height * g.out_width);
  const int64_t rows = tile.u1 - tile.u0, cols = tile.v1 - tile.v0;
  float* y = g.y + block.y + tile.u0 * g.out_width + tile.v0;
  if (plan.pitch == cols && cols == g.out_width) {
    run_positions(t, scratch, rows * cols, block.mr, y);
    return;
  }
  for (int64_t i = 0; i < rows; ++i, scratch += plan.pitch, y += g.out_width) {
    run_positions(t, scratch, cols, block.mr, y);
  }
}

// Positions [s, s + n) of the tile, counted along rows of `pitch`, of all phases of row phase i are
// in `staging`, rows of `ld` floats: to where they belong.
FP_INLINE void write_phases(const Conv2dArgs& g, const Conv2dPlan& plan, const Conv2dTile& tile,
                            const ConvBlock& block, int64_t i, const float* staging, int64_t ld,
                            int64_t s, int64_t n) {
  const int64_t cols = tile.v1 - tile.v0, first = tile.v0 * plan.phases_w;
  for (int64_t at = s; at < s + n;) {
    const int64_t u = at / plan.pitch, v = at % plan.pitch;
    const int64_t row = (tile.u0 + u) * plan.phases_h + i;
    const int64_t count = min64(cols - v, s + n - at);
    if (count > 0 && row < g.out_height) {
      const int64_t start = first + v * plan.phases_w;
      const int64_t limit = min64(count * plan.phases_w, g.out_width - start);
      float* y = g.y + block.y + row * g.out_width + start;
      for (int64_t m = 0; m < block.mr; ++m) {
        interleave(staging + m * ld * plan.phases_w + (at - s), ld, plan.phases_w, limit,
                   y + m * g.out_height * g.out_width);
      }
    }
    at += plan.pitch - v;
  }
}

FP_INLINE void run_phases(const Conv2dArgs& g, const Conv2dPlan& plan, const Conv2dTile& tile,
                          const ConvBlock& block, const float* scratch, float* staging) {
  const int64_t rows = tile.u1 - tile.u0, cols = tile.v1 - tile.v0;
  const int64_t positions = (rows - 1) * plan.pitch + cols;
  const int64_t width = 16 * conv_vectors(static_cast<int>(block.mr));
  int64_t piece = plan.staging / (block.mr * plan.phases_w) / 16 * 16;
  if (piece > width) piece = piece / width * width;
  piece = min64(piece, round16(positions));
  for (int64_t i = 0; i < plan.phases_h; ++i) {
    for (int64_t s = 0; s < positions; s += piece) {
      const int64_t n = min64(piece, positions - s);
      for (int64_t j = 0; j < plan.phases_w; ++j) {
        ConvTileArgs t = tile_args(g, plan, block, i * plan.phases_w + j, piece * plan.phases_w);
        if (t.taps == 0) t.in = 0;
        run_positions(t, scratch + s, n, block.mr, staging + j * piece);
      }
      write_phases(g, plan, tile, block, i, staging, piece, s, n);
    }
  }
}

// One tap at the input's own positions: read where it lies, but for the last, incomplete vector,
// whose overread could leave the array.
FP_INLINE void run_in_place(const Conv2dArgs& g, const Conv2dPlan& plan, const Conv2dTile& tile,
                            const ConvBlock& block, const float* scratch) {
  const int64_t n = tile.v1 - tile.v0, whole = n / 16 * 16;
  ConvTileArgs t = tile_args(g, plan, block, 0, g.out_width);
  float* y = g.y + block.y + tile.v0;
  const float* x = g.x + (tile.b * g.groups + tile.g) * g.in * g.width + tile.v0;
  t.channel_step = g.width;
  run_positions(t, x, whole, block.mr, y);
  if (whole == n) return;
  t.channel_step = 16;
  run_positions(t, scratch, n - whole, block.mr, y + whole);
}

FP_INLINE void load_tail(const Conv2dArgs& g, const Conv2dTile& tile, float* scratch) {
  const int64_t n = tile.v1 - tile.v0, rest = n % 16;
  const float* x = g.x + (tile.b * g.groups + tile.g) * g.in * g.width + tile.v0 + n - rest;
  if (rest == 0) return;
  for (int64_t c = 0; c < g.in; ++c) store(scratch + 16 * c, load_n(x + c * g.width, rest));
}

// One channel of a depthwise convolution.
FP_INLINE void run_depthwise_tile(const Conv2dArgs& g, const Conv2dPlan& plan,
                                  const Conv2dTile& tile, float* scratch) {
  const int64_t plane = tile.b * g.groups + tile.g, y = plane * g.out_height * g.out_width;
  const float* bias = g.epilogue.bias ? g.epilogue.bias + tile.g : nullptr;
  run_depthwise(
      {g.x + plane * g.height * g.width, scratch, depthwise_pitch(g.out_width), g.height, g.width,
       plan.top, plan.left, g.packed + tile.g * g.taps, bias, g.y + y, g.out_width},
      plan.depthwise, plan.step_h, tile.u0, tile.u1);
  finish_rows(g.epilogue, g.y, y + tile.u0 * g.out_width, tile.u1 - tile.u0, g.out_width,
              g.out_width);
}

// Activation and residual on the rows that the tile has written.
FP_INLINE void finish_tile(const Conv2dArgs& g, const Conv2dPlan& plan, const Conv2dTile& tile,
                           const ConvBlock& block) {
  const int64_t row0 = tile.u0 * plan.phases_h, col0 = tile.v0 * plan.phases_w;
  const int64_t rows = min64(tile.u1 * plan.phases_h, g.out_height) - row0;
  const int64_t cols = min64(tile.v1 * plan.phases_w, g.out_width) - col0;
  for (int64_t m = 0; m < block.mr; ++m) {
    const int64_t at = block.y + (m * g.out_height + row0) * g.out_width + col0;
    finish_rows(g.epilogue, g.y, at, rows, cols, g.out_width);
  }
}

void conv2d_run(const Conv2dArgs& g, const Conv2dPlan& plan, const Conv2dTile& tile, float* scratch,
                float* staging) {
  if (plan.depthwise) return run_depthwise_tile(g, plan, tile, scratch);
  plan.in_place ? load_tail(g, tile, scratch) : load_planes(g, plan, tile, scratch);
  const int64_t reduction = g.in * g.taps, blocks = block_count(g.out);
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t o0 = block_first(i, blocks, g.out);
    if (o0 < tile.o0 || o0 >= tile.o1) continue;
    const int64_t channel = tile.g * g.out + o0;
    ConvBlock block;
    block.mr = block_first(i + 1, blocks, g.out) - o0;
    block.w = g.packed + channel * reduction;
    block.bias = g.epilogue.bias ? g.epilogue.bias + channel : nullptr;
    block.y = (tile.b * g.groups * g.out + channel) * g.out_height * g.out_width;
    if (plan.in_place) {
      run_in_place(g, plan, tile, block, scratch);
    } else if (plan.staging == 0) {
      run_direct(g, plan, tile, block, scratch);
    } else {
      run_phases(g, plan, tile, block, scratch, staging);
    }
    finish_tile(g, plan, tile, block);
  }
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
