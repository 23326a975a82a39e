// Memory of large results, kept for the next one.
#pragma once

#include <stdint.h>

#include <memory>

#include "../scratch.h"

namespace forwardpass {

// malloc maps a block of some 32 MiB anew each time and unmaps it when it is freed, so every
// large result pays a page fault for each page: twice the time of an element-wise function. Blocks
// from here come back here instead. At most kKeptFloats of them are kept, and the system is told that
// it may take their pages whenever it is short of memory.
constexpr int64_t kLargeFloats = int64_t{4} << 20;  // 16 MiB
constexpr int64_t kKeptFloats = int64_t{64} << 20;  // 256 MiB

using LargeBlock = std::unique_ptr<FloatBuffer>;

LargeBlock take_large_block(int64_t count);  // throws std::bad_alloc
void keep_large_block(LargeBlock block) noexcept;
void release_large_blocks() noexcept;  // all that are kept
int64_t kept_large_floats() noexcept;

}  // namespace forwardpass
