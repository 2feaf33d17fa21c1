// A method of inversion: what a bundle of it holds, how a photo starts, how a step refines it, which weights draw it.
#ifndef HYPERSTYLE_DEPLOY_METHOD_HPP
#define HYPERSTYLE_DEPLOY_METHOD_HPP

#include <memory>
#include <vector>

#include "../backends/backend.hpp"
#include "signatures.hpp"

namespace hyperstyle {

// What the loop keeps of one photo, by name, where the backend has it: "codes" [1, styles, width], and more.
using State = Arrays;

// Knows nothing of a photo and no backend: one serves every thread. The manifest must outlive it.
class Method {
 public:
  explicit Method(const Manifest& manifest) : manifest_(manifest) {}
  virtual ~Method() = default;

  // The graphs that the method needs besides `synthesis` and `synthesis_one`; and all that it needs.
  virtual std::vector<Signature> graphs() const = 0;
  std::vector<Signature> signatures() const;
  // Constants that the method itself reads; and all, with those that its graphs take.
  virtual std::vector<TensorSpec> constants() const { return {}; }
  std::vector<TensorSpec> needed_constants() const;
  // The arrays that an inversion keeps: here the codes.
  virtual std::vector<StateSpec> state() const;
  // Whether there are refinement steps at all; whether the input may be a sketch or labels; whether a photo's generator
  // has weights of its own.
  virtual bool refines() const { return true; }
  virtual bool translates() const { return false; }
  virtual bool tunes() const { return false; }
  // Throws BundleError unless the bundle has all of that, and nothing that belongs to another method.
  void check() const;

  // The state of every photo [B, C, H, W] before refinement. An array of fixed shape that is not set is zeros.
  virtual std::vector<State> start(Backend& backend, const Array& photos) const = 0;
  // The states after one more step, which sees what the last ones drew [B, 3, H, W]; without steps, the same.
  virtual std::vector<State> advance(Backend& backend, const Array& photos, const Array& reconstructions,
                                     const std::vector<State>& states) const;
  // What a photo's generator has of its own after `steps` >= 1 (a float32 scalar); here nothing.
  virtual Arrays weights(Backend& backend, const State& state, const Array& steps) const;

 protected:
  const Manifest& manifest_;
};

// The method that a manifest names. Throws BundleError for one that this version does not have.
std::unique_ptr<const Method> make_method(const Manifest& manifest);

}  // namespace hyperstyle

#endif
