// Pooling: the windows of both dimensions, and tiles of output rows.
#include <cmath>

#include "../dispatch.h"
#include "../fpenv.h"
#include "../ops.h"
#include "pieces.h"

namespace forwardpass {

int64_t PoolAxis::sliding_size(int64_t in, int64_t taps, int64_t stride, int64_t pad,
                               int64_t dilation, bool ceil) {
  const int64_t span = in + 2 * pad - dilation * (taps - 1) - 1 + (ceil ? stride - 1 : 0);
  if (span < 0) return 0;
  const int64_t out = span / stride + 1;
  return ceil && (out - 1) * stride >= in + pad ? out - 1 : out;
}

PoolAxis PoolAxis::sliding(int64_t in, int64_t taps, int64_t stride, int64_t pad, int64_t dilation,
                           bool ceil, bool include_pad) {
  PoolAxis axis;
  axis.in = in;
  axis.out = sliding_size(in, taps, stride, pad, dilation, ceil);
  axis.step = dilation;
  axis.stride = stride;
  axis.taps = taps;
  axis.pad = pad;
  for (int64_t i = 0; i < axis.out; ++i) {
    const int64_t start = i * stride - pad;
    const int64_t before = start < 0 ? (-start + dilation - 1) / dilation : 0;
    const int64_t room = in > start ? (in - start + dilation - 1) / dilation : 0;
    const int64_t end = room < taps ? room : taps, count = end > before ? end - before : 0;
    axis.first.push_back(count ? start + before * dilation : 0);
    axis.count.push_back(count);
    const int64_t padded = in + pad - start < taps ? in + pad - start : taps;
    const int64_t counted = include_pad ? padded : count;
    axis.divisor.push_back(static_cast<float>(counted > 0 ? counted : 1));
  }
  return axis;
}

PoolAxis PoolAxis::adaptive(int64_t in, int64_t out) {
  PoolAxis axis;
  axis.in = in;
  axis.out = out;
  for (int64_t i = 0; i < out; ++i) {
    const int64_t start = i * in / out, end = ((i + 1) * in + out - 1) / out;
    axis.first.push_back(start);
    axis.count.push_back(end - start);
    axis.divisor.push_back(static_cast<float>(end - start));
  }
  return axis;
}

namespace {

constexpr int64_t kOverread = 64;  // floats that vectors may read past the last window

using PoolFn = void (*)(const PoolArgs&, int64_t, int64_t, float*, int64_t);

void pool(PoolFn fn, const float* x, int64_t planes, const PoolAxis& rows, const PoolAxis& cols,
          float* y) {
  const FloatEnvironment environment;
  if (planes == 0 || rows.out == 0 || cols.out == 0) return;
  PoolArgs g;
  g.x = x;
  g.y = y;
  g.height = rows.in;
  g.width = cols.in;
  g.out_height = rows.out;
  g.out_width = cols.out;
  g.row_first = rows.first.data();
  g.row_count = rows.count.data();
  g.row_divisor = rows.divisor.data();
  g.row_step = rows.step;
  g.col_first = cols.first.data();
  g.col_count = cols.count.data();
  g.col_divisor = cols.divisor.data();
  g.col_step = cols.step;
  g.col_stride = cols.stride;
  g.taps = cols.taps;
  g.lead = cols.pad;
  const int64_t reach =
      cols.stride ? (cols.out - 1) * cols.stride + (cols.taps - 1) * cols.step + 1 : cols.in;
  const int64_t inside = cols.pad + cols.in;
  const int64_t pitch = (reach > inside ? reach : inside) + kOverread;
  const int64_t work = rows.count[0] * cols.in + cols.out;  // of an output row, about
  const int64_t piece = (kPiece / (work + 1) / kPoolRows + 1) * kPoolRows, all = planes * rows.out;
  std::atomic<bool> out_of_memory{false};
  in_pieces(all, piece, threads_for(all * work, kGrain), [&](int64_t first, int64_t count) {
    Scratch scratch((kPoolRows + 1) * pitch);
    if (scratch.data()) {
      fn(g, first, first + count, scratch.data(), pitch);
    } else {
      out_of_memory = true;
    }
  });
  if (out_of_memory) throw std::bad_alloc();
}

int64_t index_of_largest(const float* x, int64_t width, const PoolAxis& rows, const PoolAxis& cols,
                         size_t i, size_t j) {
  int64_t best = rows.first[i] * width + cols.first[j];
  float most = -INFINITY;
  for (int64_t r = 0; r < rows.count[i]; ++r) {
    for (int64_t c = 0; c < cols.count[j]; ++c) {
      const int64_t at = (rows.first[i] + r * rows.step) * width + cols.first[j] + c * cols.step;
      if (x[at] > most || std::isnan(x[at])) {
        most = x[at];
        best = at;
      }
    }
  }
  return best;
}

}  // namespace

void max_pool(const float* x, int64_t planes, const PoolAxis& rows, const PoolAxis& cols,
              float* y) {
  pool(kernels().pool->max, x, planes, rows, cols, y);
}

void avg_pool(const float* x, int64_t planes, const PoolAxis& rows, const PoolAxis& cols,
              float* y) {
  pool(kernels().pool->avg, x, planes, rows, cols, y);
}

void max_pool_indices(const float* x, int64_t planes, const PoolAxis& rows, const PoolAxis& cols,
                      int64_t* index) {
  const FloatEnvironment environment;
  const int64_t outputs = rows.out * cols.out;
  parallel_for(planes, threads_for(planes * rows.in * cols.in, kGrain), [&](int64_t p) {
    const float* plane = x + p * rows.in * cols.in;
    for (int64_t i = 0; i < outputs; ++i) {
      index[p * outputs + i] =
          index_of_largest(plane, cols.in, rows, cols, static_cast<size_t>(i / cols.out),
                           static_cast<size_t>(i % cols.out));
    }
  });
}

}  // namespace forwardpass
