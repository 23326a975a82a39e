// parallel_for: the one way that work spreads over threads. parallel.cpp is the only file that
// knows OpenMP.
#pragma once

#include <stdint.h>

#include <string>

namespace forwardpass {

// Threads that an op may use now: threads(n) of this Python thread, else set_num_threads, else
// FORWARDPASS_NUM_THREADS, else OMP_NUM_THREADS, else min(CPU affinity, container quota).
int num_threads();
void set_num_threads(int n);      // process-wide; n >= 1
int push_thread_override(int n);  // for the calling thread; returns the one before, 0 = none
void pop_thread_override(int before);
std::string thread_source();  // where num_threads() comes from, in words
// Reads the environment once, so that a bad FORWARDPASS_NUM_THREADS fails at import, not mid-run.
// Throws std::runtime_error.
void check_thread_environment();

// What the threads come from: "pool" (pool.h) or "openmp", by FORWARDPASS_THREAD_BACKEND; both claim
// the same tiles, so the choice changes no result. A forked child of a process that used OpenMP's
// threads goes on with the pool.
std::string thread_backend();
void set_thread_backend(const std::string& name);  // throws std::runtime_error for a wrong name
bool built_with_openmp();

// Calls fn(tile) for each tile of [0, tiles), claimed one by one by at most `threads` threads, and
// returns when all are done. Runs serially for threads <= 1 and inside another parallel_for. fn must not throw. Which thread runs which tile is not fixed: tiles must be independent.
using TileFn = void (*)(void* context, int64_t tile);
void parallel_run(int64_t tiles, int threads, TileFn fn, void* context);

template <class Fn>
void parallel_for(int64_t tiles, int threads, const Fn& fn) {
  if (threads <= 1 || tiles <= 1) {
    for (int64_t t = 0; t < tiles; ++t) fn(t);
    return;
  }
  parallel_run(
      tiles, threads, [](void* context, int64_t tile) { (*static_cast<const Fn*>(context))(tile); },
      const_cast<void*>(static_cast<const void*>(&fn)));
}

// The threads worth using for `work` units where one thread wants at least `grain` of them.
inline int threads_for(int64_t work, int64_t grain) {
  if (work < 2 * grain) return 1;
  const int64_t most = work / grain, have = num_threads();
  return static_cast<int>(most < have ? most : have);
}

// Tiles in the order they are claimed in, to choose among ways to cut: `n` that take `each`, then `rest`
// that take `last`, no longer than those; runs of `alike` take the same.
struct Tiles {
  int64_t n, each, rest, last, alike;

  // About what the busiest thread has to do. An eighth of a tile more, since one of them may be late.
  int64_t busiest(int threads) const {
    const int64_t all = n + rest, share = (n * each + rest * last + threads - 1) / threads;
    const int64_t rounds = (all + threads - 1) / threads * each;
    const int64_t uneven = share + each < rounds ? share + each : rounds;
    return (alike % threads == 0 ? share : uneven) + each / 8;
  }
};

}  // namespace forwardpass
