// PTI (Roich et al., "Pivotal Tuning", 2022): the generator itself is tuned, around a code that stays.
#ifndef HYPERSTYLE_DEPLOY_TUNING_HPP
#define HYPERSTYLE_DEPLOY_TUNING_HPP

#include "optimisation.hpp"

namespace hyperstyle {

// Codes of the bundle's own method, or a pivot given, stay; Adam moves all numbers of the generator. On a HyperStyle
// bundle tuning starts at the weights that HyperStyle found. A photo whose LPIPS comes down to 0.06 stops.
class Tuning : public Optimisation {
 public:
  Tuning(const Manifest& manifest, std::unique_ptr<const Method> base, Settings settings);

  std::vector<Signature> graphs() const override;
  std::string drawing() const override { return "pti_synthesis"; }
  std::vector<TensorSpec> drawing_inputs() const override { return variables(); }
  std::vector<TensorSpec> constants() const override;
  std::vector<StateSpec> state() const override;
  bool own_from_start() const override { return true; }
  std::vector<std::string> losses() const override;
  std::vector<std::string> gradient_tensors() const override;
  Arrays given(int index, int steps) const override;
  std::vector<State> start(Backend& backend, const Array& photos) const override;
  std::vector<State> started(Backend& backend, const Array& photos, const std::vector<State>& given) const override;
  Arrays draw(Backend& backend, const Array& photo, const State& state, const Array& steps) const override;
  Arrays weights(Backend& backend, const State& state, const Array& steps) const override;
  bool enough(const Losses& losses) const override;

 protected:
  std::vector<TensorSpec> variables() const override;
  std::vector<TensorSpec> others() const override { return {codes_spec(manifest_, 1)}; }
  void check_method() const override;

 private:
  bool from_offsets() const { return base_->tunes(); }
  // What the bundle's own method finds in its usual steps, whose numbers are given.
  std::vector<State> pivots(Backend& backend, const Array& photos, const std::vector<Array>& numbers) const;
};

}  // namespace hyperstyle

#endif
