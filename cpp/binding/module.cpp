#include "module.h"

#include "../dispatch.h"
#include "../parallel.h"

// Importing does no work but to read FORWARDPASS_ISA and FORWARDPASS_NUM_THREADS, so that a wrong
// value fails here, with the choices, and not in the middle of a run.
PYBIND11_MODULE(_core, m) {
  m.doc() = "The compiled half of forwardpass: checks of arguments, and the operations.";
  forwardpass::kernels();
  forwardpass::check_thread_environment();
  forwardpass::bind_linear(m);
  forwardpass::bind_conv1d(m);
  forwardpass::bind_conv2d(m);
  forwardpass::bind_attention(m);
  forwardpass::bind_arithmetic(m);
  forwardpass::bind_elements(m);
  forwardpass::bind_pool(m);
  forwardpass::bind_channels(m);
  forwardpass::bind_tables(m);
  forwardpass::bind_rotary(m);
  forwardpass::bind_rows(m);
  forwardpass::bind_self_attention(m);
  forwardpass::bind_recurrent(m);
  forwardpass::bind_recurrent_layer(m);
  forwardpass::bind_system(m);
}
