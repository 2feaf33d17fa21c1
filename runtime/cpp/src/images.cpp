#include "images.hpp"

#include <algorithm>
#include <cmath>

#include "hyperstyle_deploy/errors.hpp"
#include "text.hpp"

namespace hyperstyle {
namespace {

double square_of_difference(float left, float right) {
  const auto difference = static_cast<double>(left - right);
  return difference * difference;
}

// Pairwise summation with eight partial sums a block of 128, in the order in which NumPy adds.
double sum_of_squares(const float* left, const float* right, std::int64_t size) {
  if (size < 8) {
    double sum = 0;
    for (std::int64_t at = 0; at < size; ++at) sum += square_of_difference(left[at], right[at]);
    return sum;
  }
  if (size > 128) {
    const std::int64_t half = size / 2 / 8 * 8;
    return sum_of_squares(left, right, half) + sum_of_squares(left + half, right + half, size - half);
  }
  double part[8] = {};
  const std::int64_t whole = size / 8 * 8;
  for (std::int64_t at = 0; at < whole; at += 8) {
    for (int lane = 0; lane < 8; ++lane) part[lane] += square_of_difference(left[at + lane], right[at + lane]);
  }
  double sum = ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
  for (std::int64_t at = whole; at < size; ++at) sum += square_of_difference(left[at], right[at]);
  return sum;
}

// The picture in Pillow's mode L, as three equal channels.
Image grey(const ImageView& photo) {
  Image picture = dense(photo);
  for (std::size_t at = 0; at < picture.pixels.size(); at += 3) {
    std::uint8_t* rgb = &picture.pixels[at];
    const auto luma = static_cast<std::uint8_t>((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
    rgb[0] = rgb[1] = rgb[2] = luma;
  }
  return picture;
}

// What a channel of the encoder's input is, at a resized pixel.
using Value = float (*)(const std::uint8_t* rgb, std::int64_t channel);

Value value_for(const std::string& kind) {
  if (kind == "sketch") {
    return [](const std::uint8_t* rgb, std::int64_t) { return static_cast<float>(rgb[0]) / 255.0f; };
  }
  if (kind == "labels") {
    return [](const std::uint8_t* rgb, std::int64_t channel) { return rgb[0] == channel ? 1.0f : 0.0f; };
  }
  return [](const std::uint8_t* rgb, std::int64_t channel) {
    return (static_cast<float>(rgb[channel]) / 255.0f - 0.5f) / 0.5f;
  };
}

}  // namespace

void check_photo(const ImageView& image) {
  const bool dense = image.stride == 0 || image.stride >= 3 * image.width || image.stride <= -3 * image.width;
  // A side of 2^24 is far past every photo, and keeps sizes of rows within 32 bits.
  constexpr std::int64_t limit = 1 << 24;
  if (image.data == nullptr || image.height < 1 || image.width < 1 || image.height > limit || image.width > limit ||
      !dense) {
    throw ArrayError(Message("Not a photo")
                         .got("uint8 " + repr(std::vector<std::int64_t>{image.height, image.width, 3}))
                         .expected("uint8 [H, W, 3]"));
  }
}

Array network_input(const std::vector<ImageView>& photos, const ImageSpec& image) {
  const std::int64_t height = image.input_height, width = image.input_width;
  const Array batch =
      host_array(Dtype::float32, {static_cast<std::int64_t>(photos.size()), image.channels, height, width});
  const Value value = value_for(image.kind);
  auto* plane = static_cast<float*>(batch.data);
  for (const ImageView& photo : photos) {
    const Image resized = resize(image.kind == "photo" ? photo : grey(photo).view(), height, width);
    for (std::int64_t channel = 0; channel < image.channels; ++channel, plane += height * width) {
      for (std::int64_t at = 0; at < height * width; ++at) {
        plane[at] = value(&resized.pixels[static_cast<std::size_t>(3 * at)], channel);
      }
    }
  }
  return batch;
}

Array to_uint8(const Array& images) {
  const std::int64_t area = images.shape[2] * images.shape[3];
  const Array pixels = host_array(Dtype::uint8, {images.shape[0], images.shape[2], images.shape[3], 3});
  const auto* planes = static_cast<const float*>(images.data);
  auto* target = static_cast<std::uint8_t*>(pixels.data);
  bool is_nan = false;
  for (std::int64_t image = 0; image < images.shape[0]; ++image) {
    for (std::int64_t channel = 0; channel < 3; ++channel) {
      const float* plane = planes + (3 * image + channel) * area;
      std::uint8_t* first = target + 3 * image * area + channel;
      for (std::int64_t at = 0; at < area; ++at) {
        is_nan = is_nan || std::isnan(plane[at]);
        // The order of the comparisons makes NaN 0, so the conversion is defined before NaN is reported.
        const float scaled = std::min(std::max(0.0f, (plane[at] + 1.0f) / 2.0f), 1.0f) * 255.0f;
        first[3 * at] = static_cast<std::uint8_t>(scaled);
      }
    }
  }
  if (is_nan) throw ArrayError(Message("The network's image has NaN in it").expected("numbers"));
  return pixels;
}

Array mean_squared_error(const Array& left, const Array& right) {
  const std::int64_t photos = left.shape[0], size = count(left.shape) / photos;
  const Array errors = host_array(Dtype::float64, {photos});
  for (std::int64_t photo = 0; photo < photos; ++photo) {
    const double sum = sum_of_squares(static_cast<const float*>(left.data) + photo * size,
                                      static_cast<const float*>(right.data) + photo * size, size);
    static_cast<double*>(errors.data)[photo] = sum / static_cast<double>(size);
  }
  return errors;
}

}  // namespace hyperstyle
