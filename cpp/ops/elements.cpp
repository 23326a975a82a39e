// Element-wise ops, the gated ones included.
#include "../dispatch.h"
#include "../fpenv.h"
#include "../ops.h"
#include "pieces.h"

namespace forwardpass {

namespace {

// No exponential function: memory, mostly.
bool is_light(Unary f) { return f < Unary::elu; }

}  // namespace

void unary(Unary f, const float* x, float* y, int64_t n, float param) {
  const FloatEnvironment environment;
  const UnaryFn fn = kernels().unary->fn[static_cast<int>(f)];
  over_elements(
      n, [&](int64_t first, int64_t count) { fn(x + first, y + first, count, param); },
      is_light(f) ? kLightGrain : kGrain);
}

void hardtanh(const float* x, float* y, int64_t n, float low, float high) {
  const FloatEnvironment environment;
  const Unary2Fn fn = kernels().unary->hardtanh;
  over_elements(
      n, [&](int64_t first, int64_t count) { fn(x + first, y + first, count, low, high); },
      kLightGrain);
}

void softplus(const float* x, float* y, int64_t n, float beta, float threshold) {
  const FloatEnvironment environment;
  const Unary2Fn fn = kernels().unary->softplus;
  over_elements(
      n, [&](int64_t first, int64_t count) { fn(x + first, y + first, count, beta, threshold); });
}

namespace {

// y (rows, n) from the two halves of the rows of x (rows, 2 n).
void halves(BinaryFn fn, const float* x, int64_t rows, int64_t n, float* y) {
  const int64_t pieces = (n + kPiece - 1) / kPiece;
  if (rows == 0 || n == 0) return;
  if (pieces > 1) {  // long rows: pieces of each
    parallel_for(rows * pieces, threads_for(rows * n, kGrain), [&](int64_t i) {
      const int64_t r = i / pieces, at = i % pieces * kPiece, left = n - at;
      const float* a = x + 2 * r * n + at;
      fn(a, a + n, y + r * n + at, left < kPiece ? left : kPiece);
    });
    return;
  }
  over_rows(rows, n, [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r)
      fn(x + 2 * r * n, x + 2 * r * n + n, y + r * n, n);
  });
}

}  // namespace

void glu(const float* x, int64_t outer, int64_t n, int64_t inner, float* y) {
  const FloatEnvironment environment;
  halves(kernels().unary->glu, x, outer, n * inner, y);
}

void swiglu(const float* gate, const float* up, int64_t n, float* y) {
  const FloatEnvironment environment;
  const BinaryFn fn = kernels().unary->swiglu;
  over_elements(
      n, [&](int64_t first, int64_t count) { fn(gate + first, up + first, y + first, count); });
}

void swiglu_halves(const float* x, int64_t rows, int64_t n, float* y) {
  const FloatEnvironment environment;
  halves(kernels().unary->swiglu, x, rows, n, y);
}

void prelu(const float* x, const float* weight, int64_t outer, int64_t channels, int64_t inner,
           float* y) {
  const FloatEnvironment environment;
  const UnaryKernels& unary = *kernels().unary;
  if (inner == 1) {
    const auto rows = [&](int64_t first, int64_t count) {
      for (int64_t r = first; r < first + count; ++r) {
        unary.prelu(x + r * channels, weight, y + r * channels, channels);
      }
    };
    over_rows(outer, channels, rows, kLightGrain);
    return;
  }
  const UnaryFn leaky = unary.fn[static_cast<int>(Unary::leaky_relu)];
  const auto planes = [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r) {
      leaky(x + r * inner, y + r * inner, inner, weight[r % channels]);
    }
  };
  over_rows(outer * channels, inner, planes, kLightGrain);
}

}  // namespace forwardpass
