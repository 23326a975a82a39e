// rnn_tanh, rnn_relu, gru and lstm: one direction of one layer, from weights as they are.
#include <pybind11/typing.h>

#include "module.h"
#include "recurrent_args.h"

namespace forwardpass {
namespace {

struct RawOutputs {
  py::handle y, h, c;
};

py::tuple raw(Cell cell, py::handle input, const RecurrentArrays& w, py::handle h0, py::handle c0,
              bool reverse, const RawOutputs& out) {
  const char* op = kCellNames[static_cast<int>(cell)].name;
  const bool lstm = cell == Cell::lstm;
  const Input x(input, {op, "input"});
  if (x.ndim() != 3 || x.dim(0) == 0 || x.dim(2) != w.width) {
    throw_value({op, "input"}, "must have shape (steps, batch, " + std::to_string(w.width) +
                                   "), at least one step, got " + x.text());
  }
  const py::ssize_t steps = x.dim(0), batch = x.dim(1);
  const py::ssize_t y_dims[] = {steps, batch, w.out}, *h_dims = y_dims + 1;
  const py::ssize_t c_dims[] = {batch, w.hidden};
  const OptionalInput h(h0, {op, "h0"}), c(c0, {op, "c0"});
  h.require_shape(h_dims, 2, {op, "h0"});
  c.require_shape(c_dims, 2, {op, "c0"});
  Output y(out.y, y_dims, 3, op), hn(out.h, h_dims, 2, op, "out_h"),
      cn(lstm ? out.c : py::handle(Py_None), c_dims, 2, op, "out_c");
  std::vector<const Input*> inputs = w.inputs();
  inputs.insert(inputs.end(), {&x, h.get(), c.get()});
  const std::pair<Output*, py::handle> outs[] = {{&y, out.y}, {&hn, out.h}, {&cn, out.c}};
  for (const auto& [output, given] : outs) {
    for (const Input* one : inputs) {
      if (one) output->avoid(one->data(), one->size());
    }
    for (const auto& [other, array] : outs) {
      if (other == output || given.is_none() || array.is_none()) continue;
      if (array.is(given)) {
        throw_value({op, "out"}, "and the other outputs must not be the same array");
      }
      output->avoid(array_data(array), product(y_dims, 3));
    }
  }
  RecurrentShape shape;
  shape.cell = cell;
  shape.in = w.width;
  shape.hidden = w.hidden;
  shape.out = w.out;
  shape.reverse = reverse;
  float *to = y.data(), *h_to = hn.data(), *c_to = lstm ? cn.data() : nullptr;
  start_state(h_to, h, batch * w.out);
  if (lstm) start_state(c_to, c, batch * w.hidden);
  {
    const ReleaseGil release;
    PackedRecurrent(shape, {w.get()}).run(x.data(), steps, batch, false, to, h_to, c_to);
  }
  if (lstm) return py::make_tuple(y.finish(), hn.finish(), cn.finish());
  return py::make_tuple(y.finish(), hn.finish());
}

template <Cell cell>
py::typing::Tuple<py::array, py::array> plain(py::handle input, py::handle weight_ih,
                                              py::handle weight_hh, py::handle bias_ih,
                                              py::handle bias_hh, py::handle h0, bool reverse,
                                              py::handle out, py::handle out_h) {
  const char* op = kCellNames[static_cast<int>(cell)].name;
  const RecurrentArrays weights(op, cell, weight_ih, weight_hh, bias_ih, bias_hh, py::none());
  return raw(cell, input, weights, h0, py::none(), reverse, {out, out_h, py::none()});
}

py::typing::Tuple<py::array, py::array, py::array> lstm(py::handle input, py::handle weight_ih,
                                                        py::handle weight_hh, py::handle bias_ih,
                                                        py::handle bias_hh, py::handle weight_hr,
                                                        py::handle h0, py::handle c0, bool reverse,
                                                        py::handle out, py::handle out_h,
                                                        py::handle out_c) {
  const RecurrentArrays weights("lstm", Cell::lstm, weight_ih, weight_hh, bias_ih, bias_hh,
                                weight_hr);
  return raw(Cell::lstm, input, weights, h0, c0, reverse, {out, out_h, out_c});
}

template <Cell cell>
void define_plain(py::module_& m) {
  m.def(kCellNames[static_cast<int>(cell)].name, &plain<cell>, py::arg("input"),
        py::arg("weight_ih"), py::arg("weight_hh"), py::arg("bias_ih") = py::none(),
        py::arg("bias_hh") = py::none(), py::arg("h0") = py::none(), py::arg("reverse") = false,
        py::arg("out") = py::none(), py::arg("out_h") = py::none());
}

}  // namespace

void bind_recurrent(py::module_& m) {
  define_plain<Cell::rnn_tanh>(m);
  define_plain<Cell::rnn_relu>(m);
  define_plain<Cell::gru>(m);
  m.def("lstm", &lstm, py::arg("input"), py::arg("weight_ih"), py::arg("weight_hh"),
        py::arg("bias_ih") = py::none(), py::arg("bias_hh") = py::none(),
        py::arg("weight_hr") = py::none(), py::arg("h0") = py::none(), py::arg("c0") = py::none(),
        py::arg("reverse") = false, py::arg("out") = py::none(), py::arg("out_h") = py::none(),
        py::arg("out_c") = py::none());
}

}  // namespace forwardpass
