// Norms with a weight and a bias for a channel, and p-norms.
#include "../dispatch.h"
#include "../fpenv.h"
#include "../ops.h"
#include "pieces.h"

namespace forwardpass {

void normalize(const float* x, float p, float eps, int64_t outer, int64_t n, int64_t inner,
               float* y) {
  const FloatEnvironment environment;
  const NormKernels& norm = *kernels().norm;
  over_dimension(x, outer, n, inner, y, [&](const float* rows, int64_t count, float* to) {
    norm.normalize(rows, p, eps, count, n, to);
  });
}

void renorm(const float* x, float p, float most, int64_t rows, int64_t n, float* y) {
  const FloatEnvironment environment;
  const NormKernels& norm = *kernels().norm;
  over_rows(rows, n, [&](int64_t r, int64_t count) {
    norm.renorm(x + r * n, p, most, count, n, y + r * n);
  });
}

void group_norm(const float* x, const float* weight, const float* bias, float eps, int64_t batch,
                int64_t groups, int64_t channels, int64_t inner, float* y) {
  const FloatEnvironment environment;
  const NormKernels& norm = *kernels().norm;
  const int64_t each = channels / groups, n = each * inner;
  over_rows(batch * groups, n, [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r) {
      const int64_t c = r % groups * each;
      norm.group_norm(x + r * n, weight ? weight + c : nullptr, bias ? bias + c : nullptr, eps,
                      each, inner, y + r * n);
    }
  });
}

void batch_norm(const float* x, const float* mean, const float* var, const float* weight,
                const float* bias, float eps, int64_t batch, int64_t channels, int64_t inner,
                float* y) {
  const FloatEnvironment environment;
  const NormKernels& norm = *kernels().norm;
  if (channels == 0) return;
  FloatBuffer scales(channels);
  const float* scale = scales.data();
  norm.channel_scale(var, weight, eps, channels, scales.data());
  if (inner == 1) {
    over_rows(batch, channels, [&](int64_t first, int64_t count) {
      for (int64_t r = first; r < first + count; ++r) {
        norm.channels_norm(x + r * channels, mean, scale, bias, channels, y + r * channels);
      }
    });
    return;
  }
  over_rows(batch * channels, inner, [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r) {
      const int64_t c = r % channels;
      norm.channel_norm(x + r * inner, mean[c], scale[c], bias ? bias + c : nullptr, inner,
                        y + r * inner);
    }
  });
}

}  // namespace forwardpass
