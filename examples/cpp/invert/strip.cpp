#include "strip.hpp"

#include <algorithm>

hyperstyle::Image picture(const float* planes, std::int64_t height, std::int64_t width) {
  const std::int64_t area = height * width;
  hyperstyle::Image image{height, width, std::vector<std::uint8_t>(static_cast<std::size_t>(3 * area))};
  for (std::int64_t at = 0; at < 3 * area; ++at) {
    const float value = planes[at % 3 * area + at / 3];
    image.pixels[static_cast<std::size_t>(at)] = static_cast<std::uint8_t>(std::clamp((value + 1) / 2, 0.0f, 1.0f) * 255);
  }
  return image;
}

hyperstyle::Image strip(const std::vector<hyperstyle::Image>& pictures) {
  const std::int64_t height = pictures.at(0).height, width = pictures[0].width;
  hyperstyle::Image canvas{height, width * static_cast<std::int64_t>(pictures.size()), {}};
  for (std::int64_t row = 0; row < height; ++row) {
    for (const hyperstyle::Image& one : pictures) {
      const auto start = one.pixels.begin() + 3 * row * width;
      canvas.pixels.insert(canvas.pixels.end(), start, start + 3 * width);
    }
  }
  return canvas;
}
