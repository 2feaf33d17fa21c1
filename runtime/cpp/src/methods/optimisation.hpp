// What methods share that descend a loss: Adam, and the gradient graph of a bundle; docs/optimisation.md has the
// formulas.
#ifndef HYPERSTYLE_DEPLOY_OPTIMISATION_HPP
#define HYPERSTYLE_DEPLOY_OPTIMISATION_HPP

#include "hyperstyle_deploy/settings.hpp"
#include "method.hpp"

namespace hyperstyle {

// State t holds variables, Adam's moments, and the gradient at those variables: a step is an update by the gradient
// that is there, and one run of the gradient graph at what comes out. `base` is the bundle's own method, which it runs in
// place of; null if it is that itself.
class Optimisation : public Method {
 public:
  Optimisation(const Manifest& manifest, std::string name, double rate, std::int64_t steps,
               std::unique_ptr<const Method> base, Settings settings);

  const std::string& name() const override { return name_; }
  std::int64_t default_steps() const override { return usual_steps_; }
  std::vector<Signature> graphs() const override;
  std::string styled() const override { return ""; }
  bool own_drawing() const override { return true; }
  Arrays given(int index, int steps) const override;
  std::vector<State> advance(Backend& backend, const Array& photos, const Array& reconstructions,
                             const std::vector<State>& states) const override;
  Arrays draw(Backend& backend, const Array& photo, const State& state, const Array& steps) const override;
  std::vector<std::string> losses() const override { return terms(); }
  bool enough(const Losses& losses) const override;

 protected:
  // What Adam moves, by name, with a row in front.
  virtual std::vector<TensorSpec> variables() const = 0;
  // What the gradient graph takes besides variables, target, features and weights of the loss.
  virtual std::vector<TensorSpec> others() const = 0;
  // What the learning rate of update `index` of so many is multiplied by; `index` counts from 0.
  virtual double ramp(int, int) const { return 1; }
  // What the method does to variables after an update.
  virtual State settled(Backend&, State state) const { return state; }
  void check_method() const override;
  void check_state() const override;

  std::string gradient_graph() const { return name_ + "_gradient"; }
  // The terms of the bundle's loss, and what a term's weight is called.
  std::vector<std::string> terms() const;
  std::string weight_of(const std::string& term) const { return "loss_weight." + name_ + "." + term; }
  // What a perceptual network sees in the photo, if the loss has one; and that of each photo.
  std::vector<TensorSpec> features() const;
  std::vector<State> seen(Backend& backend, const Array& photos) const;
  // Standard normal numbers of a step: each draw has a stream of its own.
  virtual Array draws(const std::string& what, int index, const Shape& shape) const;

  const std::unique_ptr<const Method> base_;
  const Settings settings_;

 private:
  const std::string name_;
  const double usual_rate_;
  const std::int64_t usual_steps_;
};

// A shape without free axes as sizes.
Shape sizes_of(const std::vector<Dimension>& shape);
// One float32 number as an array [1].
Array one_number(double value);

}  // namespace hyperstyle

#endif
