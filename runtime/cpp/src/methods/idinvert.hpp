// IDInvert (Zhu et al., "In-Domain GAN Inversion for Real Image Editing", ECCV 2020): an encoder, then a descent.
#ifndef HYPERSTYLE_DEPLOY_IDINVERT_HPP
#define HYPERSTYLE_DEPLOY_IDINVERT_HPP

#include "optimisation.hpp"

namespace hyperstyle {

// codes = encoder(x), then Adam on them; the encoder is in the loss, too, and keeps them in its domain. The generator is
// StyleGAN1, its noises stay as they are. It is a bundle's own method: steps and state are those that the bundle says.
class IDInvert : public Optimisation {
 public:
  IDInvert(const Manifest& manifest, Settings settings);

  const char* family() const override { return "stylegan1"; }
  std::vector<Signature> graphs() const override;
  std::vector<std::string> gradient_tensors() const override { return {"codes"}; }
  Arrays given(int index, int steps) const override;
  std::vector<State> start(Backend& backend, const Array& photos) const override;
  Arrays draw(Backend& backend, const Array& photo, const State& state, const Array& steps) const override;

 protected:
  std::vector<TensorSpec> variables() const override { return {codes_spec(manifest_, 1)}; }
  std::vector<TensorSpec> others() const override { return noise_specs(manifest_, "noise."); }
  void check_method() const override;
};

}  // namespace hyperstyle

#endif
