// conv2d, conv_transpose1d and conv_transpose2d.
#include <pybind11/stl.h>

#include <cstring>

#include "fusion_args.h"
#include "module.h"

namespace forwardpass {
namespace {

constexpr double kWorthReleasing = 5e5;  // multiply-adds
// Paddings, strides and dilations beyond this are refused before they can overflow a product.
constexpr int64_t kMost = int64_t{1} << 40;
// Strides of a transposed convolution, multiplied: each residue has a list of taps.
constexpr int64_t kMostPhases = int64_t{1} << 20;

struct Kind {
  const char* op;
  int dims;
  bool transposed;
};
constexpr Kind kKinds[] = {
    {"conv2d", 2, false}, {"conv_transpose1d", 1, true}, {"conv_transpose2d", 2, true}};

const Kind& kind_of(const std::string& op) {
  for (const Kind& kind : kKinds) {
    if (op == kind.op) return kind;
  }
  throw py::value_error("PackedConv: no operation '" + op + "'");
}

int64_t bounded(int64_t n, Where where) {
  if (n > kMost) throw_value(where, "is too large: " + std::to_string(n));
  return n;
}

Numbers bounded(const Numbers& n, Where where) {
  return {bounded(n.rows, where), bounded(n.cols, where)};
}

// What the caller says about the geometry, in the order of torch.
struct Words {
  py::handle stride, padding, dilation, groups;
};

struct ConvWeights {
  const Kind& kind;
  Input weight;
  OptionalInput bias;
  ConvShape shape;

  ConvWeights(const Kind& k, py::handle w, py::handle b, const Words& words)
      : kind(k), weight(w, {k.op, "weight"}), bias(b, {k.op, "bias"}) {
    check_weight();
    shape.transposed = kind.transposed;
    shape.groups = bounded(one_number(words.groups, {kind.op, "groups"}, 1), {kind.op, "groups"});
    shape.cols.taps = weight.dim(kind.dims + 1);
    if (kind.dims == 2) shape.rows.taps = weight.dim(2);
    const Numbers stride =
        bounded(numbers(words.stride, {kind.op, "stride"}, 1, kind.dims), {kind.op, "stride"});
    const Numbers dilation = bounded(numbers(words.dilation, {kind.op, "dilation"}, 1, kind.dims),
                                     {kind.op, "dilation"});
    set(shape.rows, stride.rows, dilation.rows);
    set(shape.cols, stride.cols, dilation.cols);
    if (kind.transposed && stride.rows > kMostPhases / stride.cols) {
      throw_value({kind.op, "stride"}, "is too large");
    }
    set_padding(words.padding);
    check_channels();
  }

 private:
  void check_weight() {
    if (weight.ndim() == kind.dims + 2) {
      for (int i = 2; i < weight.ndim(); ++i) {
        if (weight.dim(i) < 1) {
          throw_value({kind.op, "weight"}, "has a kernel of size 0: " + weight.text());
        }
      }
      return;
    }
    const std::string first = kind.transposed ? "(in_channels, out_channels / groups, "
                                              : "(out_channels, in_channels / groups, ";
    throw_value({kind.op, "weight"},
                "must have shape " + first +
                    (kind.dims == 2 ? "kernel rows, kernel columns)" : "kernel_size)") + ", got " +
                    weight.text());
  }

  void set(ConvGeometry& g, int64_t stride, int64_t dilation) {
    g.stride = stride;
    g.dilation = dilation;
    if (g.taps > kMost / dilation) {
      throw_value({kind.op, "dilation"}, "is too large: " + std::to_string(dilation));
    }
  }

  void set_padding(py::handle value) {
    const Where where{kind.op, "padding"};
    if (!kind.transposed && PyUnicode_Check(value.ptr())) {
      for (ConvGeometry* g : {&shape.rows, &shape.cols}) {
        const Padding p = padding(value, g->taps, g->stride, g->dilation, kind.op);
        g->pad_before = p.left;
        g->pad_after = p.right;
      }
      return;
    }
    const Numbers p = bounded(numbers(value, where, 0, kind.dims), where);
    shape.rows.pad_before = shape.rows.pad_after = p.rows;
    shape.cols.pad_before = shape.cols.pad_after = p.cols;
  }

  void check_channels() {
    const int64_t groups = shape.groups, first = weight.dim(0);
    const char* name = kind.transposed ? "in_channels" : "out_channels";
    if (first % groups != 0) {
      throw_value({kind.op, "groups"}, "must divide " + std::string(name) + ": " +
                                           std::to_string(first) + " channels, " +
                                           std::to_string(groups) + " groups");
    }
    const int64_t second = bounded(weight.dim(1), {kind.op, "weight"}) * groups;
    shape.in = kind.transposed ? first : second;
    shape.out = kind.transposed ? second : first;
    const py::ssize_t out = shape.out;
    bias.require_shape(&out, 1, {kind.op, "bias"});
  }
};

std::string size_text(const Kind& kind, const ConvSize& size) {
  const std::string cols = std::to_string(size.width);
  return kind.dims == 1 ? cols : std::to_string(size.height) + " x " + cols;
}

// Where the result of one call goes.
struct Call {
  int64_t batch;
  ConvSize input, output;
  Shape shape;

  Call(const Kind& kind, const Input& x, const ConvShape& s, py::handle output_padding) {
    const int ndim = x.ndim(), dims = kind.dims;
    if (ndim != dims + 1 && ndim != dims + 2) {
      const std::string sizes = dims == 2 ? "height, width)" : "length)";
      throw_value({kind.op, "input"}, "must have shape (batch, channels, " + sizes +
                                          " or (channels, " + sizes + ", got " + x.text());
    }
    if (x.dim(ndim - dims - 1) != s.in) {
      throw_value({kind.op, "input"}, "must have " + std::to_string(s.in) +
                                          " channels, as the weight says, got shape " + x.text());
    }
    batch = ndim == dims + 2 ? x.dim(0) : 1;
    input = {dims == 2 ? x.dim(ndim - 2) : 1, x.dim(ndim - 1)};
    if (kind.transposed) {
      set_transposed(kind, s, output_padding);
    } else {
      output = {s.rows.out_length(input.height), s.cols.out_length(input.width)};
    }
    if (output.height < 1 || output.width < 1) {
      throw_value({kind.op, "input"}, "is too small: " + size_text(kind, input) +
                                          " gives no output with this kernel and padding");
    }
    shape.assign(x.shape(), x.shape() + ndim);
    shape[static_cast<size_t>(ndim - dims - 1)] = s.out;
    if (dims == 2) shape[static_cast<size_t>(ndim) - 2] = output.height;
    shape[static_cast<size_t>(ndim) - 1] = output.width;
  }

 private:
  void set_transposed(const Kind& kind, const ConvShape& s, py::handle output_padding) {
    const Where where{kind.op, "output_padding"};
    const Numbers more = bounded(numbers(output_padding, where, 0, kind.dims), where);
    const auto smaller = [](int64_t p, const ConvGeometry& g) {
      return p < std::max(g.stride, g.dilation);
    };
    if (!smaller(more.cols, s.cols) || (kind.dims == 2 && !smaller(more.rows, s.rows))) {
      throw_value(where, "must be smaller than stride or dilation, got " +
                             py::repr(output_padding).cast<std::string>());
    }
    if (input.height < 1 || input.width < 1) {
      throw_value({kind.op, "input"}, "is empty: " + size_text(kind, input));
    }
    for (const auto& [length, g] : {std::pair{input.height, s.rows}, {input.width, s.cols}}) {
      if (length > kMost / g.stride) throw_value({kind.op, "stride"}, "is too large");
    }
    output.height = kind.dims == 2 ? s.rows.transposed_length(input.height, more.rows) : 1;
    output.width = s.cols.transposed_length(input.width, more.cols);
  }
};

// The words of a call that every form has.
struct Ending {
  py::handle activation, slope, residual, out;
};

py::array run(const Kind& kind, const Input& x, const PackedConv& packed, const Call& call,
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

py::array run_raw(const Kind& kind, py::handle input, py::handle weight, py::handle bias,
                  const Words& words, py::handle output_padding, const Ending& ending) {
  const Input x(input, {kind.op, "input"});
  const ConvWeights w(kind, weight, bias, words);
  const Call call(kind, x, w.shape, output_padding);  // before the work of packing
  return run(kind, x, *pack_checked(w), call, ending, &w);
}

py::array conv2d(py::handle input, py::handle weight, py::handle bias, py::handle stride,
                 py::handle pad, py::handle dilation, py::handle groups, py::handle act,
                 py::handle slope, py::handle residual, py::handle out) {
  return run_raw(kKinds[0], input, weight, bias, {stride, pad, dilation, groups}, py::none(),
                 {act, slope, residual, out});
}

template <int kKind>
py::array conv_transpose(py::handle input, py::handle weight, py::handle bias, py::handle stride,
                         py::handle pad, py::handle output_padding, py::handle groups,
                         py::handle dilation, py::handle act, py::handle slope, py::handle residual,
                         py::handle out) {
  return run_raw(kKinds[kKind], input, weight, bias, {stride, pad, dilation, groups},
                 output_padding, {act, slope, residual, out});
}

// A PackedConv that remembers which of the operations it is, and how its results end.
struct BoundConv {
  const Kind& kind;
  std::unique_ptr<PackedConv> packed;
  py::object output_padding;
};

BoundConv pack(const std::string& op, py::handle weight, py::handle bias, py::handle stride,
               py::handle pad, py::handle dilation, py::handle groups, py::object output_padding) {
  const Kind& kind = kind_of(op);
  return {kind, pack_checked({kind, weight, bias, {stride, pad, dilation, groups}}),
          std::move(output_padding)};
}

py::array call(const BoundConv& self, py::handle input, py::handle act, py::handle slope,
               py::handle residual, py::handle out, py::handle output_padding) {
  const Input x(input, {self.kind.op, "input"});
  const py::handle more =
      output_padding.is_none() ? py::handle(self.output_padding) : output_padding;
  const Call sizes(self.kind, x, self.packed->shape(), more);
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
