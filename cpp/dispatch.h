// Which instruction set runs. Chosen on first use: the best one that the processor, the operating
// system and the build have, or the one named by the environment variable FORWARDPASS_ISA.
#pragma once

#include <string>
#include <vector>

#include "kernels.h"

namespace forwardpass {

// The table in use. Throws std::runtime_error where FORWARDPASS_ISA names a set that is unknown or
// not available, with the list of choices.
const Kernels& kernels();

// Names that set_isa takes on this machine, best first.
std::vector<std::string> available_isas();

// For tests: later calls and later packs use this set. Throws std::invalid_argument.
void set_isa(const std::string& name);

}  // namespace forwardpass
