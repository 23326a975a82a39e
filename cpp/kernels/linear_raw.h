// A linear with a raw weight and few rows: w is transposed in registers and never stored.
//
// Sixteen rows of w are a vector of outputs, one chain of fma each. Two rows of x would wait for their
// own chain, so they take two vectors of outputs side by side; not of large weights, where memory is the
// limit and 32 rows are too many streams. One row: linear_raw_lines.h, where registers are wide.
#pragma once

#include "epilogue.h"
#include "linear_pack.h"
#include "linear_raw_lines.h"
#include "linear_raw_quads.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

constexpr int kRawMR = kNativeLanes == 16 ? 8 : 4;       // rows of x at a time
constexpr int64_t kFewRows = 2 * kRawMR;                 // from here on packing a panel pays
constexpr int kRawVectors = kNativeLanes == 16 ? 2 : 1;  // of outputs, for two rows
constexpr int64_t kNearby = 1 << 22;  // floats of a weight that some cache holds: not fetched ahead

// Rows of w a multiple of 4 KiB apart share a few sets of the cache, which 16 of them overflow. So no
// line may be needed twice, and reading begins where all rows reach one: after so many columns.
FP_INLINE bool rows_collide(int64_t k) { return k > 0 && k % 1024 == 0; }
FP_INLINE int64_t columns_before_line(const float* w, int64_t k) {
  if (!rows_collide(k)) return 0;
  return static_cast<int64_t>(-reinterpret_cast<uintptr_t>(w) % 64 / sizeof(float));
}

template <int M>
struct RawSums {
  f32x16 of[M];
};

// The sums and columns [i, end) of w more, at most 8 at a time, those of `rows` <= 16 rows.
template <int M>
FP_NOINLINE RawSums<M> raw_rest(RawSums<M> acc, const float* const (&x)[M], const float* w,
                                int64_t k, int64_t rows, int64_t i, int64_t end) {
  f32x16 v[8];
  while (i < end) {
    const int64_t count = min64(end - i, 8);
    const int64_t from = k >= 8 ? min64(i, k - 8) : i;  // 8 whole columns of the row
    load_block(w + from, k, rows, k >= 8 ? 8 : count, v);
    for (int64_t j = i - from; j < i - from + count; ++j) {
      FP_UNROLL
      for (int m = 0; m < M; ++m) acc.of[m] = fma(set1(x[m][from + j]), v[j], acc.of[m]);
    }
    i += count;
  }
  return acc;
}

// M rows of x from m0 on, G vectors of columns from n on; all 16 columns of each, or G = 1.
template <int M, int G>
FP_NOINLINE void raw_columns(const LinearArgs& g, int64_t m0, int64_t n, bool more) {
  const int64_t rows = min64(g.n - n, 16), k = g.k;
  const float* w = g.raw + n * k;
  const float* x[M];
  RawSums<M> acc[G];
  f32x16 v[8];
  FP_UNROLL
  for (int m = 0; m < M; ++m) {
    x[m] = g.x + (m0 + m) * g.ldx;
    FP_UNROLL
    for (int c = 0; c < G; ++c) acc[c].of[m] = zero();
  }
  const int64_t head = rows == 16 ? columns_before_line(w, k) : 0;
  const int64_t whole = rows == 16 ? head + (k - head) / 16 * 16 : 0;
  FP_UNROLL
  for (int c = 0; c < G && head > 0; ++c) {
    acc[c] = raw_rest(acc[c], x, w + 16 * c * k, k, rows, 0, head);
  }
  for (int64_t i = head; i < whole; i += 16) {
    FP_UNROLL
    for (int c = 0; c < G; ++c) {
      if (more) fetch_next_rows(w + 16 * (G - 1 + c) * k, k, i);
    }
    FP_UNROLL
    for (int64_t half = 0; half < 16; half += 8) {
      FP_UNROLL
      for (int c = 0; c < G; ++c) {
        load_transposed(w + 16 * c * k + i + half, k, v);
        FP_UNROLL
        for (int j = 0; j < 8; ++j) {
          FP_UNROLL
          for (int m = 0; m < M; ++m)
            acc[c].of[m] = fma(set1(x[m][i + half + j]), v[j], acc[c].of[m]);
        }
      }
    }
  }
  FP_UNROLL
  for (int c = 0; c < G; ++c) {
    if (whole < k) acc[c] = raw_rest(acc[c], x, w + 16 * c * k, k, rows, whole, k);
    FP_UNROLL
    for (int m = 0; m < M; ++m) {
      if (g.epilogue.bias)
        acc[c].of[m] = add(acc[c].of[m], load_n(g.epilogue.bias + n + 16 * c, rows));
      store_n(g.y + (m0 + m) * g.n + n + 16 * c, acc[c].of[m], rows);
    }
  }
}

using RawFn = void (*)(const LinearArgs&, int64_t, int64_t, bool);
FP_INLINE RawFn raw_for(int64_t rows, bool two) {
  constexpr int kMax = kRawMR;
  switch (rows) {
    case 8: return raw_columns<kMax, 1>;
    case 7: return raw_columns<(kMax < 7 ? kMax : 7), 1>;
    case 6: return raw_columns<(kMax < 6 ? kMax : 6), 1>;
    case 5: return raw_columns<(kMax < 5 ? kMax : 5), 1>;
    case 4: return raw_columns<(kMax < 4 ? kMax : 4), 1>;
    case 3: return raw_columns<(kMax < 3 ? kMax : 3), 1>;
    case 2: return two ? raw_columns<2, kRawVectors> : raw_columns<2, 1>;
    default: return raw_columns<1, 1>;
  }
}

void linear_raw_rows(const LinearArgs& g, int64_t m0, int64_t m1, int64_t n0, int64_t n1) {
  const int64_t blocks = (m1 - m0 + kRawMR - 1) / kRawMR;
  const bool nearby = g.n * g.k <= kNearby;
  int64_t n = n0;
#if FP_LINEAR_NR == 64
  n = raw_lines_end(g, n0, n1, nearby);
  if (n > n0) (rows_collide(g.k) ? raw_quads : raw_lines)(g, n0, n);
#endif
  while (n < n1) {
    const bool two =
        kRawVectors == 2 && nearby && m1 - m0 == 2 && n + 32 <= n1 && !rows_collide(g.k);
    const int64_t step = two ? 32 : 16;
    for (int64_t b = 0; b < blocks; ++b) {
      const int64_t r0 = m0 + b * (m1 - m0) / blocks, r1 = m0 + (b + 1) * (m1 - m0) / blocks;
      raw_for(r1 - r0, two)(g, r0, n, b == 0 && !nearby && n + 2 * step <= n1);
    }
    n += step;
  }
  finish_rows(g.epilogue, g.y, m0 * g.n + n0, m1 - m0, n1 - n0, g.n);
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
