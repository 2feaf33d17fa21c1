// What must be true of a manifest beyond the types of its fields, whatever its method.
#ifndef HYPERSTYLE_DEPLOY_MANIFEST_CHECKS_HPP
#define HYPERSTYLE_DEPLOY_MANIFEST_CHECKS_HPP

#include "hyperstyle_deploy/errors.hpp"
#include "hyperstyle_deploy/manifest.hpp"

namespace hyperstyle {

// "bundle.json: <where> is wrong. Got: ... Expected: ..."; `where` may begin with "bundle.json.".
BundleError wrong(const std::string& where, const std::string& got, const std::string& expected);

// Each throws BundleError for the first value that is out of range or does not go with the others.

// Precision, sizes, channels, rows and steps are possible.
void check_image(const Manifest& manifest);

// The layers follow from each other: what one writes is what the next one reads.
void check_generator(const Manifest& manifest);

// Each further generator has a name of its own, and takes offsets that there are.
void check_generators(const Manifest& manifest);

// Files are listed, checksums written out, and tensors of known types and of sizes that memory could have.
void check_files(const Manifest& manifest);

}  // namespace hyperstyle

#endif
