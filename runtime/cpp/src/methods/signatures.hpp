// What a graph takes and gives, as a method expects it of a bundle.
#ifndef HYPERSTYLE_DEPLOY_SIGNATURES_HPP
#define HYPERSTYLE_DEPLOY_SIGNATURES_HPP

#include <string>
#include <vector>

#include "hyperstyle_deploy/manifest.hpp"

namespace hyperstyle {

// A graph's name, and its inputs and outputs in order. A free axis has its name.
struct Signature {
  std::string graph;
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
};

// W+ codes [batch, styles, width]; the average code [1, styles, width].
TensorSpec codes_spec(const Manifest& manifest, const Dimension& batch);
TensorSpec average_spec(const Manifest& manifest, const std::string& name);
// Pictures at the networks' size: what goes in, and what the generator drew.
TensorSpec image_spec(const Manifest& manifest);
TensorSpec reconstruction_spec(const Manifest& manifest, const Dimension& batch);
// "<prefix><layer>" of every 3x3 layer.
std::vector<TensorSpec> noise_specs(const Manifest& manifest, const std::string& prefix);
// "weight.<prefix><layer>" of these layers, then "energy.<prefix><layer>" of the 3x3 ones; and those of every tuned layer.
std::vector<TensorSpec> weight_specs(const Manifest& manifest, const std::vector<Layer>& layers,
                                     const std::string& prefix);
std::vector<TensorSpec> weight_specs(const Manifest& manifest);
// "offset.<layer>" of every tuned layer.
std::vector<TensorSpec> offset_specs(const Manifest& manifest);

// An encoder: codes from a photo, or what to add to the codes so far from a photo and what they draw.
Signature encoder_signature(const Manifest& manifest, bool looks_back, const std::string& graph = "encoder");
// What an encoder looks at that loops in front of something else: codes to a reconstruction, with noises.
Signature looked_at_signature(const Manifest& manifest, const std::string& graph, const std::string& noises);
// The generator: codes and what else it takes to images and reconstructions.
Signature synthesis_signature(const Manifest& manifest, const std::string& graph, const Dimension& batch,
                              const std::vector<TensorSpec>& others);

// The entry of a graph, null if there is none.
const GraphSpec* found_graph(const Manifest& manifest, const std::string& name);
// Throws BundleError unless the bundle has the graph, with these inputs and outputs.
void check_signature(const Manifest& manifest, const Signature& signature);
// Whether a shape is the expected one, axis by axis; and as a text.
bool same_shape(const std::vector<Dimension>& left, const std::vector<Dimension>& right);
std::string shown(const std::vector<Dimension>& shape);

}  // namespace hyperstyle

#endif
