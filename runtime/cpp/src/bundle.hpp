// A verified bundle's constants in memory.
#ifndef HYPERSTYLE_DEPLOY_BUNDLE_CONTENTS_HPP
#define HYPERSTYLE_DEPLOY_BUNDLE_CONTENTS_HPP

#include "array.hpp"
#include "hyperstyle_deploy/bundle.hpp"

namespace hyperstyle {

class Method;

// What graphs take besides what the loop gives them, on the host, by name: the untuned "weight.<layer>" and
// "energy.<layer>", "noise.<layer>", "latent_avg". Weights and noises are of the bundle's precision, the others are
// float32. Throws BundleError: a file cannot be read, a tensor is of another type, or one that the method
// needs is missing or of another shape.
Arrays constants(const Bundle& bundle, const Method& method);

}  // namespace hyperstyle

#endif
