// Arguments that are not arrays: whole numbers, paddings, activations, shapes.
#pragma once

#include "../ops.h"
#include "arrays.h"

namespace forwardpass {

// A Python int (anything with __index__, bool included), or TypeError; beyond 64 bits ValueError.
int64_t whole_number(py::handle value, Where where);
// The same, or a sequence of one; and at least `least`, or ValueError.
int64_t one_number(py::handle value, Where where, int64_t least);
// One whole number for each of `dims` (1 or 2) dimensions: an int or a sequence of one for all, or a
// sequence of `dims`. For one dimension the second stays `least`.
struct Numbers {
  int64_t rows, cols;  // the last dimension is cols
};
Numbers numbers(py::handle value, Where where, int64_t least, int dims);
// A float, finite or ValueError.
float finite_number(py::handle value, Where where);

// Left and right padding of a convolution: an int, a sequence of one, "valid" or "same".
struct Padding {
  int64_t left, right;
};
Padding padding(py::handle value, int64_t taps, int64_t stride, int64_t dilation, const char* op);

// None or a name: relu, leaky_relu, gelu, gelu_tanh, silu, sigmoid, tanh.
Unary activation(py::handle name, const char* op);

// normalized_shape as torch takes it: an int or a sequence of ints.
Shape normalized_shape(py::handle value, const char* op);

}  // namespace forwardpass
