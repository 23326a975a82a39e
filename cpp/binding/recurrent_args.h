// What the recurrent operators and layers share: names of cells, checked weights, states to start from.
#pragma once

#include <cstring>

#include "arguments.h"

namespace forwardpass {

struct NamedCell {
  const char* name;
  Cell cell;
};
inline constexpr NamedCell kCellNames[] = {{"rnn_tanh", Cell::rnn_tanh},
                                           {"rnn_relu", Cell::rnn_relu},
                                           {"lstm", Cell::lstm},
                                           {"gru", Cell::gru}};

// The weights of one direction, checked against each other; hidden and out come from the first.
class RecurrentArrays {
 public:
  RecurrentArrays(const char* op, Cell cell, py::handle ih, py::handle hh, py::handle bias_ih,
                  py::handle bias_hh, py::handle hr)
      : ih_(ih, {op, "weight_ih"}),
        hh_(hh, {op, "weight_hh"}),
        bias_ih_(bias_ih, {op, "bias_ih"}),
        bias_hh_(bias_hh, {op, "bias_hh"}),
        hr_(hr, {op, "weight_hr"}) {
    const auto count = static_cast<py::ssize_t>(gate_count(cell));
    if (ih_.ndim() != 2 || ih_.dim(0) % count != 0 || ih_.dim(0) == 0) {
      throw_value({op, "weight_ih"},
                  "must have shape (" + (count > 1 ? std::to_string(count) + " * " : "") +
                      "hidden_size, input_size), hidden_size at least 1, got " + ih_.text());
    }
    const py::ssize_t gates = ih_.dim(0);
    hidden = gates / count;
    width = ih_.dim(1);
    out = hidden;
    if (const Input* projection = hr_.get()) {
      if (projection->ndim() != 2 || projection->dim(1) != hidden || projection->dim(0) == 0) {
        throw_value({op, "weight_hr"}, "must have shape (proj_size, " + std::to_string(hidden) +
                                           "), proj_size at least 1, got " + projection->text());
      }
      out = projection->dim(0);
    }
    if (hh_.ndim() != 2 || hh_.dim(0) != gates || hh_.dim(1) != out) {
      const py::ssize_t wanted[] = {gates, out};
      throw_value({op, "weight_hh"},
                  "must have shape " + shape_text(wanted, 2) + ", got " + hh_.text());
    }
    bias_ih_.require_shape(&gates, 1, {op, "bias_ih"});
    bias_hh_.require_shape(&gates, 1, {op, "bias_hh"});
  }
  RecurrentWeights get() const {
    return {ih_.data(), hh_.data(), bias_ih_.data(), bias_hh_.data(), hr_.data()};
  }
  std::vector<const Input*> inputs() const {
    return {&ih_, &hh_, bias_ih_.get(), bias_hh_.get(), hr_.get()};
  }
  py::ssize_t hidden, width, out;

 private:
  Input ih_, hh_;
  OptionalInput bias_ih_, bias_hh_, hr_;
};

// A state before the first step, or zeros where there is none.
inline void start_state(float* to, const OptionalInput& from, py::ssize_t count) {
  const size_t bytes = static_cast<size_t>(count) * sizeof(float);
  if (from.get()) {
    if (from.data() != to) std::memcpy(to, from.data(), bytes);
  } else {
    std::memset(to, 0, bytes);
  }
}

}  // namespace forwardpass
