#include "restyle.hpp"

namespace hyperstyle {
namespace {

const std::string average = "latent_avg";

// The same codes for every photo: the constant of that name.
std::vector<State> averaged(Backend& backend, const Array& photos, const std::string& name) {
  return std::vector<State>(static_cast<std::size_t>(photos.shape[0]), {{"codes", backend.constant(name)}});
}

// One step of a ReStyle encoder: every photo's codes, and what it adds to them.
std::vector<State> look_back(Backend& backend, const Array& photos, const Array& reconstructions,
                             std::vector<State> states, const std::string& encoder = "encoder") {
  const Arrays found = backend.run(encoder, {{"image", photos}, {"reconstruction", reconstructions}});
  const std::vector<Array> corrections = found.at("codes").rows();
  for (std::size_t photo = 0; photo < states.size(); ++photo) {
    Array& codes = states[photo].at("codes");
    codes = backend.add(codes, corrections[photo]);
  }
  return states;
}

}  // namespace

std::vector<Signature> ReStyle::graphs() const { return {encoder_signature(manifest_, true)}; }

std::vector<TensorSpec> ReStyle::constants() const { return {average_spec(manifest_, average)}; }

std::vector<State> ReStyle::start(Backend& backend, const Array& photos) const {
  return averaged(backend, photos, average);
}

std::vector<State> ReStyle::advance(Backend& backend, const Array& photos, const Array& reconstructions,
                                    const std::vector<State>& states) const {
  return look_back(backend, photos, reconstructions, states);
}

std::string average_of(const std::string& encoder) { return encoder + "_" + average; }

std::string synthesis_of(const std::string& encoder) { return encoder + "_synthesis"; }

std::vector<State> encoded(Backend& backend, const Array& photos, std::int64_t steps, const std::string& encoder) {
  std::vector<State> states;
  if (steps == 0) {
    for (const Array& codes : backend.run(encoder, {{"image", photos}}).at("codes").rows()) {
      states.push_back({{"codes", codes}});
    }
    return states;
  }
  states = averaged(backend, photos, average_of(encoder));
  for (std::int64_t step = 0; step < steps; ++step) {
    std::vector<Array> drawn;
    for (const State& state : states) drawn.push_back(backend.run(synthesis_of(encoder), state).at("reconstruction"));
    states = look_back(backend, photos, backend.concatenate(drawn), std::move(states), encoder);
  }
  return states;
}

}  // namespace hyperstyle
