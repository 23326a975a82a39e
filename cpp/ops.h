// One entry per operation, on plain pointers: the door for C++. Each splits its work into tiles,
// owns packing and scratch, sets the floating-point environment, and gives the same bits for any
// number of threads. Shapes are trusted (cpp/binding checks them); memory may run out
// (std::bad_alloc). Arrays are contiguous float32 in row-major order.
#pragma once

#include <stdint.h>

#include <memory>
#include <vector>

#include "kernels.h"
#include "scratch.h"
#include "weight_buffer.h"

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
  // For ops that run the kernel themselves: everything of a product but x, m and y.
  LinearArgs arguments() const;
  const Kernels& table() const { return *kernels_; }

 private:
  const Kernels* kernels_;
  int64_t n_, k_;
  WeightBuffer weight_;
  FloatBuffer bias_;
};

// The same from a weight (n, k) as it is; panels are packed on the fly. Same bits.
void linear(const float* x, const float* weight, const float* bias, int64_t m, int64_t n, int64_t k,
            float* y, const Fusion& fusion);
// The same of rows that are `ldx` floats apart.
void linear_rows(const float* x, int64_t ldx, const float* weight, int64_t m, int64_t n, int64_t k,
                 float* y);

// y (dims, m, n) = a (dims, m, k) times b (dims, k, n), linear with b's columns as the weight. Steps
// are floats from one element of a dimension to the next, 0 where it is the same for all; a's last
// dimension is contiguous.
struct MatmulArgs {
  std::vector<int64_t> dims, a_step, b_step;  // in front of the matrices
  int64_t m = 0, n = 0, k = 0;
  int64_t a_row = 0, b_row = 0, b_column = 0;
  const float *a = nullptr, *b = nullptr;
  float* y = nullptr;
};
void matmul(const MatmulArgs& args);

// Recurrent layers: torch's names, layouts and order of gates (lstm i f g o, gru r z n).
struct RecurrentShape {
  Cell cell = Cell::lstm;
  int64_t in = 0, hidden = 0, out = 0;  // out: elements of h; hidden unless lstm projects it
  int64_t layers = 1;
  bool bidirectional = false;
  bool reverse = false;  // a single direction that runs from the last step to the first

  int64_t directions() const { return bidirectional ? 2 : 1; }
  int64_t gates() const { return gate_count(cell) * hidden; }
  // Of the input of a layer.
  int64_t width(int64_t layer) const { return layer == 0 ? in : directions() * out; }
};

// One direction of one layer.
struct RecurrentWeights {
  const float *ih = nullptr, *hh = nullptr;            // (gates, width), (gates, out)
  const float *bias_ih = nullptr, *bias_hh = nullptr;  // (gates,), or null
  const float* hr = nullptr;                           // (out, hidden), or null: no projection
};

class PackedRecurrent {
 public:
  // `weights` layer by layer, the forward direction first.
  PackedRecurrent(const RecurrentShape& shape, const std::vector<RecurrentWeights>& weights);
  // y (steps, batch, directions * out) from x (steps, batch, in), or both with the batch first. h
  // (layers * directions, batch, out) and for lstm c (.., hidden) hold the state before the first
  // step and then that behind the last. y may be null. steps >= 1.
  void run(const float* x, int64_t steps, int64_t batch, bool batch_first, float* y, float* h,
           float* c) const;

  struct Direction {
    Direction(const RecurrentShape& shape, int64_t width, const RecurrentWeights& weights);
    PackedLinear ih, hh;
    std::unique_ptr<PackedLinear> hr;
  };
  const RecurrentShape& shape() const { return shape_; }
  const Direction& direction(int64_t i) const { return *directions_.at(static_cast<size_t>(i)); }
  const char* isa() const { return directions_[0]->ih.isa(); }

 private:
  RecurrentShape shape_;
  std::vector<std::unique_ptr<Direction>> directions_;
};

struct Conv1dShape {
  int64_t in = 0, out = 0, taps = 0;  // in, out: all channels
  int64_t stride = 1, pad_left = 0, pad_right = 0, dilation = 1, groups = 1;

  // Length of the result, or <= 0 where the kernel does not fit into the padded input.
  int64_t out_length(int64_t length) const {
    const int64_t span = dilation * (taps - 1) + 1, padded = length + pad_left + pad_right;
    return padded < span ? 0 : (padded - span) / stride + 1;
  }
};

class PackedConv;

class PackedConv1d {
 public:
  // weight (out, in / groups, taps); one that serves `once` is packed the quick way.
  PackedConv1d(const float* weight, const float* bias, const Conv1dShape& shape, bool once = false);
  ~PackedConv1d();
  // y (batch, out, out_length) from x (batch, in, length).
  void run(const float* x, int64_t batch, int64_t length, float* y, const Fusion& fusion) const;
  void unpack(float* weight) const;

  const Conv1dShape& shape() const { return shape_; }
  const float* bias() const { return bias_.capacity() ? bias_.data() : nullptr; }
  const char* isa() const { return kernels_->isa; }

 private:
  const Kernels* kernels_;
  Conv1dShape shape_;
  std::unique_ptr<PackedConv> lanes_;  // where channels are in the lanes, with its own weight
  WeightBuffer weight_;
  FloatBuffer bias_;
};

// The same of a weight that is used once, (out, in / groups, taps), not packed where that is quicker.
void conv1d(const float* x, const float* weight, const float* bias, const Conv1dShape& shape,
            int64_t batch, int64_t length, float* y, const Fusion& fusion);

// One dimension of a convolution's kernel. A transposed convolution has stride, pad_before and
// dilation of the convolution that it transposes.
struct ConvGeometry {
  int64_t taps = 1, stride = 1, pad_before = 0, pad_after = 0, dilation = 1;

  int64_t span() const { return dilation * (taps - 1) + 1; }
  // Length of the result of a convolution, or 0 where the kernel does not fit.
  int64_t out_length(int64_t length) const {
    const int64_t padded = length + pad_before + pad_after;
    return padded < span() ? 0 : (padded - span()) / stride + 1;
  }
  // Length of the result of a transposed convolution, may be <= 0.
  int64_t transposed_length(int64_t length, int64_t output_padding) const {
    return (length - 1) * stride - pad_before - pad_after + span() + output_padding;
  }
};

// conv2d, or a transposed convolution in one (rows left alone) or two dimensions.
struct ConvShape {
  int64_t in = 0, out = 0, groups = 1;  // in, out: all channels
  ConvGeometry rows, cols;
  bool transposed = false;

  bool pointwise() const {
    const auto one = [](const ConvGeometry& g) {
      return g.taps == 1 && g.stride == 1 && g.pad_before == 0 && g.pad_after == 0;
    };
    return one(rows) && one(cols);
  }
};

struct ConvSize {
  int64_t height, width;
};

struct ConvLayout;

class PackedConv {
 public:
  // weight (out, in / groups, rows.taps, cols.taps), transposed (in, out / groups, ...).
  PackedConv(const float* weight, const float* bias, const ConvShape& shape);
  ~PackedConv();
  // y (batch, out, output) from x (batch, in, input); `output` by out_length or transposed_length.
  void run(const float* x, int64_t batch, const ConvSize& input, const ConvSize& output, float* y,
           const Fusion& fusion) const;
  void unpack(float* weight) const;

  const ConvShape& shape() const { return shape_; }
  const float* bias() const { return bias_.capacity() ? bias_.data() : nullptr; }
  const char* isa() const { return kernels_->isa; }

 private:
  int64_t weight_size() const;  // of one group, as packed_size()
  int64_t packed_size() const;
  template <class Fn>
  void for_each_weight(const Fn& fn) const;

  const Kernels* kernels_;
  ConvShape shape_;
  std::unique_ptr<ConvLayout> layout_;
  bool lanes_, finite_ = true;  // output channels in the lanes; weights without infinities and NaN
  WeightBuffer weight_;
  FloatBuffer bias_;
};

// softmax(q k^T scale + mask) v for each head, see AttentionArgs. Memory does not grow with the
// scores.
void attention(const AttentionArgs& args);
// 1 / sqrt(width), and 1 for an empty width; the usual AttentionArgs::scale.
double attention_scale(int64_t width);

// Rows of n floats; y may be x. `weight`, `bias` may be null.
void rms_norm(const float* x, const float* weight, float eps, int64_t rows, int64_t n, float* y);
// sum = x + residual, y = rms_norm(sum).
void add_rms_norm(const float* x, const float* residual, const float* weight, float eps,
                  int64_t rows, int64_t n, float* y, float* sum);
// sum = x + residual, y = layer_norm(sum).
void add_layer_norm(const float* x, const float* residual, const float* weight, const float* bias,
                    float eps, int64_t rows, int64_t n, float* y, float* sum);
void layer_norm(const float* x, const float* weight, const float* bias, float eps, int64_t rows,
                int64_t n, float* y);
// Over the middle dimension of x (outer, n, inner); y may be x.
void softmax(const float* x, int64_t outer, int64_t n, int64_t inner, float* y);
void log_softmax(const float* x, int64_t outer, int64_t n, int64_t inner, float* y);

// y (outer, inner) from x (outer, n, inner): sum, mean, or the variance over n - correction.
void reduce(const float* x, int64_t outer, int64_t n, int64_t inner, Reduction what,
            int64_t correction, float* y);

// In double, rounded once. pow: `one_base`, `one_exponent`: one number for all.
void sine(const float* x, float* y, int64_t n);
void cosine(const float* x, float* y, int64_t n);
void pow(const float* x, const float* exponent, int64_t n, bool one_base, bool one_exponent,
         float* y);

void normalize(const float* x, float p, float eps, int64_t outer, int64_t n, int64_t inner,
               float* y);
// Rows longer than `most` by their p-norm are scaled to it; y may be x.
void renorm(const float* x, float p, float most, int64_t rows, int64_t n, float* y);
// x (batch, channels, inner), the channels in `groups` groups.
void group_norm(const float* x, const float* weight, const float* bias, float eps, int64_t batch,
                int64_t groups, int64_t channels, int64_t inner, float* y);
void batch_norm(const float* x, const float* mean, const float* var, const float* weight,
                const float* bias, float eps, int64_t batch, int64_t channels, int64_t inner,
                float* y);

// y (rows, n m): every a[i] * b[j] of a row; a (rows, n), b (rows, m).
void outer_product(const float* a, const float* b, int64_t rows, int64_t n, int64_t m, float* y);
// Bag i joins the rows of table at index[offset[i]] .. index[offset[i + 1] - 1]; factors of each
// index or null. Indices and offsets are trusted.
void embedding_bag(const int64_t* index, const int64_t* offset, int64_t bags, const float* table,
                   int64_t width, const float* factors, Bag mode, float* y);

// Cosines and sines of the angles p * base^(-2 i / dim), i < dim / 2, for the `count` positions p from
// `first` on: two arrays (count, dim / 2), rounded once from our own double precision. base >= 1,
// positions in [0, kMostPosition].
constexpr int64_t kMostPosition = int64_t{1} << 31;
void rotary_table(int64_t first, int64_t count, int64_t dim, double base, float* cos, float* sin);
// The same at other frequencies, one for each pair; and those that rotary_table has.
void rotary_table(int64_t first, int64_t count, const std::vector<double>& frequencies, float* cos,
                  float* sin);
std::vector<double> rotary_frequencies(int64_t dim, double base);

// Rows of `width` floats, the first 2 * pairs of each turned by the angles of its row of the tables,
// the rest copied. Every array has steps in floats over `dims`; y may be x where the steps agree.
struct RotaryArgs {
  std::vector<int64_t> dims;  // in front of the row
  std::vector<int64_t> x_step, y_step, table_step;
  int64_t width = 0, pairs = 0;
  const float *x = nullptr, *cos = nullptr, *sin = nullptr;
  float* y = nullptr;
  bool interleaved = false;  // pairs of neighbours instead of halves
};
void rotary_embedding(const RotaryArgs& args);

// Self-attention of rows (batch, length, (heads + 2 groups) * width), each a position's queries, keys
// and values side by side, as one product of all three gives them; y (batch, length, heads * width).
// rotary_embedding, the copy to a cache and attention, in one call.
struct SelfAttentionArgs {
  float* rows = nullptr;  // queries and keys are turned in place, where there are tables
  float* y = nullptr;
  int64_t batch = 0, length = 0, heads = 0, groups = 0, width = 0;
  const float *cos = nullptr, *sin = nullptr;  // (length, pairs), or null
  int64_t pairs = 0;
  bool interleaved = false;
  // (batch, groups, capacity, width), or null: keys and values are written behind the `offset`
  // positions that are there, all of which take part.
  float *keys = nullptr, *values = nullptr;
  int64_t capacity = 0, offset = 0;
  bool causal = false;
};
void self_attention(const SelfAttentionArgs& args);

// Sizes and torch's scale (0: none given) of one dimension that is resized.
struct Resize {
  int64_t in, out;
  double scale;
};
// y (planes, rows.out, cols.out) from x (planes, rows.in, cols.in); no size is 0. nearest copies;
// `exact` takes pixel centres.
void resize_nearest(const float* x, int64_t planes, const Resize& rows, const Resize& cols,
                    bool exact, float* y);
void resize_linear(const float* x, int64_t planes, const Resize& rows, const Resize& cols,
                   bool align_corners, float* y);

// The windows of a pooling along one dimension of n elements.
struct PoolAxis {
  int64_t in = 0, out = 0;
  std::vector<int64_t> first, count;      // of each output: what lies inside
  std::vector<float> divisor;             // of each output: elements an average counts
  int64_t step = 1;                       // dilation
  int64_t stride = 0, taps = 0, pad = 0;  // of a sliding window; stride 0: windows of any kind

  // As torch counts: with `ceil` a last window may begin inside the input or its left padding and
  // end outside. With `include_pad` an average counts padding that the window covers.
  static PoolAxis sliding(int64_t in, int64_t taps, int64_t stride, int64_t pad, int64_t dilation,
                          bool ceil, bool include_pad);
  // Output i covers [floor(i in / out), ceil((i + 1) in / out)).
  static PoolAxis adaptive(int64_t in, int64_t out);
  static int64_t sliding_size(int64_t in, int64_t taps, int64_t stride, int64_t pad,
                              int64_t dilation, bool ceil);
};

// y (planes, rows.out, cols.out) from x (planes, rows.in, cols.in).
void max_pool(const float* x, int64_t planes, const PoolAxis& rows, const PoolAxis& cols, float* y);
void avg_pool(const float* x, int64_t planes, const PoolAxis& rows, const PoolAxis& cols, float* y);
// Where each maximum stands in its plane, row * cols.in + column: the first of the largest in
// row-major order, or the last NaN.
void max_pool_indices(const float* x, int64_t planes, const PoolAxis& rows, const PoolAxis& cols,
                      int64_t* index);

// y[i] = table[index[i]] for rows of `width` floats. Returns the position of the first index that
// is not in [0, rows), or -1; then nothing of y is to be used.
template <class Index>
int64_t embedding(const Index* index, int64_t count, const float* table, int64_t rows,
                  int64_t width, float* y);

}  // namespace forwardpass
