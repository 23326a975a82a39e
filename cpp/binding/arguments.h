// Arguments that are not arrays: whole numbers, paddings, activations, shapes.
#pragma once

#include "../ops.h"
#include "arrays.h"

namespace forwardpass {

// A Python int (anything with __index__, bool included), or TypeError; beyond 64 bits ValueError.
int64_t whole_number(py::handle value, Where where);
// One such number or a sequence of them, at least one.
std::vector<int64_t> whole_numbers(py::handle value, Where where);
// The same, or a sequence of one; and at least `least`, or ValueError.
int64_t one_number(py::handle value, Where where, int64_t least);
// One whole number for each of `dims` (1 or 2) dimensions: an int or a sequence of one for all, or a
// sequence of `dims`. For one dimension the second stays `least`.
struct Numbers {
  int64_t rows, cols;  // the last dimension is cols
};
Numbers numbers(py::handle value, Where where, int64_t least, int dims);
// A float, which may be infinite, or TypeError; NaN is a ValueError.
float number(py::handle value, Where where);
// A float, finite or ValueError.
float finite_number(py::handle value, Where where);

// Left and right padding of a convolution: an int, a sequence of one, "valid" or "same".
struct Padding {
  int64_t left, right;
};
Padding padding(py::handle value, int64_t taps, int64_t stride, int64_t dilation, const char* op);

// None or a name: relu, leaky_relu, gelu, gelu_tanh, silu, sigmoid, tanh, relu6, hardsigmoid,
// hardswish, mish.
Unary activation(py::handle name, const char* op);

// Elements from which on an op releases the GIL.
constexpr double kWorthReleasing = 1 << 14;

// An array (outer, n, inner) around a dimension: an int in [-ndim, ndim), or IndexError. A scalar
// counts as one dimension of size 1.
struct Middle {
  int axis;
  py::ssize_t outer, n, inner;
  Middle(const Input& x, py::handle dim, const char* op);
};

// normalized_shape as torch takes it: an int or a sequence of ints.
Shape normalized_shape(py::handle value, const char* op);

}  // namespace forwardpass
