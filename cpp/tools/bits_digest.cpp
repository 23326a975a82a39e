// SHA-256 (FIPS 180-4) over results, as python/forwardpass/bits.py feeds it.
#include <cstring>

#include "bits.h"

namespace forwardpass {
namespace tools {
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
