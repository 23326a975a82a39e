// The machine's limits, for benchmarks: a loop of nothing but fma, and one of nothing but loads.
#pragma once

#include "../kernels.h"
#include "../simd/f32x16.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

// Independent accumulators of 16 lanes: enough for two fma of latency 4 a cycle, few enough to stay
// in 16 registers of 8 lanes.
constexpr int kProbeChains = kNativeLanes == 16 ? 12 : 6;

double probe_fma(int64_t rounds) {
  // Start values that the compiler cannot know: it would merge halves of a vector that are equal.
  static volatile float unknown[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
  float start[16];
  for (int i = 0; i < 16; ++i) start[i] = unknown[i];
  f32x16 acc[kProbeChains];
  FP_UNROLL
  for (int j = 0; j < kProbeChains; ++j) acc[j] = add(load(start), set1(static_cast<float>(j)));
  const f32x16 a = set1(0.99999994f), b = set1(1e-9f);
  for (int64_t i = 0; i < rounds; ++i) {
    FP_UNROLL
    for (int j = 0; j < kProbeChains; ++j) acc[j] = fma(acc[j], a, b);
  }
  f32x16 sum = zero();
  FP_UNROLL
  for (int j = 0; j < kProbeChains; ++j) sum = add(sum, acc[j]);
  const double flop = 2.0 * 16 * kProbeChains * static_cast<double>(rounds);
  return reduce_add(sum) > 0 ? flop : -flop;  // the sum is used, so the loop cannot be dropped
}

float probe_read(const float* p, int64_t n) {
  f32x16 acc[8];
  FP_UNROLL
  for (int j = 0; j < 8; ++j) acc[j] = zero();
  for (int64_t i = 0; i + 128 <= n; i += 128) {
    FP_UNROLL
    for (int j = 0; j < 8; ++j) acc[j] = max(acc[j], load(p + i + 16 * j));
  }
  FP_UNROLL
  for (int j = 1; j < 8; ++j) acc[0] = max(acc[0], acc[j]);
  return reduce_max(acc[0]);
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
