#include <pybind11/stl.h>

#include "fusion_args.h"
#include "module.h"

namespace forwardpass {
namespace {

constexpr const char* kOp = "linear";
constexpr double kWorthReleasing = 5e5;  // multiply-adds

// (*, k) -> (*, n); `squeeze` drops the last dimension (a weight of one dimension).
Shape result_shape(const Input& input, py::ssize_t n, py::ssize_t k, bool squeeze) {
  const int ndim = input.ndim();
  if (ndim < 1 || input.dim(ndim - 1) != k) {
    throw_value({kOp, "input"},
                "must have shape (*, " + std::to_string(k) + "), got " + input.text());
  }
  Shape shape(input.shape(), input.shape() + ndim);
  if (squeeze) {
    shape.pop_back();
  } else {
    shape.back() = n;
  }
  return shape;
}

py::ssize_t row_count(const Input& input) { return product(input.shape(), input.ndim() - 1); }

// Runs `op(x, m, y, fusion)` on checked arguments.
template <class Op>
py::array run(const Input& input, py::ssize_t n, py::ssize_t k, bool squeeze, py::handle act,
              py::handle slope, py::handle residual, py::handle out,
              const std::vector<const Input*>& others, const Op& op) {
  const Shape shape = result_shape(input, n, k, squeeze);
  const int ndim = static_cast<int>(shape.size());
  const FusionArgs fusion(act, slope, residual, shape.data(), ndim, kOp);
  Output output(out, shape.data(), ndim, kOp);
  output.avoid(input.data(), input.size());
  output.avoid(fusion.get().residual, product(shape.data(), ndim));
  for (const Input* other : others) {
    if (other) output.avoid(other->data(), other->size());
  }
  const py::ssize_t m = row_count(input);
  float* y = output.data();
  {
    const ReleaseGil release(static_cast<double>(m) * static_cast<double>(n * (k + 1)),
                             kWorthReleasing);
    op(input.data(), m, y, fusion.get());
  }
  return output.finish();
}

struct LinearWeights {
  Input weight;
  OptionalInput bias;
  py::ssize_t n, k;
  LinearWeights(py::handle w, py::handle b, bool allow_vector)
      : weight(w, {kOp, "weight"}), bias(b, {kOp, "bias"}) {
    if (weight.ndim() != 2 && !(allow_vector && weight.ndim() == 1)) {
      throw_value({kOp, "weight"},
                  "must have shape (out_features, in_features), got " + weight.text());
    }
    n = weight.ndim() == 2 ? weight.dim(0) : 1;
    k = weight.dim(weight.ndim() - 1);
    bias.require_shape(&n, weight.ndim() - 1, {kOp, "bias"});
  }
};

py::array linear_raw(py::handle input, py::handle weight, py::handle bias, py::handle act,
                     py::handle slope, py::handle residual, py::handle out) {
  const Input x(input, {kOp, "input"});
  const LinearWeights w(weight, bias, true);
  return run(x, w.n, w.k, w.weight.ndim() == 1, act, slope, residual, out,
             {&w.weight, w.bias.get()},
             [&](const float* xs, py::ssize_t m, float* y, const Fusion& fusion) {
               linear(xs, w.weight.data(), w.bias.data(), m, w.n, w.k, y, fusion);
             });
}

std::unique_ptr<PackedLinear> pack(py::handle weight, py::handle bias) {
  const LinearWeights w(weight, bias, false);
  const ReleaseGil release;
  return std::make_unique<PackedLinear>(w.weight.data(), w.bias.data(), w.n, w.k);
}

py::array call(const PackedLinear& self, py::handle input, py::handle act, py::handle slope,
               py::handle residual, py::handle out) {
  const Input x(input, {kOp, "input"});
  return run(x, self.n(), self.k(), false, act, slope, residual, out, {},
             [&](const float* xs, py::ssize_t m, float* y, const Fusion& fusion) {
               self.run(xs, m, y, fusion);
             });
}

py::array weight_of(const PackedLinear& self) {
  const py::ssize_t dims[] = {self.n(), self.k()};
  py::array array = new_array(dims, 2);
  self.unpack(array_data(array));
  return array;
}

std::optional<py::array> bias_of(const PackedLinear& self) {
  if (!self.bias()) return std::nullopt;
  const py::ssize_t n = self.n();
  py::array array = new_array(&n, 1);
  std::copy(self.bias(), self.bias() + n, array_data(array));
  return array;
}

}  // namespace

void bind_linear(py::module_& m) {
  m.def("linear", &linear_raw, py::arg("input"), py::arg("weight"), py::arg("bias") = py::none(),
        py::arg("activation") = py::none(), py::arg("negative_slope") = 0.01,
        py::arg("residual") = py::none(), py::arg("out") = py::none());
  py::class_<PackedLinear>(m, "PackedLinear",
                           "A linear's weight in the layout of one instruction set.")
      .def(py::init(&pack), py::arg("weight"), py::arg("bias") = py::none())
      .def("__call__", &call, py::arg("input"), py::arg("activation") = py::none(),
           py::arg("negative_slope") = 0.01, py::arg("residual") = py::none(),
           py::arg("out") = py::none())
      .def("weight", &weight_of, "A new array (out_features, in_features): the weight unpacked.")
      .def("bias", &bias_of, "A new array (out_features,), or None.")
      .def_property_readonly("isa", &PackedLinear::isa);
}

}  // namespace forwardpass
