// conv1d: packing, and the split of (batch, groups, channels, time) into tiles.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <numeric>
#include <vector>

#include "../dispatch.h"
#include "../fpenv.h"
#include "../ops.h"
#include "../parallel.h"
#include "conv_lanes.h"
#include "fusion.h"

namespace forwardpass {
namespace {

constexpr int64_t kSlice = 96 << 10;  // floats of input a tile copies: most of L2, with the weights
constexpr int64_t kTilesPerThread = 4;
constexpr int64_t kOverread = 16 * 8;  // floats that vectors may read past a row

// Where each tap finds its input. Output t reads input t * stride + tap * dilation - pad_left: the
// phase (tap * dilation) mod stride, shifted by (tap * dilation) / stride. The phases repeat after
// stride / gcd(stride, dilation) taps.
struct Layout {
  std::vector<int64_t> phase_first, tap_phase, tap_shift;
  int64_t reach = 0;  // largest shift

  explicit Layout(const Conv1dShape& s) {
    const int64_t period = s.stride / std::gcd(s.stride, s.dilation);
    for (int64_t tap = 0; tap < s.taps; ++tap) {
      const int64_t at = tap * s.dilation;
      if (tap < period) phase_first.push_back(at % s.stride - s.pad_left);
      tap_phase.push_back(tap % period);
      tap_shift.push_back(at / s.stride);
    }
    reach = tap_shift.back();
  }
  int64_t phases() const { return static_cast<int64_t>(phase_first.size()); }
};

// Tiles: time in pieces of `time` outputs, the channels of a group in pieces of `channels` blocks.
struct Split {
  int64_t time = 0, times = 1, channels = 1, pieces = 1;
  int64_t pitch = 0;
};

// What a tile takes, in multiply-adds of vectors; copying one counts kCopy.
int64_t tile_cost(const Conv1dArgs& args, const Layout& layout, int64_t mr, int64_t time,
                  int64_t channels) {
  constexpr int64_t kCopy = 16;
  const int64_t vectors = (time + 15) / 16, narrow = vectors % 3 ? 1 : 0;  // a tile not quite full
  return args.in *
         (args.taps * channels * mr * (vectors + narrow) + layout.phases() * kCopy * vectors);
}

// Of the ways to give several threads something to do, the quickest: pieces of time that share
// nothing, `fewest` or more of them, or of channels, which copy the same input again.
Split shared(const Conv1dArgs& args, const Layout& layout, int64_t mr, int threads,
             int64_t fewest) {
  const int64_t blocks = (args.out + mr - 1) / mr, items = args.batch * args.groups;
  const int64_t wanted = (threads * kTilesPerThread + items - 1) / items;
  Split best;
  int64_t least = INT64_MAX;
  const auto next = [&](int64_t n) { return n % threads ? round_up(n, threads) : 2 * n; };
  for (int64_t pieces = 1; pieces == 1 || (pieces <= blocks && pieces < 2 * wanted);
       pieces = next(pieces)) {
    Split s;
    s.channels = (blocks + pieces - 1) / pieces;
    s.pieces = (blocks + s.channels - 1) / s.channels;
    for (int64_t times = fewest; times == fewest || times < 2 * wanted; times = next(times)) {
      s.time = round_up((args.out_length + times - 1) / times, 48);
      s.times = (args.out_length + s.time - 1) / s.time;
      const int64_t rest = args.out_length - (s.times - 1) * s.time;
      const Tiles tiles{items * (s.times - 1) * s.pieces,
                        tile_cost(args, layout, mr, std::min(s.time, args.out_length), s.channels),
                        items * s.pieces, tile_cost(args, layout, mr, rest, s.channels), s.pieces};
      const int64_t took = tiles.busiest(threads);
      if (took < least) {
        least = took;
        best = s;
      }
    }
  }
  return best;
}

Split split(const Conv1dArgs& args, const Layout& layout, int64_t mr, int threads) {
  const int64_t row = kSlice / (args.in * layout.phases() + 1) - layout.reach;
  const int64_t most = row < 96 ? 96 : row;
  Split s;
  s.times = (args.out_length + most - 1) / most;
  if (threads > 1 && args.batch * args.groups * s.times < threads * kTilesPerThread) {
    s = shared(args, layout, mr, threads, s.times);
  } else {
    s.time = round_up((args.out_length + s.times - 1) / s.times, 48);
    s.times = (args.out_length + s.time - 1) / s.time;
    s.channels = (args.out + mr - 1) / mr;
  }
  // An odd number of cache lines, so that the rows of channels do not share a few cache sets.
  s.pitch = round_up(s.time + layout.reach, 16);
  if (s.pitch % 32 == 0) s.pitch += 16;
  return s;
}

void run_conv1d(const Conv1dArgs& args, const Conv1dShape& shape, const Conv1dKernels& kernels) {
  const Layout layout(shape);
  const int64_t per_output = args.in * args.taps;
  const int threads =
      threads_for(args.batch * args.groups * args.out * args.out_length * per_output, kGrain);
  const Split s = split(args, layout, kernels.mr, threads);
  std::vector<int64_t> tap_offset(static_cast<size_t>(args.taps));
  for (size_t j = 0; j < tap_offset.size(); ++j) {
    tap_offset[j] = layout.tap_phase[j] * s.pitch + layout.tap_shift[j];
  }
  Conv1dPlan plan;
  plan.pitch = s.pitch;
  plan.phases = layout.phases();
  plan.phase_first = layout.phase_first.data();
  plan.tap_offset = tap_offset.data();
  const int64_t blocks = (args.out + kernels.mr - 1) / kernels.mr;
  std::atomic<bool> out_of_memory{false};
  parallel_for(args.batch * args.groups * s.times * s.pieces, threads, [&](int64_t index) {
    Conv1dTile tile;
    const int64_t piece = index % s.pieces, time = index / s.pieces % s.times;
    tile.g = index / (s.pieces * s.times) % args.groups;
    tile.b = index / (s.pieces * s.times * args.groups);
    tile.t0 = time * s.time;
    tile.t1 = tile.t0 + s.time < args.out_length ? tile.t0 + s.time : args.out_length;
    const int64_t first = piece * s.channels, last = first + s.channels;
    tile.o0 = first * args.out / blocks;  // as block_first in kernels/conv1d.h
    tile.o1 = last < blocks ? last * args.out / blocks : args.out;
    Scratch scratch(args.in * plan.phases * plan.pitch + kOverread);
    if (scratch.data()) {
      kernels.run(args, plan, tile, scratch.data());
    } else {
      out_of_memory = true;
    }
  });
  if (out_of_memory) throw std::bad_alloc();
}

// The same convolution of images of one row.
ConvShape as_image(const Conv1dShape& s) {
  ConvShape image;
  image.in = s.in;
  image.out = s.out;
  image.groups = s.groups;
  image.cols = {s.taps, s.stride, s.pad_left, s.pad_right, s.dilation};
  return image;
}

// With a step, vectors over time need every phase of the input copied first; with channels in the
// lanes it is read where it lies. With step 1 the two are as quick (docs/performance.md).
bool runs_in_lanes(const Conv1dShape& s) { return s.stride > 1 && in_lanes(as_image(s)); }

// Whether one position a batch item is computed, by one chain of linear as well.
bool is_linear(const Conv1dShape& s, int64_t length) {
  return s.groups == 1 && s.out > 32 && s.out_length(length) == 1;
}

// What the kernel lies over, (batch, in * taps), +0 outside the input.
void windows(const float* x, const Conv1dShape& s, int64_t batch, int64_t length, float* to) {
  for (int64_t c = 0; c < batch * s.in; ++c, x += length, to += s.taps) {
    for (int64_t j = 0; j < s.taps; ++j) {
      const int64_t at = j * s.dilation - s.pad_left;
      to[j] = at >= 0 && at < length ? x[at] : 0.0f;
    }
  }
}

}  // namespace

PackedConv1d::PackedConv1d(const float* weight, const float* bias, const Conv1dShape& shape,
                           Pack pack)
    : kernels_(&kernels()),
      shape_(shape),
      lanes_(pack == Pack::kLanes && runs_in_lanes(shape)
                 ? std::make_unique<PackedConv>(weight, bias, as_image(shape))
                 : nullptr),
      weight_(lanes_ ? 0 : shape.out * (shape.in / shape.groups) * shape.taps + 1),
      bias_(bias ? (shape.out ? shape.out : 1) : 0) {
  if (bias) std::memcpy(bias_.data(), bias, static_cast<size_t>(shape.out) * sizeof(float));
  if (lanes_) return;
  kernels_->conv1d->pack(weight, shape.groups, shape.out / shape.groups,
                         shape.in / shape.groups * shape.taps, weight_.data());
}

PackedConv1d::~PackedConv1d() = default;

void PackedConv1d::run(const float* x, int64_t batch, int64_t length, float* y,
                       const Fusion& fusion) const {
  if (lanes_) return lanes_->run(x, batch, {1, length}, {1, shape_.out_length(length)}, y, fusion);
  const FloatEnvironment environment;
  Conv1dArgs args;
  args.x = x;
  args.packed = weight_.data();
  args.y = y;
  args.batch = batch;
  args.groups = shape_.groups;
  args.in = shape_.in / shape_.groups;
  args.out = shape_.out / shape_.groups;
  args.length = length;
  args.out_length = shape_.out_length(length);
  args.taps = shape_.taps;
  args.stride = shape_.stride;
  args.dilation = shape_.dilation;
  args.pad_left = shape_.pad_left;
  args.epilogue = epilogue(*kernels_, bias(), fusion);
  if (batch == 0 || args.out == 0 || args.out_length <= 0) return;
  run_conv1d(args, shape_, *kernels_->conv1d);
}

void PackedConv1d::unpack(float* weight) const {
  if (lanes_) return lanes_->unpack(weight);
  kernels_->conv1d->unpack(weight_.data(), shape_.groups, shape_.out / shape_.groups,
                           shape_.in / shape_.groups * shape_.taps, weight);
}

void conv1d(const float* x, const float* weight, const float* bias, const Conv1dShape& shape,
            int64_t batch, int64_t length, float* y, const Fusion& fusion) {
  if (!is_linear(shape, length)) {
    return PackedConv1d(weight, bias, shape, PackedConv1d::Pack::kTime)
        .run(x, batch, length, y, fusion);
  }
  const int64_t k = shape.in * shape.taps;
  FloatBuffer rows(batch * k + 1);
  windows(x, shape, batch, length, rows.data());
  linear(rows.data(), weight, bias, batch, shape.out, k, y, fusion);
}

}  // namespace forwardpass
