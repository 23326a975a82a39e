#include <array>

#include "arguments.h"
#include "module.h"

namespace forwardpass {
namespace {

using Pair = std::array<int64_t, 2>;
constexpr int64_t kMost = int64_t{1} << 40;  // beyond, a size could overflow

// One or `dims` numbers, as {for rows, for columns}; of one dimension, rows are given `neutral`.
Pair pair_of(py::handle value, int dims, int64_t neutral, int64_t least, Where where) {
  const std::vector<int64_t> given = whole_numbers(value, where);
  if (given.size() != 1 && static_cast<int>(given.size()) != dims) {
    throw_value(where, "must be an int or have " + std::to_string(dims) + " elements, got " +
                           py::repr(value).cast<std::string>());
  }
  for (const int64_t n : given) {
    if (n < least || n > kMost) {
      throw_value(where, "must be at least " + std::to_string(least) + " and not huge, got " +
                             std::to_string(n));
    }
  }
  return {dims == 1 ? neutral : given.front(), given.back()};
}

// The input as planes: (batch, channels, *sizes), the batch optional.
struct Planes {
  py::ssize_t count;
  int64_t height, width;

  Planes(const Input& x, int dims, const char* op) {
    const int ndim = x.ndim(), outer = ndim - dims;
    if (outer != 1 && outer != 2) {
      throw_value({op, "input"}, std::string("must have shape (batch, channels, ") +
                                     (dims == 1 ? "length)" : "height, width)") +
                                     ", the batch optional, got " + x.text());
    }
    for (int i = outer - 1; i < ndim; ++i) {
      if (x.dim(i) == 0) {
        throw_value({op, "input"}, "may be empty in its batch only, got " + x.text());
      }
    }
    count = product(x.shape(), outer);
    height = dims == 1 ? 1 : x.dim(ndim - 2);
    width = x.dim(ndim - 1);
  }
};

Shape result_shape(const Input& x, int dims, const PoolAxis& rows, const PoolAxis& cols) {
  Shape shape(x.shape(), x.shape() + x.ndim());
  shape.back() = cols.out;
  if (dims == 2) shape[shape.size() - 2] = rows.out;
  return shape;
}

// Checked windows: kernel, stride (None or empty: the kernel), padding, dilation.
struct Windows {
  PoolAxis rows, cols;

  Windows(const Planes& planes, int dims, py::handle kernel, py::handle stride, py::handle padding,
          py::handle dilation, bool ceil, bool include_pad, const char* op) {
    const Pair k = pair_of(kernel, dims, 1, 1, {op, "kernel_size"});
    const bool own = stride.is_none() || (PySequence_Check(stride.ptr()) && py::len(stride) == 0);
    const Pair s = own ? k : pair_of(stride, dims, 1, 1, {op, "stride"});
    const Pair p = pair_of(padding, dims, 0, 0, {op, "padding"});
    const Pair d = pair_of(dilation, dims, 1, 1, {op, "dilation"});
    for (size_t i = 0; i < 2; ++i) {
      if (k[i] > kMost / d[i]) throw_value({op, "dilation"}, "is too large");
      if (p[i] > ((k[i] - 1) * d[i] + 1) / 2) {
        throw_value({op, "padding"}, "must be at most half of the kernel's reach, " +
                                         std::to_string((k[i] - 1) * d[i] + 1) + ", got " +
                                         std::to_string(p[i]));
      }
    }
    const Pair sizes = {planes.height, planes.width};
    for (size_t i = 0; i < 2; ++i) {
      if (PoolAxis::sliding_size(sizes[i], k[i], s[i], p[i], d[i], ceil) < 1) {
        throw_value({op, "input"}, "is too small for the kernel: size " + std::to_string(sizes[i]) +
                                       " with padding " + std::to_string(p[i]) +
                                       ", a kernel's reach of " +
                                       std::to_string((k[i] - 1) * d[i] + 1));
      }
    }
    rows = PoolAxis::sliding(sizes[0], k[0], s[0], p[0], d[0], ceil, include_pad);
    cols = PoolAxis::sliding(sizes[1], k[1], s[1], p[1], d[1], ceil, include_pad);
  }
};

constexpr double kPoolWorth = 1 << 14;  // elements

using PoolOp = void (*)(const float*, int64_t, const PoolAxis&, const PoolAxis&, float*);

py::array run_pool(PoolOp run, const Input& x, const Planes& planes, int dims, const PoolAxis& rows,
                   const PoolAxis& cols, py::handle out, const char* op) {
  const Shape shape = result_shape(x, dims, rows, cols);
  Output output(out, shape.data(), x.ndim(), op);
  output.avoid(x.data(), x.size());
  float* y = output.data();
  {
    const ReleaseGil release(static_cast<double>(x.size()), kPoolWorth);
    run(x.data(), planes.count, rows, cols, y);
  }
  return output.finish();
}

py::array_t<int64_t> run_indices(const Input& x, const Planes& planes, int dims,
                                 const PoolAxis& rows, const PoolAxis& cols) {
  py::array_t<int64_t> index(result_shape(x, dims, rows, cols));
  int64_t* to = index.mutable_data();
  const ReleaseGil release(static_cast<double>(x.size()), kPoolWorth);
  max_pool_indices(x.data(), planes.count, rows, cols, to);
  return index;
}

template <int Dims>
struct Names;
template <>
struct Names<1> {
  static constexpr const char *max = "max_pool1d", *avg = "avg_pool1d",
                              *adaptive_avg = "adaptive_avg_pool1d",
                              *adaptive_max = "adaptive_max_pool1d";
};
template <>
struct Names<2> {
  static constexpr const char *max = "max_pool2d", *avg = "avg_pool2d",
                              *adaptive_avg = "adaptive_avg_pool2d",
                              *adaptive_max = "adaptive_max_pool2d";
};

template <int Dims>
py::array max_pool_op(py::handle input, py::handle kernel, py::handle stride, py::handle padding,
                      py::handle dilation, bool ceil, py::handle out) {
  const char* op = Names<Dims>::max;
  const Input x(input, {op, "input"});
  const Planes planes(x, Dims, op);
  const Windows w(planes, Dims, kernel, stride, padding, dilation, ceil, true, op);
  return run_pool(&max_pool, x, planes, Dims, w.rows, w.cols, out, op);
}

template <int Dims>
py::array_t<int64_t> max_indices_op(py::handle input, py::handle kernel, py::handle stride,
                                    py::handle padding, py::handle dilation, bool ceil) {
  const char* op = Names<Dims>::max;
  const Input x(input, {op, "input"});
  const Planes planes(x, Dims, op);
  const Windows w(planes, Dims, kernel, stride, padding, dilation, ceil, true, op);
  return run_indices(x, planes, Dims, w.rows, w.cols);
}

template <int Dims>
py::array avg_pool_op(py::handle input, py::handle kernel, py::handle stride, py::handle padding,
                      bool ceil, bool include_pad, py::handle override, py::handle out) {
  const char* op = Names<Dims>::avg;
  const Input x(input, {op, "input"});
  const Planes planes(x, Dims, op);
  Windows w(planes, Dims, kernel, stride, padding, py::int_(1), ceil, include_pad, op);
  if (!override.is_none()) {
    const int64_t divisor = whole_number(override, {op, "divisor_override"});
    if (divisor == 0) throw_value({op, "divisor_override"}, "must not be zero");
    w.rows.divisor.assign(w.rows.divisor.size(), static_cast<float>(divisor));
    w.cols.divisor.assign(w.cols.divisor.size(), 1.0f);
  }
  return run_pool(&avg_pool, x, planes, Dims, w.rows, w.cols, out, op);
}

// output_size: one or `dims` numbers, None for a dimension that stays as it is.
struct Adaptive {
  PoolAxis rows, cols;
  Adaptive(const Planes& planes, int dims, py::handle size, const char* op) {
    const Where where{op, "output_size"};
    const Pair sizes = {planes.height, planes.width};
    Pair out = {1, 1};
    const bool many = PyTuple_Check(size.ptr()) || PyList_Check(size.ptr());
    if (many && py::len(size) != 1 && static_cast<int>(py::len(size)) != dims) {
      throw_value(where, "must be an int or have " + std::to_string(dims) + " elements, got " +
                             py::repr(size).cast<std::string>());
    }
    for (int i = 0; i < dims; ++i) {
      const size_t at = static_cast<size_t>(2 - dims + i);
      py::object one = py::reinterpret_borrow<py::object>(size);
      if (many) one = py::object(size[py::int_(py::len(size) == 1 ? 0 : i)]);
      out[at] = one.is_none() ? sizes[at] : whole_number(one, where);
      if (out[at] < 0 || out[at] > kMost / (sizes[at] + 1)) {
        throw_value(where, "must be at least 0 and not huge, got " + std::to_string(out[at]));
      }
    }
    rows = PoolAxis::adaptive(sizes[0], out[0]);
    cols = PoolAxis::adaptive(sizes[1], out[1]);
  }
};

template <int Dims>
py::array adaptive_avg_op(py::handle input, py::handle size, py::handle out) {
  const char* op = Names<Dims>::adaptive_avg;
  const Input x(input, {op, "input"});
  const Planes planes(x, Dims, op);
  const Adaptive w(planes, Dims, size, op);
  return run_pool(&avg_pool, x, planes, Dims, w.rows, w.cols, out, op);
}

template <int Dims>
py::array adaptive_max_op(py::handle input, py::handle size, py::handle out) {
  const char* op = Names<Dims>::adaptive_max;
  const Input x(input, {op, "input"});
  const Planes planes(x, Dims, op);
  const Adaptive w(planes, Dims, size, op);
  return run_pool(&max_pool, x, planes, Dims, w.rows, w.cols, out, op);
}

template <int Dims>
py::array_t<int64_t> adaptive_max_indices_op(py::handle input, py::handle size) {
  const char* op = Names<Dims>::adaptive_max;
  const Input x(input, {op, "input"});
  const Planes planes(x, Dims, op);
  const Adaptive w(planes, Dims, size, op);
  return run_indices(x, planes, Dims, w.rows, w.cols);
}

template <int Dims>
void bind_dims(py::module_& m) {
  const py::arg input("input"), kernel("kernel_size"), size("output_size");
  const py::arg_v stride("stride", py::none()), padding("padding", 0), dilation("dilation", 1);
  const py::arg_v ceil("ceil_mode", false), out("out", py::none());
  const std::string max = Names<Dims>::max, adaptive = Names<Dims>::adaptive_max;
  m.def(max.c_str(), &max_pool_op<Dims>, input, kernel, stride, padding, dilation, ceil, out);
  m.def(("_" + max + "_indices").c_str(), &max_indices_op<Dims>, input, kernel, stride, padding,
        dilation, ceil);
  m.def(Names<Dims>::avg, &avg_pool_op<Dims>, input, kernel, stride, padding, ceil,
        py::arg("count_include_pad") = true, py::arg("divisor_override") = py::none(), out);
  m.def(Names<Dims>::adaptive_avg, &adaptive_avg_op<Dims>, input, size, out);
  m.def(adaptive.c_str(), &adaptive_max_op<Dims>, input, size, out);
  m.def(("_" + adaptive + "_indices").c_str(), &adaptive_max_indices_op<Dims>, input, size);
}

}  // namespace

void bind_pool(py::module_& m) {
  bind_dims<1>(m);
  bind_dims<2>(m);
}

}  // namespace forwardpass
