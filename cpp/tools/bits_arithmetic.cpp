// How `bits` runs matmul, sums, sin, cos and pow; see bits_ops.cpp.
#include "../ops.h"
#include "bits_runners.h"

namespace forwardpass {
namespace tools {

void run_matmul(Call& call) {
  const Array &a = call.array("input"), &b = call.array("other");
  MatmulArgs args;
  args.m = a.dim(-2);
  args.k = args.a_row = a.dim(-1);
  args.n = args.b_row = b.dim(-1);
  args.b_column = 1;
  const int64_t ndim = (a.ndim() > b.ndim() ? a.ndim() : b.ndim()) - 2;
  Shape shape;
  for (int64_t i = 0; i < ndim; ++i) {  // broadcast: a dimension that is missing, or of one
    const auto size_of = [&](const Array& x) {
      const int64_t at = i - (ndim - (x.ndim() - 2));
      return at < 0 ? int64_t{1} : x.dim(at);
    };
    const auto step_of = [&](const Array& x) {
      const int64_t at = i - (ndim - (x.ndim() - 2));
      return size_of(x) == 1 ? 0 : product(x.shape, static_cast<size_t>(at + 1));
    };
    shape.push_back(size_of(a) == 1 ? size_of(b) : size_of(a));
    args.dims.push_back(shape.back());
    args.a_step.push_back(step_of(a));
    args.b_step.push_back(step_of(b));
  }
  shape.push_back(args.m);
  shape.push_back(args.n);
  Array& y = call.result(shape);
  args.a = a.data();
  args.b = b.data();
  args.y = y.floats.get();
  if (args.dims.empty()) {  // rows of one matrix
    call.in_pieces(args.m, [&](int64_t first, int64_t count) {
      MatmulArgs part = args;
      part.m = count;
      part.a += first * args.a_row;
      part.y += first * args.n;
      matmul(part);
    });
    return;
  }
  const int64_t item = product(shape, 1);
  call.in_pieces(args.dims[0], [&](int64_t first, int64_t count) {
    MatmulArgs part = args;
    part.dims[0] = count;
    part.a += first * args.a_step[0];
    part.b += first * args.b_step[0];
    part.y += first * item;
    matmul(part);
  });
}

void run_reduction(Call& call) {
  const Array& x = call.array("input");
  const size_t at = dimension_of(call, x);
  const int64_t n = x.shape.at(at), inner = product(x.shape, at + 1);
  Shape shape = x.shape;
  shape.erase(shape.begin() + static_cast<int64_t>(at));
  Array& y = call.result(shape);
  const Reduction what = call.op() == "sum"    ? Reduction::sum
                         : call.op() == "mean" ? Reduction::mean
                                               : Reduction::var;
  const int64_t correction = what == Reduction::var ? call.integer("correction") : 0;
  call.in_pieces(product(x.shape, 0, at), [&](int64_t first, int64_t count) {
    reduce(x.data() + first * n * inner, count, n, inner, what, correction,
           y.floats.get() + first * inner);
  });
}

void run_function(Call& call) {
  const Array& x = call.array("input");
  Array& y = call.result(x.shape);
  const auto f = call.op() == "sin" ? sine : cosine;
  call.in_pieces(x.size(), [&](int64_t first, int64_t count) {
    f(x.data() + first, y.floats.get() + first, count);
  });
}

void run_pow(Call& call) {
  // An argument is an array or a number.
  const auto is_number = [&](const char* name) {
    return call.text(name).find(':') == std::string::npos;
  };
  const bool one_base = is_number("input"), one_exponent = is_number("exponent");
  const float base = one_base ? static_cast<float>(call.real("input")) : 0.0f;
  const float exponent = one_exponent ? static_cast<float>(call.real("exponent")) : 0.0f;
  const float* x = one_base ? &base : call.floats("input");
  const float* e = one_exponent ? &exponent : call.floats("exponent");
  Array& y = call.result(call.array(one_base ? "exponent" : "input").shape);
  call.in_pieces(y.size(), [&](int64_t first, int64_t count) {
    pow(x + (one_base ? 0 : first), e + (one_exponent ? 0 : first), count, one_base, one_exponent,
        y.floats.get() + first);
  });
}

}  // namespace tools
}  // namespace forwardpass
