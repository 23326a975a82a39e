// linear: packing, and the split of (rows, columns) into tiles.
#include <atomic>
#include <cstring>

#include "../dispatch.h"
#include "../fpenv.h"
#include "../ops.h"
#include "../parallel.h"
#include "fusion.h"

namespace forwardpass {
namespace {

constexpr int64_t kGrain = 1 << 17;  // multiply-adds worth a thread
constexpr int64_t kChunk = 1 << 17;  // floats of x that stay in L2 while the panels go by (MC * K)
constexpr int64_t kTilesPerThread = 4;  // claimed one by one, so that a slow thread costs little

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
int64_t clamp(int64_t n, int64_t low, int64_t high) { return n < low ? low : n > high ? high : n; }

// (m, n) in pieces of `rows` x `columns`. Does not touch the order of additions: every output is
// one chain over k whatever the piece.
struct Split {
  int64_t rows, columns;
};

// Rows of a piece, at most `rows`, so that threads have enough tiles and about as many each.
int64_t shared_rows(int64_t m, int64_t rows, int64_t column_pieces, int64_t mr, int threads) {
  // A piece reads the whole weight: a few rows are divided only where columns do not suffice.
  const int64_t least = column_pieces < threads ? 1 : 4 * mr;
  const int64_t wanted = (threads * kTilesPerThread + column_pieces - 1) / column_pieces;
  int64_t best = rows, least_time = INT64_MAX;
  for (int64_t pieces = wanted; pieces < wanted + threads; ++pieces) {
    const int64_t each =
        clamp(round_up((m + pieces - 1) / pieces, mr), least < rows ? least : rows, rows);
    const int64_t tiles = (m + each - 1) / each * column_pieces;
    const int64_t time = (tiles + threads - 1) / threads * each;
    if (time < least_time) {
      best = each;
      least_time = time;
    }
  }
  return best;
}

Split split(const LinearArgs& args, const LinearKernels& kernels, int threads) {
  // Raw weights are packed anew for each piece of rows: keep the rows whole.
  int64_t rows = args.m;
  if (args.packed) {
    const int64_t most = clamp(kChunk / (args.k + 1), 4 * kernels.mr, args.m);
    const int64_t pieces = (args.m + most - 1) / most;  // equal ones: each reads the whole weight
    rows = clamp(round_up((args.m + pieces - 1) / pieces, kernels.mr), 1, args.m);
  }
  int64_t columns = round_up(args.n, kernels.nr);
  if (threads > 1) {
    const int64_t row_pieces = (args.m + rows - 1) / rows;
    int64_t pieces = (threads * kTilesPerThread + row_pieces - 1) / row_pieces;
    while (row_pieces * pieces % threads != 0) ++pieces;  // as many for each
    columns = round_up((args.n + pieces - 1) / pieces, kernels.nr);
    const int64_t column_pieces = (args.n + columns - 1) / columns;
    if (args.packed && row_pieces * column_pieces < threads * kTilesPerThread) {
      rows = shared_rows(args.m, rows, column_pieces, kernels.mr, threads);
    }
  }
  return {rows, columns};
}

void run_linear(const LinearArgs& args, const LinearKernels& kernels) {
  if (args.m == 0 || args.n == 0) return;
  const int threads = threads_for(args.m * args.n * (args.k + 1), kGrain);
  const Split s = split(args, kernels, threads);
  const int64_t row_pieces = (args.m + s.rows - 1) / s.rows;
  const int64_t column_pieces = (args.n + s.columns - 1) / s.columns;
  std::atomic<bool> out_of_memory{false};
  parallel_for(row_pieces * column_pieces, threads, [&](int64_t tile) {
    const int64_t m0 = tile / column_pieces * s.rows, n0 = tile % column_pieces * s.columns;
    Scratch scratch(args.packed ? 0 : kernels.nr * args.k);
    if (!args.packed && args.k && !scratch.data()) {
      out_of_memory = true;
      return;
    }
    const int64_t m1 = clamp(m0 + s.rows, 0, args.m), n1 = clamp(n0 + s.columns, 0, args.n);
    kernels.run(args, m0, m1, n0, n1, scratch.data());
  });
  if (out_of_memory) throw std::bad_alloc();
}

LinearArgs arguments(const float* x, int64_t m, int64_t n, int64_t k, float* y) {
  LinearArgs args;
  args.x = x;
  args.ldx = k;
  args.y = y;
  args.m = m;
  args.n = n;
  args.k = k;
  return args;
}

}  // namespace

PackedLinear::PackedLinear(const float* weight, const float* bias, int64_t n, int64_t k)
    : kernels_(&kernels()),
      n_(n),
      k_(k),
      weight_(round_up(n, 16) * k + 1),  // never null, which would mean a raw weight
      bias_(bias ? (n ? n : 1) : 0) {
  const int64_t nr = kernels_->linear->nr;
  if (bias) std::memcpy(bias_.data(), bias, static_cast<size_t>(n) * sizeof(float));
  parallel_for((n + nr - 1) / nr, threads_for(n * k, kGrain), [&](int64_t panel) {
    kernels_->linear->pack(weight, n_, k_, panel * nr, clamp(panel * nr + nr, 0, n_),
                           weight_.data());
  });
}

void PackedLinear::run(const float* x, int64_t m, float* y, const Fusion& fusion) const {
  const FloatEnvironment environment;
  LinearArgs args = arguments();
  args.x = x;
  args.y = y;
  args.m = m;
  args.epilogue = epilogue(*kernels_, bias(), fusion);
  run_linear(args, *kernels_->linear);
}

LinearArgs PackedLinear::arguments() const {
  LinearArgs args = forwardpass::arguments(nullptr, 0, n_, k_, nullptr);
  args.packed = weight_.data();
  args.epilogue.bias = bias();
  return args;
}

void PackedLinear::unpack(float* weight) const {
  kernels_->linear->unpack(weight_.data(), n_, k_, weight);
}

void linear(const float* x, const float* weight, const float* bias, int64_t m, int64_t n, int64_t k,
            float* y, const Fusion& fusion) {
  const FloatEnvironment environment;
  const Kernels& table = kernels();
  LinearArgs args = arguments(x, m, n, k, y);
  args.raw = weight;
  args.epilogue = epilogue(table, bias, fusion);
  run_linear(args, *table.linear);
}

void linear_rows(const float* x, int64_t ldx, const float* weight, int64_t m, int64_t n, int64_t k,
                 float* y) {
  const FloatEnvironment environment;
  LinearArgs args = arguments(x, m, n, k, y);
  args.ldx = ldx;
  args.raw = weight;
  run_linear(args, *kernels().linear);
}

}  // namespace forwardpass
