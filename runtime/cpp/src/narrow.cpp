#include "narrow.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "hyperstyle_deploy/errors.hpp"
#include "text.hpp"

namespace hyperstyle {
namespace {

// Numbers that share a scale.
constexpr std::size_t block_size = 128;

// Of IEEE 754's half precision: five bits of exponent, ten of fraction.
float widened(std::uint16_t half) {
  const int exponent = half >> 10 & 31, fraction = half & 1023;
  const float size = exponent == 0    ? std::ldexp(static_cast<float>(fraction), -24)
                     : exponent == 31 ? (fraction == 0 ? HUGE_VALF : std::nanf(""))
                                      : std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
  return (half & 0x8000) != 0 ? -size : size;
}

// The nearest half, of two as near the even one.
std::uint16_t halved(float value) {
  const auto sign = static_cast<std::uint16_t>(std::signbit(value) ? 0x8000 : 0);
  const float size = std::fabs(value);
  int exponent = 0;
  std::frexp(size, &exponent);
  // The last bit of a half of this size stands for 2^last; below 2^-14 for 2^-24 always.
  const int last = std::max(exponent - 11, -24);
  const auto units = static_cast<int>(std::nearbyint(std::ldexp(size, -last)));  // 2048 at most: the next exponent
  const int bits = size == 0 ? 0 : units + (last + 24) * 1024;
  if (!(size < HUGE_VALF) || bits >= 31 << 10) {
    throw InversionError(Message("The differences do not fit float16").hint("Store them as int8 or float32."));
  }
  return static_cast<std::uint16_t>(sign | bits);
}

}  // namespace

std::vector<float> widened(const InputFile& file, const StoredTensor& tensor, const StoredTensor* scales) {
  if (tensor.dtype == "F32" && scales == nullptr) return values_of<float>(file, tensor);
  std::vector<float> values;
  if (tensor.dtype == "F16" && scales == nullptr) {
    for (const std::uint16_t half : values_of<std::uint16_t>(file, tensor)) values.push_back(widened(half));
    return values;
  }
  const std::size_t blocks = (static_cast<std::size_t>(tensor.bytes) + block_size - 1) / block_size;
  if (tensor.dtype != "I8" || tensor.shape.size() != 1 || scales == nullptr || scales->dtype != "F32" ||
      scales->shape != std::vector<std::int64_t>{static_cast<std::int64_t>(blocks)}) {
    throw SafetensorsError(clipped(tensor.name, 80) + " " + tensor.dtype + " with " +
                           (scales == nullptr ? "no scales" : "scales " + repr(scales->shape)));
  }
  const std::vector<float> factors = values_of<float>(file, *scales);
  const std::vector<std::int8_t> steps = values_of<std::int8_t>(file, tensor);
  for (std::size_t at = 0; at < steps.size(); ++at) {
    values.push_back(static_cast<float>(steps[at]) * factors[at / block_size]);
  }
  return values;
}

std::vector<std::uint16_t> narrowed_to_half(const std::vector<float>& values) {
  std::vector<std::uint16_t> halves;
  for (const float value : values) halves.push_back(halved(value));
  return halves;
}

Narrowed narrowed_to_bytes(const std::vector<float>& values) {
  Narrowed found;
  for (std::size_t start = 0; start < values.size(); start += block_size) {
    const auto first = values.begin() + static_cast<std::ptrdiff_t>(start);
    const auto end = first + static_cast<std::ptrdiff_t>(std::min(block_size, values.size() - start));
    float largest = 0;
    for (auto value = first; value != end; ++value) largest = std::max(largest, std::fabs(*value));
    const float scale = largest / 127;
    found.scales.push_back(scale);
    for (auto value = first; value != end; ++value) {
      found.steps.push_back(static_cast<std::int8_t>(std::nearbyint(*value / (scale > 0 ? scale : 1))));
    }
  }
  return found;
}

}  // namespace hyperstyle
