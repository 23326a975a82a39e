// Runners of operators, for the table in bits_ops.cpp.
#pragma once

#include "bits.h"

namespace forwardpass {
namespace tools {

// bits_attention.cpp
void run_attention(Call& call);

// bits_planes.cpp: activations with parameters, pooling, norms by channel, bags, resizing,
// rotary.
void run_hardtanh(Call& call);
void run_softplus(Call& call);
void run_glu(Call& call);
void run_swiglu(Call& call);
void run_prelu(Call& call);
void run_max_pool(Call& call);
void run_avg_pool(Call& call);
void run_adaptive_avg_pool(Call& call);
void run_group_norm(Call& call);
void run_batch_norm(Call& call);
void run_normalize(Call& call);
void run_renorm(Call& call);
void run_embedding_bag(Call& call);
void run_outer_product(Call& call);
void run_resize(Call& call);
void run_rotary_table(Call& call);
void run_rotary_embedding(Call& call);

// bits_recurrent.cpp
void run_recurrent(Call& call);

// bits_arithmetic.cpp
void run_matmul(Call& call);
void run_reduction(Call& call);
void run_function(Call& call);
void run_pow(Call& call);

// A second way to the same result (packed and raw, say): throws where the bits differ; any NaN
// equals any other.
void require_same(const Call& call, const float* a, const float* b, int64_t size, const char* what);

// The dimension `dim` of x, counted from the front.
inline size_t dimension_of(const Call& call, const Array& x) {
  const int64_t dim = call.integer("dim");
  return static_cast<size_t>(dim < 0 ? dim + (x.ndim() ? x.ndim() : 1) : dim);
}

}  // namespace tools
}  // namespace forwardpass
