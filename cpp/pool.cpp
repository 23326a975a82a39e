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
constexpr int kWorkerSpin = 2000, kCallerSpin = 200, kMutexSpin = 50;

using Clock = std::chrono::steady_clock;
using Duration = Clock::duration;

// A thread that loses its CPU to another program in the middle of the last tile keeps the others waiting
// for a whole time slice, milliseconds. Whoever waits for it looks whether it runs, and if not gives it
// its own CPU: caller and workers do that for one another. The caller spins for kLooks looks while
// all that it waits for run, since who sleeps beside a busy program does not get the CPU back at once.
// Then, or with its CPU given away, it sleeps, and looks again after every kNap.
constexpr int kLooks = 200;
constexpr Duration kNap = std::chrono::milliseconds(1);

// A system that wakes a thread after a pause may do so on the CPU of the one that woke it, beside an
// idle CPU. There one of the two waits for the other, for milliseconds. A worker that finds itself
// there goes elsewhere; and as a wake-up takes tens of microseconds, after kLate the caller, between
// two tiles, sends those that have not come to other CPUs, and after kAgain once more.
constexpr Duration kLate = std::chrono::microseconds(40), kAgain = std::chrono::microseconds(200);
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

thread_local ThreadId caller_id = kNoThread;  // once known; another one in a forked child

struct Worker {
  std::atomic<ThreadId> id{kNoThread};
  std::atomic<uint64_t> seen{0};    // the last posting that it woke for
  std::atomic<bool> inside{false};  // a job
  Watch watch;                      // of the waiting caller
};

class Pool {
 public:
  // False where another caller has the pool.
  bool run(Job& job, int helpers) {
    const std::unique_lock<std::mutex> turn(turn_, std::try_to_lock);
    if (!turn.owns_lock()) return false;
    if (open(job, helpers)) late_ = Clock::now() + kLate;
    bool more = job.step();
    while (more && Clock::now() < late_) more = job.step();
    if (more) place_late_workers();
    while (more) more = job.step();
    close();
    return true;
  }

 private:
  // Whether all helpers have seen the job before this one. Those that have not are on their way since
  // then: a row of jobs shorter than kLate must not count anew each time.
  bool open(Job& job, int helpers) {
    bool all_there = true;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      const uint64_t before = posted_.load(std::memory_order_relaxed);
      for (int i = 0; i < helpers && i < workers_ && i < kPlaced; ++i)
        all_there = all_there && worker_[i].seen.load(std::memory_order_relaxed) == before;
      while (workers_ < helpers && start_worker()) ++workers_;
      job_ = &job;
      places_ = helpers;
      if (!caller_id) caller_id = this_thread_id();
      caller_.store(caller_id, std::memory_order_relaxed);
      posted_.fetch_add(1, std::memory_order_release);
    }
    for (int i = 0; i < helpers && i < workers_; ++i) wake_.notify_one();
    return all_there;
  }

  // Only those asleep or queued are moved: the others have seen the posting.
  void place_late_workers() {
    const uint64_t posted = posted_.load(std::memory_order_relaxed);
    for (int i = 0; i < workers_ && i < kPlaced; ++i) {
      if (worker_[i].seen.load(std::memory_order_relaxed) == posted) continue;
      move_thread(leave_this_cpu, worker_[i].id.load(std::memory_order_relaxed));
    }
    late_ = Clock::now() + kAgain;
  }

  // After this no worker enters the job, and those inside have left it.
  void close() {
    if (const std::unique_lock<std::mutex> lock = hold()) job_ = nullptr;
    caller_.store(kNoThread, std::memory_order_relaxed);
    if (left_within_a_spin()) return;
    for (int i = 0; i < workers_ && i < kPlaced; ++i) worker_[i].watch.restart();
    for (int looks = kLooks; true; looks = 2) {
      for (int look = 0; look < looks && !gave_cpu_to_workers(); ++look) {
        if (left_within_a_spin()) return;
      }
      if (left_within_a_nap()) return;
    }
  }

  bool left_within_a_spin() {
    for (int i = 0; i < kCallerSpin; ++i) {
      if (inside_.load(std::memory_order_acquire) == 0) return true;
      cpu_pause();
    }
    return false;
  }

  bool left_within_a_nap() {
    std::unique_lock<std::mutex> lock(mutex_);
    napping_.store(true);
    const bool left = left_.wait_for(lock, kNap, [this] { return inside_.load() == 0; });
    napping_.store(false);
    return left;
  }

  // Whether a worker inside has not run since the last look.
  bool gave_cpu_to_workers() {
    bool given = false;
    for (int i = 0; i < workers_ && i < kPlaced; ++i) {
      Worker& worker = worker_[i];
      const ThreadId id = worker.id.load(std::memory_order_relaxed);
      if (!worker.inside.load(std::memory_order_relaxed) || !worker.watch.stalled(id)) continue;
      move_thread(join_this_cpu, id);
      given = true;
    }
    return given;
  }

  // One move at a time: a second one would take the first one's mask for what the thread may run on,
  // and put that back. A move is only a help, so nobody waits for it.
  void move_thread(void (*move)(ThreadId), ThreadId id) {
    const std::unique_lock<std::mutex> turn(moving_, std::try_to_lock);
    if (turn.owns_lock()) move(id);
  }

  // The mutex is held for less than a sleep and its end take.
  std::unique_lock<std::mutex> hold() {
    std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    for (int i = 0; i < kMutexSpin && !lock.owns_lock(); ++i) {
      cpu_pause();
      if (lock.try_lock()) return lock;
    }
    if (!lock.owns_lock()) lock.lock();
    return lock;
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
    bool beside = false;  // on the CPU of a caller, who wants it
    Worker& self = worker_[index < kPlaced ? index : kPlaced];
    self.id.store(this_thread_id(), std::memory_order_relaxed);
    while (true) {
      if (!beside) look_for_work(seen, self);
      beside = false;
      Job* job = enter(seen, self);
      self.seen.store(seen, std::memory_order_relaxed);
      if (!job) continue;
      if (job->cpu >= 0 && job->cpu == this_cpu()) move_thread(leave_this_cpu, this_thread_id());
      {
        const FloatEnvironment environment;
        while (job->step()) continue;
      }
      beside = job->cpu >= 0 && job->cpu == this_cpu();
      leave(self);
    }
  }

  // Looks for work a while, and as long as the caller has not done its own: who may need this CPU.
  void look_for_work(uint64_t seen, Worker& self) {
    Watch watch;
    const auto posted = [&] { return posted_.load(std::memory_order_acquire) != seen; };
    while (true) {
      for (int i = 0; i < kWorkerSpin && !posted(); ++i) {
        if (i >= kWorkerSpin / 2 && i % kCallerSpin == 0 && gave_cpu_to_caller(watch, self)) break;
        cpu_pause();
      }
      if (posted() || caller_.load(std::memory_order_relaxed) == kNoThread) return;
      std::unique_lock<std::mutex> lock(mutex_);
      if (wake_.wait_for(lock, kNap, posted)) return;
      watch.restart();
    }
  }

  // Whether the caller is at work and has not run since the last look. Inside the job meanwhile: the
  // caller does not return before it may run again wherever it could.
  bool gave_cpu_to_caller(Watch& watch, Worker& self) {
    const ThreadId id = caller_.load(std::memory_order_relaxed);
    if (id == kNoThread || !watch.stalled(id)) return false;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!job_ || caller_.load(std::memory_order_relaxed) != id) return false;
      go_inside(self);
    }
    move_thread(join_this_cpu, id);
    leave(self);
    return true;
  }

  // Sleeps until there is something newer than `seen`; null where it came too late for that.
  Job* enter(uint64_t& seen, Worker& self) {
    std::unique_lock<std::mutex> lock = hold();
    wake_.wait(lock, [&] { return posted_.load(std::memory_order_acquire) != seen; });
    seen = posted_.load(std::memory_order_acquire);
    if (!job_ || places_ == 0) return nullptr;
    --places_;
    go_inside(self);
    return job_;
  }

  void go_inside(Worker& self) {
    self.inside.store(true, std::memory_order_relaxed);
    inside_.fetch_add(1, std::memory_order_relaxed);
  }

  // Without the mutex where the caller needs no waking: a thread that has to wait for it sleeps, and
  // beside a busy program wakes late.
  void leave(Worker& self) {
    const bool last = inside_.fetch_sub(1) == 1;
    self.inside.store(false, std::memory_order_relaxed);
    if (!last || !napping_.load()) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    left_.notify_one();
  }

  std::mutex turn_;         // held by the caller whose job runs
  Clock::time_point late_;  // when those asleep at a posting should have come; the caller's alone
  std::mutex mutex_, moving_;
  std::condition_variable wake_, left_;
  std::atomic<uint64_t> posted_{0};
  std::atomic<int> inside_{0};
  std::atomic<bool> napping_{false};  // the caller, who wants to be woken
  // The caller, while it works; on a cache line that no waiting loop reads.
  alignas(64) std::atomic<ThreadId> caller_{kNoThread};
  alignas(64) Job* job_ = nullptr;
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
  static const int registered = pthread_atfork(nullptr, nullptr, [] {
    the_pool.store(nullptr);
    caller_id = kNoThread;
  });
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
