#include "hyperstyle.hpp"

#include "../layers.hpp"
#include "restyle.hpp"

namespace hyperstyle {

// The bundle's own state says how wide an offset code is and whether every step's are kept; `check` compares the rest.
HyperStyle::HyperStyle(const Manifest& manifest) : Method(manifest) {
  if (manifest.state.size() < 2 || manifest.state[1].shape.empty()) return;
  const std::vector<Dimension>& shape = manifest.state[1].shape;
  separable_ = shape.size() == 3;
  if (!shape.back().free && shape.back().size > 0) code_width_ = shape.back().size;
}

TensorSpec HyperStyle::offset_codes(const Dimension& rows) const {
  const auto tuned = static_cast<std::int64_t>(tuned_layers(manifest_).size());
  return {"offset_codes", "float32", {rows, tuned, code_width_}};
}

std::vector<StateSpec> HyperStyle::state() const {
  std::vector<StateSpec> state = Method::state();
  TensorSpec kept = offset_codes("steps");
  if (!separable_) kept.shape.erase(kept.shape.begin());
  state.push_back({kept.name, kept.shape});
  return state;
}

std::vector<Signature> HyperStyle::graphs() const {
  const TensorSpec kept = offset_codes(separable_ ? Dimension("kept_steps") : Dimension(1)),
                   steps{"steps", "float32", {}};
  std::vector<Signature> graphs{
      encoder_signature(manifest_, looks_back()),
      {"hypernet", {image_spec(manifest_), reconstruction_spec(manifest_, "batch")}, {offset_codes("batch")}},
      {"offsets", {kept, steps}, offset_specs(manifest_)},
      {"weights", {kept, steps}, weight_specs(manifest_)}};
  if (looks_back()) {
    graphs.push_back(looked_at_signature(manifest_, synthesis_of("encoder"), "encoder_noise."));
  }
  return graphs;
}

std::vector<TensorSpec> HyperStyle::constants() const {
  if (!looks_back()) return {};
  return {average_spec(manifest_, average_of("encoder"))};
}

std::vector<State> HyperStyle::start(Backend& backend, const Array& photos) const {
  return encoded(backend, photos, manifest_.method.encoder_steps);
}

std::vector<State> HyperStyle::advance(Backend& backend, const Array& photos, const Array& reconstructions,
                                       const std::vector<State>& states) const {
  const Arrays found = backend.run("hypernet", {{"image", photos}, {"reconstruction", reconstructions}});
  const std::vector<Array> predicted = found.at("offset_codes").rows();
  std::vector<State> next = states;
  for (std::size_t photo = 0; photo < next.size(); ++photo) {
    const auto kept = next[photo].find("offset_codes");
    if (kept == next[photo].end()) {
      next[photo]["offset_codes"] = predicted[photo];
    } else if (separable_) {
      kept->second = backend.concatenate({kept->second, predicted[photo]});
    } else {
      kept->second = backend.add(kept->second, predicted[photo]);
    }
  }
  return next;
}

Arrays HyperStyle::weights(Backend& backend, const State& state, const Array& steps) const {
  return backend.run("weights", {{"offset_codes", state.at("offset_codes")}, {"steps", steps}});
}

}  // namespace hyperstyle
