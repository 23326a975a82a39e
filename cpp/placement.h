// Which CPU a thread waits on. Linux; elsewhere nothing is known and nothing is moved.
#pragma once

namespace forwardpass {

using ThreadId = int;
constexpr ThreadId kNoThread = 0;

ThreadId this_thread_id();

// Moves a waiting thread to another of the CPUs that it may run on, away from the caller's, and
// leaves what it may run on as it was. Nothing happens where there is no other.
void leave_this_cpu(ThreadId id);

}  // namespace forwardpass
