// Recurrent layers: for each layer the input's products with W_ih, many steps at once, as one matrix
// product; then step by step the product with W_hh, and the gates.
//
// A step reads all of W_hh, from L2 where it fits: that is the limit for few rows. So up to kRows rows
// share each read, and every second step runs through the columns backwards, which finds what was read
// last still in the cache. Rows are independent: threads take rows, or one of two directions, each for
// all steps, and never wait for one another. Of a single row they share each step's product.
#include <atomic>
#include <cstring>

#include "../fpenv.h"
#include "../ops.h"
#include "../parallel.h"

namespace forwardpass {
namespace {

constexpr int64_t kGrain = 1 << 17;      // multiply-adds worth a thread
constexpr int64_t kProjected = 1 << 20;  // floats of input products at a time: 4 MiB
constexpr int64_t kRows = 24;            // rows of a piece: what it reads of W_hh is then free
constexpr int64_t kAheadMost = 3 << 17;  // floats of W_hh that L2 holds, or nearly
constexpr int64_t kColumns = 64;         // of W_hh at a time; a multiple of every panel's width
constexpr int64_t kShared = 1 << 16;     // floats of W_hh worth a thread: 2 us of reading

int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t ceil_div(int64_t n, int64_t by) { return (n + by - 1) / by; }

// Elements of a sequence: `row` floats from one row of the batch to the next, `step` from one step.
template <class T>
struct Sequence {
  T* data;
  int64_t step, row;
};

template <class T>
Sequence<T> sequence(T* data, int64_t steps, int64_t batch, int64_t width, bool batch_first) {
  if (batch_first) return {data, width, steps * width};
  return {data, batch * width, width};
}

// What one layer works on. The second of `products`, `h` and `c` belong to the second direction.
struct Layer {
  const RecurrentShape& shape;
  int64_t steps, batch;
  Sequence<const float> x;
  Sequence<float> y;  // data may be null
  bool batch_first;   // of x
  float *h, *c;
};

// Threads that share the product of one row's step, where there is nothing else to share.
int sharing(const Layer& layer, const PackedRecurrent::Direction& d) {
  if (layer.batch != 1 || layer.shape.directions() != 1) return 1;
  return threads_for(d.hh.n() * d.hh.k(), kShared);
}

// Whether one row's steps make the input products of later ones beside their own (ahead, kernels.h).
bool looks_ahead(const Layer& layer, const PackedRecurrent::Direction& d, int64_t steps) {
  const int64_t n = d.hh.n(), k = d.hh.k();
  if (sharing(layer, d) > 1) return false;
  return layer.batch == 1 && d.hh.table().recurrent->ahead && n % 64 == 0 && n * k <= kAheadMost &&
         d.ih.k() <= 4 * k && steps >= 2 * kRowsAhead;
}

// Steps [t0, t1) of one direction, in the order it takes them, and the input products of them.
struct Part {
  const PackedRecurrent::Direction& weights;
  int64_t index;  // of the direction
  bool reverse;
  int64_t t0, t1;
  Sequence<float> products;
  int64_t projected;  // steps whose products are made before the first; the rest is made ahead

  int64_t steps() const { return t1 - t0; }
  // Where `count` steps begin, the first of which is the i-th that is taken.
  int64_t time(int64_t i, int64_t count = 1) const { return reverse ? t1 - i - count : t0 + i; }
};

// W_ih x + b_ih of steps [t0, t1): one product where the steps are side by side, else one a row.
void project(const Layer& layer, const Part& part) {
  const PackedLinear& ih = part.weights.ih;
  const int64_t steps = part.projected, t = part.time(0, steps);
  const float* x = layer.x.data + t * layer.x.step;
  if (!layer.batch_first || layer.batch == 1 || steps == layer.steps) {
    float* to = part.products.data + (t - part.t0) * part.products.step;
    ih.run(x, steps * layer.batch, to, {});
    return;
  }
  for (int64_t b = 0; b < layer.batch; ++b) {
    ih.run(x + b * layer.x.row, steps, part.products.data + b * part.products.row, {});
  }
}

// y = x w^T + bias for a few rows, columns from the left or from the right.
void product(const LinearArgs& args, const LinearKernels& kernels, bool backwards) {
  if (!backwards) return kernels.run(args, 0, args.m, 0, args.n, nullptr);
  for (int64_t n1 = args.n, n0; n1 > 0; n1 = n0) {
    n0 = (n1 - 1) / kColumns * kColumns;
    kernels.run(args, 0, args.m, n0, n1, nullptr);
  }
}

// The same of one row, the columns spread over threads; in the order of the columns, so that each thread
// finds its own in its L2.
void product_shared(const LinearArgs& args, const LinearKernels& kernels, int threads) {
  const int64_t columns = ceil_div(ceil_div(args.n, threads), kColumns) * kColumns;
  parallel_for(ceil_div(args.n, columns), threads, [&](int64_t i) {
    kernels.run(args, 0, args.m, i * columns, min64(args.n, (i + 1) * columns), nullptr);
  });
}

// Of one row: its i-th step's product, and an eighth of the input products of the eight steps that
// come after those which have theirs.
void product_ahead(const Layer& layer, const Part& part, const LinearArgs& recur, int64_t i) {
  const int64_t behind = i - (part.projected - kRowsAhead);
  const int64_t block = part.projected + behind / kRowsAhead * kRowsAhead;
  if (behind < 0 || block >= part.steps()) {
    return product(recur, *part.weights.hh.table().linear, i % 2 != 0);
  }
  const int64_t t = part.time(block, kRowsAhead), share = behind % kRowsAhead;
  LinearArgs next = part.weights.ih.arguments();
  next.x = layer.x.data + t * layer.x.step;
  next.ldx = layer.x.step;
  next.y = part.products.data + (t - part.t0) * part.products.step;
  const int64_t units = next.n / kUnit;
  part.weights.hh.table().recurrent->ahead(recur, i % 2 != 0, next, share * units / kRowsAhead,
                                           (share + 1) * units / kRowsAhead);
}

int64_t scratch_of(const RecurrentShape& s, int64_t rows) { return rows * (s.gates() + s.hidden); }

// Rows [b0, b1) through the steps of a part.
void run_rows(const Layer& layer, const Part& part, int64_t b0, int64_t b1, float* scratch) {
  const RecurrentShape& s = layer.shape;
  const Kernels& table = part.weights.hh.table();
  const auto gates = table.recurrent->gates[static_cast<int>(s.cell)];
  const int64_t rows = b1 - b0, first = part.index * layer.batch + b0;
  float* h = layer.h + first * s.out;
  float* c = layer.c ? layer.c + first * s.hidden : nullptr;
  float* sums = scratch;
  float* cells = part.weights.hr ? scratch + rows * s.gates() : h;  // before the projection
  LinearArgs recur = part.weights.hh.arguments();
  recur.x = h;
  recur.y = sums;
  recur.m = rows;
  LinearArgs narrow = part.weights.hr ? part.weights.hr->arguments() : LinearArgs();
  narrow.x = cells;
  narrow.y = h;
  narrow.m = rows;
  const int threads = sharing(layer, part.weights);
  for (int64_t i = 0; i < part.steps(); ++i) {
    const int64_t t = part.time(i);
    if (threads > 1) {
      product_shared(recur, *table.linear, threads);
    } else if (part.projected < part.steps()) {
      product_ahead(layer, part, recur, i);
    } else {
      product(recur, *table.linear, i % 2 != 0);
    }
    const float* products =
        part.products.data + (t - part.t0) * part.products.step + b0 * part.products.row;
    gates(products, part.products.row, sums, rows, s.hidden, cells, c);
    if (part.weights.hr) product(narrow, *table.linear, false);
    if (!layer.y.data) continue;
    float* y = layer.y.data + t * layer.y.step + b0 * layer.y.row + part.index * s.out;
    for (int64_t r = 0; r < rows; ++r) {
      std::memcpy(y + r * layer.y.row, h + r * s.out, static_cast<size_t>(s.out) * sizeof(float));
    }
  }
}

// All parts, spread over threads by rows.
void run_parts(const Layer& layer, const Part* parts, int64_t count) {
  const RecurrentShape& s = layer.shape;
  const int threads =
      threads_for(count * parts[0].steps() * layer.batch * s.gates() * (s.out + 1), kGrain);
  const int64_t wanted = min64(ceil_div(threads, count), layer.batch);
  const int64_t pieces =
      wanted > ceil_div(layer.batch, kRows) ? wanted : ceil_div(layer.batch, kRows);
  std::atomic<bool> out_of_memory{false};
  parallel_for(count * pieces, threads, [&](int64_t i) {
    const int64_t b0 = i / count * layer.batch / pieces;
    const int64_t b1 = (i / count + 1) * layer.batch / pieces;
    Scratch scratch(scratch_of(s, b1 - b0));
    if (!scratch.data()) {
      out_of_memory = true;
      return;
    }
    run_rows(layer, parts[i % count], b0, b1, scratch.data());
  });
  if (out_of_memory) throw std::bad_alloc();
}

struct Held;  // tags of what a call holds
struct HeldProducts;
using Between = ScratchOf<Held>;
using Products = ScratchOf<HeldProducts>;

float* there(float* memory) {
  if (!memory) throw std::bad_alloc();
  return memory;
}

}  // namespace

PackedRecurrent::Direction::Direction(const RecurrentShape& shape, int64_t width,
                                      const RecurrentWeights& weights)
    : ih(weights.ih, weights.bias_ih, shape.gates(), width),
      hh(weights.hh, weights.bias_hh, shape.gates(), shape.out) {
  if (weights.hr) {
    hr = std::make_unique<PackedLinear>(weights.hr, nullptr, shape.out, shape.hidden);
  }
}

PackedRecurrent::PackedRecurrent(const RecurrentShape& shape,
                                 const std::vector<RecurrentWeights>& weights)
    : shape_(shape) {
  for (size_t i = 0; i < weights.size(); ++i) {
    const int64_t layer = static_cast<int64_t>(i) / shape.directions();
    directions_.push_back(std::make_unique<Direction>(shape, shape.width(layer), weights[i]));
  }
}

void PackedRecurrent::run(const float* x, int64_t steps, int64_t batch, bool batch_first, float* y,
                          float* h, float* c) const {
  if (batch == 0) return;
  const FloatEnvironment environment;
  const int64_t count = shape_.directions(), width = count * shape_.out;
  // Steps at a time, and the memory of their input products, of a layer's output, of two of them.
  const int64_t row = batch * shape_.gates();
  const int64_t chunk = min64(steps, kProjected / (count * row) + 1);
  const int64_t between = shape_.layers > 1 ? steps * batch * width : 0;
  Products products(count * chunk * row);
  Between layers(shape_.layers > 2 ? 2 * between : between);
  there(products.data());
  if (between) there(layers.data());
  Sequence<const float> input = sequence(x, steps, batch, shape_.in, batch_first);
  for (int64_t l = 0; l < shape_.layers; ++l) {
    const bool last = l + 1 == shape_.layers, first = l == 0;
    const Sequence<float> output =
        last ? sequence(y, steps, batch, width, batch_first)
             : sequence(layers.data() + l % 2 * between, steps, batch, width, false);
    const Layer layer{shape_,
                      steps,
                      batch,
                      input,
                      output,
                      first && batch_first,
                      h + l * count * batch * shape_.out,
                      c ? c + l * count * batch * shape_.hidden : nullptr};
    for (int64_t done = 0; done < steps; done += chunk) {
      const int64_t now = min64(chunk, steps - done);
      const auto part = [&](int64_t d) {
        const bool reverse = d == 1 || shape_.reverse;
        const int64_t t0 = reverse ? steps - done - now : done;
        const PackedRecurrent::Direction& weights = direction(l * count + d);
        float* memory = products.data() + d * chunk * row;
        const bool ahead = looks_ahead(layer, weights, now);
        return Part{weights,
                    d,
                    reverse,
                    t0,
                    t0 + now,
                    sequence(memory, now, batch, shape_.gates(), layer.batch_first),
                    ahead ? kRowsAhead + now % kRowsAhead : now};
      };
      const Part parts[2] = {part(0), part(count - 1)};
      for (int64_t d = 0; d < count; ++d) project(layer, parts[d]);
      run_parts(layer, parts, count);
    }
    input = {output.data, output.step, output.row};
  }
}

}  // namespace forwardpass
