#include "signatures.hpp"

#include <algorithm>

#include "../layers.hpp"
#include "../manifest_checks.hpp"
#include "../text.hpp"

namespace hyperstyle {
namespace {

using Specs = std::vector<TensorSpec>;

std::string shown(const TensorSpec& tensor) {
  return clipped(tensor.name, 80) + " " + tensor.dtype + " " + hyperstyle::shown(tensor.shape);
}

bool same(const TensorSpec& left, const TensorSpec& right) {
  return left.name == right.name && left.dtype == right.dtype && same_shape(left.shape, right.shape);
}

void check_specs(const std::string& where, const Specs& found, const Specs& expected) {
  for (std::size_t row = 0; row < std::max(found.size(), expected.size()); ++row) {
    const bool is_found = row < found.size(), is_expected = row < expected.size();
    if (is_found && is_expected && same(found[row], expected[row])) continue;
    throw wrong(where + "[" + std::to_string(row) + "]", is_found ? shown(found[row]) : "none",
                is_expected ? shown(expected[row]) : "no more");
  }
}

}  // namespace

TensorSpec codes_spec(const Manifest& manifest, const Dimension& batch) {
  return {"codes", "float32", {batch, manifest.generator.styles, manifest.generator.width}};
}

TensorSpec average_spec(const Manifest& manifest, const std::string& name) {
  return {name, "float32", codes_spec(manifest, 1).shape};
}

TensorSpec image_spec(const Manifest& manifest) {
  const ImageSpec& image = manifest.image;
  return {"image", "float32", {"batch", image.channels, image.input_height, image.input_width}};
}

TensorSpec reconstruction_spec(const Manifest& manifest, const Dimension& batch) {
  return {"reconstruction", "float32", {batch, 3, manifest.image.input_height, manifest.image.input_width}};
}

Specs noise_specs(const Manifest& manifest, const std::string& prefix) {
  Specs specs;
  for (const Layer& layer : manifest.generator.layers) {
    if (layer.demodulated()) specs.push_back({prefix + layer.name, manifest.precision, noise_shape(layer)});
  }
  return specs;
}

Specs weight_specs(const Manifest& manifest, const std::vector<Layer>& layers, const std::string& prefix) {
  Specs specs;
  for (const Layer& layer : layers) {
    specs.push_back({"weight." + prefix + layer.name, manifest.precision, weight_shape(layer)});
  }
  for (const Layer& layer : layers) {
    if (layer.demodulated()) specs.push_back({"energy." + prefix + layer.name, "float32", energy_shape(layer)});
  }
  return specs;
}

Specs weight_specs(const Manifest& manifest) { return weight_specs(manifest, tuned_layers(manifest), ""); }

Specs offset_specs(const Manifest& manifest) {
  Specs specs;
  for (const Layer& layer : tuned_layers(manifest)) {
    specs.push_back({"offset." + layer.name, manifest.precision, offset_shape(layer)});
  }
  return specs;
}

Signature encoder_signature(const Manifest& manifest, bool looks_back, const std::string& graph) {
  Signature encoder{graph, {image_spec(manifest)}, {codes_spec(manifest, "batch")}};
  if (looks_back) encoder.inputs.push_back(reconstruction_spec(manifest, "batch"));
  return encoder;
}

Signature looked_at_signature(const Manifest& manifest, const std::string& graph, const std::string& noises) {
  Signature signature{graph, {codes_spec(manifest, 1)}, {reconstruction_spec(manifest, 1)}};
  const Specs more = noise_specs(manifest, noises);
  signature.inputs.insert(signature.inputs.end(), more.begin(), more.end());
  return signature;
}

Signature synthesis_signature(const Manifest& manifest, const std::string& graph, const Dimension& batch,
                              const std::vector<TensorSpec>& others) {
  Signature signature{graph, {codes_spec(manifest, batch)}, {}};
  signature.inputs.insert(signature.inputs.end(), others.begin(), others.end());
  signature.outputs = {{"image", "float32", {batch, 3, manifest.image_height(), manifest.image_width()}},
                       reconstruction_spec(manifest, batch)};
  return signature;
}

const GraphSpec* found_graph(const Manifest& manifest, const std::string& name) {
  for (const auto& [listed, graph] : manifest.graphs) {
    if (listed == name) return &graph;
  }
  return nullptr;
}

void check_signature(const Manifest& manifest, const Signature& signature) {
  const GraphSpec* found = found_graph(manifest, signature.graph);
  if (found == nullptr) {
    throw wrong("graphs", "no " + signature.graph, "what " + manifest.method.name + " needs");
  }
  const std::string where = "graphs[" + signature.graph + "]";
  check_specs(where + ".inputs", found->inputs, signature.inputs);
  check_specs(where + ".outputs", found->outputs, signature.outputs);
}

bool same_shape(const std::vector<Dimension>& left, const std::vector<Dimension>& right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](const Dimension& one, const Dimension& other) {
                      return one.free == other.free && one.size == other.size && one.name == other.name;
                    });
}

std::string shown(const std::vector<Dimension>& shape) {
  std::vector<std::string> texts;
  for (const Dimension& dim : shape) texts.push_back(dim.free ? clipped(dim.name, 80) : std::to_string(dim.size));
  return "[" + joined(texts) + "]";
}

}  // namespace hyperstyle
