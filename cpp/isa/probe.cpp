#include "../kernels/probe.h"

namespace forwardpass {
namespace FP_ISA {

extern const ProbeKernels probe_kernels;
const ProbeKernels probe_kernels = {probe_fma, probe_read};

}  // namespace FP_ISA
}  // namespace forwardpass
