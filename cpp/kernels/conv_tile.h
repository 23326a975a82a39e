// The register tile of every convolution: MR output channels x 16*NV positions, the weights as
// broadcasts, the input as vectors of neighbouring positions. A tap is a pointer offset.
//
// Order of additions (docs/numerics.md): one chain of fma over (c, tap), c outer, both rising, from
// +0.
#pragma once

#include "epilogue.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

constexpr int64_t kConvMR = FP_CONV_MR;

// Vectors of time per register tile, so that MR * NV accumulators fill the registers.
constexpr int conv_vectors(int mr) {
  if (kConvMR == 8) return mr <= 2 ? 8 : mr <= 4 ? 6 : mr <= 6 ? 4 : 3;  // 32 registers of 16
  if (kConvMR >= 5) return mr == 1 ? 4 : mr == 2 ? 2 : 1;  // 16 registers of 8, 32 of 4
  return 1;
}

struct ConvTileArgs {
  const float* x;  // scratch at the tile's first position, channel 0
  int64_t channel_step;
  const int64_t* tap_offset;
  int64_t in, taps;
  const float* w;  // [in][taps][MR]
  const float* bias;
  float* y;
  int64_t ldy;
  int64_t last;  // lanes of the last vector that are stored, 1 to 16
};

template <int MR, int NV>
FP_NOINLINE void conv_tile(const ConvTileArgs& t) {
  const float* FP_RESTRICT w = t.w;
  const float* FP_RESTRICT row = t.x;
  const int64_t* FP_RESTRICT offset = t.tap_offset;
  const int64_t taps = t.taps, channel_step = t.channel_step;
  f32x16 acc[MR][NV];
  FP_UNROLL
  for (int m = 0; m < MR; ++m) {
    FP_UNROLL
    for (int j = 0; j < NV; ++j) acc[m][j] = zero();
  }
  for (int64_t c = t.in; c > 0; --c) {
    for (int64_t tap = 0; tap < taps; ++tap) {
      const float* FP_RESTRICT x = row + offset[tap];
      f32x16 b[NV];
      FP_UNROLL
      for (int j = 0; j < NV; ++j) b[j] = load(x + 16 * j);
      FP_UNROLL
      for (int m = 0; m < MR; ++m) {
        const f32x16 a = set1(w[m]);
        FP_UNROLL
        for (int j = 0; j < NV; ++j) acc[m][j] = fma(a, b[j], acc[m][j]);
      }
      w += MR;
    }
    row += channel_step;
  }
  FP_UNROLL
  for (int m = 0; m < MR; ++m) {
    const f32x16 bias = t.bias ? set1(t.bias[m]) : zero();
    FP_UNROLL
    for (int j = 0; j < NV; ++j) {
      const f32x16 sum = t.bias ? add(acc[m][j], bias) : acc[m][j];
      float* y = t.y + m * t.ldy + 16 * j;
      if (j < NV - 1 || t.last == 16) {
        store(y, sum);
      } else {
        store_n(y, sum, t.last);
      }
    }
  }
}

using ConvTileFn = void (*)(const ConvTileArgs&);
template <int MR>
FP_INLINE ConvTileFn conv_tile_for_vectors(int64_t nv) {
  constexpr int kMax = conv_vectors(MR);
  switch (nv) {
    case 8: return conv_tile<MR, (kMax < 8 ? kMax : 8)>;
    case 7: return conv_tile<MR, (kMax < 7 ? kMax : 7)>;
    case 6: return conv_tile<MR, (kMax < 6 ? kMax : 6)>;
    case 5: return conv_tile<MR, (kMax < 5 ? kMax : 5)>;
    case 4: return conv_tile<MR, (kMax < 4 ? kMax : 4)>;
    case 3: return conv_tile<MR, (kMax < 3 ? kMax : 3)>;
    case 2: return conv_tile<MR, (kMax < 2 ? kMax : 2)>;
    default: return conv_tile<MR, 1>;
  }
}
FP_INLINE ConvTileFn conv_tile_for(int64_t mr, int64_t nv) {
  constexpr int kMax = static_cast<int>(kConvMR);
  switch (mr) {
    case 8: return conv_tile_for_vectors<(kMax < 8 ? kMax : 8)>(nv);
    case 7: return conv_tile_for_vectors<(kMax < 7 ? kMax : 7)>(nv);
    case 6: return conv_tile_for_vectors<(kMax < 6 ? kMax : 6)>(nv);
    case 5: return conv_tile_for_vectors<(kMax < 5 ? kMax : 5)>(nv);
    case 4: return conv_tile_for_vectors<(kMax < 4 ? kMax : 4)>(nv);
    case 3: return conv_tile_for_vectors<(kMax < 3 ? kMax : 3)>(nv);
    case 2: return conv_tile_for_vectors<(kMax < 2 ? kMax : 2)>(nv);
    default: return conv_tile_for_vectors<1>(nv);
  }
}

// Output channels come in balanced blocks of at most MR: the first of block i of `blocks`.
FP_INLINE int64_t block_count(int64_t out) { return (out + kConvMR - 1) / kConvMR; }
FP_INLINE int64_t block_first(int64_t i, int64_t blocks, int64_t out) { return i * out / blocks; }

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
