#include "../kernels/pool.h"

namespace forwardpass {
namespace FP_ISA {

extern const PoolKernels pool_kernels;
const PoolKernels pool_kernels = {pool_rows<Largest>, pool_rows<Average>};

}  // namespace FP_ISA
}  // namespace forwardpass
