// Ops on rows: norms, softmax, embedding.
#include <atomic>
#include <cstring>

#include "../dispatch.h"
#include "../fpenv.h"
#include "../ops.h"
#include "../simd/compiler.h"
#include "pieces.h"

namespace forwardpass {
namespace {

// An output that the caches would read first, and not keep to its end.
bool past_caches(const float* x, int64_t rows, int64_t n, const float* y) {
  constexpr int64_t kPast = 1 << 23;  // floats: what follows finds smaller ones in the last cache
  return rows * n >= kPast && n % 16 == 0 && reinterpret_cast<uintptr_t>(y) % 64 == 0 && x != y;
}

}  // namespace

void rms_norm(const float* x, const float* weight, float eps, int64_t rows, int64_t n, float* y) {
  const FloatEnvironment environment;
  const NormKernels& norm = *kernels().norm;
  const bool past = past_caches(x, rows, n, y);
  over_rows(rows, n, [&](int64_t r, int64_t count) {
    norm.rms_norm(x + r * n, nullptr, weight, eps, count, n, y + r * n, nullptr, past);
  });
}

void add_rms_norm(const float* x, const float* residual, const float* weight, float eps,
                  int64_t rows, int64_t n, float* y, float* sum) {
  const FloatEnvironment environment;
  const NormKernels& norm = *kernels().norm;
  const bool past = past_caches(x, rows, n, y);
  over_rows(rows, n, [&](int64_t r, int64_t count) {
    norm.rms_norm(x + r * n, residual + r * n, weight, eps, count, n, y + r * n, sum + r * n, past);
  });
}

void layer_norm(const float* x, const float* weight, const float* bias, float eps, int64_t rows,
                int64_t n, float* y) {
  const FloatEnvironment environment;
  const NormKernels& norm = *kernels().norm;
  const bool past = past_caches(x, rows, n, y);
  over_rows(rows, n, [&](int64_t r, int64_t count) {
    norm.layer_norm(x + r * n, nullptr, weight, bias, eps, count, n, y + r * n, nullptr, past);
  });
}

void add_layer_norm(const float* x, const float* residual, const float* weight, const float* bias,
                    float eps, int64_t rows, int64_t n, float* y, float* sum) {
  const FloatEnvironment environment;
  const NormKernels& norm = *kernels().norm;
  const bool past = past_caches(x, rows, n, y);
  over_rows(rows, n, [&](int64_t r, int64_t count) {
    norm.layer_norm(x + r * n, residual + r * n, weight, bias, eps, count, n, y + r * n,
                    sum + r * n, past);
  });
}

void softmax(const float* x, int64_t outer, int64_t n, int64_t inner, float* y) {
  const FloatEnvironment environment;
  const NormKernels& norm = *kernels().norm;
  over_dimension(x, outer, n, inner, y, [&](const float* rows, int64_t count, float* to) {
    norm.softmax(rows, count, n, to);
  });
}

void log_softmax(const float* x, int64_t outer, int64_t n, int64_t inner, float* y) {
  const FloatEnvironment environment;
  const NormKernels& norm = *kernels().norm;
  over_dimension(x, outer, n, inner, y, [&](const float* rows, int64_t count, float* to) {
    norm.log_softmax(rows, count, n, to);
  });
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
  in_pieces(count, kPiece / width + 1, threads_for(count * width, kLightGrain),
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
