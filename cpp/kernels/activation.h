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

// x < low ? low : x > high ? high : x, so NaN stays NaN.
FP_INLINE f32x16 clamp(f32x16 x, f32x16 low, f32x16 high) {
  return select(lt(x, low), low, select(gt(x, high), high, x));
}
FP_INLINE f32x16 relu6(f32x16 x) { return clamp(x, zero(), set1(6.0f)); }

// min(max(x + 3, 0), 6) / 6: two roundings.
FP_INLINE f32x16 hardsigmoid(f32x16 x) {
  return div(clamp(add(x, set1(3.0f)), zero(), set1(6.0f)), set1(6.0f));
}
// x times that: exactly x from 3 on. -inf gives NaN, as in torch.
FP_INLINE f32x16 hardswish(f32x16 x) { return mul(x, hardsigmoid(x)); }

// x > 0 ? x : alpha (e^x - 1)
FP_INLINE f32x16 elu(f32x16 x, f32x16 alpha) {
  return select(gt(x, zero()), x, mul(alpha, expm1(x)));
}

// x tanh(ln(1 + e^x)). With tanh(ln t) = (t^2 - 1) / (t^2 + 1) and e = e^-|x| this is x p / q:
// x < 0: p = e (e + 2), q = p + 2; else p = 1 + 2 e, q = p + 2 e^2. No cancellation on either side.
FP_INLINE f32x16 mish(f32x16 x) {
  const f32x16 e = exp(neg(abs(x))), two = set1(2.0f);
  const mask16 negative = lt(x, zero());
  const f32x16 p = select(negative, mul(e, add(e, two)), add(set1(1.0f), add(e, e)));
  const f32x16 q = add(p, select(negative, two, mul(add(e, e), e)));
  return mul(x, div(p, q));
}

// z > threshold ? x : (max(z, 0) + ln(1 + e^-|z|)) / beta, z = x beta.
FP_INLINE f32x16 softplus(f32x16 x, f32x16 beta, f32x16 threshold) {
  const f32x16 z = mul(x, beta);
  const f32x16 positive = select(lt(z, zero()), zero(), z);
  const f32x16 y = div(add(positive, log1p(exp(neg(abs(z))))), beta);
  return select(gt(z, threshold), x, y);
}

// Vectors at a time: four hide the latency of a polynomial's chain of fma; two where a vector is
// itself four registers.
constexpr int kMapVectors = kNativeLanes == 1 ? 1 : kNativeLanes == 4 ? 2 : 4;

// y[i] = f(x[i]) for the vectors from i on, of which the last may be a part of one: one copy of f.
template <class F>
FP_INLINE void map_rest(const float* x, float* y, int64_t i, int64_t n, F f) {
  for (; i < n; i += 16) {
    const bool whole = n - i >= 16;
    const f32x16 v = f(whole ? load(x + i) : load_n(x + i, n - i));
    whole ? store(y + i, v) : store_n(y + i, v, n - i);
  }
}

// y[i] = f(x[i])
template <class F>
FP_INLINE void map(const float* x, float* y, int64_t n, F f) {
  int64_t i = 0;
  constexpr int64_t kStep = 16 * kMapVectors;
  for (; kMapVectors > 1 && i + kStep <= n; i += kStep) {
    f32x16 v[kMapVectors];
    FP_UNROLL
    for (int j = 0; j < kMapVectors; ++j) v[j] = f(load(x + i + 16 * j));
    FP_UNROLL
    for (int j = 0; j < kMapVectors; ++j) store(y + i + 16 * j, v[j]);
  }
  map_rest(x, y, i, n, f);
}

// The same for functions of a few instructions, where the caches set the pace: x is read once, and
// one vector written before the next is read, which leaves a scheduler nothing to spread.
template <class F>
FP_INLINE void map_plain(const float* x, float* y, int64_t n, F f) {
  int64_t i = 0;
  constexpr int64_t kStep = 16 * kMapVectors;
  for (; kMapVectors > 1 && i + kStep <= n; i += kStep) {
    FP_UNROLL
    for (int64_t j = i; j < i + kStep; j += 16) store(y + j, f(in_register(load(x + j))));
  }
  map_rest(x, y, i, n, f);
}

#define FP_MAP_BY(map, name)                                         \
  void map_##name(const float* x, float* y, int64_t n, float) {      \
    map(x, y, n, [](f32x16 v) FP_INLINE_LAMBDA { return name(v); }); \
  }
#define FP_MAP(name) FP_MAP_BY(map, name)
FP_MAP_BY(map_plain, relu)
FP_MAP_BY(map_plain, relu6)
FP_MAP_BY(map_plain, hardsigmoid)
FP_MAP_BY(map_plain, hardswish)
FP_MAP(mish)
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
#undef FP_MAP_BY
void map_leaky_relu(const float* x, float* y, int64_t n, float slope) {
  const f32x16 s = set1(slope);
  map_plain(x, y, n, [s](f32x16 v) FP_INLINE_LAMBDA { return leaky_relu(v, s); });
}
void map_elu(const float* x, float* y, int64_t n, float alpha) {
  const f32x16 a = set1(alpha);
  map(x, y, n, [a](f32x16 v) FP_INLINE_LAMBDA { return elu(v, a); });
}
void map_scale(const float* x, float* y, int64_t n, float factor) {
  const f32x16 f = set1(factor);
  map_plain(x, y, n, [f](f32x16 v) FP_INLINE_LAMBDA { return mul(v, f); });
}
void map_hardtanh(const float* x, float* y, int64_t n, float low, float high) {
  const f32x16 l = set1(low), h = set1(high);
  map_plain(x, y, n, [l, h](f32x16 v) FP_INLINE_LAMBDA { return clamp(v, l, h); });
}
void map_softplus(const float* x, float* y, int64_t n, float beta, float threshold) {
  const f32x16 b = set1(beta), t = set1(threshold);
  map(x, y, n, [b, t](f32x16 v) FP_INLINE_LAMBDA { return softplus(v, b, t); });
}

// y[i] = f(a[i], b[i])
template <class F>
FP_INLINE void zip(const float* a, const float* b, float* y, int64_t n, F f) {
  int64_t i = 0;
  constexpr int64_t kStep = 16 * kMapVectors;
  for (; kMapVectors > 1 && i + kStep <= n; i += kStep) {
    f32x16 v[kMapVectors];
    FP_UNROLL
    for (int j = 0; j < kMapVectors; ++j) v[j] = f(load(a + i + 16 * j), load(b + i + 16 * j));
    FP_UNROLL
    for (int j = 0; j < kMapVectors; ++j) store(y + i + 16 * j, v[j]);
  }
  for (; i < n; i += 16) {
    const bool whole = n - i >= 16;
    const f32x16 u = whole ? load(a + i) : load_n(a + i, n - i);
    const f32x16 v = f(u, whole ? load(b + i) : load_n(b + i, n - i));
    whole ? store(y + i, v) : store_n(y + i, v, n - i);
  }
}

void zip_glu(const float* a, const float* b, float* y, int64_t n) {
  zip(a, b, y, n, [](f32x16 u, f32x16 v) FP_INLINE_LAMBDA { return mul(u, sigmoid(v)); });
}
void zip_swiglu(const float* a, const float* b, float* y, int64_t n) {
  zip(a, b, y, n, [](f32x16 u, f32x16 v) FP_INLINE_LAMBDA { return mul(silu(u), v); });
}
void zip_prelu(const float* a, const float* b, float* y, int64_t n) {
  zip(a, b, y, n, [](f32x16 u, f32x16 v) FP_INLINE_LAMBDA { return leaky_relu(u, v); });
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
