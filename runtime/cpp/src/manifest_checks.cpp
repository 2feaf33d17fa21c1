#include "manifest_checks.hpp"

#include <algorithm>
#include <functional>
#include <set>

#include "hyperstyle_deploy/session.hpp"
#include "text.hpp"

namespace hyperstyle {
namespace {

// Sides of what goes in, and of the square that is drawn.
constexpr std::int64_t least_side = 32, most_side = 1024;
// Numbers of a tensor, a free axis counted as one: sizes of memory stay far within 64 bits.
constexpr std::int64_t most_numbers = std::int64_t{1} << 40;

std::string number(std::int64_t value) { return std::to_string(value); }

struct Kind {
  const char* name;
  std::int64_t least_channels, most_channels;
};
constexpr Kind kinds[] = {{"photo", 3, 3}, {"sketch", 1, 1}, {"labels", 2, 256}};

void check_kind(const ImageSpec& image) {
  const auto kind =
      std::find_if(std::begin(kinds), std::end(kinds), [&](const Kind& one) { return image.kind == one.name; });
  if (kind == std::end(kinds)) throw wrong("image.kind", clipped(image.kind, 80), "photo, sketch or labels");
  if (image.channels < kind->least_channels || image.channels > kind->most_channels) {
    throw wrong("image.channels", number(image.channels),
                number(kind->least_channels) + " to " + number(kind->most_channels) + " for " + image.kind);
  }
}

void check_checksum(const std::string& where, const std::string& sha256) {
  if (sha256.size() != 64 || sha256.find_first_not_of("0123456789abcdef") != std::string::npos) {
    throw wrong(where, clipped(sha256, 80), "64 hexadecimal digits");
  }
}

void check_tensor(const GraphSpec& graph, const TensorSpec& tensor, const std::string& precision) {
  const std::string where = graph.file + ": " + clipped(tensor.name, 80);
  const bool narrow = tensor.dtype == "float16" || tensor.dtype == "bfloat16";
  if (!narrow && tensor.dtype != "float32" && tensor.dtype != "int64") {
    throw wrong(where + ".dtype", clipped(tensor.dtype, 80), "float32, float16, bfloat16 or int64");
  }
  if (narrow && tensor.dtype != precision) throw wrong(where + ".dtype", tensor.dtype, "float32 or " + precision);
  std::int64_t numbers = 1;
  for (const Dimension& dim : tensor.shape) {
    if (dim.free) continue;
    if (dim.size <= 0) throw wrong(where + ".shape", number(dim.size), "positive sizes");
    if (dim.size > most_numbers / numbers) {
      throw wrong(where + ".shape", "a tensor that is too large", "sizes that memory has");
    }
    numbers *= dim.size;
  }
}

}  // namespace

BundleError wrong(const std::string& where, const std::string& got, const std::string& expected) {
  const std::string document = "bundle.json", prefix = document + ".";
  const std::string place = where.rfind(prefix, 0) == 0 ? where.substr(prefix.size()) : where;
  const std::string what = place == document ? document : document + ": " + place;
  return BundleError(Message(what + " is wrong").got(got).expected(expected));
}

void check_image(const Manifest& manifest) {
  const std::string& precision = manifest.precision;
  const ImageSpec& image = manifest.image;
  const std::int64_t size = manifest.generator.size;
  if (precision != "float32" && precision != "float16" && precision != "bfloat16") {
    throw wrong("precision", clipped(precision, 80), "float32, float16 or bfloat16");
  }
  if (size < least_side || size > most_side || (size & (size - 1)) != 0) {
    throw wrong("generator.size", number(size), "a power of two, 32 to 1024");
  }
  check_kind(image);
  const std::pair<const char*, std::int64_t> sides[] = {{"image.input_height", image.input_height},
                                                        {"image.input_width", image.input_width}};
  for (const auto& [name, side] : sides) {
    if (side < least_side || side > most_side) {
      throw wrong(name, number(side), number(least_side) + " to " + number(most_side));
    }
  }
  if (!(0 <= image.rows[0] && image.rows[0] < image.rows[1] && image.rows[1] <= size)) {
    throw wrong("image.rows", repr(std::vector<std::int64_t>{image.rows[0], image.rows[1]}),
                "rows inside 0 to " + number(size));
  }
  const std::pair<const char*, std::int64_t> steps[] = {{"method.default_steps", manifest.method.default_steps},
                                                        {"method.encoder_steps", manifest.method.encoder_steps}};
  for (const auto& [name, count] : steps) {
    if (count < 0 || count > max_steps) throw wrong(name, number(count), "0 to " + number(max_steps));
  }
}

void check_generators(const Manifest& manifest) {
  std::set<std::string> names;
  for (std::size_t row = 0; row < manifest.generators.size(); ++row) {
    const FineTunedSpec& spec = manifest.generators[row];
    const std::string where = "generators[" + number(static_cast<std::int64_t>(row)) + "]";
    const bool plain = std::all_of(spec.name.begin(), spec.name.end(), [](char c) {
      return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '_';
    });
    const bool begins = !spec.name.empty() && spec.name[0] != '-' && spec.name[0] != '_';
    if (!plain || !begins || spec.name.size() > 32 || !names.insert(spec.name).second) {
      throw wrong(where + ".name", clipped(spec.name, 80), "a name of its own: up to 32 letters, digits, - and _");
    }
    const std::vector<std::int64_t>& offsets = spec.offsets;
    const bool rising = std::adjacent_find(offsets.begin(), offsets.end(), std::greater_equal<>()) == offsets.end();
    const bool tuned = std::all_of(offsets.begin(), offsets.end(), [&](std::int64_t index) {
      const auto& layers = manifest.generator.layers;
      return index >= 0 && index < static_cast<std::int64_t>(layers.size()) &&
             layers[static_cast<std::size_t>(index)].tuned();
    });
    if (!rising || !tuned) throw wrong(where + ".offsets", "layers without offsets", "layers with offsets, in order");
    if (spec.encoder_steps && (*spec.encoder_steps < 0 || *spec.encoder_steps > max_steps)) {
      throw wrong(where + ".encoder_steps", number(*spec.encoder_steps), "0 to " + number(max_steps));
    }
  }
}

void check_files(const Manifest& manifest) {
  std::set<std::string> unlisted(manifest.constants.begin(), manifest.constants.end());
  for (const auto& graph : manifest.graphs) unlisted.insert(graph.second.file);
  for (const auto& file : manifest.files) unlisted.erase(file.first);
  if (!unlisted.empty()) {
    throw wrong("files", "no entry for " + joined({unlisted.begin(), unlisted.end()}),
                "every graph and constants file");
  }
  for (const auto& [name, file] : manifest.files) {
    if (file.bytes < 0) throw wrong("files[" + name + "].bytes", number(file.bytes), "0 or more");
    check_checksum("files[" + name + "].sha256", file.sha256);
  }
  if (manifest.checkpoints.empty()) throw wrong("checkpoints", "none", "what the bundle was exported from");
  for (const CheckpointSpec& checkpoint : manifest.checkpoints) {
    check_checksum("checkpoints: sha256", checkpoint.sha256);
  }
  for (const auto& entry : manifest.graphs) {
    for (const TensorSpec& tensor : entry.second.inputs) check_tensor(entry.second, tensor, manifest.precision);
    for (const TensorSpec& tensor : entry.second.outputs) check_tensor(entry.second, tensor, manifest.precision);
  }
}

}  // namespace hyperstyle
