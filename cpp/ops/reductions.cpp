// Sum, mean and variance over a dimension.
#include "../dispatch.h"
#include "../fpenv.h"
#include "../ops.h"
#include "pieces.h"

namespace forwardpass {

void reduce(const float* x, int64_t outer, int64_t n, int64_t inner, Reduction what,
            int64_t correction, float* y) {
  const FloatEnvironment environment;
  const auto rows = kernels().norm->reduce;
  const int64_t divided = what == Reduction::var ? n - correction : n;
  const auto divisor = static_cast<float>(divided > 0 ? divided : 0);
  if (inner == 1 || n == 0) {  // rows without elements, too, have a result
    const int64_t count = outer * inner, piece = n < kPiece ? kPiece / (n + 1) : 1;
    in_pieces(count, piece, threads_for(count * n, kLightGrain),
              [&](int64_t r, int64_t some) { rows(x + r * n, some, n, what, divisor, y + r); });
    return;
  }
  // Columns become rows of scratch, a few cache lines of them at a time.
  const int64_t strips = (inner + kStrip - 1) / kStrip;
  std::atomic<bool> out_of_memory{false};
  parallel_for(outer * strips, threads_for(outer * n * inner, kLightGrain), [&](int64_t i) {
    const int64_t first = i % strips * kStrip, left = inner - first;
    const int64_t count = left < kStrip ? left : kStrip;
    const float* from = x + i / strips * n * inner + first;
    Scratch scratch(kStrip * n);
    float* columns = scratch.data();
    if (!columns) {
      out_of_memory = true;
      return;
    }
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t c = 0; c < count; ++c) columns[c * n + j] = from[j * inner + c];
    }
    rows(columns, count, n, what, divisor, y + i / strips * inner + first);
  });
  if (out_of_memory) throw std::bad_alloc();
}

}  // namespace forwardpass
