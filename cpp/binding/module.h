// The parts of the extension module; module.cpp calls each once.
#pragma once

#include <pybind11/pybind11.h>

namespace forwardpass {

void bind_linear(pybind11::module_& m);
void bind_conv1d(pybind11::module_& m);
void bind_conv2d(pybind11::module_& m);
void bind_attention(pybind11::module_& m);
void bind_arithmetic(pybind11::module_& m);  // matmul, sums, sin, cos, pow
void bind_elements(pybind11::module_& m);    // element-wise functions
void bind_pool(pybind11::module_& m);
void bind_channels(pybind11::module_& m);  // norms by channel, p-norms
void bind_tables(pybind11::module_& m);    // bags of embeddings, resizing
void bind_rotary(pybind11::module_& m);    // rotary position embeddings
void bind_rows(pybind11::module_& m);      // norms, softmax, embedding
void bind_self_attention(pybind11::module_& m);
void bind_recurrent(pybind11::module_& m);
void bind_recurrent_layer(pybind11::module_& m);
void bind_system(pybind11::module_& m);  // instruction sets, threads, versions

}  // namespace forwardpass
