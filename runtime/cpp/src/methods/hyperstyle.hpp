// HyperStyle (Alaluf et al., 2022): a hypernetwork refines the generator's weights, photo by photo.
#ifndef HYPERSTYLE_DEPLOY_HYPERSTYLE_HPP
#define HYPERSTYLE_DEPLOY_HYPERSTYLE_HPP

#include "method.hpp"

namespace hyperstyle {

// codes = encoder(x); a step: z += hypernet(x, y), and y = G(codes, W(z)): section 3.3 of the paper, with the
// accumulated offsets held as offset codes z. A separable hypernetwork is bilinear in them, so the z of every step is
// kept.
class HyperStyle : public Method {
 public:
  explicit HyperStyle(const Manifest& manifest);

  std::vector<Signature> graphs() const override;
  std::vector<TensorSpec> constants() const override;
  std::vector<StateSpec> state() const override;
  bool tunes() const override { return true; }
  std::vector<State> start(Backend& backend, const Array& photos) const override;
  std::vector<State> advance(Backend& backend, const Array& photos, const Array& reconstructions,
                             const std::vector<State>& states) const override;
  Arrays weights(Backend& backend, const State& state, const Array& steps) const override;

 private:
  bool looks_back() const { return manifest_.method.encoder_steps > 0; }  // the codes come from a ReStyle encoder
  TensorSpec offset_codes(const Dimension& rows) const;

  bool separable_ = false;
  std::int64_t code_width_ = 0;
};

}  // namespace hyperstyle

#endif
