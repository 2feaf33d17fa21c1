// What an inversion keeps of a photo, to and from where a backend has it.
#ifndef HYPERSTYLE_DEPLOY_KEPT_HPP
#define HYPERSTYLE_DEPLOY_KEPT_HPP

#include "hyperstyle_deploy/inversion.hpp"
#include "methods/method.hpp"

namespace hyperstyle {

// A photo's arrays on the host after `steps`, in the shapes that the method says; zeros for what no step has written
// yet.
std::map<std::string, Floats> kept_state(Backend& backend, const Method& method, const State& state, int steps);

// An array's shape in the loop: with a row a photo in front, or the rows of the steps.
Shape batched(const StateSpec& spec, std::int64_t steps);

// The arrays of an inversion as the loop has them after its steps.
State uploaded_state(Backend& backend, const Method& method, const Inversion& inversion);

// Throws InversionError: its codes are not of the bundle's model, whatever method found them, or are of another shape.
void check_model(const Manifest& manifest, const Inversion& inversion);

// Throws InversionError: it belongs to another model or method, or its arrays do not fit.
void check_inversion(const Manifest& manifest, const Method& method, const Inversion& inversion);

}  // namespace hyperstyle

#endif
