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
constexpr int kStreamLines =
    kNarrow ? 0 : kPanelVectors;  // what few rows read at each k themselves

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
  int64_t last;           // lanes of the last vector that are stored, 1 to 16
  const float* ahead;     // what to fetch meanwhile: of the next panel, or further on in this one
  bool past;              // whole cache lines of y are written, past the caches
  const float* residual;  // of whole vectors, added at the end; or null
  const float* fetched;   // rows as y's that are read at the end, or null
};

// The sums plus bias plus residual, stored. What is asked once is not asked for each vector.
template <int MR, int NV, int P>
FP_INLINE void end_tile(const TileArgs& t, f32x16 (&sum)[MR][NV]) {
  const int64_t ld = t.ldy, last = t.last;
  const bool whole = kNativeLanes < 16 && last == 16;  // where masks cost
  const float *bias = t.bias, *residual = t.residual;
  float* y = t.y;
  if (bias) {
    FP_UNROLL
    for (int j = 0; j < NV; ++j) {
      const f32x16 b = j < NV - 1 ? load(bias + 16 * j) : load_n(bias + 16 * j, last);
      FP_UNROLL
      for (int m = 0; m < MR; ++m) sum[m][j] = add(sum[m][j], b);
    }
  }
  if (P == 1 && residual) {
    FP_UNROLL
    for (int m = 0; m < MR; ++m) {
      FP_UNROLL
      for (int j = 0; j < NV; ++j) {
        sum[m][j] = add(sum[m][j], load(residual + m * ld + 16 * j));
      }
    }
  }
  if (NV == kPanelVectors && P == 1 && t.past) {
    FP_UNROLL
    for (int m = 0; m < MR; ++m) {
      FP_UNROLL
      for (int j = 0; j < NV; ++j) store_past(y + m * ld + 16 * j, sum[m][j]);
    }
    return;
  }
  FP_UNROLL
  for (int m = 0; m < MR; ++m) {
    FP_UNROLL
    for (int j = 0; j < NV - 1; ++j) store(y + m * ld + 16 * j, sum[m][j]);
    float* to = y + m * ld + 16 * (NV - 1);
    whole ? store(to, sum[m][NV - 1]) : store_n(to, sum[m][NV - 1], last);
  }
}

// Whether a tile's loop runs in MR parts of some turns, two written out at a time where registers are
// wide. A loop of 100 turns ends with a branch that no predictor foresees, and the multipliers wait;
// before each part one row of what is read at the end is fetched, where a burst of all would hold up
// the loads behind it.
constexpr bool in_parts(int mr, int nv, int p) {
  return kNativeLanes > 1 && (nv == kPanelVectors || mr > kMR) && 2 * mr >= kMR && p == 1;
}

// Low8: of the last vector only the first half is stored, and so only that computed.
// Ahead: cache lines to fetch at each k.
// Registers: P * MR * NV accumulators, NV of w, one broadcast of x (a memory operand on AVX-512).
template <int MR, int NV, int P, int Ahead, bool Low8 = false>
FP_NOINLINE void linear_tile(const TileArgs& t) {
  constexpr bool kParts = in_parts(MR, NV, P);
  constexpr int kAtOnce = kParts && kNativeLanes == 16 ? 2 : 1;
  constexpr bool kSoon = MR > kMR || (Ahead && Ahead == kStreamLines);
  static_assert(!Ahead || kParts || kSoon || kNativeLanes == 1, "half the rows and more");
  // Floats from one k to the next; more rows than kMR take a panel by halves.
  constexpr int64_t kStep = kNarrow ? 16 : MR > kMR ? kNR : 16 * NV;
  const int64_t vector_step = kNarrow ? 16 * t.k : 16;
  const float* FP_RESTRICT w = t.w;
  const float* ahead = t.ahead;
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
  const auto add_product = [&](int p, int64_t i) FP_INLINE_LAMBDA {
    f32x16 b[NV];
    FP_UNROLL
    for (int j = 0; j < NV; ++j) b[j] = load(w + j * vector_step);
    if constexpr (MR > 1) {
      FP_UNROLL
      for (int j = 0; j < NV; ++j) b[j] = in_register(b[j]);
    }
    FP_UNROLL
    for (int m = 0; m < MR; ++m) {
      const f32x16 a = set1(x[m][i]);
      FP_UNROLL
      for (int j = 0; j < NV; ++j) {
        f32x16& sum = acc[p][m][j];
        sum = Low8 && j == NV - 1 ? fma_low8(a, b[j], sum) : fma(a, b[j], sum);
      }
    }
    w += kStep;
  };
  int64_t i = 0;
  const auto turns = [&]() FP_INLINE_LAMBDA {
    FP_UNROLL
    for (int l = 0; l < kAtOnce * Ahead; ++l) {
      if constexpr (kSoon) {  // Zen 5 has it sooner this way
        FP_PREFETCH_L1(ahead + 16 * l);
      } else {
        FP_PREFETCH_L2(ahead + 16 * l);
      }
    }
    ahead += kAtOnce * Ahead * 16;
    FP_UNROLL
    for (int u = 0; u < kAtOnce * P; ++u) add_product(u % P, i + u);
    i += kAtOnce * P;
  };
  if constexpr (kParts) {
    for (int m = 0; m < MR; ++m) {
      if (t.fetched) {
        FP_UNROLL
        for (int j = 0; j < NV; ++j) FP_PREFETCH_L1(t.fetched + m * t.ldy + 16 * j);
      }
      const int64_t end = (m + 1) * (k / kAtOnce) / MR * kAtOnce;
      while (i < end) turns();
    }
    if constexpr (kAtOnce > 1) {
      for (; i < k; ++i) add_product(0, i);
    }
  } else {
    while (i + P <= k) turns();
  }
  if constexpr (P > 1) {
    FP_UNROLL
    for (int p = 0; p < P - 1; ++p) {
      if (i + p < k) add_product(p, i + p);
    }
    FP_UNROLL
    for (int m = 0; m < MR; ++m) {
      FP_UNROLL
      for (int j = 0; j < NV; ++j) {
        f32x16 sum = add(acc[0][m][j], acc[1][m][j]);
        if constexpr (P == 4) sum = add(sum, add(acc[2][m][j], acc[3][m][j]));
        acc[0][m][j] = sum;
      }
    }
  }
  end_tile<MR, NV, P>(t, acc[0]);
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
// Two to four rows, fetching ahead what they read themselves.
FP_INLINE TileFn stream_tile_for(int64_t mr) {
  switch (mr) {
    case 4: return linear_tile<(kMR < 4 ? kMR : 4), kPanelVectors, 1, kStreamLines>;
    case 3: return linear_tile<(kMR < 3 ? kMR : 3), kPanelVectors, 1, kStreamLines>;
    default: return linear_tile<2, kPanelVectors, 1, kStreamLines>;
  }
}
// Rows beyond kMR, up to 8: half a panel.
template <int Ahead>
FP_INLINE TileFn half_tile_for(int64_t mr) {
  constexpr int kVectors = kNarrow ? 1 : kPanelVectors / 2;
  constexpr int kEight = kNarrow ? kMR : 8, kSeven = kNarrow ? kMR : 7;
  if (mr == 8) return linear_tile<kEight, kVectors, 1, Ahead>;
  return linear_tile<kSeven, kVectors, 1, Ahead>;
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
