#include "manifest.hpp"

#include <algorithm>

#include "layers.hpp"
#include "manifest_checks.hpp"
#include "schema.hpp"

namespace hyperstyle {
namespace {

constexpr int schema_version = 1;

void check_version(const Json& document) {
  const auto found = document.find("schema_version");
  const Json version = found == document.end() ? Json() : *found;
  if (version == Json(schema_version) || version == Json(true)) return;  // in Python True is 1; its type is refused later
  const bool newer = version.is_number_integer() && version > Json(schema_version);
  throw BundleError(Message("The bundle has another schema version")
                        .got(version.is_null()     ? "none"
                             : version.is_string() ? version.get<std::string>()
                                                   : repr(version))
                        .expected(std::to_string(schema_version))
                        .hint(newer ? "Upgrade hyperstyle-deploy."
                                    : "Export the checkpoint again with this version."));
}

Dimension read_dimension(const Json& value, const Json& whole, const std::string& where) {
  if (value.is_string()) return {true, 0, value.get<std::string>()};
  if (!value.is_number_integer()) throw wrong(where, clipped(repr(whole), 80), "sizes or names of axes");
  return {false, integer(value, where), ""};
}

TensorSpec read_tensor(const Json& value, const std::string& where) {
  const Fields fields(value, where, {"name", "dtype", "shape"});
  TensorSpec tensor{text(fields["name"], fields.where("name")), text(fields["dtype"], fields.where("dtype")), {}};
  const Json& shape = list(fields["shape"], fields.where("shape"));
  for (const Json& item : shape) tensor.shape.push_back(read_dimension(item, shape, fields.where("shape")));
  return tensor;
}

GraphSpec read_graph(const Json& value, const std::string& where) {
  const Fields fields(value, where, {"file", "opset", "inputs", "outputs"});
  return {text(fields["file"], fields.where("file")), integer(fields["opset"], fields.where("opset")),
          items<TensorSpec>(fields["inputs"], fields.where("inputs"), read_tensor),
          items<TensorSpec>(fields["outputs"], fields.where("outputs"), read_tensor)};
}

FileSpec read_file_spec(const Json& value, const std::string& where) {
  const Fields fields(value, where, {"bytes", "sha256"});
  return {integer(fields["bytes"], fields.where("bytes")), text(fields["sha256"], fields.where("sha256"))};
}

Layer read_layer(const Json& value, const std::string& where) {
  const Fields fields(value, where,
                      {"index", "name", "in_channels", "out_channels", "kernel", "resolution", "style", "up", "offset"});
  const auto number = [&](const char* name) { return integer(fields[name], fields.where(name)); };
  Layer layer;
  layer.index = number("index");
  layer.name = text(fields["name"], fields.where("name"));
  layer.in_channels = number("in_channels");
  layer.out_channels = number("out_channels");
  layer.kernel = number("kernel");
  layer.resolution = number("resolution");
  layer.style = number("style");
  layer.up = boolean(fields["up"], fields.where("up"));
  layer.offset = text(fields["offset"], fields.where("offset"));
  return layer;
}

const Json& pair_of_numbers(const Json& value, const std::string& where, bool whole) {
  list(value, where);
  const auto fits = [&](const Json& item) { return whole ? item.is_number_integer() : item.is_number(); };
  if (value.size() != 2 || !std::all_of(value.begin(), value.end(), fits)) {
    throw wrong(where, clipped(repr(value), 80), whole ? "two numbers of type int" : "two numbers of type float");
  }
  return value;
}

// The range of values is the same for every method, so it is checked and not kept.
ImageSpec read_image(const Json& value, const std::string& where, Json& range) {
  const Fields fields(value, where, {"size", "input_height", "input_width", "rows", "value_range"});
  const auto number = [&](const char* name) { return integer(fields[name], fields.where(name)); };
  ImageSpec image{number("size"), number("input_height"), number("input_width"), {}};
  const Json& rows = pair_of_numbers(fields["rows"], fields.where("rows"), true);
  for (std::size_t index = 0; index < 2; ++index) image.rows[index] = integer(rows[index], fields.where("rows"));
  range = pair_of_numbers(fields["value_range"], fields.where("value_range"), false);
  return image;
}

}  // namespace

Manifest parse_manifest(std::string_view content, const std::string& path) {
  Json document;
  try {
    document = parse_json(content);
  } catch (const JsonError& error) {
    throw BundleError(Message(path + " is not JSON").got(clipped(error.what(), 120)));
  }
  check_version(object(document, "bundle.json"));
  const Fields fields(document, "bundle.json",
                      {"method", "domain", "model", "precision", "default_steps", "separable", "image", "layers",
                       "constants", "graphs", "files", "provenance", "schema_version"});
  const auto string = [&](const char* name) { return text(fields[name], fields.where(name)); };
  Manifest manifest;
  Json range;
  manifest.method = string("method");
  manifest.domain = string("domain");
  manifest.model = string("model");
  manifest.precision = string("precision");
  manifest.default_steps = integer(fields["default_steps"], fields.where("default_steps"));
  manifest.separable = boolean(fields["separable"], fields.where("separable"));
  manifest.image = read_image(fields["image"], fields.where("image"), range);
  manifest.layers = items<Layer>(fields["layers"], fields.where("layers"), read_layer);
  manifest.constants = items<std::string>(fields["constants"], fields.where("constants"), text);
  manifest.graphs = entries<GraphSpec>(fields["graphs"], fields.where("graphs"), read_graph);
  manifest.files = entries<FileSpec>(fields["files"], fields.where("files"), read_file_spec);
  object(fields["provenance"], fields.where("provenance"));
  integer(fields["schema_version"], fields.where("schema_version"));
  check_manifest(manifest, range);
  return manifest;
}

std::int64_t Manifest::styles() const { return style_count(image.size); }

std::int64_t Manifest::tuned() const {
  return std::count_if(layers.begin(), layers.end(), [](const Layer& layer) { return layer.tuned(); });
}

std::int64_t Manifest::image_height() const { return image.rows[1] - image.rows[0]; }

const GraphSpec& Manifest::graph(const std::string& stage) const {
  for (const auto& [name, graph] : graphs) {
    if (name == stage) return graph;
  }
  throw BundleError(Message("The bundle has no graph " + stage));
}

const FileSpec* Manifest::file(const std::string& name) const {
  for (const auto& [listed, file] : files) {
    if (listed == name) return &file;
  }
  return nullptr;
}

}  // namespace hyperstyle
