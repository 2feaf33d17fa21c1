#include "hyperstyle_deploy/inversion.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <system_error>

#include "array.hpp"
#include "files.hpp"
#include "hyperstyle_deploy/errors.hpp"
#include "hyperstyle_deploy/session.hpp"
#include "narrow.hpp"
#include "safetensors.hpp"
#include "text.hpp"

namespace hyperstyle {
namespace {

const std::string format = "hyperstyle-deploy inversion";
const std::string format_version = "2";
const std::string source_prefix = "source.";
constexpr std::size_t most_axes = 4;
// The largest has 1000 steps of offset codes, 60 MB at the published width.
constexpr std::uint64_t max_bytes = 128u << 20, max_header = 0x40000;

std::string steps_expected() { return "an integer from 0 to " + std::to_string(max_steps); }

template <typename Number>
bool finite(const std::vector<Number>& values) {
  return std::all_of(values.begin(), values.end(), [](Number value) { return std::isfinite(value); });
}

// What must be true of every inversion, whatever its method.
void check(const std::string& name, const Inversion& inversion) {
  if (inversion.steps < 0 || inversion.steps > max_steps) {
    throw InversionError(
        Message(name + " has no number of steps").got(std::to_string(inversion.steps)).expected(steps_expected()));
  }
  const auto errors = static_cast<std::int64_t>(inversion.l2.size());
  if (errors != 0 && errors != inversion.steps + 1) {
    throw InversionError(Message(name + " has l2 of another length")
                             .got(std::to_string(errors))
                             .expected(std::to_string(inversion.steps + 1)));
  }
  bool is_finite = finite(inversion.l2);
  for (const auto& [array, floats] : inversion.arrays) {
    is_finite = is_finite && finite(floats.values);
    if (floats.shape.size() > most_axes || array == "l2" || !is_plain(array) ||
        static_cast<std::size_t>(count(floats.shape)) != floats.values.size()) {
      throw InversionError(Message(name + " has an array that does not fit")
                               .got(clipped(array, 80) + ", " + std::to_string(floats.values.size()) + " values")
                               .expected(clipped(repr(floats.shape), 80)));
    }
  }
  if (inversion.arrays.count("codes") == 0) throw InversionError(Message(name + " has no codes"));
  if (!is_finite) throw InversionError(Message(name + " has NaN or Inf in it"));
}

std::string needed(const std::string& path, const std::map<std::string, std::string>& metadata, const char* key) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) throw InversionError(Message(path + " does not name its " + key));
  return found->second;
}

std::int64_t read_steps(const std::string& path, const std::string& steps) {
  if (steps.empty() || steps.size() >= 10 || steps.find_first_not_of("0123456789") != std::string::npos) {
    throw InversionError(
        Message(path + " has no number of steps").got(clipped(repr(steps), 80)).expected(steps_expected()));
  }
  return std::stoll(steps);
}

void check_types(const std::string& path, const std::vector<StoredTensor>& tensors) {
  std::vector<std::string> found;
  std::set<std::string> missing{"codes", "l2"};
  bool fits = true;
  for (const StoredTensor& tensor : tensors) {
    found.push_back(clipped(tensor.name, 80) + " " + tensor.dtype);
    const bool narrow = tensor.name == narrow_name && (tensor.dtype == "F16" || tensor.dtype == "I8");
    fits = fits && (narrow || tensor.dtype == (tensor.name == "l2" ? "F64" : "F32"));
    missing.erase(tensor.name);
    if (tensor.name == "l2" && tensor.shape.size() != 1) {
      throw InversionError(Message(path + " has l2 of another length").got(repr(tensor.shape)));
    }
  }
  if (fits && missing.empty()) return;
  throw InversionError(Message(path + " does not hold the arrays of an inversion")
                           .got(found.empty() ? "none" : joined(found))
                           .expected("codes F32, l2 F64, and others in F32"));
}

Inversion read_inversion(const std::string& path) {
  const InputFile file(path);
  if (file.size() <= 8 || file.size() > max_bytes) {
    throw SafetensorsError(std::to_string(file.size()) + " bytes; an inversion has 9 to " + std::to_string(max_bytes));
  }
  const SafetensorsHeader header = read_header(file, max_header);
  const std::string found = header.text("format") + " " + header.text("version");
  if (found != format + " " + format_version) {
    throw InversionError(Message(path + " is not an inversion of this version")
                             .got(clipped(found, 80))
                             .expected(format + " " + format_version));
  }
  Inversion inversion;
  inversion.method = needed(path, header.metadata, "method");
  inversion.model = needed(path, header.metadata, "model");
  inversion.steps = read_steps(path, header.text("steps"));
  check_types(path, header.tensors);
  const auto scales = std::find_if(header.tensors.begin(), header.tensors.end(),
                                   [](const StoredTensor& tensor) { return tensor.name == scales_name; });
  for (const StoredTensor& tensor : header.tensors) {
    if (tensor.name == "l2") {
      inversion.l2 = values_of<double>(file, tensor);
    } else if (tensor.name != scales_name) {
      const bool scaled = tensor.name == narrow_name && scales != header.tensors.end();
      inversion.arrays[tensor.name] = {tensor.shape, widened(file, tensor, scaled ? &*scales : nullptr)};
    }
  }
  if (scales != header.tensors.end() && inversion.arrays.count(narrow_name) == 0) {
    throw SafetensorsError("scales without differences in 8 bits");
  }
  check(path, inversion);
  for (const auto& [key, value] : header.metadata) {
    if (key.rfind(source_prefix, 0) == 0) inversion.source[key.substr(source_prefix.size())] = value;
  }
  return inversion;
}

std::map<std::string, std::string> metadata_of(const Inversion& inversion) {
  std::map<std::string, std::string> metadata{{"format", format},
                                              {"version", format_version},
                                              {"method", inversion.method},
                                              {"steps", std::to_string(inversion.steps)},
                                              {"model", inversion.model}};
  for (const auto& [key, value] : inversion.source) metadata[source_prefix + key] = value;
  for (const auto& [key, value] : metadata) {
    if (!is_utf8(key) || !is_utf8(value)) {
      throw InversionError(Message("The inversion has a text that is not UTF-8").got(repr(value)));
    }
  }
  return metadata;
}

// Tensors one behind the other, as they are written.
struct Body {
  std::vector<StoredTensor> tensors;
  std::string bytes;

  template <typename Number>
  void add(const std::string& name, const char* dtype, const std::vector<std::int64_t>& shape,
           const std::vector<Number>& values) {
    const std::uint64_t size = values.size() * sizeof(Number);
    tensors.push_back({name, dtype, shape, bytes.size(), size});
    bytes.append(reinterpret_cast<const char*>(values.data()), size);
  }
};

}  // namespace

const Floats& Inversion::array(const std::string& name) const {
  const auto found = arrays.find(name);
  if (found == arrays.end()) throw InversionError(Message("The inversion has no array " + clipped(repr(name), 80)));
  return found->second;
}

std::string Inversion::to_bytes(const std::string& stored) const {
  check("The inversion", *this);
  if (stored != "float32" && stored != "float16" && stored != "int8") {
    throw InversionError(
        Message("Inversions are not stored so").got(clipped(stored, 80)).expected("float32, float16 or int8"));
  }
  Body body;
  body.add("l2", "F64", {static_cast<std::int64_t>(l2.size())}, l2);
  for (const auto& [name, floats] : arrays) {
    if (name != narrow_name || stored == "float32") {
      body.add(name, "F32", floats.shape, floats.values);
    } else if (stored == "float16") {
      body.add(name, "F16", floats.shape, narrowed_to_half(floats.values));
    } else {
      const Narrowed narrow = narrowed_to_bytes(floats.values);
      body.add(scales_name, "F32", {static_cast<std::int64_t>(narrow.scales.size())}, narrow.scales);
      body.add(name, "I8", floats.shape, narrow.steps);
    }
  }
  return written_header(metadata_of(*this), body.tensors) + body.bytes;
}

void Inversion::save(const std::string& path, const std::string& stored) const {
  const std::string content = to_bytes(stored);
  write_atomically(path, [&](std::FILE* file) { write_all(file, content.data(), content.size()); });
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
