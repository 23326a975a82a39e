// PackedRecurrent: all layers and directions, packed once; also one step of a cell.
#include <pybind11/stl.h>
#include <pybind11/typing.h>

#include "module.h"
#include "recurrent_args.h"

namespace forwardpass {
namespace {

constexpr double kWorthReleasingProducts = 5e5;  // multiply-adds

double work_of(const RecurrentShape& s, double rows) {
  const double inner = static_cast<double>(s.width(s.layers > 1 ? 1 : 0) + s.out + 1);
  return rows * static_cast<double>(s.layers * s.directions() * s.gates()) * inner;
}

Cell cell_named(const std::string& name) {
  for (const NamedCell& entry : kCellNames) {
    if (name == entry.name) return entry.cell;
  }
  throw py::value_error("PackedRecurrent: no cell '" + name + "'");
}

// What the layer's errors call it, and how its arrays lie.
class Layer {
 public:
  Layer(const std::string& cell, const std::vector<std::vector<py::object>>& weights,
        bool bidirectional, bool batch_first, std::string name)
      : name_(std::move(name)), batch_first_(batch_first) {
    RecurrentShape shape;
    shape.cell = cell_named(cell);
    shape.bidirectional = bidirectional;
    const auto directions = static_cast<size_t>(shape.directions());
    if (weights.empty() || weights.size() % directions != 0) {
      throw py::value_error(name_ + ": weights for each direction of each layer are needed");
    }
    shape.layers = static_cast<int64_t>(weights.size() / directions);
    std::vector<std::unique_ptr<RecurrentArrays>> held;
    std::vector<RecurrentWeights> plain;
    for (const auto& w : weights) {
      if (w.size() != 5) throw py::value_error(name_ + ": five arrays a direction, or None");
      held.push_back(std::make_unique<RecurrentArrays>(name_.c_str(), shape.cell, w[0], w[1], w[2],
                                                       w[3], w[4]));
      const RecurrentArrays& one = *held.back();
      if (held.size() == 1) {
        shape.in = one.width;
        shape.hidden = one.hidden;
        shape.out = one.out;
      }
      const auto layer = static_cast<int64_t>((held.size() - 1) / directions);
      if (one.hidden != shape.hidden || one.out != shape.out || one.width != shape.width(layer)) {
        throw py::value_error(name_ + ": the weights of layer " + std::to_string(layer) +
                              " do not fit those of layer 0");
      }
      plain.push_back(one.get());
    }
    const ReleaseGil release;
    pack_ = std::make_unique<PackedRecurrent>(shape, plain);
  }

  // (y, h_n), for lstm (y, (h_n, c_n)).
  py::typing::Tuple<py::array, py::object> call(py::handle input, py::handle hx,
                                                py::handle out) const {
    refuse_packed_sequence(input);
    const Input x(input, where("input"));
    const int ndim = x.ndim();
    if (ndim != 2 && ndim != 3) {
      throw_value(where("input"), "must have 2 or 3 dimensions, got " + x.text());
    }
    const RecurrentShape& s = pack_->shape();
    const bool batched = ndim == 3;
    const py::ssize_t steps = batched && batch_first_ ? x.dim(1) : x.dim(0);
    const py::ssize_t batch = !batched ? 1 : batch_first_ ? x.dim(0) : x.dim(1);
    if (x.dim(ndim - 1) != s.in || steps == 0) {
      throw_value(where("input"), std::string("must have shape (") +
                                      (!batched       ? "steps"
                                       : batch_first_ ? "batch, steps"
                                                      : "steps, batch") +
                                      ", " + std::to_string(s.in) + "), at least one step, got " +
                                      x.text());
    }
    Shape y_dims(x.shape(), x.shape() + ndim);
    y_dims.back() = s.directions() * s.out;
    Output y(out, y_dims.data(), ndim, name_.c_str());
    y.avoid(x.data(), x.size());
    const States states(*this, hx, s.layers * s.directions(), batch, batched);
    run(x, steps, batch, y.data(), states);
    return py::make_tuple(y.finish(), states.result());
  }

  // One step of a cell: input (batch, in) or (in,), and the state of those rows.
  py::object step(py::handle input, py::handle hx) const {
    const Input x(input, where("input"));
    const int ndim = x.ndim();
    const RecurrentShape& s = pack_->shape();
    if ((ndim != 1 && ndim != 2) || x.dim(ndim - 1) != s.in) {
      throw_value(where("input"), "must have shape (batch, " + std::to_string(s.in) + ") or (" +
                                      std::to_string(s.in) + ",), got " + x.text());
    }
    const States states(*this, hx, -1, ndim == 2 ? x.dim(0) : 1, ndim == 2);
    run(x, 1, ndim == 2 ? x.dim(0) : 1, nullptr, states);
    return states.result();
  }

  py::array weight(int64_t index, const std::string& name) const {
    const PackedRecurrent::Direction& d = pack_->direction(index);
    const PackedLinear* part = name == "weight_ih"   ? &d.ih
                               : name == "weight_hh" ? &d.hh
                               : name == "weight_hr" ? d.hr.get()
                                                     : nullptr;
    if (!part) throw py::key_error(name);
    const py::ssize_t dims[] = {part->n(), part->k()};
    py::array array = new_array(dims, 2);
    part->unpack(array_data(array));
    return array;
  }
  const char* isa() const { return pack_->isa(); }

 private:
  Where where(const char* argument) const { return {name_.c_str(), argument}; }

  void refuse_packed_sequence(py::handle input) const {
    if (py::isinstance<py::array>(input) || !py::hasattr(input, "batch_sizes")) return;
    throw_type(where("input"),
               "must be a float32 array, got a PackedSequence, which is not supported: pass each "
               "sequence alone, or those of one length as a batch");
  }

  // New arrays that hold hx, or zeros: (layers * directions, batch, n), a cell's (batch, n), without
  // the batch where the input has none.
  class States {
   public:
    States(const Layer& layer, py::handle hx, int64_t layers, py::ssize_t batch, bool batched) {
      const RecurrentShape& s = layer.pack_->shape();
      if (s.cell != Cell::lstm) {
        h_ = made(hx, layer.where("hx"), layers, batch, batched, s.out);
        return;
      }
      py::handle first = hx, second = hx;
      py::tuple pair;
      if (!hx.is_none()) {
        if (!(PyTuple_Check(hx.ptr()) || PyList_Check(hx.ptr()))) {
          throw_type(layer.where("hx"), "must be a tuple (h, c) of arrays or None, got " +
                                            py::repr(py::type::handle_of(hx)).cast<std::string>());
        }
        pair = py::reinterpret_borrow<py::object>(hx);
        if (pair.size() != 2) {
          throw_value(layer.where("hx"),
                      "must be a tuple (h, c) of two arrays, got " + std::to_string(pair.size()));
        }
        first = PyTuple_GET_ITEM(pair.ptr(), 0);
        second = PyTuple_GET_ITEM(pair.ptr(), 1);
        if (first.is_none() || second.is_none()) {
          throw_type(layer.where("hx"), "must be a tuple (h, c) of arrays, got None in it");
        }
      }
      h_ = made(first, layer.where("hx[0]"), layers, batch, batched, s.out);
      c_ = made(second, layer.where("hx[1]"), layers, batch, batched, s.hidden);
    }
    float* h() const { return array_data(h_); }
    float* c() const { return c_ ? array_data(c_) : nullptr; }
    py::object result() const {
      if (!c_) return h_;
      return py::make_tuple(h_, c_);
    }

   private:
    static py::array made(py::handle from, Where where, int64_t layers, py::ssize_t batch,
                          bool batched, int64_t n) {
      py::ssize_t dims[3];
      int ndim = 0;
      if (layers >= 0) dims[ndim++] = layers;
      if (batched) dims[ndim++] = batch;
      dims[ndim++] = n;
      const OptionalInput given(from, where);
      given.require_shape(dims, ndim, where);
      py::array array = new_array(dims, ndim);
      start_state(array_data(array), given, product(dims, ndim));
      return array;
    }
    py::object h_, c_;
  };

  void run(const Input& x, py::ssize_t steps, py::ssize_t batch, float* y,
           const States& states) const {
    const double rows = static_cast<double>(steps) * static_cast<double>(batch);
    const ReleaseGil release(work_of(pack_->shape(), rows), kWorthReleasingProducts);
    pack_->run(x.data(), steps, batch, batch_first_, y, states.h(), states.c());
  }

  std::string name_;
  bool batch_first_;
  std::unique_ptr<PackedRecurrent> pack_;
};

}  // namespace

void bind_recurrent_layer(py::module_& m) {
  py::class_<Layer>(m, "PackedRecurrent",
                    "A recurrent layer's weights in the layout of one instruction set.")
      .def(py::init<const std::string&, const std::vector<std::vector<py::object>>&, bool, bool,
                    std::string>(),
           py::arg("cell"), py::arg("weights"), py::arg("bidirectional"), py::arg("batch_first"),
           py::arg("name"))
      .def("__call__", &Layer::call, py::arg("input"), py::arg("hx") = py::none(),
           py::arg("out") = py::none())
      .def("step", &Layer::step, py::arg("input"), py::arg("hx") = py::none(),
           "The next state: one step of a cell.")
      .def("weight", &Layer::weight, py::arg("index"), py::arg("name"),
           "A new array: weight_ih, weight_hh or weight_hr of one direction, unpacked.")
      .def_property_readonly("isa", &Layer::isa);
}

}  // namespace forwardpass
