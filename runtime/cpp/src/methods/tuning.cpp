#include "tuning.hpp"

#include <algorithm>
#include <cmath>

#include "../text.hpp"
#include "hyperstyle_deploy/errors.hpp"

namespace hyperstyle {
namespace {

constexpr double usual_rate = 3e-4, usual_lpips = 0.06;
constexpr std::int64_t usual_steps = 350, first_resolution = 4;
// Before the numbers of the steps that the bundle's own method takes first.
constexpr const char* own_steps = "own_steps.";
constexpr const char* locality_weight = "loss_weight.pti.locality";

struct Tensor {
  std::string name;
  std::int64_t numbers;
};

// What is tuned, by published names in the order of the row: all of synthesis but noise buffers.
std::vector<Tensor> tuned_tensors(const GeneratorSpec& generator) {
  const std::int64_t first = generator.layers.front().in_channels;
  std::vector<Tensor> tensors{{"input.input", first * first_resolution * first_resolution}};
  for (const Layer& layer : generator.layers) {
    const std::int64_t in = layer.in_channels, out = layer.out_channels;
    tensors.push_back({layer.name + ".conv.weight", out * in * layer.kernel * layer.kernel});
    tensors.push_back({layer.name + ".conv.modulation.weight", in * generator.width});
    tensors.push_back({layer.name + ".conv.modulation.bias", in});
    if (layer.demodulated()) tensors.push_back({layer.name + ".noise.weight", 1});
    tensors.push_back({layer.name + (layer.demodulated() ? ".activate.bias" : ".bias"), out});
  }
  return tensors;
}

}  // namespace

Tuning::Tuning(const Manifest& manifest, std::unique_ptr<const Method> base, Settings settings)
    : Optimisation(manifest, "pti", usual_rate, usual_steps, std::move(base), std::move(settings)) {}

std::vector<StateSpec> Tuning::state() const {
  std::vector<StateSpec> kept = Method::state();
  kept.push_back({"differences", {variables()[0].shape[1]}});
  return kept;
}

std::vector<TensorSpec> Tuning::variables() const {
  std::int64_t numbers = 0;
  for (const Tensor& tensor : tuned_tensors(manifest_.generator)) numbers += tensor.numbers;
  return {{"differences", "float32", {1, numbers}}};
}

std::vector<std::string> Tuning::losses() const {
  std::vector<std::string> names = terms();
  if (settings_.locality) names.emplace_back("locality");
  return names;
}

std::vector<std::string> Tuning::gradient_tensors() const {
  std::vector<std::string> names;
  for (const Tensor& tensor : tuned_tensors(manifest_.generator)) names.push_back(tensor.name);
  return names;
}

std::vector<Signature> Tuning::graphs() const {
  std::vector<Signature> graphs = Optimisation::graphs();
  // A pivot that is given takes the place of the bundle's own method: then none of its graphs is loaded.
  if (!settings_.pivot) {
    for (const Signature& signature : base_->signatures()) {
      graphs.push_back(signature);
      if (from_offsets() && signature.graph == "offsets") {
        graphs.push_back({"pti_start", signature.inputs, variables()});
      }
    }
  }
  if (settings_.locality) {
    const TensorSpec differences = variables()[0];
    graphs.push_back({"pti_locality",
                      {differences,
                       codes_spec(manifest_, 1),
                       {"latent", "float32", {1, manifest_.generator.width}},
                       {locality_weight, "float32", {1}}},
                      {{"gradient.differences", "float32", differences.shape}, {"loss.locality", "float32", {1}}}});
  }
  return graphs;
}

std::vector<TensorSpec> Tuning::constants() const {
  return settings_.pivot ? std::vector<TensorSpec>{} : base_->constants();
}

void Tuning::check_method() const {
  Optimisation::check_method();
  if (settings_.locality && found_graph(manifest_, "pti_locality") == nullptr) {
    throw BundleError(Message("The bundle has no graph for PTI's locality")
                          .expected("a graph pti_locality")
                          .hint("Export the checkpoint again with --gradients pti-locality, too."));
  }
  if (!settings_.pivot) return;
  const Floats& pivot = *settings_.pivot;
  const Shape codes{manifest_.generator.styles, manifest_.generator.width};
  const bool fits =
      pivot.shape == codes && pivot.values.size() == static_cast<std::size_t>(count(codes)) &&
      std::all_of(pivot.values.begin(), pivot.values.end(), [](float code) { return std::isfinite(code); });
  if (!fits) {
    throw ArrayError(Message("The pivot does not fit").got(repr(pivot.shape)).expected("finite codes " + repr(codes)));
  }
}

bool Tuning::enough(const Losses& losses) const {
  const auto lpips = losses.find("lpips");
  return lpips != losses.end() && lpips->second <= settings_.until_lpips.value_or(usual_lpips);
}

Arrays Tuning::given(int index, int steps) const {
  Arrays found = Optimisation::given(index, steps);
  if (settings_.locality) found["latent"] = draws("latent", index, {1, manifest_.generator.width});
  if (index > 0) return found;
  found["differences"] = zero_array(sizes_of(variables()[0].shape));
  if (!settings_.pivot) {
    for (std::int64_t step = 1; step <= base_->default_steps(); ++step) {
      found[own_steps + std::to_string(step)] = scalar(static_cast<float>(step));
    }
    return found;
  }
  const Array pivot = host_array(Dtype::float32, {1, manifest_.generator.styles, manifest_.generator.width});
  std::copy(settings_.pivot->values.begin(), settings_.pivot->values.end(), static_cast<float*>(pivot.data));
  found["codes"] = pivot;
  return found;
}

std::vector<State> Tuning::start(Backend& backend, const Array& photos) const { return seen(backend, photos); }

std::vector<State> Tuning::started(Backend& backend, const Array& photos, const std::vector<State>& given) const {
  std::vector<State> states = Optimisation::started(backend, photos, given);
  if (settings_.pivot) return states;
  std::vector<Array> numbers;
  for (std::int64_t step = 1; step <= base_->default_steps(); ++step) {
    numbers.push_back(given[0].at(own_steps + std::to_string(step)));
  }
  const std::vector<State> found = pivots(backend, photos, numbers);
  for (std::size_t photo = 0; photo < states.size(); ++photo) {
    for (std::size_t step = 1; step <= numbers.size(); ++step) {
      states[photo].erase(own_steps + std::to_string(step));
    }
    for (const auto& [name, array] : found[photo]) states[photo][name] = array;
  }
  return states;
}

std::vector<State> Tuning::pivots(Backend& backend, const Array& photos, const std::vector<Array>& numbers) const {
  std::vector<State> states = base_->start(backend, photos);
  const std::vector<Array> rows = photos.rows();
  for (std::size_t step = 0; step < numbers.size(); ++step) {
    std::vector<Array> drawn;
    for (std::size_t photo = 0; photo < rows.size(); ++photo) {
      const Array before = step == 0 ? Array{} : numbers[step - 1];
      drawn.push_back(base_->draw(backend, rows[photo], states[photo], before).at("reconstruction"));
    }
    states = base_->advance(backend, photos, backend.concatenate(drawn), states);
  }
  std::vector<State> found;
  for (const State& state : states) {
    found.push_back({{"codes", state.at("codes")}});
    if (!from_offsets() || numbers.empty()) continue;
    const Arrays inputs{{"offset_codes", state.at("offset_codes")}, {"steps", numbers.back()}};
    found.back()["differences"] = backend.run("pti_start", inputs).at("differences");
  }
  return found;
}

Arrays Tuning::draw(Backend& backend, const Array& photo, const State& state, const Array& steps) const {
  Arrays found = Optimisation::draw(backend, photo, state, steps);
  if (!settings_.locality) return found;
  const Arrays inputs{
      {"differences", state.at("differences")}, {"codes", state.at("codes")}, {"latent", state.at("latent")}};
  const Arrays near = backend.run("pti_locality", inputs);
  Array& gradient = found.at("gradient.differences");
  gradient = backend.add(gradient, near.at("gradient.differences"));
  found["loss.locality"] = near.at("loss.locality");
  return found;
}

Arrays Tuning::weights(Backend&, const State& state, const Array&) const {
  return {{"differences", state.at("differences")}};
}

}  // namespace hyperstyle
