#include "../kernels/norm.h"

namespace forwardpass {
namespace FP_ISA {

extern const NormKernels norm_kernels;
const NormKernels norm_kernels = {rms_norm_rows, layer_norm_rows, softmax_rows, log_softmax_rows};

}  // namespace FP_ISA
}  // namespace forwardpass
