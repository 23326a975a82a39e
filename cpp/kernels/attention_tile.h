// The register tile of attention's two matrix products, scores and output: C (MR x 16 NV) from
// A (MR x k) and B (k x 16 NV), one chain of fma over k for each element.
#pragma once

#include "epilogue.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

constexpr int64_t kPanel = FP_LINEAR_NR;  // columns of a packed panel
constexpr int kRowsPerTile = FP_LINEAR_MR;

struct ProductArgs {
  const float* a;
  int64_t lda;
  const float* b;
  int64_t ldb;
  float* c;
  int64_t ldc;
  int64_t k;
  const float* factor;  // of each row
};

// C = A B from +0, or with Continue C = factor C + A B, the product with `factor` rounded first.
template <int MR, int NV, bool Continue>
FP_NOINLINE void product_tile(const ProductArgs& t) {
  const float* FP_RESTRICT b = t.b;
  const float* a[MR];
  f32x16 acc[MR][NV];
  FP_UNROLL
  for (int m = 0; m < MR; ++m) {
    a[m] = t.a + m * t.lda;
    FP_UNROLL
    for (int j = 0; j < NV; ++j) {
      acc[m][j] = Continue ? mul(load(t.c + m * t.ldc + 16 * j), set1(t.factor[m])) : zero();
    }
  }
  const int64_t k = t.k, ldb = t.ldb;
  for (int64_t i = 0; i < k; ++i, b += ldb) {
    f32x16 v[NV];
    FP_UNROLL
    for (int j = 0; j < NV; ++j) v[j] = load(b + 16 * j);
    if constexpr (MR > 1) {
      FP_UNROLL
      for (int j = 0; j < NV; ++j) v[j] = in_register(v[j]);
    }
    FP_UNROLL
    for (int m = 0; m < MR; ++m) {
      const f32x16 x = set1(a[m][i]);
      FP_UNROLL
      for (int j = 0; j < NV; ++j) acc[m][j] = fma(x, v[j], acc[m][j]);
    }
  }
  FP_UNROLL
  for (int m = 0; m < MR; ++m) {
    FP_UNROLL
    for (int j = 0; j < NV; ++j) store(t.c + m * t.ldc + 16 * j, acc[m][j]);
  }
}

using ProductFn = void (*)(const ProductArgs&);

// Vectors that a tile of `rows` rows may span, with its accumulators in registers.
constexpr int most_vectors(int rows) {
  return kPanel == 64 ? 4 : rows == 1 ? 4 : rows == 2 ? 2 : 1;
}

template <int NV, bool Continue>
FP_INLINE ProductFn product_for_rows(int64_t rows) {
  constexpr int kMost = kPanel == 64 || NV == 1 ? kRowsPerTile : NV == 2 ? 2 : 1;
  switch (rows) {
    case 6: return product_tile<(kMost < 6 ? kMost : 6), NV, Continue>;
    case 5: return product_tile<(kMost < 5 ? kMost : 5), NV, Continue>;
    case 4: return product_tile<(kMost < 4 ? kMost : 4), NV, Continue>;
    case 3: return product_tile<(kMost < 3 ? kMost : 3), NV, Continue>;
    case 2: return product_tile<(kMost < 2 ? kMost : 2), NV, Continue>;
    default: return product_tile<1, NV, Continue>;
  }
}
template <bool Continue>
FP_INLINE ProductFn product_for(int64_t rows, int64_t nv) {
  switch (nv) {
    case 1: return product_for_rows<1, Continue>(rows);
    case 2: return product_for_rows<2, Continue>(rows);
    case 3: return product_for_rows<3, Continue>(rows);
    default: return product_for_rows<4, Continue>(rows);
  }
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
