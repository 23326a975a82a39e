// Which CPU a thread waits on. Linux; elsewhere nothing is known and nothing is moved.
#pragma once

namespace forwardpass {

using ThreadId = int;
constexpr ThreadId kNoThread = 0;

ThreadId this_thread_id();
int this_cpu();  // -1 where unknown

// Moves a thread, the calling one or one that waits, away from the caller's CPU to another that it may
// run on, and leaves what it may run on as it was. Nothing happens where there is no other.
void leave_this_cpu(ThreadId id);

}  // namespace forwardpass
