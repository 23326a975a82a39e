// A linear's weight (n, k) to panels of NR columns and back: see linear.h.
#pragma once

#include "linear_tile.h"
#include "load_block.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

// Sixteen rows are read side by side, too many streams for the hardware to follow. But as a whole
// they are contiguous: while 16 columns of them are at work, 16 lines of the next 16 rows are
// fetched in their order.
FP_INLINE void fetch_next_rows(const float* w, int64_t k, int64_t column) {
  const float* next = w + 16 * k + 16 * column;
  FP_UNROLL
  for (int line = 0; line < 16; ++line) FP_PREFETCH_L2(next + 16 * line);
}

// `columns` rows of w (k floats each) into one panel of `width` columns, the rest of it +0.
void pack_panel(const float* w, int64_t columns, int64_t k, int64_t width, float* panel) {
  f32x16 v[8];
  for (int64_t j = 0; j < width; j += 16) {
    const int64_t rows = min64(columns - j, 16);
    for (int64_t i = 0; i < k; i += 8) {
      const int64_t left = min64(k - i, 8);
      if (i % 16 == 0 && j + 32 <= columns) fetch_next_rows(w + j * k, k, i);
      load_block(w + j * k + i, k, rows, left, v);
      for (int64_t c = 0; c < left; ++c) store(panel + (i + c) * width + j, v[c]);
    }
  }
}

FP_INLINE int64_t panel_width(int64_t n, int64_t first) { return min64(kNR, round16(n) - first); }

// w (n, k) columns [n0, n1) into panels. n0 is a multiple of NR, n1 too or n itself.
void linear_pack(const float* w, int64_t n, int64_t k, int64_t n0, int64_t n1, float* packed) {
  if (chains(n, k) == 64) {
    for (int64_t i = n0 * k; i < n1 * k; ++i) packed[i] = w[i];
    return;
  }
  for (int64_t c = n0; c < n1; c += kNR) {
    pack_panel(w + c * k, min64(kNR, n - c), k, panel_width(n, c), packed + c * k);
  }
}

void linear_unpack(const float* packed, int64_t n, int64_t k, float* w) {
  const bool dot = chains(n, k) == 64;
  for (int64_t c = 0; c < n; ++c) {
    const int64_t c0 = c / kNR * kNR, width = panel_width(n, c0);
    for (int64_t i = 0; i < k; ++i) {
      w[c * k + i] = dot ? packed[c * k + i] : packed[c0 * k + i * width + (c - c0)];
    }
  }
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
