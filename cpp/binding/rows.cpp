#include <pybind11/typing.h>

#include <limits>

#include "arguments.h"
#include "module.h"

namespace forwardpass {
namespace {

constexpr double kWorthReleasing = 1 << 14;  // elements

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

// The trailing dimensions of x that a norm runs over: how many rows, of how many elements.
struct Rows {
  py::ssize_t count, n;
  Rows(const Input& x, const Shape& shape, const char* op) {
    const int ndim = static_cast<int>(shape.size()), outer = x.ndim() - ndim;
    if (outer < 0 || !std::equal(shape.begin(), shape.end(), x.shape() + outer)) {
      throw_value({op, "input"}, "must end in normalized_shape " + shape_text(shape.data(), ndim) +
                                     ", got " + x.text());
    }
    count = product(x.shape(), outer);
    n = product(shape.data(), ndim);
  }
};

float eps_or_default(py::handle eps, const char* op) {
  return eps.is_none() ? std::numeric_limits<float>::epsilon() : finite_number(eps, {op, "eps"});
}

py::array rms_norm_op(py::handle input, py::handle shape, py::handle weight, py::handle eps,
                      py::handle out) {
  const char* op = "rms_norm";
  const Input x(input, {op, "input"});
  const OptionalInput w(weight, {op, "weight"});
  const Shape normalized = normalized_shape(shape, op);
  const Rows rows(x, normalized, op);
  w.require_shape(normalized.data(), static_cast<int>(normalized.size()), {op, "weight"});
  const float e = eps_or_default(eps, op);
  Output output(out, x.shape(), x.ndim(), op);
  output.avoid(x.data(), x.size(), true);
  output.avoid(w.data(), rows.n);
  float* y = output.data();
  {
    const ReleaseGil release(static_cast<double>(x.size()), kWorthReleasing);
    rms_norm(x.data(), w.data(), e, rows.count, rows.n, y);
  }
  return output.finish();
}

py::typing::Tuple<py::array, py::array> add_rms_norm_op(py::handle input, py::handle residual,
                                                        py::handle shape, py::handle weight,
                                                        py::handle eps, py::handle out,
                                                        py::handle out_sum) {
  const char* op = "add_rms_norm";
  const Input x(input, {op, "input"});
  const OptionalInput r(residual, {op, "residual"}), w(weight, {op, "weight"});
  if (!r.get()) throw_type({op, "residual"}, "must be a float32 array, got None");
  r.require_shape(x.shape(), x.ndim(), {op, "residual"});
  const Shape normalized = normalized_shape(shape, op);
  const Rows rows(x, normalized, op);
  w.require_shape(normalized.data(), static_cast<int>(normalized.size()), {op, "weight"});
  const float e = eps_or_default(eps, op);
  Output output(out, x.shape(), x.ndim(), op), sum(out_sum, x.shape(), x.ndim(), op, "out_sum");
  const py::ssize_t n = x.size();
  output.avoid(x.data(), n);
  output.avoid(r.data(), n);
  output.avoid(w.data(), rows.n);
  sum.avoid(x.data(), n, true);
  sum.avoid(r.data(), n, true);
  sum.avoid(w.data(), rows.n);
  if (!out.is_none() && !out_sum.is_none()) {
    if (out.is(out_sum)) throw_value({op, "out_sum"}, "must not be the same array as 'out'");
    sum.avoid(array_data(out), n);
  }
  float *y = output.data(), *s = sum.data();
  {
    const ReleaseGil release(static_cast<double>(n), kWorthReleasing);
    add_rms_norm(x.data(), r.data(), w.data(), e, rows.count, rows.n, y, s);
  }
  return py::make_tuple(output.finish(), sum.finish());
}

py::array layer_norm_op(py::handle input, py::handle shape, py::handle weight, py::handle bias,
                        py::handle eps, py::handle out) {
  const char* op = "layer_norm";
  const Input x(input, {op, "input"});
  const OptionalInput w(weight, {op, "weight"}), b(bias, {op, "bias"});
  const Shape normalized = normalized_shape(shape, op);
  const Rows rows(x, normalized, op);
  w.require_shape(normalized.data(), static_cast<int>(normalized.size()), {op, "weight"});
  b.require_shape(normalized.data(), static_cast<int>(normalized.size()), {op, "bias"});
  const float e = finite_number(eps, {op, "eps"});
  Output output(out, x.shape(), x.ndim(), op);
  output.avoid(x.data(), x.size(), true);
  output.avoid(w.data(), rows.n);
  output.avoid(b.data(), rows.n);
  float* y = output.data();
  {
    const ReleaseGil release(static_cast<double>(x.size()), kWorthReleasing);
    layer_norm(x.data(), w.data(), b.data(), e, rows.count, rows.n, y);
  }
  return output.finish();
}

py::array softmax_op(py::handle input, py::handle dim, py::handle out) {
  const char* op = "softmax";
  const Input x(input, {op, "input"});
  const int64_t dims = x.ndim() ? x.ndim() : 1;  // a scalar counts as one dimension of size 1
  int64_t axis = whole_number(dim, {op, "dim"});
  if (axis < -dims || axis >= dims) {
    throw py::index_error("softmax(): argument 'dim' must be in [" + std::to_string(-dims) + ", " +
                          std::to_string(dims - 1) + "], got " + std::to_string(axis));
  }
  axis += axis < 0 ? dims : 0;
  const int at = static_cast<int>(axis);
  const py::ssize_t n = x.ndim() ? x.dim(at) : 1;
  const py::ssize_t outer = x.ndim() ? product(x.shape(), at) : 1;
  const py::ssize_t inner = x.ndim() ? product(x.shape() + at + 1, x.ndim() - at - 1) : 1;
  Output output(out, x.shape(), x.ndim(), op);
  output.avoid(x.data(), x.size(), true);
  float* y = output.data();
  {
    const ReleaseGil release(static_cast<double>(x.size()), kWorthReleasing);
    softmax(x.data(), outer, n, inner, y);
  }
  return output.finish();
}

// Contiguous and on the boundary of its elements: a copy where the array is not.
constexpr int kAlignedRows = py::array::c_style | py::detail::npy_api::NPY_ARRAY_ALIGNED_;

// The usual indices, int64 and ready to read: nothing to convert, so nothing to ask of NumPy.
bool is_plain_int64(py::handle indices) {
  static const int int64_number = py::dtype::of<int64_t>().num();
  if (!py::isinstance<py::array>(indices)) return false;
  const auto array = py::reinterpret_borrow<py::array>(indices);
  const py::dtype dtype = array.dtype();
  return dtype.num() == int64_number && dtype.byteorder() == '=' &&
         (array.flags() & kAlignedRows) == kAlignedRows;
}

// Indices as one of the three types that embedding() takes; TypeError for anything not an integer.
py::array integer_array(py::handle indices) {
  if (is_plain_int64(indices)) return py::reinterpret_borrow<py::array>(indices);
  const Where where{"embedding", "input"};
  if (!py::isinstance<py::array>(indices) && !PyLong_Check(indices.ptr()) &&
      !py::hasattr(indices, "__array__") && !py::hasattr(indices, "__dlpack__")) {
    throw_type(where, "must be an integer array, got " +
                          py::repr(py::type::handle_of(indices)).cast<std::string>());
  }
  const py::module_ numpy = py::module_::import("numpy");
  const bool dlpack = !py::isinstance<py::array>(indices) && !PyLong_Check(indices.ptr()) &&
                      !py::hasattr(indices, "__array__");
  py::array array = dlpack ? numpy.attr("from_dlpack")(indices) : numpy.attr("asarray")(indices);
  const char kind = array.dtype().kind();
  if (kind != 'i' && kind != 'u') {
    throw_type(where, "must be an integer array, got " +
                          py::str(array.dtype()).cast<std::string>() +
                          "; cast it with input.astype(np.int64)");
  }
  if (array.dtype().itemsize() == 8) {
    if (kind == 'i') return py::array_t<int64_t, kAlignedRows>(array);
    return py::array_t<uint64_t, kAlignedRows>(array);
  }
  return py::array_t<int64_t, kAlignedRows | py::array::forcecast>(array);
}

py::array embedding_op(py::handle indices, py::handle weight, py::handle out) {
  const char* op = "embedding";
  const py::array index = integer_array(indices);
  const Input table(weight, {op, "weight"});
  if (table.ndim() != 2) {
    throw_value({op, "weight"},
                "must have shape (num_embeddings, embedding_dim), got " + table.text());
  }
  Shape shape(index.shape(), index.shape() + index.ndim());
  shape.push_back(table.dim(1));
  Output output(out, shape.data(), static_cast<int>(shape.size()), op);
  output.avoid(table.data(), table.size());
  output.avoid_memory(index.data(), index.nbytes());
  float* y = output.data();
  const py::ssize_t count = index.size();
  const bool is_signed = index.dtype().kind() == 'i';  // here, where we hold the GIL
  int64_t bad = -1;
  {
    const ReleaseGil release(static_cast<double>(count) * static_cast<double>(table.dim(1)),
                             kWorthReleasing);
    bad = is_signed ? embedding(static_cast<const int64_t*>(index.data()), count, table.data(),
                                table.dim(0), table.dim(1), y)
                    : embedding(static_cast<const uint64_t*>(index.data()), count, table.data(),
                                table.dim(0), table.dim(1), y);
  }
  if (bad >= 0) {
    const py::object value = index.attr("flat")[py::int_(bad)];
    throw py::index_error("embedding(): index " + py::str(value).cast<std::string>() +
                          " is out of range for " + std::to_string(table.dim(0)) + " embeddings");
  }
  return output.finish();
}

}  // namespace

void bind_rows(py::module_& m) {
  const py::arg input("input");
  const py::arg_v out("out", py::none());
#define FP_UNARY(name)                                                                             \
  m.def(                                                                                           \
      #name, [](py::handle x, py::handle y) { return run_unary(Unary::name, x, y, 0.0f, #name); }, \
      input, out);
  FP_UNARY(relu)
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
  m.def("rms_norm", &rms_norm_op, input, py::arg("normalized_shape"),
        py::arg("weight") = py::none(), py::arg("eps") = py::none(), out);
  m.def("add_rms_norm", &add_rms_norm_op, input, py::arg("residual"), py::arg("normalized_shape"),
        py::arg("weight") = py::none(), py::arg("eps") = py::none(), out,
        py::arg("out_sum") = py::none());
  m.def("layer_norm", &layer_norm_op, input, py::arg("normalized_shape"),
        py::arg("weight") = py::none(), py::arg("bias") = py::none(), py::arg("eps") = 1e-5, out);
  m.def("softmax", &softmax_op, input, py::arg("dim"), out);
  m.def("embedding", &embedding_op, input, py::arg("weight"), out);
}

}  // namespace forwardpass
