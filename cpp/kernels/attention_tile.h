// The register tiles of attention's two matrix products: scores and outputs, MR rows x 16 NV columns,
// one chain of fma for each element. Rows of the left matrix are a constant number of floats apart, so
// that one pointer reaches them all.
#pragma once

#include <type_traits>

#include "epilogue.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

constexpr int64_t kPanel = FP_LINEAR_NR;  // columns of a packed panel
constexpr int kFewTileRows = FP_LINEAR_MR;
// Rows of a tile of scores where there are many. With 32 wide registers: 10 x 32 accumulators, which
// leave enough of them for the weights that are computed beside (GCC 12 spills from 11 rows on).
constexpr int kTileRows = kPanel == 64 ? 10 : FP_LINEAR_MR;
constexpr int64_t kQueryPitch =
    64;  // floats from one query to the next, a piece of 64 of their width
constexpr int64_t kKeyBlock = 256;  // part of the numerics contract; a multiple of 64
constexpr int64_t kScorePitch = kKeyBlock + 16;
constexpr int64_t kLaneQueries = 32;  // of a tile that has queries in its lanes (attention_lanes.h)
constexpr int64_t kLaneFloats = kKeyBlock * kLaneQueries + 128 * 16;  // its scores and partial sums

// Vectors that a tile of `rows` rows may span, with its accumulators in registers.
constexpr int most_vectors(int rows) {
  return kPanel == 64 ? (rows > 6 ? 2 : 4) : rows == 1 ? 4 : rows == 2 ? 2 : 1;
}

// acc[m][j] += a[m] * b[j] for rows [From, To), for one k.
template <int From, int To, int64_t Pitch, int MR, int NV>
FP_INLINE void product_rows(f32x16 (&acc)[MR][NV], const float* a, const f32x16 (&b)[NV]) {
  FP_UNROLL
  for (int m = From; m < To; ++m) {
    const f32x16 x = set1(a[m * Pitch]);
    FP_UNROLL
    for (int j = 0; j < NV; ++j) acc[m][j] = fma(x, b[j], acc[m][j]);
  }
}

template <int MR, int NV>
FP_INLINE void load_columns(const float* from, f32x16 (&b)[NV]) {
  FP_UNROLL
  for (int j = 0; j < NV; ++j) b[j] = load(from + 16 * j);
  if constexpr (MR > 1) {
    FP_UNROLL
    for (int j = 0; j < NV; ++j) b[j] = in_register(b[j]);
  }
}

template <int64_t Pitch, int MR, int NV>
FP_INLINE void product_steps(f32x16 (&acc)[MR][NV], const float* a, const float* b, int64_t ldb,
                             int64_t k) {
  f32x16 v[NV];
  for (const float* end = a + k; a < end; ++a, b += ldb) {
    load_columns<MR>(b, v);
    product_rows<0, MR, Pitch>(acc, a, v);
  }
}

template <int MR, int NV>
FP_INLINE void store_tile(const f32x16 (&acc)[MR][NV], float* c, int64_t ldc) {
  FP_UNROLL
  for (int m = 0; m < MR; ++m) {
    FP_UNROLL
    for (int j = 0; j < NV; ++j) store(c + m * ldc + 16 * j, acc[m][j]);
  }
}

// fn(integral_constant) for a number of rows, 1 to Most.
template <int Most, class Fn>
FP_INLINE auto with_rows(int64_t rows, Fn fn) {
  const auto call = [&](auto n) FP_INLINE_LAMBDA {
    return fn(std::integral_constant<int, (n.value < Most ? n.value : Most)>());
  };
  switch (rows) {
    case 12: return call(std::integral_constant<int, 12>());
    case 11: return call(std::integral_constant<int, 11>());
    case 10: return call(std::integral_constant<int, 10>());
    case 9: return call(std::integral_constant<int, 9>());
    case 8: return call(std::integral_constant<int, 8>());
    case 7: return call(std::integral_constant<int, 7>());
    case 6: return call(std::integral_constant<int, 6>());
    case 5: return call(std::integral_constant<int, 5>());
    case 4: return call(std::integral_constant<int, 4>());
    case 3: return call(std::integral_constant<int, 3>());
    case 2: return call(std::integral_constant<int, 2>());
    default: return call(std::integral_constant<int, 1>());
  }
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
