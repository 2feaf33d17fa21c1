#include "hyperstyle_deploy/inversion.hpp"

#include <algorithm>
#include <cmath>
#include <system_error>

#include "array.hpp"
#include "files.hpp"
#include "hyperstyle_deploy/errors.hpp"
#include "safetensors.hpp"
#include "text.hpp"

namespace hyperstyle {
namespace {

const std::string format = "hyperstyle-deploy inversion";
const std::string format_version = "1";
const std::string source_prefix = "source.";

template <typename Number>
bool finite(const std::vector<Number>& values) {
  return std::all_of(values.begin(), values.end(), [](Number value) { return std::isfinite(value); });
}

void check_finite(const std::string& name, const Inversion& inversion) {
  if (!finite(inversion.codes.values) || !finite(inversion.offset_codes.values) || !finite(inversion.l2)) {
    throw InversionError(Message(name + " has NaN or Inf in it"));
  }
}

void check_size(const Floats& array, const std::string& name) {
  if (static_cast<std::size_t>(count(array.shape)) != array.values.size()) {
    throw InversionError(Message("The inversion's " + name + " do not fit")
                             .got(std::to_string(array.values.size()) + " values")
                             .expected(repr(array.shape)));
  }
}

// numpy's name of a dtype; Python cannot read files with other ones.
std::string numpy_name(const std::string& dtype) {
  constexpr const char* names[][2] = {{"BOOL", "bool"},   {"U8", "uint8"},    {"I8", "int8"},     {"U16", "uint16"},
                                      {"I16", "int16"},   {"U32", "uint32"},  {"I32", "int32"},   {"U64", "uint64"},
                                      {"I64", "int64"},   {"F16", "float16"}, {"F32", "float32"}, {"F64", "float64"},
                                      {"C64", "complex64"}};
  for (const auto& name : names) {
    if (dtype == name[0]) return name[1];
  }
  throw SafetensorsError("dtype " + dtype);
}

std::string value_of(const std::map<std::string, std::string>& metadata, const char* key, const char* otherwise) {
  const auto found = metadata.find(key);
  return found == metadata.end() ? otherwise : found->second;
}

std::int64_t read_steps(const std::string& path, const std::string& steps) {
  if (steps.empty() || steps.size() >= 10 || steps.find_first_not_of("0123456789") != std::string::npos) {
    throw InversionError(
        Message(path + " has no number of steps").got(clipped(repr(steps), 80)).expected("a small integer"));
  }
  return std::stoll(steps);
}

void check_types(const std::string& path, const std::vector<StoredTensor>& tensors) {
  std::map<std::string, std::string> found;
  for (const StoredTensor& tensor : tensors) found[tensor.name] = numpy_name(tensor.dtype);
  const std::map<std::string, std::string> expected{
      {"codes", "float32"}, {"l2", "float64"}, {"offset_codes", "float32"}};
  if (found == expected) return;
  const auto shown = [](const std::map<std::string, std::string>& types) {
    std::vector<std::string> texts;
    for (const auto& [name, dtype] : types) texts.push_back(name + " " + dtype);
    return joined(texts);
  };
  throw InversionError(Message(path + " does not hold the arrays of an inversion")
                           .got(found.empty() ? "none" : shown(found))
                           .expected(shown(expected)));
}

template <typename Number>
std::vector<Number> values_of(const InputFile& file, const StoredTensor& tensor) {
  std::vector<Number> values(static_cast<std::size_t>(tensor.bytes / sizeof(Number)));
  file.read(tensor.offset, values.data(), values.size() * sizeof(Number));
  return values;
}

Inversion read_inversion(const std::string& path) {
  const InputFile file(path);
  const SafetensorsHeader header = read_header(file);
  for (const StoredTensor& tensor : header.tensors) numpy_name(tensor.dtype);
  const std::string found = value_of(header.metadata, "format", "None") + " " + value_of(header.metadata, "version", "None");
  if (found != format + " " + format_version) {
    throw InversionError(
        Message(path + " is not an inversion of this version").got(found).expected(format + " " + format_version));
  }
  Inversion inversion;
  inversion.steps = read_steps(path, value_of(header.metadata, "steps", ""));
  check_types(path, header.tensors);
  for (const StoredTensor& tensor : header.tensors) {
    if (tensor.name == "l2") {
      inversion.l2 = values_of<double>(file, tensor);
    } else {
      (tensor.name == "codes" ? inversion.codes : inversion.offset_codes) = {tensor.shape, values_of<float>(file, tensor)};
    }
  }
  check_finite(path, inversion);
  inversion.model = value_of(header.metadata, "model", "");
  for (const auto& [key, value] : header.metadata) {
    if (key.rfind(source_prefix, 0) == 0) inversion.source[key.substr(source_prefix.size())] = value;
  }
  return inversion;
}

}  // namespace

void Inversion::save(const std::string& path) const {
  check_size(codes, "codes");
  check_size(offset_codes, "offset_codes");
  check_finite("The inversion", *this);
  std::map<std::string, std::string> metadata{
      {"format", format}, {"version", format_version}, {"steps", std::to_string(steps)}, {"model", model}};
  for (const auto& [key, value] : source) metadata[source_prefix + key] = value;
  for (const auto& [key, value] : metadata) {
    if (!is_utf8(key) || !is_utf8(value)) {
      throw InversionError(Message("The inversion has a text that is not UTF-8").got(repr(value)));
    }
  }
  const std::uint64_t errors = l2.size() * sizeof(double), first = codes.values.size() * sizeof(float);
  const std::uint64_t second = offset_codes.values.size() * sizeof(float);
  const std::string header = written_header(metadata, {{"l2", "F64", {static_cast<std::int64_t>(l2.size())}, 0, errors},
                                                       {"codes", "F32", codes.shape, errors, first},
                                                       {"offset_codes", "F32", offset_codes.shape, errors + first, second}});
  write_atomically(path, [&](std::FILE* file) {
    write_all(file, header.data(), header.size());
    write_all(file, l2.data(), errors);
    write_all(file, codes.values.data(), first);
    write_all(file, offset_codes.values.data(), second);
  });
}

Inversion Inversion::load(const std::string& path) {
  try {
    return read_inversion(path);
  } catch (const SafetensorsError& error) {
    throw InversionError(Message("Cannot read the inversion " + path).got(error.what()));
  } catch (const std::system_error& error) {
    throw InversionError(Message("Cannot read the inversion " + path).got(error.what()));
  }
}

}  // namespace hyperstyle
