// conv1d: y[b, o, t] = f(sum_{c, j} w[o, c, j] * x[b, c, t * stride + j * dilation - pad]
//                        + bias[o])
//                      + residual[b, o, t].
//
// Order of additions (docs/numerics.md): one chain of fma over (c, j), c outer, both rising, from
// +0; positions outside the input take part as w * (+0).
//
// Straight on (batch, channels, length), no im2col: a tile first copies its piece of the input with
// the padding written out and, for stride > 1, the phases t mod stride laid side by side
// (load_input). Then a tap is a pointer offset and vectors run over time: kernels/conv_tile.h.
#pragma once

#include "conv_tile.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

// `reduction` is in * taps. A block of channels is [reduction][channels of the block].
void conv1d_pack(const float* w, int64_t groups, int64_t out, int64_t reduction, float* packed) {
  const int64_t blocks = block_count(out);
  for (int64_t g = 0; g < groups; ++g, w += out * reduction) {
    for (int64_t i = 0; i < blocks; ++i) {
      const int64_t o0 = block_first(i, blocks, out), o1 = block_first(i + 1, blocks, out);
      for (int64_t r = 0; r < reduction; ++r) {
        for (int64_t o = o0; o < o1; ++o) *packed++ = w[o * reduction + r];
      }
    }
  }
}

void conv1d_unpack(const float* packed, int64_t groups, int64_t out, int64_t reduction, float* w) {
  const int64_t blocks = block_count(out);
  for (int64_t g = 0; g < groups; ++g, w += out * reduction) {
    for (int64_t i = 0; i < blocks; ++i) {
      const int64_t o0 = block_first(i, blocks, out), o1 = block_first(i + 1, blocks, out);
      for (int64_t r = 0; r < reduction; ++r) {
        for (int64_t o = o0; o < o1; ++o) w[o * reduction + r] = *packed++;
      }
    }
  }
}

// row[i] = x[first + i * stride] for i in [0, n), +0 outside [0, length).
FP_INLINE void load_row(const float* x, int64_t length, int64_t first, int64_t stride, float* row,
                        int64_t n) {
  int64_t i = 0;
  const int64_t head = first < 0 ? min64((-first + stride - 1) / stride, n) : 0;
  const int64_t at_head = first + head * stride;
  const int64_t inside = at_head < length ? (length - at_head + stride - 1) / stride : 0;
  const int64_t stop = head + min64(inside, n - head);
  for (; i < head; ++i) row[i] = 0.0f;
  const float* source = x + at_head - head * stride;
  if (stride == 1) {
    for (; i + 16 <= stop; i += 16) store(row + i, load(source + i));
  }
  for (; i < stop; ++i) row[i] = source[i * stride];
  for (; i < n; ++i) row[i] = 0.0f;
}

// The tile's input, padded and split into phases: see Conv1dPlan.
FP_INLINE void load_input(const Conv1dArgs& g, const Conv1dPlan& plan, const Conv1dTile& tile,
                          float* scratch) {
  const float* x = g.x + (tile.b * g.groups + tile.g) * g.in * g.length;
  for (int64_t c = 0; c < g.in; ++c) {
    for (int64_t f = 0; f < plan.phases; ++f) {
      load_row(x + c * g.length, g.length, plan.phase_first[f] + tile.t0 * g.stride, g.stride,
               scratch, plan.pitch);
      scratch += plan.pitch;
    }
  }
}

void conv1d_run(const Conv1dArgs& g, const Conv1dPlan& plan, const Conv1dTile& tile,
                float* scratch) {
  load_input(g, plan, tile, scratch);
  const int64_t reduction = g.in * g.taps, blocks = block_count(g.out);
  const float* packed = g.packed + tile.g * g.out * reduction;
  const int64_t channel0 = tile.g * g.out;
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t o0 = block_first(i, blocks, g.out), mr = block_first(i + 1, blocks, g.out) - o0;
    if (o0 < tile.o0 || o0 >= tile.o1) continue;
    const int64_t row0 = (tile.b * g.groups * g.out + channel0 + o0) * g.out_length;
    const int64_t most = conv_vectors(static_cast<int>(mr));
    ConvTileArgs t{nullptr,
                   plan.phases * plan.pitch,
                   plan.tap_offset,
                   g.in,
                   g.taps,
                   packed + o0 * reduction,
                   g.epilogue.bias ? g.epilogue.bias + channel0 + o0 : nullptr,
                   nullptr,
                   g.out_length,
                   16};
    for (int64_t s = tile.t0; s < tile.t1;) {
      const int64_t nv = min64(most, (tile.t1 - s + 15) / 16);
      t.x = scratch + (s - tile.t0);
      t.y = g.y + row0 + s;
      t.last = min64(16, tile.t1 - s - 16 * (nv - 1));
      conv_tile_for(mr, nv)(t);
      s += 16 * nv;
    }
    finish_rows(g.epilogue, g.y, row0 + tile.t0, mr, tile.t1 - tile.t0, g.out_length);
  }
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
