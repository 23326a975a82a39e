#include <pybind11/stl.h>

#include <cmath>

#include "arguments.h"
#include "module.h"

namespace forwardpass {
namespace {

using Doubles = py::array_t<double, py::array::c_style>;

std::pair<py::array, py::array> table_op(py::handle first, py::handle count, py::handle dim,
                                         double base, py::handle cos, py::handle sin,
                                         const std::optional<Doubles>& frequencies) {
  const char* op = "rotary_table";
  const int64_t from = one_number(first, {op, "first"}, 0), n = one_number(count, {op, "count"}, 0);
  const int64_t width = one_number(dim, {op, "dim"}, 0);
  if (width % 2) throw_value({op, "dim"}, "must be even, got " + std::to_string(width));
  if (from > kMostPosition || n > kMostPosition - from) {
    throw_value({op, "first"}, "and count must stay within 2**31 positions, got " +
                                   std::to_string(from) + " and " + std::to_string(n));
  }
  if (!(base >= 1.0) || !std::isfinite(base)) {
    throw_value({op, "base"}, "must be a finite number of at least 1, got " + std::to_string(base));
  }
  std::vector<double> given;
  if (frequencies) {
    if (frequencies->ndim() != 1 || frequencies->size() != width / 2) {
      throw_value({op, "frequencies"}, "must have shape (" + std::to_string(width / 2) + ",)");
    }
    given.assign(frequencies->data(), frequencies->data() + frequencies->size());
  }
  const py::ssize_t shape[] = {n, width / 2};
  Output c(cos, shape, 2, op, "cos_out"), s(sin, shape, 2, op, "sin_out");
  float *to_cos = c.data(), *to_sin = s.data();
  {
    const ReleaseGil release(20.0 * static_cast<double>(n) * static_cast<double>(width),
                             kWorthReleasing);
    rotary_table(from, n, frequencies ? given : rotary_frequencies(width, base), to_cos, to_sin);
  }
  return {c.finish(), s.finish()};
}

Doubles frequencies_op(py::handle dim, double base) {
  const int64_t width = one_number(dim, {"rotary_frequencies", "dim"}, 0);
  const std::vector<double> found = rotary_frequencies(width, base);
  return Doubles(static_cast<py::ssize_t>(found.size()), found.data());
}

// The steps of a table over the dimensions of x in front of its rows, by NumPy's broadcasting.
std::vector<int64_t> table_steps(const Input& table, const Input& x, const char* op) {
  const int lead = x.ndim() - 1, more = x.ndim() - table.ndim();
  std::vector<int64_t> steps(static_cast<size_t>(lead), 0);
  bool fits = table.ndim() >= 1 && more >= 0;
  for (int i = 0; fits && i < table.ndim() - 1; ++i) {
    fits = table.dim(i) == x.dim(i + more) || table.dim(i) == 1;
    steps[static_cast<size_t>(i + more)] = table.dim(i) == 1 ? 0 : table.step(i);
  }
  if (!fits) {
    throw_value({op, "cos"}, "must broadcast to the positions of the input, (*, pairs) to " +
                                 x.text() + ", got " + table.text());
  }
  return steps;
}

// Whether the output is the input's own memory, element for element.
bool in_place(const Input& x, py::handle out, const char* op) {
  if (out.is_none()) return false;
  const Input y(out, {op, "out"}, Layout::strided);
  bool same = y.data() == x.data();
  for (int i = 0; same && i < x.ndim(); ++i) same = x.dim(i) <= 1 || x.step(i) == y.step(i);
  return same;
}

py::array rotary_op(py::handle input, py::handle cos, py::handle sin, bool interleaved,
                    py::handle out) {
  const char* op = "rotary_embedding";
  const Input x(input, {op, "input"}, Layout::rows), c(cos, {op, "cos"}), s(sin, {op, "sin"});
  if (x.ndim() < 1) throw_value({op, "input"}, "must have at least one dimension, got ()");
  if (c.ndim() != s.ndim() || !std::equal(c.shape(), c.shape() + c.ndim(), s.shape())) {
    throw_value({op, "sin"}, "must have the shape of cos, " + c.text() + ", got " + s.text());
  }
  RotaryArgs args;
  args.table_step = table_steps(c, x, op);
  args.width = x.dim(x.ndim() - 1);
  args.pairs = c.dim(c.ndim() - 1);
  if (2 * args.pairs > args.width) {
    throw_value({op, "cos"}, "must have at most " + std::to_string(args.width / 2) +
                                 " angles for rows of " + std::to_string(args.width) + ", got " +
                                 c.text());
  }
  Output output(out, x.shape(), x.ndim(), op, "out", Layout::rows);
  if (!in_place(x, out, op)) output.avoid_memory(x.extent().data, x.extent().bytes);
  output.avoid(c.data(), c.size());
  output.avoid(s.data(), s.size());
  args.x = x.data();
  args.cos = c.data();
  args.sin = s.data();
  args.interleaved = interleaved;
  args.y = output.data();
  for (int i = 0; i < x.ndim() - 1; ++i) {
    args.dims.push_back(x.dim(i));
    args.x_step.push_back(x.step(i));
    args.y_step.push_back(output.step(i));
  }
  {
    const ReleaseGil release(static_cast<double>(x.size()), kWorthReleasing);
    rotary_embedding(args);
  }
  return output.finish();
}

}  // namespace

void bind_rotary(py::module_& m) {
  m.def("rotary_table", &table_op, py::arg("first"), py::arg("count"), py::arg("dim"),
        py::arg("base") = 10000.0, py::arg("cos_out") = py::none(), py::arg("sin_out") = py::none(),
        py::arg("frequencies") = py::none());
  m.def("_rotary_frequencies", &frequencies_op, py::arg("dim"), py::arg("base"));
  m.def("rotary_embedding", &rotary_op, py::arg("input"), py::arg("cos"), py::arg("sin"),
        py::arg("interleaved") = false, py::arg("out") = py::none());
}

}  // namespace forwardpass
