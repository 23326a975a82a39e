#include "conv_plan.h"

#include <algorithm>
#include <map>

namespace forwardpass {
namespace {

int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

}  // namespace

ConvAxis::ConvAxis(const ConvGeometry& g, bool transposed) {
  if (!transposed) {
    step = g.stride;
    phases.resize(1);
    for (int64_t k = 0; k < g.taps; ++k) phases[0].push_back({k, k * g.dilation - g.pad_before});
    return;
  }
  phases.resize(static_cast<size_t>(g.stride));
  for (int64_t k = 0; k < g.taps; ++k) {
    // The phase q with q + pad = k * dilation modulo the stride.
    const int64_t behind = k * g.dilation - g.pad_before;
    const int64_t q = behind - floor_div(behind, g.stride) * g.stride;
    phases[static_cast<size_t>(q)].push_back({k, (q - behind) / g.stride});
  }
}

ConvCopies::ConvCopies(const ConvAxis& axis, Kind kind) {
  std::map<int64_t, int64_t> known;  // place, or residue modulo the step -> copy
  const auto key = [&](int64_t at) {
    return kind == kApart ? at : at - floor_div(at, axis.step) * axis.step;
  };
  for (const auto& taps : axis.phases) {
    for (const auto& tap : taps) {
      const auto found = known.emplace(key(tap.at), count());
      if (found.second) {
        first.push_back(tap.at);
      } else {
        int64_t& least = first[static_cast<size_t>(found.first->second)];
        least = std::min(least, tap.at);
      }
    }
  }
  dense = axis.count() == 1;
  for (size_t i = 1; i < axis.phases[0].size(); ++i) {
    dense = dense && axis.phases[0][i].at == axis.phases[0][i - 1].at + 1;
  }
  for (const auto& taps : axis.phases) {
    uses.emplace_back();
    for (const auto& tap : taps) {
      const int64_t copy = known[key(tap.at)];
      const int64_t shift = (tap.at - first[static_cast<size_t>(copy)]) / axis.step;
      uses.back().push_back({copy, shift});
      reach = std::max(reach, shift);
    }
  }
}

ConvLayout::ConvLayout(const ConvShape& shape)
    : rows(shape.rows, shape.transposed),
      cols(shape.cols, shape.transposed),
      row_copies(rows, ConvCopies::kShared),
      shared(cols, ConvCopies::kShared),
      apart(cols, ConvCopies::kApart) {}

}  // namespace forwardpass
