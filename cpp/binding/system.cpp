#include <pybind11/typing.h>

#include <string>

#include "../dispatch.h"
#include "../parallel.h"
#include "arguments.h"
#include "large_blocks.h"
#include "module.h"

namespace forwardpass {
namespace {

py::typing::Tuple<py::str, py::ellipsis> isa_names() {
  py::list names;
  for (const std::string& name : available_isas()) names.append(name);
  return py::tuple(names);
}

constexpr int kMostThreads = 100000;

int thread_count(py::handle n, const char* op) {
  const Where where{op, "n"};
  const int64_t count = whole_number(n, where);
  if (count < 1 || count > kMostThreads) {
    throw_value(where, "must be from 1 to " + std::to_string(kMostThreads) + ", got " +
                           std::to_string(count));
  }
  return static_cast<int>(count);
}

py::typing::Dict<py::str, py::str> build_info() {
  py::typing::Dict<py::str, py::str> info;
#if defined(__clang__)
  info["compiler"] = "clang " __clang_version__;
#elif defined(__GNUC__)
  info["compiler"] = "gcc " __VERSION__;
#elif defined(_MSC_VER)
  info["compiler"] = "msvc " + std::to_string(_MSC_FULL_VER);
#else
  info["compiler"] = "unknown";
#endif
  info["flags"] = FP_BUILD_FLAGS;
  info["instruction_sets"] = FP_BUILD_ISAS;
  info["openmp"] = built_with_openmp() ? "yes" : "no";
  info["cxx_standard"] = std::to_string(__cplusplus);
  return info;
}

}  // namespace

void bind_system(py::module_& m) {
  m.attr("__version__") = FP_VERSION;
  m.attr("numerics_version") = kNumericsVersion;
  m.def("isa", [] { return kernels().isa; }, "The instruction set in use.");
  m.def("available_isas", &isa_names, "Instruction sets that run here, best first.");
  m.def("_set_isa", [](const std::string& name) { set_isa(name); }, py::arg("name"));
  m.def("get_num_threads", &num_threads);
  m.def(
      "set_num_threads", [](py::handle n) { set_num_threads(thread_count(n, "set_num_threads")); },
      py::arg("n"));
  m.def(
      "_push_threads",
      [](py::handle n) { return push_thread_override(thread_count(n, "threads")); }, py::arg("n"));
  m.def("_pop_threads", &pop_thread_override, py::arg("previous"));
  m.def("thread_source", &thread_source, "Where the number of threads comes from.");
  m.def("thread_backend", &thread_backend, "What threads come from: 'pool' or 'openmp'.");
  m.def("_set_thread_backend", &set_thread_backend, py::arg("name"));
  m.def("empty_cache", &release_large_blocks,
        "Gives the memory kept for results of 256 KiB and more back to the system.");
  m.def("_kept_bytes", [] { return kept_large_floats() * sizeof(float); });
  m.def("build_info", &build_info);
  m.def(
      "_probe_fma",
      [](int64_t rounds) {
        const ReleaseGil release;
        return kernels().probe->fma(rounds);
      },
      py::arg("rounds"),
      "Runs independent fma and returns the floating-point operations done; for benchmarks.");
  m.def(
      "_probe_read",
      [](py::handle array) {
        const Input x(array, {"_probe_read", "array"});
        const ReleaseGil release;
        return kernels().probe->read(x.data(), x.size());
      },
      py::arg("array"), "Reads a float32 array through once; for benchmarks.");
}

}  // namespace forwardpass

// For threadpoolctl, which looks for C symbols (python/forwardpass/_threadpoolctl.py).
extern "C" PYBIND11_EXPORT int forwardpass_get_num_threads() { return forwardpass::num_threads(); }

// For the calling thread, like omp_set_num_threads. threadpoolctl lifts a limit by setting the number
// that it found before; where the thread has that number anyway, it is left without a limit.
extern "C" PYBIND11_EXPORT void forwardpass_limit_num_threads(int n) {
  n = n < 1 ? 1 : n > forwardpass::kMostThreads ? forwardpass::kMostThreads : n;
  forwardpass::pop_thread_override(0);
  if (n != forwardpass::num_threads()) forwardpass::push_thread_override(n);
}
