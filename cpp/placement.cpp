#include "placement.h"

#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#endif

namespace forwardpass {

#if defined(__linux__)
namespace {

// Linux moves a thread that waits for a CPU at once; which CPUs it may run on is then put back.
void move(ThreadId id, const cpu_set_t& to, const cpu_set_t& allowed) {
  if (CPU_COUNT(&to) == 0 || sched_setaffinity(id, sizeof to, &to) != 0) return;
  sched_setaffinity(id, sizeof allowed, &allowed);
}

}  // namespace

ThreadId this_thread_id() { return static_cast<ThreadId>(syscall(SYS_gettid)); }
int this_cpu() { return sched_getcpu(); }

void leave_this_cpu(ThreadId id) {
  cpu_set_t allowed;
  const int here = this_cpu();
  if (id == kNoThread || here < 0 || sched_getaffinity(id, sizeof allowed, &allowed) != 0) return;
  cpu_set_t others = allowed;
  CPU_CLR(here, &others);
  move(id, others, allowed);
}

void join_this_cpu(ThreadId id) {
  cpu_set_t allowed, only;
  const int here = this_cpu();
  if (id == kNoThread || here < 0 || sched_getaffinity(id, sizeof allowed, &allowed) != 0) return;
  CPU_ZERO(&only);
  if (CPU_ISSET(here, &allowed)) CPU_SET(here, &only);
  move(id, only, allowed);
}

bool Watch::stalled(ThreadId id) {
  timespec time;
  // pthread_getcpuclockid's: the complement of the number, shifted, in front of 6.
  const auto clock = static_cast<clockid_t>(~static_cast<uint32_t>(id) << 3 | 6);
  if (id == kNoThread || clock_gettime(clock, &time) != 0) return false;
  const int64_t before = used_;
  used_ = time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
  return used_ == before;
}

#else

ThreadId this_thread_id() { return kNoThread; }
int this_cpu() { return -1; }
void leave_this_cpu(ThreadId) {}
void join_this_cpu(ThreadId) {}
bool Watch::stalled(ThreadId) { return false; }

#endif

}  // namespace forwardpass
