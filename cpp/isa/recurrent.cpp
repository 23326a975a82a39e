#include "../kernels/recurrent.h"

namespace forwardpass {
namespace FP_ISA {

extern const RecurrentKernels recurrent_kernels;
const RecurrentKernels recurrent_kernels = {{rnn_tanh_rows, rnn_relu_rows, lstm_rows, gru_rows}};

}  // namespace FP_ISA
}  // namespace forwardpass
