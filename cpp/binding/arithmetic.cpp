#include "arguments.h"
#include "module.h"

namespace forwardpass {
namespace {

// Leading dimensions of both, broadcast; steps of 0 where one is repeated.
void broadcast(const Input& a, const Input& b, MatmulArgs& args, Shape& shape) {
  const int ndim = std::max(a.ndim(), b.ndim()) - 2;
  for (int i = 0; i < ndim; ++i) {
    const int at_a = i - (ndim - (a.ndim() - 2)), at_b = i - (ndim - (b.ndim() - 2));
    const py::ssize_t p = at_a < 0 ? 1 : a.dim(at_a), q = at_b < 0 ? 1 : b.dim(at_b);
    if (p != q && p != 1 && q != 1) {
      throw_value({"matmul", "other"},
                  "must broadcast in front of the matrices: " + a.text() + " and " + b.text());
    }
    shape.push_back(p == 1 ? q : p);
    args.dims.push_back(shape.back());
    args.a_step.push_back(p == 1 ? 0 : a.step(at_a));
    args.b_step.push_back(q == 1 ? 0 : b.step(at_b));
  }
}

py::array matmul_op(py::handle input, py::handle other, py::handle out) {
  const char* op = "matmul";
  const Input a(input, {op, "input"}, Layout::rows), b(other, {op, "other"}, Layout::strided);
  for (const Input* matrix : {&a, &b}) {
    if (matrix->ndim() < 2) {
      throw_value({op, matrix == &a ? "input" : "other"},
                  "must have at least two dimensions, got " + matrix->text());
    }
  }
  const int i = a.ndim() - 2, j = b.ndim() - 2;
  MatmulArgs args;
  args.m = a.dim(i);
  args.k = a.dim(i + 1);
  args.n = b.dim(j + 1);
  if (b.dim(j) != args.k) {
    throw_value({op, "other"}, "must have shape (*, " + std::to_string(args.k) + ", N) for " +
                                   a.text() + ", got " + b.text());
  }
  args.a_row = a.step(i);
  args.b_row = b.step(j);
  args.b_column = b.step(j + 1);
  Shape shape;
  broadcast(a, b, args, shape);
  shape.push_back(args.m);
  shape.push_back(args.n);
  Output output(out, shape.data(), static_cast<int>(shape.size()), op);
  output.avoid_memory(a.extent().data, a.extent().bytes);
  output.avoid_memory(b.extent().data, b.extent().bytes);
  args.a = a.data();
  args.b = b.data();
  args.y = output.data();
  {
    const double count = static_cast<double>(product(shape.data(), static_cast<int>(shape.size())));
    const ReleaseGil release(count * static_cast<double>(args.k + 1), 5e5);  // multiply-adds
    matmul(args);
  }
  return output.finish();
}

py::array reduce_op(Reduction what, const char* op, py::handle input, py::handle dim,
                    int64_t correction, py::handle out) {
  const Input x(input, {op, "input"});
  const Middle at(x, dim, op);
  Shape shape(x.shape(), x.shape() + x.ndim());
  if (x.ndim() > 0) shape.erase(shape.begin() + at.axis);
  Output output(out, shape.data(), static_cast<int>(shape.size()), op);
  output.avoid(x.data(), x.size());
  float* y = output.data();
  {
    const ReleaseGil release(static_cast<double>(x.size()), kWorthReleasing);
    reduce(x.data(), at.outer, at.n, at.inner, what, correction, y);
  }
  return output.finish();
}

using Function = void (*)(const float* x, float* y, int64_t n);

py::array function_op(Function f, const char* op, py::handle input, py::handle out) {
  const Input x(input, {op, "input"});
  Output output(out, x.shape(), x.ndim(), op);
  output.avoid(x.data(), x.size(), true);
  float* y = output.data();
  {
    const ReleaseGil release(static_cast<double>(x.size()), kWorthReleasing / 16);
    f(x.data(), y, x.size());
  }
  return output.finish();
}

py::array pow_op(py::handle input, py::handle exponent, py::handle out) {
  const char* op = "pow";
  const Input x(input, {op, "input"}), e(exponent, {op, "exponent"});
  const bool same = x.ndim() == e.ndim() && std::equal(x.shape(), x.shape() + x.ndim(), e.shape());
  if (!same && x.ndim() != 0 && e.ndim() != 0) {
    throw_value({op, "exponent"},
                "must be a scalar or have the input's shape, " + x.text() + ", got " + e.text());
  }
  const Input& larger = x.ndim() == 0 ? e : x;
  Output output(out, larger.shape(), larger.ndim(), op);
  output.avoid(x.data(), x.size());
  output.avoid(e.data(), e.size());
  float* y = output.data();
  {
    const ReleaseGil release(static_cast<double>(larger.size()), kWorthReleasing / 16);
    pow(x.data(), e.data(), larger.size(), x.ndim() == 0, e.ndim() == 0, y);
  }
  return output.finish();
}

}  // namespace

void bind_arithmetic(py::module_& m) {
  const py::arg input("input");
  const py::arg_v out("out", py::none());
  m.def("matmul", &matmul_op, input, py::arg("other"), out);
  m.def(
      "sum",
      [](py::handle x, py::handle dim, py::handle y) {
        return reduce_op(Reduction::sum, "sum", x, dim, 0, y);
      },
      input, py::arg("dim"), out);
  m.def(
      "mean",
      [](py::handle x, py::handle dim, py::handle y) {
        return reduce_op(Reduction::mean, "mean", x, dim, 0, y);
      },
      input, py::arg("dim"), out);
  m.def(
      "var",
      [](py::handle x, py::handle dim, py::handle correction, py::handle y) {
        const int64_t less = whole_number(correction, {"var", "correction"});
        return reduce_op(Reduction::var, "var", x, dim, less, y);
      },
      input, py::arg("dim"), py::arg("correction") = 1, out);
  m.def(
      "sin", [](py::handle x, py::handle y) { return function_op(&sine, "sin", x, y); }, input,
      out);
  m.def(
      "cos", [](py::handle x, py::handle y) { return function_op(&cosine, "cos", x, y); }, input,
      out);
  m.def("pow", &pow_op, input, py::arg("exponent"), out);
}

}  // namespace forwardpass
