// The same bits, without Python: runs the cases of the bit tests and compares their digests with
// the committed table.
//
//     python -m forwardpass.bits --calls > calls.txt
//     cmake -S . -B build/bits -DFORWARDPASS_PYTHON=OFF && cmake --build build/bits --target bits
//     build/bits/bits calls.txt
//
// One line for each instruction set, and exit status 1 with the first differing case where there
// is one. The text carries the arrays as names for the generator, so a program that was
// cross-compiled needs nothing else. CI runs it for x86-64 and AArch64, from several compilers and
// under the sanitizers.
#include "bits.h"

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>

#include "../dispatch.h"
#include "../parallel.h"
#include "../simd/cpu.h"

namespace {

using namespace forwardpass;
using namespace forwardpass::tools;

constexpr const char* kUsage =
    "usage: bits [--isa NAME] [--threads N] [--split N] [--hostile] [--print] CALLS [CASE ...]\n"
    "  CALLS        from `python -m forwardpass.bits --calls`; - is standard input\n"
    "  CASE         only the cases whose names begin so\n"
    "  --isa NAME   only this instruction set; the default is every one that runs here\n"
    "  --threads N  the default is 1\n"
    "  --split N    batches in pieces of N rows, each a call of its own\n"
    "  --hostile    flush-to-zero and rounding toward zero set before every call\n"
    "  --print      print the digests instead of comparing them\n";

struct Options {
  std::string isa, calls;
  int threads = 1;
  int64_t split = 0;
  bool hostile = false, print = false;
  std::vector<std::string> prefixes;
};

int64_t positive(const char* text) {
  char* end = nullptr;
  const int64_t n = std::strtoll(text, &end, 10);
  if (*end || n < 1 || n > 100000) throw std::runtime_error("not a count: " + std::string(text));
  return n;
}

Options parse(int count, char** words) {
  Options o;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    const auto value = [&] {
      if (i + 1 >= count) throw std::runtime_error(word + " needs a value");
      return words[++i];
    };
    if (word == "--isa") {
      o.isa = value();
    } else if (word == "--threads") {
      o.threads = static_cast<int>(positive(value()));
    } else if (word == "--split") {
      o.split = positive(value());
    } else if (word == "--hostile") {
      o.hostile = true;
    } else if (word == "--print") {
      o.print = true;
    } else if (word.size() > 1 && word[0] == '-') {
      throw std::runtime_error("unknown option " + word);
    } else if (o.calls.empty()) {
      o.calls = word;
    } else {
      o.prefixes.push_back(word);
    }
  }
  if (o.calls.empty()) throw std::runtime_error("no file of calls");
  return o;
}

std::vector<Case> chosen_cases(const Options& o) {
  std::ifstream file;
  if (o.calls != "-") {
    file.open(o.calls);
    if (!file) throw std::runtime_error("cannot read " + o.calls);
  }
  std::vector<Case> cases = read_cases(o.calls == "-" ? std::cin : file), chosen;
  for (Case& c : cases) {
    bool wanted = o.prefixes.empty();
    for (const std::string& p : o.prefixes) wanted |= c.name.compare(0, p.size(), p) == 0;
    if (wanted) chosen.push_back(std::move(c));
  }
  if (chosen.empty()) throw std::runtime_error("no case has that name");
  return chosen;
}

// What a host program may have set: denormals and results flushed, rounding toward zero.
#if defined(FP_X86)
constexpr ControlWord kHostile = 0xe040;
#elif defined(__aarch64__)
constexpr ControlWord kHostile = 0x1c00000;
#else
constexpr ControlWord kHostile = 0;
#endif

void run_hostile(Call& call) {
  const ControlWord usual = control_word();
  set_control_word(usual | kHostile);
  run(call);
  const ControlWord after = control_word();
  set_control_word(usual);
  if (after != (usual | kHostile)) throw std::runtime_error(call.op() + ": control word changed");
}

struct Tally {
  int64_t calls = 0, outputs = 0, differing = 0;
  std::string first;
};

void run_case(const Case& c, const Options& o, Tally& tally) {
  Digest digest;
  for (const std::string& line : c.lines) {
    Call call = parse_call(line, o.split);
    call.prepare();
    if (o.hostile) {
      run_hostile(call);
    } else {
      run(call);
    }
    for (const auto& result : call.results()) {
      digest.update(*result);
      tally.outputs += result->size();
    }
    ++tally.calls;
  }
  const std::string found = digest.hex();
  if (o.print) {
    std::cout << found << "  " << c.name << "\n";
  } else if (found != c.digest) {
    if (tally.differing++ == 0) tally.first = c.name;
  }
}

bool run_isa(const std::string& isa, const std::vector<Case>& cases, const Options& o) {
  set_isa(isa);
  Tally tally;
  for (const Case& c : cases) {
    try {
      run_case(c, o, tally);
    } catch (const std::exception& error) {
      throw std::runtime_error(isa + ", " + c.name + ": " + error.what());
    }
  }
  if (o.print) return true;
  std::cout << isa << ", threads " << o.threads;
  if (o.split) std::cout << ", batches split by " << o.split;
  if (o.hostile) std::cout << ", hostile control word";
  std::cout << ": " << cases.size() << " cases, " << tally.calls << " calls, " << tally.outputs
            << " outputs, ";
  if (tally.differing == 0) {
    std::cout << "the committed bits" << std::endl;
    return true;
  }
  std::cout << tally.differing << " cases differ, the first is " << tally.first << std::endl;
  return false;
}

}  // namespace

int main(int count, char** words) {
  try {
    const Options options = parse(count, words);
    set_num_threads(options.threads);
    const std::vector<Case> cases = chosen_cases(options);
    bool equal = true;
    for (const std::string& isa : available_isas()) {
      if (options.isa.empty() || options.isa == isa) equal &= run_isa(isa, cases, options);
    }
    if (!options.isa.empty()) set_isa(options.isa);  // throws for a name that was none of these
    return equal ? 0 : 1;
  } catch (const std::exception& error) {
    std::cerr << "bits: " << error.what() << "\n";
    if (count < 2) std::cerr << kUsage;
    return 2;
  }
}
