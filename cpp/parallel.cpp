#include "parallel.h"

#include <atomic>

#include "fpenv.h"

#if defined(_OPENMP)
#include <omp.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#define FP_HAVE_FORK 1
#endif

namespace forwardpass {
namespace {

std::atomic<bool> forked_child{false};
thread_local bool inside_region = false;

#if defined(_OPENMP)
// libgomp keeps its team of threads across regions; a forked child inherits the bookkeeping but not
// the threads, and its next region would wait for them for ever. So a child of a process that has
// entered a region runs serially from then on.
void watch_for_forks() {
#if defined(FP_HAVE_FORK)
  static const int registered =
      pthread_atfork(nullptr, nullptr, [] { forked_child.store(true, std::memory_order_relaxed); });
  (void)registered;
#endif
}

void run_region(int64_t tiles, int threads, TileFn fn, void* context) {
  std::atomic<int64_t> next{0};
  watch_for_forks();
#pragma omp parallel num_threads(threads)
  {
    const FloatEnvironment environment;
    inside_region = true;
    for (int64_t t = next.fetch_add(1, std::memory_order_relaxed); t < tiles;
         t = next.fetch_add(1, std::memory_order_relaxed)) {
      fn(context, t);
    }
    inside_region = false;
  }
}
#endif

}  // namespace

bool built_with_openmp() {
#if defined(_OPENMP)
  return true;
#else
  return false;
#endif
}

bool serial_after_fork() { return forked_child.load(std::memory_order_relaxed); }

void parallel_run(int64_t tiles, int threads, TileFn fn, void* context) {
#if defined(_OPENMP)
  if (threads > tiles) threads = static_cast<int>(tiles);
  if (threads > 1 && !inside_region && !serial_after_fork() && !omp_in_parallel()) {
    run_region(tiles, threads, fn, context);
    return;
  }
#else
  (void)threads;
#endif
  for (int64_t t = 0; t < tiles; ++t) fn(context, t);
}

}  // namespace forwardpass
