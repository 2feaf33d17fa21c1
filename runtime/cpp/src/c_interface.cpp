#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>

#include "hyperstyle_deploy/runtime.h"
#include "hyperstyle_deploy/runtime.hpp"

using hyperstyle::ArrayError;

struct HyperstyleSession {
  hyperstyle::Session session;
};
struct HyperstyleInversion {
  hyperstyle::Inversion inversion;
};
struct HyperstyleCancellation {
  hyperstyle::Cancellation cancellation;
};

namespace {

std::string& last_error() {
  thread_local std::string message;
  return message;
}

// Run `work`; any exception becomes a code and a message.
template <typename Work>
int guarded(Work work) noexcept {
  try {
    work();
    return HYPERSTYLE_OK;
  } catch (const hyperstyle::Error& error) {
    last_error() = error.what();
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    last_error() = std::string("Internal error: ") + error.what();
  } catch (...) {
    last_error() = "Internal error";
  }
  return HYPERSTYLE_INTERNAL_ERROR;
}

template <typename Thing>
Thing& needed(Thing* pointer, const char* name) {
  if (pointer == nullptr) throw ArrayError(std::string(name) + " is null.");
  return *pointer;
}

hyperstyle::ImageView view_of(const HyperstyleImage& image) {
  return {image.data, image.height, image.width, static_cast<std::ptrdiff_t>(image.stride)};
}

// The caller's struct as this library knows it: fields that the caller does not know are `defaults`.
template <typename Struct>
Struct known_part(const Struct& given, const Struct& defaults, std::size_t first_version) {
  if (given.struct_size < first_version) {
    throw ArrayError("struct_size is wrong. Got: " + std::to_string(given.struct_size) +
                     ". Expected: the size of the struct, as its initializer sets it.");
  }
  Struct known = defaults;
  std::memcpy(&known, &given, std::min(given.struct_size, sizeof known));
  return known;
}

hyperstyle::InvertOptions invert_options(std::int32_t steps, HyperstyleStep on_step, void* context,
                                         const HyperstyleCancellation* cancellation) {
  hyperstyle::InvertOptions options;
  options.steps = steps;
  if (on_step != nullptr) {
    options.on_step = [=](const hyperstyle::StepView& step) {
      return on_step(context, step.index, step.photos, step.reconstruction, step.l2) != 0;
    };
  }
  if (cancellation != nullptr) options.cancellation = &cancellation->cancellation;
  return options;
}

template <typename Value>
const Value* values_of(const std::vector<Value>* values, std::int64_t* count) {
  if (count != nullptr) *count = values == nullptr ? 0 : static_cast<std::int64_t>(values->size());
  return values == nullptr ? nullptr : values->data();
}

}  // namespace

const char* hyperstyle_error(void) { return last_error().c_str(); }

const char* hyperstyle_version(void) { return hyperstyle::version(); }

int hyperstyle_open(const char* path, const HyperstyleOptions* given, HyperstyleSession** session) {
  return guarded([&] {
    needed(session, "session") = nullptr;
    const HyperstyleOptions defaults = HYPERSTYLE_OPTIONS;
    const HyperstyleOptions from = given == nullptr ? defaults : known_part(*given, defaults, sizeof defaults);
    hyperstyle::Options options;
    options.backend = &needed(from.backend, "backend");
    options.device = from.device;
    options.threads = from.threads;
    options.steps = from.steps;
    options.trust_engines = from.trust_engines != 0;
    *session = new HyperstyleSession{hyperstyle::Session(hyperstyle::Bundle::open(&needed(path, "path")), options)};
  });
}

void hyperstyle_close(HyperstyleSession* session) { delete session; }

int hyperstyle_sizes(const HyperstyleSession* session, HyperstyleSizes* sizes) {
  return guarded([&] {
    const hyperstyle::Manifest& manifest = needed(session, "session").session.manifest();
    const HyperstyleSizes found = {sizeof found,
                                   manifest.image_height(),
                                   manifest.image_width(),
                                   manifest.image.input_height,
                                   manifest.image.input_width,
                                   manifest.styles(),
                                   manifest.tuned(),
                                   manifest.default_steps};
    const HyperstyleSizes asked = known_part(needed(sizes, "sizes"), found, sizeof found);
    std::memcpy(sizes, &found, std::min(asked.struct_size, sizeof found));
    sizes->struct_size = asked.struct_size;
  });
}

int hyperstyle_cancellation_new(HyperstyleCancellation** cancellation) {
  return guarded([&] { needed(cancellation, "cancellation") = new HyperstyleCancellation; });
}

void hyperstyle_cancel(HyperstyleCancellation* cancellation) {
  if (cancellation != nullptr) cancellation->cancellation.cancel();
}

void hyperstyle_cancellation_free(HyperstyleCancellation* cancellation) { delete cancellation; }

int hyperstyle_invert(const HyperstyleSession* session, const HyperstyleImage* photos, int64_t count, int32_t steps,
                      HyperstyleStep on_step, void* context, const HyperstyleCancellation* cancellation,
                      HyperstyleInversion** inversions) {
  return guarded([&] {
    needed(inversions, "inversions");
    for (int64_t row = 0; row < count; ++row) inversions[row] = nullptr;
    std::vector<hyperstyle::ImageView> views;
    for (int64_t row = 0; row < count; ++row) {
      views.push_back(view_of((&needed(photos, "photos"))[row]));
    }
    auto found = needed(session, "session").session.invert(views, invert_options(steps, on_step, context, cancellation));
    std::vector<std::unique_ptr<HyperstyleInversion>> owned;
    for (auto& one : found) owned.push_back(std::make_unique<HyperstyleInversion>(HyperstyleInversion{std::move(one)}));
    for (std::size_t row = 0; row < owned.size(); ++row) inversions[row] = owned[row].release();
  });
}

int hyperstyle_synthesize(const HyperstyleSession* session, const HyperstyleInversion* inversion, const float* codes,
                          int64_t count, uint8_t* pixels) {
  return guarded([&] {
    const hyperstyle::Session& drawing = needed(session, "session").session;
    uint8_t* target = &needed(pixels, "pixels");
    std::vector<float> values;
    if (codes != nullptr) {
      if (count < 1) throw ArrayError("count is out of range. Expected: 1 or more.");
      values.assign(codes, codes + count * drawing.manifest().styles() * 512);
    }
    for (const hyperstyle::Image& image : drawing.synthesize(needed(inversion, "inversion").inversion, values)) {
      std::memcpy(target, image.pixels.data(), image.pixels.size());
      target += image.pixels.size();
    }
  });
}

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

const float* hyperstyle_codes(const HyperstyleInversion* inversion, int64_t* count) {
  return values_of(inversion == nullptr ? nullptr : &inversion->inversion.codes.values, count);
}

const float* hyperstyle_offset_codes(const HyperstyleInversion* inversion, int64_t* count) {
  return values_of(inversion == nullptr ? nullptr : &inversion->inversion.offset_codes.values, count);
}

const double* hyperstyle_l2(const HyperstyleInversion* inversion, int64_t* count) {
  return values_of(inversion == nullptr ? nullptr : &inversion->inversion.l2, count);
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
  return guarded([&] { hyperstyle::write_png(&needed(path, "path"), view_of(needed(image, "image"))); });
}
