#include "idinvert.hpp"

#include "../manifest_checks.hpp"
#include "restyle.hpp"

namespace hyperstyle {
namespace {

constexpr double usual_rate = 0.01;

}  // namespace

IDInvert::IDInvert(const Manifest& manifest, Settings settings)
    : Optimisation(manifest, "idinvert", usual_rate, manifest.method.default_steps, nullptr, std::move(settings)) {}

std::vector<Signature> IDInvert::graphs() const {
  std::vector<Signature> graphs = Optimisation::graphs();
  graphs.push_back(encoder_signature(manifest_, false));
  return graphs;
}

void IDInvert::check_method() const {
  Method::check_method();
  if (found_graph(manifest_, gradient_graph()) == nullptr) {
    throw wrong("graphs", "no " + gradient_graph(), "what " + name() + " needs");
  }
  Optimisation::check_method();
}

Arrays IDInvert::given(int index, int steps) const { return steps > 0 ? Optimisation::given(index, steps) : Arrays{}; }

std::vector<State> IDInvert::start(Backend& backend, const Array& photos) const {
  std::vector<State> states = encoded(backend, photos, 0), features = seen(backend, photos);
  for (std::size_t photo = 0; photo < states.size(); ++photo) states[photo].merge(features[photo]);
  return states;
}

// With no step to come nothing descends: then the encoder's codes are drawn, without a gradient.
Arrays IDInvert::draw(Backend& backend, const Array& photo, const State& state, const Array& steps) const {
  if (state.count("first.codes") == 0) return Method::draw(backend, photo, state, steps);
  return Optimisation::draw(backend, photo, state, steps);
}

}  // namespace hyperstyle
