#include "../kernels/linear.h"

namespace forwardpass {
namespace FP_ISA {

extern const LinearKernels linear_kernels;
const LinearKernels linear_kernels = {kMR, kNR, linear_pack, linear_unpack, linear_run};

}  // namespace FP_ISA
}  // namespace forwardpass
