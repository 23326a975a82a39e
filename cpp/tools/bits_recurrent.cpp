// How `bits` runs recurrent layers: forward ones in the pieces of --split along the sequence, with the
// state carried on; then once more with the batch first, and the weights unpacked again.
#include <algorithm>

#include "../ops.h"
#include "bits_runners.h"

namespace forwardpass {
namespace tools {
namespace {

void start(Array& state, const float* from) {
  if (from) {
    std::copy(from, from + state.size(), state.floats.get());
  } else {
    std::fill(state.floats.get(), state.floats.get() + state.size(), 0.0f);
  }
}

void same_weights(Call& call, const PackedRecurrent& packed) {
  const PackedRecurrent::Direction& d = packed.direction(0);
  const PackedLinear* parts[] = {&d.ih, &d.hh, d.hr.get()};
  const char* names[] = {"weight_ih", "weight_hh", "weight_hr"};
  for (int i = 0; i < 3; ++i) {
    if (!parts[i]) continue;
    const Array& weight = call.array(names[i]);
    const Array again = new_array(weight.shape);
    parts[i]->unpack(again.floats.get());
    require_same(call, again.data(), weight.data(), weight.size(), "an unpacked weight");
  }
}

// (a, b, n) to (b, a, n)
void transpose(const float* from, int64_t a, int64_t b, int64_t n, float* to) {
  for (int64_t i = 0; i < a; ++i) {
    for (int64_t j = 0; j < b; ++j) std::copy_n(from + (i * b + j) * n, n, to + (j * a + i) * n);
  }
}

void batch_first_again(Call& call, const PackedRecurrent& packed, const Array& x, const Array& y,
                       const float* h0, const float* c0) {
  const RecurrentShape& s = packed.shape();
  const int64_t steps = x.dim(0), batch = x.dim(1);
  const Array turned = new_array({batch, steps, s.in}), result = new_array({batch, steps, s.out});
  const Array back = new_array(y.shape);
  Array h = new_array({batch, s.out}), c = new_array({batch, s.hidden});
  start(h, h0);
  start(c, c0);
  transpose(x.data(), steps, batch, s.in, turned.floats.get());
  packed.run(turned.data(), steps, batch, true, result.floats.get(), h.floats.get(),
             c.floats.get());
  transpose(result.data(), batch, steps, s.out, back.floats.get());
  require_same(call, back.data(), y.data(), y.size(), "the result with the batch first");
}

}  // namespace

void run_recurrent(Call& call) {
  RecurrentShape s;
  s.cell = call.op() == "lstm"       ? Cell::lstm
           : call.op() == "gru"      ? Cell::gru
           : call.op() == "rnn_relu" ? Cell::rnn_relu
                                     : Cell::rnn_tanh;
  const Array &x = call.array("input"), &ih = call.array("weight_ih");
  const bool lstm = s.cell == Cell::lstm;
  s.in = ih.dim(1);
  s.hidden = ih.dim(0) / gate_count(s.cell);
  s.out = call.array("weight_hh").dim(1);
  s.reverse = call.integer("reverse") != 0;
  const float* hr = lstm && call.has("weight_hr") ? call.floats("weight_hr") : nullptr;
  const PackedRecurrent packed(s, {{ih.data(), call.floats("weight_hh"), call.floats("bias_ih"),
                                    call.floats("bias_hh"), hr}});
  const float *h0 = call.floats("h0"), *c0 = lstm ? call.floats("c0") : nullptr;
  const int64_t steps = x.dim(0), batch = x.dim(1);
  Array& y = call.result({steps, batch, s.out});
  Array& h = call.result({batch, s.out});
  Array* c = lstm ? &call.result({batch, s.hidden}) : nullptr;
  start(h, h0);
  if (c) start(*c, c0);
  const auto run = [&](int64_t first, int64_t count) {
    packed.run(x.data() + first * batch * s.in, count, batch, false,
               y.floats.get() + first * batch * s.out, h.floats.get(),
               c ? c->floats.get() : nullptr);
  };
  if (s.reverse) {
    run(0, steps);
  } else {
    call.in_pieces(steps, run);
  }
  batch_first_again(call, packed, x, y, h0, c0);
  same_weights(call, packed);
}

}  // namespace tools
}  // namespace forwardpass
