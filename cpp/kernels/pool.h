// Maximum and average over windows of a plane.
//
// Down, then along (docs/numerics.md): the rows of a window are joined column by column, in rising
// order, into a row of scratch, and the columns of that in rising order. Each column's chain is the
// same wherever the vector begins, so every output depends on its window alone. The maximum keeps
// NaN, and a maximum of zero is +0.
#pragma once

#include <math.h>

#include "../kernels.h"
#include "../simd/f32x16.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

// What a pooling does with a value more: start is what an empty window holds.
struct Largest {
  static FP_INLINE float start() { return -INFINITY; }
  static FP_INLINE f32x16 first(f32x16 v) { return v; }
  static FP_INLINE f32x16 join(f32x16 m, f32x16 v) { return select(is_nan(v), v, max(v, m)); }
  static FP_INLINE float join(float m, float v) {
    return static_cast<int>(v > m) | static_cast<int>(v != v) ? v : m;
  }
  static FP_INLINE f32x16 finish(f32x16 m, f32x16) { return add(m, zero()); }
  static FP_INLINE float finish(float m, float) { return m + 0.0f; }
};
struct Average {
  static FP_INLINE float start() { return 0.0f; }
  static FP_INLINE f32x16 first(f32x16 v) { return add(zero(), v); }
  static FP_INLINE f32x16 join(f32x16 s, f32x16 v) { return add(s, v); }
  static FP_INLINE float join(float s, float v) { return s + v; }
  static FP_INLINE f32x16 finish(f32x16 s, f32x16 divisor) { return div(s, divisor); }
  static FP_INLINE float finish(float s, float divisor) { return s / divisor; }
};

// The rows of the output, plane after plane.
class PoolWalk {
 public:
  PoolWalk(const PoolArgs& g, int64_t row)
      : g_(g), plane_(g.x + row / g.out_height * g.height * g.width), i_(row % g.out_height) {}
  void next() {
    if (++i_ < g_.out_height) return;
    i_ = 0;
    plane_ += g_.height * g_.width;
  }
  const float* window() const { return plane_ + g_.row_first[i_] * g_.width; }
  int64_t rows() const { return g_.row_count[i_]; }
  float divisor() const { return g_.row_divisor[i_]; }

 private:
  const PoolArgs& g_;
  const float* plane_;
  int64_t i_;
};

// The window's rows joined into one: `count` rows of x, `step` floats apart.
template <class Op>
FP_INLINE void pool_down(const float* x, int64_t count, int64_t step, int64_t width, float* to) {
  int64_t c = 0;
  for (; c + 64 <= width; c += 64) {
    f32x16 acc[4];
    FP_UNROLL
    for (int v = 0; v < 4; ++v) {
      acc[v] = count ? Op::first(load(x + c + 16 * v)) : set1(Op::start());
    }
    for (int64_t r = 1; r < count; ++r) {
      FP_UNROLL
      for (int v = 0; v < 4; ++v) acc[v] = Op::join(acc[v], load(x + r * step + c + 16 * v));
    }
    FP_UNROLL
    for (int v = 0; v < 4; ++v) store(to + c + 16 * v, acc[v]);
  }
  for (; c < width; c += 16) {
    const int64_t left = width - c, lanes = left < 16 ? left : 16;
    const f32x16 rest = set1(Op::start());  // what stands behind the row
    f32x16 acc = count ? Op::first(load_or(x + c, lanes, rest)) : rest;
    for (int64_t r = 1; r < count; ++r) acc = Op::join(acc, load_or(x + r * step + c, lanes, rest));
    store(to + c, acc);
  }
}

// 16 outputs of a sliding window of stride 1 or 2 from `row`, which begins `lead` before the plane.
template <class Op, int Stride>
FP_INLINE f32x16 pool_along(const float* row, int64_t taps, int64_t step) {
  const auto at = [row](int64_t i) FP_INLINE_LAMBDA {
    return Stride == 1 ? load(row + i) : evens(load(row + i), load(row + i + 16));
  };
  f32x16 acc = Op::first(at(0));
  for (int64_t t = 1; t < taps; ++t) acc = Op::join(acc, at(t * step));
  return acc;
}

template <class Op, int Stride>
FP_INLINE void pool_slide(const PoolArgs& g, const float* row, float row_divisor, float* y) {
  const f32x16 down = set1(row_divisor);
  for (int64_t j = 0; j < g.out_width; j += 16) {
    const int64_t left = g.out_width - j, lanes = left < 16 ? left : 16;
    const f32x16 divisor = mul(down, load_n(g.col_divisor + j, lanes));
    const f32x16 acc = pool_along<Op, Stride>(row + j * Stride, g.taps, g.col_step);
    const f32x16 result = Op::finish(acc, divisor);
    if (lanes == 16) {
      store(y + j, result);
    } else {
      store_n(y + j, result, lanes);
    }
  }
}

// Larger strides: every position as for stride 1 into `spare`, of which the outputs are taken.
template <class Op>
FP_INLINE void pool_pick(const PoolArgs& g, const float* row, float row_divisor, float* spare,
                         float* y) {
  for (int64_t i = 0; i <= (g.out_width - 1) * g.col_stride; i += 16) {
    store(spare + i, pool_along<Op, 1>(row + i, g.taps, g.col_step));
  }
  for (int64_t j = 0; j < g.out_width; ++j) y[j] = spare[j * g.col_stride];
  const f32x16 down = set1(row_divisor);
  for (int64_t j = 0; j < g.out_width; j += 16) {
    const int64_t left = g.out_width - j, lanes = left < 16 ? left : 16;
    const f32x16 divisor = mul(down, load_n(g.col_divisor + j, lanes));
    store_n(y + j, Op::finish(load_n(y + j, lanes), divisor), lanes);
  }
}

template <class Op>
FP_INLINE void pool_across(const PoolArgs& g, const float* row, float row_divisor, float* spare,
                           float* y) {
  if (g.col_stride == 1) return pool_slide<Op, 1>(g, row, row_divisor, y);
  if (g.col_stride == 2) return pool_slide<Op, 2>(g, row, row_divisor, y);
  if (g.col_stride > 2 && g.col_stride <= 16 && g.out_width > 4) {
    return pool_pick<Op>(g, row, row_divisor, spare, y);
  }
  for (int64_t j = 0; j < g.out_width; ++j) {
    const float* from = row + g.lead + g.col_first[j];
    float acc = Op::start();
    for (int64_t t = 0; t < g.col_count[j]; ++t) acc = Op::join(acc, from[t * g.col_step]);
    y[j] = Op::finish(acc, row_divisor * g.col_divisor[j]);
  }
}

// ---- Planes of at most 16 columns: one vector a row, 16 rows at a time ------------------------

constexpr int64_t kNarrowRows = 16, kNarrowPitch = 80;

FP_INLINE bool is_single(const PoolArgs& g) { return g.out_width == 1 && g.col_step == 1; }
FP_INLINE bool is_narrow(const PoolArgs& g) {
  if (g.width > 16 || g.out_width > 16) return false;
  if (is_single(g)) return true;
  const int64_t reach = (g.out_width - 1) * g.col_stride + (g.taps - 1) * g.col_step + 1;
  return (g.col_stride == 1 || g.col_stride == 2) && g.lead <= 16 && reach <= 48;
}

template <class Op, int Stride>
FP_INLINE void narrow_slide(const PoolArgs& g, PoolWalk& to, const float* rows, int64_t count,
                            float* y) {
  const f32x16 columns = load_n(g.col_divisor, g.out_width);
  for (int64_t r = 0; r < count; ++r, to.next()) {
    const f32x16 acc = pool_along<Op, Stride>(rows + r * kNarrowPitch, g.taps, g.col_step);
    const f32x16 divisor = mul(set1(to.divisor()), columns);
    const f32x16 result = Op::finish(acc, divisor);
    if ((count - r) * g.out_width >= 16) {
      store(y + r * g.out_width, result);  // the next rows come over what is too much
    } else {
      store_n(y + r * g.out_width, result, g.out_width);
    }
  }
}

// One output a row: the rows are turned, so that each is a lane.
template <class Op>
FP_INLINE void narrow_single(const PoolArgs& g, PoolWalk& to, const float* rows, int64_t count,
                             float* y) {
  f32x16 acc = set1(Op::start()), v[8];
  float divisors[kNarrowRows] = {};
  for (int64_t t = 0; t < g.col_count[0]; t += 8) {
    load_transposed(rows + g.col_first[0] + t, kNarrowPitch, v);
    const int64_t left = g.col_count[0] - t;
    if (t == 0) acc = Op::first(v[0]);
    for (int64_t j = t == 0; j < (left < 8 ? left : 8); ++j) acc = Op::join(acc, v[j]);
  }
  for (int64_t r = 0; r < count; ++r, to.next()) divisors[r] = to.divisor();
  store_n(y, Op::finish(acc, mul(load(divisors), set1(g.col_divisor[0]))), count);
}

template <class Op>
FP_INLINE void pool_narrow(const PoolArgs& g, int64_t r0, int64_t r1) {
  const f32x16 rest = set1(Op::start());
  const int64_t lead = is_single(g) ? 0 : g.lead, step = g.row_step * g.width;
  float rows[kNarrowRows * kNarrowPitch];
  for (int64_t i = 0; i < kNarrowRows * kNarrowPitch; i += 16) store(rows + i, rest);
  PoolWalk from(g, r0), to = from;
  for (int64_t first = r0; first < r1; first += kNarrowRows) {
    const int64_t count = r1 - first < kNarrowRows ? r1 - first : kNarrowRows;
    for (int64_t r = 0; r < count; ++r, from.next()) {
      const float* x = from.window();
      f32x16 acc = from.rows() ? Op::first(load_or(x, g.width, rest)) : rest;
      for (int64_t i = 1; i < from.rows(); ++i) {
        acc = Op::join(acc, load_or(x + i * step, g.width, rest));
      }
      store(rows + r * kNarrowPitch + lead, acc);
    }
    float* y = g.y + first * g.out_width;
    if (is_single(g)) {
      narrow_single<Op>(g, to, rows, count, y);
    } else if (g.col_stride == 1) {
      narrow_slide<Op, 1>(g, to, rows, count, y);
    } else {
      narrow_slide<Op, 2>(g, to, rows, count, y);
    }
  }
}

template <class Op>
void pool_rows(const PoolArgs& g, int64_t r0, int64_t r1, float* scratch, int64_t pitch) {
  if (is_narrow(g)) return pool_narrow<Op>(g, r0, r1);
  for (int64_t r = 0; r < kPoolRows; ++r) {  // outside the plane; pool_down writes the rest
    float* row = scratch + r * pitch;
    for (int64_t c = 0; c < g.lead; ++c) row[c] = Op::start();
    for (int64_t c = g.lead + g.width; c < pitch; ++c) row[c] = Op::start();
  }
  PoolWalk from(g, r0), to = from;
  for (int64_t first = r0; first < r1; first += kPoolRows) {
    const int64_t count = r1 - first < kPoolRows ? r1 - first : kPoolRows;
    // Several rows at a time, so that what is read along has long been written.
    for (int64_t r = 0; r < count; ++r, from.next()) {
      pool_down<Op>(from.window(), from.rows(), g.row_step * g.width, g.width,
                    scratch + r * pitch + g.lead);
    }
    for (int64_t r = 0; r < count; ++r, to.next()) {
      float* spare = scratch + kPoolRows * pitch;
      pool_across<Op>(g, scratch + r * pitch, to.divisor(), spare, g.y + (first + r) * g.out_width);
    }
  }
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
