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

bool built_with_openmp();
// True in a child forked after a parallel region: the thread team did not survive, ops run
// serially.
bool serial_after_fork();

// Calls fn(tile) for each tile of [0, tiles), claimed one by one by at most `threads` threads, and
// returns when all are done. Runs serially for threads <= 1, inside another parallel_for and after
// a fork. fn must not throw. Which thread runs which tile is not fixed: tiles must be independent.
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

}  // namespace forwardpass
