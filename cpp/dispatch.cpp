#include "dispatch.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#include "simd/cpu.h"

namespace forwardpass {

// Every set this build holds, best first. FP_HAVE_* come from the CMake loop that compiles them.
#if defined(FP_HAVE_AVX512)
#define FP_AVX512(X) X(avx512, cpu.avx512)
#else
#define FP_AVX512(X)
#endif
#if defined(FP_HAVE_AVX2)
#define FP_AVX2(X) X(avx2, cpu.avx2)
#else
#define FP_AVX2(X)
#endif
#if defined(FP_HAVE_NEON)
#define FP_NEON(X) X(neon, cpu.neon)
#else
#define FP_NEON(X)
#endif
#define FP_FOR_EACH_ISA(X) FP_AVX512(X) FP_AVX2(X) FP_NEON(X) X(scalar, true)

#define FP_DECLARE(isa, supported)                 \
  namespace isa {                                  \
  extern const UnaryKernels unary_kernels;         \
  extern const LinearKernels linear_kernels;       \
  extern const ConvKernels conv_kernels;           \
  extern const AttentionKernels attention_kernels; \
  extern const NormKernels norm_kernels;           \
  extern const PoolKernels pool_kernels;           \
  extern const TableKernels table_kernels;         \
  extern const RecurrentKernels recurrent_kernels; \
  extern const ProbeKernels probe_kernels;         \
  }
FP_FOR_EACH_ISA(FP_DECLARE)
#undef FP_DECLARE

namespace {

// Tables of the sets that run here, best first.
std::vector<const Kernels*> supported_tables() {
  const CpuFeatures cpu = detect_cpu();
  (void)cpu;
  std::vector<const Kernels*> tables;
#define FP_TABLE(isa, supported)                                 \
  static const Kernels isa##_table = {#isa,                      \
                                      &isa::unary_kernels,       \
                                      &isa::linear_kernels,      \
                                      &isa::conv_kernels.conv1d, \
                                      &isa::conv_kernels.conv2d, \
                                      &isa::attention_kernels,   \
                                      &isa::norm_kernels,        \
                                      &isa::pool_kernels,        \
                                      &isa::table_kernels,       \
                                      &isa::recurrent_kernels,   \
                                      &isa::probe_kernels};      \
  if (supported) tables.push_back(&isa##_table);
  FP_FOR_EACH_ISA(FP_TABLE)
#undef FP_TABLE
  return tables;
}

const std::vector<const Kernels*>& tables() {
  static const std::vector<const Kernels*> found = supported_tables();
  return found;
}

const Kernels* find(const std::string& name) {
  for (const Kernels* table : tables()) {
    if (name == table->isa) return table;
  }
  return nullptr;
}

std::string choices() {
  std::string list;
  for (const Kernels* table : tables())
    list += (list.empty() ? "" : ", ") + std::string(table->isa);
  return list;
}

const Kernels* choose() {
  const char* forced = std::getenv("FORWARDPASS_ISA");
  if (!forced || !*forced) return tables().front();
  if (const Kernels* table = find(forced)) return table;
  throw std::runtime_error(
      "FORWARDPASS_ISA='" + std::string(forced) +
      "' is not an instruction set of this build and machine; choose one of: " + choices());
}

std::atomic<const Kernels*> current{nullptr};

}  // namespace

const Kernels& kernels() {
  const Kernels* table = current.load(std::memory_order_acquire);
  if (!table) {
    table = choose();
    current.store(table, std::memory_order_release);
  }
  return *table;
}

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const Kernels* table : tables()) names.emplace_back(table->isa);
  return names;
}

void set_isa(const std::string& name) {
  const Kernels* table = find(name);
  if (!table) {
    throw std::invalid_argument("isa '" + name +
                                "' is not available here; choose one of: " + choices());
  }
  current.store(table, std::memory_order_release);
}

}  // namespace forwardpass
