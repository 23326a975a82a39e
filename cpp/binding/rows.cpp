#include <pybind11/typing.h>

#include <limits>

#include "arguments.h"
#include "module.h"

namespace forwardpass {
namespace {

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

using Pair = py::typing::Tuple<py::array, py::array>;

// (norm(s), s) with s = x + residual: run(x, residual, weight, bias, rows, y, sum).
template <class Run>
Pair add_norm(const char* op, py::handle input, py::handle residual, py::handle shape,
              py::handle weight, py::handle bias, py::handle out, py::handle out_sum, Run run) {
  const Input x(input, {op, "input"});
  const OptionalInput r(residual, {op, "residual"}), w(weight, {op, "weight"});
  const OptionalInput b(bias, {op, "bias"});
  if (!r.get()) throw_type({op, "residual"}, "must be a float32 array, got None");
  r.require_shape(x.shape(), x.ndim(), {op, "residual"});
  const Shape normalized = normalized_shape(shape, op);
  const Rows rows(x, normalized, op);
  w.require_shape(normalized.data(), static_cast<int>(normalized.size()), {op, "weight"});
  b.require_shape(normalized.data(), static_cast<int>(normalized.size()), {op, "bias"});
  Output output(out, x.shape(), x.ndim(), op), sum(out_sum, x.shape(), x.ndim(), op, "out_sum");
  const py::ssize_t n = x.size();
  output.avoid(x.data(), n);
  output.avoid(r.data(), n);
  sum.avoid(x.data(), n, true);
  sum.avoid(r.data(), n, true);
  for (const OptionalInput* part : {&w, &b}) {
    output.avoid(part->data(), rows.n);
    sum.avoid(part->data(), rows.n);
  }
  if (!out.is_none() && !out_sum.is_none()) {
    if (out.is(out_sum)) throw_value({op, "out_sum"}, "must not be the same array as 'out'");
    sum.avoid(array_data(out), n);
  }
  float *y = output.data(), *s = sum.data();
  {
    const ReleaseGil release(static_cast<double>(n), kWorthReleasing);
    run(x.data(), r.data(), w.data(), b.data(), rows, y, s);
  }
  return py::make_tuple(output.finish(), sum.finish());
}

Pair add_rms_norm_op(py::handle input, py::handle residual, py::handle shape, py::handle weight,
                     py::handle eps, py::handle out, py::handle out_sum) {
  const float e = eps_or_default(eps, "add_rms_norm");
  return add_norm(
      "add_rms_norm", input, residual, shape, weight, py::none(), out, out_sum,
      [e](const float* x, const float* r, const float* w, const float*, const Rows& rows, float* y,
          float* sum) { add_rms_norm(x, r, w, e, rows.count, rows.n, y, sum); });
}

Pair add_layer_norm_op(py::handle input, py::handle residual, py::handle shape, py::handle weight,
                       py::handle bias, py::handle eps, py::handle out, py::handle out_sum) {
  const float e = finite_number(eps, {"add_layer_norm", "eps"});
  return add_norm(
      "add_layer_norm", input, residual, shape, weight, bias, out, out_sum,
      [e](const float* x, const float* r, const float* w, const float* b, const Rows& rows,
          float* y, float* sum) { add_layer_norm(x, r, w, b, e, rows.count, rows.n, y, sum); });
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

// An op over one dimension: softmax and its like.
using OverDimension = void (*)(const float* x, int64_t outer, int64_t n, int64_t inner, float* y);

py::array over_dimension_op(OverDimension run, py::handle input, py::handle dim, py::handle out,
                            const char* op) {
  const Input x(input, {op, "input"});
  const Middle at(x, dim, op);
  Output output(out, x.shape(), x.ndim(), op);
  output.avoid(x.data(), x.size(), true);
  float* y = output.data();
  {
    const ReleaseGil release(static_cast<double>(x.size()), kWorthReleasing);
    run(x.data(), at.outer, at.n, at.inner, y);
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
  m.def("rms_norm", &rms_norm_op, input, py::arg("normalized_shape"),
        py::arg("weight") = py::none(), py::arg("eps") = py::none(), out);
  m.def("add_rms_norm", &add_rms_norm_op, input, py::arg("residual"), py::arg("normalized_shape"),
        py::arg("weight") = py::none(), py::arg("eps") = py::none(), out,
        py::arg("out_sum") = py::none());
  m.def("add_layer_norm", &add_layer_norm_op, input, py::arg("residual"),
        py::arg("normalized_shape"), py::arg("weight") = py::none(), py::arg("bias") = py::none(),
        py::arg("eps") = 1e-5, out, py::arg("out_sum") = py::none());
  m.def("layer_norm", &layer_norm_op, input, py::arg("normalized_shape"),
        py::arg("weight") = py::none(), py::arg("bias") = py::none(), py::arg("eps") = 1e-5, out);
#define FP_OVER_DIMENSION(name)                                         \
  m.def(                                                                \
      #name,                                                            \
      [](py::handle x, py::handle dim, py::handle y) {                  \
        return over_dimension_op(&forwardpass::name, x, dim, y, #name); \
      },                                                                \
      input, py::arg("dim"), out);
  FP_OVER_DIMENSION(softmax)
  FP_OVER_DIMENSION(log_softmax)
#undef FP_OVER_DIMENSION
  m.def("embedding", &embedding_op, input, py::arg("weight"), out);
}

}  // namespace forwardpass
