// NumPy arrays in and out: every check of type, shape and memory that an op makes, and the words of
// its errors, which are composed only after a check has failed.
//
// The passing path takes the handle, reads the array's header and allocates one result; it costs a
// few tens of nanoseconds. Everything else (copies, conversions, messages) is out of line.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

namespace forwardpass {

namespace py = pybind11;

using Shape = std::vector<py::ssize_t>;

// The names that an error message needs.
struct Where {
  const char* op;
  const char* argument;
};

std::string shape_text(const py::ssize_t* dims, int ndim);
// "op(): argument 'x' message"
[[noreturn]] void throw_value(Where where, const std::string& message);
[[noreturn]] void throw_type(Where where, const std::string& message);

// What an op can read (or write) as it is. Anything else is copied to contiguous memory.
enum class Layout {
  contiguous,
  rows,     // the last dimension contiguous, the others of any strides
  strided,  // any strides
};

// Bytes of memory: [data, data + bytes).
struct Extent {
  const void* data = nullptr;
  py::ssize_t bytes = 0;
};

// A float32 array as memory of that layout: the caller's own, or a copy where that has another one,
// is misaligned or another kind of array. TypeError for anything that is not float32.
class Input {
 public:
  Input(py::handle source, Where where, Layout layout = Layout::contiguous);
  const float* data() const { return data_; }
  int ndim() const { return ndim_; }
  const py::ssize_t* shape() const { return shape_; }
  py::ssize_t dim(int i) const { return shape_[i]; }
  py::ssize_t step(int i) const;  // floats from one element of dimension i to the next
  py::ssize_t size() const;
  Extent extent() const;
  bool is_copy() const { return static_cast<bool>(owner_); }
  std::string text() const { return shape_text(shape_, ndim_); }

 private:
  void adopt(PyObject* array);
  void convert(py::handle source, Where where);
  py::object owner_;  // set only where data_ is a copy
  const float* data_ = nullptr;
  int ndim_ = 0;
  const py::ssize_t* shape_ = nullptr;
  const py::ssize_t* strides_ = nullptr;
};

// The same for an argument that may be None.
class OptionalInput {
 public:
  OptionalInput(py::handle source, Where where) {
    if (!source.is_none()) input_.emplace(source, where);
  }
  const float* data() const { return input_ ? input_->data() : nullptr; }
  const Input* get() const { return input_ ? &*input_ : nullptr; }
  // ValueError unless absent or of this shape.
  void require_shape(const py::ssize_t* dims, int ndim, Where where) const;

 private:
  std::optional<Input> input_;
};

// The result: a new array, or the caller's `out`, which must be a writeable float32 ndarray of this
// shape. An `out` that has another layout, is misaligned or overlaps an input is filled from a
// temporary by finish(); `same_ok` allows it to be exactly an input's memory (ops that work in place).
class Output {
 public:
  Output(py::handle out, const py::ssize_t* dims, int ndim, const char* op,
         const char* argument = "out", Layout layout = Layout::contiguous);
  // Call for every input before data() is used.
  void avoid(const float* input, py::ssize_t count, bool same_ok = false);
  void avoid_memory(const void* memory, py::ssize_t bytes);
  float* data();
  py::ssize_t step(
      int i) const;  // after data(): floats from one element of dimension i to the next
  py::array finish();

 private:
  void check(py::handle out, const py::ssize_t* dims, int ndim, Where where, Layout layout);
  py::object result_;     // the array to return
  py::object temporary_;  // where the op writes, if not there
  float* data_ = nullptr;
  py::ssize_t count_ = 0;
  Extent own_;
  bool needs_temporary_ = false;
};

// A new contiguous float32 array. MemoryError, or ValueError for an impossible size.
py::array new_array(const py::ssize_t* dims, int ndim);
float* array_data(py::handle array);

// dims multiplied, or ValueError where that overflows.
py::ssize_t product(const py::ssize_t* dims, int ndim);

// Releases the GIL in its scope, for work of at least `threshold` units (about 10 microseconds).
class ReleaseGil {
 public:
  explicit ReleaseGil(double work = 1, double threshold = 0) {
    if (work >= threshold) state_ = PyEval_SaveThread();
  }
  ~ReleaseGil() {
    if (state_) restore(state_);
  }
  ReleaseGil(const ReleaseGil&) = delete;
  ReleaseGil& operator=(const ReleaseGil&) = delete;

 private:
  static void restore(PyThreadState* state);
  PyThreadState* state_ = nullptr;
};

}  // namespace forwardpass
