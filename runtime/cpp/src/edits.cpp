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

void check_strength(const std::string& name, double strength) {
  if (std::isfinite(strength) && std::abs(strength) <= max_strength) return;
  throw DirectionError(Message("The strength of " + name + " is out of range")
                           .got(shown(strength))
                           .expected("-" + shown(max_strength) + " to " + shown(max_strength)));
}

void check_mix(const Manifest& manifest, const Mix& mix) {
  check_model(manifest, mix.other);
  if (mix.first_row >= 0 && mix.first_row < mix.end_row && mix.end_row <= manifest.generator.styles) return;
  throw DirectionError(Message("The rows to mix are not those of the codes")
                           .got(std::to_string(mix.first_row) + ":" + std::to_string(mix.end_row))
                           .expected("FIRST:END inside 0:" + std::to_string(manifest.generator.styles)));
}

Change resolved(const Bundle& bundle, Change change) {
  if (const auto* name = std::get_if<std::string>(&change.what)) change.what = read_direction(bundle, *name);
  if (const auto* direction = std::get_if<Direction>(&change.what)) {
    check_direction(bundle.manifest(), *direction);
    check_strength(direction->name, change.strength);
  } else {
    check_mix(bundle.manifest(), std::get<Mix>(change.what));
    check_strength("mix", change.strength);
  }
  return change;
}

// strength * v; of a component (strength - <w - mean, v> / deviation) * deviation * v, with w the first row.
void add(const Direction& direction, double strength, const Floats& codes, float* target) {
  if (direction.in_styles) return;
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
  const auto factor = static_cast<float>(strength);
  const auto width = static_cast<std::size_t>(codes.shape[1]);
  const std::vector<float>& theirs = mix.other.codes().values;
  for (std::size_t at = static_cast<std::size_t>(mix.first_row) * width;
       at < static_cast<std::size_t>(mix.end_row) * width; ++at) {
    target[at] += factor * (theirs[at] - codes.values[at]);
  }
}

// A direction in styles; null for every other change.
const Direction* in_styles(const Change& change) {
  const auto* direction = std::get_if<Direction>(&change.what);
  return direction != nullptr && direction->in_styles ? direction : nullptr;
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

std::vector<Edit> resolved(const Bundle& bundle, const std::vector<Edit>& edits) {
  if (edits.empty()) throw ArrayError(Message("No edits to draw").got("an empty list").expected("at least one"));
  std::vector<Edit> found;
  for (const Edit& edit : edits) {
    found.emplace_back();
    for (const Change& change : edit) found.back().push_back(resolved(bundle, change));
  }
  return found;
}

Floats edited_codes(const Floats& codes, const std::vector<Edit>& edits) {
  Floats found{{static_cast<std::int64_t>(edits.size()), codes.shape[0], codes.shape[1]}, {}};
  for (const Edit& edit : edits) {
    std::vector<float> edited = codes.values;
    for (const Change& change : edit) {
      if (const auto* mix = std::get_if<Mix>(&change.what)) {
        add(*mix, change.strength, codes, edited.data());
      } else {
        add(std::get<Direction>(change.what), change.strength, codes, edited.data());
      }
    }
    found.values.insert(found.values.end(), edited.begin(), edited.end());
  }
  return found;
}

Floats edited_styles(const std::vector<Edit>& edits) {
  std::size_t channels = 0;
  for (const Edit& edit : edits) {
    for (const Change& change : edit) {
      if (const Direction* direction = in_styles(change)) channels = direction->vector.values.size();
    }
  }
  if (channels == 0) return {};
  Floats found{{static_cast<std::int64_t>(edits.size()), static_cast<std::int64_t>(channels)},
               std::vector<float>(edits.size() * channels)};
  float* row = found.values.data();
  for (const Edit& edit : edits) {
    for (const Change& change : edit) {
      const Direction* direction = in_styles(change);
      for (std::size_t at = 0; direction != nullptr && at < channels; ++at) {
        row[at] += static_cast<float>(change.strength) * direction->vector.values[at];
      }
    }
    row += channels;
  }
  return found;
}

}  // namespace hyperstyle
