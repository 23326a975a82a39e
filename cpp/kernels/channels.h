// group_norm and batch_norm: a weight and a bias for a channel, not for an element.
//
// group_norm has layer_norm's arithmetic on the elements of a group (norm.h). batch_norm has
// d = x - mean, y = d * scale + bias in one fma, scale = (1 / sqrt(var + eps)) * weight.
#pragma once

#include "norm.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

void channel_scales(const float* var, const float* weight, float eps, int64_t n, float* scale) {
  const f32x16 e = set1(eps), one = set1(1.0f);
  for (int64_t i = 0; i < n; i += 16) {
    const int64_t lanes = n - i < 16 ? n - i : 16;
    f32x16 r = div(one, sqrt(add(load_n(var + i, lanes), e)));
    if (weight) r = mul(r, load_n(weight + i, lanes));
    store_n(scale + i, r, lanes);
  }
}

void channel_norm_one(const float* x, float mean, float scale, const float* bias, int64_t n,
                      float* y) {
  const f32x16 m = set1(mean), s = set1(scale), b = bias ? set1(*bias) : zero();
  if (bias) {
    for_row(n, [&](int, int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
      store_lanes(y + i, fma(sub(load_lanes(x + i, lanes), m), s, b), lanes);
    });
  } else {
    for_row(n, [&](int, int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
      store_lanes(y + i, mul(sub(load_lanes(x + i, lanes), m), s), lanes);
    });
  }
}

void channels_norm_row(const float* x, const float* mean, const float* scale, const float* bias,
                       int64_t n, float* y) {
  for_row(n, [&](int, int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
    const f32x16 d = sub(load_lanes(x + i, lanes), load_lanes(mean + i, lanes));
    const f32x16 s = load_lanes(scale + i, lanes);
    store_lanes(y + i, bias ? fma(d, s, load_lanes(bias + i, lanes)) : mul(d, s), lanes);
  });
}

void group_norm_one(const float* x, const float* weight, const float* bias, float eps,
                    int64_t channels, int64_t inner, float* y) {
  const int64_t n = channels * inner;
  RowSum total, squares;
  for_row(n, [&](int v, int64_t i, int64_t lanes)
                 FP_INLINE_LAMBDA { total.acc[v] = add(total.acc[v], load_lanes(x + i, lanes)); });
  const f32x16 mean = div(set1(total.total()), set1(static_cast<float>(n)));
  for_row(n, [&](int v, int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
    f32x16 d = sub(load_lanes(x + i, lanes), mean);
    if (lanes < 16) d = keep_n(d, lanes);  // lanes past the row add nothing
    squares.acc[v] = fma(d, d, squares.acc[v]);
  });
  const f32x16 scale = set1(reciprocal_root(squares.total(), n, eps));
  for (int64_t c = 0; c < channels; ++c, x += inner, y += inner) {
    const f32x16 w = weight ? set1(weight[c]) : zero(), b = bias ? set1(bias[c]) : zero();
    for_row(inner, [&](int, int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
      f32x16 a = mul(sub(load_lanes(x + i, lanes), mean), scale);
      if (weight && bias) {
        a = fma(a, w, b);
      } else if (weight) {
        a = mul(a, w);
      } else if (bias) {
        a = add(a, b);
      }
      store_lanes(y + i, a, lanes);
    });
  }
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
