#include "../kernels/norm.h"

#include "../kernels/channels.h"
#include "../kernels/normalize.h"
#include "../kernels/reduce.h"

namespace forwardpass {
namespace FP_ISA {

extern const NormKernels norm_kernels;
const NormKernels norm_kernels = {rms_norm_rows,     layer_norm_rows, softmax_rows,
                                  log_softmax_rows,  normalize_rows,  renorm_rows,
                                  group_norm_one,    channel_scales,  channel_norm_one,
                                  channels_norm_row, reduce_rows};

}  // namespace FP_ISA
}  // namespace forwardpass
