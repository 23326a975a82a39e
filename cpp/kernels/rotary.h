// Rows turned by angles: pairs (a, b) of a row become (a c - b s, b c + a s), c and s the cosine and
// sine of the pair. fnma(b, s, a c) and fma(a, s, b c): two roundings each.
#pragma once

#include "../simd/f32x16.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

struct Turned {
  f32x16 a, b;
};
FP_INLINE Turned turned(f32x16 a, f32x16 b, f32x16 c, f32x16 s) {
  return {fnma(b, s, mul(a, c)), fma(a, s, mul(b, c))};
}

// Pair i is (x[i], x[pairs + i]). y may be x: both halves are read before either is written.
void rotate_halves(const float* x, const float* cos, const float* sin, int64_t pairs, float* y) {
  int64_t i = 0;
  for (; i + 16 <= pairs; i += 16) {
    const Turned t = turned(load(x + i), load(x + pairs + i), load(cos + i), load(sin + i));
    store(y + i, t.a);
    store(y + pairs + i, t.b);
  }
  if (i < pairs) {
    const int64_t n = pairs - i;
    const Turned t =
        turned(load_n(x + i, n), load_n(x + pairs + i, n), load_n(cos + i, n), load_n(sin + i, n));
    store_n(y + i, t.a, n);
    store_n(y + pairs + i, t.b, n);
  }
}

// Pair i is (x[2 i], x[2 i + 1]). y may be x.
void rotate_pairs(const float* x, const float* cos, const float* sin, int64_t pairs, float* y) {
  int64_t i = 0;
  for (; i + 16 <= pairs; i += 16) {
    const float* p = x + 2 * i;
    const f32x16 a = evens(load(p), load(p + 16));
    const f32x16 b = evens(load(p + 1), load_n(p + 17, 15));  // the last of its lanes is p[31]
    const Turned t = turned(a, b, load(cos + i), load(sin + i));
    store(y + 2 * i, zip_lo(t.a, t.b));
    store(y + 2 * i + 16, zip_hi(t.a, t.b));
  }
  if (i < pairs) {
    const float* p = x + 2 * i;
    const int64_t n = pairs - i, first = n < 8 ? 2 * n : 16, rest = 2 * n - first;
    const f32x16 a = evens(load_n(p, first), load_n(p + first, rest));
    const f32x16 b =
        evens(load_n(p + 1, n <= 8 ? 2 * n - 1 : 16), rest ? load_n(p + 17, rest - 1) : zero());
    const Turned t = turned(a, b, load_n(cos + i, n), load_n(sin + i, n));
    store_n(y + 2 * i, zip_lo(t.a, t.b), first);
    store_n(y + 2 * i + first, zip_hi(t.a, t.b), rest);
  }
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
