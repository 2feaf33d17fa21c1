#include "random.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace hyperstyle {
namespace {

using Words = std::array<std::uint64_t, 4>;
__extension__ using Wide = unsigned __int128;

// One block of Philox 4x64-10 (Salmon et al., SC 2011).
Words philox(Words counter, std::uint64_t first_key, std::uint64_t second_key) {
  for (int round = 0; round < 10; ++round) {
    const Wide left = Wide{0xD2E7470EE14C6C93} * counter[0], right = Wide{0xCA5A826395121157} * counter[2];
    counter = {static_cast<std::uint64_t>(right >> 64) ^ counter[1] ^ first_key, static_cast<std::uint64_t>(right),
               static_cast<std::uint64_t>(left >> 64) ^ counter[3] ^ second_key, static_cast<std::uint64_t>(left)};
    first_key += 0x9E3779B97F4A7C15;
    second_key += 0xBB67AE8584CAA73B;
  }
  return counter;
}

// Above 0 and up to 1.
double uniform(std::uint64_t word) { return static_cast<double>((word >> 11) + 1) * 0x1p-53; }

std::uint64_t word_of(const std::string& name) {
  std::uint64_t word = 0;
  for (std::size_t at = 0; at < std::min<std::size_t>(name.size(), 8); ++at) {
    word |= std::uint64_t{static_cast<unsigned char>(name[at])} << (8 * at);
  }
  return word;
}

}  // namespace

Array normal_numbers(std::uint64_t seed, const std::string& name, std::uint64_t index, const Shape& shape) {
  const Array drawn = host_array(Dtype::float32, shape);
  const auto size = static_cast<std::uint64_t>(count(shape));
  auto* const numbers = static_cast<float*>(drawn.data);
  for (std::uint64_t block = 0; 4 * block < size; ++block) {
    const Words words = philox({block + 1, index, 0, 0}, seed, word_of(name));
    for (std::uint64_t pair = 0; pair < 2 && 4 * block + 2 * pair < size; ++pair) {
      const double radius = std::sqrt(-2 * std::log(uniform(words[2 * pair])));
      const double angle = 2 * M_PI * uniform(words[2 * pair + 1]);
      const std::uint64_t at = 4 * block + 2 * pair;
      numbers[at] = static_cast<float>(radius * std::cos(angle));
      if (at + 1 < size) numbers[at + 1] = static_cast<float>(radius * std::sin(angle));
    }
  }
  return drawn;
}

}  // namespace hyperstyle
