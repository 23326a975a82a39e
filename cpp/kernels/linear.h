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

#include "epilogue.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

constexpr int64_t kNR = FP_LINEAR_NR;
constexpr int64_t kMR = FP_LINEAR_MR;
// Narrow panels (NR = 16) lie NR * k floats apart; the vectors of a wide panel lie side by side.
constexpr bool kNarrow = kNR == 16;

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
  int64_t last;  // lanes of the last vector that are stored, 1 to 16
};

// Registers: P * MR * NV accumulators, NV of w, one broadcast of x (a memory operand on AVX-512).
template <int MR, int NV, int P>
FP_NOINLINE void linear_tile(const TileArgs& t) {
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
    for (int p = 0; p < P; ++p) {
      f32x16 b[NV];
      FP_UNROLL
      for (int j = 0; j < NV; ++j) b[j] = load(w + j * vector_step);
      FP_UNROLL
      for (int m = 0; m < MR; ++m) {
        const f32x16 a = set1(x[m][i + p]);
        FP_UNROLL
        for (int j = 0; j < NV; ++j) acc[p][m][j] = fma(a, b[j], acc[p][m][j]);
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
            acc[p][m][j] = fma(a, load(w + j * vector_step + p * kStep), acc[p][m][j]);
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
      if (lanes == 16) {
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
template <int NV, int P>
FP_INLINE TileFn tile_for_rows(int64_t mr) {
  constexpr int kMax = max_rows(NV, P);
  switch (mr) {
    case 6: return linear_tile<(kMax < 6 ? kMax : 6), NV, P>;
    case 5: return linear_tile<(kMax < 5 ? kMax : 5), NV, P>;
    case 4: return linear_tile<(kMax < 4 ? kMax : 4), NV, P>;
    case 3: return linear_tile<(kMax < 3 ? kMax : 3), NV, P>;
    case 2: return linear_tile<(kMax < 2 ? kMax : 2), NV, P>;
    default: return linear_tile<1, NV, P>;
  }
}
FP_INLINE TileFn tile_for(int64_t mr, int64_t nv, int64_t p) {
  if (p == 4) return tile_for_rows<1, 4>(mr);
  if (p == 2) return nv == 2 ? tile_for_rows<2, 2>(mr) : tile_for_rows<1, 2>(mr);
  switch (nv) {
    case 1: return tile_for_rows<1, 1>(mr);
    case 2: return tile_for_rows<2, 1>(mr);
    case 3: return tile_for_rows<3, 1>(mr);
    default: return tile_for_rows<4, 1>(mr);
  }
}

// Vectors a tile spans. Wide panels: the panel's own. Narrow ones: as many panels as few rows need
// to keep enough chains in flight.
FP_INLINE int64_t vectors_per_tile(int64_t rows, int64_t columns, int64_t p) {
  const int64_t have = (columns + 15) / 16;
  if (!kNarrow) return min64(have, kNR / 16);
  if (p == 4) return 1;
  if (p == 2) return rows == 1 ? min64(have, 2) : 1;
  return min64(have, rows == 1 ? 4 : rows == 2 ? 2 : 1);
}

// `columns` rows of w (k floats each) into one panel of `width` columns, the rest of it +0.
void pack_panel(const float* w, int64_t columns, int64_t k, int64_t width, float* panel) {
  for (int64_t j0 = 0; j0 < width; j0 += 16) {
    for (int64_t i0 = 0; i0 < k; i0 += 16) {
      const int64_t left = min64(k - i0, 16);
      f32x16 v[16];
      for (int64_t j = 0; j < 16; ++j) {
        v[j] = j0 + j < columns ? load_n(w + (j0 + j) * k + i0, left) : zero();
      }
      transpose(v);
      for (int64_t i = 0; i < left; ++i) store(panel + (i0 + i) * width + j0, v[i]);
    }
  }
}

FP_INLINE int64_t panel_width(int64_t n, int64_t first) { return min64(kNR, round16(n) - first); }

// w (n, k) columns [n0, n1) into panels. n0 is a multiple of NR, n1 too or n itself.
void linear_pack(const float* w, int64_t n, int64_t k, int64_t n0, int64_t n1, float* packed) {
  if (chains(n, k) == 64) {
    for (int64_t i = n0 * k; i < n1 * k; ++i) packed[i] = w[i];
    return;
  }
  for (int64_t c = n0; c < n1; c += kNR) {
    pack_panel(w + c * k, min64(kNR, n - c), k, panel_width(n, c), packed + c * k);
  }
}

void linear_unpack(const float* packed, int64_t n, int64_t k, float* w) {
  const bool dot = chains(n, k) == 64;
  for (int64_t c = 0; c < n; ++c) {
    const int64_t c0 = c / kNR * kNR, width = panel_width(n, c0);
    for (int64_t i = 0; i < k; ++i) {
      w[c * k + i] = dot ? packed[c * k + i] : packed[c0 * k + i * width + (c - c0)];
    }
  }
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

// Rows [m0, m1) of `nv` vectors of columns from n0 on, in balanced blocks of at most MR rows.
FP_INLINE void linear_columns(const LinearArgs& g, const float* w, int64_t m0, int64_t m1,
                              int64_t n0, int64_t nv, int64_t p) {
  const int64_t columns = min64(16 * nv, g.n - n0);
  const int64_t most = kNarrow ? max_rows(static_cast<int>(nv), static_cast<int>(p)) : kMR;
  const int64_t blocks = (m1 - m0 + most - 1) / most;
  TileArgs t{nullptr,
             g.ldx,
             w,
             g.k,
             g.epilogue.bias ? g.epilogue.bias + n0 : nullptr,
             nullptr,
             g.n,
             columns - 16 * (nv - 1)};
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t r0 = m0 + b * (m1 - m0) / blocks, r1 = m0 + (b + 1) * (m1 - m0) / blocks;
    t.x = g.x + r0 * g.ldx;
    t.y = g.y + r0 * g.n + n0;
    tile_for(r1 - r0, nv, p)(t);
    finish_rows(g.epilogue, g.y, r0 * g.n + n0, r1 - r0, columns, g.n);
  }
}

void linear_run(const LinearArgs& g, int64_t m0, int64_t m1, int64_t n0, int64_t n1,
                float* scratch) {
  const int64_t p = chains(g.n, g.k);
  if (p == 64) return linear_dot(g, m0, m1, n0, n1);
  for (int64_t n = n0; n < n1;) {
    // Raw weights are packed a panel at a time.
    const int64_t nv =
        g.packed ? vectors_per_tile(m1 - m0, n1 - n, p) : min64(kNR / 16, (n1 - n + 15) / 16);
    if (!g.packed) {
      pack_panel(g.raw + n * g.k, min64(kNR, g.n - n), g.k, panel_width(g.n, n), scratch);
    }
    linear_columns(g, g.packed ? g.packed + n * g.k : scratch, m0, m1, n, nv, p);
    n += 16 * nv;
  }
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
