// The way back: a face in the place of the photo that it was cut from.
#include <algorithm>
#include <cmath>

#include "../images.hpp"
#include "../text.hpp"
#include "hyperstyle_deploy/errors.hpp"
#include "parts.hpp"

namespace hyperstyle {
namespace {

constexpr std::int64_t frame = 2;  // pixels around the face, so that those at its edge have neighbours to be mixed with

void check(const ImageView& photo, const ImageView& face, const Crop& crop, double feather) {
  const auto pixels = [](std::int64_t width, std::int64_t height) {
    return std::to_string(width) + "x" + std::to_string(height);
  };
  if (photo.width != crop.width || photo.height != crop.height) {
    throw AlignmentError(Message("The face was cut out of another photo")
                             .got(pixels(photo.width, photo.height) + " pixels")
                             .expected(pixels(crop.width, crop.height))
                             .hint("Give the photo that was aligned, as large as it was."));
  }
  if (face.width != face.height) {
    throw AlignmentError(Message("The face is no aligned picture")
                             .got(pixels(face.width, face.height) + " pixels")
                             .expected("a square"));
  }
  if (!(feather >= 0 && feather <= 0.5)) {
    throw AlignmentError(Message("feather is out of range").got(std::to_string(feather)).expected("0 to 0.5"));
  }
}

Image framed(const Image& face) {
  const std::int64_t side = face.width + 2 * frame;
  Image result{side, side, {}};
  result.pixels.reserve(static_cast<std::size_t>(3 * side * side));
  for (std::int64_t row = 0; row < side; ++row) {
    for (std::int64_t column = 0; column < side; ++column) {
      const std::int64_t y = std::clamp<std::int64_t>(row - frame, 0, face.height - 1);
      const std::int64_t x = std::clamp<std::int64_t>(column - frame, 0, face.width - 1);
      const std::uint8_t* pixel = &face.pixels[static_cast<std::size_t>(3 * (y * face.width + x))];
      result.pixels.insert(result.pixels.end(), pixel, pixel + 3);
    }
  }
  return result;
}

// t^2 (3 - 2 t) of the share t of the feather that a place lies inside of the square, along one of its ways.
float rising(double share, double feather) {
  const double inside = std::min(share, 1 - share);
  const double t = feather > 0 ? std::clamp(inside / feather, 0.0, 1.0) : (inside > 0 ? 1.0 : 0.0);
  return static_cast<float>(t * t * (3 - 2 * t));
}

}  // namespace

Image paste_back(const ImageView& photo, const ImageView& view, const Crop& crop, double feather) {
  check_photo(photo);
  check_photo(view);
  check(photo, view, crop, feather);
  Image result = dense(photo), face = dense(view);
  const auto& quad = crop.quad;
  const auto [least_x, most_x] = std::minmax({quad[0].x, quad[1].x, quad[2].x, quad[3].x});
  const auto [least_y, most_y] = std::minmax({quad[0].y, quad[1].y, quad[2].y, quad[3].y});
  const auto width = static_cast<double>(photo.width), height = static_cast<double>(photo.height);
  const auto left = static_cast<std::int64_t>(std::clamp(std::floor(least_x), 0.0, width));
  const auto upper = static_cast<std::int64_t>(std::clamp(std::floor(least_y), 0.0, height));
  const auto right = static_cast<std::int64_t>(std::clamp(std::ceil(most_x), 0.0, width));
  const auto lower = static_cast<std::int64_t>(std::clamp(std::ceil(most_y), 0.0, height));
  if (right <= left || lower <= upper) return result;

  const auto side = std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(crop.side())));
  // What turns the face below takes single pixels, and would skip some of a larger one.
  if (face.width > side) face = shrink_lanczos(face.view(), side, side);
  const Affine map = basis(crop);
  const auto back = inverse(map);
  Affine to_face{};
  for (std::size_t row = 0; row < 2; ++row) {
    const double scale = static_cast<double>(face.width), across = back[row][0] * scale, down = back[row][1] * scale;
    to_face[row] = {across, down,
                    across * (static_cast<double>(left) - map[0][2]) + down * (static_cast<double>(upper) - map[1][2]) +
                        static_cast<double>(frame)};
  }
  const Image above = sample_affine(framed(face), to_face, lower - upper, right - left);
  const std::uint8_t* source = above.pixels.data();
  for (std::int64_t row = upper; row < lower; ++row) {
    std::uint8_t* target = &result.pixels[static_cast<std::size_t>(3 * (row * photo.width + left))];
    for (std::int64_t column = left; column < right; ++column) {
      const double x = static_cast<double>(column) + 0.5 - map[0][2], y = static_cast<double>(row) + 0.5 - map[1][2];
      const float opacity = rising(back[0][0] * x + back[0][1] * y, feather) *
                            rising(back[1][0] * x + back[1][1] * y, feather);
      for (int channel = 0; channel < 3; ++channel, ++source, ++target) {
        const float below = *target;
        *target = static_cast<std::uint8_t>(std::nearbyint(below + opacity * (static_cast<float>(*source) - below)));
      }
    }
  }
  return result;
}

}  // namespace hyperstyle
