#include "weight_buffer.h"

#include <mutex>

namespace forwardpass {
namespace {

constexpr int64_t kLine = 16;                   // floats: 64 bytes
constexpr int64_t kLeast = 1 << 17;             // floats: 1/2 MiB
constexpr int64_t kShared = (2 << 20) + kLine;  // floats: 8 MiB, and what ends a packed weight
constexpr int64_t kBlock = 8 << 20;  // floats: 32 MiB; a page is taken when it is written

}  // namespace

// Fresh pages, huge ones where the system has them.
struct WeightBlock {
  explicit WeightBlock(int64_t count) : size(count) {
#if defined(__linux__)
    constexpr size_t kHugePage = size_t{1} << 21;
    bytes_ = static_cast<size_t>(count) * sizeof(float) + kHugePage;
    map_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map_ == MAP_FAILED) throw std::bad_alloc();
    const auto at = (reinterpret_cast<uintptr_t>(map_) + kHugePage - 1) / kHugePage * kHugePage;
    data = reinterpret_cast<float*>(at);
    (void)madvise(data, static_cast<size_t>(count) * sizeof(float), MADV_HUGEPAGE);  // only a wish
#else
    memory_.reserve(count);
    data = memory_.data();
#endif
  }
#if defined(__linux__)
  ~WeightBlock() { (void)munmap(map_, bytes_); }
#endif
  WeightBlock(const WeightBlock&) = delete;
  WeightBlock& operator=(const WeightBlock&) = delete;

  float* data = nullptr;
  int64_t size, used = 0;  // floats

 private:
#if defined(__linux__)
  void* map_ = nullptr;
  size_t bytes_ = 0;
#else
  FloatBuffer memory_;
#endif
};

namespace {

// The block that weights are put in, and its lock; neither is destroyed: weights may outlive statics.
struct Current {
  std::mutex mutex;
  std::weak_ptr<WeightBlock> block;
};

Current& current() {
  static Current* const one = new Current;
  return *one;
}

}  // namespace

WeightBuffer::WeightBuffer(int64_t count) {
  if (count < kLeast || count > INT64_MAX / 8) {
    own_.reserve(count);
    data_ = own_.data();
    return;
  }
  count_ = (count + kLine - 1) / kLine * kLine;
  // The lock is only tried: in a forked child a thread that is no more may hold it.
  std::unique_lock<std::mutex> held(current().mutex, std::defer_lock);
  if (count > kShared || !held.try_lock()) {
    block_ = std::make_shared<WeightBlock>(count_);
  } else {
    block_ = current().block.lock();
    if (!block_ || block_->used + count_ > block_->size) {
      block_ = std::make_shared<WeightBlock>(kBlock);
      current().block = block_;
    }
  }
  data_ = block_->data + block_->used;
  end_ = block_->used += count_;
}

WeightBuffer::~WeightBuffer() {
  if (!block_) return;
  // What was taken last is free again, so that weights packed for one call leave no hole.
  const std::unique_lock<std::mutex> held(current().mutex, std::try_to_lock);
  if (held && block_->used == end_) block_->used -= count_;
}

}  // namespace forwardpass
