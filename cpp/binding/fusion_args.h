// The arguments that linear and conv1d share: activation, negative_slope, residual, out.
#pragma once

#include "arguments.h"

namespace forwardpass {

// Holds the residual's memory for as long as the op runs.
class FusionArgs {
 public:
  FusionArgs(py::handle act, py::handle slope, py::handle residual, const py::ssize_t* dims,
             int ndim, const char* op)
      : residual_(residual, {op, "residual"}) {
    residual_.require_shape(dims, ndim, {op, "residual"});
    fusion_.activation = activation(act, op);
    if (fusion_.activation == Unary::leaky_relu) {
      fusion_.param = finite_number(slope, {op, "negative_slope"});
    }
    fusion_.residual = residual_.data();
  }
  const Fusion& get() const { return fusion_; }

 private:
  OptionalInput residual_;
  Fusion fusion_;
};

}  // namespace forwardpass
