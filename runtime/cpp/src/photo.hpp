// Decoders of photos: pixels as they are stored, and how to turn them.
#ifndef HYPERSTYLE_DEPLOY_PHOTO_HPP
#define HYPERSTYLE_DEPLOY_PHOTO_HPP

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "hyperstyle_deploy/image.hpp"

namespace hyperstyle {

// Why a photo cannot be decoded, in the decoder's words.
class PhotoError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A photo of another size than we take; `what()` is "WxH pixels".
class PhotoSizeError : public PhotoError {
 public:
  using PhotoError::PhotoError;
};

constexpr std::int64_t max_pixels = 40'000'000;

// Throws PhotoSizeError unless there are 1 to max_pixels pixels.
void check_size(std::int64_t height, std::int64_t width);

// A stored photo as RGB, and its EXIF orientation (1 to 8; 1 is upright).
struct Decoded {
  Image image;
  int orientation;
};

Decoded decode_jpeg(std::string_view content);
Decoded decode_png(std::string_view content);

// The orientation in EXIF data that starts with its byte order; 1 if there is none or it cannot be read.
int exif_orientation(std::string_view tiff);

// Bring a picture upright.
Image upright(const Image& image, int orientation);

}  // namespace hyperstyle

#endif
