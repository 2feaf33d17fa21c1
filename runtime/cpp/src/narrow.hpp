// Large arrays of inversions in few bits: PTI's differences are as many numbers as a generator has.
#ifndef HYPERSTYLE_DEPLOY_NARROW_HPP
#define HYPERSTYLE_DEPLOY_NARROW_HPP

#include <cstdint>
#include <string>
#include <vector>

#include "files.hpp"
#include "safetensors.hpp"

namespace hyperstyle {

// What an array is called that is stored in fewer bits, and its scales in 8 bits.
constexpr const char* narrow_name = "differences";
constexpr const char* scales_name = "differences.scales";

// A tensor of an inversion file in F32, in F16, or in I8 with a scale for every 128 numbers, as float32. Throws
// SafetensorsError: it is in none of these.
std::vector<float> widened(const InputFile& file, const StoredTensor& tensor, const StoredTensor* scales);

// Numbers as they are written, in the machine's byte order; none fits "float16" that is larger than it: Throws
// InversionError. Of "int8" the scales, too: x ~ scale * q with scale = max |x| / 127 of every block.
std::vector<std::uint16_t> narrowed_to_half(const std::vector<float>& values);
struct Narrowed {
  std::vector<std::int8_t> steps;
  std::vector<float> scales;
};
Narrowed narrowed_to_bytes(const std::vector<float>& values);

}  // namespace hyperstyle

#endif
