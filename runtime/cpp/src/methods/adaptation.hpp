// Domain adaptation, as HyperStyle's authors do it: a fine-tuned generator draws what a bundle's method finds.
#ifndef HYPERSTYLE_DEPLOY_ADAPTATION_HPP
#define HYPERSTYLE_DEPLOY_ADAPTATION_HPP

#include "method.hpp"

namespace hyperstyle {

// The bundle's method runs as ever and sees its own drawings; a fine-tuned generator draws the image. Its codes are the
// method's, or come from an encoder of its own, e4e's or ReStyle's. Of HyperStyle's offsets it takes those of some
// layers, on its own weights: at 128 pixels and above, as the authors do. L2 is that of the method.
class Adaptation : public Method {
 public:
  // `spec` is one of the manifest's.
  Adaptation(const Manifest& manifest, std::unique_ptr<const Method> base, const FineTunedSpec& spec);

  const std::string& name() const override { return name_; }
  std::vector<Signature> graphs() const override;
  std::string drawing() const override { return "synthesis." + spec_.name; }
  std::string drawing_one() const override { return "synthesis_one." + spec_.name; }
  std::string styled() const override { return "synthesis_styles." + spec_.name; }
  std::vector<TensorSpec> drawing_inputs() const override;
  std::vector<TensorSpec> constants() const override;
  std::vector<StateSpec> state() const override { return base_->state(); }
  bool refines() const override { return base_->refines(); }
  bool translates() const override { return base_->translates(); }
  bool own_drawing() const override { return true; }
  std::vector<State> start(Backend& backend, const Array& photos) const override;
  std::vector<State> advance(Backend& backend, const Array& photos, const Array& reconstructions,
                             const std::vector<State>& states) const override;
  // What the method's next step looks at; the image is drawn for who asks for it.
  Arrays draw(Backend& backend, const Array& photo, const State& state, const Array& steps) const override;
  Arrays weights(Backend& backend, const State& state, const Array& steps) const override;

 protected:
  void check_method() const override;
  // What it keeps is what the bundle's own method keeps, which has been checked.
  void check_state() const override {}

 private:
  std::vector<TensorSpec> weights_of_layers() const;
  std::string weights_graph() const { return "weights." + spec_.name; }

  const std::unique_ptr<const Method> base_;
  const FineTunedSpec& spec_;
  const std::string name_;
};

// The bundle's method, drawn by the further generator of that name. Throws BundleError: there is none of that name.
std::unique_ptr<const Method> make_adaptation(const Manifest& manifest, std::unique_ptr<const Method> base,
                                              const std::string& generator);

}  // namespace hyperstyle

#endif
