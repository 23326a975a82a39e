// One row's step and, beside it, input products of later steps.
//
// A product of one row reads its weight at the speed of L2 and leaves half of the multipliers idle;
// the input products, many rows at a time, are the reverse. So a tile takes up to kGroup panels of
// W_hh for the row, and meanwhile kRowsAhead rows through a unit (kUnit columns) of W_ih: kBeside k of
// the one for each k of the other, so that both take a like number of fma. Every output is one chain,
// as in linear.h. Panels must be 64 wide: elsewhere there are too few registers for both. (10 or 12
// rows, and fetching W_ih by hand, were no faster.)
#pragma once

#include "../kernels.h"
#include "../simd/f32x16.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

constexpr int64_t kPanel = 64, kGroup = kRowsAhead / 2;
constexpr int64_t kBeside = kRowsAhead / 2;  // k of W_hh for each of W_ih

struct AheadTile {
  const float* h;
  const float* w;  // the first panel; the next one is `step` floats further
  int64_t step, panels, k;
  const float* bias;  // of the first panel, or null; the next one is `next_column` further
  float* sums;
  int64_t next_column;
  const float* x;  // kRowsAhead rows, ldx apart
  int64_t ldx;
  const float* unit;  // kUnit columns of a panel of W_ih, or null
  int64_t k_ahead;
  const float* bias_ahead;
  float* y;
  int64_t ldy;
};

constexpr int kRows = static_cast<int>(kRowsAhead);

// One k of the unit.
FP_INLINE void ahead_one(const float* x, int64_t ldx, const float* w, f32x16 (&acc)[kRows][2]) {
  const f32x16 b0 = in_register(load(w)), b1 = in_register(load(w + 16));
  FP_UNROLL
  for (int m = 0; m < kRows; ++m) {
    const f32x16 a = set1(x[m * ldx]);
    acc[m][0] = fma(a, b0, acc[m][0]);
    acc[m][1] = fma(a, b1, acc[m][1]);
  }
}

FP_NOINLINE void ahead_tile(const AheadTile& t) {
  f32x16 ahead[kRows][2];
  FP_UNROLL
  for (int m = 0; m < kRows; ++m) ahead[m][0] = ahead[m][1] = zero();
  const float *x = t.x, *unit = t.unit;
  int64_t left = t.k_ahead;
  const int64_t share = t.panels ? (left + t.panels - 1) / t.panels : 0;
  for (int64_t p = 0; p < t.panels; ++p) {
    const float* FP_RESTRICT w = t.w + p * t.step;
    const float* h = t.h;
    f32x16 acc[4] = {zero(), zero(), zero(), zero()};
    int64_t both = share < left ? share : left;
    if (both > t.k / kBeside) both = t.k / kBeside;
    left -= both;
    const float* const end = h + t.k;
    for (; both > 0; --both) {
      FP_UNROLL
      for (int u = 0; u < kBeside; ++u) {
        const f32x16 a = set1(h[u]);
        FP_UNROLL
        for (int v = 0; v < 4; ++v) acc[v] = fma(a, load(w + kPanel * u + 16 * v), acc[v]);
      }
      ahead_one(x, t.ldx, unit, ahead);
      h += kBeside;
      w += kBeside * kPanel;
      unit += kPanel;
      ++x;
    }
    for (; h < end; ++h, w += kPanel) {
      const f32x16 a = set1(*h);
      FP_UNROLL
      for (int v = 0; v < 4; ++v) acc[v] = fma(a, load(w + 16 * v), acc[v]);
    }
    const int64_t column = p * t.next_column;
    FP_UNROLL
    for (int v = 0; v < 4; ++v) {
      const f32x16 sum = t.bias ? add(acc[v], load(t.bias + column + 16 * v)) : acc[v];
      store(t.sums + column + 16 * v, sum);
    }
  }
  if (!t.unit) return;
  for (; left > 0; --left, unit += kPanel, ++x) {
    ahead_one(x, t.ldx, unit, ahead);
  }
  FP_UNROLL
  for (int v = 0; v < 2; ++v) {
    FP_UNROLL
    for (int m = 0; m < kRows; ++m) {
      const f32x16 sum = t.bias_ahead ? add(ahead[m][v], load(t.bias_ahead + 16 * v)) : ahead[m][v];
      store(t.y + m * t.ldy + 16 * v, sum);
    }
  }
}

// The product `recur` of one row, and units [u0, u1) of `next`, kRowsAhead rows.
void step_ahead(const LinearArgs& recur, bool backwards, const LinearArgs& next, int64_t u0,
                int64_t u1) {
  const int64_t panels = recur.n / kPanel;
  const auto unit_at = [&](AheadTile& t, int64_t u) {
    t.x = next.x;
    t.ldx = next.ldx;
    t.unit = u < u1 ? next.packed + u / 2 * kPanel * next.k + u % 2 * kUnit : nullptr;
    t.k_ahead = u < u1 ? next.k : 0;
    t.bias_ahead = next.epilogue.bias ? next.epilogue.bias + u * kUnit : nullptr;
    t.y = next.y + u * kUnit;
    t.ldy = next.n;
  };
  for (int64_t done = 0; done < panels || u0 < u1; done += kGroup, ++u0) {
    const int64_t rest = panels > done ? panels - done : 0;
    AheadTile t{};
    t.panels = rest < kGroup ? rest : kGroup;
    const int64_t first = backwards ? panels - 1 - done : done;
    t.h = recur.x;
    t.w = recur.packed + first * kPanel * recur.k;
    t.step = (backwards ? -kPanel : kPanel) * recur.k;
    t.k = recur.k;
    t.bias = recur.epilogue.bias ? recur.epilogue.bias + first * kPanel : nullptr;
    t.sums = recur.y + first * kPanel;
    t.next_column = backwards ? -kPanel : kPanel;
    unit_at(t, u0);
    ahead_tile(t);
  }
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
