// Before an engine is loaded: it is this user's own, whole, and was built for this GPU, library and bundle.
#ifndef HYPERSTYLE_DEPLOY_ENGINES_HPP
#define HYPERSTYLE_DEPLOY_ENGINES_HPP

#include <string>

#include "hyperstyle_deploy/bundle.hpp"

namespace hyperstyle {

// What an engine would be loaded with.
struct Machine {
  std::string target;   // "tensorrt" or "tensorrt-rtx"
  std::string library;  // version of the target's library, as "11.1.0.106"
  std::string gpu;
  int compute_capability;  // 89 for 8.9
  std::string platform;    // "Linux-x86_64"
};

// An engine that passed every check; the content is the content that was checked, whatever happens to the file later.
struct CheckedEngine {
  std::string content;
  bool version_compatible;  // it brings host code of its own
};

// The engine of a stage from `engines/<target>/engine.json`. Throws EngineError: there is none; this user did not build it
// and `trust_engines` is off; it was built for another precision, graph, library version, platform or GPU; or its file is
// not the one that was built.
CheckedEngine load_engine(const Bundle& bundle, const Machine& machine, const std::string& stage, bool trust_engines);

// Whether the record has an engine of `stage`. Throws EngineError for a damaged record.
bool has_engine(const Bundle& bundle, const std::string& target, const std::string& stage);

}  // namespace hyperstyle

#endif
