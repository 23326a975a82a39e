#include "conv_lanes.h"

#include <algorithm>
#include <atomic>
#include <new>

#include "../dispatch.h"
#include "../parallel.h"

namespace forwardpass {
namespace {

constexpr int64_t kWeights = 96 << 10;  // floats of a panel's weights that stay in L2
constexpr int64_t kBlock = 48;       // positions a block: whole tiles, in L1; and where the weights
constexpr int64_t kLongBlock = 192;  // come in several pieces, enough to be worth fetching each
constexpr int64_t kTasksPerThread = 4;
// Where this way of running pays, by measurement (docs/performance.md): products a sum, and for one
// tap, whose other way copies nothing, more.
constexpr int64_t kLeast = 256, kLeastOfOneTap = 512;

struct Planned {
  LanesPlan plan;
  std::vector<int64_t> row_at, col_at, offsets;

  Planned(const Conv2dArgs& args, const ConvLayout& layout, int64_t panel) {
    for (const auto& tap : layout.rows.phases[0]) row_at.push_back(tap.at);
    for (const auto& tap : layout.cols.phases[0]) col_at.push_back(tap.at);
    for (const int64_t row : row_at) {
      for (const int64_t col : col_at) offsets.push_back(row * args.width + col);
    }
    plan.step_h = layout.rows.step;
    plan.step_w = layout.cols.step;
    plan.row_taps = static_cast<int64_t>(row_at.size());
    plan.col_taps = static_cast<int64_t>(col_at.size());
    plan.row_at = row_at.data();
    plan.col_at = col_at.data();
    plan.offset = offsets.data();
    const auto outside = [](const std::vector<int64_t>& at, int64_t step, int64_t out, int64_t n) {
      return at.front() < 0 || at.back() + step * (out - 1) >= n;
    };
    plan.padded = outside(row_at, plan.step_h, args.out_height, args.height) ||
                  outside(col_at, plan.step_w, args.out_width, args.width);
    const int64_t width = std::min(panel, round_up(args.out, 16));
    const int64_t pieces = divide_up(args.in * args.taps * width, kWeights);
    plan.chunk = divide_up(args.in, std::min(pieces, args.in));
    plan.block = plan.chunk < args.in ? kLongBlock : kBlock;
    plan.blocks = std::max<int64_t>(1, args.out_height * args.out_width / plan.block);
  }
};

}  // namespace

bool in_lanes(const ConvShape& shape) {
  const int64_t in = shape.in / shape.groups, out = shape.out / shape.groups;
  const int64_t taps = shape.rows.taps * shape.cols.taps;
  if (shape.transposed || out < 16 || round_up(out, 16) * 8 > out * 9) return false;
  return in * taps >= (taps == 1 ? kLeastOfOneTap : kLeast);
}

int64_t lanes_size(const ConvShape& shape) {
  return round_up(shape.out / shape.groups, 16) * (shape.in / shape.groups) * shape.rows.taps *
         shape.cols.taps;
}

void run_in_lanes(const Conv2dArgs& args, const ConvLayout& layout, const Conv2dKernels& kernels,
                  bool finite) {
  const int64_t positions = args.out_height * args.out_width,
                panels = divide_up(args.out, kernels.panel);
  const double work = static_cast<double>(args.batch * args.groups * args.out * positions) *
                      static_cast<double>(args.in * args.taps);
  const int threads = threads_for(static_cast<int64_t>(std::min(work, 1e15)), kGrain);
  Planned planned(args, layout, kernels.panel);
  LanesPlan& plan = planned.plan;
  plan.finite = finite;
  // A task for each panel, and so many pieces of the blocks that threads get as many tasks each.
  const int64_t across = threads > 1 ? panels : 1, items = args.batch * args.groups * across;
  int64_t down = 1;
  if (threads > 1) {
    const int64_t wanted = threads * kTasksPerThread;
    down = std::min(plan.blocks, divide_up(wanted, items));
    while (items * down % threads && items * down < 4 * wanted && down < plan.blocks) ++down;
  }
  const int64_t largest = positions - (plan.blocks - 1) * plan.block;
  const int64_t floats =
      round_up(args.taps, 16) + round_up(std::max(largest, plan.block), 16) * kernels.sums;
  std::atomic<bool> out_of_memory{false};
  parallel_for(items * down, threads, [&](int64_t index) {
    LanesTask task;
    const int64_t i = index % down, j = index / down % across;
    task.block0 = i * plan.blocks / down;
    task.block1 = (i + 1) * plan.blocks / down;
    task.o0 = j * panels / across * kernels.panel;
    task.o1 = std::min(args.out, (j + 1) * panels / across * kernels.panel);
    task.g = index / (down * across) % args.groups;
    task.b = index / (down * across) / args.groups;
    Scratch scratch(floats);
    if (scratch.data()) {
      kernels.run_lanes(args, plan, task, scratch.data());
    } else {
      out_of_memory = true;
    }
  });
  if (out_of_memory) throw std::bad_alloc();
}

}  // namespace forwardpass
