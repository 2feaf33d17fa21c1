// A graph read before any backend reads it: the files it names, the operators it has.
#ifndef HYPERSTYLE_DEPLOY_ONNX_SCAN_HPP
#define HYPERSTYLE_DEPLOY_ONNX_SCAN_HPP

#include <set>
#include <string>
#include <string_view>

namespace hyperstyle {

// The `location` of every tensor that keeps its values outside the graph. Throws BundleError: the bytes are no ONNX graph,
// or it has an operator that is not in operators.hpp.
std::set<std::string> scan_graph(std::string_view content);

}  // namespace hyperstyle

#endif
