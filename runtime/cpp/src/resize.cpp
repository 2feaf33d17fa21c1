// Pillow's resize of 8-bit RGB: a filter as wide as the scale, in fixed point, rows first, then columns.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "hyperstyle_deploy/errors.hpp"
#include "images.hpp"
#include "text.hpp"

namespace hyperstyle {
namespace {

constexpr int fraction_bits = 22;

// What one output pixel takes from the input: `weights` of pixels from `first` on.
struct Window {
  std::int64_t first;
  std::vector<std::int32_t> weights;
};

// A filter: weights at distances below `support`.
struct Filter {
  double support;
  double (*weight)(double distance);
};

double sinc(double x) {
  constexpr double pi = 3.14159265358979323846;
  return x == 0 ? 1 : std::sin(x * pi) / (x * pi);
}

const Filter triangle{1, [](double distance) { return distance < 1 ? 1 - distance : 0; }};
const Filter lanczos{3, [](double distance) { return distance < 3 ? sinc(distance) * sinc(distance / 3) : 0; }};

std::vector<Window> windows(std::int64_t from, std::int64_t to, const Filter& filter) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double stretch = std::max(scale, 1.0), inverse = 1.0 / stretch, width = filter.support * stretch;
  std::vector<Window> all;
  for (std::int64_t at = 0; at < to; ++at) {
    const double center = (static_cast<double>(at) + 0.5) * scale;
    const std::int64_t first = std::max<std::int64_t>(0, static_cast<std::int64_t>(center - width + 0.5));
    const std::int64_t last = std::min(from, static_cast<std::int64_t>(center + width + 0.5));
    std::vector<double> values;
    double sum = 0;
    for (std::int64_t pixel = first; pixel < last; ++pixel) {
      const double distance = std::abs((static_cast<double>(pixel) - center + 0.5) * inverse);
      values.push_back(filter.weight(distance));
      sum += values.back();
    }
    Window window{first, {}};
    for (const double value : values) {
      const double weight = sum != 0 ? value / sum : value;
      window.weights.push_back(static_cast<std::int32_t>(std::copysign(0.5, weight) + weight * (1 << fraction_bits)));
    }
    all.push_back(std::move(window));
  }
  return all;
}

std::uint8_t rounded(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp<std::int32_t>(sum >> fraction_bits, 0, 255));
}

constexpr std::int32_t half = 1 << (fraction_bits - 1);

Image resize_rows(const ImageView& view, std::int64_t width, const Filter& filter) {
  Image image{view.height, width, std::vector<std::uint8_t>(static_cast<std::size_t>(3 * view.height * width))};
  const std::ptrdiff_t stride = view.stride == 0 ? 3 * view.width : view.stride;
  const std::vector<Window> columns = windows(view.width, width, filter);
  auto* target = image.pixels.data();
  for (std::int64_t row = 0; row < view.height; ++row) {
    for (const Window& window : columns) {
      std::int32_t sums[3] = {half, half, half};
      const std::uint8_t* pixel = view.data + row * stride + 3 * window.first;
      for (const std::int32_t weight : window.weights) {
        for (int channel = 0; channel < 3; ++channel) sums[channel] += *pixel++ * weight;
      }
      for (const std::int32_t sum : sums) *target++ = rounded(sum);
    }
  }
  return image;
}

Image resize_columns(const Image& source, std::int64_t height, const Filter& filter) {
  const auto bytes = static_cast<std::size_t>(3 * source.width);
  Image image{height, source.width, std::vector<std::uint8_t>(bytes * static_cast<std::size_t>(height))};
  auto* target = image.pixels.data();
  std::vector<std::int32_t> sums(bytes);
  for (const Window& window : windows(source.height, height, filter)) {
    std::fill(sums.begin(), sums.end(), half);
    const std::uint8_t* pixel = &source.pixels[static_cast<std::size_t>(window.first) * bytes];
    for (const std::int32_t weight : window.weights) {
      for (std::int32_t& sum : sums) sum += *pixel++ * weight;
    }
    for (const std::int32_t sum : sums) *target++ = rounded(sum);
  }
  return image;
}

Image resized(const ImageView& view, std::int64_t height, std::int64_t width, const Filter& filter) {
  check_photo(view);
  constexpr std::int64_t limit = 1 << 16;
  if (height < 1 || width < 1 || height > limit || width > limit) {
    throw ArrayError(Message("The size is out of range")
                         .got(repr(std::vector<std::int64_t>{height, width}))
                         .expected("1 to " + std::to_string(limit)));
  }
  const Image wide = width == view.width ? dense(view) : resize_rows(view, width, filter);
  return height == view.height ? wide : resize_columns(wide, height, filter);
}

}  // namespace

Image dense(const ImageView& view) {
  check_photo(view);
  Image image{view.height, view.width,
              std::vector<std::uint8_t>(static_cast<std::size_t>(3 * view.height * view.width))};
  const std::ptrdiff_t stride = view.stride == 0 ? 3 * view.width : view.stride;
  for (std::int64_t row = 0; row < view.height; ++row) {
    std::memcpy(&image.pixels[static_cast<std::size_t>(3 * row * view.width)], view.data + row * stride,
                static_cast<std::size_t>(3 * view.width));
  }
  return image;
}

Image resize(const ImageView& view, std::int64_t height, std::int64_t width) {
  return resized(view, height, width, triangle);
}

Image shrink_lanczos(const ImageView& view, std::int64_t height, std::int64_t width) {
  return resized(view, height, width, lanczos);
}

}  // namespace hyperstyle
