// What a manifest's values must be, beyond their types.
#ifndef HYPERSTYLE_DEPLOY_MANIFEST_CHECKS_HPP
#define HYPERSTYLE_DEPLOY_MANIFEST_CHECKS_HPP

#include "hyperstyle_deploy/manifest.hpp"
#include "json.hpp"

namespace hyperstyle {

// Throws BundleError for the first value that is out of range or does not go with the others.
void check_manifest(const Manifest& manifest, const Json& value_range);

// The sizes of a layer's weight, in the layout of the convolution that takes it.
std::vector<std::int64_t> weight_sizes(const Layer& layer);

// Throws BundleError unless the graphs take and give arrays of the sizes that `image` and `layers` imply: the loop and
// the kernels address memory by these.
void check_stages(const Manifest& manifest);

}  // namespace hyperstyle

#endif
