// Ops without weights to pack: element-wise functions, norms, softmax, embedding. They split into
// pieces of about kPiece elements.
#include <atomic>
#include <cstring>

#include "../dispatch.h"
#include "../fpenv.h"
#include "../ops.h"
#include "../parallel.h"
#include "../simd/compiler.h"

namespace forwardpass {
namespace {

constexpr int64_t kPiece = 1 << 14;  // elements: 64 KiB
constexpr int64_t kGrain = 1 << 16;  // elements worth a thread
constexpr int64_t kStrip = 32;  // columns of a softmax that does not run over the last dimension

// fn(first, count) over [0, n) in pieces of at most `piece`.
template <class Fn>
void in_pieces(int64_t n, int64_t piece, int threads, const Fn& fn) {
  if (threads <= 1) {
    fn(int64_t{0}, n);
    return;
  }
  parallel_for((n + piece - 1) / piece, threads, [&](int64_t i) {
    const int64_t first = i * piece;
    fn(first, first + piece < n ? piece : n - first);
  });
}

// The same over rows of n elements.
template <class Fn>
void over_rows(int64_t rows, int64_t n, const Fn& fn) {
  if (rows == 0 || n == 0) return;
  const int64_t piece = n < kPiece ? kPiece / n : 1;
  in_pieces(rows, piece, threads_for(rows * n, kGrain), fn);
}

}  // namespace

void unary(Unary f, const float* x, float* y, int64_t n, float param) {
  const FloatEnvironment environment;
  const UnaryFn fn = kernels().unary->fn[static_cast<int>(f)];
  in_pieces(n, kPiece, threads_for(n, kGrain),
            [&](int64_t first, int64_t count) { fn(x + first, y + first, count, param); });
}

void rms_norm(const float* x, const float* weight, float eps, int64_t rows, int64_t n, float* y) {
  const FloatEnvironment environment;
  const NormKernels& norm = *kernels().norm;
  over_rows(rows, n, [&](int64_t r, int64_t count) {
    norm.rms_norm(x + r * n, nullptr, weight, eps, count, n, y + r * n, nullptr);
  });
}

void add_rms_norm(const float* x, const float* residual, const float* weight, float eps,
                  int64_t rows, int64_t n, float* y, float* sum) {
  const FloatEnvironment environment;
  const NormKernels& norm = *kernels().norm;
  over_rows(rows, n, [&](int64_t r, int64_t count) {
    norm.rms_norm(x + r * n, residual + r * n, weight, eps, count, n, y + r * n, sum + r * n);
  });
}

void layer_norm(const float* x, const float* weight, const float* bias, float eps, int64_t rows,
                int64_t n, float* y) {
  const FloatEnvironment environment;
  const NormKernels& norm = *kernels().norm;
  over_rows(rows, n, [&](int64_t r, int64_t count) {
    norm.layer_norm(x + r * n, weight, bias, eps, count, n, y + r * n);
  });
}

void softmax(const float* x, int64_t outer, int64_t n, int64_t inner, float* y) {
  const FloatEnvironment environment;
  const NormKernels& norm = *kernels().norm;
  if (inner == 1) {
    over_rows(outer, n,
              [&](int64_t r, int64_t count) { norm.softmax(x + r * n, count, n, y + r * n); });
    return;
  }
  if (outer == 0 || n == 0 || inner == 0) return;
  // Columns become rows of scratch, a few cache lines of them at a time.
  const int64_t strips = (inner + kStrip - 1) / kStrip;
  std::atomic<bool> out_of_memory{false};
  parallel_for(outer * strips, threads_for(outer * n * inner, kGrain), [&](int64_t i) {
    const int64_t first = i % strips * kStrip, left = inner - first;
    const int64_t count = left < kStrip ? left : kStrip, at = i / strips * n * inner + first;
    Scratch scratch(kStrip * n);
    float* rows = scratch.data();
    if (!rows) {
      out_of_memory = true;
      return;
    }
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t c = 0; c < count; ++c) rows[c * n + j] = x[at + j * inner + c];
    }
    norm.softmax(rows, count, n, rows);
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t c = 0; c < count; ++c) y[at + j * inner + c] = rows[c * n + j];
    }
  });
  if (out_of_memory) throw std::bad_alloc();
}

namespace {

// Asks for a row that is read next, so that it is on its way while this one is copied.
void fetch_row(const float* row, int64_t width) {
  for (int64_t i = 0; i < width; i += 16) FP_PREFETCH_L1(row + i);
}

}  // namespace

template <class Index>
int64_t embedding(const Index* index, int64_t count, const float* table, int64_t rows,
                  int64_t width, float* y) {
  const size_t bytes = static_cast<size_t>(width) * sizeof(float);
  // As unsigned, a negative index is larger than any row.
  const auto inside = [rows](Index i) {
    return static_cast<uint64_t>(i) < static_cast<uint64_t>(rows);
  };
  for (int64_t i = 0; i < count; ++i) {
    if (!inside(index[i])) return i;  // before anything is written
  }
  if (width == 0) return -1;
  std::atomic<int64_t> bad{-1};
  in_pieces(count, kPiece / width + 1, threads_for(count * width, kGrain),
            [&](int64_t first, int64_t n) {
              for (int64_t i = first; i < first + n; ++i) {
                if (i + 1 < first + n && inside(index[i + 1])) {
                  fetch_row(table + static_cast<int64_t>(index[i + 1]) * width, width);
                }
                const Index row = index[i];  // read once: another thread may write the indices
                if (inside(row)) {
                  std::memcpy(y + i * width, table + static_cast<int64_t>(row) * width, bytes);
                } else {
                  bad = i;
                }
              }
            });
  return bad;
}

template int64_t embedding(const int64_t*, int64_t, const float*, int64_t, int64_t, float*);
template int64_t embedding(const int32_t*, int64_t, const float*, int64_t, int64_t, float*);
template int64_t embedding(const uint64_t*, int64_t, const float*, int64_t, int64_t, float*);

}  // namespace forwardpass
