// How `bits` runs activations with parameters, pooling, norms by channel, bags and resizing; see
// bits_ops.cpp.
#include <algorithm>
#include <cstring>

#include "../ops.h"
#include "bits_runners.h"

namespace forwardpass {
namespace tools {
namespace {

float number(const Call& call, const char* name) { return static_cast<float>(call.real(name)); }

// Rows, columns: an argument of one number or two.
struct Pair {
  int64_t rows, cols;
};
Pair pair_of(const Call& call, const char* name) {
  const Shape given = call.integers(name);
  return {given.front(), given.back()};
}

using Pool = void (*)(const float*, int64_t, const PoolAxis&, const PoolAxis&, float*);

void run_pool(Call& call, Pool pool, const PoolAxis& rows, const PoolAxis& cols) {
  const Array& x = call.array("input");
  Shape shape = x.shape;
  shape[shape.size() - 2] = rows.out;
  shape[shape.size() - 1] = cols.out;
  Array& y = call.result(shape);
  call.in_pieces(product(x.shape, 0, x.shape.size() - 2), [&](int64_t first, int64_t count) {
    pool(x.data() + first * rows.in * cols.in, count, rows, cols,
         y.floats.get() + first * rows.out * cols.out);
  });
}

// As integers, since comparing a signalling NaN sets a flag: one zero, one NaN.
uint32_t plain_bits(const float* value) {
  uint32_t u;
  std::memcpy(&u, value, sizeof u);
  return u << 1 == 0 ? 0 : u << 1 > 0xff000000u ? 0x7fc00000u : u;
}

struct Windows {
  PoolAxis rows, cols;
  Windows(Call& call, Pair dilation, bool include_pad) {
    const Array& x = call.array("input");
    const Pair kernel = pair_of(call, "kernel_size"), pad = pair_of(call, "padding");
    const Pair stride = call.has("stride") ? pair_of(call, "stride") : kernel;
    const bool ceil = call.integer("ceil_mode") != 0;
    rows = PoolAxis::sliding(x.dim(-2), kernel.rows, stride.rows, pad.rows, dilation.rows, ceil,
                             include_pad);
    cols = PoolAxis::sliding(x.dim(-1), kernel.cols, stride.cols, pad.cols, dilation.cols, ceil,
                             include_pad);
  }
};

}  // namespace

void run_hardtanh(Call& call) {
  const Array& x = call.array("input");
  Array& y = call.result(x.shape);
  const float low = number(call, "min_val"), high = number(call, "max_val");
  call.in_pieces(x.size(), [&](int64_t first, int64_t count) {
    hardtanh(x.data() + first, y.floats.get() + first, count, low, high);
  });
}

void run_softplus(Call& call) {
  const Array& x = call.array("input");
  Array& y = call.result(x.shape);
  const float beta = number(call, "beta"), threshold = number(call, "threshold");
  call.in_pieces(x.size(), [&](int64_t first, int64_t count) {
    softplus(x.data() + first, y.floats.get() + first, count, beta, threshold);
  });
}

void run_glu(Call& call) {
  const Array& x = call.array("input");
  const size_t at = dimension_of(call, x);
  const int64_t n = x.shape.at(at) / 2, inner = product(x.shape, at + 1);
  Shape shape = x.shape;
  shape[at] = n;
  Array& y = call.result(shape);
  call.in_pieces(product(x.shape, 0, at), [&](int64_t first, int64_t count) {
    glu(x.data() + first * 2 * n * inner, count, n, inner, y.floats.get() + first * n * inner);
  });
}

void run_swiglu(Call& call) {
  const Array &gate = call.array("gate"), &up = call.array("up");
  Array& y = call.result(gate.shape);
  call.in_pieces(gate.size(), [&](int64_t first, int64_t count) {
    swiglu(gate.data() + first, up.data() + first, count, y.floats.get() + first);
  });
  const int64_t n = gate.size();  // as one row, side by side
  Array both = new_array({2 * n}), halves = new_array({n});
  std::copy(gate.data(), gate.data() + n, both.floats.get());
  std::copy(up.data(), up.data() + n, both.floats.get() + n);
  swiglu_halves(both.data(), 1, n, halves.floats.get());
  require_same(call, halves.data(), y.data(), n, "the halves of a row");
}

void run_prelu(Call& call) {
  const Array &x = call.array("input"), &weight = call.array("weight");
  Array& y = call.result(x.shape);
  if (weight.size() == 1) {
    call.in_pieces(x.size(), [&](int64_t first, int64_t count) {
      unary(Unary::leaky_relu, x.data() + first, y.floats.get() + first, count, weight.data()[0]);
    });
    return;
  }
  const int64_t channels = x.dim(1), inner = product(x.shape, 2), item = channels * inner;
  call.in_pieces(x.dim(0), [&](int64_t first, int64_t count) {
    prelu(x.data() + first * item, weight.data(), count, channels, inner,
          y.floats.get() + first * item);
  });
}

void run_max_pool(Call& call) {
  const Windows windows(call, pair_of(call, "dilation"), true);
  run_pool(call, max_pool, windows.rows, windows.cols);
  const Array &x = call.array("input"), &y = *call.results().back();
  const int64_t in = windows.rows.in * windows.cols.in, out = windows.rows.out * windows.cols.out;
  const int64_t planes = in ? x.size() / in : 0;
  std::vector<int64_t> index(static_cast<size_t>(planes * out));
  max_pool_indices(x.data(), planes, windows.rows, windows.cols, index.data());
  for (int64_t i = 0; i < planes * out; ++i) {
    const int64_t at = i / out * in + index[static_cast<size_t>(i)];
    if (plain_bits(x.data() + at) != plain_bits(y.data() + i)) {
      throw std::runtime_error("max_pool2d: an index is not where the largest stands");
    }
  }
}

void run_avg_pool(Call& call) {
  Windows windows(call, {1, 1}, call.integer("count_include_pad") != 0);
  if (call.has("divisor_override")) {
    const auto divisor = static_cast<float>(call.integer("divisor_override"));
    windows.rows.divisor.assign(windows.rows.divisor.size(), divisor);
    windows.cols.divisor.assign(windows.cols.divisor.size(), 1.0f);
  }
  run_pool(call, avg_pool, windows.rows, windows.cols);
}

void run_adaptive_avg_pool(Call& call) {
  const Array& x = call.array("input");
  const Pair size = pair_of(call, "output_size");
  run_pool(call, avg_pool, PoolAxis::adaptive(x.dim(-2), size.rows),
           PoolAxis::adaptive(x.dim(-1), size.cols));
}

void run_group_norm(Call& call) {
  const Array& x = call.array("input");
  Array& y = call.result(x.shape);
  const float *weight = call.floats("weight"), *bias = call.floats("bias");
  const int64_t channels = x.dim(1), inner = product(x.shape, 2), item = channels * inner;
  call.in_pieces(x.dim(0), [&](int64_t first, int64_t count) {
    group_norm(x.data() + first * item, weight, bias, number(call, "eps"), count,
               call.integer("num_groups"), channels, inner, y.floats.get() + first * item);
  });
}

void run_batch_norm(Call& call) {
  const Array& x = call.array("input");
  Array& y = call.result(x.shape);
  const float *mean = call.floats("running_mean"), *var = call.floats("running_var");
  const float *weight = call.floats("weight"), *bias = call.floats("bias");
  const int64_t channels = x.dim(1), inner = product(x.shape, 2), item = channels * inner;
  call.in_pieces(x.dim(0), [&](int64_t first, int64_t count) {
    batch_norm(x.data() + first * item, mean, var, weight, bias, number(call, "eps"), count,
               channels, inner, y.floats.get() + first * item);
  });
}

void run_normalize(Call& call) {
  const Array& x = call.array("input");
  Array& y = call.result(x.shape);
  const size_t at = dimension_of(call, x);
  const int64_t n = x.ndim() ? x.shape.at(at) : 1, inner = product(x.shape, at + 1);
  const float p = number(call, "p"), eps = number(call, "eps");
  call.in_pieces(product(x.shape, 0, at), [&](int64_t first, int64_t count) {
    const int64_t offset = first * n * inner;
    normalize(x.data() + offset, p, eps, count, n, inner, y.floats.get() + offset);
  });
}

void run_renorm(Call& call) {
  const Array& x = call.array("input");
  Array& y = call.result(x.shape);
  const int64_t n = x.ndim() ? x.dim(-1) : 1;
  const float p = number(call, "norm_type"), most = number(call, "max_norm");
  call.in_pieces(n ? x.size() / n : 0, [&](int64_t first, int64_t count) {
    renorm(x.data() + first * n, p, most, count, n, y.floats.get() + first * n);
  });
}

void run_embedding_bag(Call& call) {
  const Array &index = call.array("indices"), &offsets = call.array("offsets");
  const Array& table = call.array("weight");
  const std::string& mode = call.text("mode");
  const Bag bag = mode == "sum" ? Bag::sum : mode == "mean" ? Bag::mean : Bag::max;
  const int64_t bags = offsets.size() - 1, width = table.dim(1);
  const float* factors = call.floats("per_sample_weights");
  Array& y = call.result({bags, width});
  call.in_pieces(bags, [&](int64_t first, int64_t count) {
    embedding_bag(index.integers.get(), offsets.integers.get() + first, count, table.data(), width,
                  factors, bag, y.floats.get() + first * width);
  });
}

void run_outer_product(Call& call) {
  const Array &a = call.array("input1"), &b = call.array("input2");
  const int64_t n = a.dim(1), m = b.dim(1);
  Array& y = call.result({a.dim(0), n * m});
  call.in_pieces(a.dim(0), [&](int64_t first, int64_t count) {
    outer_product(a.data() + first * n, b.data() + first * m, count, n, m,
                  y.floats.get() + first * n * m);
  });
}

void run_resize(Call& call) {
  const Array& x = call.array("input");
  const bool nearest = call.op() == "resize_nearest";
  const bool option = call.integer(nearest ? "exact" : "align_corners") != 0;
  const Resize rows{x.dim(-2), call.integer("height"), call.real("down")};
  const Resize cols{x.dim(-1), call.integer("width"), call.real("along")};
  Shape shape = x.shape;
  shape[shape.size() - 2] = rows.out;
  shape[shape.size() - 1] = cols.out;
  Array& y = call.result(shape);
  call.in_pieces(product(x.shape, 0, x.shape.size() - 2), [&](int64_t first, int64_t count) {
    (nearest ? resize_nearest : resize_linear)(x.data() + first * rows.in * cols.in, count, rows,
                                               cols, option,
                                               y.floats.get() + first * rows.out * cols.out);
  });
}

void run_rotary_table(Call& call) {
  const int64_t first = call.integer("first"), count = call.integer("count");
  const int64_t dim = call.integer("dim"), pairs = dim / 2;
  Array &cos = call.result({count, pairs}), &sin = call.result({count, pairs});
  call.in_pieces(count, [&](int64_t r, int64_t rows) {
    rotary_table(first + r, rows, dim, call.real("base"), cos.floats.get() + r * pairs,
                 sin.floats.get() + r * pairs);
  });
}

void run_rotary_embedding(Call& call) {
  const Array &x = call.array("input"), &cos = call.array("cos"), &sin = call.array("sin");
  Array& y = call.result(x.shape);
  RotaryArgs args;
  args.width = x.dim(-1);
  args.pairs = cos.dim(-1);
  args.interleaved = call.integer("interleaved") != 0;
  args.dims.assign(x.shape.begin(), x.shape.end() - 1);
  const size_t more = x.shape.size() - cos.shape.size();  // dimensions that the tables lack
  for (size_t d = 0; d < args.dims.size(); ++d) {
    args.x_step.push_back(product(x.shape, d + 1));
    const bool shared = d < more || cos.shape[d - more] == 1;
    args.table_step.push_back(shared ? 0 : product(cos.shape, d - more + 1));
  }
  args.y_step = args.x_step;
  const bool whole = args.dims.empty();
  call.in_pieces(whole ? 1 : args.dims[0], [&](int64_t first, int64_t count) {
    RotaryArgs part = args;
    if (!whole) part.dims[0] = count;
    part.x = x.data() + (whole ? 0 : first * args.x_step[0]);
    part.y = y.floats.get() + (whole ? 0 : first * args.y_step[0]);
    part.cos = cos.data() + (whole ? 0 : first * args.table_step[0]);
    part.sin = sin.data() + (whole ? 0 : first * args.table_step[0]);
    rotary_embedding(part);
  });
}

}  // namespace tools
}  // namespace forwardpass
