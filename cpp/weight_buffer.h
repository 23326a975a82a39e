// Memory for packed weights.
#pragma once

#include <stdint.h>

#include <memory>

#include "scratch.h"

namespace forwardpass {

struct WeightBlock;

// Floats on a 64-byte boundary, not initialised; throws std::bad_alloc. From 1/2 MiB on they lie in
// huge pages that nobody used before: memory that malloc gives again has small pages, whatever is
// asked for then, and one row through a matrix on small pages runs at 65 to 75 % of the memory's
// bandwidth (docs/performance.md). Up to 8 MiB several share a block, which lives as long as one.
class WeightBuffer {
 public:
  explicit WeightBuffer(int64_t count);
  ~WeightBuffer();
  WeightBuffer(const WeightBuffer&) = delete;
  WeightBuffer& operator=(const WeightBuffer&) = delete;

  float* data() { return data_; }
  const float* data() const { return data_; }

 private:
  FloatBuffer own_;
  std::shared_ptr<WeightBlock> block_;
  int64_t end_ = 0, count_ = 0;  // where in the block
  float* data_ = nullptr;
};

}  // namespace forwardpass
