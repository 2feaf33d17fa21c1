#include "projection.hpp"

#include <algorithm>
#include <cmath>

namespace hyperstyle {
namespace {

// Of the schedule, as shares of the steps: the rate goes up over the first 0.05 and down over the last 0.25; codes are
// perturbed by 0.05 deviations at first and not at all after 0.75.
constexpr double ramp_up = 0.05, ramp_down = 0.25, spread_at_first = 0.05, spread_end = 0.75;
constexpr double usual_rate = 0.1;
constexpr std::int64_t usual_steps = 1000;

}  // namespace

Projection::Projection(const Manifest& manifest, std::unique_ptr<const Method> base, Settings settings)
    : Optimisation(manifest, "projection", usual_rate, usual_steps, std::move(base), std::move(settings)) {}

TensorSpec Projection::noises_spec(const std::string& name) const {
  std::int64_t numbers = 0;
  for (const Layer& layer : manifest_.generator.layers) {
    if (layer.demodulated()) numbers += layer.resolution * layer.resolution;
  }
  return {name, "float32", {1, numbers}};
}

std::vector<StateSpec> Projection::state() const {
  std::vector<StateSpec> kept = Method::state();
  kept.push_back({"noises", {noises_spec("noises").shape[1]}});
  return kept;
}

std::vector<TensorSpec> Projection::variables() const { return {codes_spec(manifest_, 1), noises_spec("noises")}; }

std::vector<std::string> Projection::gradient_tensors() const {
  std::vector<std::string> names{"codes"};
  for (const TensorSpec& noise : noise_specs(manifest_, "noise.")) names.push_back(noise.name);
  return names;
}

std::vector<TensorSpec> Projection::others() const {
  return {{"perturbation", "float32", codes_spec(manifest_, 1).shape}, {"shared", "float32", {1}}};
}

std::vector<Signature> Projection::graphs() const {
  std::vector<Signature> graphs = Optimisation::graphs();
  Signature noises{"projection_noises", {noises_spec("noises")}, {noises_spec("settled_noises")}};
  for (const TensorSpec& noise : noise_specs(manifest_, "noise.")) noises.outputs.push_back(noise);
  graphs.push_back(noises);
  return graphs;
}

std::vector<TensorSpec> Projection::constants() const { return {average_spec(manifest_, "average_w")}; }

double Projection::ramp(int index, int steps) const {
  const double t = static_cast<double>(index) / steps, down = std::min(1.0, (1 - t) / ramp_down);
  return (0.5 - 0.5 * std::cos(M_PI * down)) * std::min(1.0, t / ramp_up);
}

Arrays Projection::given(int index, int steps) const {
  const bool in_w = settings_.space == "w";
  const double t = static_cast<double>(index) / std::max(steps, 1);
  const auto spread = static_cast<float>(spread_at_first * std::pow(std::max(0.0, 1 - t / spread_end), 2.0));
  const std::int64_t rows = manifest_.generator.styles, width = manifest_.generator.width;
  const Array drawn = draws("perturbation", index, {1, in_w ? 1 : rows, width});
  const Array perturbation = host_array(Dtype::float32, {1, rows, width});
  const auto* const from = static_cast<const float*>(drawn.data);
  for (std::int64_t at = 0; at < rows * width; ++at) {
    static_cast<float*>(perturbation.data)[at] = from[in_w ? at % width : at] * spread;
  }
  Arrays found = Optimisation::given(index, steps);
  found["perturbation"] = perturbation;
  found["shared"] = one_number(in_w ? 1 : 0);
  if (index == 0) found["noises"] = draws("noises", 0, sizes_of(noises_spec("noises").shape));
  return found;
}

std::vector<State> Projection::start(Backend& backend, const Array& photos) const {
  std::vector<State> states = seen(backend, photos);
  for (State& state : states) state["codes"] = backend.constant("average_w");
  return states;
}

State Projection::settled(Backend& backend, State state) const {
  state["noises"] = backend.run("projection_noises", {{"noises", state.at("noises")}}).at("settled_noises");
  return state;
}

Arrays Projection::weights(Backend& backend, const State& state, const Array&) const {
  Arrays noises = backend.run("projection_noises", {{"noises", state.at("noises")}});
  noises.erase("settled_noises");
  return noises;
}

}  // namespace hyperstyle
