#include "arguments.h"
#include "module.h"

namespace forwardpass {
namespace {

using Indices = py::array_t<int64_t, py::array::c_style>;

// Indices (n,) in [0, rows), offsets (bags + 1,) rising from 0 to n: made by functional/_lookup.py.
py::array embedding_bag_op(const Indices& index, const Indices& offsets, py::handle weight,
                           const std::string& mode, py::handle factors, py::handle out) {
  const char* op = "embedding_bag";
  const Input table(weight, {op, "weight"});
  const OptionalInput f(factors, {op, "per_sample_weights"});
  if (table.ndim() != 2) {
    throw_value({op, "weight"},
                "must have shape (num_embeddings, embedding_dim), got " + table.text());
  }
  const Bag bag = mode == "sum" ? Bag::sum : mode == "mean" ? Bag::mean : Bag::max;
  if (bag == Bag::max && mode != "max") {
    throw_value({op, "mode"}, "must be 'sum', 'mean' or 'max', got '" + mode + "'");
  }
  if (index.ndim() != 1 || offsets.ndim() != 1 || offsets.size() < 1) {
    throw_value({op, "input"}, "and offsets must be of one dimension");
  }
  const py::ssize_t count = index.size(), bags = offsets.size() - 1;
  f.require_shape(&count, 1, {op, "per_sample_weights"});
  // Copies: another thread may write the caller's while we read.
  const std::vector<int64_t> at(index.data(), index.data() + count);
  const std::vector<int64_t> from(offsets.data(), offsets.data() + bags + 1);
  for (const int64_t i : at) {
    if (i < 0 || i >= table.dim(0)) {
      throw py::index_error("embedding_bag(): index " + std::to_string(i) +
                            " is out of range for " + std::to_string(table.dim(0)) + " embeddings");
    }
  }
  for (py::ssize_t b = 0; b <= bags; ++b) {
    const int64_t before = b ? from[static_cast<size_t>(b) - 1] : 0;
    const int64_t here = from[static_cast<size_t>(b)];
    if (here < before || here > count || (b == bags && here != count) || (b == 0 && here != 0)) {
      throw_value({op, "offsets"}, "must rise from 0 to the number of indices");
    }
  }
  const py::ssize_t shape[] = {bags, table.dim(1)};
  Output output(out, shape, 2, op);
  output.avoid(table.data(), table.size());
  output.avoid(f.data(), count);
  float* y = output.data();
  {
    const ReleaseGil release(static_cast<double>(count) * static_cast<double>(table.dim(1)),
                             kWorthReleasing);
    embedding_bag(at.data(), from.data(), bags, table.data(), table.dim(1), f.data(), bag, y);
  }
  return output.finish();
}

// a (rows, n), b (rows, m) to (rows, n m): every product of a row.
py::array outer_op(py::handle first, py::handle second, py::handle out) {
  const char* op = "outer_product";
  const Input a(first, {op, "input1"}), b(second, {op, "input2"});
  if (a.ndim() != 2 || b.ndim() != 2 || a.dim(0) != b.dim(0)) {
    throw_value({op, "input2"},
                "must have as many rows as input1: " + a.text() + " and " + b.text());
  }
  const py::ssize_t sides[] = {a.dim(1), b.dim(1)};
  const py::ssize_t shape[] = {a.dim(0), product(sides, 2)};
  Output output(out, shape, 2, op);
  output.avoid(a.data(), a.size());
  output.avoid(b.data(), b.size());
  float* y = output.data();
  {
    const ReleaseGil release(static_cast<double>(shape[0]) * static_cast<double>(shape[1]),
                             kWorthReleasing);
    outer_product(a.data(), b.data(), shape[0], sides[0], sides[1], y);
  }
  return output.finish();
}

// x (*, H, W) to (*, height, width); run(planes, rows, cols, y).
template <class Run>
py::array resized(const Input& x, py::handle height, py::handle width, double down, double along,
                  py::handle out, const char* op, const Run& run) {
  const int ndim = x.ndim();
  if (ndim < 2 || x.dim(ndim - 2) < 1 || x.dim(ndim - 1) < 1) {
    throw_value({op, "input"}, "must have shape (*, H, W) with H and W above 0, got " + x.text());
  }
  const Resize rows{x.dim(ndim - 2), one_number(height, {op, "height"}, 1), down};
  const Resize cols{x.dim(ndim - 1), one_number(width, {op, "width"}, 1), along};
  Shape shape(x.shape(), x.shape() + ndim);
  shape[static_cast<size_t>(ndim) - 2] = rows.out;
  shape[static_cast<size_t>(ndim) - 1] = cols.out;
  Output output(out, shape.data(), ndim, op);
  output.avoid(x.data(), x.size());
  float* y = output.data();
  {
    const ReleaseGil release(static_cast<double>(product(shape.data(), ndim)), kWorthReleasing);
    run(product(x.shape(), ndim - 2), rows, cols, y);
  }
  return output.finish();
}

py::array resize_nearest_op(py::handle input, py::handle height, py::handle width, double down,
                            double along, bool exact, py::handle out) {
  const char* op = "resize_nearest";
  const Input x(input, {op, "input"});
  return resized(x, height, width, down, along, out, op,
                 [&](int64_t planes, const Resize& rows, const Resize& cols, float* y) {
                   resize_nearest(x.data(), planes, rows, cols, exact, y);
                 });
}

py::array resize_linear_op(py::handle input, py::handle height, py::handle width, double down,
                           double along, bool align_corners, py::handle out) {
  const char* op = "resize_linear";
  const Input x(input, {op, "input"});
  return resized(x, height, width, down, along, out, op,
                 [&](int64_t planes, const Resize& rows, const Resize& cols, float* y) {
                   resize_linear(x.data(), planes, rows, cols, align_corners, y);
                 });
}

}  // namespace

void bind_tables(py::module_& m) {
  const py::arg input("input"), height("height"), width("width");
  const py::arg_v down("down", 0.0), along("along", 0.0), out("out", py::none());
  m.def("embedding_bag", &embedding_bag_op, py::arg("indices"), py::arg("offsets"),
        py::arg("weight"), py::arg("mode") = "mean", py::arg("per_sample_weights") = py::none(),
        out);
  m.def("outer_product", &outer_op, py::arg("input1"), py::arg("input2"), out);
  m.def("resize_nearest", &resize_nearest_op, input, height, width, down, along,
        py::arg("exact") = false, out);
  m.def("resize_linear", &resize_linear_op, input, height, width, down, along,
        py::arg("align_corners") = false, out);
}

}  // namespace forwardpass
