// A small pool of threads behind parallel_for, for machines where other programs run too.
//
// OpenMP's region ends at a barrier for the whole team, so the caller waits for a thread that never
// got a CPU. Here a thread that comes late finds no tiles left, and the caller waits only for tiles
// that others have claimed. Threads are made on first use, sleep when idle (after a short spin),
// and are made anew in a forked child.
#pragma once

#include <stdint.h>

#include "parallel.h"

namespace forwardpass {

// Runs the tiles on the calling thread and at most threads - 1 others; returns when all are done.
// Where another caller is using the pool, runs them on the calling thread alone.
void pool_run(int64_t tiles, int threads, TileFn fn, void* context);

}  // namespace forwardpass
