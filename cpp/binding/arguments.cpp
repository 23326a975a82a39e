#include "arguments.h"

#include <cmath>
#include <cstring>

#include "../fpenv.h"

namespace forwardpass {
namespace {

std::string shown(py::handle value) { return py::repr(value).cast<std::string>(); }

bool is_sequence(py::handle value) {
  return PyTuple_Check(value.ptr()) || PyList_Check(value.ptr());
}

}  // namespace

int64_t whole_number(py::handle value, Where where) {
  if (!PyIndex_Check(value.ptr())) throw_type(where, "must be an int, got " + shown(value));
  const py::object index = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
  if (!index) throw py::error_already_set();
  int overflow = 0;
  const long long n = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
  if (overflow) throw_value(where, "is out of range: " + shown(value));
  if (n == -1 && PyErr_Occurred()) throw py::error_already_set();
  return n;
}

std::vector<int64_t> whole_numbers(py::handle value, Where where) {
  std::vector<int64_t> numbers;
  if (is_sequence(value)) {
    for (const py::handle item : py::reinterpret_borrow<py::sequence>(value)) {
      numbers.push_back(whole_number(item, where));
    }
    if (numbers.empty()) throw_value(where, "must have at least one element, got " + shown(value));
  } else {
    numbers.push_back(whole_number(value, where));
  }
  return numbers;
}

int64_t one_number(py::handle value, Where where, int64_t least) {
  py::handle number = value;
  if (is_sequence(value)) {
    if (py::len(value) != 1) throw_value(where, "must have one element, got " + shown(value));
    number = PySequence_Fast_GET_ITEM(value.ptr(), 0);
  }
  const int64_t n = whole_number(number, where);
  if (n < least) {
    throw_value(where, "must be at least " + std::to_string(least) + ", got " + std::to_string(n));
  }
  return n;
}

Numbers numbers(py::handle value, Where where, int64_t least, int dims) {
  if (dims == 2 && is_sequence(value) && py::len(value) == 2) {
    PyObject* const* items = PySequence_Fast_ITEMS(value.ptr());
    return {one_number(items[0], where, least), one_number(items[1], where, least)};
  }
  if (dims == 2 && is_sequence(value) && py::len(value) != 1) {
    throw_value(where, "must be a number or have two elements, got " + shown(value));
  }
  const int64_t n = one_number(value, where, least);
  return {dims == 2 ? n : least, n};
}

namespace {

// Any Python number as a float32, NaN included.
float float_of(py::handle value, Where where) {
  const double given = PyFloat_AsDouble(value.ptr());
  if (given == -1.0 && PyErr_Occurred()) {
    PyErr_Clear();
    throw_type(where, "must be a number, got " + shown(value));
  }
  const FloatEnvironment environment;  // the caller's rounding mode must not decide
  return static_cast<float>(given);
}

}  // namespace

float number(py::handle value, Where where) {
  const float given = float_of(value, where);
  if (std::isnan(given)) throw_value(where, "must not be NaN");
  return given;
}

float finite_number(py::handle value, Where where) {
  const float rounded = float_of(value, where);
  if (!std::isfinite(rounded)) {
    throw_value(where, "must be finite as a float32, got " + shown(value));
  }
  return rounded;
}

Padding padding(py::handle value, int64_t taps, int64_t stride, int64_t dilation, const char* op) {
  const Where where{op, "padding"};
  if (!PyUnicode_Check(value.ptr())) {
    const int64_t n = one_number(value, where, 0);
    return {n, n};
  }
  const std::string word = value.cast<std::string>();
  if (word == "valid") return {0, 0};
  const int64_t total = dilation * (taps - 1);
  // Nothing of the future: conv1d's alone, as in Keras; torch has no such word.
  const bool causal = std::strcmp(op, "conv1d") == 0;
  if (causal && word == "causal") return {total, 0};
  if (word != "same") {
    throw_value(where, std::string("must be a number, 'valid'") + (causal ? ", 'causal'" : "") +
                           " or 'same', got " + shown(value));
  }
  if (stride != 1) throw_value(where, "'same' is not supported for strided convolutions");
  return {total / 2, total - total / 2};
}

Unary activation(py::handle name, const char* op) {
  if (name.is_none()) return Unary::none;
  const Where where{op, "activation"};
  if (!PyUnicode_Check(name.ptr())) throw_type(where, "must be None or str, got " + shown(name));
  const char* text = PyUnicode_AsUTF8(name.ptr());
  if (!text) throw py::error_already_set();
  static constexpr struct {
    const char* name;
    Unary value;
  } kNames[] = {{"relu", Unary::relu},
                {"gelu", Unary::gelu},
                {"gelu_tanh", Unary::gelu_tanh},
                {"silu", Unary::silu},
                {"sigmoid", Unary::sigmoid},
                {"tanh", Unary::tanh},
                {"leaky_relu", Unary::leaky_relu},
                {"relu6", Unary::relu6},
                {"hardsigmoid", Unary::hardsigmoid},
                {"hardswish", Unary::hardswish},
                {"mish", Unary::mish}};
  for (const auto& entry : kNames) {
    if (std::strcmp(entry.name, text) == 0) return entry.value;
  }
  std::string choices;
  for (const auto& entry : kNames)
    choices += (choices.empty() ? "" : ", ") + std::string(entry.name);
  throw_value(where, "must be None or one of " + choices + "; got " + shown(name));
}

Middle::Middle(const Input& x, py::handle dim, const char* op) {
  const int64_t dims = x.ndim() ? x.ndim() : 1;
  int64_t at = whole_number(dim, {op, "dim"});
  if (at < -dims || at >= dims) {
    throw py::index_error(std::string(op) + "(): argument 'dim' must be in [" +
                          std::to_string(-dims) + ", " + std::to_string(dims - 1) + "], got " +
                          std::to_string(at));
  }
  axis = static_cast<int>(at + (at < 0 ? dims : 0));
  n = x.ndim() ? x.dim(axis) : 1;
  outer = x.ndim() ? product(x.shape(), axis) : 1;
  inner = x.ndim() ? product(x.shape() + axis + 1, x.ndim() - axis - 1) : 1;
}

Shape normalized_shape(py::handle value, const char* op) {
  const Where where{op, "normalized_shape"};
  Shape shape;
  if (is_sequence(value)) {
    for (const py::handle item : py::reinterpret_borrow<py::sequence>(value)) {
      shape.push_back(whole_number(item, where));
    }
  } else {
    shape.push_back(whole_number(value, where));
  }
  if (shape.empty()) throw_value(where, "must have at least one dimension");
  return shape;
}

}  // namespace forwardpass
