// Convolutions with positions in the lanes: the choice of a plan, the split into tiles.
#include <algorithm>
#include <atomic>

#include "../dispatch.h"
#include "../parallel.h"
#include "conv_plan.h"

namespace forwardpass {
namespace {

constexpr int64_t kSlice = 160 << 10;  // floats of input a tile copies: most of L2
constexpr int64_t kTilesPerThread = 4;
constexpr int64_t kStaging = 16 << 10;
constexpr int64_t kMinColumns = 96;

enum class Way { rows, across, apart };

// The grid of positions, and the tiles of it.
struct Split {
  int64_t rows, cols;            // of the grid
  int64_t tile_rows, tile_cols;  // of a tile
  int64_t channels, pieces = 1;  // blocks of channels in a tile, tiles of channels
  Way way = Way::rows;           // how vectors run
  int64_t down() const { return divide_up(rows, tile_rows); }
  int64_t across() const { return divide_up(cols, tile_cols); }
};

// Floats that a tile copies of the input.
int64_t slice(const Conv2dArgs& args, const ConvLayout& layout, const Split& s) {
  const ConvCopies& cols = s.way == Way::apart ? layout.apart : layout.shared;
  return args.in * layout.row_copies.count() * cols.count() *
         (s.tile_rows + layout.row_copies.reach) * (s.tile_cols + cols.reach);
}

// Zeros at the end of each row of every copy that the row behind it begins with as well: rows may
// overlap by so many floats.
int64_t common_zeros(const Conv2dArgs& args, const ConvLayout& layout, int64_t cols) {
  const int64_t step = layout.cols.step, copied = cols + layout.shared.reach;
  int64_t common = layout.shared.reach;
  for (const int64_t first : layout.shared.first) {
    const int64_t head = first < 0 ? divide_up(-first, step) : 0;
    const int64_t inside = first < args.width ? divide_up(args.width - first, step) : 0;
    common = std::min({common, head, std::max(copied - inside, int64_t{0})});
  }
  return common;
}

// How vectors run: along each row, the last one partly empty; or across rows, over what lies between
// them in a shared copy; or across rows that touch, in copies of their own. In vectors: a
// multiply-add counts 1, one of a copy kCopy, one of the results kWrite.
constexpr int64_t kCopy = 16, kWrite = 6;

int64_t cost(const Conv2dArgs& args, const ConvLayout& layout, const Split& s) {
  const int64_t fmas = args.in * args.taps * args.out;
  const int64_t vectors = divide_up(s.cols, 16);
  const ConvCopies& cols = s.way == Way::apart ? layout.apart : layout.shared;
  const int64_t copies =
      kCopy * args.in * layout.row_copies.count() * cols.count() * s.rows * vectors;
  const int64_t pitch = s.cols + layout.shared.reach - common_zeros(args, layout, s.cols);
  switch (s.way) {
    case Way::rows: return s.rows * vectors * fmas + copies;
    case Way::across:
      return divide_up(s.rows * pitch, 16) * fmas + copies + kWrite * s.rows * vectors * args.out;
    default: return divide_up(s.rows * s.cols, 16) * fmas + copies;
  }
}

// K of a depthwise convolution that has a kernel of its own, else 0.
int64_t depthwise(const Conv2dArgs& args, const ConvLayout& layout) {
  const ConvAxis &rows = layout.rows, &cols = layout.cols;
  if (args.in != 1 || args.out != 1 || rows.count() * cols.count() != 1) return 0;
  const auto k = static_cast<int64_t>(rows.phases[0].size());
  const bool square = args.taps == k * k && rows.step == cols.step && rows.step <= 2;
  const bool dense = layout.row_copies.dense && layout.shared.dense;
  return square && dense && (k == 3 || k == 5 || k == 7) ? k : 0;
}

// A row of zeros, or the rows that a block of outputs reads.
int64_t depthwise_scratch(const Conv2dArgs& args) {
  return std::max(args.width, kDepthwiseRows * depthwise_pitch(args.out_width));
}

// Whole rows where two fit, else pieces of rows.
void fit_in_l2(const Conv2dArgs& args, const ConvLayout& layout, Split& s) {
  while (s.tile_rows > 2 && slice(args, layout, s) > kSlice)
    s.tile_rows = divide_up(s.tile_rows, 2);
  if (slice(args, layout, s) <= kSlice || s.cols <= kMinColumns) return;
  s.way = Way::rows;
  const int64_t per_column = slice(args, layout, s) / (s.tile_cols + layout.shared.reach) + 1;
  const int64_t most = std::max(kSlice / per_column - layout.shared.reach, kMinColumns);
  s.tile_cols = round_up(divide_up(s.cols, divide_up(s.cols, most)), 48);
}

// Of all threads, as cost() counts.
int64_t busiest(const Conv2dArgs& args, const ConvLayout& layout, const Split& s, int64_t mr,
                int threads) {
  const auto tile = [&](int64_t rows, int64_t cols) {
    Conv2dArgs some = args;
    some.out = s.channels * mr;
    Split one = s;
    one.rows = rows;
    one.cols = cols;
    return cost(some, layout, one);
  };
  const int64_t items = args.batch * args.groups * s.across() * s.pieces, before = s.down() - 1;
  const int64_t cols = std::min(s.tile_cols, s.cols);
  const Tiles tiles{items * before, tile(s.tile_rows, cols), items,
                    tile(s.rows - before * s.tile_rows, cols), s.pieces};
  return tiles.busiest(threads);
}

// More tiles for more threads: of rows, of columns, or of channels, which copy the same input again.
Split shared(const Conv2dArgs& args, const ConvLayout& layout, const Split& whole, int64_t mr,
             int threads) {
  const int64_t blocks = divide_up(args.out, mr), items = args.batch * args.groups;
  const int64_t wanted = divide_up(threads * kTilesPerThread, items);
  Split best = whole;
  int64_t least = INT64_MAX;
  for (Split s = whole; true;) {
    for (int64_t pieces = 1; pieces <= blocks && pieces < 2 * wanted;
         pieces = pieces == 1 ? threads : 2 * pieces) {
      s.channels = divide_up(blocks, pieces);
      s.pieces = divide_up(blocks, s.channels);
      const int64_t took = busiest(args, layout, s, mr, threads);
      if (took < least) {
        least = took;
        best = s;
      }
    }
    if (s.down() * s.across() >= wanted) return best;
    if (s.tile_rows > 4) {
      s.tile_rows = divide_up(s.tile_rows, 2);
    } else if (s.tile_cols >= 2 * 48 && s.way == Way::rows) {
      s.tile_cols = round_up(divide_up(s.tile_cols, 2), 48);
    } else {
      return best;
    }
  }
}

Split split(const Conv2dArgs& args, const ConvLayout& layout, int64_t mr, int threads) {
  Split s;
  s.rows = s.tile_rows = divide_up(args.out_height, layout.rows.count());
  s.cols = s.tile_cols = divide_up(args.out_width, layout.cols.count());
  s.channels = divide_up(args.out, mr);
  const int64_t wanted = threads > 1 ? threads * kTilesPerThread : 1;
  const int64_t items = args.batch * args.groups;
  if (depthwise(args, layout)) {
    while (items * s.down() < wanted && s.tile_rows > 4) s.tile_rows = divide_up(s.tile_rows, 2);
    return s;
  }
  if (s.rows > 1) {
    Split other = s;
    for (const Way way : {Way::across, Way::apart}) {
      other.way = way;
      if (cost(args, layout, other) < cost(args, layout, s)) s.way = way;
    }
  }
  fit_in_l2(args, layout, s);
  return items * s.down() * s.across() < wanted ? shared(args, layout, s, mr, threads) : s;
}

// The plan of one call, and the memory behind it.
struct Planned {
  Conv2dPlan plan;
  std::vector<Conv2dPlane> planes;
  std::vector<Conv2dPhase> phases;
  std::vector<int64_t> offsets;

  Planned(const Conv2dArgs& args, const ConvLayout& layout, const Split& s, int64_t mr) {
    const ConvCopies& rows = layout.row_copies;
    const ConvCopies& cols = s.way == Way::apart ? layout.apart : layout.shared;
    plan.step_h = layout.rows.step;
    plan.step_w = layout.cols.step;
    plan.phases_h = layout.rows.count();
    plan.phases_w = layout.cols.count();
    plan.plane_rows = s.tile_rows + rows.reach;
    plan.plane_cols = s.tile_cols + cols.reach;
    const bool whole = s.tile_cols == s.cols;
    const bool direct = plan.phases_h * plan.phases_w == 1 && s.way != Way::across;
    plan.pitch = plan.plane_cols;
    if (s.way == Way::rows && direct) plan.pitch = round_up(plan.pitch, 16);
    if (!direct && s.way != Way::apart && whole) plan.pitch -= common_zeros(args, layout, s.cols);
    plan.plane_step = round_up(plan.plane_rows * plan.pitch, 16) + 16;
    for (const int64_t row : rows.first) {
      for (const int64_t col : cols.first) planes.push_back({row, col});
    }
    plan.planes = static_cast<int64_t>(planes.size());
    plan.plane = planes.data();
    // An odd number of cache lines, so that channels do not share a few cache sets.
    plan.channel_step = plan.planes * plan.plane_step;
    if (plan.channel_step % 32 == 0) plan.channel_step += 16;
    plan.staging = direct ? 0 : std::max(kStaging, 16 * mr * plan.phases_w);
    plan.together = together(args, s, 8) ? 8 : plan.step_w == 4 && together(args, s, 4) ? 4 : 1;
    plan.depthwise = depthwise(args, layout);
    if (plan.depthwise) {
      plan.top = layout.rows.phases[0][0].at;
      plan.left = layout.cols.phases[0][0].at;
    }
    plan.in_place = in_place(args, layout, s);
    add_phases(args.taps, rows, cols);
  }

 private:
  // Patches, and other kernels of n, 2 n, ... columns no wider than their step.
  bool together(const Conv2dArgs& args, const Split& s, int64_t n) const {
    const auto tiles_inside = [&](int64_t first, int64_t step, int64_t grid, int64_t length) {
      return first >= 0 && first + (grid - 1) * step < length;
    };
    if (plan.planes % n != 0 || plan.step_w < n || plan.plane_rows != s.tile_rows) return false;
    if (s.rows % s.tile_rows != 0 || s.tile_cols != s.cols || plan.plane_cols != s.cols)
      return false;
    for (size_t p = 0; p < planes.size(); ++p) {
      const Conv2dPlane& plane = planes[p];
      if (static_cast<int64_t>(p) % n != 0 &&
          (plane.row != planes[p - 1].row || plane.col != planes[p - 1].col + 1)) {
        return false;
      }
      if (!tiles_inside(plane.row, plan.step_h, s.rows, args.height)) return false;
      if (!tiles_inside(plane.col, plan.step_w, s.cols, args.width)) return false;
    }
    return true;
  }

  static bool in_place(const Conv2dArgs& args, const ConvLayout& layout, const Split& s) {
    const ConvAxis &rows = layout.rows, &cols = layout.cols;
    return args.taps == 1 && s.rows == 1 && rows.count() * cols.count() == 1 && cols.step == 1 &&
           s.way == Way::rows && cols.phases[0][0].at == 0 && rows.phases[0][0].at == 0 &&
           args.width == args.out_width && args.width % 256 != 0;
  }

  void add_phases(int64_t taps, const ConvCopies& rows, const ConvCopies& cols) {
    offsets.reserve(static_cast<size_t>(taps));
    int64_t before = 0;
    for (const auto& row_taps : rows.uses) {
      for (const auto& col_taps : cols.uses) {
        const int64_t count = static_cast<int64_t>(row_taps.size() * col_taps.size());
        phases.push_back({count, before, offsets.data() + before});
        before += count;
        for (const auto& row : row_taps) {
          for (const auto& col : col_taps) {
            const int64_t plane = row.copy * cols.count() + col.copy;
            const int64_t at = plane * plan.plane_step + row.shift * plan.pitch + col.shift;
            offsets.push_back(plan.in_place ? 0 : at);
          }
        }
      }
    }
    plan.phases = phases.data();
  }
};

Conv2dTile tile_at(const Conv2dArgs& args, const Split& s, int64_t mr, int64_t index) {
  Conv2dTile tile;
  const int64_t blocks = divide_up(args.out, mr);
  const int64_t first = index % s.pieces * s.channels, last = first + s.channels;
  index /= s.pieces;
  tile.v0 = index % s.across() * s.tile_cols;
  tile.v1 = std::min(tile.v0 + s.tile_cols, s.cols);
  index /= s.across();
  tile.u0 = index % s.down() * s.tile_rows;
  tile.u1 = std::min(tile.u0 + s.tile_rows, s.rows);
  index /= s.down();
  tile.g = index % args.groups;
  tile.b = index / args.groups;
  tile.o0 = first * args.out / blocks;  // as block_first in kernels/conv_tile.h
  tile.o1 = last < blocks ? last * args.out / blocks : args.out;
  return tile;
}

}  // namespace

void run_on_planes(const Conv2dArgs& args, const ConvLayout& layout, const Conv2dKernels& kernels) {
  const int64_t positions = args.out_height * args.out_width;
  const double work = static_cast<double>(args.batch * args.groups * args.out * positions) *
                      static_cast<double>(args.in * args.taps) /
                      static_cast<double>(layout.rows.count() * layout.cols.count());
  const int threads = threads_for(static_cast<int64_t>(std::min(work, 1e15)), kGrain);
  const Split s = split(args, layout, kernels.mr, threads);
  const Planned planned(args, layout, s, kernels.mr);
  const Conv2dPlan& plan = planned.plan;
  const int64_t each = plan.in_place    ? 16
                       : plan.depthwise ? depthwise_scratch(args)
                                        : plan.channel_step;
  const int64_t copied = args.in * each + kConvOverread;
  const int64_t tiles = args.batch * args.groups * s.down() * s.across() * s.pieces;
  std::atomic<bool> out_of_memory{false};
  parallel_for(tiles, threads, [&](int64_t index) {
    Scratch scratch(copied + plan.staging + 16);
    if (scratch.data()) {
      kernels.run(args, plan, tile_at(args, s, kernels.mr, index), scratch.data(),
                  scratch.data() + copied);
    } else {
      out_of_memory = true;
    }
  });
  if (out_of_memory) throw std::bad_alloc();
}

}  // namespace forwardpass
