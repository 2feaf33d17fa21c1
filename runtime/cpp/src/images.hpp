// Pixels to the networks' range and back, with the arithmetic of the Python runtime, bit for bit.
#ifndef HYPERSTYLE_DEPLOY_IMAGES_HPP
#define HYPERSTYLE_DEPLOY_IMAGES_HPP

#include <vector>

#include "array.hpp"
#include "hyperstyle_deploy/image.hpp"
#include "hyperstyle_deploy/manifest.hpp"

namespace hyperstyle {

// Resized pictures as the encoder takes them: [B, channels, input_height, input_width] float32. Photos are
// (rgb / 255 - 0.5) / 0.5; sketches are grey / 255; labels are 1 in the channel of the grey value, and 0 elsewhere.
// Throws ArrayError: no pixels.
Array network_input(const std::vector<ImageView>& photos, const ImageSpec& image);

// Images [N, 3, H, W] float32 to [N, H, W, 3] uint8: clip((y + 1) / 2, 0, 1) * 255, truncated. Throws ArrayError: NaN.
Array to_uint8(const Array& images);

// The loop's L2, one value a photo: mean of (left - right)^2 over [B, 3, H, W]; [B] float64.
Array mean_squared_error(const Array& left, const Array& right);

// Throws ArrayError unless there are pixels.
void check_photo(const ImageView& image);

// The pixels without gaps between rows. Throws ArrayError: no pixels.
Image dense(const ImageView& image);

// Resize by Lanczos' filter over three lobes, with Pillow's arithmetic. Throws as `resize` does.
Image shrink_lanczos(const ImageView& image, std::int64_t height, std::int64_t width);

}  // namespace hyperstyle

#endif
