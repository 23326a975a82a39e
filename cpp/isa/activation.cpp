#include "../kernels/activation.h"

namespace forwardpass {
namespace FP_ISA {

extern const UnaryKernels unary_kernels;
const UnaryKernels unary_kernels = {{
#define FP_ENTRY(name) map_##name,
                                        FP_FOR_EACH_UNARY(FP_ENTRY)
#undef FP_ENTRY
                                    },
                                    map_hardtanh,
                                    map_softplus,
                                    zip_glu,
                                    zip_swiglu,
                                    zip_prelu,
                                    map_scale};

}  // namespace FP_ISA
}  // namespace forwardpass
