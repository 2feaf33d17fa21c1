// Photos in, pictures out: 8-bit RGB, upright, row by row.
#ifndef HYPERSTYLE_DEPLOY_IMAGE_HPP
#define HYPERSTYLE_DEPLOY_IMAGE_HPP

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "api.h"

namespace hyperstyle {

// Pixels that belong to the caller: `height` rows of `width` times red, green, blue; rows start `stride` bytes apart.
// A call that takes one reads it before it returns and keeps nothing of it.
struct ImageView {
  const std::uint8_t* data = nullptr;
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::ptrdiff_t stride = 0;  // 0: 3 * width
};

// Pixels of its own, dense: [height, width, 3].
struct Image {
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::vector<std::uint8_t> pixels;

  ImageView view() const { return {pixels.data(), height, width, 0}; }
};

// Read a JPEG or PNG file as upright RGB: EXIF orientation applied, 16 bits scaled to 8, CMYK converted, transparency
// laid over white. At most 40 million pixels. Throws ImageError. May be called from any thread.
HYPERSTYLE_DEPLOY_API Image read_photo(const std::string& path);

// The same of a file's content; `name` is what errors call it.
HYPERSTYLE_DEPLOY_API Image decode_photo(std::string_view content, const std::string& name);

// Write a PNG; the file is whole or not there. Throws OutputError, or ArrayError for no pixels.
HYPERSTYLE_DEPLOY_API void write_png(const std::string& path, const ImageView& image);

// Resize with the authors' filter: bilinear over the source's pixels, antialiased when shrinking, with Pillow's
// arithmetic, rows first, then columns. (Pillow 13 exchanges the two for some sizes: up to one level apart.)
// Throws ArrayError for no pixels or a size below 1.
HYPERSTYLE_DEPLOY_API Image resize(const ImageView& image, std::int64_t height, std::int64_t width);

}  // namespace hyperstyle

#endif
