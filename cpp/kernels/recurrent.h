// What a recurrent layer does with its gates, once both products of a step are there: x holds
// W_ih x + b_ih, g holds W_hh h + b_hh, each with the gates of a row side by side, n apart. One
// addition joins the two; the order of the rest is below, line by line.
#pragma once

#include "../kernels.h"
#include "../simd/math.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

// One row of n hidden units: body(i, lanes) for 16 of them at a time.
template <class Body>
FP_INLINE void for_units(int64_t n, Body body) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) body(i, int64_t{16});
  if (i < n) body(i, n - i);
}
FP_INLINE f32x16 load_units(const float* p, int64_t lanes) {
  return lanes == 16 ? load(p) : load_n(p, lanes);
}
FP_INLINE void store_units(float* p, f32x16 v, int64_t lanes) {
  if (lanes == 16) {
    store(p, v);
  } else {
    store_n(p, v, lanes);
  }
}

// h = tanh(x + g)
void rnn_tanh_rows(const float* x, int64_t ldx, const float* g, int64_t rows, int64_t n, float* h,
                   float*) {
  for (int64_t r = 0; r < rows; ++r, x += ldx, g += n, h += n) {
    for_units(n, [&](int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
      store_units(h + i, tanh(add(load_units(x + i, lanes), load_units(g + i, lanes))), lanes);
    });
  }
}

// h = max(x + g, 0), NaN stays NaN
void rnn_relu_rows(const float* x, int64_t ldx, const float* g, int64_t rows, int64_t n, float* h,
                   float*) {
  for (int64_t r = 0; r < rows; ++r, x += ldx, g += n, h += n) {
    for_units(n, [&](int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
      const f32x16 sum = add(load_units(x + i, lanes), load_units(g + i, lanes));
      store_units(h + i, select(lt(sum, zero()), zero(), sum), lanes);
    });
  }
}

// c = sigmoid(f) c + sigmoid(i) tanh(g), the second product rounded, then one fma; h = sigmoid(o)
// tanh(c).
void lstm_rows(const float* x, int64_t ldx, const float* g, int64_t rows, int64_t n, float* h,
               float* c) {
  for (int64_t r = 0; r < rows; ++r, x += ldx, g += 4 * n, h += n, c += n) {
    for_units(n, [&](int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
      f32x16 gate[4];
      FP_UNROLL
      for (int k = 0; k < 4; ++k) {
        gate[k] = add(load_units(x + k * n + i, lanes), load_units(g + k * n + i, lanes));
      }
      const f32x16 input = mul(sigmoid(gate[0]), tanh(gate[2]));
      const f32x16 cell = fma(sigmoid(gate[1]), load_units(c + i, lanes), input);
      store_units(c + i, cell, lanes);
      store_units(h + i, mul(sigmoid(gate[3]), tanh(cell)), lanes);
    });
  }
}

// r = sigmoid(x_r + g_r), z = sigmoid(x_z + g_z), m = tanh(r g_n + x_n) with one fma, h = z (h - m)
// + m with one.
void gru_rows(const float* x, int64_t ldx, const float* g, int64_t rows, int64_t n, float* h,
              float*) {
  for (int64_t r = 0; r < rows; ++r, x += ldx, g += 3 * n, h += n) {
    for_units(n, [&](int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
      const f32x16 reset = sigmoid(add(load_units(x + i, lanes), load_units(g + i, lanes)));
      const f32x16 keep = sigmoid(add(load_units(x + n + i, lanes), load_units(g + n + i, lanes)));
      const f32x16 fresh =
          tanh(fma(reset, load_units(g + 2 * n + i, lanes), load_units(x + 2 * n + i, lanes)));
      store_units(h + i, fma(keep, sub(load_units(h + i, lanes), fresh), fresh), lanes);
    });
  }
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
