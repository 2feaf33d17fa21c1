// JPEG through libjpeg: baseline and progressive, grey, YCbCr and CMYK.
#include <csetjmp>
#include <cstdio>

#include <jpeglib.h>
#include <jerror.h>

#include <algorithm>
#include <vector>

#include "photo.hpp"

namespace hyperstyle {
namespace {

struct Failure {
  jpeg_error_mgr base;  // libjpeg knows this first member only
  jmp_buf jump;
  char text[JMSG_LENGTH_MAX];
  bool ended;  // the file has, before its end marker
};

void fail(j_common_ptr info) {
  auto* failure = reinterpret_cast<Failure*>(info->err);
  info->err->format_message(info, failure->text);
  longjmp(failure->jump, 1);
}

// Damage is a warning to libjpeg, as it is to Pillow: bytes between segments, odd parameters. But pixels that are not in
// the file would become grey without a word: those of a scan that the end of the file cuts, or of a later scan.
void warn(j_common_ptr info, int level) {
  auto* failure = reinterpret_cast<Failure*>(info->err);
  if (level >= 0) return;
  if (info->err->msg_code == JWRN_JPEG_EOF) failure->ended = true;
  const auto* decoding = reinterpret_cast<j_decompress_ptr>(info);
  const bool pixels_left = decoding->output_scanline < decoding->output_height || decoding->output_height == 0;
  const bool cut = info->err->msg_code == JWRN_HIT_MARKER && failure->ended;
  const bool scans_missing = info->err->msg_code == JWRN_JPEG_EOF && decoding->progressive_mode != 0;
  if (cut || (scans_missing && pixels_left)) fail(info);
}

struct Stored {
  std::vector<JSAMPLE> rows;
  int orientation = 1;
};

int orientation_in(const jpeg_decompress_struct& info) {
  for (jpeg_saved_marker_ptr marker = info.marker_list; marker != nullptr; marker = marker->next) {
    const std::string_view data(reinterpret_cast<const char*>(marker->data), marker->data_length);
    if (data.rfind(std::string_view("Exif\0\0", 6), 0) == 0) return exif_orientation(data.substr(6));
  }
  return 1;
}

// libjpeg's calls, between which nothing with a destructor may live: errors jump. False with the reason in `failure`.
bool decompress(jpeg_decompress_struct& info, Failure& failure, std::string_view content, Stored& stored,
                bool (*prepare)(jpeg_decompress_struct&, Stored&)) {
  info.err = jpeg_std_error(&failure.base);
  failure.base.error_exit = fail;
  failure.base.emit_message = warn;
  if (setjmp(failure.jump) != 0) return false;
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(content.data()), content.size());
  jpeg_save_markers(&info, JPEG_APP0 + 1, 0xffff);
  jpeg_read_header(&info, TRUE);
  if (!prepare(info, stored)) return false;
  jpeg_start_decompress(&info);
  while (info.output_scanline < info.output_height) {
    JSAMPROW row = stored.rows.data() + static_cast<std::size_t>(info.output_scanline) * info.output_width *
                                     static_cast<std::size_t>(info.output_components);
    jpeg_read_scanlines(&info, &row, 1);
  }
  jpeg_finish_decompress(&info);
  return true;
}

// Look at the header and choose the colours; false for too many pixels.
bool prepare(jpeg_decompress_struct& info, Stored& stored) {
  try {
    check_size(info.image_height, info.image_width);
  } catch (const PhotoSizeError&) {
    return false;
  }
  const bool cmyk = info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK;
  info.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
  stored.orientation = orientation_in(info);  // the markers are gone once decoding ends
  stored.rows.resize(std::size_t{info.image_height} * info.image_width * (cmyk ? 4u : 3u));
  return true;
}

// Ink to light, as Pillow does it; Adobe's programs store the inverse of the ink.
std::vector<std::uint8_t> rgb_of_cmyk(const std::vector<JSAMPLE>& inks, bool inverted) {
  std::vector<std::uint8_t> pixels;
  pixels.reserve(inks.size() / 4 * 3);
  for (std::size_t at = 0; at + 4 <= inks.size(); at += 4) {
    const auto ink = [&](std::size_t index) { return inverted ? 255 - inks[at + index] : inks[at + index]; };
    const int light = 255 - ink(3);
    for (std::size_t channel = 0; channel < 3; ++channel) {
      const int product = ink(channel) * light + 128;
      pixels.push_back(static_cast<std::uint8_t>(std::clamp(light - (((product >> 8) + product) >> 8), 0, 255)));
    }
  }
  return pixels;
}

}  // namespace

Decoded decode_jpeg(std::string_view content) {
  jpeg_decompress_struct info{};
  Failure failure{};
  Stored stored;
  const bool done = decompress(info, failure, content, stored, prepare);
  const std::int64_t height = info.image_height, width = info.image_width;
  const bool cmyk = info.out_color_space == JCS_CMYK;
  const bool inverted = info.saw_Adobe_marker != 0;
  jpeg_destroy_decompress(&info);
  if (!done) {
    if (*failure.text != '\0') throw PhotoError(failure.text);
    check_size(height, width);
  }
  return {{height, width, cmyk ? rgb_of_cmyk(stored.rows, inverted) : std::move(stored.rows)}, stored.orientation};
}

}  // namespace hyperstyle
