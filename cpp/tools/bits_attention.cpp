// The runner of attention: the whole call, or its batch in pieces; then its queries two by two, which must
// give the same bits.
#include <algorithm>

#include "../ops.h"
#include "bits_runners.h"

namespace forwardpass {
namespace tools {
namespace {

// Steps of a contiguous array of at most four dimensions, 0 where it has one element.
void steps_of(const Array& array, int64_t* step, int dims) {
  int64_t size = 1;
  for (int i = dims - 1, from = static_cast<int>(array.ndim()) - 1; i >= 0; --i, --from) {
    const int64_t n = from < 0 ? 1 : array.dim(from);
    step[i] = n == 1 ? 0 : size;
    size *= n;
  }
}

AttentionArgs arguments(Call& call) {
  const Array &q = call.array("query"), &k = call.array("key"), &v = call.array("value");
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
  const auto rows = [](int64_t* step, int64_t heads, int64_t n, int64_t width) {
    step[0] = heads * n * width;
    step[1] = n * width;
    step[2] = width;
  };
  rows(args.q_step, args.heads, args.queries, args.width);
  rows(args.k_step, args.kv_heads, args.keys, args.width);
  rows(args.v_step, args.kv_heads, args.keys, args.value_width);
  rows(args.y_step, args.heads, args.queries, args.value_width);
  if (call.has("mask")) {
    args.bias = call.floats("mask");
    steps_of(call.array("mask"), args.mask_step, 4);
  }
  args.causal = call.integer("causal") != 0;
  args.offset = call.integer("offset");
  args.scale = call.has("scale") ? call.real("scale") : attention_scale(args.width);
  return args;
}

// Queries [first, first + count) of batch items [item, item + items).
void run_part(AttentionArgs args, int64_t item, int64_t items, int64_t first, int64_t count) {
  args.q += item * args.q_step[0] + first * args.q_step[2];
  args.k += item * args.k_step[0];
  args.v += item * args.v_step[0];
  args.y += item * args.y_step[0] + first * args.y_step[2];
  if (args.bias) args.bias += item * args.mask_step[0] + first * args.mask_step[2];
  args.batch = items;
  args.queries = count;
  args.offset += first;
  attention(args);
}

// The last `queries` positions as rows of queries, keys and values side by side, those before in a
// cache, where the arguments allow it: the same bits.
void compare_side_by_side(Call& call, const AttentionArgs& a, const Array& y) {
  const int64_t past = a.keys - a.queries, width = a.width;
  const bool plain = !a.bias && !a.seen && !call.has("scale") && a.value_width == width;
  if (!plain || a.kv_heads == 0 || a.offset != past) return;
  const int64_t parts = a.heads + 2 * a.kv_heads, size = a.batch * a.kv_heads * a.keys * width;
  const Array rows = new_array({a.batch, a.queries, parts * width});
  const Array keys = new_array({size}), values = new_array({size});
  std::copy(a.k, a.k + size, keys.floats.get());
  std::copy(a.v, a.v + size, values.floats.get());
  const auto copy = [&](const float* from, const int64_t* step, int64_t heads, int64_t at,
                        int64_t t0) {
    for (int64_t b = 0; b < a.batch; ++b) {
      for (int64_t t = 0; t < a.queries; ++t) {
        for (int64_t h = 0; h < heads; ++h) {
          const float* x = from + b * step[0] + h * step[1] + (t0 + t) * step[2];
          std::copy(x, x + width,
                    rows.floats.get() + ((b * a.queries + t) * parts + at + h) * width);
        }
      }
    }
  };
  copy(a.q, a.q_step, a.heads, 0, 0);
  copy(a.k, a.k_step, a.kv_heads, a.heads, past);
  copy(a.v, a.v_step, a.kv_heads, a.heads + a.kv_heads, past);
  const Array found = new_array({a.batch, a.queries, a.heads * width}), turned = new_array(y.shape);
  SelfAttentionArgs args;
  args.rows = rows.floats.get();
  args.y = found.floats.get();
  args.batch = a.batch;
  args.length = a.queries;
  args.heads = a.heads;
  args.groups = a.kv_heads;
  args.width = width;
  args.causal = a.causal;
  if (past) {
    args.keys = keys.floats.get();
    args.values = values.floats.get();
    args.capacity = a.keys;
    args.offset = past;
  }
  self_attention(args);
  for (int64_t b = 0; b < a.batch; ++b) {
    for (int64_t h = 0; h < a.heads; ++h) {
      for (int64_t t = 0; t < a.queries; ++t) {
        const float* x = found.data() + ((b * a.queries + t) * a.heads + h) * width;
        std::copy(x, x + width, turned.floats.get() + ((b * a.heads + h) * a.queries + t) * width);
      }
    }
  }
  require_same(call, turned.data(), y.data(), y.size(), "queries, keys and values side by side");
}

}  // namespace

void run_attention(Call& call) {
  AttentionArgs args = arguments(call);
  Array& y = call.result({args.batch, args.heads, args.queries, args.value_width});
  args.y = y.floats.get();
  call.in_pieces(args.batch, [&](int64_t item, int64_t items) {
    run_part(args, item, items, 0, args.queries);
  });
  const Array again = new_array(y.shape);
  args.y = again.floats.get();
  for (int64_t first = 0; first < args.queries; first += 2) {
    run_part(args, 0, args.batch, first, first + 2 < args.queries ? 2 : args.queries - first);
  }
  require_same(call, again.data(), y.data(), y.size(), "the result query by query");
  compare_side_by_side(call, args, y);
}

}  // namespace tools
}  // namespace forwardpass
