// Pictures seen through maps, as Pillow's `transform` does it: coordinates of pixels' middles, in double.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "parts.hpp"

namespace hyperstyle {
namespace {

Image blank(std::int64_t height, std::int64_t width) {
  return {height, width, std::vector<std::uint8_t>(static_cast<std::size_t>(3 * height * width))};
}

const std::uint8_t* pixel(const Image& image, std::int64_t row, std::int64_t column) {
  return &image.pixels[static_cast<std::size_t>(3 * (row * image.width + std::clamp<std::int64_t>(column, 0, image.width - 1)))];
}

bool is_inside(const Image& image, Point at) {
  return at.x >= 0 && at.y >= 0 && at.x < static_cast<double>(image.width) && at.y < static_cast<double>(image.height);
}

void bilinear(const Image& image, Point at, std::uint8_t* target) {
  const double x = std::floor(at.x - 0.5), y = std::floor(at.y - 0.5);
  const double dx = at.x - 0.5 - x, dy = at.y - 0.5 - y;
  const auto column = static_cast<std::int64_t>(x), row = static_cast<std::int64_t>(y);
  const auto mixed = [&](std::int64_t in, int channel) {
    const double left = pixel(image, in, column)[channel], right = pixel(image, in, column + 1)[channel];
    return left + (right - left) * dx;
  };
  for (int channel = 0; channel < 3; ++channel) {
    const double upper = mixed(std::max<std::int64_t>(row, 0), channel);
    const double lower = row + 1 < image.height ? mixed(row + 1, channel) : upper;
    target[channel] = static_cast<std::uint8_t>(upper + (lower - upper) * dy);
  }
}

// The cubic through four values that Pillow takes, its slope at the middle ones that of their neighbours' difference.
double cubic(const double (&v)[4], double d) {
  return v[1] + d * (-v[0] + v[2] + d * (2 * (v[0] - v[1]) + v[2] - v[3] + d * (-v[0] + v[1] - v[2] + v[3])));
}

void bicubic(const Image& image, Point at, std::uint8_t* target) {
  const double x = std::floor(at.x - 0.5), y = std::floor(at.y - 0.5);
  const double dx = at.x - 0.5 - x, dy = at.y - 0.5 - y;
  const auto column = static_cast<std::int64_t>(x) - 1, row = static_cast<std::int64_t>(y) - 1;
  for (int channel = 0; channel < 3; ++channel) {
    double down[4];
    for (std::int64_t step = 0; step < 4; ++step) {
      double across[4];
      const std::int64_t in = std::clamp<std::int64_t>(row + step, 0, image.height - 1);
      for (std::int64_t right = 0; right < 4; ++right) across[right] = pixel(image, in, column + right)[channel];
      down[step] = cubic(across, dx);
    }
    target[channel] = static_cast<std::uint8_t>(std::clamp(cubic(down, dy), 0.0, 255.0));
  }
}

}  // namespace

Image window(const Image& image, std::int64_t left, std::int64_t upper, std::int64_t right, std::int64_t lower) {
  Image part = blank(lower - upper, right - left);
  const auto bytes = static_cast<std::size_t>(3 * part.width);
  for (std::int64_t row = 0; row < part.height; ++row) {
    std::memcpy(&part.pixels[static_cast<std::size_t>(row) * bytes], pixel(image, upper + row, left), bytes);
  }
  return part;
}

Image sample_quad(const Image& image, const std::array<Point, 4>& quad, std::int64_t size) {
  const double share = 1.0 / static_cast<double>(size);
  const auto& [first, down, last, right] = quad;
  const Point across{(right.x - first.x) * share, (right.y - first.y) * share};
  const Point below{(down.x - first.x) * share, (down.y - first.y) * share};
  const Point both{(last.x - down.x - right.x + first.x) * share * share,
                   (last.y - down.y - right.y + first.y) * share * share};
  Image result = blank(size, size);
  std::uint8_t* target = result.pixels.data();
  for (std::int64_t row = 0; row < size; ++row) {
    for (std::int64_t column = 0; column < size; ++column, target += 3) {
      const double x = static_cast<double>(column) + 0.5, y = static_cast<double>(row) + 0.5;
      const Point at{first.x + across.x * x + below.x * y + both.x * x * y,
                     first.y + across.y * x + below.y * y + both.y * x * y};
      if (is_inside(image, at)) bilinear(image, at, target);
    }
  }
  return result;
}

Image sample_affine(const Image& image, const Affine& map, std::int64_t height, std::int64_t width) {
  Image result = blank(height, width);
  std::uint8_t* target = result.pixels.data();
  for (std::int64_t row = 0; row < height; ++row) {
    for (std::int64_t column = 0; column < width; ++column, target += 3) {
      const double x = static_cast<double>(column) + 0.5, y = static_cast<double>(row) + 0.5;
      const Point at{map[0][0] * x + map[0][1] * y + map[0][2], map[1][0] * x + map[1][1] * y + map[1][2]};
      if (is_inside(image, at)) bicubic(image, at, target);
    }
  }
  return result;
}

}  // namespace hyperstyle
