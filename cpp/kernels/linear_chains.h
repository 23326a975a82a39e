// The register tile of a linear with few outputs (P = 2 or 4 chains) where registers are few and rows
// are not: one chain after the other, each over all rows of the tile, so that a load of w serves MR
// rows; a tile of all chains (linear_tile) could hold but one. The bits are the same.
#pragma once

#include "linear_tile.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

template <int MR, int P>
FP_NOINLINE void linear_chains_tile(const TileArgs& t) {
  static_assert(P == 2 || P == 4, "the joins below");
  const float* x[MR];
  FP_UNROLL
  for (int m = 0; m < MR; ++m) x[m] = t.x + m * t.ldx;
  float sums[P][MR][16];
  for (int p = 0; p < P; ++p) {
    f32x16 acc[MR];
    FP_UNROLL
    for (int m = 0; m < MR; ++m) acc[m] = zero();
    for (int64_t i = p; i < t.k; i += P) {
      const f32x16 b = in_register(load(t.w + 16 * i));
      FP_UNROLL
      for (int m = 0; m < MR; ++m) acc[m] = fma(set1(x[m][i]), b, acc[m]);
    }
    FP_UNROLL
    for (int m = 0; m < MR; ++m) store(sums[p][m], acc[m]);
  }
  const f32x16 bias = t.bias ? load_n(t.bias, t.last) : zero();
  for (int m = 0; m < MR; ++m) {
    f32x16 sum = add(load(sums[0][m]), load(sums[1][m]));
    if constexpr (P == 4) sum = add(sum, add(load(sums[2][m]), load(sums[3][m])));
    if (t.bias) sum = add(sum, bias);
    store_n(t.y + m * t.ldy, sum, t.last);
  }
}

// Whether a tile of `rows` rows, one vector and P chains goes that way.
FP_INLINE bool chain_by_chain(int64_t rows, int64_t nv, int64_t p) {
  return kNarrow && kMR > 2 && nv == 1 && p > 1 && rows > 2;
}

template <int P>
FP_INLINE TileFn chains_tile_for_rows(int64_t mr) {
  constexpr int kMax = kNarrow ? static_cast<int>(kMR) : 1;
  switch (mr) {
    case 6: return linear_chains_tile<(kMax < 6 ? kMax : 6), P>;
    case 5: return linear_chains_tile<(kMax < 5 ? kMax : 5), P>;
    case 4: return linear_chains_tile<(kMax < 4 ? kMax : 4), P>;
    default: return linear_chains_tile<(kMax < 3 ? kMax : 3), P>;
  }
}
FP_INLINE TileFn chains_tile_for(int64_t mr, int64_t p) {
  return p == 4 ? chains_tile_for_rows<4>(mr) : chains_tile_for_rows<2>(mr);
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
