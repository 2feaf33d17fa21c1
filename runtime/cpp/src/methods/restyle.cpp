#include "restyle.hpp"

namespace hyperstyle {

std::vector<Signature> ReStyle::graphs() const { return {encoder_signature(manifest_, true)}; }

std::vector<TensorSpec> ReStyle::constants() const { return {average_spec(manifest_, "latent_avg")}; }

std::vector<State> ReStyle::start(Backend& backend, const Array& photos) const {
  return averaged(backend, photos, "latent_avg");
}

std::vector<State> ReStyle::advance(Backend& backend, const Array& photos, const Array& reconstructions,
                                    const std::vector<State>& states) const {
  return look_back(backend, photos, reconstructions, states);
}

std::vector<State> averaged(Backend& backend, const Array& photos, const std::string& name) {
  return std::vector<State>(static_cast<std::size_t>(photos.shape[0]), {{"codes", backend.constant(name)}});
}

std::vector<State> look_back(Backend& backend, const Array& photos, const Array& reconstructions,
                             std::vector<State> states) {
  const Arrays found = backend.run("encoder", {{"image", photos}, {"reconstruction", reconstructions}});
  const std::vector<Array> corrections = found.at("codes").rows();
  for (std::size_t photo = 0; photo < states.size(); ++photo) {
    Array& codes = states[photo].at("codes");
    codes = backend.add(codes, corrections[photo]);
  }
  return states;
}

}  // namespace hyperstyle
