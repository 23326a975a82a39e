// What the parts of the program `bits` share: the calls of a case, and where their results go.
//
// The calls are those of the Python tests, written out by `python -m forwardpass.bits --calls`, so
// that there is one list of cases and one table of hashes (bits_calls.cpp reads them). A runner
// (bits_ops.cpp) takes the arguments of one call, runs the operation of cpp/ops.h, and gives its
// results in the order of the Python operator's.
#pragma once

#include <stdint.h>

#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace forwardpass {
namespace tools {

using Shape = std::vector<int64_t>;
int64_t product(const Shape& shape, size_t first = 0, size_t last = SIZE_MAX);

// float32 or int64 elements in a block of exactly their size, so that AddressSanitizer sees an
// access beyond either end.
struct Array {
  Shape shape;
  std::unique_ptr<float[]> floats;
  std::unique_ptr<int64_t[]> integers;

  int64_t size() const { return product(shape); }
  int64_t dim(int64_t i) const { return shape.at(static_cast<size_t>(i < 0 ? i + ndim() : i)); }
  int64_t ndim() const { return static_cast<int64_t>(shape.size()); }
  const float* data() const { return floats.get(); }
};
Array new_array(const Shape& shape);  // float32, every element NaN

// One call. Arguments are read by name; a missing one, or one of another kind, is an error.
class Call {
 public:
  Call(std::string op, std::map<std::string, std::string> arguments, int64_t split);

  const std::string& op() const { return op_; }
  void prepare();  // makes the arrays; otherwise each is made when first read
  const Array& array(const std::string& name);
  const float* floats(const std::string& name);  // null for None
  bool has(const std::string& name) const;       // there, and not None
  const std::string& text(const std::string& name) const;
  int64_t integer(const std::string& name) const;
  double real(const std::string& name) const;
  Shape integers(const std::string& name) const;  // a tuple, or one number
  std::vector<std::string> names() const;

  // A new result; results are hashed in the order of these calls. The reference stays good.
  Array& result(const Shape& shape);
  const std::vector<std::unique_ptr<Array>>& results() const { return results_; }

  // work(first, count) over [0, n): at once, or in the pieces of --split.
  void in_pieces(int64_t n, const std::function<void(int64_t, int64_t)>& work) const;

 private:
  std::string op_;
  std::map<std::string, std::string> arguments_;
  std::map<std::string, Array> arrays_;
  std::vector<std::unique_ptr<Array>> results_;
  int64_t split_;
};

// A named list of calls, and the digest that the committed table has for it.
struct Case {
  std::string name, digest;
  std::vector<std::string> lines;
};
std::vector<Case> read_cases(std::istream& in);  // throws std::runtime_error
Call parse_call(const std::string& line, int64_t split);

void run(Call& call);  // bits_ops.cpp; throws std::runtime_error for an op without a runner

class Digest {  // SHA-256 over results as forwardpass/bits.py writes them
 public:
  void update(const Array& array);
  std::string hex();

 private:
  void bytes(const void* data, size_t count);
  void block();
  uint32_t state_[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  uint8_t buffer_[64] = {};
  uint64_t length_ = 0;
};

}  // namespace tools
}  // namespace forwardpass
