#include "manifest.hpp"

#include "files.hpp"
#include "manifest_checks.hpp"
#include "methods/method.hpp"
#include "schema.hpp"

namespace hyperstyle {
namespace {

constexpr int schema_version = 2;

void check_version(const Json& document) {
  const auto found = document.find("schema_version");
  const Json version = found == document.end() ? Json() : *found;
  if (version == Json(schema_version)) return;
  const bool newer = version.is_number_integer() && version > Json(schema_version);
  throw BundleError(Message("The bundle has another schema version")
                        .got(version.is_null()     ? "none"
                             : version.is_string() ? version.get<std::string>()
                                                   : version.dump())
                        .expected(std::to_string(schema_version))
                        .hint(newer ? "Upgrade hyperstyle-deploy." : "Export the checkpoint again with this version."));
}

Dimension read_dimension(const Json& value, const std::string& where) {
  if (value.is_string()) return Dimension(value.get<std::string>());
  return Dimension(integer(value, where));
}

TensorSpec read_tensor(const Json& value, const std::string& where) {
  const Fields fields(value, where, {"name", "dtype", "shape"});
  return {fields.text("name"), fields.text("dtype"), fields.items<Dimension>("shape", read_dimension)};
}

GraphSpec read_graph(const Json& value, const std::string& where) {
  const Fields fields(value, where, {"file", "opset", "inputs", "outputs"});
  return {fields.text("file"), fields.integer("opset"), fields.items<TensorSpec>("inputs", read_tensor),
          fields.items<TensorSpec>("outputs", read_tensor)};
}

FileSpec read_file_spec(const Json& value, const std::string& where) {
  const Fields fields(value, where, {"bytes", "sha256"});
  return {fields.integer("bytes"), fields.text("sha256")};
}

MethodSpec read_method(const Json& value, const std::string& where) {
  const Fields fields(value, where, {"name", "default_steps", "encoder_steps"});
  return {fields.text("name"), fields.integer("default_steps"), fields.integer("encoder_steps")};
}

ImageSpec read_image(const Json& value, const std::string& where) {
  const Fields fields(value, where, {"kind", "channels", "input_height", "input_width", "rows"});
  const auto rows = fields.items<std::int64_t>("rows", integer);
  if (rows.size() != 2) throw wrong(where + ".rows", std::to_string(rows.size()) + " entries", "2");
  return {fields.text("kind"),
          fields.integer("channels"),
          fields.integer("input_height"),
          fields.integer("input_width"),
          {rows[0], rows[1]}};
}

Layer read_layer(const Json& value, const std::string& where) {
  const Fields fields(
      value, where, {"index", "name", "in_channels", "out_channels", "kernel", "resolution", "style", "up", "offset"});
  return {fields.integer("index"),        fields.text("name"),      fields.integer("in_channels"),
          fields.integer("out_channels"), fields.integer("kernel"), fields.integer("resolution"),
          fields.integer("style"),        fields.boolean("up"),     fields.text("offset")};
}

GeneratorSpec read_generator(const Json& value, const std::string& where) {
  const Fields fields(value, where, {"family", "size", "styles", "width", "layers"});
  return {fields.text("family"), fields.integer("size"), fields.integer("styles"), fields.integer("width"),
          fields.items<Layer>("layers", read_layer)};
}

StateSpec read_state(const Json& value, const std::string& where) {
  const Fields fields(value, where, {"name", "shape"});
  return {fields.text("name"), fields.items<Dimension>("shape", read_dimension)};
}

CheckpointSpec read_checkpoint(const Json& value, const std::string& where) {
  const Fields fields(value, where, {"role", "file", "sha256"});
  return {fields.text("role"), fields.text("file"), fields.text("sha256")};
}

FineTunedSpec read_fine_tuned(const Json& value, const std::string& where) {
  const Fields fields(value, where, {"name", "offsets", "encoder_steps"});
  FineTunedSpec spec{fields.text("name"), fields.items<std::int64_t>("offsets", integer), std::nullopt};
  if (!fields["encoder_steps"].is_null()) spec.encoder_steps = fields.integer("encoder_steps");
  return spec;
}

Manifest read_manifest(const Json& document) {
  const Fields fields(document, "bundle.json",
                      {"method", "domain", "model", "precision", "licence", "image", "generator", "state",
                       "checkpoints", "constants", "graphs", "files", "provenance", "schema_version", "checksum"},
                      {"generators"});
  fields.integer("schema_version");
  object(fields["provenance"], fields.where("provenance"));
  Manifest manifest;
  manifest.method = read_method(fields["method"], fields.where("method"));
  manifest.domain = fields.text("domain");
  manifest.model = fields.text("model");
  manifest.precision = fields.text("precision");
  if (!fields["licence"].is_null()) manifest.licence = fields.text("licence");
  manifest.image = read_image(fields["image"], fields.where("image"));
  manifest.generator = read_generator(fields["generator"], fields.where("generator"));
  manifest.state = fields.items<StateSpec>("state", read_state);
  manifest.checkpoints = fields.items<CheckpointSpec>("checkpoints", read_checkpoint);
  manifest.constants = fields.items<std::string>("constants", text);
  manifest.graphs = fields.entries<GraphSpec>("graphs", read_graph);
  manifest.files = fields.entries<FileSpec>("files", read_file_spec);
  if (fields.has("generators")) manifest.generators = fields.items<FineTunedSpec>("generators", read_fine_tuned);
  return manifest;
}

// SHA-256 over the document as it stands, with 64 zeros where its checksum stands.
void check_checksum(std::string_view content, const std::string& stated) {
  const std::string blank(64, '0');
  const std::size_t at = stated.size() == blank.size() ? content.find(stated) : std::string_view::npos;
  if (at == std::string_view::npos || content.find(stated, at + 1) != std::string_view::npos) {
    throw wrong("checksum", stated, "64 hexadecimal digits");
  }
  std::string blanked(content);
  blanked.replace(at, blank.size(), blank);
  const std::string digest = sha256_of_bytes(blanked);
  if (digest != stated) {
    throw BundleError(Message("bundle.json is not as it was written")
                          .got("sha256 " + digest.substr(0, 12))
                          .expected(stated.substr(0, 12))
                          .hint("Copy the bundle again, or export it again."));
  }
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
  Manifest manifest = read_manifest(document);
  check_image(manifest);
  check_generator(manifest);
  check_generators(manifest);
  check_files(manifest);
  check_methods(manifest);
  check_checksum(content, text(document.at("checksum"), "bundle.json.checksum"));
  return manifest;
}

std::vector<std::int64_t> StateSpec::sized(std::int64_t steps) const {
  std::vector<std::int64_t> sizes;
  for (const Dimension& dim : shape) sizes.push_back(dim.free ? steps : dim.size);
  return sizes;
}

const GraphSpec& Manifest::graph(const std::string& name) const {
  for (const auto& [listed, graph] : graphs) {
    if (listed == name) return graph;
  }
  throw BundleError(Message("The bundle has no graph " + name));
}

const FileSpec* Manifest::file(const std::string& name) const {
  for (const auto& [listed, file] : files) {
    if (listed == name) return &file;
  }
  return nullptr;
}

}  // namespace hyperstyle
