// What follows a matrix product or convolution, from the caller's words to the kernels'.
#pragma once

#include "../ops.h"

namespace forwardpass {

inline Epilogue epilogue(const Kernels& table, const float* bias, const Fusion& fusion) {
  Epilogue e;
  e.bias = bias;
  if (fusion.activation != Unary::none) {
    e.activation = table.unary->fn[static_cast<int>(fusion.activation)];
  }
  e.param = fusion.param;
  e.residual = fusion.residual;
  return e;
}

}  // namespace forwardpass
