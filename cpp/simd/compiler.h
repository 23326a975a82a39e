// The compiler-specific words, all of them, so that no other room needs GNU syntax.
#pragma once

#if defined(__FAST_MATH__) || defined(_M_FP_FAST)
#error "forwardpass promises the same bits everywhere: build it without -ffast-math"
#endif

#if defined(__GNUC__) || defined(__clang__)
#define FP_INLINE inline __attribute__((always_inline))
#if defined(__clang__)
#define FP_NOINLINE __attribute__((noinline))
#else  // nor once more for an argument that happens to be constant
#define FP_NOINLINE __attribute__((noinline, noclone))
#endif
#define FP_INLINE_LAMBDA __attribute__((always_inline))
#define FP_RESTRICT __restrict__
// The compiler must not know any more where pointer p comes from: what it points to is read again.
#define FP_FORGET(p) __asm__("" : "+r"(p))
#define FP_PREFETCH_L1(p) __builtin_prefetch(p, 0, 3)
#define FP_PREFETCH_L2(p) __builtin_prefetch(p, 0, 2)
#define FP_PREFETCH_WRITE(p) __builtin_prefetch(p, 1, 3)
#define FP_PRAGMA(text) _Pragma(#text)
#if defined(FP_TARGET_SCALAR)
#define FP_UNROLL  // loops over arrays of 16 lanes: unrolled they were a third of the wheel, no faster
#elif defined(__clang__)
#define FP_UNROLL FP_PRAGMA(clang loop unroll(full))
#else
#define FP_UNROLL FP_PRAGMA(GCC unroll 64)
#endif
#elif defined(_MSC_VER)
#define FP_INLINE __forceinline
#define FP_NOINLINE __declspec(noinline)
#define FP_INLINE_LAMBDA
#define FP_RESTRICT __restrict
#define FP_FORGET(p) ((void)(p))
#define FP_PREFETCH_L1(p) ((void)(p))
#define FP_PREFETCH_L2(p) ((void)(p))
#define FP_PREFETCH_WRITE(p) ((void)(p))
#define FP_UNROLL
#else
#define FP_INLINE inline
#define FP_NOINLINE
#define FP_INLINE_LAMBDA
#define FP_RESTRICT
#define FP_FORGET(p) ((void)(p))
#define FP_PREFETCH_L1(p) ((void)(p))
#define FP_PREFETCH_L2(p) ((void)(p))
#define FP_PREFETCH_WRITE(p) ((void)(p))
#define FP_UNROLL
#endif
