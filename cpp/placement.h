// Which CPU a thread waits on. Linux; elsewhere nothing is known and nothing is moved.
#pragma once

#include <stdint.h>

namespace forwardpass {

using ThreadId = int;
constexpr ThreadId kNoThread = 0;

ThreadId this_thread_id();
int this_cpu();  // -1 where unknown

// Moves a thread, the calling one or one that waits, away from the caller's CPU to another that it may
// run on, and leaves what it may run on as it was. Nothing happens where there is no other.
void leave_this_cpu(ThreadId id);

// Whether a thread of this process, between two looks, got no CPU while it had something to do.
class Watch {
 public:
  void restart() { used_ = -1; }
  bool stalled(ThreadId id);

 private:
  int64_t used_ = -1;  // nanoseconds of a CPU, at the last look
};

// Moves a thread that waits for a CPU to the caller's, where it goes on as soon as the caller sleeps.
void join_this_cpu(ThreadId id);

}  // namespace forwardpass
