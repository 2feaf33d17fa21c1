// The external files that an ONNX graph names, read before any backend follows them.
#ifndef HYPERSTYLE_DEPLOY_ONNX_PATHS_HPP
#define HYPERSTYLE_DEPLOY_ONNX_PATHS_HPP

#include <set>
#include <string>
#include <string_view>

namespace hyperstyle {

// The `location` of every tensor that keeps its values outside the graph, sub-graphs and functions included. Throws
// BundleError: the bytes are no ONNX graph.
std::set<std::string> external_locations(std::string_view content);

}  // namespace hyperstyle

#endif
