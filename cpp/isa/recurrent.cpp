#include "../kernels/recurrent.h"

#include "../kernels/recurrent_ahead.h"

namespace forwardpass {
namespace FP_ISA {

extern const RecurrentKernels recurrent_kernels;
const RecurrentKernels recurrent_kernels = {{rnn_tanh_rows, rnn_relu_rows, lstm_rows, gru_rows},
                                            FP_LINEAR_NR == kPanel ? step_ahead : nullptr};

}  // namespace FP_ISA
}  // namespace forwardpass
