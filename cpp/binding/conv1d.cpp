#include <pybind11/stl.h>

#include "fusion_args.h"
#include "module.h"

namespace forwardpass {
namespace {

constexpr const char* kOp = "conv1d";
constexpr double kWorthReleasing = 5e5;  // multiply-adds
// Paddings, strides and dilations beyond this are refused before they can overflow a product.
constexpr int64_t kMost = int64_t{1} << 40;

int64_t bounded(int64_t n, const char* argument) {
  if (n > kMost) throw_value({kOp, argument}, "is too large: " + std::to_string(n));
  return n;
}

struct ConvWeights {
  Input weight;
  OptionalInput bias;
  Conv1dShape shape;

  ConvWeights(py::handle w, py::handle b, py::handle stride, py::handle pad, py::handle dilation,
              py::handle groups)
      : weight(w, {kOp, "weight"}), bias(b, {kOp, "bias"}) {
    if (weight.ndim() != 3) {
      throw_value({kOp, "weight"},
                  "must have shape (out_channels, in_channels / groups, kernel_size), got " +
                      weight.text());
    }
    shape.out = weight.dim(0);
    shape.taps = weight.dim(2);
    if (shape.taps < 1) throw_value({kOp, "weight"}, "has a kernel of size 0: " + weight.text());
    shape.stride = bounded(one_number(stride, {kOp, "stride"}, 1), "stride");
    shape.dilation = bounded(one_number(dilation, {kOp, "dilation"}, 1), "dilation");
    if (shape.taps > 1) bounded(shape.dilation, "dilation");
    if (shape.taps > kMost / shape.dilation) {
      throw_value({kOp, "dilation"}, "is too large: " + std::to_string(shape.dilation));
    }
    const Padding p = padding(pad, shape.taps, shape.stride, shape.dilation, kOp);
    shape.pad_left = bounded(p.left, "padding");
    shape.pad_right = bounded(p.right, "padding");
    shape.groups = one_number(groups, {kOp, "groups"}, 1);
    if (shape.out % shape.groups != 0) {
      throw_value({kOp, "groups"}, "must divide out_channels: " + std::to_string(shape.out) +
                                       " channels, " + std::to_string(shape.groups) + " groups");
    }
    shape.in = bounded(weight.dim(1), "weight") * bounded(shape.groups, "groups");
    const py::ssize_t out = shape.out;
    bias.require_shape(&out, 1, {kOp, "bias"});
  }
};

// (batch, in, length) -> (batch, out, out_length), the batch dimension optional.
Shape result_shape(const Input& x, const Conv1dShape& s) {
  const int ndim = x.ndim();
  if (ndim != 2 && ndim != 3) {
    throw_value({kOp, "input"},
                "must have shape (batch, channels, length) or (channels, length), "
                "got " +
                    x.text());
  }
  if (x.dim(ndim - 2) != s.in) {
    throw_value({kOp, "input"}, "must have " + std::to_string(s.in) + " channels (weight.shape[1]" +
                                    " * groups), got shape " + x.text());
  }
  const int64_t length = s.out_length(x.dim(ndim - 1));
  if (length < 1) {
    throw_value({kOp, "input"}, "is too short: length " + std::to_string(x.dim(ndim - 1)) +
                                    " with padding " + std::to_string(s.pad_left) + " + " +
                                    std::to_string(s.pad_right) +
                                    " is less than the kernel's reach of " +
                                    std::to_string(s.dilation * (s.taps - 1) + 1));
  }
  Shape shape(x.shape(), x.shape() + ndim);
  shape[static_cast<size_t>(ndim) - 2] = s.out;
  shape[static_cast<size_t>(ndim) - 1] = length;
  return shape;
}

// compute(batch, length, y) fills y; `weight` is what y must not overlap, if any.
template <class Compute>
py::array run(const Input& x, const Conv1dShape& s, const FusionArgs& fusion, const Shape& shape,
              py::handle out, const Input* weight, const Compute& compute) {
  const int ndim = static_cast<int>(shape.size());
  Output output(out, shape.data(), ndim, kOp);
  output.avoid(x.data(), x.size());
  const py::ssize_t count = product(shape.data(), ndim);
  output.avoid(fusion.get().residual, count);
  if (weight) output.avoid(weight->data(), weight->size());
  float* y = output.data();
  const int64_t batch = ndim == 3 ? x.dim(0) : 1;
  {
    const double work = static_cast<double>(count) * static_cast<double>(s.in / s.groups * s.taps);
    const ReleaseGil release(work, kWorthReleasing);
    compute(batch, x.dim(ndim - 1), y);
  }
  return output.finish();
}

py::array conv1d_raw(py::handle input, py::handle weight, py::handle bias, py::handle stride,
                     py::handle pad, py::handle dilation, py::handle groups, py::handle act,
                     py::handle slope, py::handle residual, py::handle out) {
  const Input x(input, {kOp, "input"});
  const ConvWeights w(weight, bias, stride, pad, dilation, groups);
  const Shape shape = result_shape(x, w.shape);
  const FusionArgs fusion(act, slope, residual, shape.data(), static_cast<int>(shape.size()), kOp);
  return run(
      x, w.shape, fusion, shape, out, &w.weight, [&](int64_t batch, int64_t length, float* y) {
        conv1d(x.data(), w.weight.data(), w.bias.data(), w.shape, batch, length, y, fusion.get());
      });
}

std::unique_ptr<PackedConv1d> pack(py::handle weight, py::handle bias, py::handle stride,
                                   py::handle pad, py::handle dilation, py::handle groups) {
  const ConvWeights w(weight, bias, stride, pad, dilation, groups);
  const ReleaseGil release;
  return std::make_unique<PackedConv1d>(w.weight.data(), w.bias.data(), w.shape);
}

py::array call(const PackedConv1d& self, py::handle input, py::handle act, py::handle slope,
               py::handle residual, py::handle out) {
  const Input x(input, {kOp, "input"});
  const Shape shape = result_shape(x, self.shape());
  const FusionArgs fusion(act, slope, residual, shape.data(), static_cast<int>(shape.size()), kOp);
  return run(x, self.shape(), fusion, shape, out, nullptr,
             [&](int64_t batch, int64_t length, float* y) {
               self.run(x.data(), batch, length, y, fusion.get());
             });
}

py::array weight_of(const PackedConv1d& self) {
  const Conv1dShape& s = self.shape();
  const py::ssize_t dims[] = {s.out, s.in / s.groups, s.taps};
  py::array array = new_array(dims, 3);
  self.unpack(array_data(array));
  return array;
}

std::optional<py::array> bias_of(const PackedConv1d& self) {
  if (!self.bias()) return std::nullopt;
  const py::ssize_t n = self.shape().out;
  py::array array = new_array(&n, 1);
  std::copy(self.bias(), self.bias() + n, array_data(array));
  return array;
}

}  // namespace

void bind_conv1d(py::module_& m) {
  m.def("conv1d", &conv1d_raw, py::arg("input"), py::arg("weight"), py::arg("bias") = py::none(),
        py::arg("stride") = 1, py::arg("padding") = 0, py::arg("dilation") = 1,
        py::arg("groups") = 1, py::arg("activation") = py::none(), py::arg("negative_slope") = 0.01,
        py::arg("residual") = py::none(), py::arg("out") = py::none());
  py::class_<PackedConv1d>(m, "PackedConv1d",
                           "A convolution's weight in the layout of one instruction set.")
      .def(py::init(&pack), py::arg("weight"), py::arg("bias") = py::none(), py::arg("stride") = 1,
           py::arg("padding") = 0, py::arg("dilation") = 1, py::arg("groups") = 1)
      .def("__call__", &call, py::arg("input"), py::arg("activation") = py::none(),
           py::arg("negative_slope") = 0.01, py::arg("residual") = py::none(),
           py::arg("out") = py::none())
      .def("weight", &weight_of, "A new array (out, in / groups, kernel): the weight unpacked.")
      .def("bias", &bias_of, "A new array (out,), or None.")
      .def_property_readonly("isa", &PackedConv1d::isa);
}

}  // namespace forwardpass
