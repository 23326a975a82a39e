#include "../kernels/conv1d.h"

namespace forwardpass {
namespace FP_ISA {

extern const Conv1dKernels conv1d_kernels;
const Conv1dKernels conv1d_kernels = {kConvMR, conv1d_pack, conv1d_unpack, conv1d_run};

}  // namespace FP_ISA
}  // namespace forwardpass
