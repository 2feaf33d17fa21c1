// FFHQ's crop of a face: the square from its features, shrinking, cutting, padding and sampling. The steps and their
// constants are those of FFHQ's preparation (Karras et al. 2019, appendix A), as in runtime/alignment/ffhq.py.
#include <algorithm>
#include <cmath>
#include <map>

#include "../images.hpp"
#include "../text.hpp"
#include "hyperstyle_deploy/errors.hpp"
#include "parts.hpp"

namespace hyperstyle {
namespace {

constexpr double min_side = 4, max_sides = 4, max_coordinate = 1e6;
constexpr std::int64_t max_padded = 100'000'000;
// Where an average face has its eyes, nose and corners of the mouth in a box, in shares of its sides.
constexpr Point in_box[] = {{0.28, 0.21}, {0.72, 0.21}, {0.5, 0.5}, {0.32, 0.67}, {0.68, 0.67}};

Point operator+(Point a, Point b) { return {a.x + b.x, a.y + b.y}; }
Point operator-(Point a, Point b) { return {a.x - b.x, a.y - b.y}; }
Point operator*(Point a, double factor) { return {a.x * factor, a.y * factor}; }
Point operator/(Point a, double divisor) { return {a.x / divisor, a.y / divisor}; }
double length(Point a) { return std::hypot(a.x, a.y); }
Point turned(Point a) { return {-a.y, a.x}; }  // a quarter turn, from the right to down

// Which landmarks make the left eye, the right eye and the mouth, left being left in the picture.
using Layout = std::array<std::vector<std::size_t>, 3>;

const std::map<std::size_t, Layout>& layouts() {
  static const Layout mesh{{{33, 160, 158, 133, 153, 144}, {362, 385, 387, 263, 373, 380}, {61, 291}}};
  static const std::map<std::size_t, Layout> all{
      {68, {{{36, 37, 38, 39, 40, 41}, {42, 43, 44, 45, 46, 47}, {48, 54}}}},
      {5, {{{0}, {1}, {3, 4}}}},
      {6, {{{0}, {1}, {3}}}},
      {468, mesh},
      {478, mesh}};
  return all;
}

struct Square {
  Point centre, right;

  double side() const { return length(right) * 2; }
  std::array<Point, 4> quad() const {
    const Point x = right, y = turned(right);
    return {centre - x - y, centre - x + y, centre + x + y, centre + x - y};
  }
};

std::array<Point, 3> features(const std::vector<Point>& landmarks) {
  const auto layout = layouts().find(landmarks.size());
  if (layout == layouts().end()) {
    throw AlignmentError(Message("Landmarks have the wrong shape")
                             .got(repr(std::vector<std::int64_t>{static_cast<std::int64_t>(landmarks.size()), 2}))
                             .expected("5, 6, 68, 468 or 478 points"));
  }
  for (const Point& point : landmarks) {
    if (!std::isfinite(point.x) || !std::isfinite(point.y)) {
      throw AlignmentError(Message("Landmarks have NaN or Inf in them").expected("finite numbers"));
    }
    if (std::abs(point.x) > max_coordinate || std::abs(point.y) > max_coordinate) {
      throw AlignmentError(Message("Landmarks are in no picture").expected("up to 1e+06"));
    }
  }
  std::array<Point, 3> found;
  for (std::size_t at = 0; at < 3; ++at) {
    const auto& part = layout->second[at];
    for (const std::size_t point : part) found[at] = found[at] + landmarks[point];
    found[at] = found[at] / static_cast<double>(part.size());
  }
  return found;
}

Square square_of(const std::array<Point, 3>& face) {
  const auto& [left_eye, right_eye, mouth] = face;
  const Point eyes = right_eye - left_eye, middle = (left_eye + right_eye) * 0.5, down = mouth - middle;
  const Point x = eyes - turned(down);
  const double reach = std::max(length(eyes) * 2.0, length(down) * 1.8);
  if (reach * 2 < min_side) {
    throw AlignmentError(Message("The eyes and the mouth are at one place").expected("a square of 4 pixels or more"));
  }
  if (length(x) < 0.1 * reach) {
    throw AlignmentError(Message("The eyes do not fit the mouth")
                             .got("a face that is upright by the one and upside down by the other")
                             .expected("the eye at the left of the picture first")
                             .hint("Are left and right swapped, or was the photo mirrored?"));
  }
  return {middle + down * 0.1, x / length(x) * reach};
}

void check(const ImageView& photo, const Square& square, std::int64_t size) {
  if (size < min_size || size > max_size) {
    throw AlignmentError(
        Message("The size is out of range").got(std::to_string(size)).expected("16 to 4096 pixels"));
  }
  const auto width = static_cast<double>(photo.width), height = static_cast<double>(photo.height);
  const std::string picture = std::to_string(photo.width) + "x" + std::to_string(photo.height) + " pixels";
  if (!(square.centre.x >= 0 && square.centre.x <= width && square.centre.y >= 0 && square.centre.y <= height)) {
    throw AlignmentError(
        Message("The landmarks lie outside the photo")
            .expected("inside " + picture)
            .hint("Landmarks belong to the photo as it is seen: turned as its EXIF data says, and at this size."));
  }
  if (square.side() > max_sides * std::max(width, height)) {
    throw AlignmentError(Message("The landmarks are far larger than the photo").expected("a face in " + picture));
  }
}

std::int64_t rounded(double value) { return static_cast<std::int64_t>(std::nearbyint(value)); }

}  // namespace

std::vector<Point> landmarks_in(const Box& box) {
  const double width = box.right - box.left, height = box.lower - box.upper;
  const bool finite = std::isfinite(box.left) && std::isfinite(box.upper) && std::isfinite(width + height);
  if (!finite || !(width > 0) || !(height > 0)) {
    std::vector<std::string> texts;
    for (const double edge : {box.left, box.upper, box.right, box.lower}) texts.push_back(std::to_string(edge));
    throw AlignmentError(
        Message("That is no box").got(joined(texts)).expected("left, upper, right, lower edge, rising"));
  }
  std::vector<Point> landmarks;
  for (const Point& share : in_box) {
    // Edges count from the outer edge of the first pixel, landmarks from its middle.
    landmarks.push_back({box.left + share.x * width - 0.5, box.upper + share.y * height - 0.5});
  }
  return landmarks;
}

Aligned align(const ImageView& view, const std::vector<Point>& landmarks, std::int64_t size) {
  check_photo(view);
  const Square square = square_of(features(landmarks));
  check(view, square, size);
  Image photo = dense(view);
  std::array<Point, 4> quad = square.quad();
  double side = square.side();

  const double shrink = std::floor(side / static_cast<double>(size) * 0.5);
  if (shrink > 1) {
    const auto less = [&](std::int64_t from) {
      return std::max<std::int64_t>(1, rounded(static_cast<double>(from) / shrink));
    };
    photo = shrink_lanczos(photo.view(), less(view.height), less(view.width));
    for (Point& corner : quad) corner = corner / shrink;
    side /= shrink;
  }
  Aligned aligned{{}, {view.width, view.height, size, quad}};
  const Point scale{static_cast<double>(view.width) / static_cast<double>(photo.width),
                    static_cast<double>(view.height) / static_cast<double>(photo.height)};
  for (Point& corner : aligned.crop.quad) corner = {(corner.x + 0.5) * scale.x, (corner.y + 0.5) * scale.y};

  const std::int64_t border = std::max<std::int64_t>(rounded(side * 0.1), 3);
  const auto [least_x, most_x] = std::minmax({quad[0].x, quad[1].x, quad[2].x, quad[3].x});
  const auto [least_y, most_y] = std::minmax({quad[0].y, quad[1].y, quad[2].y, quad[3].y});
  const auto low = [&](double value) { return static_cast<std::int64_t>(std::floor(value)) - border; };
  const auto high = [&](double value) { return static_cast<std::int64_t>(std::ceil(value)) + border; };
  const std::int64_t left = std::max<std::int64_t>(low(least_x), 0), upper = std::max<std::int64_t>(low(least_y), 0);
  const std::int64_t right = std::min(high(most_x), photo.width), lower = std::min(high(most_y), photo.height);
  std::array<std::int64_t, 4> pad{-low(least_x), -low(least_y), high(most_x) - right, high(most_y) - lower};
  photo = window(photo, left, upper, right, lower);
  Point corner{static_cast<double>(left), static_cast<double>(upper)};

  // How far the square and its border leave the photo. A few pixels do not count.
  if (*std::max_element(pad.begin(), pad.end()) > border - 4) {
    for (std::int64_t& each : pad) each = std::max(each, rounded(side * 0.3));
    if ((photo.width + pad[0] + pad[2]) * (photo.height + pad[1] + pad[3]) > max_padded) {
      throw AlignmentError(Message("The face is too large at the border").hint("Shrink the photo first."));
    }
    photo = pad_softly(photo, pad, side);
    corner = corner - Point{static_cast<double>(pad[0]), static_cast<double>(pad[1])};
  }
  for (Point& each : quad) each = each - corner + Point{0.5, 0.5};
  aligned.picture = sample_quad(photo, quad, size);
  return aligned;
}

}  // namespace hyperstyle
