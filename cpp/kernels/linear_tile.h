// The register tile of a linear: MR rows of x times NV vectors of packed columns.
#pragma once

#include "epilogue.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

constexpr int64_t kNR = FP_LINEAR_NR;
constexpr int64_t kMR = FP_LINEAR_MR;
// Narrow panels (NR = 16) lie NR * k floats apart; the vectors of a wide panel lie side by side.
constexpr bool kNarrow = kNR == 16;
constexpr int kPanelVectors = static_cast<int>(kNR / 16);
constexpr int kAheadLines = kPanelVectors < 2 ? 1 : 2;

FP_INLINE int64_t chains(int64_t n, int64_t k) {
  return n <= 4 && k >= 64 ? 64 : n <= 16 ? 4 : n <= 32 ? 2 : 1;
}

struct TileArgs {
  const float* x;
  int64_t ldx;
  const float* w;  // first panel
  int64_t k;
  const float* bias;  // at the tile's first column, or null
  float* y;
  int64_t ldy;
  int64_t last;        // lanes of the last vector that are stored, 1 to 16
  const float* ahead;  // Ahead * k cache lines to fetch meanwhile
  bool past;           // whole cache lines of y are written, past the caches
};

// Low8: of the last vector only the first half is stored, and so only that computed.
// Registers: P * MR * NV accumulators, NV of w, one broadcast of x (a memory operand on AVX-512).
template <int MR, int NV, int P, int Ahead, bool Low8 = false>
FP_NOINLINE void linear_tile(const TileArgs& t) {
  const auto step = [](int j, f32x16 a, f32x16 b, f32x16 c) {
    return Low8 && j == NV - 1 ? fma_low8(a, b, c) : fma(a, b, c);
  };
  constexpr int64_t kStep = kNarrow ? 16 : 16 * NV;  // floats from one k to the next
  const int64_t vector_step = kNarrow ? 16 * t.k : 16;
  const float* FP_RESTRICT w = t.w;
  const int64_t k = t.k;
  const float* x[MR];
  FP_UNROLL
  for (int m = 0; m < MR; ++m) x[m] = t.x + m * t.ldx;
  f32x16 acc[P][MR][NV];
  FP_UNROLL
  for (int p = 0; p < P; ++p) {
    FP_UNROLL
    for (int m = 0; m < MR; ++m) {
      FP_UNROLL
      for (int j = 0; j < NV; ++j) acc[p][m][j] = zero();
    }
  }
  int64_t i = 0;
  for (; i + P <= k; i += P) {
    FP_UNROLL
    for (int l = 0; l < Ahead; ++l) FP_PREFETCH_L2(t.ahead + 16 * (Ahead * i + l));
    FP_UNROLL
    for (int p = 0; p < P; ++p) {
      f32x16 b[NV];
      FP_UNROLL
      for (int j = 0; j < NV; ++j) b[j] = load(w + j * vector_step);
      if constexpr (MR > 1) {
        FP_UNROLL
        for (int j = 0; j < NV; ++j) b[j] = in_register(b[j]);
      }
      FP_UNROLL
      for (int m = 0; m < MR; ++m) {
        const f32x16 a = set1(x[m][i + p]);
        FP_UNROLL
        for (int j = 0; j < NV; ++j) acc[p][m][j] = step(j, a, b[j], acc[p][m][j]);
      }
      w += kStep;
    }
  }
  if constexpr (P > 1) {
    FP_UNROLL
    for (int p = 0; p < P - 1; ++p) {
      if (i + p < k) {
        FP_UNROLL
        for (int m = 0; m < MR; ++m) {
          const f32x16 a = set1(x[m][i + p]);
          FP_UNROLL
          for (int j = 0; j < NV; ++j) {
            acc[p][m][j] = step(j, a, load(w + j * vector_step + p * kStep), acc[p][m][j]);
          }
        }
      }
    }
  }
  FP_UNROLL
  for (int j = 0; j < NV; ++j) {
    const int64_t lanes = j == NV - 1 ? t.last : 16;
    const f32x16 bias = !t.bias ? zero() : load_n(t.bias + 16 * j, lanes);
    FP_UNROLL
    for (int m = 0; m < MR; ++m) {
      f32x16 sum = acc[0][m][j];
      if constexpr (P == 2) sum = add(sum, acc[1][m][j]);
      if constexpr (P == 4) {
        sum = add(add(sum, acc[1][m][j]), add(acc[2][m][j], acc[3][m][j]));
      }
      if (t.bias) sum = add(sum, bias);
      float* y = t.y + m * t.ldy + 16 * j;
      if (NV == kPanelVectors && P == 1 && t.past) {
        store_past(y, sum);
      } else if (lanes == 16) {
        store(y, sum);
      } else {
        store_n(y, sum, lanes);
      }
    }
  }
}

// The rows a tile may have for NV vectors and P chains, so that its accumulators stay in registers.
constexpr int max_rows(int nv, int p) {
  return kNarrow ? (nv * p == 1   ? static_cast<int>(kMR)
                    : nv * p == 2 ? 2
                                  : 1)
                 : static_cast<int>(kMR);
}

using TileFn = void (*)(const TileArgs&);
template <int NV, int P, int Ahead = 0, bool Low8 = false>
FP_INLINE TileFn tile_for_rows(int64_t mr) {
  constexpr int kMax = max_rows(NV, P);
  // Panels are fetched ahead by two blocks of rows and more, of which none is smaller than half of one.
  constexpr int kLeast = Ahead ? static_cast<int>(kMR + 1) / 2 : 1;
  constexpr int kTwo = kLeast < 2 ? 2 : kLeast, kThree = kLeast < 3 ? 3 : kLeast;
  switch (mr) {
    case 6: return linear_tile<(kMax < 6 ? kMax : 6), NV, P, Ahead, Low8>;
    case 5: return linear_tile<(kMax < 5 ? kMax : 5), NV, P, Ahead, Low8>;
    case 4: return linear_tile<(kMax < 4 ? kMax : 4), NV, P, Ahead, Low8>;
    case 3: return linear_tile<(kMax < kThree ? kMax : kThree), NV, P, Ahead, Low8>;
    case 2: return linear_tile<(kMax < kTwo ? kMax : kTwo), NV, P, Ahead, Low8>;
    default: return linear_tile<kLeast, NV, P, Ahead, Low8>;
  }
}
FP_INLINE TileFn tile_for(int64_t mr, int64_t nv, int64_t p, int64_t last, int64_t ahead) {
  if (ahead == 1) return tile_for_rows<kPanelVectors, 1, 1>(mr);
  if (ahead) return tile_for_rows<kPanelVectors, 1, kAheadLines>(mr);
  if (p == 4) return tile_for_rows<1, 4>(mr);
  if (p == 2 && nv == 2 && last <= 8) return tile_for_rows<2, 2, 0, !kNarrow>(mr);
  if (p == 2) return nv == 2 ? tile_for_rows<2, 2>(mr) : tile_for_rows<1, 2>(mr);
  switch (nv) {
    case 1: return tile_for_rows<1, 1>(mr);
    case 2: return tile_for_rows<2, 1>(mr);
    case 3: return tile_for_rows<3, 1>(mr);
    default: return tile_for_rows<4, 1>(mr);
  }
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
