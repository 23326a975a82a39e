#include "pool.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#include "fpenv.h"
#include "placement.h"

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

// A system that wakes a thread after a pause may do so on the CPU of the one that woke it, beside an
// idle CPU. There one of the two waits for the other, for milliseconds. A worker that finds itself
// there goes elsewhere; and as a wake-up takes tens of microseconds, after kLate the caller, between
// two tiles, sends those that have not come to other CPUs.
constexpr Duration kLate = std::chrono::microseconds(40);
constexpr int kPlaced = 256;  // workers that the above looks after

struct Job {
  int64_t tiles;
  TileFn fn;
  void* context;
  int cpu = this_cpu();  // of the caller
  std::atomic<int64_t> next{0};

  bool step() {
    const int64_t t = next.fetch_add(1, std::memory_order_relaxed);
    if (t < tiles) fn(context, t);
    return t < tiles;
  }
};

struct Worker {
  std::atomic<ThreadId> id{kNoThread};
  std::atomic<uint64_t> seen{0};  // the last posting that it woke for
};

class Pool {
 public:
  // False where another caller has the pool.
  bool run(Job& job, int helpers) {
    const std::unique_lock<std::mutex> turn(turn_, std::try_to_lock);
    if (!turn.owns_lock() || resting()) return false;
    open(job, helpers);
    const Clock::time_point start = Clock::now();
    bool more = job.step();
    while (more && Clock::now() - start < kLate) more = job.step();
    if (more) place_late_workers();
    while (more) more = job.step();
    const Clock::time_point end = Clock::now();
    if (!close()) {
      note_wait(Clock::now() - end, end - start, (end - start) * (helpers + 1) / job.tiles);
    }
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

  // Only those asleep or queued are moved: the others have seen the posting.
  void place_late_workers() {
    const uint64_t posted = posted_.load(std::memory_order_relaxed);
    for (int i = 0; i < workers_ && i < kPlaced; ++i) {
      if (worker_[i].seen.load(std::memory_order_relaxed) == posted) continue;
      leave_this_cpu(worker_[i].id.load(std::memory_order_relaxed));
    }
  }

  bool resting() {
    if (rest_until_ == Clock::time_point()) return false;
    if (Clock::now() < rest_until_) return true;
    rest_until_ = Clock::time_point();
    return false;
  }

  // Waiting up to about the time of a tile is the usual end of a job, and a little more is not worth a
  // job without help.
  // Whole numbers: the caller's floating-point flags are its own.
  void note_wait(Duration waited, Duration worked, Duration tile) {
    const Duration lost = waited - 2 * tile;
    if (lost > kWorthNoting && lost > worked / 4) rest_until_ = Clock::now() + kRest * lost;
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
      std::thread([this, i = workers_] { serve(i); }).detach();
      return true;
    } catch (const std::system_error&) {
      return false;  // the system has no more threads: go on with those there are
    }
  }

  void serve(int index) {
    uint64_t seen = 0;
    Worker& self = worker_[index < kPlaced ? index : kPlaced];
    self.id.store(this_thread_id(), std::memory_order_relaxed);
    while (true) {
      for (int i = 0; i < kWorkerSpin && posted_.load(std::memory_order_acquire) == seen; ++i) {
        cpu_pause();
      }
      Job* job = enter(seen);
      self.seen.store(seen, std::memory_order_relaxed);
      if (!job) continue;
      if (job->cpu >= 0 && job->cpu == this_cpu()) leave_this_cpu(this_thread_id());
      {
        const FloatEnvironment environment;
        while (job->step()) continue;
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
  Worker worker_[kPlaced + 1];  // the last one stands for all that are too many
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
  if (pool().run(job, threads - 1)) return;
  while (job.step()) continue;
}

}  // namespace forwardpass
