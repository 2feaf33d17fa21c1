// A dense array where a backend keeps it: host memory on the CPU, device memory on a GPU.
#ifndef HYPERSTYLE_DEPLOY_ARRAY_HPP
#define HYPERSTYLE_DEPLOY_ARRAY_HPP

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace hyperstyle {

enum class Dtype { float32, float16, bfloat16, float64, uint8, int64 };

std::size_t item_bytes(Dtype dtype);
// Of a name that the manifest's reader has accepted.
Dtype dtype_of(const std::string& name);

using Shape = std::vector<std::int64_t>;

std::int64_t count(const Shape& shape);

// Copies share the memory, which goes back to where it came from when nothing refers to it any more.
struct Array {
  Dtype dtype = Dtype::float32;
  Shape shape;
  void* data = nullptr;
  std::shared_ptr<void> owner;

  std::size_t bytes() const { return static_cast<std::size_t>(count(shape)) * item_bytes(dtype); }
  // Row `index` as a batch of one, in the same memory.
  Array row(std::int64_t index) const;
  // All rows, each as a batch of one.
  std::vector<Array> rows() const;
};

// An array in host memory, aligned to 64 bytes, not initialized.
Array host_array(Dtype dtype, const Shape& shape);

// A float32 scalar, and float32 zeros, in host memory.
Array scalar(float value);
Array zero_array(const Shape& shape);

// Tensors under the names that a graph gives them.
using Arrays = std::map<std::string, Array>;

}  // namespace hyperstyle

#endif
