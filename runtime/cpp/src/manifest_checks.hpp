// What a manifest's values must be, beyond their types.
#ifndef HYPERSTYLE_DEPLOY_MANIFEST_CHECKS_HPP
#define HYPERSTYLE_DEPLOY_MANIFEST_CHECKS_HPP

#include "hyperstyle_deploy/manifest.hpp"
#include "json.hpp"

namespace hyperstyle {

// Throws BundleError for the first value that is out of range or does not go with the others.
void check_manifest(const Manifest& manifest, const Json& value_range);

}  // namespace hyperstyle

#endif
