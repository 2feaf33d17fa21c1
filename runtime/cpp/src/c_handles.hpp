// What the handles of the C interface hold, and how exceptions become codes.
#ifndef HYPERSTYLE_DEPLOY_C_HANDLES_HPP
#define HYPERSTYLE_DEPLOY_C_HANDLES_HPP

#include <algorithm>
#include <cstring>
#include <exception>
#include <string>

#include "hyperstyle_deploy/runtime.h"
#include "hyperstyle_deploy/runtime.hpp"

struct HyperstyleSession {
  hyperstyle::Session session;
};
struct HyperstyleInversion {
  hyperstyle::Inversion inversion;
};
struct HyperstyleStep {
  const hyperstyle::StepView& view;
};
struct HyperstyleCancellation {
  hyperstyle::Cancellation cancellation;
};

namespace hyperstyle {

// The message of this thread's last failed call.
std::string& last_error();

// Run `work`; any exception becomes a code and a message.
template <typename Work>
int guarded(Work work) noexcept {
  try {
    work();
    return HYPERSTYLE_OK;
  } catch (const Error& error) {
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

// The caller's struct as this library knows it: fields that the caller does not know are `defaults`. The struct had
// `first_version` bytes when the interface was new.
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

inline ImageView view_of(const HyperstyleImage& image) {
  return {image.data, image.height, image.width, static_cast<std::ptrdiff_t>(image.stride)};
}

// One behind the other.
inline void copy_pixels(const std::vector<Image>& images, std::uint8_t* target) {
  for (const Image& image : images) target = std::copy(image.pixels.begin(), image.pixels.end(), target);
}

// An array's name, values and sizes; a free axis is -1.
template <typename Sizes>
HyperstyleArray array_of(const std::string& name, const float* values, const Sizes& sizes) {
  if (sizes.size() > HYPERSTYLE_MAX_AXES) throw ArrayError(name + " has too many axes.");
  HyperstyleArray array = {name.c_str(), values, static_cast<std::int64_t>(sizes.size()), {}};
  std::copy(sizes.begin(), sizes.end(), array.shape);
  return array;
}

}  // namespace hyperstyle

#endif
