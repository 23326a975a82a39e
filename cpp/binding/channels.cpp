#include "arguments.h"
#include "module.h"

namespace forwardpass {
namespace {

// Dimension 1 of the input, which has at least `least` dimensions.
py::ssize_t channels_of(const Input& x, int least, const char* op) {
  if (x.ndim() < least) {
    throw_value({op, "input"},
                "must have at least " + std::to_string(least) + " dimensions, got " + x.text());
  }
  return x.dim(1);
}

struct ChannelWeights {
  OptionalInput weight, bias;
  ChannelWeights(py::handle w, py::handle b, py::ssize_t channels, const char* op)
      : weight(w, {op, "weight"}), bias(b, {op, "bias"}) {
    weight.require_shape(&channels, 1, {op, "weight"});
    bias.require_shape(&channels, 1, {op, "bias"});
  }
};

py::array group_norm_op(py::handle input, py::handle num_groups, py::handle weight, py::handle bias,
                        py::handle eps, py::handle out) {
  const char* op = "group_norm";
  const Input x(input, {op, "input"});
  const py::ssize_t channels = channels_of(x, 2, op);
  const int64_t groups = one_number(num_groups, {op, "num_groups"}, 1);
  if (channels % groups != 0) {
    throw_value({op, "num_groups"},
                "must divide the number of channels: " + std::to_string(channels) + " channels, " +
                    std::to_string(groups) + " groups");
  }
  const ChannelWeights w(weight, bias, channels, op);
  const float e = finite_number(eps, {op, "eps"});
  Output output(out, x.shape(), x.ndim(), op);
  output.avoid(x.data(), x.size(), true);
  output.avoid(w.weight.data(), channels);
  output.avoid(w.bias.data(), channels);
  float* y = output.data();
  {
    const ReleaseGil release(static_cast<double>(x.size()), kWorthReleasing);
    group_norm(x.data(), w.weight.data(), w.bias.data(), e, x.dim(0), groups, channels,
               product(x.shape() + 2, x.ndim() - 2), y);
  }
  return output.finish();
}

py::array batch_norm_op(py::handle input, py::handle running_mean, py::handle running_var,
                        py::handle weight, py::handle bias, py::handle eps, py::handle out) {
  const char* op = "batch_norm";
  const Input x(input, {op, "input"});
  const py::ssize_t channels = channels_of(x, 2, op);
  const Input mean(running_mean, {op, "running_mean"}), var(running_var, {op, "running_var"});
  for (const auto& [stat, name] :
       {std::pair{&mean, "running_mean"}, std::pair{&var, "running_var"}}) {
    if (stat->ndim() != 1 || stat->dim(0) != channels) {
      throw_value({op, name},
                  "must have shape " + shape_text(&channels, 1) + ", got " + stat->text());
    }
  }
  const ChannelWeights w(weight, bias, channels, op);
  const float e = finite_number(eps, {op, "eps"});
  Output output(out, x.shape(), x.ndim(), op);
  output.avoid(x.data(), x.size(), true);
  for (const float* other : {mean.data(), var.data(), w.weight.data(), w.bias.data()}) {
    output.avoid(other, channels);
  }
  float* y = output.data();
  {
    const ReleaseGil release(static_cast<double>(x.size()), kWorthReleasing);
    batch_norm(x.data(), mean.data(), var.data(), w.weight.data(), w.bias.data(), e, x.dim(0),
               channels, product(x.shape() + 2, x.ndim() - 2), y);
  }
  return output.finish();
}

py::array normalize_op(py::handle input, py::handle p, py::handle dim, py::handle eps,
                       py::handle out) {
  const char* op = "normalize";
  const Input x(input, {op, "input"});
  const float power = number(p, {op, "p"}), e = finite_number(eps, {op, "eps"});
  const Middle at(x, dim, op);
  Output output(out, x.shape(), x.ndim(), op);
  output.avoid(x.data(), x.size(), true);
  float* y = output.data();
  {
    const ReleaseGil release(static_cast<double>(x.size()), kWorthReleasing);
    normalize(x.data(), power, e, at.outer, at.n, at.inner, y);
  }
  return output.finish();
}

// Rows (the last dimension) longer than `max_norm` scaled to it: what max_norm does to an embedding.
py::array renorm_op(py::handle input, py::handle max_norm, py::handle norm_type, py::handle out) {
  const char* op = "renorm";
  const Input x(input, {op, "input"});
  const float power = number(norm_type, {op, "norm_type"}), m = number(max_norm, {op, "max_norm"});
  Output output(out, x.shape(), x.ndim(), op);
  output.avoid(x.data(), x.size(), true);
  float* y = output.data();
  const py::ssize_t n = x.ndim() ? x.dim(x.ndim() - 1) : 1;
  {
    const ReleaseGil release(static_cast<double>(x.size()), kWorthReleasing);
    renorm(x.data(), power, m, n ? x.size() / n : 0, n, y);
  }
  return output.finish();
}

}  // namespace

void bind_channels(py::module_& m) {
  const py::arg input("input");
  const py::arg_v weight("weight", py::none()), bias("bias", py::none()), eps("eps", 1e-5),
      out("out", py::none());
  m.def("group_norm", &group_norm_op, input, py::arg("num_groups"), weight, bias, eps, out);
  m.def("batch_norm", &batch_norm_op, input, py::arg("running_mean"), py::arg("running_var"),
        weight, bias, eps, out);
  m.def("normalize", &normalize_op, input, py::arg("p") = 2.0, py::arg("dim") = 1,
        py::arg("eps") = 1e-12, out);
  m.def("renorm", &renorm_op, input, py::arg("max_norm"), py::arg("norm_type") = 2.0, out);
}

}  // namespace forwardpass
