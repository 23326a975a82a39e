#include "parallel.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "fpenv.h"
#include "pool.h"

#if defined(_OPENMP)
#include <omp.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#define FP_HAVE_FORK 1
#endif

namespace forwardpass {
namespace {

enum class Backend { pool, openmp };
constexpr const char* kNames[] = {"pool", "openmp"};

#if defined(_OPENMP)
constexpr bool kHaveOpenMP = true;
#else
constexpr bool kHaveOpenMP = false;
#endif

thread_local bool inside_region = false;

Backend backend_named(const std::string& name, const std::string& what) {
  if (name == kNames[0]) return Backend::pool;
  if (name == kNames[1] && kHaveOpenMP) return Backend::openmp;
  throw std::runtime_error(what + "'" + name + "' is not a thread backend of this build; choose " +
                           (kHaveOpenMP ? "one of: pool, openmp" : "pool"));
}

Backend backend_from_environment() {
  const char* name = std::getenv("FORWARDPASS_THREAD_BACKEND");
  return name && *name ? backend_named(name, "FORWARDPASS_THREAD_BACKEND=") : Backend::pool;
}

std::atomic<Backend>& backend() {
  static std::atomic<Backend> chosen{backend_from_environment()};
  return chosen;
}

#if defined(_OPENMP)
// libgomp keeps its team of threads across regions; a forked child inherits the bookkeeping but not
// the threads, and its next region would wait for them for ever. A child of a process that has
// entered a region goes on with the pool.
void leave_openmp_in_children() {
#if defined(FP_HAVE_FORK)
  static const int registered =
      pthread_atfork(nullptr, nullptr, [] { backend().store(Backend::pool); });
  (void)registered;
#endif
}

void openmp_run(int64_t tiles, int threads, TileFn fn, void* context) {
  std::atomic<int64_t> next{0};
  leave_openmp_in_children();
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

bool in_parallel() {
#if defined(_OPENMP)
  if (omp_in_parallel()) return true;
#endif
  return inside_region;
}

}  // namespace

std::string thread_backend() { return kNames[static_cast<int>(backend().load())]; }
void set_thread_backend(const std::string& name) { backend().store(backend_named(name, "")); }
bool built_with_openmp() { return kHaveOpenMP; }

void parallel_run(int64_t tiles, int threads, TileFn fn, void* context) {
  if (threads > tiles) threads = static_cast<int>(tiles);
  if (threads <= 1 || in_parallel()) {
    for (int64_t t = 0; t < tiles; ++t) fn(context, t);
    return;
  }
#if defined(_OPENMP)
  if (backend().load(std::memory_order_relaxed) == Backend::openmp) {
    openmp_run(tiles, threads, fn, context);
    return;
  }
#endif
  inside_region = true;
  pool_run(tiles, threads, fn, context);
  inside_region = false;
}

}  // namespace forwardpass
