#include "../kernels/table.h"

#include "../kernels/rotary.h"

namespace forwardpass {
namespace FP_ISA {

extern const TableKernels table_kernels;
const TableKernels table_kernels = {bag_of_rows, blend_rows, rotate_halves, rotate_pairs};

}  // namespace FP_ISA
}  // namespace forwardpass
