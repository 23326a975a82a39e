// Bags of an embedding, outer products, and resizing.
#include <cmath>
#include <cstring>
#include <vector>

#include "../dispatch.h"
#include "../fpenv.h"
#include "../ops.h"
#include "pieces.h"

namespace forwardpass {

void outer_product(const float* a, const float* b, int64_t rows, int64_t n, int64_t m, float* y) {
  const FloatEnvironment environment;
  const UnaryFn scale = kernels().unary->scale;
  over_rows(rows * n, m, [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r) scale(b + r / n * m, y + r * m, m, a[r]);
  });
}

void embedding_bag(const int64_t* index, const int64_t* offset, int64_t bags, const float* table,
                   int64_t width, const float* factors, Bag mode, float* y) {
  const FloatEnvironment environment;
  const TableKernels& kernel = *kernels().table;
  if (bags == 0 || width == 0) return;
  const int64_t work = (offset[bags] + bags) * width, piece = bags * kPiece / work + 1;
  in_pieces(bags, piece, threads_for(work, kLightGrain), [&](int64_t first, int64_t count) {
    for (int64_t i = first; i < first + count; ++i) {
      const int64_t at = offset[i];
      kernel.bag(table, width, index + at, offset[i + 1] - at, factors ? factors + at : nullptr,
                 mode, y + i * width);
    }
  });
}

namespace {

// Input elements an output covers, as torch computes it in float32.
float step_of(const Resize& d, bool align_corners) {
  if (align_corners) {
    return d.out > 1 ? static_cast<float>(d.in - 1) / static_cast<float>(d.out - 1) : 0.0f;
  }
  if (d.scale > 0) return static_cast<float>(1.0 / d.scale);
  return static_cast<float>(d.in) / static_cast<float>(d.out);
}

// The two neighbours of each output and their weights.
struct Neighbours {
  std::vector<int64_t> low, high;
  std::vector<float> p, q;

  Neighbours(const Resize& d, bool align_corners) {
    const float step = step_of(d, align_corners);
    for (int64_t i = 0; i < d.out; ++i) {
      float at = static_cast<float>(i);
      if (d.in != d.out) {
        at = align_corners ? step * at : step * (at + 0.5f) - 0.5f;
        if (at < 0) at = 0;
      }
      int64_t first = static_cast<int64_t>(at);
      if (first > d.in - 1) first = d.in - 1;
      float share = at - static_cast<float>(first);
      share = share < 0 ? 0 : share > 1 ? 1 : share;
      low.push_back(first);
      high.push_back(first + (first < d.in - 1 ? 1 : 0));
      p.push_back(1.0f - share);
      q.push_back(share);
    }
  }
};

// The source of each output of a nearest resize. Without a scale an equal size is the identity.
std::vector<int64_t> nearest_indices(const Resize& d, bool exact) {
  const float step = step_of(d, false);
  std::vector<int64_t> index;
  for (int64_t i = 0; i < d.out; ++i) {
    const float at = static_cast<float>(i) + (exact ? 0.5f : 0.0f);
    int64_t from = static_cast<int64_t>(std::floor(at * step));
    if (d.out == d.in && !(exact && d.scale > 0)) from = i;
    if (!exact && d.out == 2 * d.in) from = i / 2;
    index.push_back(from < d.in - 1 ? from : d.in - 1);
  }
  return index;
}

}  // namespace

void resize_nearest(const float* x, int64_t planes, const Resize& rows, const Resize& cols,
                    bool exact, float* y) {
  const FloatEnvironment environment;
  const std::vector<int64_t> down = nearest_indices(rows, exact);
  const std::vector<int64_t> along = nearest_indices(cols, exact);
  bool whole = cols.in == cols.out;  // rows are copied as they are
  for (size_t j = 0; j < along.size(); ++j) whole &= along[j] == static_cast<int64_t>(j);
  const size_t bytes = static_cast<size_t>(cols.out) * sizeof(float);
  over_rows(planes * rows.out, cols.out, [&](int64_t first, int64_t count) {
    const float* last = nullptr;  // what the row before was made of
    for (int64_t r = first; r < first + count; ++r) {
      const int64_t source = r / rows.out * rows.in + down[static_cast<size_t>(r % rows.out)];
      const float* from = x + source * cols.in;
      float* to = y + r * cols.out;
      if (whole || from == last) {
        std::memcpy(to, whole ? from : to - cols.out, bytes);
      } else {
        for (size_t j = 0; j < along.size(); ++j) to[j] = from[along[j]];
      }
      last = from;
    }
  });
}

void resize_linear(const float* x, int64_t planes, const Resize& rows, const Resize& cols,
                   bool align_corners, float* y) {
  const FloatEnvironment environment;
  const TableKernels& kernel = *kernels().table;
  const Neighbours down(rows, align_corners), along(cols, align_corners);
  std::atomic<bool> out_of_memory{false};
  over_rows(planes * rows.out, cols.out, [&](int64_t first, int64_t count) {
    Scratch scratch(cols.in);
    float* row = scratch.data();
    if (!row) {
      out_of_memory = true;
      return;
    }
    for (int64_t r = first; r < first + count; ++r) {
      const float* plane = x + r / rows.out * rows.in * cols.in;
      const auto i = static_cast<size_t>(r % rows.out);
      kernel.blend(plane + down.low[i] * cols.in, plane + down.high[i] * cols.in, down.p[i],
                   down.q[i], cols.in, row);
      float* to = y + r * cols.out;
      for (size_t j = 0; j < along.low.size(); ++j) {
        to[j] = along.p[j] * row[along.low[j]] + along.q[j] * row[along.high[j]];
      }
    }
  });
  if (out_of_memory) throw std::bad_alloc();
}

}  // namespace forwardpass
