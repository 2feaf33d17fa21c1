// StyleGAN2's projection (Karras et al., 2020, appendix D): codes and noise buffers by gradient descent.
#ifndef HYPERSTYLE_DEPLOY_PROJECTION_HPP
#define HYPERSTYLE_DEPLOY_PROJECTION_HPP

#include "optimisation.hpp"

namespace hyperstyle {

// codes = average, noises drawn; then Adam on both, codes perturbed less and less, noises held to be noise. In W all
// rows of the codes stay equal. After an update every noise buffer is shifted and scaled to mean 0 and deviation 1.
class Projection : public Optimisation {
 public:
  Projection(const Manifest& manifest, std::unique_ptr<const Method> base, Settings settings);

  std::vector<Signature> graphs() const override;
  std::vector<TensorSpec> constants() const override;
  std::vector<StateSpec> state() const override;
  bool own_from_start() const override { return true; }
  std::vector<std::string> gradient_tensors() const override;
  Arrays given(int index, int steps) const override;
  std::vector<State> start(Backend& backend, const Array& photos) const override;
  Arrays weights(Backend& backend, const State& state, const Array& steps) const override;

 protected:
  std::vector<TensorSpec> variables() const override;
  std::vector<TensorSpec> others() const override;
  double ramp(int index, int steps) const override;
  State settled(Backend& backend, State state) const override;

 private:
  TensorSpec noises_spec(const std::string& name) const;
};

}  // namespace hyperstyle

#endif
