#include "arguments.h"
#include "module.h"

namespace forwardpass {
namespace {

py::array run_unary(Unary f, py::handle input, py::handle out, float param, const char* op) {
  const Input x(input, {op, "input"});
  Output output(out, x.shape(), x.ndim(), op);
  const py::ssize_t n = x.size();
  output.avoid(x.data(), n, true);
  float* y = output.data();
  {
    const ReleaseGil release(static_cast<double>(n), kWorthReleasing);
    unary(f, x.data(), y, n, param);
  }
  return output.finish();
}

py::array gelu(py::handle input, py::handle approximate, py::handle out) {
  const Where where{"gelu", "approximate"};
  const char* word = PyUnicode_Check(approximate.ptr()) ? PyUnicode_AsUTF8(approximate.ptr()) : "";
  if (!word) throw py::error_already_set();
  const bool is_tanh = std::string_view(word) == "tanh";
  if (!is_tanh && std::string_view(word) != "none") {
    throw_value(where,
                "must be 'none' or 'tanh', got " + py::repr(approximate).cast<std::string>());
  }
  return run_unary(is_tanh ? Unary::gelu_tanh : Unary::gelu, input, out, 0.0f, "gelu");
}

py::array leaky_relu(py::handle input, py::handle slope, py::handle out) {
  const float param = finite_number(slope, {"leaky_relu", "negative_slope"});
  return run_unary(Unary::leaky_relu, input, out, param, "leaky_relu");
}

py::array elu(py::handle input, py::handle alpha, py::handle out) {
  return run_unary(Unary::elu, input, out, finite_number(alpha, {"elu", "alpha"}), "elu");
}

// Element-wise with two parameters.
template <class Run>
py::array run_shaped(const Run& fn, py::handle input, py::handle out, const char* op) {
  const Input x(input, {op, "input"});
  Output output(out, x.shape(), x.ndim(), op);
  const py::ssize_t n = x.size();
  output.avoid(x.data(), n, true);
  float* y = output.data();
  {
    const ReleaseGil release(static_cast<double>(n), kWorthReleasing);
    fn(x.data(), y, n);
  }
  return output.finish();
}

py::array hardtanh_op(py::handle input, py::handle low, py::handle high, py::handle out) {
  const float l = number(low, {"hardtanh", "min_val"}), h = number(high, {"hardtanh", "max_val"});
  if (l > h) {
    throw_value({"hardtanh", "min_val"},
                "must not be above max_val: " + std::to_string(l) + " > " + std::to_string(h));
  }
  return run_shaped([&](const float* x, float* y, int64_t n) { hardtanh(x, y, n, l, h); }, input,
                    out, "hardtanh");
}

py::array softplus_op(py::handle input, py::handle beta, py::handle threshold, py::handle out) {
  const float b = finite_number(beta, {"softplus", "beta"});
  const float t = number(threshold, {"softplus", "threshold"});
  return run_shaped([&](const float* x, float* y, int64_t n) { softplus(x, y, n, b, t); }, input,
                    out, "softplus");
}

py::array glu_op(py::handle input, py::handle dim, py::handle out) {
  const char* op = "glu";
  const Input x(input, {op, "input"});
  if (x.ndim() == 0) throw_value({op, "input"}, "must have at least one dimension, got ()");
  const Middle at(x, dim, op);
  if (at.n % 2 != 0) {
    throw_value({op, "input"}, "must have an even size in dimension " + std::to_string(at.axis) +
                                   ", got " + x.text());
  }
  Shape shape(x.shape(), x.shape() + x.ndim());
  shape[static_cast<size_t>(at.axis)] = at.n / 2;
  Output output(out, shape.data(), x.ndim(), op);
  output.avoid(x.data(), x.size());
  float* y = output.data();
  {
    const ReleaseGil release(static_cast<double>(x.size()), kWorthReleasing);
    glu(x.data(), at.outer, at.n / 2, at.inner, y);
  }
  return output.finish();
}

py::array swiglu_op(py::handle gate, py::handle up, py::handle out) {
  const char* op = "swiglu";
  const Input g(gate, {op, "gate"}), u(up, {op, "up"});
  if (g.ndim() != u.ndim() || !std::equal(g.shape(), g.shape() + g.ndim(), u.shape())) {
    throw_value({op, "up"}, "must have the shape of 'gate', " + g.text() + ", got " + u.text());
  }
  Output output(out, g.shape(), g.ndim(), op);
  const py::ssize_t n = g.size();
  output.avoid(g.data(), n, true);
  output.avoid(u.data(), n, true);
  float* y = output.data();
  {
    const ReleaseGil release(static_cast<double>(n), kWorthReleasing);
    swiglu(g.data(), u.data(), n, y);
  }
  return output.finish();
}

// For nn.SwiGLU, whose two products come as one array (*, 2 n): both halves of the last dimension.
py::array swiglu_halves_op(py::handle input) {
  const char* op = "swiglu";
  const Input x(input, {op, "input"});
  const int last = x.ndim() - 1;
  if (last < 0 || x.dim(last) % 2 != 0) {
    throw_value({op, "input"}, "must have an even last dimension, got " + x.text());
  }
  Shape shape(x.shape(), x.shape() + x.ndim());
  const py::ssize_t n = shape.back() /= 2;
  Output output(py::none(), shape.data(), x.ndim(), op);
  float* y = output.data();
  {
    const ReleaseGil release(static_cast<double>(x.size()), kWorthReleasing);
    swiglu_halves(x.data(), product(x.shape(), last), n, y);
  }
  return output.finish();
}

py::array prelu_op(py::handle input, py::handle weight, py::handle out) {
  const char* op = "prelu";
  const Input x(input, {op, "input"}), w(weight, {op, "weight"});
  const py::ssize_t channels = x.ndim() >= 2 ? x.dim(1) : 1;
  if (w.ndim() > 1 || (w.size() != 1 && w.size() != channels)) {
    throw_value({op, "weight"}, "must have one element or as many as the input has channels, " +
                                    std::to_string(channels) + ", in one dimension, got " +
                                    w.text());
  }
  Output output(out, x.shape(), x.ndim(), op);
  output.avoid(x.data(), x.size(), true);
  output.avoid(w.data(), w.size());
  float* y = output.data();
  {
    const ReleaseGil release(static_cast<double>(x.size()), kWorthReleasing);
    if (w.size() == 1) {
      unary(Unary::leaky_relu, x.data(), y, x.size(), *w.data());
    } else {
      prelu(x.data(), w.data(), x.dim(0), channels, product(x.shape() + 2, x.ndim() - 2), y);
    }
  }
  return output.finish();
}

}  // namespace

void bind_elements(py::module_& m) {
  const py::arg input("input");
  const py::arg_v out("out", py::none());
#define FP_UNARY(name)                                                                             \
  m.def(                                                                                           \
      #name, [](py::handle x, py::handle y) { return run_unary(Unary::name, x, y, 0.0f, #name); }, \
      input, out);
  FP_UNARY(relu)
  FP_UNARY(relu6)
  FP_UNARY(hardsigmoid)
  FP_UNARY(hardswish)
  FP_UNARY(mish)
  FP_UNARY(silu)
  FP_UNARY(sigmoid)
  FP_UNARY(tanh)
  FP_UNARY(exp)
  FP_UNARY(expm1)
  FP_UNARY(log)
  FP_UNARY(log1p)
  FP_UNARY(erf)
#undef FP_UNARY
  m.def("gelu", &gelu, input, py::arg("approximate") = "none", out);
  m.def("leaky_relu", &leaky_relu, input, py::arg("negative_slope") = 0.01, out);
  m.def("elu", &elu, input, py::arg("alpha") = 1.0, out);
  m.def("hardtanh", &hardtanh_op, input, py::arg("min_val") = -1.0, py::arg("max_val") = 1.0, out);
  m.def("softplus", &softplus_op, input, py::arg("beta") = 1.0, py::arg("threshold") = 20.0, out);
  m.def("glu", &glu_op, input, py::arg("dim") = -1, out);
  m.def("swiglu", &swiglu_op, py::arg("gate"), py::arg("up"), out);
  m.def("_swiglu_halves", &swiglu_halves_op, input);
  m.def("prelu", &prelu_op, input, py::arg("weight"), out);
}

}  // namespace forwardpass
