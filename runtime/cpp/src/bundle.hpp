// A verified bundle's contents: its files' paths, and its constants in memory.
#ifndef HYPERSTYLE_DEPLOY_BUNDLE_CONTENTS_HPP
#define HYPERSTYLE_DEPLOY_BUNDLE_CONTENTS_HPP

#include <map>
#include <string>

#include "array.hpp"
#include "hyperstyle_deploy/bundle.hpp"

namespace hyperstyle {

// The ONNX file of a stage. Throws BundleError.
std::string graph_path(const Bundle& bundle, const std::string& stage);

// The generator's own inputs of `synthesis`, on the host, under their names there: the untuned "weight.<layer>" and
// "energy.<layer>", "noise.<layer>", and "latent_avg". Weights and noises are of the bundle's precision, the others are
// float32. Throws BundleError: a file cannot be read, or a tensor is of another type.
std::map<std::string, Array> constants(const Bundle& bundle);

}  // namespace hyperstyle

#endif
