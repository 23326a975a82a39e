// The text of `python -m forwardpass.bits --calls` and its arrays: the same definitions as
// python/forwardpass/reference/calls.py and arrays.py.
#include <cmath>
#include <cstring>
#include <istream>
#include <sstream>

#include "bits.h"

namespace forwardpass {
namespace tools {
namespace {

constexpr uint32_t kSpecial[32] = {
    0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007fffff, 0x807fffff, 0x00800000, 0x80800000,
    0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7fc12345, 0x7fffffff,
    0x3f800000, 0xbf800000, 0x3f7fffff, 0x3f800001, 0xbf7fffff, 0xbf800001, 0x3f000000, 0xbf000000,
    0x42b17218, 0xc2cff1b5, 0xc2aeac50, 0x42b00000, 0x40a00000, 0xc0a00000, 0x40490fdb, 0xc0490fdb};

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what); }

float from_bits(uint32_t u) {
  float f;
  std::memcpy(&f, &u, sizeof f);
  return f;
}

// FNV-1a, 64 bit.
uint64_t seed_of(const std::string& name) {
  uint64_t value = 0xcbf29ce484222325u;
  for (const char c : name) value = (value ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return value;
}

// splitmix64: element i of the sequence with that seed.
uint64_t mix(uint64_t seed, uint64_t i) {
  uint64_t z = seed + (i + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

float unit(uint64_t z) {
  return static_cast<float>(static_cast<int32_t>(z >> 40) - (1 << 23)) * 0x1p-23f;
}
uint32_t mantissa(uint64_t z) { return static_cast<uint32_t>(z >> 40) & 0x7fffffu; }
uint32_t sign(uint64_t z) { return static_cast<uint32_t>(z >> 63) << 31; }
float special(uint64_t z) { return from_bits(kSpecial[(z >> 8) & 31]); }

using Element = float (*)(uint64_t z);
Element element(const std::string& kind) {
  if (kind == "unit") return unit;
  if (kind == "small") return [](uint64_t z) { return unit(z) * 0.0625f; };
  if (kind == "span") return [](uint64_t z) { return unit(z) * 16.0f; };
  if (kind == "shifted") {
    return [](uint64_t z) { return static_cast<float>((z >> 40) & 0x1fff) * 0x1p-13f + 1000.0f; };
  }
  if (kind == "wide") {
    return [](uint64_t z) {
      return from_bits(sign(z) | ((static_cast<uint32_t>(z >> 32) & 63) + 95) << 23 | mantissa(z));
    };
  }
  if (kind == "subnormal") return [](uint64_t z) { return from_bits(sign(z) | mantissa(z)); };
  if (kind == "bits") return [](uint64_t z) { return from_bits(static_cast<uint32_t>(z >> 32)); };
  if (kind == "special") {
    return [](uint64_t z) {
      return z % 4 == 0 ? special(z) : from_bits(static_cast<uint32_t>(z >> 32));
    };
  }
  if (kind == "sprinkled") return [](uint64_t z) { return z % 64 == 0 ? special(z) : unit(z); };
  fail("unknown kind of values '" + kind + "'");
}

std::vector<std::string> split_at(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
  return parts;
}

Shape numbers(const std::string& text, char separator) {
  Shape values;
  for (const std::string& part : split_at(text, separator)) values.push_back(std::stoll(part));
  return values;
}

void fill(Array& array, const std::string& kind, const std::string& name) {
  const uint64_t seed = seed_of(name);
  const int64_t size = array.size();
  if (kind == "sweep") {
    for (int64_t i = 0; i < size; ++i) {
      const uint64_t u = static_cast<uint64_t>(i) * 4099 + seed % 4099;
      array.floats[static_cast<size_t>(i)] = from_bits(static_cast<uint32_t>(u));
    }
    return;
  }
  const Element make = element(kind);
  for (int64_t i = 0; i < size; ++i) {
    array.floats[static_cast<size_t>(i)] = make(mix(seed, static_cast<uint64_t>(i)));
  }
}

// f4:SHAPE:KIND:NAME or i8:SHAPE:BELOW:NAME, made by the generator; SHAPE is 3x4. Where KIND or
// BELOW is "=", NAME is the elements themselves: words of eight hexadecimal digits, or integers.
Array parse_array(const std::string& text) {
  std::vector<std::string> part = split_at(text, ':');
  if (part.size() == 3) part.emplace_back();  // no elements
  if (part.size() != 4) fail("not an array: " + text);
  const Shape shape = numbers(part[1], 'x');
  Array array;
  const bool given = part[2] == "=";
  const std::vector<std::string> words = split_at(given ? part[3] : "", ',');
  if (given && static_cast<int64_t>(words.size()) != product(shape)) fail("elements of " + text);
  if (part[0] == "i8") {
    array.shape = shape;
    const size_t size = static_cast<size_t>(product(shape));
    array.integers.reset(new int64_t[size]);
    const uint64_t seed = seed_of(part[3]), below = given ? 0 : std::stoull(part[2]);
    for (size_t i = 0; i < size; ++i) {
      array.integers[i] =
          given ? std::stoll(words[i]) : static_cast<int64_t>((mix(seed, i) >> 33) % below);
    }
    return array;
  }
  if (part[0] != "f4") fail("unknown type of " + text);
  array = new_array(shape);
  if (!given) fill(array, part[2], part[3]);
  for (size_t i = 0; i < words.size(); ++i) {
    array.floats[i] = from_bits(static_cast<uint32_t>(std::stoul(words[i], nullptr, 16)));
  }
  return array;
}

}  // namespace

int64_t product(const Shape& shape, size_t first, size_t last) {
  int64_t size = 1;
  for (size_t i = first; i < shape.size() && i < last; ++i) size *= shape[i];
  return size;
}

Array new_array(const Shape& shape) {
  Array array;
  array.shape = shape;
  const size_t size = static_cast<size_t>(product(shape));
  array.floats.reset(new float[size]);
  for (size_t i = 0; i < size; ++i) array.floats[i] = NAN;
  return array;
}

Call::Call(std::string op, std::map<std::string, std::string> arguments, int64_t split)
    : op_(std::move(op)), arguments_(std::move(arguments)), split_(split) {}

const std::string& Call::text(const std::string& name) const {
  const auto found = arguments_.find(name);
  if (found == arguments_.end()) fail(op_ + " has no argument '" + name + "'");
  return found->second;
}
bool Call::has(const std::string& name) const { return text(name) != "None"; }
const Array& Call::array(const std::string& name) {
  const auto found = arrays_.find(name);
  if (found != arrays_.end()) return found->second;
  return arrays_.emplace(name, parse_array(text(name))).first->second;
}
void Call::prepare() {
  for (const auto& argument : arguments_) {
    const std::string type = argument.second.substr(0, 3);
    if (type == "f4:" || type == "i8:") (void)array(argument.first);
  }
}
const float* Call::floats(const std::string& name) {
  return has(name) ? array(name).data() : nullptr;
}
int64_t Call::integer(const std::string& name) const { return std::stoll(text(name)); }
double Call::real(const std::string& name) const { return std::stod(text(name)); }
Shape Call::integers(const std::string& name) const { return numbers(text(name), ','); }
std::vector<std::string> Call::names() const {
  std::vector<std::string> names;
  for (const auto& argument : arguments_) names.push_back(argument.first);
  return names;
}
Array& Call::result(const Shape& shape) {
  results_.push_back(std::make_unique<Array>(new_array(shape)));
  return *results_.back();
}
void Call::in_pieces(int64_t n, const std::function<void(int64_t, int64_t)>& work) const {
  if (split_ <= 0 || n <= split_) return work(0, n);
  for (int64_t first = 0; first < n; first += split_) {
    work(first, first + split_ < n ? split_ : n - first);
  }
}

// "case NAME DIGEST" begins a case; every other line is a call: "OP ARGUMENT=VALUE ...".
std::vector<Case> read_cases(std::istream& in) {
  std::vector<Case> cases;
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line[0] == '#') continue;
    if (line.compare(0, 5, "case ") != 0) {
      if (cases.empty()) fail("a call before the first case: " + line);
      cases.back().lines.push_back(line);
      continue;
    }
    const std::vector<std::string> words = split_at(line, ' ');
    if (words.size() != 3) fail("not a case: " + line);
    cases.push_back({words[1], words[2], {}});
  }
  if (cases.empty()) fail("no cases; make them with: python -m forwardpass.bits --calls");
  return cases;
}

Call parse_call(const std::string& line, int64_t split) {
  const std::vector<std::string> words = split_at(line, ' ');
  std::map<std::string, std::string> arguments;
  for (size_t i = 1; i < words.size(); ++i) {
    const size_t at = words[i].find('=');
    if (at == std::string::npos) fail("not an argument: " + words[i]);
    arguments[words[i].substr(0, at)] = words[i].substr(at + 1);
  }
  return Call(words[0], std::move(arguments), split);
}

}  // namespace tools
}  // namespace forwardpass
