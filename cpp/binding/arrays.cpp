#include "arrays.h"

#include <chrono>
#include <cstring>
#include <thread>

#include "large_blocks.h"

namespace forwardpass {
namespace {

using py::detail::array_proxy;
using py::detail::npy_api;

constexpr int kContiguous = npy_api::NPY_ARRAY_C_CONTIGUOUS_;
constexpr int kAligned = npy_api::NPY_ARRAY_ALIGNED_;
constexpr int kWriteable = npy_api::NPY_ARRAY_WRITEABLE_;

const npy_api& api() {
  static const npy_api& instance = npy_api::get();
  return instance;
}

PyObject* float32_descr() {
  static PyObject* descr = py::dtype::of<float>().release().ptr();
  return descr;
}

bool is_native_float32(PyObject* array) {
  PyObject* descr = array_proxy(array)->descr;
  if (descr == float32_descr()) return true;
  const auto* fields = py::detail::array_descriptor_proxy(descr);
  return fields->type_num == npy_api::NPY_FLOAT_ &&
         (fields->byteorder == '=' || fields->byteorder == '|');
}

std::string type_name(py::handle object) {
  return py::str(py::type::handle_of(object).attr("__name__")).cast<std::string>();
}

std::string dtype_text(py::handle array) {
  const py::object dtype = array.attr("dtype");
  std::string name = py::str(dtype).cast<std::string>();
  if (!dtype.attr("isnative").cast<bool>()) name = "byte-swapped " + name;
  return name;
}

// An object that is not an ndarray but can become one without a guess: NumPy's scalars, tensors of
// other libraries. Lists, numbers and strings are refused: their dtype would be a guess.
py::object array_from(py::handle source, Where where) {
  const bool plain = PyFloat_CheckExact(source.ptr()) || PyLong_Check(source.ptr()) ||
                     PyUnicode_Check(source.ptr()) || PyBytes_Check(source.ptr());
  if (!plain && py::hasattr(source, "__array__")) {
    return py::module_::import("numpy").attr("asarray")(source);
  }
  if (!plain && py::hasattr(source, "__dlpack__")) {
    return py::module_::import("numpy").attr("from_dlpack")(source);
  }
  throw_type(where, "must be a float32 array, got " + type_name(source) +
                        "; convert it with np.asarray(" + where.argument + ", dtype=np.float32)");
}

[[noreturn]] void throw_dtype(py::handle array, Where where) {
  const auto* proxy = array_proxy(array.ptr());
  throw_type(where, "must be float32, got " + dtype_text(array) + " of shape " +
                        shape_text(proxy->dimensions, proxy->nd) + "; cast it with " +
                        where.argument + ".astype(np.float32)");
}

// [a, a + n) and [b, b + m), in bytes.
bool overlap(const void* a, py::ssize_t n, const void* b, py::ssize_t m) {
  const auto pa = reinterpret_cast<uintptr_t>(a), pb = reinterpret_cast<uintptr_t>(b);
  return pa < pb + static_cast<uintptr_t>(m) && pb < pa + static_cast<uintptr_t>(n);
}

// Whether an array can be read and written as it is.
bool has_layout(PyObject* array, Layout layout) {
  const auto* proxy = array_proxy(array);
  if (!(proxy->flags & kAligned)) return false;
  if (layout != Layout::rows || proxy->nd == 0) {
    return layout == Layout::strided || (proxy->flags & kContiguous);
  }
  const int last = proxy->nd - 1;
  return proxy->dimensions[last] <= 1 ||
         proxy->strides[last] == static_cast<py::ssize_t>(sizeof(float));
}

// Of all its elements, whatever the strides.
Extent extent_of(const float* data, int ndim, const py::ssize_t* shape,
                 const py::ssize_t* strides) {
  const char* first = reinterpret_cast<const char*>(data);
  auto bytes = static_cast<py::ssize_t>(sizeof(float));
  for (int i = 0; i < ndim; ++i) {
    if (shape[i] == 0) return {data, 0};
    const py::ssize_t span = (shape[i] - 1) * strides[i];
    if (span < 0) first += span;
    bytes += span < 0 ? -span : span;
  }
  return {first, bytes};
}

py::ssize_t step_of(py::ssize_t stride) { return stride / static_cast<py::ssize_t>(sizeof(float)); }

// An array over a block of large_blocks.h, which its base, a capsule, gives back at the end.
py::array new_large_array(const py::ssize_t* dims, int ndim, py::ssize_t count) {
  LargeBlock block = take_large_block(count);
  float* data = block->data();
  const py::capsule base(block.get(), [](void* memory) {
    keep_large_block(LargeBlock(static_cast<FloatBuffer*>(memory)));
  });
  (void)block.release();  // the capsule's from here on
  return py::array_t<float>(Shape(dims, dims + ndim), data, base);
}

}  // namespace

std::string shape_text(const py::ssize_t* dims, int ndim) {
  std::string text = "(";
  for (int i = 0; i < ndim; ++i) text += (i ? ", " : "") + std::to_string(dims[i]);
  return text + (ndim == 1 ? ",)" : ")");
}

void throw_value(Where where, const std::string& message) {
  throw py::value_error(std::string(where.op) + "(): argument '" + where.argument + "' " + message);
}

void throw_type(Where where, const std::string& message) {
  throw py::type_error(std::string(where.op) + "(): argument '" + where.argument + "' " + message);
}

py::ssize_t product(const py::ssize_t* dims, int ndim) {
  py::ssize_t count = 1;
  for (int i = 0; i < ndim; ++i) {
    if (dims[i] == 0) return 0;
  }
  for (int i = 0; i < ndim; ++i) {
    if (count > PY_SSIZE_T_MAX / static_cast<py::ssize_t>(sizeof(float)) / dims[i]) {
      throw py::value_error("a result of shape " + shape_text(dims, ndim) + " is too large");
    }
    count *= dims[i];
  }
  return count;
}

py::array new_array(const py::ssize_t* dims, int ndim) {
  const py::ssize_t count = product(dims, ndim);
  if (count >= kLargeFloats) return new_large_array(dims, ndim, count);
  Py_INCREF(float32_descr());
  PyObject* array =
      api().PyArray_NewFromDescr_(api().PyArray_Type_, float32_descr(), ndim,
                                  const_cast<py::ssize_t*>(dims), nullptr, nullptr, 0, nullptr);
  if (!array) throw py::error_already_set();
  return py::reinterpret_steal<py::array>(array);
}

float* array_data(py::handle array) {
  return reinterpret_cast<float*>(array_proxy(array.ptr())->data);
}

Input::Input(py::handle source, Where where, Layout layout) {
  PyObject* object = source.ptr();
  if (api().PyArray_Check_(object) && is_native_float32(object) && has_layout(object, layout)) {
    adopt(object);
    return;
  }
  convert(source, where);
}

void Input::adopt(PyObject* array) {
  const auto* proxy = array_proxy(array);
  data_ = reinterpret_cast<const float*>(proxy->data);
  ndim_ = proxy->nd;
  shape_ = proxy->dimensions;
  strides_ = proxy->strides;
}

py::ssize_t Input::step(int i) const { return step_of(strides_[i]); }

Extent Input::extent() const { return extent_of(data_, ndim_, shape_, strides_); }

void Input::convert(py::handle source, Where where) {
  py::object array = api().PyArray_Check_(source.ptr()) ? py::reinterpret_borrow<py::object>(source)
                                                        : array_from(source, where);
  if (!is_native_float32(array.ptr())) throw_dtype(array, where);
  Py_INCREF(float32_descr());
  PyObject* copy =
      api().PyArray_FromAny_(array.ptr(), float32_descr(), 0, 0, kContiguous | kAligned, nullptr);
  if (!copy) throw py::error_already_set();
  owner_ = py::reinterpret_steal<py::object>(copy);
  adopt(copy);
}

py::ssize_t Input::size() const {
  py::ssize_t count = 1;
  for (int i = 0; i < ndim_; ++i) count *= shape_[i];
  return count;
}

void OptionalInput::require_shape(const py::ssize_t* dims, int ndim, Where where) const {
  if (!input_) return;
  if (input_->ndim() == ndim && std::equal(dims, dims + ndim, input_->shape())) return;
  throw_value(where, "must have shape " + shape_text(dims, ndim) + ", got " + input_->text());
}

Output::Output(py::handle out, const py::ssize_t* dims, int ndim, const char* op,
               const char* argument, Layout layout) {
  count_ = product(dims, ndim);
  if (out.is_none()) {
    result_ = new_array(dims, ndim);
    data_ = array_data(result_);
    return;
  }
  check(out, dims, ndim, {op, argument}, layout);
  result_ = py::reinterpret_borrow<py::object>(out);
}

void Output::check(py::handle out, const py::ssize_t* dims, int ndim, Where where, Layout layout) {
  if (!api().PyArray_Check_(out.ptr())) {
    throw_type(where, "must be a float32 ndarray, got " + type_name(out));
  }
  const auto* proxy = array_proxy(out.ptr());
  if (!is_native_float32(out.ptr())) throw_type(where, "must be float32, got " + dtype_text(out));
  if (proxy->nd != ndim || !std::equal(dims, dims + ndim, proxy->dimensions)) {
    throw_value(where, "must have shape " + shape_text(dims, ndim) + ", got " +
                           shape_text(proxy->dimensions, proxy->nd));
  }
  if (!(proxy->flags & kWriteable)) throw_value(where, "is read-only");
  needs_temporary_ = !has_layout(out.ptr(), layout);
  data_ = reinterpret_cast<float*>(proxy->data);
  own_ = extent_of(data_, proxy->nd, proxy->dimensions, proxy->strides);
}

void Output::avoid(const float* input, py::ssize_t count, bool same_ok) {
  if (same_ok && input == data_ && count == count_) return;
  avoid_memory(input, count * static_cast<py::ssize_t>(sizeof(float)));
}

void Output::avoid_memory(const void* memory, py::ssize_t bytes) {
  if (needs_temporary_ || !memory || bytes == 0 || count_ == 0) return;
  needs_temporary_ = overlap(own_.data, own_.bytes, memory, bytes);
}

float* Output::data() {
  if (needs_temporary_ && !temporary_) {
    const auto* proxy = array_proxy(result_.ptr());
    temporary_ = new_array(proxy->dimensions, proxy->nd);
    data_ = array_data(temporary_);
  }
  return data_;
}

py::ssize_t Output::step(int i) const {
  return step_of(array_proxy((temporary_ ? temporary_ : result_).ptr())->strides[i]);
}

py::array Output::finish() {
  if (temporary_ && api().PyArray_CopyInto_(result_.ptr(), temporary_.ptr()) != 0) {
    throw py::error_already_set();
  }
  return py::reinterpret_steal<py::array>(result_.release());
}

void ReleaseGil::restore(PyThreadState* state) {
  try {
    PyEval_RestoreThread(state);
  } catch (...) {
    // The interpreter is ending: until Python 3.13 it then unwinds a daemon thread that asks for the
    // GIL, and unwinding must not leave a destructor. The thread waits for the process to end, as
    // Python 3.14 has it.
    while (true) std::this_thread::sleep_for(std::chrono::hours(1));
  }
}

}  // namespace forwardpass
