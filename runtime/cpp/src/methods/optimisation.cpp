#include "optimisation.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "../manifest_checks.hpp"
#include "../random.hpp"
#include "../text.hpp"
#include "hyperstyle_deploy/errors.hpp"

namespace hyperstyle {
namespace {

constexpr const char* known_terms[] = {"mse", "multiscale", "lpips", "noise", "feature", "encoder"};
// Learning rates that make sense.
constexpr double least_rate = 1e-7, most_rate = 10;
// Adam (Kingma and Ba 2015), as every method's authors have it.
constexpr double first_beta = 0.9, second_beta = 0.999, adam_epsilon = 1e-8;

bool has(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

ArrayError out_of_range(const std::string& what, double got, const std::string& expected) {
  return ArrayError(Message(what + " is out of range").got(short_number(got)).expected(expected));
}

const Settings& checked(const Settings& settings) {
  if (settings.seed >> 63 != 0) {
    throw ArrayError(
        Message("seed is out of range").got(std::to_string(settings.seed)).expected("a whole number, 0 or more"));
  }
  if (settings.rate && !(*settings.rate >= least_rate && *settings.rate <= most_rate)) {
    throw out_of_range("rate", *settings.rate, "1e-07 to 10");
  }
  if (settings.space != "w" && settings.space != "w+") {
    throw ArrayError(Message("Unknown space of codes").got(clipped(settings.space, 80)).expected("w or w+"));
  }
  for (const auto& [term, weight] : settings.loss) {
    if (!(weight >= 0 && std::isfinite(weight))) {
      throw out_of_range("The weight of " + clipped(term, 80), weight, "0 or more");
    }
  }
  if (settings.until_lpips && !(*settings.until_lpips >= 0 && std::isfinite(*settings.until_lpips))) {
    throw out_of_range("until_lpips", *settings.until_lpips, "0 or more");
  }
  return settings;
}

// A step's size and epsilon with the corrections of Adam's moments in them, for update 1, 2, ...: [2].
Array adam_rates(double rate, int update) {
  const double grown = std::sqrt(1 - std::pow(second_beta, update));
  const Array rates = host_array(Dtype::float32, {2});
  auto* const numbers = static_cast<float*>(rates.data);
  numbers[0] = static_cast<float>(rate * grown / (1 - std::pow(first_beta, update)));
  numbers[1] = static_cast<float>(adam_epsilon * grown);
  return rates;
}

Signature adam_signature(const TensorSpec& variable) {
  Signature signature{"adam_" + variable.name, {}, {}};
  for (const char* name : {"value", "gradient", "first", "second"}) {
    signature.inputs.push_back({name, "float32", variable.shape});
  }
  signature.inputs.push_back({"rates", "float32", {2}});
  for (const char* name : {"value_after", "first_after", "second_after"}) {
    signature.outputs.push_back({name, "float32", variable.shape});
  }
  return signature;
}

}  // namespace

Optimisation::Optimisation(const Manifest& manifest, std::string name, double rate, std::int64_t steps,
                           std::unique_ptr<const Method> base, Settings settings)
    : Method(manifest),
      base_(std::move(base)),
      settings_(checked(settings)),
      name_(std::move(name)),
      usual_rate_(rate),
      usual_steps_(steps) {}

std::vector<std::string> Optimisation::terms() const {
  const GraphSpec* graph = found_graph(manifest_, gradient_graph());
  std::vector<std::string> names;
  for (const TensorSpec& output : graph == nullptr ? std::vector<TensorSpec>{} : graph->outputs) {
    if (output.name.rfind("loss.", 0) == 0) names.push_back(output.name.substr(5));
  }
  return names;
}

std::vector<TensorSpec> Optimisation::features() const {
  const GraphSpec* graph = found_graph(manifest_, "features");
  const bool perceptual = has(terms(), "lpips") || has(terms(), "feature");
  return graph != nullptr && perceptual ? graph->outputs : std::vector<TensorSpec>{};
}

std::vector<Signature> Optimisation::graphs() const {
  TensorSpec target = reconstruction_spec(manifest_, 1);
  target.name = "target";
  Signature gradient{gradient_graph(), variables(), {}};
  std::vector<Signature> graphs;
  for (const TensorSpec& variable : variables()) {
    gradient.outputs.push_back({"gradient." + variable.name, "float32", variable.shape});
    graphs.push_back(adam_signature(variable));
  }
  const std::vector<TensorSpec> seen = features(), more = others();
  gradient.inputs.push_back(target);
  gradient.inputs.insert(gradient.inputs.end(), seen.begin(), seen.end());
  gradient.inputs.insert(gradient.inputs.end(), more.begin(), more.end());
  gradient.outputs.push_back({"norms", "float32", {static_cast<std::int64_t>(gradient_tensors().size())}});
  for (const std::string& term : terms()) {
    gradient.inputs.push_back({weight_of(term), "float32", {1}});
    gradient.outputs.push_back({"loss." + term, "float32", {1}});
  }
  gradient.outputs.push_back(reconstruction_spec(manifest_, 1));
  graphs.push_back(gradient);
  if (!seen.empty()) graphs.push_back({"features", {target}, seen});
  return graphs;
}

void Optimisation::check_method() const {
  if (found_graph(manifest_, gradient_graph()) == nullptr) {
    throw BundleError(Message("The bundle has no gradient graphs for " + name_)
                          .got("graphs for " + manifest_.method.name + " alone")
                          .expected("a graph " + gradient_graph())
                          .hint("Export the checkpoint again with --gradients " + name_ + "."));
  }
  const std::vector<std::string> own = terms();
  for (const std::string& term : own) {
    if (has({std::begin(known_terms), std::end(known_terms)}, term)) continue;
    throw wrong("graphs[" + gradient_graph() + "].outputs", clipped(term, 80), "known terms of a loss");
  }
  for (const auto& entry : settings_.loss) {
    if (has(own, entry.first)) continue;
    throw ArrayError(Message("The bundle's loss has no such term").got(clipped(entry.first, 80)).expected(joined(own)));
  }
  if (settings_.until_lpips && !has(own, "lpips")) {
    throw ArrayError(Message("The bundle's loss has no LPIPS to stop by")
                         .got(joined(own))
                         .hint("Export it with --lpips, or leave until_lpips out."));
  }
}

// The manifest says what the bundle's own method keeps; what another keeps follows from the generator.
void Optimisation::check_state() const {
  if (base_ == nullptr) Method::check_state();
}

Arrays Optimisation::given(int index, int steps) const {
  Arrays found;
  if (index > 0) {
    found["rates"] = adam_rates(settings_.rate.value_or(usual_rate_) * ramp(index - 1, steps), index);
    return found;
  }
  for (const auto& [term, weight] : settings_.loss) found[weight_of(term)] = one_number(weight);
  for (const TensorSpec& variable : variables()) {
    for (const char* moment : {"first.", "second."}) {
      found[moment + variable.name] = zero_array(sizes_of(variable.shape));
    }
  }
  return found;
}

std::vector<State> Optimisation::advance(Backend& backend, const Array&, const Array&,
                                         const std::vector<State>& states) const {
  std::vector<State> next;
  for (const State& state : states) {
    State updated = state;
    for (const TensorSpec& variable : variables()) {
      const std::string &name = variable.name, first = "first." + name, second = "second." + name;
      const Variable moved{name, state.at(name), state.at("gradient." + name), state.at(first), state.at(second)};
      const Variable after = backend.adam(moved, state.at("rates"));
      updated[name] = after.value;
      updated[first] = after.first;
      updated[second] = after.second;
    }
    next.push_back(settled(backend, std::move(updated)));
  }
  return next;
}

// The gradient at the state, its losses, and the picture that they are of.
Arrays Optimisation::draw(Backend& backend, const Array& photo, const State& state, const Array&) const {
  Arrays inputs{{"target", photo}};
  for (const TensorSpec& input : manifest_.graph(gradient_graph()).inputs) {
    const auto own = state.find(input.name);
    if (own != state.end()) inputs.insert(*own);
  }
  return backend.run(gradient_graph(), inputs);
}

std::vector<State> Optimisation::seen(Backend& backend, const Array& photos) const {
  std::vector<State> states;
  for (const Array& photo : photos.rows()) {
    states.push_back(features().empty() ? State{} : backend.run("features", {{"target", photo}}));
  }
  return states;
}

bool Optimisation::enough(const Losses& losses) const {
  return settings_.until_lpips && losses.at("lpips") <= *settings_.until_lpips;
}

Array Optimisation::draws(const std::string& what, int index, const Shape& shape) const {
  return normal_numbers(settings_.seed, what, static_cast<std::uint64_t>(index), shape);
}

Shape sizes_of(const std::vector<Dimension>& shape) {
  Shape sizes;
  for (const Dimension& dim : shape) sizes.push_back(dim.size);
  return sizes;
}

Array one_number(double value) {
  const Array array = host_array(Dtype::float32, {1});
  *static_cast<float*>(array.data) = static_cast<float>(value);
  return array;
}

}  // namespace hyperstyle
