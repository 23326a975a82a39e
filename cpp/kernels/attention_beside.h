// The weights of one tile of attention beside the products of the next: exp2_negative in stages between
// the multiply-adds, most of which use parts of the machine that those leave idle. In program order a
// tile and the weights would come one after the other, too far apart for the machine to mix them.
#pragma once

#include "attention_softmax.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

// Partial sums [at, end) of rows whose scores become weights, 4 a row: number i of a row of 64 `run` keys
// adds vectors i, i + 4, and so on, `run` of them.
struct WeighRun {
  ScoredRows* rows;
  float* sums;  // of 16
  int64_t at, end, run;
};

// Constants that are read from memory each time: registers are few.
struct WeighConstants {
  float low, round, one, q[5];
};
alignas(64) const WeighConstants kWeigh = {
    -150.0f,
    kRound,
    1.0f,
    {kExp2Short[0], kExp2Short[1], kExp2Short[2], kExp2Short[3], kExp2Short[4]}};

// Two steps of the product of rows P floats apart, and exp2_negative of x, one vector of weights; its
// sum x + 1.5 2^23 is an addition, which gives the same bits as fma(x, 1, .).
template <int64_t P, int64_t Ldb, int MR, int NV>
FP_INLINE f32x16 weigh_beside(f32x16 (&acc)[MR][NV], const float* a, const float* b, f32x16 x) {
  constexpr int A = MR / 4, B = MR / 2, C = MR * 3 / 4;
  const WeighConstants* c = &kWeigh;
  FP_FORGET(c);
  f32x16 v[NV];
  const f32x16 y = max(set1(c->low), x);
  load_columns<MR>(b, v);
  product_rows<0, A, P>(acc, a, v);
  const f32x16 t = add(y, set1(c->round));
  product_rows<A, B, P>(acc, a, v);
  const f32x16 n = sub(t, set1(c->round));
  product_rows<B, C, P>(acc, a, v);
  const f32x16 r = sub(y, n);
  product_rows<C, MR, P>(acc, a, v);
  FP_FORGET(c);
  f32x16 p = in_register(fma(set1(c->q[4]), r, set1(c->q[3])));
  load_columns<MR>(b + Ldb, v);
  product_rows<0, A, P>(acc, a + 1, v);
  p = in_register(fma(p, r, set1(c->q[2])));
  product_rows<A, B, P>(acc, a + 1, v);
  p = in_register(fma(p, r, set1(c->q[1])));
  product_rows<B, C, P>(acc, a + 1, v);
  p = in_register(fma(p, r, set1(c->q[0])));
  product_rows<C, MR, P>(acc, a + 1, v);
  return scale2(fma(p, r, set1(c->one)), n);
}

// One partial sum's weights, by themselves.
FP_INLINE void weigh_partial(const WeighRun& w) {
  const int64_t m = w.at / 4;
  float* s = w.rows->scores + m * kScorePitch + w.at % 4 * 16;
  f32x16 sum = zero();
  for (const float* end = s + 64 * w.run; s < end; s += 64) {
    const f32x16 p = exp2_negative(sub(load(s), set1(w.rows->top[m])));
    store(s, p);
    sum = add(sum, p);
  }
  store(w.sums + 16 * w.at, sum);
}

// The row sums, a lane each.
FP_INLINE f32x16 joined_sums(const float* sums, int64_t rows) {
  return reduce_rows(
      rows,
      [&](int64_t m) FP_INLINE_LAMBDA {
        const float* s = sums + 64 * m;
        return add(add(load(s), load(s + 16)), add(load(s + 32), load(s + 48)));
      },
      [](f32x16 a, f32x16 b) FP_INLINE_LAMBDA { return add(a, b); },
      [](f32x16 a) FP_INLINE_LAMBDA { return reduce_add(a); });
}

// As many steps of the product, of `k`, as there are weights to compute; returns their number.
template <int MR, int NV>
FP_INLINE int64_t beside_steps(f32x16 (&acc)[MR][NV], const float* q, const float* keys, int64_t k,
                               WeighRun& w) {
  int64_t i = 0;
  for (; w.at < w.end && i + 2 * w.run <= k; ++w.at) {
    const int64_t m = w.at / 4;
    float* s = w.rows->scores + m * kScorePitch + w.at % 4 * 16;
    const float *top = w.rows->top + m, *end = s + 64 * w.run;
    f32x16 sum = zero();
    for (; s < end; s += 64, i += 2) {
      FP_FORGET(top);
      const f32x16 p = weigh_beside<kQueryPitch, kPanel>(acc, q + i, keys + i * kPanel,
                                                         sub(load(s), set1(*top)));
      store(s, p);
      sum = add(sum, p);
    }
    store(w.sums + 16 * w.at, sum);
  }
  return i;
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
