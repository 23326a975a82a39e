// How ops without weights to pack split their work: pieces of about kPiece elements.
#pragma once

#include <atomic>
#include <new>

#include "../parallel.h"
#include "../scratch.h"

namespace forwardpass {

constexpr int64_t kPiece = 1 << 14;       // elements: 64 KiB
constexpr int64_t kGrain = 1 << 15;       // elements worth a thread
constexpr int64_t kLightGrain = 1 << 16;  // where little is done with each
constexpr int64_t kStrip = 32;  // columns of an op that does not run over the last dimension
constexpr int64_t kPiecesPerThread = 8;

// A piece of n elements for that many threads: long streams, which the hardware follows (pieces of 64 KiB
// in turn are slower beyond the caches), in whole cache lines, so that no two threads write one.
inline int64_t piece_of(int64_t n, int threads) {
  constexpr int64_t kLeast = 1 << 12;
  const int64_t share = n / (threads * kPiecesPerThread) / 16 * 16;
  return share < kLeast ? kLeast : share;
}

// fn(first, count) over [0, n) in pieces of at most `piece`.
template <class Fn>
void in_pieces(int64_t n, int64_t piece, int threads, const Fn& fn) {
  if (threads <= 1) {
    fn(int64_t{0}, n);
    return;
  }
  parallel_for((n + piece - 1) / piece, threads, [&](int64_t i) {
    const int64_t first = i * piece;
    fn(first, first + piece < n ? piece : n - first);
  });
}

// The same over n elements.
template <class Fn>
void over_elements(int64_t n, const Fn& fn, int64_t grain = kGrain) {
  const int threads = threads_for(n, grain);
  in_pieces(n, piece_of(n, threads), threads, fn);
}

// The same over rows of n elements.
template <class Fn>
void over_rows(int64_t rows, int64_t n, const Fn& fn, int64_t grain = kGrain) {
  if (rows == 0 || n == 0) return;
  const int threads = threads_for(rows * n, grain);
  const int64_t piece = piece_of(rows * n, threads);
  in_pieces(rows, n < piece ? piece / n : 1, threads, fn);
}

// run(rows, count, y) over the middle dimension of x (outer, n, inner). Where that is not the last,
// columns become rows of scratch, a few cache lines of them at a time.
template <class Run>
void over_dimension(const float* x, int64_t outer, int64_t n, int64_t inner, float* y,
                    const Run& run) {
  if (inner == 1) {
    over_rows(outer, n, [&](int64_t r, int64_t count) { run(x + r * n, count, y + r * n); });
    return;
  }
  if (outer == 0 || n == 0 || inner == 0) return;
  const int64_t strips = (inner + kStrip - 1) / kStrip;
  std::atomic<bool> out_of_memory{false};
  parallel_for(outer * strips, threads_for(outer * n * inner, kGrain), [&](int64_t i) {
    const int64_t first = i % strips * kStrip, left = inner - first;
    const int64_t count = left < kStrip ? left : kStrip, at = i / strips * n * inner + first;
    Scratch scratch(kStrip * n);
    float* rows = scratch.data();
    if (!rows) {
      out_of_memory = true;
      return;
    }
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t c = 0; c < count; ++c) rows[c * n + j] = x[at + j * inner + c];
    }
    run(rows, count, rows);
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t c = 0; c < count; ++c) y[at + j * inner + c] = rows[c * n + j];
    }
  });
  if (out_of_memory) throw std::bad_alloc();
}

}  // namespace forwardpass
