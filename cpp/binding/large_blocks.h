// Memory of large results, kept for the next one.
#pragma once

#include <stdint.h>

#include <memory>

#include "../scratch.h"

namespace forwardpass {

// malloc gives memory back to the system when a large result is freed (it unmaps a block of some 32
// MiB, and trims its heap after smaller ones), so every such result pays a page fault for each page:
// twice the time of an element-wise function, 6 % of a small transformer's. Blocks from here come back
// here instead, and are kept for the next result: of less than kHugeFloats up to kKeptSmall in all, of
// more up to kKeptHuge, and of those the system is told that it may take their pages whenever it is
// short of memory.
constexpr int64_t kLargeFloats = int64_t{64} << 10;  // 256 KiB
constexpr int64_t kHugeFloats = int64_t{4} << 20;    // 16 MiB
constexpr int64_t kKeptSmall = int64_t{8} << 20;     // 32 MiB
constexpr int64_t kKeptHuge = int64_t{64} << 20;     // 256 MiB

using LargeBlock = std::unique_ptr<FloatBuffer>;

LargeBlock take_large_block(int64_t count);  // throws std::bad_alloc
void keep_large_block(LargeBlock block) noexcept;
void release_large_blocks() noexcept;  // all that are kept
int64_t kept_large_floats() noexcept;

}  // namespace forwardpass
