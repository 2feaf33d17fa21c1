// What alignment and pasting are made of, with Pillow's arithmetic where the Python runtime uses Pillow.
#ifndef HYPERSTYLE_DEPLOY_ALIGNMENT_PARTS_HPP
#define HYPERSTYLE_DEPLOY_ALIGNMENT_PARTS_HPP

#include <array>

#include "hyperstyle_deploy/alignment.hpp"

namespace hyperstyle {

// A matrix of rows [a, b, c]: (x, y) to (a x + b y + c, ...).
using Affine = std::array<std::array<double, 3>, 2>;

constexpr std::int64_t min_size = 16, max_size = 4096;  // of an aligned picture
constexpr std::int64_t max_photo_pixels = 40'000'000;

// The affine map from the aligned picture, 0 to 1 each way, to the photo's pixels.
Affine basis(const Crop& crop);

// The inverse of a map, as far as directions go: [2, 2].
std::array<std::array<double, 2>, 2> inverse(const Affine& map);

// Rows and columns of a picture, the ends not included.
Image window(const Image& image, std::int64_t left, std::int64_t upper, std::int64_t right, std::int64_t lower);

// A square out of a quadrilateral (corners as in Crop, edges at 0), bilinear; black outside the picture.
Image sample_quad(const Image& image, const std::array<Point, 4>& quad, std::int64_t size);

// A picture through an affine map from its pixels to those of `image` (edges at 0), bicubic; black outside.
Image sample_affine(const Image& image, const Affine& map, std::int64_t height, std::int64_t width);

// Pad a photo as FFHQ's preparation does, left, upper, right, lower: reflected, more and more blurred (a standard
// deviation of 0.02 `side`), and at last the photo's median colour.
Image pad_softly(const Image& photo, const std::array<std::int64_t, 4>& pad, double side);

// A Gaussian blur of [height, width], cut off at four standard deviations, edges mirrored with the last pixel twice.
void blur(std::vector<float>& channel, std::int64_t height, std::int64_t width, double sigma);

}  // namespace hyperstyle

#endif
