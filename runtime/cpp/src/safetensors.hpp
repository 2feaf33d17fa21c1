// Safetensors files: a JSON header that says where each tensor lies, then their bytes; read strictly, written the same.
#ifndef HYPERSTYLE_DEPLOY_SAFETENSORS_HPP
#define HYPERSTYLE_DEPLOY_SAFETENSORS_HPP

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "files.hpp"

namespace hyperstyle {

// Why a file is no safetensors file.
class SafetensorsError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A tensor of a file: dtype as the format calls it ("F32"), and where its bytes are in the file.
struct StoredTensor {
  std::string name;
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::uint64_t offset;
  std::uint64_t bytes;
};

struct SafetensorsHeader {
  std::map<std::string, std::string> metadata;
  std::vector<StoredTensor> tensors;  // in the order of their bytes

  // A text of the metadata; "none" where there is none of that name.
  std::string text(const char* key) const;
};

// A tensor's values, whose type the caller has checked.
template <typename Number>
std::vector<Number> values_of(const InputFile& file, const StoredTensor& tensor) {
  std::vector<Number> values(static_cast<std::size_t>(tensor.bytes / sizeof(Number)));
  file.read(tensor.offset, values.data(), values.size() * sizeof(Number));
  return values;
}

// Read the header and see that its tensors cover the file exactly, without gaps or overlaps. A header may have 4 MiB
// (a bundle's has some 10 KB). Throws SafetensorsError, and std::system_error if the file cannot be read.
SafetensorsHeader read_header(const InputFile& file, std::uint64_t max_header = 4u << 20);

// The header as the format's own library writes it, with its length before it and the metadata sorted. Offsets of
// `tensors` are those in the body.
std::string written_header(const std::map<std::string, std::string>& metadata, const std::vector<StoredTensor>& tensors);

}  // namespace hyperstyle

#endif
