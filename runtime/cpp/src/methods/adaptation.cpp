#include "adaptation.hpp"

#include <algorithm>

#include "../manifest_checks.hpp"
#include "../text.hpp"
#include "hyperstyle_deploy/errors.hpp"
#include "restyle.hpp"

namespace hyperstyle {
namespace {

// The encoder that gives the codes of further generators, in bundles that have it, and the noises of what it looks at.
const std::string encoder = "generator_encoder", encoder_noise = "noise.generator_encoder.";
// Codes that the method's own loop goes on with.
constexpr const char* own_codes = "own_codes";

// The state as the bundle's method has it.
State as_own(State state) {
  const auto own = state.find(own_codes);
  if (own != state.end()) state["codes"] = own->second;
  return state;
}

}  // namespace

Adaptation::Adaptation(const Manifest& manifest, std::unique_ptr<const Method> base, const FineTunedSpec& spec)
    : Method(manifest), base_(std::move(base)), spec_(spec), name_(base_->name() + "+" + spec.name) {}

std::vector<TensorSpec> Adaptation::weights_of_layers() const {
  std::vector<Layer> layers;
  for (const std::int64_t index : spec_.offsets) {
    layers.push_back(manifest_.generator.layers[static_cast<std::size_t>(index)]);
  }
  return weight_specs(manifest_, layers, spec_.name + ".");
}

std::vector<Signature> Adaptation::graphs() const {
  std::vector<Signature> graphs;
  for (const Signature& signature : base_->signatures()) {
    if (signature.graph != base_->drawing()) graphs.push_back(signature);
    if (signature.graph == "weights" && !spec_.offsets.empty()) {
      graphs.push_back({weights_graph(), signature.inputs, weights_of_layers()});
    }
  }
  if (!spec_.encoder_steps) return graphs;
  const bool looks_back = *spec_.encoder_steps > 0;
  graphs.push_back(encoder_signature(manifest_, looks_back, encoder));
  if (looks_back) graphs.push_back(looked_at_signature(manifest_, synthesis_of(encoder), encoder_noise));
  return graphs;
}

std::vector<TensorSpec> Adaptation::drawing_inputs() const {
  std::vector<TensorSpec> inputs = weights_of_layers(),
                          noises = noise_specs(manifest_, "noise." + spec_.name + ".");
  inputs.insert(inputs.end(), noises.begin(), noises.end());
  return inputs;
}

std::vector<TensorSpec> Adaptation::constants() const {
  std::vector<TensorSpec> found = base_->constants();
  if (spec_.encoder_steps.value_or(0) > 0) found.push_back(average_spec(manifest_, average_of(encoder)));
  return found;
}

void Adaptation::check_method() const {
  if (!spec_.encoder_steps || base_->tunes()) return;
  throw wrong("generators: " + spec_.name + ".encoder_steps", std::to_string(*spec_.encoder_steps),
              "null, but of HyperStyle");
}

std::vector<State> Adaptation::start(Backend& backend, const Array& photos) const {
  std::vector<State> states = base_->start(backend, photos);
  if (!spec_.encoder_steps) return states;
  const std::vector<State> drawn = encoded(backend, photos, *spec_.encoder_steps, encoder);
  for (std::size_t photo = 0; photo < states.size(); ++photo) {
    states[photo][own_codes] = states[photo].at("codes");
    states[photo]["codes"] = drawn[photo].at("codes");
  }
  return states;
}

std::vector<State> Adaptation::advance(Backend& backend, const Array& photos, const Array& reconstructions,
                                       const std::vector<State>& states) const {
  std::vector<State> own;
  for (const State& state : states) own.push_back(as_own(state));
  std::vector<State> advanced = base_->advance(backend, photos, reconstructions, own);
  for (std::size_t photo = 0; photo < states.size(); ++photo) {
    if (states[photo].count(own_codes) > 0) advanced[photo]["codes"] = states[photo].at("codes");
  }
  return advanced;
}

Arrays Adaptation::draw(Backend& backend, const Array& photo, const State& state, const Array& steps) const {
  return {{"reconstruction", base_->draw(backend, photo, as_own(state), steps).at("reconstruction")}};
}

Arrays Adaptation::weights(Backend& backend, const State& state, const Array& steps) const {
  if (spec_.offsets.empty()) return {};
  return backend.run(weights_graph(), {{"offset_codes", state.at("offset_codes")}, {"steps", steps}});
}

std::unique_ptr<const Method> make_adaptation(const Manifest& manifest, std::unique_ptr<const Method> base,
                                              const std::string& generator) {
  std::vector<std::string> names;
  for (const FineTunedSpec& spec : manifest.generators) {
    if (spec.name == generator) return std::make_unique<const Adaptation>(manifest, std::move(base), spec);
    names.push_back(spec.name);
  }
  throw BundleError(Message("The bundle has no generator " + clipped(generator, 40))
                        .got(names.empty() ? "none but its own" : joined(names))
                        .hint("Export the checkpoint again with --generator " + clipped(generator, 40) + "=FILE."));
}

}  // namespace hyperstyle
