// TensorRT and TensorRT-RTX: runs the engines that `build` put into a bundle. Both libraries have one interface; which
// one is used is decided when this is linked.
#ifndef HYPERSTYLE_DEPLOY_TENSORRT_HPP
#define HYPERSTYLE_DEPLOY_TENSORRT_HPP

#include <memory>

#include "gpu.hpp"

namespace hyperstyle {

// Check and load a bundle's engines. Throws EngineError and BackendError.
std::unique_ptr<GraphRunner> open_engines(const Bundle& bundle, const Method& method, const Options& options,
                                          Device& device);

}  // namespace hyperstyle

#endif
