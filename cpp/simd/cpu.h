// What this processor and its operating system support. Compiler-specific words, hence here.
#pragma once

#include <stdint.h>

#if defined(__x86_64__) || defined(_M_X64) || defined(__i386__)
#define FP_X86 1
#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#include <xmmintrin.h>
#endif

namespace forwardpass {

struct CpuFeatures {
  bool avx2 = false;  // AVX2 + FMA, and the system saves ymm registers
  bool avx512 =
      false;          // AVX-512 F, DQ, BW, VL besides, and the system saves zmm and mask registers
  bool neon = false;  // Advanced SIMD: part of every AArch64
};

#if defined(FP_X86)
inline void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]) {
#if defined(_MSC_VER)
  int r[4];
  __cpuidex(r, static_cast<int>(leaf), static_cast<int>(subleaf));
  for (int i = 0; i < 4; ++i) out[i] = static_cast<uint32_t>(r[i]);
#else
  __cpuid_count(leaf, subleaf, out[0], out[1], out[2], out[3]);
#endif
}

// Register state the operating system saves (XCR0). Only valid where OSXSAVE is set.
inline uint64_t saved_state() {
#if defined(_MSC_VER)
  return _xgetbv(0);
#else
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
#endif
}

inline CpuFeatures detect_cpu() {
  CpuFeatures found;
  uint32_t r[4];
  cpuid(0, 0, r);
  if (r[0] < 7) return found;
  cpuid(1, 0, r);
  const uint32_t ecx1 = r[2];
  const bool osxsave = (ecx1 >> 27) & 1, avx = (ecx1 >> 28) & 1, fma = (ecx1 >> 12) & 1;
  if (!osxsave || !avx || !fma) return found;
  const uint64_t state = saved_state();
  cpuid(7, 0, r);
  const uint32_t ebx7 = r[1];
  found.avx2 = (state & 0x6) == 0x6 && ((ebx7 >> 5) & 1);
  const bool f = (ebx7 >> 16) & 1, dq = (ebx7 >> 17) & 1, bw = (ebx7 >> 30) & 1,
             vl = (ebx7 >> 31) & 1;
  found.avx512 = found.avx2 && (state & 0xe6) == 0xe6 && f && dq && bw && vl;
  return found;
}
#else
inline CpuFeatures detect_cpu() {
  CpuFeatures found;
#if defined(__aarch64__) || defined(_M_ARM64)
  found.neon = true;
#endif
  return found;
}
#endif

// For loops that wait for another thread.
inline void cpu_pause() {
#if defined(FP_X86)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// The floating-point control word: rounding mode, flush-to-zero, denormals-are-zero.
#if defined(FP_X86)
using ControlWord = uint32_t;
// Bits that change results: DAZ 0x40, rounding 0x6000, FTZ 0x8000; round-to-nearest is 0.
constexpr ControlWord kControlBits = 0xe040;
inline ControlWord control_word() { return _mm_getcsr(); }
inline void set_control_word(ControlWord word) { _mm_setcsr(word); }
#elif defined(__aarch64__)
using ControlWord = uint64_t;
// FPCR: rounding (bits 22-23), flush to zero FZ (24), default NaN DN (25); with FEAT_AFP also
// alternate handling AH (1) and flushed inputs FIZ (0). Round-to-nearest is 0.
constexpr ControlWord kControlBits = 0x3c00003;
inline ControlWord control_word() {
  ControlWord word;
  __asm__ volatile("mrs %0, fpcr" : "=r"(word));
  return word;
}
inline void set_control_word(ControlWord word) { __asm__ volatile("msr fpcr, %0" : : "r"(word)); }
#else
using ControlWord = uint32_t;
constexpr ControlWord kControlBits = 0;
inline ControlWord control_word() { return 0; }
inline void set_control_word(ControlWord) {}
#endif

}  // namespace forwardpass
