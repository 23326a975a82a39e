// Convolutions with output channels in the lanes: which ones, their packing, their split into tasks.
#pragma once

#include "conv_plan.h"

namespace forwardpass {

// Whether this convolution is packed and run so. It depends on the layer alone: one packing each.
bool in_lanes(const ConvShape& shape);

// Floats of the pack of one group: the channels rounded up to 16.
int64_t lanes_size(const ConvShape& shape);

// Calls fn(index in the weight, index in the pack) for each element of the weight of one group:
// panels of at most `width` output channels, rounded up to 16, each [in][taps][panel].
template <class Fn>
void for_each_in_lanes(const ConvShape& shape, int64_t width, const Fn& fn) {
  const int64_t out = shape.out / shape.groups, rounded = (out + 15) / 16 * 16;
  const int64_t reduction = shape.in / shape.groups * shape.rows.taps * shape.cols.taps;
  for (int64_t o0 = 0; o0 < rounded; o0 += width) {
    const int64_t panel = rounded - o0 < width ? rounded - o0 : width;
    for (int64_t k = 0; k < reduction; ++k) {
      for (int64_t o = o0; o < o0 + panel && o < out; ++o) {
        fn(o * reduction + k, o0 * reduction + k * panel + o - o0);
      }
    }
  }
}

// `finite`: no weight is infinite or NaN.
void run_in_lanes(const Conv2dArgs& args, const ConvLayout& layout, const Conv2dKernels& kernels,
                  bool finite);

}  // namespace forwardpass
