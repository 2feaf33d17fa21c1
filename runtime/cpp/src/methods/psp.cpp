#include "psp.hpp"

#include "restyle.hpp"

namespace hyperstyle {

std::vector<Signature> OnePass::graphs() const { return {encoder_signature(manifest_, false)}; }

std::vector<State> OnePass::start(Backend& backend, const Array& photos) const { return encoded(backend, photos, 0); }

}  // namespace hyperstyle
