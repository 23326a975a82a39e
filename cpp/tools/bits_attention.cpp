// The runner of attention: the whole call, or its batch in pieces; then its queries two by two, which must
// give the same bits.
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
}

}  // namespace tools
}  // namespace forwardpass
