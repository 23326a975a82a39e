// conv2d, conv_transpose1d and conv_transpose2d.
#include <pybind11/stl.h>

#include "conv2d_args.h"
#include "fusion_args.h"
#include "module.h"

namespace forwardpass {
namespace {

constexpr double kWorthReleasing = 5e5;  // multiply-adds

// The words of a call that every form has.
struct Ending {
  py::handle activation, slope, residual, out;
};

py::array run(const ConvKind& kind, const Input& x, const PackedConv& packed, const ConvCall& call,
              const Ending& e, const ConvWeights* raw) {
  const ConvShape& s = packed.shape();
  const int ndim = static_cast<int>(call.shape.size());
  const FusionArgs fusion(e.activation, e.slope, e.residual, call.shape.data(), ndim, kind.op);
  Output output(e.out, call.shape.data(), ndim, kind.op);
  output.avoid(x.data(), x.size());
  const py::ssize_t count = product(call.shape.data(), ndim);
  output.avoid(fusion.get().residual, count);
  if (raw) output.avoid(raw->weight.data(), raw->weight.size());
  float* y = output.data();
  {
    const int64_t reduction = s.in / s.groups * s.rows.taps * s.cols.taps;
    const int64_t phases = s.transposed ? s.rows.stride * s.cols.stride : 1;
    const double work =
        static_cast<double>(count) * static_cast<double>(reduction) / static_cast<double>(phases);
    const ReleaseGil release(work, kWorthReleasing);
    packed.run(x.data(), call.batch, call.input, call.output, y, fusion.get());
  }
  return output.finish();
}

std::unique_ptr<PackedConv> pack_checked(const ConvWeights& w) {
  const ReleaseGil release;
  return std::make_unique<PackedConv>(w.weight.data(), w.bias.data(), w.shape);
}

py::array run_raw(const ConvKind& kind, py::handle input, py::handle weight, py::handle bias,
                  const ConvWords& words, py::handle output_padding, const Ending& ending) {
  const Input x(input, {kind.op, "input"});
  const ConvWeights w(kind, weight, bias, words);
  const ConvCall call(kind, x, w.shape, output_padding);  // before the work of packing
  return run(kind, x, *pack_checked(w), call, ending, &w);
}

py::array conv2d(py::handle input, py::handle weight, py::handle bias, py::handle stride,
                 py::handle pad, py::handle dilation, py::handle groups, py::handle act,
                 py::handle slope, py::handle residual, py::handle out) {
  return run_raw(kConvKinds[0], input, weight, bias, {stride, pad, dilation, groups}, py::none(),
                 {act, slope, residual, out});
}

template <int kKind>
py::array conv_transpose(py::handle input, py::handle weight, py::handle bias, py::handle stride,
                         py::handle pad, py::handle output_padding, py::handle groups,
                         py::handle dilation, py::handle act, py::handle slope, py::handle residual,
                         py::handle out) {
  return run_raw(kConvKinds[kKind], input, weight, bias, {stride, pad, dilation, groups},
                 output_padding, {act, slope, residual, out});
}

// A PackedConv that remembers which of the operations it is, and how its results end.
struct BoundConv {
  const ConvKind& kind;
  std::unique_ptr<PackedConv> packed;
  py::object output_padding;
};

BoundConv pack(const std::string& op, py::handle weight, py::handle bias, py::handle stride,
               py::handle pad, py::handle dilation, py::handle groups, py::object output_padding) {
  const ConvKind& kind = conv_kind_of(op);
  return {kind, pack_checked({kind, weight, bias, {stride, pad, dilation, groups}}),
          std::move(output_padding)};
}

py::array call(const BoundConv& self, py::handle input, py::handle act, py::handle slope,
               py::handle residual, py::handle out, py::handle output_padding) {
  const Input x(input, {self.kind.op, "input"});
  const py::handle more =
      output_padding.is_none() ? py::handle(self.output_padding) : output_padding;
  const ConvCall sizes(self.kind, x, self.packed->shape(), more);
  return run(self.kind, x, *self.packed, sizes, {act, slope, residual, out}, nullptr);
}

py::array weight_of(const BoundConv& self) {
  const ConvShape& s = self.packed->shape();
  Shape dims = {s.transposed ? s.in : s.out, (s.transposed ? s.out : s.in) / s.groups};
  if (self.kind.dims == 2) dims.push_back(s.rows.taps);
  dims.push_back(s.cols.taps);
  py::array array = new_array(dims.data(), static_cast<int>(dims.size()));
  self.packed->unpack(array_data(array));
  return array;
}

std::optional<py::array> bias_of(const BoundConv& self) {
  if (!self.packed->bias()) return std::nullopt;
  const py::ssize_t n = self.packed->shape().out;
  py::array array = new_array(&n, 1);
  std::copy(self.packed->bias(), self.packed->bias() + n, array_data(array));
  return array;
}

}  // namespace

void bind_conv2d(py::module_& m) {
  m.def("conv2d", &conv2d, py::arg("input"), py::arg("weight"), py::arg("bias") = py::none(),
        py::arg("stride") = 1, py::arg("padding") = 0, py::arg("dilation") = 1,
        py::arg("groups") = 1, py::arg("activation") = py::none(), py::arg("negative_slope") = 0.01,
        py::arg("residual") = py::none(), py::arg("out") = py::none());
  const auto transpose = [&](const char* name, auto function) {
    m.def(name, function, py::arg("input"), py::arg("weight"), py::arg("bias") = py::none(),
          py::arg("stride") = 1, py::arg("padding") = 0, py::arg("output_padding") = 0,
          py::arg("groups") = 1, py::arg("dilation") = 1, py::arg("activation") = py::none(),
          py::arg("negative_slope") = 0.01, py::arg("residual") = py::none(),
          py::arg("out") = py::none());
  };
  transpose("conv_transpose1d", &conv_transpose<1>);
  transpose("conv_transpose2d", &conv_transpose<2>);
  py::class_<BoundConv>(m, "PackedConv",
                        "The weight of conv2d, conv_transpose1d or conv_transpose2d in the layout "
                        "of one instruction set.")
      .def(py::init(&pack), py::arg("op"), py::arg("weight"), py::arg("bias") = py::none(),
           py::arg("stride") = 1, py::arg("padding") = 0, py::arg("dilation") = 1,
           py::arg("groups") = 1, py::arg("output_padding") = 0)
      .def("__call__", &call, py::arg("input"), py::arg("activation") = py::none(),
           py::arg("negative_slope") = 0.01, py::arg("residual") = py::none(),
           py::arg("out") = py::none(), py::arg("output_padding") = py::none())
      .def("weight", &weight_of, "A new array: the weight unpacked, as torch lays it out.")
      .def("bias", &bias_of, "A new array (out,), or None.")
      .def_property_readonly("isa", [](const BoundConv& self) { return self.packed->isa(); });
}

}  // namespace forwardpass
