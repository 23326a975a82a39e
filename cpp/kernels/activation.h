// Element-wise functions over contiguous arrays; the functions themselves are in simd/math.h.
#pragma once

#include "../kernels.h"
#include "../simd/math.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

// x < 0 ? +0 : x, so NaN stays NaN and -0 stays -0.
FP_INLINE f32x16 relu(f32x16 x) { return select(lt(x, zero()), zero(), x); }

// x > 0 ? x : x * slope.
FP_INLINE f32x16 leaky_relu(f32x16 x, f32x16 slope) {
  return select(gt(x, zero()), x, mul(x, slope));
}

// Vectors at a time: four hide the latency of a polynomial's chain of fma; two where a vector is
// itself four registers.
constexpr int kMapVectors = kNativeLanes == 1 ? 1 : kNativeLanes == 4 ? 2 : 4;

// y[i] = f(x[i])
template <class F>
FP_INLINE void map(const float* x, float* y, int64_t n, F f) {
  int64_t i = 0;
  constexpr int64_t kStep = 16 * kMapVectors;
  for (; i + kStep <= n; i += kStep) {
    f32x16 v[kMapVectors];
    FP_UNROLL
    for (int j = 0; j < kMapVectors; ++j) v[j] = f(load(x + i + 16 * j));
    FP_UNROLL
    for (int j = 0; j < kMapVectors; ++j) store(y + i + 16 * j, v[j]);
  }
  for (; i + 16 <= n; i += 16) store(y + i, f(load(x + i)));
  if (i < n) store_n(y + i, f(load_n(x + i, n - i)), n - i);
}

#define FP_MAP(name)                                                 \
  void map_##name(const float* x, float* y, int64_t n, float) {      \
    map(x, y, n, [](f32x16 v) FP_INLINE_LAMBDA { return name(v); }); \
  }
FP_MAP(relu)
FP_MAP(gelu)
FP_MAP(gelu_tanh)
FP_MAP(silu)
FP_MAP(sigmoid)
FP_MAP(tanh)
FP_MAP(exp)
FP_MAP(expm1)
FP_MAP(log)
FP_MAP(log1p)
FP_MAP(erf)
#undef FP_MAP
void map_leaky_relu(const float* x, float* y, int64_t n, float slope) {
  const f32x16 s = set1(slope);
  map(x, y, n, [s](f32x16 v) FP_INLINE_LAMBDA { return leaky_relu(v, s); });
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
