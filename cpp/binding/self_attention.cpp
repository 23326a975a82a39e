#include "arguments.h"
#include "module.h"

namespace forwardpass {
namespace {

constexpr const char* kOp = "_self_attention";

// The caller's own memory, which is written: contiguous float32.
float* own_memory(py::handle source, const Input& input, const char* name) {
  if (input.is_copy() || !py::reinterpret_borrow<py::array>(source).writeable()) {
    throw_value({kOp, name}, "must be a writeable, contiguous array");
  }
  return const_cast<float*>(input.data());
}

// Rows of tables from `at` on, one for each position.
void set_tables(SelfAttentionArgs& args, const Input& cos, const Input& sin, int64_t at) {
  if (cos.ndim() != 2 || sin.ndim() != 2 || cos.dim(0) != sin.dim(0) || cos.dim(1) != sin.dim(1)) {
    throw_value({kOp, "cos"}, "and sin must have one shape (positions, pairs), got " + cos.text());
  }
  if (at < 0 || at > cos.dim(0) - args.length || 2 * cos.dim(1) > args.width) {
    throw_value({kOp, "cos"}, "does not fit the positions or the heads, got " + cos.text());
  }
  args.pairs = cos.dim(1);
  args.cos = cos.data() + at * args.pairs;
  args.sin = sin.data() + at * args.pairs;
}

void set_cache(SelfAttentionArgs& args, py::handle keys, py::handle values, int64_t offset) {
  const Input k(keys, {kOp, "keys"}), v(values, {kOp, "values"});
  if (k.ndim() != 4 || v.ndim() != 4 || !std::equal(k.shape(), k.shape() + 4, v.shape()) ||
      k.dim(0) != args.batch || k.dim(1) != args.groups || k.dim(3) != args.width) {
    throw_value({kOp, "keys"},
                "and values must have shape (batch, groups, capacity, width), got " + k.text());
  }
  args.capacity = k.dim(2);
  if (offset < 0 || offset > args.capacity - args.length) {
    throw_value({kOp, "offset"}, "leaves no room in keys " + k.text());
  }
  args.offset = offset;
  args.keys = own_memory(keys, k, "keys");
  args.values = own_memory(values, v, "values");
}

py::array self_attention_op(py::handle rows, int64_t heads, int64_t groups, bool causal,
                            py::handle cos, py::handle sin, bool interleaved, int64_t table_at,
                            py::handle keys, py::handle values, int64_t offset, py::handle out) {
  const Input x(rows, {kOp, "rows"});
  const int64_t parts = heads + 2 * groups;
  if (x.ndim() != 3 || groups < 1 || heads < 1 || heads % groups || x.dim(2) % parts) {
    throw_value({kOp, "rows"},
                "must have shape (batch, length, (heads + 2 groups) * width), got " + x.text());
  }
  SelfAttentionArgs args;
  args.batch = x.dim(0);
  args.length = x.dim(1);
  args.heads = heads;
  args.groups = groups;
  args.width = x.dim(2) / parts;
  args.causal = causal;
  args.interleaved = interleaved;
  args.rows = const_cast<float*>(x.data());  // written only where there are tables
  const OptionalInput c(cos, {kOp, "cos"}), s(sin, {kOp, "sin"});
  if (c.get() && s.get()) {
    args.rows = own_memory(rows, x, "rows");
    set_tables(args, *c.get(), *s.get(), table_at);
  }
  if (!keys.is_none()) set_cache(args, keys, values, offset);
  const py::ssize_t shape[] = {args.batch, args.length, heads * args.width};
  Output output(out, shape, 3, kOp);
  output.avoid(x.data(), x.size());
  args.y = output.data();
  {
    const int64_t seen = args.offset + args.length;
    const ReleaseGil release(static_cast<double>(args.batch * heads * args.length) *
                                 static_cast<double>(seen + 1) * static_cast<double>(args.width),
                             2 * kWorthReleasing);
    self_attention(args);
  }
  return output.finish();
}

}  // namespace

void bind_self_attention(py::module_& m) {
  m.def("_self_attention", &self_attention_op, py::arg("rows"), py::arg("heads"), py::arg("groups"),
        py::arg("causal") = false, py::arg("cos") = py::none(), py::arg("sin") = py::none(),
        py::arg("interleaved") = false, py::arg("table_at") = 0, py::arg("keys") = py::none(),
        py::arg("values") = py::none(), py::arg("offset") = 0, py::arg("out") = py::none());
}

}  // namespace forwardpass
