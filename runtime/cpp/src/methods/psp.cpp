#include "psp.hpp"

namespace hyperstyle {

std::vector<State> encoded(Backend& backend, const Array& photos) {
  std::vector<State> states;
  for (const Array& codes : backend.run("encoder", {{"image", photos}}).at("codes").rows()) {
    states.push_back({{"codes", codes}});
  }
  return states;
}

std::vector<Signature> OnePass::graphs() const { return {encoder_signature(manifest_, false)}; }

std::vector<State> OnePass::start(Backend& backend, const Array& photos) const { return encoded(backend, photos); }

}  // namespace hyperstyle
