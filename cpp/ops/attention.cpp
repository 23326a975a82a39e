// attention: the split of rows into tiles, each of one batch item and key head.
#include <algorithm>
#include <atomic>
#include <cmath>

#include "../dispatch.h"
#include "../fpenv.h"
#include "../ops.h"
#include "../parallel.h"

namespace forwardpass {
namespace {

constexpr int64_t kGrain = 1 << 17;     // multiply-adds worth a thread
constexpr int64_t kTilesPerThread = 3;  // so that a slow thread costs little
constexpr int64_t kLeastRows = 24;  // of a tile, below which packing keys costs more than it saves

// Rows of a tile: as many as the kernel takes, fewer where they are wide, since queries and outputs are
// to stay in L2, or where threads would have nothing to do; all tiles alike.
int64_t tile_rows(const AttentionArgs& args, int64_t most, int threads) {
  constexpr int64_t kWidths = 128;  // of a key and a value, for which `most` is meant
  const int64_t widths = args.width + args.value_width;
  if (widths > kWidths) most = std::max(most * kWidths / widths, kLeastRows);
  const int64_t rows = args.queries * args.group(), heads = args.batch * args.kv_heads;
  int64_t tiles = (rows + most - 1) / most;
  if (threads > 1) {
    const int64_t wanted = (threads * kTilesPerThread + heads - 1) / heads;
    const int64_t sensible = rows / kLeastRows;
    if (tiles < wanted) tiles = wanted < sensible ? wanted : sensible < tiles ? tiles : sensible;
    // As many for each thread, where that takes few more.
    while (heads * tiles % threads != 0 && heads * tiles < 8 * threads && tiles < sensible) ++tiles;
  }
  return (rows + tiles - 1) / tiles;
}

}  // namespace

double attention_scale(int64_t width) {
  const FloatEnvironment environment;
  return width ? 1.0 / std::sqrt(static_cast<double>(width)) : 1.0;
}

void attention(const AttentionArgs& given) {
  AttentionArgs args = given;
  if (args.offset > args.keys)
    args.offset = args.keys;  // all are seen; offset + query cannot overflow
  const int64_t rows = args.queries * (args.kv_heads ? args.group() : 0);
  const int64_t heads = args.batch * args.kv_heads;
  if (rows == 0 || heads == 0 || args.value_width == 0) return;
  const FloatEnvironment environment;
  const AttentionKernels& kernel = *kernels().attention;
  const double work = static_cast<double>(heads * rows) * static_cast<double>(args.keys + 1) *
                      static_cast<double>(args.width + args.value_width + 8);
  const int threads =
      threads_for(work < 1e18 ? static_cast<int64_t>(work) : int64_t{1} << 60, kGrain);
  const int64_t step = tile_rows(args, kernel.rows, threads), tiles = (rows + step - 1) / step;
  const int64_t floats = kernel.scratch(args, step);
  // A head's tiles one after the other, while its keys and values are in L2; those of late queries
  // first, which have the most to do where causal. Several at a time, since the end of one is computed
  // beside the beginning of the next.
  const int64_t all = heads * tiles;
  const int64_t some = threads > 1 ? std::max<int64_t>(all / (threads * kTilesPerThread), 1) : all;
  std::atomic<bool> out_of_memory{false};
  parallel_for((all + some - 1) / some, threads, [&](int64_t i) {
    Scratch scratch(floats);
    if (!scratch.data()) {
      out_of_memory = true;
      return;
    }
    kernel.run(args, step, i * some, std::min((i + 1) * some, all), scratch.data());
  });
  if (out_of_memory) throw std::bad_alloc();
}

}  // namespace forwardpass
