// Where a face's square leaves its photo.
#include <algorithm>
#include <cmath>

#include "parts.hpp"

namespace hyperstyle {
namespace {

// The place in a row of `length` pixels that one outside of it reflects, the last pixel not repeated.
std::int64_t reflected(std::int64_t at, std::int64_t length) {
  if (length == 1) return 0;
  const std::int64_t period = 2 * (length - 1);
  const std::int64_t place = (at % period + period) % period;
  return place < length ? place : period - place;
}

// How deep each pixel of a row is in the padding: 1 at its outer edge, 0 where the photo begins, then below.
std::vector<float> depth(std::int64_t length, std::int64_t before, std::int64_t behind) {
  std::vector<float> result;
  for (std::int64_t at = 0; at < length; ++at) {
    result.push_back(1 - std::min(static_cast<float>(at) / static_cast<float>(before),
                                  static_cast<float>(length - 1 - at) / static_cast<float>(behind)));
  }
  return result;
}

float median(std::vector<float> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*std::max_element(values.begin(), middle) + *middle) / 2;
}

}  // namespace

Image pad_softly(const Image& photo, const std::array<std::int64_t, 4>& pad, double side) {
  const auto [left, upper, right, lower] = pad;
  const std::int64_t height = photo.height + upper + lower, width = photo.width + left + right;
  const std::vector<float> down = depth(height, upper, lower), across = depth(width, left, right);
  const auto area = static_cast<std::size_t>(height * width);
  Image result{height, width, std::vector<std::uint8_t>(3 * area)};
  std::vector<float> padded(area);
  const auto at_each = [&](const auto& act) {
    std::size_t at = 0;
    for (std::int64_t row = 0; row < height; ++row) {
      const float deep = down[static_cast<std::size_t>(row)];
      for (std::int64_t column = 0; column < width; ++column, ++at) {
        act(at, row, column, std::max(deep, across[static_cast<std::size_t>(column)]));
      }
    }
  };
  for (std::size_t channel = 0; channel < 3; ++channel) {  // one at a time: a large photo's in float32 have 400 MB
    at_each([&](std::size_t at, std::int64_t row, std::int64_t column, float) {
      const std::int64_t from = reflected(row - upper, photo.height) * photo.width + reflected(column - left, photo.width);
      padded[at] = photo.pixels[3 * static_cast<std::size_t>(from) + channel];
    });
    std::vector<float> soft = padded;
    blur(soft, height, width, 0.02 * side);
    at_each([&](std::size_t at, std::int64_t, std::int64_t, float mask) {
      padded[at] += (soft[at] - padded[at]) * std::clamp(mask * 3 + 1, 0.0f, 1.0f);
    });
    const float middle = median(padded);
    at_each([&](std::size_t at, std::int64_t, std::int64_t, float mask) {
      const float value = padded[at] + (middle - padded[at]) * std::clamp(mask, 0.0f, 1.0f);
      result.pixels[3 * at + channel] = static_cast<std::uint8_t>(std::clamp(std::nearbyint(value), 0.0f, 255.0f));
    });
  }
  return result;
}

}  // namespace hyperstyle
