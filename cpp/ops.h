// One entry per operation, on plain pointers: the door for C++. Each splits its work into tiles,
// owns packing and scratch, sets the floating-point environment, and gives the same bits for any
// number of threads. Shapes are trusted (cpp/binding checks them); memory may run out
// (std::bad_alloc). Arrays are contiguous float32 in row-major order.
#pragma once

#include <stdint.h>

#include "kernels.h"
#include "scratch.h"

namespace forwardpass {

constexpr int kNumericsVersion = 1;  // rises when any result's bits change: docs/numerics.md

struct Fusion {
  Unary activation = Unary::none;
  float param = 0.0f;               // leaky_relu's slope
  const float* residual = nullptr;  // shape of the result
};

// y[i] = f(x[i]); x == y allowed.
void unary(Unary f, const float* x, float* y, int64_t n, float param = 0.0f);

// low <= high. x == y allowed, also below.
void hardtanh(const float* x, float* y, int64_t n, float low, float high);
void softplus(const float* x, float* y, int64_t n, float beta, float threshold);
// y (outer, n, inner) from x (outer, 2 n, inner): first half * sigmoid(second half).
void glu(const float* x, int64_t outer, int64_t n, int64_t inner, float* y);
// y[i] = silu(gate[i]) * up[i].
void swiglu(const float* gate, const float* up, int64_t n, float* y);
// The same for rows of gate and up side by side: y (rows, n) from x (rows, 2 n).
void swiglu_halves(const float* x, int64_t rows, int64_t n, float* y);
// x > 0 ? x : x * weight[channel]; x (outer, channels, inner).
void prelu(const float* x, const float* weight, int64_t outer, int64_t channels, int64_t inner,
           float* y);

// A linear's weight (n, k) in the layout of one instruction set, which then also runs it.
class PackedLinear {
 public:
  PackedLinear(const float* weight, const float* bias, int64_t n, int64_t k);
  // y (m, n) from x (m, k).
  void run(const float* x, int64_t m, float* y, const Fusion& fusion) const;
  void unpack(float* weight) const;

  int64_t n() const { return n_; }
  int64_t k() const { return k_; }
  const float* bias() const { return bias_.capacity() ? bias_.data() : nullptr; }
  const char* isa() const { return kernels_->isa; }

 private:
  const Kernels* kernels_;
  int64_t n_, k_;
  FloatBuffer weight_, bias_;
};

// The same from a weight (n, k) as it is; panels are packed on the fly. Same bits.
void linear(const float* x, const float* weight, const float* bias, int64_t m, int64_t n, int64_t k,
            float* y, const Fusion& fusion);

struct Conv1dShape {
  int64_t in = 0, out = 0, taps = 0;  // in, out: all channels
  int64_t stride = 1, pad_left = 0, pad_right = 0, dilation = 1, groups = 1;

  // Length of the result, or <= 0 where the kernel does not fit into the padded input.
  int64_t out_length(int64_t length) const {
    const int64_t span = dilation * (taps - 1) + 1, padded = length + pad_left + pad_right;
    return padded < span ? 0 : (padded - span) / stride + 1;
  }
};

class PackedConv1d {
 public:
  // weight (out, in / groups, taps)
  PackedConv1d(const float* weight, const float* bias, const Conv1dShape& shape);
  // y (batch, out, out_length) from x (batch, in, length).
  void run(const float* x, int64_t batch, int64_t length, float* y, const Fusion& fusion) const;
  void unpack(float* weight) const;

  const Conv1dShape& shape() const { return shape_; }
  const float* bias() const { return bias_.capacity() ? bias_.data() : nullptr; }
  const char* isa() const { return kernels_->isa; }

 private:
  const Kernels* kernels_;
  Conv1dShape shape_;
  FloatBuffer weight_, bias_;
};

// Rows of n floats; y may be x. `weight`, `bias` may be null.
void rms_norm(const float* x, const float* weight, float eps, int64_t rows, int64_t n, float* y);
// sum = x + residual, y = rms_norm(sum).
void add_rms_norm(const float* x, const float* residual, const float* weight, float eps,
                  int64_t rows, int64_t n, float* y, float* sum);
void layer_norm(const float* x, const float* weight, const float* bias, float eps, int64_t rows,
                int64_t n, float* y);
// Over the middle dimension of x (outer, n, inner); y may be x.
void softmax(const float* x, int64_t outer, int64_t n, int64_t inner, float* y);
void log_softmax(const float* x, int64_t outer, int64_t n, int64_t inner, float* y);

// y[i] = table[index[i]] for rows of `width` floats. Returns the position of the first index that
// is not in [0, rows), or -1; then nothing of y is to be used.
template <class Index>
int64_t embedding(const Index* index, int64_t count, const float* table, int64_t rows,
                  int64_t width, float* y);

}  // namespace forwardpass
