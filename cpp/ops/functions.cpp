// sin, cos and pow by our own double precision, rounded once: for positions and scores, not for
// activations, so scalar.
#include "../fpenv.h"
#include "../ops.h"
#include "double_math.h"
#include "pieces.h"

namespace forwardpass {
namespace {

constexpr int64_t kFew = 1 << 11;  // elements worth a thread: about 20 ns each

template <class F>
void each(int64_t n, const F& f) {
  in_pieces(n, kFew, threads_for(n, 2 * kFew), [&](int64_t first, int64_t count) {
    for (int64_t i = first; i < first + count; ++i) f(i);
  });
}

bool is_whole(double y) { return floor(y) == y; }
bool is_odd(double y) { return is_whole(y) && !is_whole(y / 2); }

// As C's pow: 1 for y = 0 and for x = 1, NaN for x < 0 and y not whole.
float power(float base, float exponent) {
  const double x = static_cast<double>(base), y = static_cast<double>(exponent);
  if (y == 0 || x == 1) return 1.0f;
  if (x != x || y != y) return NAN;
  const double size = fabs(x);
  const bool negative = signbit(x) && is_odd(y);
  double value = 0;
  if (isinf(y)) {
    value = size == 1 ? 1 : (size > 1) == (y > 0) ? INFINITY : 0;
  } else if (size == 0 || isinf(x)) {
    value = (size == 0) == (y > 0) ? 0 : INFINITY;
  } else if (x < 0 && !is_whole(y)) {
    return NAN;
  } else {
    const double t = y * log_of(size);
    value = t > 200 ? INFINITY : t < -200 ? 0 : exp_of(t);  // float32 ends at -104 and 89
  }
  return static_cast<float>(negative ? -value : value);
}

}  // namespace

void sine(const float* x, float* y, int64_t n) {
  const FloatEnvironment environment;
  each(n, [&](int64_t i) {  // an odd function, and the zero keeps its sign
    const double v = static_cast<double>(x[i]);
    y[i] = v == 0 ? x[i] : static_cast<float>(v < 0 ? -sin_cos_any(-v).sin : sin_cos_any(v).sin);
  });
}

void cosine(const float* x, float* y, int64_t n) {
  const FloatEnvironment environment;
  each(n, [&](int64_t i) {
    y[i] = static_cast<float>(sin_cos_any(fabs(static_cast<double>(x[i]))).cos);
  });
}

void pow(const float* x, const float* exponent, int64_t n, bool one_base, bool one_exponent,
         float* y) {
  const FloatEnvironment environment;
  each(n, [&](int64_t i) { y[i] = power(x[one_base ? 0 : i], exponent[one_exponent ? 0 : i]); });
}

}  // namespace forwardpass
