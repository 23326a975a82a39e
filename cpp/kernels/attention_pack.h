// Keys and values of attention: where and how the products read them.
#pragma once

#include "attention_rows.h"
#include "load_block.h"

namespace forwardpass {
namespace FP_ISA {
namespace {

// Keys [k0, k0 + n) to panels of kPanel, [panel][width][kPanel], the last filled up with +0.
FP_INLINE void pack_keys(const AttentionTile& t, int64_t k0, int64_t n) {
  const int64_t ld = t.a.k_step[2], width = t.a.width;
  f32x16 v[8];
  for (int64_t j = 0; j < n; j += 16) {
    const float* from = t.k_head + (k0 + j) * ld;
    float* to = t.keys + j / kPanel * kPanel * width + j % kPanel;
    int64_t i = 0;
    if (n - j >= 16) {
      for (; i + 8 <= width; i += 8) {
        load_transposed(from + i, ld, v);
        FP_UNROLL
        for (int c = 0; c < 8; ++c) store(to + (i + c) * kPanel, v[c]);
      }
    }
    for (; i < width; i += 8) {
      const int64_t left = min64(width - i, 8);
      load_block(from + i, ld, min64(n - j, 16), left, v);
      for (int64_t c = 0; c < left; ++c) store(to + (i + c) * kPanel, v[c]);
    }
  }
}

// Values of keys [k0, k0 + n): how the products read them, and whether all are finite.
struct Values {
  const float* data;
  int64_t ld;  // 0: panels of kPanel columns, [panel][key][kPanel], the last as wide as needed
  bool finite;
};

FP_INLINE bool all_finite(f32x16 times_zero) { return reduce_add(times_zero) == 0.0f; }

FP_NOINLINE Values copied_values(const AttentionTile& t, int64_t k0, int64_t n) {
  f32x16 bad = zero();
  for (int64_t c = 0; c < t.padded; c += kPanel) {
    const int64_t width = min64(t.a.value_width - c, kPanel), ld = min64(t.padded - c, kPanel);
    for (int64_t j = 0; j < n; ++j) {
      const float* from = t.v_head + (k0 + j) * t.a.v_step[2] + c;
      float* to = t.values + c * n + j * ld;
      for_vectors(width, [&](int64_t i, int64_t lanes) FP_INLINE_LAMBDA {
        const f32x16 v = lanes == 16 ? load(from + i) : load_n(from + i, lanes);
        bad = fma(v, zero(), bad);
        store(to + i, v);
      });
    }
  }
  return {t.values, 0, all_finite(bad)};
}

// The same where they lie, rows of whole vectors; `check` asks for `finite`.
FP_INLINE Values values_in_place(const AttentionTile& t, int64_t k0, int64_t n, bool check) {
  const float* data = t.v_head + k0 * t.a.v_step[2];
  f32x16 bad = zero();
  for (int64_t j = 0; check && j < n; ++j) {
    const float* from = data + j * t.a.v_step[2];
    for (int64_t i = 0; i < t.padded; i += 16) bad = fma(load(from + i), zero(), bad);
  }
  return {data, t.a.v_step[2], check && all_finite(bad)};
}

// Fetches rows [r0, r1) of a matrix whose rows are ld floats apart, while other things are computed.
FP_INLINE void fetch_rows_ahead(const float* data, int64_t ld, int64_t width, int64_t r0,
                                int64_t r1) {
  for (int64_t r = r0; r < r1; ++r) {
    for (int64_t i = 0; i < width; i += 16) FP_PREFETCH_L2(data + r * ld + i);
  }
}

}  // namespace
}  // namespace FP_ISA
}  // namespace forwardpass
