#include "photo.hpp"

#include <algorithm>
#include <cstring>
#include <system_error>

#include "files.hpp"
#include "hyperstyle_deploy/errors.hpp"
#include "text.hpp"

namespace hyperstyle {
namespace {

// A number of `size` bytes at `at`, 0 past the end.
std::uint32_t number_at(std::string_view tiff, std::size_t at, std::size_t size) {
  if (at > tiff.size() || tiff.size() - at < size) return 0;
  std::uint32_t value = 0;
  for (std::size_t index = 0; index < size; ++index) {
    const std::size_t place = tiff[0] == 'M' ? at + index : at + size - 1 - index;
    value = value << 8 | static_cast<unsigned char>(tiff[place]);
  }
  return value;
}

bool is_jpeg(std::string_view content) { return content.rfind("\xff\xd8\xff", 0) == 0; }

bool is_png(std::string_view content) { return content.rfind("\x89PNG\r\n\x1a\n", 0) == 0; }

// Look at the first bytes, and at the size: 40,000,000 pixels of 8 bytes, with room for what else a file may hold.
void check_kind(const std::string& path) {
  constexpr std::uint64_t max_bytes = 1'000'000'000;
  const InputFile file(path);
  std::string start(static_cast<std::size_t>(std::min<std::uint64_t>(file.size(), 8)), '\0');
  file.read(0, &start[0], start.size());
  if (!is_jpeg(start) && !is_png(start)) throw PhotoError("");
  if (file.size() > max_bytes) throw PhotoError(std::to_string(file.size()) + " bytes");
}

// What `read` gives; its failures as ImageErrors that name the photo.
template <typename Read>
Image named(const std::string& name, Read read) {
  try {
    return read();
  } catch (const PhotoSizeError& error) {
    throw ImageError(
        Message(name + " has an unsupported size").got(error.what()).expected("from 1 to 40,000,000 pixels"));
  } catch (const PhotoError& error) {
    if (*error.what() == '\0') {
      throw ImageError(Message("Cannot read " + name).got("another kind of file").expected("JPEG or PNG"));
    }
    throw ImageError(Message("Cannot read " + name).got(error.what()).expected("an undamaged JPEG or PNG file"));
  } catch (const std::system_error& error) {
    throw ImageError(Message("Cannot read " + name)
                         .got(std::strerror(error.code().value()))
                         .expected("an undamaged JPEG or PNG file"));
  }
}

Image decoded(std::string_view content) {
  if (!is_jpeg(content) && !is_png(content)) throw PhotoError("");
  const Decoded photo = is_jpeg(content) ? decode_jpeg(content) : decode_png(content);
  return upright(photo.image, photo.orientation);
}

}  // namespace

void check_size(std::int64_t height, std::int64_t width) {
  if (height < 1 || width < 1 || height > max_pixels / width) {
    throw PhotoSizeError(std::to_string(width) + "x" + std::to_string(height) + " pixels");
  }
}

int exif_orientation(std::string_view tiff) {
  constexpr std::uint32_t orientation_tag = 0x0112, short_type = 3;
  if (tiff.size() < 8 ||
      (tiff.rfind(std::string_view("MM\0*", 4), 0) != 0 && tiff.rfind(std::string_view("II*\0", 4), 0) != 0)) {
    return 1;
  }
  const std::size_t directory = number_at(tiff, 4, 4), entries = number_at(tiff, directory, 2);
  for (std::size_t entry = 0; entry < entries; ++entry) {
    const std::size_t at = directory + 2 + 12 * entry;
    if (at + 12 > tiff.size()) return 1;
    if (number_at(tiff, at, 2) != orientation_tag) continue;
    const std::uint32_t value = number_at(tiff, at + 8, 2);
    return number_at(tiff, at + 2, 2) == short_type && value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

Image upright(const Image& image, int orientation) {
  if (orientation == 1) return image;
  const bool turned = orientation >= 5;
  // Where the first stored row and column go: at the right, at the bottom.
  const bool right = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
  const bool bottom = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
  Image result{turned ? image.width : image.height, turned ? image.height : image.width, {}};
  result.pixels.resize(image.pixels.size());
  for (std::int64_t y = 0; y < result.height; ++y) {
    for (std::int64_t x = 0; x < result.width; ++x) {
      const std::int64_t down = bottom ? result.height - 1 - y : y, across = right ? result.width - 1 - x : x;
      const std::int64_t from = turned ? across * image.width + down : down * image.width + across;
      std::memcpy(&result.pixels[static_cast<std::size_t>(3 * (y * result.width + x))],
                  &image.pixels[static_cast<std::size_t>(3 * from)], 3);
    }
  }
  return result;
}

Image read_photo(const std::string& path) {
  return named(path, [&] {
    check_kind(path);
    return decoded(read_file(path));
  });
}

Image decode_photo(std::string_view content, const std::string& name) {
  return named(name, [&] { return decoded(content); });
}

}  // namespace hyperstyle
