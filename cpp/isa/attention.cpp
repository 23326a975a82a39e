#include "../kernels/attention.h"

namespace forwardpass {
namespace FP_ISA {

extern const AttentionKernels attention_kernels;
const AttentionKernels attention_kernels = {kQueryRows, attention_scratch, attention_run};

}  // namespace FP_ISA
}  // namespace forwardpass
