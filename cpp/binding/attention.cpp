#include "arguments.h"
#include "module.h"

namespace forwardpass {
namespace {

constexpr const char* kOp = "attention";
constexpr int kDims = 4;

// (batch, heads, length, width), read as it lies in memory.
Input heads_of(py::handle source, const char* name) {
  Input input(source, {kOp, name}, Layout::rows);
  if (input.ndim() != kDims) {
    throw_value({kOp, name}, "must have shape (batch, heads, length, width), got " + input.text());
  }
  return input;
}

// Dimension `at` of an argument must be `n`, as in another one.
void require_dim(const Input& input, const char* name, int at, py::ssize_t n, const char* meaning) {
  if (input.dim(at) == n) return;
  throw_value({kOp, name}, "must have " + std::string(meaning) + " " + std::to_string(n) +
                               " in dimension " + std::to_string(at) + ", got " + input.text());
}

void steps_of(const Input& input, int64_t* step) {
  for (int i = 0; i < kDims - 1; ++i) step[i] = input.step(i);
}

AttentionArgs shapes_of(const Input& q, const Input& k, const Input& v) {
  require_dim(k, "key", 0, q.dim(0), "the query's batch");
  require_dim(v, "value", 0, q.dim(0), "the query's batch");
  require_dim(v, "value", 1, k.dim(1), "the key's heads");
  require_dim(v, "value", 2, k.dim(2), "the key's length");
  require_dim(k, "key", 3, q.dim(3), "the query's width");
  if (k.dim(1) == 0 ? q.dim(1) != 0 : q.dim(1) % k.dim(1) != 0) {
    throw_value({kOp, "query"}, "must have a multiple of the key's heads, " +
                                    std::to_string(k.dim(1)) + ", in dimension 1, got " + q.text());
  }
  AttentionArgs args;
  args.q = q.data();
  args.k = k.data();
  args.v = v.data();
  args.batch = q.dim(0);
  args.heads = q.dim(1);
  args.kv_heads = k.dim(1);
  args.queries = q.dim(2);
  args.keys = k.dim(2);
  args.width = q.dim(3);
  args.value_width = v.dim(3);
  steps_of(q, args.q_step);
  steps_of(k, args.k_step);
  steps_of(v, args.v_step);
  return args;
}

// All bytes between its first and last element, whatever the strides.
Extent extent_of_bools(const py::array& array) {
  const char* first = static_cast<const char*>(array.data());
  py::ssize_t bytes = 1;
  for (py::ssize_t i = 0; i < array.ndim(); ++i) {
    if (array.shape(i) == 0) return {first, 0};
    const py::ssize_t span = (array.shape(i) - 1) * array.strides(i);
    if (span < 0) first += span;
    bytes += span < 0 ? -span : span;
  }
  return {first, bytes};
}

// A mask of bool or float32 that broadcasts to the scores (batch, heads, queries, keys); its strides
// stay, a 0 for each dimension that is stretched. A copy only where the last one is neither
// contiguous nor stretched.
class Mask {
 public:
  Mask(py::handle source, AttentionArgs& args) {
    if (source.is_none()) return;
    if (py::isinstance<py::array>(source) &&
        py::reinterpret_borrow<py::array>(source).dtype().kind() == 'b') {
      read_bool(py::reinterpret_borrow<py::array>(source), args);
    } else {
      read_float(source, args);
    }
  }
  const Extent& extent() const { return extent_; }

 private:
  void read_bool(py::array array, AttentionArgs& args) {
    if (array.ndim() > 0 &&
        !last_fits(array.shape(array.ndim() - 1), array.strides(array.ndim() - 1), 1)) {
      array = py::array_t<bool, py::array::c_style | py::array::forcecast>(array);
    }
    const int ndim = static_cast<int>(array.ndim());
    stretch(array.shape(), ndim, args, [&](int i) { return array.strides(i); });
    args.seen = static_cast<const uint8_t*>(array.data());
    extent_ = extent_of_bools(array);
    bool_ = std::move(array);
  }

  void read_float(py::handle source, AttentionArgs& args) {
    const Where where{kOp, "mask"};
    float_.emplace(source, where, Layout::strided);
    if (float_->ndim() > 0 &&
        !last_fits(float_->dim(float_->ndim() - 1), float_->step(float_->ndim() - 1), 1)) {
      float_.emplace(source, where);
    }
    stretch(float_->shape(), float_->ndim(), args, [&](int i) { return float_->step(i); });
    args.bias = float_->data();
    extent_ = float_->extent();
  }

  static bool last_fits(py::ssize_t n, py::ssize_t step, py::ssize_t one) {
    return n <= 1 || step == one || step == 0;
  }

  template <class Step>
  static void stretch(const py::ssize_t* shape, int ndim, AttentionArgs& args, const Step& step) {
    const py::ssize_t full[kDims] = {args.batch, args.heads, args.queries, args.keys};
    bool fits = ndim <= kDims;
    for (int i = 0; fits && i < ndim; ++i) {
      const int at = kDims - ndim + i;
      fits = shape[i] == full[at] || shape[i] == 1;
      args.mask_step[at] = shape[i] == 1 ? 0 : step(i);
    }
    if (fits) return;
    throw_value({kOp, "mask"}, "must broadcast to " + shape_text(full, kDims) + ", got " +
                                   shape_text(shape, ndim));
  }

  std::optional<Input> float_;
  py::array bool_;
  Extent extent_;
};

py::array attention_op(py::handle query, py::handle key, py::handle value, py::handle mask,
                       bool causal, py::handle offset, py::handle scale, py::handle out) {
  const Input q = heads_of(query, "query"), k = heads_of(key, "key"), v = heads_of(value, "value");
  AttentionArgs args = shapes_of(q, k, v);
  const Mask given(mask, args);
  args.causal = causal;
  args.offset = whole_number(offset, {kOp, "offset"});
  if (args.offset < 0) {
    throw_value({kOp, "offset"}, "must be at least 0, got " + std::to_string(args.offset));
  }
  args.scale = scale.is_none() ? attention_scale(args.width) : finite_number(scale, {kOp, "scale"});
  const py::ssize_t shape[] = {args.batch, args.heads, args.queries, args.value_width};
  Output output(out, shape, kDims, kOp, "out", Layout::rows);
  for (const Extent& input : {q.extent(), k.extent(), v.extent(), given.extent()}) {
    output.avoid_memory(input.data, input.bytes);
  }
  args.y = output.data();
  for (int i = 0; i < kDims - 1; ++i) args.y_step[i] = output.step(i);
  {
    const ReleaseGil release(static_cast<double>(args.batch * args.heads) *
                                 static_cast<double>(args.queries * (args.keys + 1)) *
                                 static_cast<double>(args.width + args.value_width),
                             5e5);
    attention(args);
  }
  return output.finish();
}

}  // namespace

void bind_attention(py::module_& m) {
  m.def("attention", &attention_op, py::arg("query"), py::arg("key"), py::arg("value"),
        py::arg("mask") = py::none(), py::arg("causal") = false, py::arg("offset") = 0,
        py::arg("scale") = py::none(), py::arg("out") = py::none());
}

}  // namespace forwardpass
