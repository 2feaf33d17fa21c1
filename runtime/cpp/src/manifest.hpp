// Reading `bundle.json`: from JSON text to a checked manifest.
#ifndef HYPERSTYLE_DEPLOY_MANIFEST_READER_HPP
#define HYPERSTYLE_DEPLOY_MANIFEST_READER_HPP

#include <string>
#include <string_view>

#include "hyperstyle_deploy/manifest.hpp"

namespace hyperstyle {

// Read a manifest. `path` names the file in errors. Throws BundleError: it is not JSON, of another schema version, or a
// field is missing, unknown, of the wrong type or out of range.
Manifest parse_manifest(std::string_view document, const std::string& path);

}  // namespace hyperstyle

#endif
