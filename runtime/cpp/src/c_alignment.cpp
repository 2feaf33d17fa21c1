// The C interface to alignment: faces out of photos, and back.
#include "c_handles.hpp"

using hyperstyle::guarded;
using hyperstyle::needed;

namespace {

HyperstyleCrop told(const hyperstyle::Crop& crop) {
  HyperstyleCrop told{crop.width, crop.height, crop.size, {}};
  for (std::size_t at = 0; at < crop.quad.size(); ++at) told.quad[at] = {crop.quad[at].x, crop.quad[at].y};
  return told;
}

// What a caller gives is looked at as a record in a file is.
hyperstyle::Crop checked(const HyperstyleCrop& given) {
  hyperstyle::Crop crop{given.photo_width, given.photo_height, given.size, {}};
  for (std::size_t at = 0; at < crop.quad.size(); ++at) crop.quad[at] = {given.quad[at].x, given.quad[at].y};
  return hyperstyle::Crop::parse(crop.text());
}

}  // namespace

int hyperstyle_landmarks_in(const double box[4], HyperstylePoint* landmarks) {
  return guarded([&] {
    needed(box, "box");
    HyperstylePoint* target = &needed(landmarks, "landmarks");
    for (const hyperstyle::Point& point : hyperstyle::landmarks_in({box[0], box[1], box[2], box[3]})) {
      *target++ = {point.x, point.y};
    }
  });
}

int hyperstyle_align(const HyperstyleImage* photo, const HyperstylePoint* landmarks, int64_t count, int64_t size,
                     uint8_t* pixels, HyperstyleCrop* crop) {
  return guarded([&] {
    std::vector<hyperstyle::Point> points;
    for (std::int64_t at = 0; at < count; ++at) {
      const HyperstylePoint& one = (&needed(landmarks, "landmarks"))[at];
      points.push_back({one.x, one.y});
    }
    const hyperstyle::ImageView view = hyperstyle::view_of(needed(photo, "photo"));
    const hyperstyle::Aligned aligned = hyperstyle::align(view, points, size);
    hyperstyle::copy_pixels({aligned.picture}, &needed(pixels, "pixels"));
    if (crop != nullptr) *crop = told(aligned.crop);
  });
}

int hyperstyle_paste_back(const HyperstyleImage* photo, const HyperstyleImage* face, const HyperstyleCrop* crop,
                          double feather, uint8_t* pixels) {
  return guarded([&] {
    const hyperstyle::ImageView whole = hyperstyle::view_of(needed(photo, "photo"));
    const hyperstyle::ImageView part = hyperstyle::view_of(needed(face, "face"));
    const hyperstyle::Image pasted = hyperstyle::paste_back(whole, part, checked(needed(crop, "crop")), feather);
    hyperstyle::copy_pixels({pasted}, &needed(pixels, "pixels"));
  });
}

int hyperstyle_keep_crop(HyperstyleInversion* inversion, const HyperstyleCrop* crop) {
  return guarded([&] {
    needed(inversion, "inversion").inversion.source["alignment"] = checked(needed(crop, "crop")).text();
  });
}

int hyperstyle_crop_of(const HyperstyleInversion* inversion, HyperstyleCrop* crop) {
  return guarded([&] {
    needed(crop, "crop") = told(hyperstyle::crop_of(needed(inversion, "inversion").inversion));
  });
}
