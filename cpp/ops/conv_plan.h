// From the geometry of a convolution, transposed or not, to what its kernel reads where.
#pragma once

#include <stdint.h>

#include <vector>

#include "../kernels.h"
#include "../ops.h"

namespace forwardpass {

constexpr int64_t kGrain = 1 << 17;  // multiply-adds worth a thread

inline int64_t divide_up(int64_t n, int64_t by) { return (n + by - 1) / by; }
inline int64_t round_up(int64_t n, int64_t to) { return divide_up(n, to) * to; }

// One dimension. Output `phases * u + q` reads, for each of its taps, input `step * u + at`.
// A convolution has one phase and its stride as the step; a transposed one step 1 and its stride as
// the number of phases: output o meets tap k at input (o + pad - k * dilation) / stride, where that
// is whole.
struct ConvAxis {
  struct Tap {
    int64_t tap, at;
  };
  int64_t step = 1;
  std::vector<std::vector<Tap>> phases;  // taps rising

  ConvAxis(const ConvGeometry& g, bool transposed);
  int64_t count() const { return static_cast<int64_t>(phases.size()); }
};

// How the taps of an axis share copies of the input: those whose `at` is equal modulo the step share
// one, shifted (kShared), or each place has its own (kApart).
struct ConvCopies {
  enum Kind { kShared, kApart };
  struct Use {
    int64_t copy, shift;
  };
  std::vector<int64_t> first;          // per copy: input position of its first float, at u = 0
  std::vector<std::vector<Use>> uses;  // per phase and tap
  int64_t reach = 0;                   // largest shift
  bool dense = false;                  // one phase, whose taps read neighbouring positions

  ConvCopies(const ConvAxis& axis, Kind kind);
  int64_t count() const { return static_cast<int64_t>(first.size()); }
};

// Everything about a layer that does not depend on the size of its input.
struct ConvLayout {
  ConvAxis rows, cols;
  ConvCopies row_copies, shared, apart;  // `shared`, `apart`: of the columns
  explicit ConvLayout(const ConvShape& shape);
};

// Calls fn(index in the weight, index in the pack) for each element of the weight of one group:
// pack: per block of at most `mr` output channels, per phase: [in][taps of the phase][block].
template <class Fn>
void for_each_packed(const ConvShape& shape, const ConvLayout& layout, int64_t mr, const Fn& fn) {
  const int64_t in = shape.in / shape.groups, out = shape.out / shape.groups;
  const int64_t taps = shape.rows.taps * shape.cols.taps;
  const int64_t out_step = (shape.transposed ? 1 : in) * taps;
  const int64_t in_step = (shape.transposed ? out : 1) * taps;
  const int64_t blocks = (out + mr - 1) / mr;
  int64_t packed = 0;
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t o0 = i * out / blocks, o1 = (i + 1) * out / blocks;  // as in kernels/conv_tile.h
    for (const auto& row_taps : layout.rows.phases) {
      for (const auto& col_taps : layout.cols.phases) {
        for (int64_t c = 0; c < in; ++c) {
          for (const auto& row : row_taps) {
            for (const auto& col : col_taps) {
              const int64_t at = c * in_step + row.tap * shape.cols.taps + col.tap;
              for (int64_t o = o0; o < o1; ++o) fn(at + o * out_step, packed++);
            }
          }
        }
      }
    }
  }
}

// With positions in the lanes, from the pack of for_each_packed.
void run_on_planes(const Conv2dArgs& args, const ConvLayout& layout, const Conv2dKernels& kernels);

}  // namespace forwardpass
