// A linear with a raw weight and one row, where rows of w are a multiple of 4 KiB apart: sixteen lines of the
// same columns fall into one set of the first cache, which has fewer. So each four rows of a vector of
// outputs are some columns behind the four before, as are the numbers of x that they meet.
#pragma once

#include "linear_pack.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

#if FP_LINEAR_NR == 64

constexpr int64_t kQuadBehind = 4;  // blocks of 16 columns

// Four rows of each of two vectors, 16 rows apart, on their way through k.
struct RawQuads {
  const float *w[4], *x[4];
  f32x16 sum[2];
};

template <int I>
FP_INLINE void add_columns(const f32x16 (&x)[4], const f32x16 (&w)[16], f32x16& sum) {
  sum = fma(spread_in_fours<0>(x[I]), w[4 * I], sum);
  sum = fma(spread_in_fours<1>(x[I]), w[4 * I + 1], sum);
  sum = fma(spread_in_fours<2>(x[I]), w[4 * I + 2], sum);
  sum = fma(spread_in_fours<3>(x[I]), w[4 * I + 3], sum);
}

FP_INLINE void add_quads(RawQuads& r, int64_t k, int64_t blocks) {
  RawQuads t = r;
  for (; blocks > 0; --blocks) {
    f32x16 x[4], w[16];
    FP_UNROLL
    for (int q = 0; q < 4; ++q) x[q] = load(t.x[q]);
    transpose_fours(x);
    FP_UNROLL
    for (int c = 0; c < 2; ++c) {
      const float* const quads[4] = {t.w[0] + 16 * c * k, t.w[1] + 16 * c * k, t.w[2] + 16 * c * k,
                                     t.w[3] + 16 * c * k};
      load_lines<true>(quads, k, AllColumns(), w);
      FP_UNROLL
      for (int q = 0; q < 4; ++q) x[q] = in_register(x[q]);
      add_columns<0>(x, w, t.sum[c]);
      add_columns<1>(x, w, t.sum[c]);
      add_columns<2>(x, w, t.sum[c]);
      add_columns<3>(x, w, t.sum[c]);
    }
    FP_UNROLL
    for (int q = 0; q < 4; ++q) t.w[q] += 16, t.x[q] += 16;
  }
  r = t;
}

// The four rows' outputs of the pair of vectors from column n on.
FP_INLINE void end_quad(const LinearArgs& g, int64_t n, int64_t q, const RawQuads& r) {
  const float* bias = g.epilogue.bias;
  for (int64_t c = 0; c < 2; ++c, n += 16) {
    f32x16 sum = r.sum[c];
    if (bias) sum = add(sum, load_range(bias + n, 4 * q, 4 * q + 4));
    store_range(g.y + n, sum, 4 * q, 4 * q + 4);
  }
}

// Outputs [n0, n1), a multiple of 32, of the only row. What a quad adds up before its first row and after
// its last one is not kept.
FP_NOINLINE void raw_quads(const LinearArgs& g, int64_t n0, int64_t n1) {
  const int64_t blocks = g.k / 16;
  RawQuads r;
  for (int64_t q = 0; q < 4; ++q) {
    r.w[q] = g.raw + n0 * g.k;
    r.x[q] = g.x;
  }
  r.sum[0] = r.sum[1] = zero();
  for (int64_t n = n0; n <= n1; n += 32) {
    for (int64_t q = 0; q < 4; ++q) {
      if (n > n0) end_quad(g, n - 32, q, r);
      r.w[q] = g.raw + ((n < n1 ? n : n0) + 4 * q) * g.k;
      r.x[q] = g.x;
      for (f32x16& sum : r.sum) sum = zero_range(sum, 4 * q, 4 * q + 4);
      if (n < n1 || q < 3) {
        add_quads(r, g.k, q < 3 ? kQuadBehind : blocks - 3 * kQuadBehind);
      }
    }
  }
}

#endif

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
