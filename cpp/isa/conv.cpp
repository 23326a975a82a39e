#include "../kernels/conv1d.h"
#include "../kernels/conv2d.h"
#include "../kernels/conv_lanes.h"

namespace forwardpass {
namespace FP_ISA {

extern const ConvKernels conv_kernels;
const ConvKernels conv_kernels = {{kConvMR, conv1d_pack, conv1d_unpack, conv1d_run},
                                  {kConvMR, conv2d_run, kLanesNR, kLanesRow, conv2d_run_lanes}};

}  // namespace FP_ISA
}  // namespace forwardpass
