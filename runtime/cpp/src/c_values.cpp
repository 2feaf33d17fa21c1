// The C interface to plain values: inversions, pictures, and the last error.
#include <cstdlib>

#include "c_handles.hpp"

using hyperstyle::guarded;
using hyperstyle::needed;

std::string& hyperstyle::last_error() {
  thread_local std::string message;
  return message;
}

const char* hyperstyle_error(void) { return hyperstyle::last_error().c_str(); }

const char* hyperstyle_version(void) { return hyperstyle::version(); }

int hyperstyle_inversion_save(const HyperstyleInversion* inversion, const char* path) {
  return guarded([&] { needed(inversion, "inversion").inversion.save(&needed(path, "path")); });
}

int hyperstyle_inversion_load(const char* path, HyperstyleInversion** inversion) {
  return guarded([&] {
    needed(inversion, "inversion") = nullptr;
    *inversion = new HyperstyleInversion{hyperstyle::Inversion::load(&needed(path, "path"))};
  });
}

void hyperstyle_inversion_free(HyperstyleInversion* inversion) { delete inversion; }

int hyperstyle_array(const HyperstyleInversion* inversion, const char* name, HyperstyleArray* array) {
  return guarded([&] {
    const auto& arrays = needed(inversion, "inversion").inversion.arrays;
    const auto found = arrays.find(&needed(name, "name"));
    if (found == arrays.end()) throw hyperstyle::InversionError("The inversion has no array of that name.");
    needed(array, "array") = hyperstyle::array_of(found->first, found->second.values.data(), found->second.shape);
  });
}

const double* hyperstyle_l2(const HyperstyleInversion* inversion, int64_t* count) {
  if (count != nullptr) *count = inversion == nullptr ? 0 : static_cast<std::int64_t>(inversion->inversion.l2.size());
  return inversion == nullptr ? nullptr : inversion->inversion.l2.data();
}

int64_t hyperstyle_steps(const HyperstyleInversion* inversion) {
  return inversion == nullptr ? 0 : inversion->inversion.steps;
}

int hyperstyle_image(const HyperstyleInversion* inversion, HyperstyleImage* image) {
  return guarded([&] {
    const hyperstyle::Image& found = needed(inversion, "inversion").inversion.image;
    needed(image, "image") = {found.pixels.data(), found.height, found.width, 0};
  });
}

int hyperstyle_photo_read(const char* path, HyperstyleImage* photo) {
  return guarded([&] {
    needed(photo, "photo") = {};
    const hyperstyle::Image image = hyperstyle::read_photo(&needed(path, "path"));
    auto* pixels = static_cast<uint8_t*>(std::malloc(image.pixels.size()));
    if (pixels == nullptr) throw std::bad_alloc();
    std::memcpy(pixels, image.pixels.data(), image.pixels.size());
    *photo = {pixels, image.height, image.width, 0};
  });
}

void hyperstyle_photo_free(HyperstyleImage* photo) {
  if (photo == nullptr) return;
  std::free(const_cast<uint8_t*>(photo->data));
  *photo = {};
}

int hyperstyle_png_write(const char* path, const HyperstyleImage* image) {
  return guarded([&] { hyperstyle::write_png(&needed(path, "path"), hyperstyle::view_of(needed(image, "image"))); });
}
