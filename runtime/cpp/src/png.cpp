// PNG through libpng: every kind of pixel in, RGB out; and RGB written.
#include <png.h>

#include <cstring>
#include <memory>
#include <vector>

#include "files.hpp"
#include "hyperstyle_deploy/errors.hpp"
#include "images.hpp"
#include "photo.hpp"
#include "text.hpp"

namespace hyperstyle {
namespace {

struct Source {
  std::string_view content;
  std::string error;
};

void read_bytes(png_structp png, png_bytep target, png_size_t size) {
  auto& left = static_cast<Source*>(png_get_io_ptr(png))->content;
  if (size > left.size()) png_error(png, "the file ends early");
  std::memcpy(target, left.data(), size);
  left.remove_prefix(size);
}

void fail(png_structp png, png_const_charp text) {
  static_cast<Source*>(png_get_error_ptr(png))->error = text;
  png_longjmp(png, 1);
}

void ignore(png_structp, png_const_charp) {}

// What is read: dense RGBA rows, or the reason why not in `source`.
struct Reading {
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::vector<png_byte> rows;
  std::vector<png_bytep> starts;

  ~Reading() { png_destroy_read_struct(&png, &info, nullptr); }
};

// Everything to 8-bit RGBA. Colours of 16 bits lose their low byte, grey is rounded, as Pillow and our reader do it.
void ask_for_rgba(png_structp png, png_infop info) {
  const int colour = png_get_color_type(png, info);
  const bool clear = (colour & PNG_COLOR_MASK_ALPHA) != 0 || png_get_valid(png, info, PNG_INFO_tRNS) != 0;
  if (colour == PNG_COLOR_TYPE_GRAY) {
    png_set_scale_16(png);
  } else {
    png_set_strip_16(png);
  }
  png_set_expand(png);
  png_set_gray_to_rgb(png);
  if (!clear) png_set_add_alpha(png, 0xff, PNG_FILLER_AFTER);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
}

// libpng's calls, between which nothing with a destructor may live: errors jump. False if there was one.
bool read_rows(Reading& reading, void (*check)(std::int64_t, std::int64_t)) {
  if (setjmp(png_jmpbuf(reading.png)) != 0) return false;
  png_set_crc_action(reading.png, PNG_CRC_ERROR_QUIT, PNG_CRC_WARN_DISCARD);
  png_set_user_limits(reading.png, 0x7fffffff, 0x7fffffff);  // our own limit is on their product
  png_read_info(reading.png, reading.info);
  const std::size_t height = png_get_image_height(reading.png, reading.info);
  const std::size_t width = png_get_image_width(reading.png, reading.info);
  check(static_cast<std::int64_t>(height), static_cast<std::int64_t>(width));
  ask_for_rgba(reading.png, reading.info);
  reading.rows.resize(4 * height * width);
  for (std::size_t row = 0; row < height; ++row) reading.starts.push_back(&reading.rows[4 * width * row]);
  png_read_image(reading.png, reading.starts.data());
  // Damage behind the pixels is not looked at; a turned photo may say so there.
  if (setjmp(png_jmpbuf(reading.png)) == 0) png_read_end(reading.png, reading.info);
  return true;
}

// One channel over white, with Pillow's rounding.
std::uint8_t over_white(unsigned value, unsigned alpha) {
  const unsigned mine = alpha * 128, white = 255 * 128 - mine;
  const unsigned sum = value * mine + 255 * white + (0x80 << 7);
  return static_cast<std::uint8_t>((((sum >> 8) + sum) >> 8) >> 7);
}

int orientation_in(const Reading& reading) {
#ifdef PNG_eXIf_SUPPORTED
  png_bytep exif = nullptr;
  png_uint_32 size = 0;
  if (png_get_eXIf_1(reading.png, reading.info, &size, &exif) != 0) {
    return exif_orientation({reinterpret_cast<const char*>(exif), size});
  }
#endif
  return 1;
}

}  // namespace

Decoded decode_png(std::string_view content) {
  Source source{content, ""};
  Reading reading;
  reading.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &source, fail, ignore);
  if (reading.png != nullptr) reading.info = png_create_info_struct(reading.png);
  if (reading.info == nullptr) throw std::bad_alloc();
  png_set_read_fn(reading.png, &source, read_bytes);
  if (!read_rows(reading, check_size)) throw PhotoError(source.error);
  Image image{png_get_image_height(reading.png, reading.info), png_get_image_width(reading.png, reading.info), {}};
  image.pixels.reserve(reading.rows.size() / 4 * 3);
  for (std::size_t at = 0; at < reading.rows.size(); at += 4) {
    for (std::size_t channel = 0; channel < 3; ++channel) {
      image.pixels.push_back(over_white(reading.rows[at + channel], reading.rows[at + 3]));
    }
  }
  return {std::move(image), orientation_in(reading)};
}

void write_png(const std::string& path, const ImageView& view) {
  check_photo(view);
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(view.width);
  image.height = static_cast<png_uint_32>(view.height);
  image.format = PNG_FORMAT_RGB;
  const std::ptrdiff_t stride = view.stride == 0 ? 3 * static_cast<std::ptrdiff_t>(view.width) : view.stride;
  if (stride != static_cast<png_int_32>(stride)) {
    throw ArrayError(Message("Not a photo to write").got("rows " + std::to_string(stride) + " bytes apart"));
  }
  // For rows that go up in memory, libpng takes the address of the lowest.
  const std::uint8_t* const lowest = stride < 0 ? view.data + (view.height - 1) * stride : view.data;
  const std::unique_ptr<png_image, void (*)(png_image*)> freed(&image, png_image_free);
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::vector<png_byte> encoded(size);
  if (png_image_write_to_memory(&image, encoded.data(), &size, 0, lowest, static_cast<png_int_32>(stride), nullptr) == 0) {
    throw OutputError(Message("Cannot write " + path).got(image.message));
  }
  write_atomically(path, [&](std::FILE* file) { write_all(file, encoded.data(), size); });
}

}  // namespace hyperstyle
