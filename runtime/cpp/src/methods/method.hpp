// A method of inversion: what a bundle of it holds, how a photo starts, how a step refines it, which weights draw it.
#ifndef HYPERSTYLE_DEPLOY_METHOD_HPP
#define HYPERSTYLE_DEPLOY_METHOD_HPP

#include <map>
#include <memory>
#include <vector>

#include "../backends/backend.hpp"
#include "signatures.hpp"

namespace hyperstyle {

// What the loop keeps of one photo, by name, where the backend has it: "codes" [1, styles, width], and more.
using State = Arrays;
// The terms of an optimisation's loss by name, unweighted.
using Losses = std::map<std::string, double>;

// Knows nothing of a photo and no backend: one serves every thread. The manifest must outlive it.
class Method {
 public:
  explicit Method(const Manifest& manifest) : manifest_(manifest) {}
  virtual ~Method() = default;

  // What inversions call it, and how many steps it takes unless told otherwise: here what the bundle says.
  virtual const std::string& name() const { return manifest_.method.name; }
  virtual std::int64_t default_steps() const { return manifest_.method.default_steps; }
  // The graphs that the method needs besides those that draw; and all that it needs.
  virtual std::vector<Signature> graphs() const = 0;
  std::vector<Signature> signatures() const;
  // The graphs that draw any number of codes, and one, with what a photo has of its own; and what these take besides.
  virtual std::string drawing() const { return "synthesis"; }
  virtual std::string drawing_one() const { return drawing() + "_one"; }
  virtual std::vector<TensorSpec> drawing_inputs() const;
  // The graph that also takes what to add to the styles of all layers, where the bundle has it; empty for methods that
  // draw otherwise.
  virtual std::string styled() const { return "synthesis_styles"; }
  // Constants that the method itself reads; and all, with those that its graphs take.
  virtual std::vector<TensorSpec> constants() const { return {}; }
  std::vector<TensorSpec> needed_constants() const;
  // The kind of generator that it draws with.
  virtual const char* family() const { return "stylegan2"; }
  // The arrays that an inversion keeps: here the codes.
  virtual std::vector<StateSpec> state() const;
  // Whether there are refinement steps at all; whether the input may be a sketch or labels; whether a photo's generator
  // has weights of its own, and before any step, too; and whether a step draws what it needs to itself, so that images
  // are drawn for who asks for them.
  virtual bool refines() const { return true; }
  virtual bool translates() const { return false; }
  virtual bool tunes() const { return false; }
  virtual bool own_from_start() const { return false; }
  virtual bool own_drawing() const { return false; }
  // Throws BundleError unless the bundle has all of that, and nothing that belongs to another method.
  void check() const;

  // What a photo's state has besides at step `index` of so many, on the host, anew with each call: numbers of a
  // schedule, or drawn ones.
  virtual Arrays given(int index, int steps) const;
  // The state of every photo [B, C, H, W] before refinement. An array of fixed shape that is not set is zeros.
  virtual std::vector<State> start(Backend& backend, const Array& photos) const = 0;
  // The same with what is given to each photo at step 0.
  virtual std::vector<State> started(Backend& backend, const Array& photos, const std::vector<State>& given) const;
  // The states after one more step, which sees what the last ones drew [B, 3, H, W]; without steps, the same.
  virtual std::vector<State> advance(Backend& backend, const Array& photos, const Array& reconstructions,
                                     const std::vector<State>& states) const;
  // What comes with a photo's state: its "reconstruction", and unless it is drawn for who asks for it its "image".
  // `steps` are as in `weights`, without data before any.
  virtual Arrays draw(Backend& backend, const Array& photo, const State& state, const Array& steps) const;
  // What a photo's generator has of its own after `steps` >= 1 (a float32 scalar); here nothing.
  virtual Arrays weights(Backend& backend, const State& state, const Array& steps) const;

  // What an optimisation's losses are called and the lengths of its gradients are of, in order; and whether a photo with
  // these losses need go no further.
  virtual std::vector<std::string> losses() const { return {}; }
  virtual std::vector<std::string> gradient_tensors() const { return {}; }
  virtual bool enough(const Losses&) const { return false; }

 protected:
  // That options and layers are the method's, and that the bundle says of what an inversion keeps what the method says.
  virtual void check_method() const;
  virtual void check_state() const;

  const Manifest& manifest_;
};

// The method that a manifest names. Throws BundleError for one that this version does not have.
std::unique_ptr<const Method> make_method(const Manifest& manifest);
// Throws BundleError unless the bundle has what its method needs, and what each of its further generators needs.
void check_methods(const Manifest& manifest);
// The method that `options` choose on a bundle: its own, perhaps drawn by a further generator, or an optimisation that it
// has the graphs of. Throws BundleError: it has no such graphs or generator; and ArrayError: neither the one nor the
// other, an optimisation of other generators, settings that do not fit, or an optimisation with a generator.
std::unique_ptr<const Method> make_method(const Manifest& manifest, const Options& options);

}  // namespace hyperstyle

#endif
