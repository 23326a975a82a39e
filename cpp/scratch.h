// Memory for kernels: packed weights, and scratch that a thread keeps between calls.
#pragma once

#include <stdint.h>

#include <cstdlib>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace forwardpass {

// Floats on a 64-byte boundary (a cache line, a zmm register). Not initialised. Large ones ask for
// huge pages, as NumPy does: a weight that is streamed from L3 or memory otherwise waits for the
// page walks of every 4 KiB.
class FloatBuffer {
 public:
  // heap: what is needed for one call, which malloc gives again without new pages. pages: what is kept
  // for long, in pages of its own that go back to the system whatever malloc holds beside them.
  enum class From { heap, pages };

  FloatBuffer() = default;
  explicit FloatBuffer(int64_t count, From from = From::heap) {
    from == From::pages ? map(count) : reserve(count);
  }
  ~FloatBuffer() { release(); }
  FloatBuffer(const FloatBuffer&) = delete;
  FloatBuffer& operator=(const FloatBuffer&) = delete;

  float* data() { return data_; }
  const float* data() const { return data_; }
  int64_t capacity() const { return capacity_; }

  // At least `count` floats of the heap; what was there is lost. Throws std::bad_alloc.
  void reserve(int64_t count) {
    if (count <= capacity_) return;
    release();
    const size_t bytes = bytes_of(count);
    align_ = bytes >= kHuge ? kHugePage : 64;
    data_ = static_cast<float*>(::operator new(bytes, std::align_val_t{align_}));
    capacity_ = count;
    want_huge_pages(bytes);
  }
  // The contents are not needed any more: under pressure the system may take the pages, one by one,
  // and gives fresh ones where they are written again.
  void pages_may_go() {
#if defined(MADV_FREE)
    const size_t bytes = static_cast<size_t>(capacity_) * sizeof(float) / kHugePage * kHugePage;
    if (align_ == kHugePage && bytes) (void)madvise(data_, bytes, MADV_FREE);
#endif
  }
  void release() {
#if defined(__linux__)
    if (mapped_) {
      (void)munmap(map_, mapped_);
      data_ = nullptr;
      mapped_ = 0;
    }
#endif
    if (data_) ::operator delete(data_, std::align_val_t{align_});
    data_ = nullptr;
    capacity_ = 0;
  }

 private:
  static constexpr size_t kHuge = size_t{1} << 22, kHugePage = size_t{1} << 21;

  static size_t bytes_of(int64_t count) {
    if (count > INT64_MAX / 8) throw std::bad_alloc();
    return (static_cast<size_t>(count) * sizeof(float) + 63) / 64 * 64;
  }
#if defined(__linux__)
  void want_huge_pages(size_t bytes) {
    if (align_ == kHugePage) (void)madvise(data_, bytes, MADV_HUGEPAGE);  // only a wish
  }
  void map(int64_t count) {
    const size_t bytes = bytes_of(count);
    align_ = bytes >= kHuge ? kHugePage : 64;
    const size_t size = bytes + align_ - 64;
    map_ = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map_ == MAP_FAILED) throw std::bad_alloc();
    mapped_ = size;
    const auto at = (reinterpret_cast<uintptr_t>(map_) + align_ - 1) / align_ * align_;
    data_ = reinterpret_cast<float*>(at);
    capacity_ = count;
    want_huge_pages(bytes);
  }
  void* map_ = nullptr;
  size_t mapped_ = 0;  // bytes
#else
  void want_huge_pages(size_t) {}
  void map(int64_t count) { reserve(count); }
#endif
  size_t align_ = 64;
  float* data_ = nullptr;
  int64_t capacity_ = 0;
};

// Scratch of the calling thread for one tile. Kept for the next call up to kKeep floats, so that a
// thread neither pays page faults each call nor holds on to much; null where memory is out (tiles
// run inside parallel regions, where nothing may throw). Each Tag has memory of its own: what an op
// holds while its tiles use Scratch.
template <class Tag>
class ScratchOf {
 public:
  explicit ScratchOf(int64_t count) noexcept {
    try {
      buffer().reserve(count);
      data_ = buffer().data();
    } catch (const std::bad_alloc&) {
      data_ = nullptr;
    }
  }
  ~ScratchOf() {
    if (buffer().capacity() > kKeep) buffer().release();
  }
  ScratchOf(const ScratchOf&) = delete;
  ScratchOf& operator=(const ScratchOf&) = delete;
  float* data() { return data_; }

 private:
  static constexpr int64_t kKeep = 1 << 19;  // 2 MiB
  static FloatBuffer& buffer() {
    static thread_local FloatBuffer kept;
    return kept;
  }
  float* data_ = nullptr;
};
using Scratch = ScratchOf<void>;

}  // namespace forwardpass
