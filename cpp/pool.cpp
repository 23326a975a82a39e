#include "pool.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#include "fpenv.h"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#define FP_HAVE_FORK 1
#endif

namespace forwardpass {
namespace {

// Turns of a waiting loop before the thread sleeps: tens of microseconds for a worker between two
// ops of a network, a few for the caller, whose sleep may give the CPU to the thread it waits for.
constexpr int kWorkerSpin = 2000;
constexpr int kCallerSpin = 200;

using Clock = std::chrono::steady_clock;
using Duration = Clock::duration;

// A helper that lost its CPU to another program in the middle of a tile keeps the caller waiting for a
// whole time slice, milliseconds. The loss tells that the machine is busy: for kRest times as long
// the caller works alone.
constexpr int kRest = 3;
constexpr Duration kWorthNoting = std::chrono::microseconds(200);

struct Job {
  int64_t tiles;
  TileFn fn;
  void* context;
  std::atomic<int64_t> next{0};

  void work() {
    for (int64_t t = next.fetch_add(1, std::memory_order_relaxed); t < tiles;
         t = next.fetch_add(1, std::memory_order_relaxed)) {
      fn(context, t);
    }
  }
};

class Pool {
 public:
  // False where another caller has the pool.
  bool run(Job& job, int helpers) {
    const std::unique_lock<std::mutex> turn(turn_, std::try_to_lock);
    if (!turn.owns_lock() || resting()) return false;
    open(job, helpers);
    const Clock::time_point start = Clock::now();
    job.work();
    const Clock::time_point end = Clock::now();
    if (!close()) note_wait(Clock::now() - end, (end - start) * (helpers + 1) / job.tiles);
    return true;
  }

 private:
  void open(Job& job, int helpers) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      while (workers_ < helpers && start_worker()) ++workers_;
      job_ = &job;
      places_ = helpers;
      posted_.fetch_add(1, std::memory_order_release);
    }
    for (int i = 0; i < helpers && i < workers_; ++i) wake_.notify_one();
  }

  bool resting() {
    if (rest_until_ == Clock::time_point()) return false;
    if (Clock::now() < rest_until_) return true;
    rest_until_ = Clock::time_point();
    return false;
  }

  // Waiting up to about the time of a tile is the usual end of a job.
  void note_wait(Duration waited, Duration tile) {
    const Duration lost = waited - 2 * tile;
    if (lost > kWorthNoting) rest_until_ = Clock::now() + kRest * lost;
  }

  // After this no worker enters the job, and those inside have left it. False where that took long.
  bool close() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      job_ = nullptr;
    }
    for (int i = 0; i < kCallerSpin; ++i) {
      if (inside_.load(std::memory_order_acquire) == 0) return true;
      cpu_pause();
    }
    std::unique_lock<std::mutex> lock(mutex_);
    left_.wait(lock, [this] { return inside_.load(std::memory_order_acquire) == 0; });
    return false;
  }

  bool start_worker() {
    try {
      std::thread([this] { serve(); }).detach();
      return true;
    } catch (const std::system_error&) {
      return false;  // the system has no more threads: go on with those there are
    }
  }

  void serve() {
    uint64_t seen = 0;
    while (true) {
      for (int i = 0; i < kWorkerSpin && posted_.load(std::memory_order_acquire) == seen; ++i) {
        cpu_pause();
      }
      Job* job = enter(seen);
      if (!job) continue;
      {
        const FloatEnvironment environment;
        job->work();
      }
      leave();
    }
  }

  // Sleeps until there is something newer than `seen`; null where it came too late for that.
  Job* enter(uint64_t& seen) {
    std::unique_lock<std::mutex> lock(mutex_);
    wake_.wait(lock, [&] { return posted_.load(std::memory_order_acquire) != seen; });
    seen = posted_.load(std::memory_order_acquire);
    if (!job_ || places_ == 0) return nullptr;
    --places_;
    inside_.fetch_add(1, std::memory_order_relaxed);
    return job_;
  }

  void leave() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (inside_.fetch_sub(1, std::memory_order_acq_rel) == 1) left_.notify_one();
  }

  std::mutex turn_;               // held by the caller whose job runs
  Clock::time_point rest_until_;  // under turn_: until then callers work alone
  std::mutex mutex_;
  std::condition_variable wake_, left_;
  std::atomic<uint64_t> posted_{0};
  std::atomic<int> inside_{0};
  Job* job_ = nullptr;
  int places_ = 0, workers_ = 0;
};

// Never destroyed: its threads may outlive the static objects of this library.
std::atomic<Pool*> the_pool{nullptr};

Pool& pool() {
  Pool* found = the_pool.load(std::memory_order_acquire);
  if (found) return *found;
#if defined(FP_HAVE_FORK)
  // A child has none of the threads, and perhaps a locked mutex: it starts with a pool of its own.
  static const int registered = pthread_atfork(nullptr, nullptr, [] { the_pool.store(nullptr); });
  (void)registered;
#endif
  Pool* made = new Pool;
  if (the_pool.compare_exchange_strong(found, made)) return *made;
  delete made;
  return *found;
}

}  // namespace

void pool_run(int64_t tiles, int threads, TileFn fn, void* context) {
  Job job{tiles, fn, context};
  if (!pool().run(job, threads - 1)) job.work();
}

}  // namespace forwardpass
