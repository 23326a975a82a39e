// Pieces of a row-major matrix as columns, whole or cut off at its edges.
#pragma once

#include "../simd/f32x16.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

// Lane j of v[i] = w[j * ld + i] for j < rows <= 16, i < columns <= 8; the rest +0.
FP_INLINE void load_block(const float* w, int64_t ld, int64_t rows, int64_t columns,
                          f32x16 (&v)[8]) {
  if (rows == 16 && columns == 8) return load_transposed(w, ld, v);
  float block[16 * 16];
  for (int64_t j = 0; j < 16; ++j) {
    store(block + 16 * j, j < rows ? load_n(w + j * ld, columns) : zero());
  }
  load_transposed(block, 16, v);
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
