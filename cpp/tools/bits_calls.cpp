// The text of `python -m forwardpass.bits --calls`, its arrays, and the digest of results: the same
// definitions as python/forwardpass/reference/arrays.py, calls.py and forwardpass/bits.py.
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

// ---- SHA-256 (FIPS 180-4) ------------------------------------------------------------------

namespace {

constexpr uint32_t kRound[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

uint32_t turn(uint32_t x, int n) { return x >> n | x << (32 - n); }

}  // namespace

void Digest::block() {
  uint32_t w[64], s[8];
  for (int i = 0; i < 16; ++i) {
    w[i] = static_cast<uint32_t>(buffer_[4 * i]) << 24 |
           static_cast<uint32_t>(buffer_[4 * i + 1]) << 16 |
           static_cast<uint32_t>(buffer_[4 * i + 2]) << 8 | buffer_[4 * i + 3];
  }
  for (int i = 16; i < 64; ++i) {
    const uint32_t a = w[i - 15], b = w[i - 2];
    w[i] = w[i - 16] + (turn(a, 7) ^ turn(a, 18) ^ a >> 3) + w[i - 7] +
           (turn(b, 17) ^ turn(b, 19) ^ b >> 10);
  }
  std::memcpy(s, state_, sizeof s);
  for (int i = 0; i < 64; ++i) {
    const uint32_t e = s[4], a = s[0];
    const uint32_t t1 = s[7] + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) +
                        ((e & s[5]) ^ (~e & s[6])) + kRound[i] + w[i];
    const uint32_t t2 =
        (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
    for (int j = 7; j > 0; --j) s[j] = s[j - 1];
    s[4] += t1;
    s[0] = t1 + t2;
  }
  for (int i = 0; i < 8; ++i) state_[i] += s[i];
}

void Digest::bytes(const void* data, size_t count) {
  const uint8_t* from = static_cast<const uint8_t*>(data);
  while (count) {
    const size_t at = length_ % 64, n = count < 64 - at ? count : 64 - at;
    std::memcpy(buffer_ + at, from, n);
    length_ += n;
    from += n;
    count -= n;
    if (length_ % 64 == 0) block();
  }
}

// The number of dimensions, the dimensions, the elements, little-endian, any NaN as 0x7fc00000.
void Digest::update(const Array& array) {
  const int64_t ndim = array.ndim();
  bytes(&ndim, sizeof ndim);
  bytes(array.shape.data(), array.shape.size() * sizeof(int64_t));
  const float* from = array.data();
  uint32_t words[1024];
  for (int64_t i = 0, size = array.size(); i < size;) {
    size_t n = 0;
    for (; n < 1024 && i < size; ++n, ++i) {
      std::memcpy(&words[n], from + i, sizeof words[n]);
      if ((words[n] & 0x7fffffffu) > 0x7f800000u) words[n] = 0x7fc00000u;
    }
    bytes(words, n * sizeof words[0]);
  }
}

std::string Digest::hex() {
  const uint64_t bit_count = length_ * 8;
  const uint8_t one = 0x80, zero = 0;
  bytes(&one, 1);
  while (length_ % 64 != 56) bytes(&zero, 1);
  for (int i = 7; i >= 0; --i) {
    const uint8_t byte = static_cast<uint8_t>(bit_count >> (8 * i));
    bytes(&byte, 1);
  }
  std::string text;
  for (const uint32_t word : state_) {
    for (int i = 28; i >= 0; i -= 4) text += "0123456789abcdef"[(word >> i) & 15];
  }
  return text;
}

}  // namespace tools
}  // namespace forwardpass
