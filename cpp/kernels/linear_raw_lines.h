// A linear with a raw weight and one row, where registers are wide: sixteen rows of w at a time, of which
// each cache line is read once and transposed in registers.
//
// A vector of outputs is one chain of fma over k, four cycles a step; so two of them run side by side.
// The second is some columns behind the first: rows a power of two apart share a few sets of the
// cache, and 32 lines of the same columns would push one another out.
#pragma once

#include "linear_pack.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

#if FP_LINEAR_NR == 64

constexpr int64_t kMostBehind = 32;        // lines: half of what the sets of a first cache span
constexpr int64_t kFewPairs = 8;           // of vectors: being behind costs half a pair at most
constexpr int64_t kSecondCache = 1 << 18;  // floats

// The row of x in blocks of 16 columns. What the last one has beyond the row is -0, and +0 in w: fma then
// leaves every sum as it is.
struct RawRow {
  const LinearArgs& g;
  int64_t n0, n1;  // outputs
  int64_t blocks;  // whole ones
  mask16 last;     // columns of the other one; 0: there is none
  alignas(64) float last_x[16];

  RawRow(const LinearArgs& args, int64_t from, int64_t to) : g(args), n0(from), n1(to) {
    const int64_t rest = g.k % 16;
    blocks = g.k / 16;
    last = static_cast<mask16>((1u << rest) - 1);
    for (int64_t j = 0; j < 16; ++j) last_x[j] = j < rest ? g.x[g.k - rest + j] : -0.0f;
  }
};

// Sixteen outputs from column n on, on their way through k; outside of [n0, n1) they are not kept.
struct RawColumns {
  const float *w, *x;
  int64_t n, left;  // blocks
  f32x16 sum;
};

template <bool Fetch, typename Columns>
FP_INLINE f32x16 add_block(const float* w, const float* x, int64_t k, Columns columns, f32x16 sum) {
  f32x16 v[16];
  const float* const quads[4] = {w, w + 4 * k, w + 8 * k, w + 12 * k};
  load_lines<Fetch>(quads, k, columns, v);
  FP_UNROLL
  for (int j = 0; j < 16; ++j) sum = fma(set1(x[j]), v[j], sum);
  return sum;
}
FP_NOINLINE f32x16 add_part(const float* w, const float* x, int64_t k, mask16 columns, f32x16 sum) {
  return add_block<false>(w, x, k, columns, sum);
}

// To the outputs from n on.
FP_INLINE void begin_columns(const RawRow& row, int64_t n, RawColumns& c) {
  c.n = n;
  c.left = INT64_MAX;
  if (n >= row.n1) return;
  c = {row.g.raw + n * row.g.k, row.g.x, n, row.blocks, zero()};
}
// Behind the last whole block: what is left of the row, and to the next pair's outputs.
FP_INLINE void end_columns(const RawRow& row, RawColumns& c) {
  if (c.n >= row.n0) {
    if (row.last) c.sum = add_part(c.w, row.last_x, row.g.k, row.last, c.sum);
    if (row.g.epilogue.bias) c.sum = add(c.sum, load(row.g.epilogue.bias + c.n));
    store(row.g.y + c.n, c.sum);
  }
  begin_columns(row, c.n + 32, c);
}

// Blocks of both, side by side.
template <bool Fetch>
FP_INLINE void add_blocks(RawColumns& a, RawColumns& b, int64_t k, int64_t count) {
  const float *wa = a.w, *wb = b.w, *xa = a.x, *xb = b.x;
  f32x16 sa = a.sum, sb = b.sum;
  for (int64_t i = count; i > 0; --i, wa += 16, wb += 16, xa += 16, xb += 16) {
    sa = add_block<Fetch>(wa, xa, k, AllColumns(), sa);
    sb = add_block<Fetch>(wb, xb, k, AllColumns(), sb);
  }
  a = {wa, xa, a.n, a.left - count, sa};
  b = {wb, xb, b.n, b.left - count, sb};
}

// Outputs [n0, n1), a multiple of 32, of the only row.
template <bool Fetch>
FP_NOINLINE void raw_pairs(const LinearArgs& g, int64_t n0, int64_t n1) {
  const RawRow row(g, n0, n1);
  const bool few = n1 - n0 < kFewPairs * 32;
  RawColumns a, b;
  begin_columns(row, n0, a);
  b = {a.w, a.x, n0 - 16, few ? 0 : min64(row.blocks / 2, kMostBehind), zero()};
  while (a.n < n1 || b.n < n1) {
    // One that has no outputs yet or any more goes along with the other.
    if (a.n >= n1) a.w = b.w, a.x = b.x;
    add_blocks<Fetch>(a, b, g.k, min64(a.left, b.left));
    if (a.left == 0) end_columns(row, a);
    if (b.left == 0) end_columns(row, b);
  }
}

// Whether the row's outputs [n, n1) begin that way, and how far they do.
FP_INLINE int64_t raw_lines_end(const LinearArgs& g, int64_t n, int64_t n1, bool nearby) {
  return g.m == 1 && nearby && g.k >= 32 ? n + (n1 - n) / 32 * 32 : n;
}
void raw_lines(const LinearArgs& g, int64_t n0, int64_t n1) {
  (g.n * g.k > kSecondCache ? raw_pairs<true> : raw_pairs<false>)(g, n0, n1);
}

#endif

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
