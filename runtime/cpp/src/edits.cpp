#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "array.hpp"
#include "directions.hpp"
#include "files.hpp"
#include "hyperstyle_deploy/errors.hpp"
#include "kept.hpp"
#include "text.hpp"

namespace hyperstyle {
namespace {

const std::string folder = "directions";
const std::string suffix = ".safetensors";

std::string shown(double number) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", number);
  return text;
}

float checked_strength(const std::string& name, double strength) {
  if (std::isfinite(strength) && std::abs(strength) <= max_strength) return static_cast<float>(strength);
  throw DirectionError(Message("The strength of " + name + " is out of range")
                           .got(shown(strength))
                           .expected("-" + shown(max_strength) + " to " + shown(max_strength)));
}

// strength * v; of a component (strength - <w - mean, v> / deviation) * deviation * v, with w the first row.
void add(const Direction& direction, double strength, const Floats& codes, float* target) {
  checked_strength(direction.name, strength);
  const auto width = static_cast<std::size_t>(codes.shape[1]);
  const std::vector<float>& vector = direction.vector.values;
  double factor = strength;
  if (direction.is_component()) {
    double along = 0;
    for (std::size_t at = 0; at < width; ++at) {
      const float centred = codes.values[at] - direction.mean.values[at];
      along += static_cast<double>(centred) * vector[at];
    }
    factor = factor * direction.deviation.values[0] - along;
  }
  const std::size_t step = vector.size() == width ? 0 : width;
  for (std::int64_t row = direction.first_row; row < direction.end_row; ++row) {
    const float* from = vector.data() + static_cast<std::size_t>(row - direction.first_row) * step;
    float* to = target + static_cast<std::size_t>(row) * width;
    for (std::size_t at = 0; at < width; ++at) to[at] += static_cast<float>(factor) * from[at];
  }
}

void add(const Mix& mix, double strength, const Floats& codes, float* target) {
  const float factor = checked_strength("mix", strength);
  const auto width = static_cast<std::size_t>(codes.shape[1]);
  const std::vector<float>& theirs = mix.other.codes().values;
  for (std::size_t at = static_cast<std::size_t>(mix.first_row) * width;
       at < static_cast<std::size_t>(mix.end_row) * width; ++at) {
    target[at] += factor * (theirs[at] - codes.values[at]);
  }
}

void check_mix(const Manifest& manifest, const Method& method, const Mix& mix) {
  check_inversion(manifest, method, mix.other);
  if (mix.first_row >= 0 && mix.first_row < mix.end_row && mix.end_row <= manifest.generator.styles) return;
  throw DirectionError(Message("The rows to mix are not those of the codes")
                           .got(std::to_string(mix.first_row) + ":" + std::to_string(mix.end_row))
                           .expected("FIRST:END inside 0:" + std::to_string(manifest.generator.styles)));
}

void apply(const Bundle& bundle, const Method& method, const Change& change, const Floats& codes, float* target) {
  if (const auto* name = std::get_if<std::string>(&change.what)) {
    add(read_direction(bundle, *name), change.strength, codes, target);
  } else if (const auto* direction = std::get_if<Direction>(&change.what)) {
    check_direction(bundle.manifest(), *direction);
    add(*direction, change.strength, codes, target);
  } else {
    const Mix& mix = std::get<Mix>(change.what);
    check_mix(bundle.manifest(), method, mix);
    add(mix, change.strength, codes, target);
  }
}

}  // namespace

std::vector<std::string> direction_names(const Bundle& bundle) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(bundle.path() + "/" + folder, error)) {
    const std::filesystem::path& path = entry.path();
    const std::string name = path.filename().string();
    if (path.extension() == suffix && name[0] != '.') names.push_back(path.stem().string());
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    throw DirectionError(Message("Cannot read " + bundle.path() + "/" + folder).got(error.message()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

Direction read_direction(const Bundle& bundle, const std::string& name) {
  const std::vector<std::string> there = direction_names(bundle);
  if (std::find(there.begin(), there.end(), name) == there.end()) {
    throw DirectionError(Message("The bundle has no direction " + clipped(name, 80))
                             .got(there.empty() ? "none at all" : joined(there))
                             .hint("hyperstyle-deploy directions list says more, directions import adds one."));
  }
  std::string path;
  try {
    path = inside(bundle.path(), folder + "/" + name + suffix);
  } catch (const BundleError& error) {
    throw DirectionError(Message("Cannot read the direction " + name).got(error.what()));
  }
  Direction direction = Direction::load(path);
  if (direction.name != name) {
    throw DirectionError(Message(path + " holds another direction").got(direction.name).expected(name));
  }
  check_direction(bundle.manifest(), direction);
  return direction;
}

Floats edited_codes(const Bundle& bundle, const Method& method, const Floats& codes, const std::vector<Edit>& edits) {
  if (edits.empty()) throw ArrayError(Message("No edits to draw").got("an empty list").expected("at least one"));
  Floats found{{static_cast<std::int64_t>(edits.size()), codes.shape[0], codes.shape[1]}, {}};
  for (const Edit& edit : edits) {
    std::vector<float> edited = codes.values;
    for (const Change& change : edit) apply(bundle, method, change, codes, edited.data());
    found.values.insert(found.values.end(), edited.begin(), edited.end());
  }
  return found;
}

}  // namespace hyperstyle
