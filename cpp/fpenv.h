// Round-to-nearest and no flush-to-zero while a kernel runs, whatever the host program has set.
#pragma once

#include "simd/cpu.h"

namespace forwardpass {

// In the calling thread at the start of each op, and in every worker. The control word is written
// only where it differs, and put back: writing it costs tens of cycles, reading it a few.
class FloatEnvironment {
 public:
  FloatEnvironment() : before_(control_word()) {
    if (before_ & kControlBits) set_control_word(before_ & ~kControlBits);
  }
  ~FloatEnvironment() {
    if (before_ & kControlBits) set_control_word(before_);
  }
  FloatEnvironment(const FloatEnvironment&) = delete;
  FloatEnvironment& operator=(const FloatEnvironment&) = delete;

 private:
  ControlWord before_;
};

}  // namespace forwardpass
