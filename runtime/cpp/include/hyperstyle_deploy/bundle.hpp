// A bundle on disk: opened only when its manifest is valid and every file is the one that was exported.
#ifndef HYPERSTYLE_DEPLOY_BUNDLE_HPP
#define HYPERSTYLE_DEPLOY_BUNDLE_HPP

#include <map>
#include <memory>
#include <string>

#include "api.h"
#include "manifest.hpp"

namespace hyperstyle {

// A folder with `bundle.json`, ONNX graphs and constants. Copies share one immutable manifest and the graphs as they
// were checked; they may be used from any thread. The constants must stay as they are while sessions are made from it.
class HYPERSTYLE_DEPLOY_API Bundle {
 public:
  // Read and verify a bundle: every path stays inside it, every byte is as it was exported (SHA-256, several threads).
  // Throws BundleError.
  static Bundle open(const std::string& path);

  const std::string& path() const { return path_; }
  const Manifest& manifest() const { return *manifest_; }
  // The bytes of a graph's ONNX file, as they were checked: backends are given them, and no path.
  const std::string& graph_content(const std::string& graph) const;

 private:
  using Contents = std::map<std::string, std::string>;  // by file
  Bundle(std::string path, std::shared_ptr<const Manifest> manifest, std::shared_ptr<const Contents> contents);
  std::string path_;
  std::shared_ptr<const Manifest> manifest_;
  std::shared_ptr<const Contents> contents_;
};

}  // namespace hyperstyle

#endif
