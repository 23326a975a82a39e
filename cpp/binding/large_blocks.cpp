#include "large_blocks.h"

#include <mutex>
#include <vector>

namespace forwardpass {
namespace {

struct Kept {
  std::mutex mutex;
  std::vector<LargeBlock> blocks;  // oldest first
  int64_t floats = 0;

  LargeBlock remove(size_t i) {
    LargeBlock block = std::move(blocks[i]);
    blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(i));
    floats -= block->capacity();
    return block;
  }
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
    for (size_t i = k.blocks.size(); i-- > 0;) {  // the newest that fits without much waste
      const int64_t capacity = k.blocks[i]->capacity();
      if (capacity >= count && capacity - count <= count / 4) return k.remove(i);
    }
  }
  try {
    return std::make_unique<FloatBuffer>(count);
  } catch (const std::bad_alloc&) {
    release_large_blocks();
    return std::make_unique<FloatBuffer>(count);
  }
}

void keep_large_block(LargeBlock block) noexcept {
  try {
    std::vector<LargeBlock> evicted;  // freed after the lock is let go
    if (block->capacity() > kKeptFloats) return;
    block->pages_may_go();
    Kept& k = kept();
    const std::lock_guard<std::mutex> lock(k.mutex);
    while (k.floats + block->capacity() > kKeptFloats) evicted.push_back(k.remove(0));
    k.floats += block->capacity();
    k.blocks.push_back(std::move(block));
  } catch (...) {  // no memory to note it in: the block is freed
  }
}

void release_large_blocks() noexcept {
  Kept& k = kept();
  const std::lock_guard<std::mutex> lock(k.mutex);
  k.blocks.clear();
  k.floats = 0;
}

int64_t kept_large_floats() noexcept {
  Kept& k = kept();
  const std::lock_guard<std::mutex> lock(k.mutex);
  return k.floats;
}

}  // namespace forwardpass
