// Products of two arrays of matrices: linear's chains, the second matrix's columns as its weight.
#include <atomic>
#include <new>

#include "../dispatch.h"
#include "../fpenv.h"
#include "../ops.h"
#include "../parallel.h"
#include "../scratch.h"

namespace forwardpass {
namespace {

constexpr int64_t kGrain = 1 << 17;  // multiply-adds worth a thread
constexpr int64_t kBlock = 16;       // rows and columns turned at a time

// The columns of b (k, n) as rows: to (n, k), in blocks that stay in L1.
void transpose(const float* b, int64_t row, int64_t column, int64_t k, int64_t n, float* to) {
  for (int64_t i0 = 0; i0 < n; i0 += kBlock) {
    const int64_t i1 = i0 + kBlock < n ? i0 + kBlock : n;
    for (int64_t j = 0; j < k; ++j) {
      for (int64_t i = i0; i < i1; ++i) to[i * k + j] = b[j * row + i * column];
    }
  }
}

}  // namespace

void matmul(const MatmulArgs& args) {
  const FloatEnvironment environment;
  const int64_t m = args.m, n = args.n, k = args.k;
  int64_t count = 1;
  for (const int64_t dim : args.dims) count *= dim;
  if (count == 0 || m == 0 || n == 0) return;
  // b's columns already lie one behind the other, each contiguous.
  const bool as_it_is = k == 0 || ((k == 1 || args.b_row == 1) && (n == 1 || args.b_column == k));
  const int64_t turned = as_it_is ? 0 : n * k;
  const LinearKernels& kernel = *kernels().linear;
  // run(a, columns of b, y) on pair `index` of matrices; `space` has room for b's columns.
  const auto pair = [&](int64_t index, float* space, const auto& run) {
    const float *a = args.a, *b = args.b;
    int64_t rest = index;
    for (size_t d = args.dims.size(); d-- > 0; rest /= args.dims[d]) {
      a += rest % args.dims[d] * args.a_step[d];
      b += rest % args.dims[d] * args.b_step[d];
    }
    if (!as_it_is) transpose(b, args.b_row, args.b_column, k, n, space);
    run(a, as_it_is ? b : space, args.y + index * m * n);
  };
  const int threads = threads_for(count * m * n * (k + 1), kGrain);
  if (count < threads) {  // each is split among them
    FloatBuffer space(turned);
    for (int64_t i = 0; i < count; ++i) {
      pair(i, space.data(), [&](const float* a, const float* columns, float* y) {
        linear_rows(a, args.a_row, columns, m, n, k, y);
      });
    }
    return;
  }
  std::atomic<bool> out_of_memory{false};
  parallel_for(count, threads, [&](int64_t index) {
    Scratch scratch(turned + kernel.nr * k);
    if (!scratch.data() && k) {
      out_of_memory = true;
      return;
    }
    pair(index, scratch.data(), [&](const float* a, const float* columns, float* y) {
      LinearArgs one;
      one.x = a;
      one.ldx = args.a_row;
      one.raw = columns;
      one.y = y;
      one.m = m;
      one.n = n;
      one.k = k;
      kernel.run(one, 0, m, 0, n, scratch.data() + turned);
    });
  });
  if (out_of_memory) throw std::bad_alloc();
}

}  // namespace forwardpass
