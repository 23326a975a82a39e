#include "placement.h"

#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace forwardpass {

#if defined(__linux__)

ThreadId this_thread_id() { return static_cast<ThreadId>(syscall(SYS_gettid)); }
int this_cpu() { return sched_getcpu(); }

void leave_this_cpu(ThreadId id) {
  cpu_set_t allowed;
  const int here = this_cpu();
  if (id == kNoThread || here < 0 || sched_getaffinity(id, sizeof allowed, &allowed) != 0) return;
  cpu_set_t others = allowed;
  CPU_CLR(here, &others);
  if (CPU_COUNT(&others) == 0 || sched_setaffinity(id, sizeof others, &others) != 0) return;
  sched_setaffinity(id, sizeof allowed, &allowed);
}

#else

ThreadId this_thread_id() { return kNoThread; }
int this_cpu() { return -1; }
void leave_this_cpu(ThreadId) {}

#endif

}  // namespace forwardpass
