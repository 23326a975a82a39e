// How `bits` runs each operator: its arguments as the Python operator has them, one call into
// cpp/ops.h (or several: the pieces of --split), its results in order. Every operator of
// forwardpass.reference.OPS has a line in kRunners; tests/test_bits.py compares the two lists.
#include <cstring>

#include "../ops.h"
#include "bits_runners.h"

namespace forwardpass {
namespace tools {
namespace {

[[noreturn]] void fail(const Call& call, const std::string& what) {
  throw std::runtime_error(call.op() + ": " + what);
}

Unary unary_named(const Call& call, const std::string& name) {
#define FP_NAMED(function) \
  if (name == #function) return Unary::function;
  FP_FOR_EACH_UNARY(FP_NAMED)
#undef FP_NAMED
  fail(call, "no element-wise function '" + name + "'");
}

Fusion fusion_of(Call& call) {
  Fusion fusion;
  if (call.has("activation")) fusion.activation = unary_named(call, call.text("activation"));
  fusion.param = static_cast<float>(call.real("negative_slope"));
  fusion.residual = call.floats("residual");
  return fusion;
}
Fusion from(Fusion fusion, int64_t first) {
  if (fusion.residual) fusion.residual += first;
  return fusion;
}

// f(input), and its parameter: the one argument besides input that is a number.
void run_unary(Call& call) {
  std::string name = call.op();
  float param = 0.0f;
  for (const std::string& argument : call.names()) {
    if (argument == "approximate") {
      if (call.text(argument) == "tanh") name += "_tanh";
    } else if (argument != "input") {
      param = static_cast<float>(call.real(argument));
    }
  }
  const Unary f = unary_named(call, name);
  const Array& x = call.array("input");
  Array& y = call.result(x.shape);
  call.in_pieces(x.size(), [&](int64_t first, int64_t count) {
    unary(f, x.data() + first, y.floats.get() + first, count, param);
  });
}

void run_linear(Call& call) {
  const Array &x = call.array("input"), &w = call.array("weight");
  const int64_t k = w.dim(-1), n = w.ndim() == 2 ? w.dim(0) : 1;
  const int64_t m = product(x.shape, 0, x.shape.size() - 1);
  Shape shape = x.shape;
  shape.pop_back();
  if (w.ndim() == 2) shape.push_back(n);
  Array& y = call.result(shape);
  const float* bias = call.floats("bias");
  const Fusion fusion = fusion_of(call);
  call.in_pieces(m, [&](int64_t first, int64_t count) {
    linear(x.data() + first * k, w.data(), bias, count, n, k, y.floats.get() + first * n,
           from(fusion, first * n));
  });
  const PackedLinear packed(w.data(), bias, n, k);
  const Array again = new_array(y.shape), weight = new_array(w.shape);
  call.in_pieces(m, [&](int64_t first, int64_t count) {
    packed.run(x.data() + first * k, count, again.floats.get() + first * n,
               from(fusion, first * n));
  });
  packed.unpack(weight.floats.get());
  require_same(call, again.data(), y.data(), y.size(), "a packed weight's result");
  require_same(call, weight.data(), w.data(), w.size(), "the unpacked weight");
}

void run_conv1d(Call& call) {
  const Array &x = call.array("input"), &w = call.array("weight");
  Conv1dShape s;
  s.groups = call.integer("groups");
  s.out = w.dim(0);
  s.in = w.dim(1) * s.groups;
  s.taps = w.dim(2);
  s.stride = call.integer("stride");
  s.dilation = call.integer("dilation");
  const std::string& padding = call.text("padding");
  if (padding == "same") {  // the odd one on the right
    s.pad_left = s.dilation * (s.taps - 1) / 2;
    s.pad_right = s.dilation * (s.taps - 1) - s.pad_left;
  } else if (padding != "valid") {
    s.pad_left = s.pad_right = call.integer("padding");
  }
  const int64_t batch = x.ndim() == 3 ? x.dim(0) : 1, length = x.dim(-1);
  Shape shape = x.shape;
  shape[shape.size() - 2] = s.out;
  shape[shape.size() - 1] = s.out_length(length);
  Array& y = call.result(shape);
  const int64_t item = s.out * s.out_length(length);
  const Fusion fusion = fusion_of(call);
  const PackedConv1d packed(w.data(), call.floats("bias"), s);
  call.in_pieces(batch, [&](int64_t first, int64_t count) {
    packed.run(x.data() + first * s.in * length, count, length, y.floats.get() + first * item,
               from(fusion, first * item));
  });
  const Array weight = new_array(w.shape);
  packed.unpack(weight.floats.get());
  require_same(call, weight.data(), w.data(), w.size(), "the unpacked weight");
}

// One number for both dimensions, or one for each; `unused` for the rows of an op of one.
int64_t number_of(const Call& call, const char* name, bool rows, int64_t dims, int64_t unused) {
  if (rows && dims == 1) return unused;
  const Shape found = call.integers(name);
  return rows ? found.front() : found.back();
}

// conv2d; conv_transpose1d and 2d, whose weights are (in, out / groups, ...).
void run_conv(Call& call, int64_t dims, bool transposed) {
  const Array &x = call.array("input"), &w = call.array("weight");
  ConvShape s;
  s.transposed = transposed;
  s.groups = call.integer("groups");
  s.out = transposed ? w.dim(1) * s.groups : w.dim(0);
  s.in = transposed ? w.dim(0) : w.dim(1) * s.groups;
  for (const bool rows : {true, false}) {
    ConvGeometry& g = rows ? s.rows : s.cols;
    g.taps = rows ? (dims == 2 ? w.dim(2) : 1) : w.dim(-1);
    g.stride = number_of(call, "stride", rows, dims, 1);
    g.dilation = number_of(call, "dilation", rows, dims, 1);
    const std::string& padding = call.text("padding");
    if (padding == "same") {  // the odd one at the end
      g.pad_before = g.dilation * (g.taps - 1) / 2;
      g.pad_after = g.dilation * (g.taps - 1) - g.pad_before;
    } else if (padding != "valid") {
      g.pad_before = g.pad_after = number_of(call, "padding", rows, dims, 0);
    }
  }
  const int64_t batch = x.ndim() == dims + 2 ? x.dim(0) : 1;
  const ConvSize input{dims == 2 ? x.dim(-2) : 1, x.dim(-1)};
  ConvSize output{s.rows.out_length(input.height), s.cols.out_length(input.width)};
  if (transposed) {
    const auto more = [&](bool rows) { return number_of(call, "output_padding", rows, dims, 0); };
    output = {s.rows.transposed_length(input.height, more(true)),
              s.cols.transposed_length(input.width, more(false))};
  }
  Shape shape = x.shape;
  shape[shape.size() - static_cast<size_t>(dims) - 1] = s.out;
  if (dims == 2) shape[shape.size() - 2] = output.height;
  shape[shape.size() - 1] = output.width;
  Array& y = call.result(shape);
  const int64_t from_item = s.in * input.height * input.width;
  const int64_t to_item = s.out * output.height * output.width;
  const Fusion fusion = fusion_of(call);
  const PackedConv packed(w.data(), call.floats("bias"), s);
  call.in_pieces(batch, [&](int64_t first, int64_t count) {
    packed.run(x.data() + first * from_item, count, input, output, y.floats.get() + first * to_item,
               from(fusion, first * to_item));
  });
  const Array weight = new_array(w.shape);
  packed.unpack(weight.floats.get());
  require_same(call, weight.data(), w.data(), w.size(), "the unpacked weight");
}

void run_conv2d(Call& call) { run_conv(call, 2, false); }
void run_conv_transpose1d(Call& call) { run_conv(call, 1, true); }
void run_conv_transpose2d(Call& call) { run_conv(call, 2, true); }

struct Rows {
  int64_t count, n;
};
Rows rows_of(const Call& call, const Array& x) {
  const size_t trailing = call.integers("normalized_shape").size();
  const size_t leading = x.shape.size() - trailing;
  return {product(x.shape, 0, leading), product(x.shape, leading)};
}
float eps_of(const Call& call) {  // None is torch's: the spacing of floats at 1
  return call.has("eps") ? static_cast<float>(call.real("eps")) : 0x1p-23f;
}

void run_rms_norm(Call& call) {
  const Array& x = call.array("input");
  const Rows rows = rows_of(call, x);
  Array& y = call.result(x.shape);
  const float *weight = call.floats("weight"), eps = eps_of(call);
  call.in_pieces(rows.count, [&](int64_t first, int64_t count) {
    const int64_t at = first * rows.n;
    rms_norm(x.data() + at, weight, eps, count, rows.n, y.floats.get() + at);
  });
}

void run_add_rms_norm(Call& call) {
  const Array &x = call.array("input"), &residual = call.array("residual");
  const Rows rows = rows_of(call, x);
  Array &y = call.result(x.shape), &sum = call.result(x.shape);
  const float *weight = call.floats("weight"), eps = eps_of(call);
  call.in_pieces(rows.count, [&](int64_t first, int64_t count) {
    const int64_t at = first * rows.n;
    add_rms_norm(x.data() + at, residual.data() + at, weight, eps, count, rows.n,
                 y.floats.get() + at, sum.floats.get() + at);
  });
}

void run_add_layer_norm(Call& call) {
  const Array &x = call.array("input"), &residual = call.array("residual");
  const Rows rows = rows_of(call, x);
  Array &y = call.result(x.shape), &sum = call.result(x.shape);
  const float *weight = call.floats("weight"), *bias = call.floats("bias"), eps = eps_of(call);
  call.in_pieces(rows.count, [&](int64_t first, int64_t count) {
    const int64_t at = first * rows.n;
    add_layer_norm(x.data() + at, residual.data() + at, weight, bias, eps, count, rows.n,
                   y.floats.get() + at, sum.floats.get() + at);
  });
}

void run_layer_norm(Call& call) {
  const Array& x = call.array("input");
  const Rows rows = rows_of(call, x);
  Array& y = call.result(x.shape);
  const float *weight = call.floats("weight"), *bias = call.floats("bias"), eps = eps_of(call);
  call.in_pieces(rows.count, [&](int64_t first, int64_t count) {
    const int64_t at = first * rows.n;
    layer_norm(x.data() + at, weight, bias, eps, count, rows.n, y.floats.get() + at);
  });
}

void run_softmax(Call& call) {
  const Array& x = call.array("input");
  Array& y = call.result(x.shape);
  const size_t at = dimension_of(call, x);
  const auto run_rows = call.op() == "softmax" ? softmax : log_softmax;
  const int64_t n = x.shape.at(at), inner = product(x.shape, at + 1);
  call.in_pieces(product(x.shape, 0, at), [&](int64_t first, int64_t count) {
    const int64_t offset = first * n * inner;
    run_rows(x.data() + offset, count, n, inner, y.floats.get() + offset);
  });
}

void run_embedding(Call& call) {
  const Array &indices = call.array("indices"), &table = call.array("weight");
  const int64_t width = table.dim(1);
  Shape shape = indices.shape;
  shape.push_back(width);
  Array& y = call.result(shape);
  call.in_pieces(indices.size(), [&](int64_t first, int64_t count) {
    const int64_t* index = indices.integers.get() + first;
    const int64_t bad =
        embedding(index, count, table.data(), table.dim(0), width, y.floats.get() + first * width);
    if (bad >= 0) fail(call, "an index out of range");
  });
}

struct Runner {
  const char* op;
  void (*run)(Call& call);
};
constexpr Runner kRunners[] = {
    {"linear", run_linear},
    {"conv1d", run_conv1d},
    {"conv2d", run_conv2d},
    {"conv_transpose1d", run_conv_transpose1d},
    {"conv_transpose2d", run_conv_transpose2d},
    {"rms_norm", run_rms_norm},
    {"add_rms_norm", run_add_rms_norm},
    {"add_layer_norm", run_add_layer_norm},
    {"layer_norm", run_layer_norm},
    {"softmax", run_softmax},
    {"log_softmax", run_softmax},
    {"embedding", run_embedding},
    {"attention", run_attention},
    {"hardtanh", run_hardtanh},
    {"softplus", run_softplus},
    {"glu", run_glu},
    {"swiglu", run_swiglu},
    {"prelu", run_prelu},
    {"max_pool2d", run_max_pool},
    {"avg_pool2d", run_avg_pool},
    {"adaptive_avg_pool2d", run_adaptive_avg_pool},
    {"group_norm", run_group_norm},
    {"batch_norm", run_batch_norm},
    {"normalize", run_normalize},
    {"embedding_bag", run_embedding_bag},
    {"renorm", run_renorm},
    {"outer_product", run_outer_product},
    {"resize_nearest", run_resize},
    {"resize_linear", run_resize},
    {"rnn_tanh", run_recurrent},
    {"rnn_relu", run_recurrent},
    {"gru", run_recurrent},
    {"lstm", run_recurrent},
    {"rotary_table", run_rotary_table},
    {"rotary_embedding", run_rotary_embedding},
    {"matmul", run_matmul},
    {"sum", run_reduction},
    {"mean", run_reduction},
    {"var", run_reduction},
    {"sin", run_function},
    {"cos", run_function},
    {"pow", run_pow},
};

}  // namespace

void require_same(const Call& call, const float* a, const float* b, int64_t size,
                  const char* what) {
  for (int64_t i = 0; i < size; ++i) {
    if (std::memcmp(a + i, b + i, sizeof(float)) != 0 && !(a[i] != a[i] && b[i] != b[i])) {
      fail(call, std::string(what) + " differs at element " + std::to_string(i));
    }
  }
}

// An op of its own name, else an element-wise function.
void run(Call& call) {
  for (const Runner& runner : kRunners) {
    if (call.op() == runner.op) return runner.run(call);
  }
  run_unary(call);
}

}  // namespace tools
}  // namespace forwardpass
