#include "large_blocks.h"

#include <mutex>
#include <vector>

namespace forwardpass {
namespace {

// Blocks of one class of sizes, oldest first.
struct Blocks {
  const int64_t most;  // floats
  std::vector<LargeBlock> blocks;
  int64_t floats = 0;

  LargeBlock remove(size_t i) {
    LargeBlock block = std::move(blocks[i]);
    blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(i));
    floats -= block->capacity();
    return block;
  }
  // The newest that fits without much waste, or null.
  LargeBlock take(int64_t count) {
    for (size_t i = blocks.size(); i-- > 0;) {
      const int64_t capacity = blocks[i]->capacity();
      if (capacity >= count && capacity - count <= count / 4) return remove(i);
    }
    return nullptr;
  }
  // Those that had to go are in `evicted`, to be freed after the lock is let go.
  void keep(LargeBlock block, std::vector<LargeBlock>& evicted) {
    while (floats + block->capacity() > most) evicted.push_back(remove(0));
    floats += block->capacity();
    blocks.push_back(std::move(block));
  }
  void clear() {
    blocks.clear();
    floats = 0;
  }
};

struct Kept {
  std::mutex mutex;
  Blocks small{kKeptSmall, {}}, huge{kKeptHuge, {}};
  Blocks& of(int64_t count) { return count < kHugeFloats ? small : huge; }
};

// Never destroyed: arrays may outlive the static objects of this library.
Kept& kept() {
  static Kept* const instance = new Kept;
  return *instance;
}

}  // namespace

LargeBlock take_large_block(int64_t count) {
  {
    Kept& k = kept();
    const std::lock_guard<std::mutex> lock(k.mutex);
    if (LargeBlock block = k.of(count).take(count)) return block;
  }
  try {
    return std::make_unique<FloatBuffer>(count, FloatBuffer::From::pages);
  } catch (const std::bad_alloc&) {
    release_large_blocks();
    return std::make_unique<FloatBuffer>(count, FloatBuffer::From::pages);
  }
}

void keep_large_block(LargeBlock block) noexcept {
  try {
    std::vector<LargeBlock> evicted;
    Kept& k = kept();
    Blocks& blocks = k.of(block->capacity());
    if (block->capacity() > blocks.most) return;
    if (&blocks == &k.huge) block->pages_may_go();
    const std::lock_guard<std::mutex> lock(k.mutex);
    blocks.keep(std::move(block), evicted);
  } catch (...) {  // no memory to note it in: the block is freed
  }
}

void release_large_blocks() noexcept {
  Kept& k = kept();
  const std::lock_guard<std::mutex> lock(k.mutex);
  k.small.clear();
  k.huge.clear();
}

int64_t kept_large_floats() noexcept {
  Kept& k = kept();
  const std::lock_guard<std::mutex> lock(k.mutex);
  return k.small.floats + k.huge.floats;
}

}  // namespace forwardpass
