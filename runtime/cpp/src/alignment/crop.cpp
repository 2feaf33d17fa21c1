// The record of an alignment: read strictly, written as the Python runtime reads it.
#include <cmath>

#include "../json.hpp"
#include "../text.hpp"
#include "hyperstyle_deploy/errors.hpp"
#include "parts.hpp"

namespace hyperstyle {
namespace {

constexpr std::size_t max_text = 4096;
constexpr double max_corner = 1e9;

std::int64_t whole(const Json& value) {
  if (!value.is_number_integer() || value < 1 || value > max_photo_pixels) throw JsonError("a size that is none");
  return value.get<std::int64_t>();
}

double number(const Json& value) {
  if (!value.is_number() || !(std::abs(value.get<double>()) <= max_corner)) throw JsonError("a corner that is none");
  return value.get<double>();
}

const Json& list(const Json& value, std::size_t length) {
  if (!value.is_array() || value.size() != length) throw JsonError("a list of another length");
  return value;
}

Crop checked(const Json& document) {
  if (!document.is_object() || document.size() != 3 || !document.contains("photo") || !document.contains("size") ||
      !document.contains("quad")) {
    throw JsonError("other keys");
  }
  Crop crop;
  const Json& photo = list(document["photo"], 2);
  crop.width = whole(photo[0]);
  crop.height = whole(photo[1]);
  crop.size = whole(document["size"]);
  if (crop.width * crop.height > max_photo_pixels || crop.size < min_size || crop.size > max_size) {
    throw JsonError("a size out of range");
  }
  const Json& corners = list(document["quad"], 4);
  for (std::size_t at = 0; at < 4; ++at) {
    const Json& corner = list(corners[at], 2);
    crop.quad[at] = {number(corner[0]), number(corner[1])};
  }
  const auto& quad = crop.quad;
  const double bent = std::max(std::abs(quad[0].x + quad[2].x - quad[1].x - quad[3].x),
                               std::abs(quad[0].y + quad[2].y - quad[1].y - quad[3].y));
  if (!(bent <= 1e-3 * std::max(1.0, crop.side()))) throw JsonError("a quad that is no parallelogram");
  const Affine map = basis(crop);
  if (!(std::abs(map[0][0] * map[1][1] - map[0][1] * map[1][0]) >= 1)) throw JsonError("a quad without an area");
  return crop;
}

}  // namespace

double Crop::side() const { return std::hypot(quad[3].x - quad[0].x, quad[3].y - quad[0].y); }

std::string Crop::text() const {
  Json corners = Json::array();
  for (const Point& corner : quad) corners.push_back({corner.x, corner.y});
  return Json{{"photo", {width, height}}, {"size", size}, {"quad", corners}}.dump();
}

Crop Crop::parse(const std::string& text) {
  try {
    if (text.size() > max_text) throw JsonError(std::to_string(text.size()) + " bytes");
    return checked(parse_json(text));
  } catch (const JsonError& error) {
    throw AlignmentError(Message("That is no record of an alignment")
                             .got(clipped(error.what(), 200))
                             .expected(R"({"photo": [width, height], "size": S, "quad": four corners [x, y]})"));
  }
}

Crop crop_of(const Inversion& inversion) {
  const auto found = inversion.source.find("alignment");
  if (found == inversion.source.end()) {
    throw AlignmentError(Message("The inversion keeps no alignment")
                             .expected("that of an aligned photo")
                             .hint("Invert the photo with --align."));
  }
  return Crop::parse(found->second);
}

Affine basis(const Crop& crop) {
  const auto& quad = crop.quad;
  return {{{quad[3].x - quad[0].x, quad[1].x - quad[0].x, quad[0].x},
           {quad[3].y - quad[0].y, quad[1].y - quad[0].y, quad[0].y}}};
}

std::array<std::array<double, 2>, 2> inverse(const Affine& map) {
  const double determinant = map[0][0] * map[1][1] - map[0][1] * map[1][0];
  return {{{map[1][1] / determinant, -map[0][1] / determinant}, {-map[1][0] / determinant, map[0][0] / determinant}}};
}

}  // namespace hyperstyle
