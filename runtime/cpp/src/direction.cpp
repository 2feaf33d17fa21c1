#include "hyperstyle_deploy/direction.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <system_error>

#include "array.hpp"
#include "channels.hpp"
#include "directions.hpp"
#include "files.hpp"
#include "hyperstyle_deploy/errors.hpp"
#include "safetensors.hpp"
#include "text.hpp"

namespace hyperstyle {
namespace {

const std::string format = "hyperstyle-deploy direction";
const std::string format_version = "1";
const std::string source_prefix = "source.";
// The kind of directions that move channels of styles.
const std::string in_styles = "channels";
constexpr std::uint64_t max_bytes = 8u << 20;

// Numbers as Python writes them: a sign, digits, a fraction, an exponent.
double read_number(const std::string& path, const SafetensorsHeader& header, const char* key) {
  const std::string text = header.text(key);
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  const bool finite = error == std::errc() && stop == end && std::isfinite(number) && text.size() <= 48;
  if (!finite) throw DirectionError(Message(path + " has no " + key).got(clipped(repr(text), 80)).expected("a number"));
  return number;
}

std::int64_t read_row(const std::string& path, const SafetensorsHeader& header, const char* key) {
  const std::string text = header.text(key);
  if (text.empty() || text.size() >= 10 || text.find_first_not_of("0123456789") != std::string::npos) {
    throw DirectionError(Message(path + " has no " + key).got(clipped(repr(text), 80)).expected("a number"));
  }
  return std::stoll(text);
}

// SHA-256 over the arrays' bytes, by name.
std::string digest_of(const InputFile& file, std::vector<StoredTensor> tensors) {
  std::sort(tensors.begin(), tensors.end(), [](const auto& left, const auto& right) { return left.name < right.name; });
  std::string bytes;
  for (const StoredTensor& tensor : tensors) {
    const std::size_t start = bytes.size();
    bytes.resize(start + static_cast<std::size_t>(tensor.bytes));
    file.read(tensor.offset, &bytes[start], static_cast<std::size_t>(tensor.bytes));
  }
  return sha256_of_bytes(bytes);
}

void check_arrays(const std::string& path, const InputFile& file, const SafetensorsHeader& header) {
  std::set<std::string> found, expected{"vector"};
  for (const StoredTensor& tensor : header.tensors) found.insert(tensor.name);
  const std::string kind = header.text("kind");
  if (kind == "component") expected.insert({"mean", "deviation"});
  const bool known = kind == "vector" || kind == "component" || kind == in_styles;
  if (!known || found != expected || header.text("sha256") != digest_of(file, header.tensors)) {
    throw DirectionError(Message(path + " is damaged").got("kind " + clipped(repr(kind), 20)).hint(
        "Import the direction again."));
  }
  for (const StoredTensor& tensor : header.tensors) {
    if (tensor.dtype == "F32") continue;
    throw DirectionError(Message(path + ": " + tensor.name + " is wrong").got(tensor.dtype).expected("F32"));
  }
}

void check_array(const std::string& where, const char* name, const Floats& array, const Shape& shape) {
  if (array.shape != shape || array.values.empty() || array.values.size() != static_cast<std::size_t>(count(shape))) {
    throw DirectionError(Message(where + ": " + name + " is wrong")
                             .got(std::to_string(array.values.size()) + " values for " + repr(array.shape))
                             .expected("float32 " + repr(shape)));
  }
  if (!std::all_of(array.values.begin(), array.values.end(), [](float value) { return std::isfinite(value); })) {
    throw DirectionError(Message(where + ": " + name + " has NaN or Inf in it").expected("finite numbers"));
  }
}

std::string span(std::int64_t first, std::int64_t end) { return std::to_string(first) + ":" + std::to_string(end); }

Direction read_direction(const std::string& path) {
  const InputFile file(path);
  if (file.size() > max_bytes) throw SafetensorsError(std::to_string(file.size()) + " bytes");
  const SafetensorsHeader header = read_header(file);
  const std::string found = header.text("format") + " " + header.text("version");
  if (found != format + " " + format_version) {
    throw DirectionError(Message(path + " is not a direction of this version")
                             .got(clipped(found, 80))
                             .expected(format + " " + format_version));
  }
  check_arrays(path, file, header);
  Direction direction;
  direction.name = header.text("name");
  direction.model = header.text("model");
  direction.in_styles = header.text("kind") == in_styles;
  direction.first_row = read_row(path, header, "first_row");
  direction.end_row = read_row(path, header, "end_row");
  direction.least_strength = read_number(path, header, "least_strength");
  direction.greatest_strength = read_number(path, header, "greatest_strength");
  for (const StoredTensor& tensor : header.tensors) {
    Floats& array = tensor.name == "vector" ? direction.vector
                    : tensor.name == "mean" ? direction.mean
                                            : direction.deviation;
    array = {tensor.shape, values_of<float>(file, tensor)};
  }
  for (const auto& [key, value] : header.metadata) {
    if (key.rfind(source_prefix, 0) == 0) direction.source[key.substr(source_prefix.size())] = value;
  }
  check_parts(direction, path);
  return direction;
}

}  // namespace

void check_direction_name(const std::string& name) {
  const auto fits = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '_';
  };
  if (!name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), fits) && name[0] != '-' &&
      name[0] != '_') {
    return;
  }
  throw DirectionError(Message("No direction can have this name")
                           .got(clipped(repr(name), 80))
                           .expected("up to 64 letters, digits, - and _"));
}

void check_parts(const Direction& direction, const std::string& where) {
  check_direction_name(direction.name);
  const std::int64_t rows = direction.end_row - direction.first_row;
  if (direction.first_row < 0 || rows <= 0) {
    throw DirectionError(Message(where + " moves no rows")
                             .got(span(direction.first_row, direction.end_row))
                             .expected("FIRST:END with FIRST below END"));
  }
  if (!(direction.least_strength < direction.greatest_strength)) {
    throw DirectionError(Message(where + " has no range of strengths").expected("LEAST:GREATEST"));
  }
  const Shape& shape = direction.vector.shape;
  const std::int64_t width = shape.empty() ? 0 : shape.back();
  const bool many = shape.size() == 2 && shape[0] == rows && !direction.is_component() && !direction.in_styles;
  check_array(where, "vector", direction.vector, {many ? rows : 1, width});
  if (direction.is_component()) {
    check_array(where, "mean", direction.mean, {1, width});
    check_array(where, "deviation", direction.deviation, {1});
  }
  const auto& values = direction.vector.values;
  const bool zeros = std::all_of(values.begin(), values.end(), [](float value) { return value == 0; });
  if (zeros || (direction.is_component() && direction.deviation.values[0] <= 0)) {
    throw DirectionError(Message(where + " moves nothing").got("zeros").expected("a vector with a length"));
  }
}

void check_direction(const Manifest& manifest, const Direction& direction) {
  check_parts(direction, "The direction " + clipped(repr(direction.name), 80));
  if (direction.model != manifest.model) {
    throw DirectionError(Message("The direction " + direction.name + " belongs to another model")
                             .got(clipped(direction.model, 12))
                             .expected(clipped(manifest.model, 12)));
  }
  if (direction.in_styles) {
    check_channels(manifest, direction);
    return;
  }
  const std::int64_t styles = manifest.generator.styles, width = manifest.generator.width;
  if (direction.vector.shape.back() == width && direction.end_row <= styles) return;
  throw DirectionError(Message("The direction " + direction.name + " does not fit the codes")
                           .got("rows " + span(direction.first_row, direction.end_row) + " of " +
                                std::to_string(direction.vector.shape.back()) + " numbers")
                           .expected("rows inside 0:" + std::to_string(styles) + " of " + std::to_string(width) +
                                     " numbers"));
}

Direction Direction::load(const std::string& path) {
  try {
    return read_direction(path);
  } catch (const SafetensorsError& error) {
    throw DirectionError(Message("Cannot read the direction " + path).got(error.what()));
  } catch (const std::system_error& error) {
    throw DirectionError(Message("Cannot read the direction " + path).got(error.what()));
  }
}

}  // namespace hyperstyle
