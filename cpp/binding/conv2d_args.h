// The arguments of conv2d, conv_transpose1d and conv_transpose2d, checked: weights, geometry, sizes.
#pragma once

#include "arguments.h"

namespace forwardpass {

// Paddings, strides and dilations beyond this are refused before they can overflow a product.
inline constexpr int64_t kConvMost = int64_t{1} << 40;
// Strides of a transposed convolution, multiplied: each residue has a list of taps.
inline constexpr int64_t kConvMostPhases = int64_t{1} << 20;

struct ConvKind {
  const char* op;
  int dims;
  bool transposed;
};
inline constexpr ConvKind kConvKinds[] = {
    {"conv2d", 2, false}, {"conv_transpose1d", 1, true}, {"conv_transpose2d", 2, true}};

inline const ConvKind& conv_kind_of(const std::string& op) {
  for (const ConvKind& kind : kConvKinds) {
    if (op == kind.op) return kind;
  }
  throw py::value_error("PackedConv: no operation '" + op + "'");
}

inline int64_t conv_bounded(int64_t n, Where where) {
  if (n > kConvMost) throw_value(where, "is too large: " + std::to_string(n));
  return n;
}

inline Numbers conv_bounded(const Numbers& n, Where where) {
  return {conv_bounded(n.rows, where), conv_bounded(n.cols, where)};
}

// What the caller says about the geometry, in the order of torch.
struct ConvWords {
  py::handle stride, padding, dilation, groups;
};

struct ConvWeights {
  const ConvKind& kind;
  Input weight;
  OptionalInput bias;
  ConvShape shape;

  ConvWeights(const ConvKind& k, py::handle w, py::handle b, const ConvWords& words)
      : kind(k), weight(w, {k.op, "weight"}), bias(b, {k.op, "bias"}) {
    check_weight();
    shape.transposed = kind.transposed;
    shape.groups =
        conv_bounded(one_number(words.groups, {kind.op, "groups"}, 1), {kind.op, "groups"});
    shape.cols.taps = weight.dim(kind.dims + 1);
    if (kind.dims == 2) shape.rows.taps = weight.dim(2);
    const Numbers stride =
        conv_bounded(numbers(words.stride, {kind.op, "stride"}, 1, kind.dims), {kind.op, "stride"});
    const Numbers dilation = conv_bounded(
        numbers(words.dilation, {kind.op, "dilation"}, 1, kind.dims), {kind.op, "dilation"});
    set(shape.rows, stride.rows, dilation.rows);
    set(shape.cols, stride.cols, dilation.cols);
    if (kind.transposed && stride.rows > kConvMostPhases / stride.cols) {
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
    if (g.taps > kConvMost / dilation) {
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
    const Numbers p = conv_bounded(numbers(value, where, 0, kind.dims), where);
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
    const int64_t second = conv_bounded(weight.dim(1), {kind.op, "weight"}) * groups;
    shape.in = kind.transposed ? first : second;
    shape.out = kind.transposed ? second : first;
    const py::ssize_t out = shape.out;
    bias.require_shape(&out, 1, {kind.op, "bias"});
  }
};

inline std::string conv_size_text(const ConvKind& kind, const ConvSize& size) {
  const std::string cols = std::to_string(size.width);
  return kind.dims == 1 ? cols : std::to_string(size.height) + " x " + cols;
}

// Where the result of one call goes.
struct ConvCall {
  int64_t batch;
  ConvSize input, output;
  Shape shape;

  ConvCall(const ConvKind& kind, const Input& x, const ConvShape& s, py::handle output_padding) {
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
      throw_value({kind.op, "input"}, "is too small: " + conv_size_text(kind, input) +
                                          " gives no output with this kernel and padding");
    }
    shape.assign(x.shape(), x.shape() + ndim);
    shape[static_cast<size_t>(ndim - dims - 1)] = s.out;
    if (dims == 2) shape[static_cast<size_t>(ndim) - 2] = output.height;
    shape[static_cast<size_t>(ndim) - 1] = output.width;
  }

 private:
  void set_transposed(const ConvKind& kind, const ConvShape& s, py::handle output_padding) {
    const Where where{kind.op, "output_padding"};
    const Numbers more = conv_bounded(numbers(output_padding, where, 0, kind.dims), where);
    const auto smaller = [](int64_t p, const ConvGeometry& g) {
      return p < std::max(g.stride, g.dilation);
    };
    if (!smaller(more.cols, s.cols) || (kind.dims == 2 && !smaller(more.rows, s.rows))) {
      throw_value(where, "must be smaller than stride or dilation, got " +
                             py::repr(output_padding).cast<std::string>());
    }
    if (input.height < 1 || input.width < 1) {
      throw_value({kind.op, "input"}, "is empty: " + conv_size_text(kind, input));
    }
    for (const auto& [length, g] : {std::pair{input.height, s.rows}, {input.width, s.cols}}) {
      if (length > kConvMost / g.stride) throw_value({kind.op, "stride"}, "is too large");
    }
    output.height = kind.dims == 2 ? s.rows.transposed_length(input.height, more.rows) : 1;
    output.width = s.cols.transposed_length(input.width, more.cols);
  }
};

}  // namespace forwardpass
