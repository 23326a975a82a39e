// Rotary position embedding: its tables, and rows turned by them.
#include <cstring>

#include "../dispatch.h"
#include "../fpenv.h"
#include "../ops.h"
#include "double_math.h"
#include "pieces.h"

namespace forwardpass {

std::vector<double> rotary_frequencies(int64_t dim, double base) {
  const FloatEnvironment environment;
  const double rate = -2 * log_of(base);
  std::vector<double> frequencies;
  for (int64_t i = 0; i < dim / 2; ++i) {
    frequencies.push_back(exp_of(rate * static_cast<double>(i) / static_cast<double>(dim)));
  }
  return frequencies;
}

void rotary_table(int64_t first, int64_t count, const std::vector<double>& frequencies, float* cos,
                  float* sin) {
  const FloatEnvironment environment;
  const auto pairs = static_cast<int64_t>(frequencies.size());
  over_rows(count, pairs, [&](int64_t r0, int64_t rows) {
    for (int64_t r = r0; r < r0 + rows; ++r) {
      const auto position = static_cast<double>(first + r);
      for (int64_t i = 0; i < pairs; ++i) {
        const SinCos value = sin_cos_of(position * frequencies[static_cast<size_t>(i)]);
        cos[r * pairs + i] = static_cast<float>(value.cos);
        sin[r * pairs + i] = static_cast<float>(value.sin);
      }
    }
  });
}

void rotary_table(int64_t first, int64_t count, int64_t dim, double base, float* cos, float* sin) {
  rotary_table(first, count, rotary_frequencies(dim, base), cos, sin);
}

namespace {

// Where row r of each array begins.
struct RowStart {
  int64_t x = 0, y = 0, table = 0;
  RowStart(const RotaryArgs& args, int64_t r) {
    for (size_t d = args.dims.size(); d-- > 0;) {
      const int64_t at = r % args.dims[d];
      r /= args.dims[d];
      x += at * args.x_step[d];
      y += at * args.y_step[d];
      table += at * args.table_step[d];
    }
  }
};

}  // namespace

void rotary_embedding(const RotaryArgs& args) {
  const FloatEnvironment environment;
  const TableKernels& kernel = *kernels().table;
  const auto turn = args.interleaved ? kernel.rotate_pairs : kernel.rotate_halves;
  int64_t rows = 1;
  for (const int64_t n : args.dims) rows *= n;
  const int64_t rest = args.width - 2 * args.pairs;
  over_rows(rows, args.width, [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r) {
      const RowStart at(args, r);
      const float* x = args.x + at.x;
      float* y = args.y + at.y;
      turn(x, args.cos + at.table, args.sin + at.table, args.pairs, y);
      if (rest && x != y) {
        std::memcpy(y + 2 * args.pairs, x + 2 * args.pairs,
                    static_cast<size_t>(rest) * sizeof(float));
      }
    }
  });
}

}  // namespace forwardpass
