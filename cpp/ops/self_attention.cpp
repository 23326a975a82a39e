// self_attention: the ops that it is made of, on queries, keys and values side by side.
#include <cstring>

#include "../ops.h"

namespace forwardpass {
namespace {

int64_t row_size(const SelfAttentionArgs& args) {
  return (args.heads + 2 * args.groups) * args.width;
}

void turn(const SelfAttentionArgs& args) {
  const int64_t row = row_size(args);
  RotaryArgs rotary;
  rotary.dims = {args.batch, args.length, args.heads + args.groups};
  rotary.x_step = rotary.y_step = {args.length * row, row, args.width};
  rotary.table_step = {0, args.pairs, 0};
  rotary.width = args.width;
  rotary.pairs = args.pairs;
  rotary.x = rotary.y = args.rows;
  rotary.cos = args.cos;
  rotary.sin = args.sin;
  rotary.interleaved = args.interleaved;
  rotary_embedding(rotary);
}

// One head of one row after the other.
void copy_to_cache(const SelfAttentionArgs& args, const float* from, float* to) {
  const int64_t row = row_size(args), bytes = args.width * static_cast<int64_t>(sizeof(float));
  for (int64_t b = 0; b < args.batch; ++b) {
    for (int64_t g = 0; g < args.groups; ++g) {
      float* y = to + ((b * args.groups + g) * args.capacity + args.offset) * args.width;
      const float* x = from + b * args.length * row + g * args.width;
      for (int64_t t = 0; t < args.length; ++t) {
        std::memcpy(y + t * args.width, x + t * row, static_cast<size_t>(bytes));
      }
    }
  }
}

void steps(int64_t* step, int64_t batch, int64_t head, int64_t position) {
  step[0] = batch;
  step[1] = head;
  step[2] = position;
}

}  // namespace

void self_attention(const SelfAttentionArgs& args) {
  if (args.cos) turn(args);
  const int64_t row = row_size(args), width = args.width;
  const float* keys = args.rows + args.heads * width;
  const float* values = keys + args.groups * width;
  AttentionArgs a;
  a.q = args.rows;
  a.y = args.y;
  a.batch = args.batch;
  a.heads = args.heads;
  a.kv_heads = args.groups;
  a.queries = args.length;
  a.keys = args.offset + args.length;
  a.width = a.value_width = width;
  a.causal = args.causal;
  a.offset = args.offset;
  a.scale = attention_scale(width);
  steps(a.q_step, args.length * row, width, row);
  steps(a.y_step, args.length * args.heads * width, width, args.heads * width);
  if (args.keys) {
    copy_to_cache(args, keys, args.keys);
    copy_to_cache(args, values, args.values);
    a.k = args.keys;
    a.v = args.values;
    steps(a.k_step, args.groups * args.capacity * width, args.capacity * width, width);
  } else {
    a.k = keys;
    a.v = values;
    steps(a.k_step, args.length * row, width, row);
  }
  steps(a.v_step, a.k_step[0], a.k_step[1], a.k_step[2]);
  attention(a);
}

}  // namespace forwardpass
