// The kernel table: one set of function pointers per instruction set.
//
// A kernel is single-threaded, works on a range of its output, allocates nothing, throws nothing
// and has no state; cpp/ops splits the work and owns packing and scratch. The functions of a set
// are instantiated by cpp/isa/*.cpp, compiled once per set; dispatch.cpp picks a table.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace forwardpass {

// The one list of element-wise functions: table order, binding names and tests follow it.
#define FP_FOR_EACH_UNARY(X) \
  X(relu)                    \
  X(leaky_relu)              \
  X(relu6)                   \
  X(hardsigmoid)             \
  X(hardswish)               \
  X(elu)                     \
  X(mish)                    \
  X(gelu)                    \
  X(gelu_tanh)               \
  X(silu)                    \
  X(sigmoid)                 \
  X(tanh)                    \
  X(exp)                     \
  X(expm1)                   \
  X(log)                     \
  X(log1p)                   \
  X(erf)

enum class Unary : int {
#define FP_ENUM(name) name,
  FP_FOR_EACH_UNARY(FP_ENUM)
#undef FP_ENUM
      count,
  none = -1
};
constexpr int kUnaryCount = static_cast<int>(Unary::count);

// y[i] = f(x[i]); x == y is allowed. `param` is leaky_relu's slope, elu's alpha, unused elsewhere.
using UnaryFn = void (*)(const float* x, float* y, int64_t n, float param);
// The same with two parameters: hardtanh's bounds; softplus's beta and threshold.
using Unary2Fn = void (*)(const float* x, float* y, int64_t n, float p, float q);
// y[i] = f(a[i], b[i]); y may be a or b.
using BinaryFn = void (*)(const float* a, const float* b, float* y, int64_t n);

struct UnaryKernels {
  UnaryFn fn[kUnaryCount];
  Unary2Fn hardtanh, softplus;
  BinaryFn glu;     // a * sigmoid(b)
  BinaryFn swiglu;  // silu(a) * b
  BinaryFn prelu;   // a > 0 ? a : a * b
  UnaryFn scale;    // x * param
};

// What happens to a finished tile of a linear or conv1d while it is in L1: y = f(y + bias) +
// residual, each step rounded on its own. Null pointers mean the step is absent.
struct Epilogue {
  const float* bias = nullptr;
  UnaryFn activation = nullptr;
  float param = 0.0f;
  const float* residual = nullptr;  // laid out like the output
};

// y (m, n) = epilogue(x (m, k) * w (n, k)^T). Rows of x are `ldx` floats apart, y is contiguous.
struct LinearArgs {
  const float* x = nullptr;
  int64_t ldx = 0;
  const float* packed = nullptr;  // from LinearKernels::pack, or null:
  const float* raw = nullptr;     //   w itself, (n, k) contiguous; panels are packed into scratch
  float* y = nullptr;
  int64_t m = 0, n = 0, k = 0;
  Epilogue epilogue;
};

struct LinearKernels {
  int64_t mr;  // rows of a register tile
  int64_t nr;  // columns of a packed panel; ranges of columns start at multiples of it
  // Packs columns [n0, n1) of w (n, k) to where they belong in `packed` (n padded to 16, times k).
  void (*pack)(const float* w, int64_t n, int64_t k, int64_t n0, int64_t n1, float* packed);
  void (*unpack)(const float* packed, int64_t n, int64_t k, float* w);
  // Computes rows [m0, m1) and columns [n0, n1). `scratch` (nr * k floats) serves raw weights only.
  void (*run)(const LinearArgs& args, int64_t m0, int64_t m1, int64_t n0, int64_t n1,
              float* scratch);
};

// y (batch, groups * out, out_length) from x (batch, groups * in, length); `in` and `out` are the
// channels of one group.
struct Conv1dArgs {
  const float* x = nullptr;
  const float* packed = nullptr;
  float* y = nullptr;
  int64_t batch = 0, groups = 1, in = 0, out = 0;
  int64_t length = 0, out_length = 0;
  int64_t taps = 0, stride = 1, dilation = 1, pad_left = 0;
  Epilogue epilogue;
};

// One piece of a convolution: outputs [o0, o1) of one group at times [t0, t1) of one batch item.
struct Conv1dTile {
  int64_t b, g, o0, o1, t0, t1;
};

// The copy of the input that a tile works on: for each channel `phases` rows of `pitch` floats, row
// f holding x at every stride-th position. Tap j reads at tap_offset[j] from its channel's start.
struct Conv1dPlan {
  int64_t pitch = 0, phases = 0;
  const int64_t* phase_first = nullptr;  // per phase: input position of its first float at t0 = 0
  const int64_t* tap_offset = nullptr;   // per tap: phase row * pitch + shift in the row
};

struct Conv1dKernels {
  int64_t mr;  // output channels of a register tile
  // w (groups * out, in, taps) to blocks of at most mr output channels, each [in][taps][block].
  void (*pack)(const float* w, int64_t groups, int64_t out, int64_t reduction, float* packed);
  void (*unpack)(const float* packed, int64_t groups, int64_t out, int64_t reduction, float* w);
  // `scratch`: in * phases * pitch floats, plus 16 * 8 that vectors may read past the last row.
  void (*run)(const Conv1dArgs& args, const Conv1dPlan& plan, const Conv1dTile& tile,
              float* scratch);
};

// What conv2d and the transposed convolutions share: a grid of output positions (u, v), and taps
// that read the input at (step_h * u + row, step_w * v + col) for constants of their own.
//
// A convolution has one phase of outputs, all of them, and its stride as the step. A transposed one
// has step 1 and stride_h * stride_w phases: output (stride_h * u + i, stride_w * v + j) of phase
// (i, j), each with its own taps and weights.
struct Conv2dArgs {
  const float* x = nullptr;  // (batch, groups * in, height, width)
  const float* packed = nullptr;
  float* y = nullptr;  // (batch, groups * out, out_height, out_width)
  int64_t batch = 0, groups = 1, in = 0, out = 0;
  int64_t height = 0, width = 0, out_height = 0, out_width = 0;
  int64_t taps = 0;  // of all phases
  Epilogue epilogue;
};

// A copy of the input, every step-th row and column from (row, col) on, +0 outside the input.
struct Conv2dPlane {
  int64_t row, col;
};

struct Conv2dPhase {
  int64_t taps, taps_before;  // of this phase, of those before it
  const int64_t* tap_offset;  // per tap: from the channel's start in scratch
};

struct Conv2dPlan {
  int64_t step_h = 1, step_w = 1;
  int64_t phases_h = 1, phases_w = 1;
  const Conv2dPhase* phases = nullptr;  // phases_h * phases_w, by row then column
  int64_t planes = 0;
  const Conv2dPlane* plane = nullptr;
  int64_t plane_rows = 0, plane_cols = 0;  // what is copied of each plane
  int64_t pitch = 0;                       // floats between the rows of a plane
  int64_t plane_step = 0, channel_step = 0;
  int64_t staging = 0;   // floats of results that wait to be interleaved
  int64_t together = 1;  // 8, 4: so many planes are neighbouring columns, nowhere outside the input
  int64_t depthwise = 0;  // K where in = out = 1 and K x K taps have a kernel of their own; then
  int64_t top = 0, left = 0;  // the input position of the first tap of output (0, 0)
  bool in_place = false;      // one tap, step 1, one row: the input is its own plane
};

// Channels [o0, o1) of one group at grid rows [u0, u1) and columns [v0, v1) of one batch item.
struct Conv2dTile {
  int64_t b, g, o0, o1, u0, u1, v0, v1;
};

// A convolution with output channels in the lanes (kernels/conv_lanes.h). Positions are those of the
// output plane, counted through.
struct LanesPlan {
  int64_t step_h = 1, step_w = 1, row_taps = 1, col_taps = 1;
  const int64_t *row_at = nullptr, *col_at = nullptr;  // per tap of an axis: position at u, v = 0
  const int64_t* offset = nullptr;                     // per tap: row_at * width + col_at
  int64_t chunk = 1;                                   // input channels whose weights stay in L2
  int64_t block = 1, blocks = 1;                       // positions that meet them
  bool padded = false;  // some tap of some position lies outside the input
  bool finite = true;   // all weights
};

// Blocks [block0, block1) and channels [o0, o1), o0 a multiple of `panel`, of one group of one item.
struct LanesTask {
  int64_t b, g, o0, o1, block0, block1;
};

constexpr int64_t kConvOverread = 16 * 8;  // floats that vectors may touch past the planes

// `scratch` of a depthwise convolution: kDepthwiseRows rows of depthwise_pitch floats, at least the
// input's width.
constexpr int64_t kDepthwiseRows = 20;
constexpr int64_t depthwise_pitch(int64_t out_width) { return (out_width + 6 + 15) / 16 * 16 + 32; }

struct Conv2dKernels {
  int64_t mr;  // output channels of a register tile
  // `packed`: per group, block of at most mr channels, phase: [in][taps][channels of the block].
  // `scratch`: in * channel_step + kConvOverread floats, in place in * 16 + kConvOverread; `staging`:
  // plan.staging floats, at least 16 * mr * phases_w, where there are several phases.
  void (*run)(const Conv2dArgs& args, const Conv2dPlan& plan, const Conv2dTile& tile,
              float* scratch, float* staging);
  int64_t panel, sums;  // channels in lanes at once; floats between the sums of two positions
  // `packed`: per group, panel of at most `panel` channels, rounded up to 16 with zeros:
  // [in][taps][channels of the panel]. `scratch`: the taps and the positions of the largest block,
  // each rounded up to 16, the latter times `sums`.
  void (*run_lanes)(const Conv2dArgs& args, const LanesPlan& plan, const LanesTask& task,
                    float* scratch);
};

struct ConvKernels {
  Conv1dKernels conv1d;
  Conv2dKernels conv2d;
};

// Scaled dot-product attention. Query head h uses key and value head h / (heads / kv_heads). Steps
// are floats from one batch item, head and row to the next; the last dimension is contiguous.
struct AttentionArgs {
  const float *q = nullptr, *k = nullptr, *v = nullptr;
  float* y = nullptr;
  int64_t batch = 0, heads = 0, kv_heads = 0;
  int64_t queries = 0, keys = 0, width = 0, value_width = 0;
  int64_t q_step[3] = {}, k_step[3] = {}, v_step[3] = {}, y_step[3] = {};
  // At most one of: added to the scores (-inf: not seen); a byte a score, 0: not seen. Steps in
  // elements for batch item, head, query and key (0 or 1), 0 where it is the same for all.
  const float* bias = nullptr;
  const uint8_t* seen = nullptr;
  int64_t mask_step[4] = {};
  bool causal = false;  // query i sees keys 0 to offset + i
  int64_t offset = 0;
  double scale = 1.0;

  int64_t group() const { return heads / kv_heads; }
  // Keys [0, limit) that a causal query may see.
  int64_t limit(int64_t query) const {
    return causal && offset + query + 1 < keys ? offset + query + 1 : keys;
  }
};

struct AttentionKernels {
  int64_t rows;  // the most for `run` at a time where keys and values are 64 wide
  int64_t (*scratch)(const AttentionArgs& args, int64_t rows);  // floats that it then needs
  // Tiles [first, last). The rows of one key and value head, of which row r is query r / group of the
  // group's head r % group, are cut into tiles of `step`, the last rows' first; then come the next head's.
  void (*run)(const AttentionArgs& args, int64_t step, int64_t first, int64_t last, float* scratch);
};

enum class Reduction : int { sum, mean, var };

// Operations on rows of n floats, contiguous; x == y is allowed.
struct NormKernels {
  // y = rms_norm(z) * weight with z = x, or x + residual (stored to `sum`) where residual is given.
  void (*rms_norm)(const float* x, const float* residual, const float* weight, float eps,
                   int64_t rows, int64_t n, float* y, float* sum, bool past);
  // `past`: y goes past the caches; it is a multiple of 64 bytes then, as n of 16 floats.
  void (*layer_norm)(const float* x, const float* residual, const float* weight, const float* bias,
                     float eps, int64_t rows, int64_t n, float* y, float* sum, bool past);
  void (*softmax)(const float* x, int64_t rows, int64_t n, float* y);
  void (*log_softmax)(const float* x, int64_t rows, int64_t n, float* y);
  // x / max(||x||_p, eps), and x * (most / (||x||_p + 1e-7)) where ||x||_p > most.
  void (*normalize)(const float* x, float p, float eps, int64_t rows, int64_t n, float* y);
  void (*renorm)(const float* x, float p, float most, int64_t rows, int64_t n, float* y);
  // One group: `channels` of `inner` floats each, weight and bias a number a channel, or null.
  void (*group_norm)(const float* x, const float* weight, const float* bias, float eps,
                     int64_t channels, int64_t inner, float* y);
  // scale[c] = weight[c] / sqrt(var[c] + eps), the division first.
  void (*channel_scale)(const float* var, const float* weight, float eps, int64_t n, float* scale);
  // (x - mean) * scale + bias: of one channel, and of a row with a channel an element.
  void (*channel_norm)(const float* x, float mean, float scale, const float* bias, int64_t n,
                       float* y);
  void (*channels_norm)(const float* x, const float* mean, const float* scale, const float* bias,
                        int64_t n, float* y);
  // A number a row: the sum, that over divisor, or the sum of (x - mean)^2 over divisor.
  void (*reduce)(const float* x, int64_t rows, int64_t n, Reduction what, float divisor, float* y);
};

// Tables: rows gathered and joined, two rows blended, and rows turned by a table's angles.
enum class Bag : int { sum, mean, max };
struct TableKernels {
  // The `count` rows of `width` floats at index, joined; factors (or null) for sum.
  void (*bag)(const float* table, int64_t width, const int64_t* index, int64_t count,
              const float* factors, Bag mode, float* y);
  // p * a + q * b, three roundings
  void (*blend)(const float* a, const float* b, float p, float q, int64_t n, float* y);
  // A row turned by the angles whose cosines and sines are given, one a pair: pair i is
  // (x[i], x[pairs + i]), or (x[2 i], x[2 i + 1]). y may be x.
  void (*rotate_halves)(const float* x, const float* cos, const float* sin, int64_t pairs,
                        float* y);
  void (*rotate_pairs)(const float* x, const float* cos, const float* sin, int64_t pairs, float* y);
};

// Windows of a pooling. Output (i, j) of a plane takes rows row_first[i] + t * row_step, t <
// row_count[i], and columns likewise; all of them lie in the plane. Where col_stride is not 0, the
// columns are those of a sliding window: j * col_stride - lead + t * col_step, t < taps, of which
// the ones outside the plane count as -inf or +0.
struct PoolArgs {
  const float* x = nullptr;
  float* y = nullptr;
  int64_t height = 0, width = 0, out_height = 0, out_width = 0;
  const int64_t *row_first = nullptr, *row_count = nullptr;
  const int64_t *col_first = nullptr, *col_count = nullptr;
  int64_t row_step = 1, col_step = 1, col_stride = 0, taps = 0, lead = 0;
  const float *row_divisor = nullptr, *col_divisor = nullptr;  // avg: the product of the two
};

// Rows [r0, r1) of the output, those of all planes counted through. `pitch` floats of scratch a row
// of the input, kPoolRows + 1 rows.
constexpr int64_t kPoolRows = 8;
struct PoolKernels {
  void (*max)(const PoolArgs& args, int64_t r0, int64_t r1, float* scratch, int64_t pitch);
  void (*avg)(const PoolArgs& args, int64_t r0, int64_t r1, float* scratch, int64_t pitch);
};

// The kinds of recurrent layers, in the order of RecurrentKernels::gates.
enum class Cell : int { rnn_tanh, rnn_relu, lstm, gru };
constexpr int kCells = 4;
constexpr int64_t gate_count(Cell cell) {
  return cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1;
}

// A step of `rows` rows with n hidden units: from x (rows of W_ih x + b_ih, ldx apart) and g (the same
// of the hidden state, contiguous) the next h and, for lstm, the next c, in place.
constexpr int64_t kRowsAhead = 8;  // steps whose input products are made at a time
constexpr int64_t kUnit = 32;      // columns of them at a time
struct RecurrentKernels {
  void (*gates[kCells])(const float* x, int64_t ldx, const float* g, int64_t rows, int64_t n,
                        float* h, float* c);
  // The product `recur` of one row, all columns, from the left or from the right; and of `next`, which
  // has kRowsAhead rows, columns [u0, u1) * kUnit. Both packed, n a multiple of 64. Null where a set
  // of instructions has too few registers.
  void (*ahead)(const LinearArgs& recur, bool backwards, const LinearArgs& next, int64_t u0,
                int64_t u1);
};

// The machine's limits, for benchmarks.
struct ProbeKernels {
  double (*fma)(int64_t rounds);                // floating-point operations done
  float (*read)(const float* data, int64_t n);  // reads all but a remainder of 128
};

struct Kernels {
  const char* isa;
  const UnaryKernels* unary;
  const LinearKernels* linear;
  const Conv1dKernels* conv1d;
  const Conv2dKernels* conv2d;
  const AttentionKernels* attention;
  const NormKernels* norm;
  const PoolKernels* pool;
  const TableKernels* table;
  const RecurrentKernels* recurrent;
  const ProbeKernels* probe;
};

}  // namespace forwardpass
