// conv2d, conv_transpose1d, conv_transpose2d: packing, and which way they run.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "../dispatch.h"
#include "../fpenv.h"
#include "conv_lanes.h"
#include "fusion.h"

namespace forwardpass {

PackedConv::PackedConv(const float* weight, const float* bias, const ConvShape& shape)
    : kernels_(&kernels()),
      shape_(shape),
      layout_(std::make_unique<ConvLayout>(shape)),
      lanes_(in_lanes(shape)),
      weight_(packed_size() * shape.groups + 1),
      bias_(bias ? (shape.out ? shape.out : 1) : 0) {
  if (bias) std::memcpy(bias_.data(), bias, static_cast<size_t>(shape.out) * sizeof(float));
  const int64_t size = packed_size() * shape.groups;
  if (lanes_) std::fill_n(weight_.data(), size, 0.0f);
  for_each_weight([&](int64_t from, int64_t to) { weight_.data()[to] = weight[from]; });
  for (int64_t i = 0; lanes_ && i < size; ++i)
    finite_ = finite_ && std::isfinite(weight_.data()[i]);
}

PackedConv::~PackedConv() = default;

// Of one group.
int64_t PackedConv::packed_size() const { return lanes_ ? lanes_size(shape_) : weight_size(); }

int64_t PackedConv::weight_size() const {
  return shape_.out / shape_.groups * (shape_.in / shape_.groups) * shape_.rows.taps *
         shape_.cols.taps;
}

// fn(index in the weight, index in the pack) for each weight.
template <class Fn>
void PackedConv::for_each_weight(const Fn& fn) const {
  const Conv2dKernels& k = *kernels_->conv2d;
  for (int64_t g = 0; g < shape_.groups; ++g) {
    const int64_t weight = g * weight_size(), pack = g * packed_size();
    const auto shifted = [&](int64_t from, int64_t to) { fn(weight + from, pack + to); };
    if (lanes_) {
      for_each_in_lanes(shape_, k.panel, shifted);
    } else {
      for_each_packed(shape_, *layout_, k.mr, shifted);
    }
  }
}

void PackedConv::unpack(float* weight) const {
  for_each_weight([&](int64_t to, int64_t from) { weight[to] = weight_.data()[from]; });
}

void PackedConv::run(const float* x, int64_t batch, const ConvSize& input, const ConvSize& output,
                     float* y, const Fusion& fusion) const {
  const FloatEnvironment environment;
  Conv2dArgs args;
  args.x = x;
  args.packed = weight_.data();
  args.y = y;
  args.batch = batch;
  args.groups = shape_.groups;
  args.in = shape_.in / shape_.groups;
  args.out = shape_.out / shape_.groups;
  args.height = input.height;
  args.width = input.width;
  args.out_height = output.height;
  args.out_width = output.width;
  args.taps = shape_.rows.taps * shape_.cols.taps;
  args.epilogue = epilogue(*kernels_, bias(), fusion);
  if (batch == 0 || args.out == 0 || output.height <= 0 || output.width <= 0) return;
  // A kernel of one tap at the input's own positions knows no rows: one long one.
  if (shape_.pointwise()) {
    args.width *= args.height;
    args.out_width *= args.out_height;
    args.height = args.out_height = 1;
  }
  if (lanes_) {
    run_in_lanes(args, *layout_, *kernels_->conv2d, finite_);
  } else {
    run_on_planes(args, *layout_, *kernels_->conv2d);
  }
}

}  // namespace forwardpass
