// f32x16: sixteen float32 lanes, on every instruction set.
//
// Kernels are written once over this type. Because the number of lanes never changes, neither
// does the order of additions, and so neither do the result's bits (docs/numerics.md).
//
// The contract. A backend defines, in namespace forwardpass::FP_ISA and inside an unnamed
// namespace (so that no symbol leaves its object file), the types `f32x16` and `mask16` and:
//
//   set1(s)              all lanes s                      zero()        all lanes +0
//   load(p) store(p,v)   16 floats, any alignment
//   load_n(p,n)          lanes 0..n-1 from memory, the rest +0; touches no byte past p+n
//   load_or(p,n,v)       lanes 0..n-1 from memory, the rest of v
//   load_range(p,m,n)    lanes m..n-1 from memory, the rest +0; touches nothing else; 0 <= m, n <= 16
//   store_n(p,v,n)       lanes 0..n-1; 0 <= n <= 16
//   store_past(p,v)      past the caches, where the machine can; p a multiple of 64 bytes; end_past()
//                        orders such stores before all that follows
//   keep_n(v,n)          lanes 0..n-1 of v, the rest +0
//   add sub mul div      one correctly rounded operation a lane
//   fma(a,b,c)           a*b + c, one rounding            fnma(a,b,c)   c - a*b, one rounding
//   fma_low8(a,b,c)      fma in lanes 0 to 7; the other lanes are unspecified
//   sqrt(v)              correctly rounded
//   abs(v) neg(v)        bit operations                   copysign(m,s)
//   lt le gt eq (a,b)    mask; false where a lane is NaN (unordered)
//   is_nan(v)            mask                             mask_or(m,n)
//   select(m,a,b)        a where m, else b
//   max(a,b)             a > b ? a : b  (so b where either is NaN, and b of two zeros)
//   min(a,b)             a < b ? a : b  (so b where either is NaN, and b of two zeros)
//   scale2(v,n)          v * 2^n for whole n in [-252, 252], rounded once, where v is normal and
//                        |v| in [2^-30, 2^30]; NaN stays NaN; n is NaN only where v is
//   bits_and(v,u) bits_or(v,u)    with a 32-bit constant  bits_sub(v,i)  v's bits minus i
//   bits_add(v,w)        integer sum of two vectors' bits
//   bits_sra<S>(v)       arithmetic shift right           bits_sll<S>(v)   shift left, zeros in
//   int_to_float(v)      bits as int32 -> float
//   reduce_add(v)        ((lane i + lane i+8) -> +4 -> +2 -> +1), always this tree
//   reduce_max(v)        the same tree with max
//   evens(a,b) odds(a,b) lanes 0, 2, .. 14 of a, then of b; lanes 1, 3, .. 15
//   zip_lo zip_hi (a,b)  a0 b0 a1 b1 ... a7 b7; a8 b8 ... a15 b15
//   mixed_evens(a,b) mixed_odds(a,b)   evens, odds in an order of lanes that is the backend's own
//   in_order(v)          out of that order
//   mixed_slide(a,b)     lane 15 of a, then lanes 0..14 of b, all in that order
//   load_ahead<N>(p,a,b) load(p + N), 0 <= N < 16, where a is load(p) and b load(p + 16)
//   load_transposed(p,ld,v)   v[8]: lane j of v[i] = p[j * ld + i], so 16 rows of 8 floats
//   in_register(v)       v, which the compiler must hold in a register (where that pays)
//   kNativeLanes         floats in one of the machine's registers
//   FP_LINEAR_NR, FP_LINEAR_MR, FP_CONV_MR: tile sizes (see kernels/linear.h, kernels/conv_tile.h)
//
// NaN: any operation on a NaN gives a NaN; its sign and payload are unspecified.
#pragma once

#include "compiler.h"

#if defined(FP_TARGET_AVX512)
#define FP_ISA avx512
#include "avx512.h"
#elif defined(FP_TARGET_AVX2)
#define FP_ISA avx2
#include "avx2.h"
#elif defined(FP_TARGET_NEON)
#define FP_ISA neon
#include "neon.h"
#elif defined(FP_TARGET_SCALAR)
#define FP_ISA scalar
#include "scalar.h"
#else
#error "define one FP_TARGET_*: the build compiles each cpp/isa file once per instruction set"
#endif
