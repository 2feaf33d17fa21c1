#include "array.hpp"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <new>
#include <numeric>

namespace hyperstyle {

std::size_t item_bytes(Dtype dtype) {
  switch (dtype) {
    case Dtype::float32:
      return 4;
    case Dtype::float16:
    case Dtype::bfloat16:
      return 2;
    case Dtype::uint8:
      return 1;
    default:
      return 8;
  }
}

Dtype dtype_of(const std::string& name) {
  if (name == "float16") return Dtype::float16;
  if (name == "bfloat16") return Dtype::bfloat16;
  return name == "int64" ? Dtype::int64 : Dtype::float32;
}

std::int64_t count(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

Array Array::row(std::int64_t index) const {
  Array part = *this;
  part.shape[0] = 1;
  part.data = static_cast<char*>(data) + static_cast<std::size_t>(index) * part.bytes();
  return part;
}

std::vector<Array> Array::rows() const {
  std::vector<Array> parts;
  for (std::int64_t index = 0; index < shape[0]; ++index) parts.push_back(row(index));
  return parts;
}

Array host_array(Dtype dtype, const Shape& shape) {
  constexpr std::size_t alignment = 64;
  Array array{dtype, shape, nullptr, nullptr};
  const std::size_t rounded = (array.bytes() + alignment - 1) / alignment * alignment;
  array.owner = std::shared_ptr<void>(std::aligned_alloc(alignment, std::max(rounded, alignment)), std::free);
  if (!array.owner) throw std::bad_alloc();
  array.data = array.owner.get();
  return array;
}

Array scalar(float value) {
  const Array array = host_array(Dtype::float32, {});
  *static_cast<float*>(array.data) = value;
  return array;
}

Array zero_array(const Shape& shape) {
  const Array array = host_array(Dtype::float32, shape);
  std::fill_n(static_cast<float*>(array.data), count(shape), 0.0f);
  return array;
}

}  // namespace hyperstyle
