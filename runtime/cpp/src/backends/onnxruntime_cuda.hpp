// ONNX Runtime's CUDA provider on the loop's own memory and stream: for GPUs where TensorRT cannot be installed.
#ifndef HYPERSTYLE_DEPLOY_ONNXRUNTIME_CUDA_HPP
#define HYPERSTYLE_DEPLOY_ONNXRUNTIME_CUDA_HPP

#include <onnxruntime_cxx_api.h>

#include "gpu.hpp"

namespace hyperstyle {

// Runs graphs through IO binding: inputs and outputs stay where they are in device memory.
class OnnxRuntimeRunner : public GraphRunner {
 public:
  OnnxRuntimeRunner(const Bundle& bundle, const Method& method, const Device& device);
  const std::string& name() const override { return name_; }
  bool recordable() const override { return false; }
  void run(const std::string& graph, const Arrays& arrays) override;

 private:
  Ort::Session load(const std::string& graph) const;

  const std::string name_ = "onnxruntime-cuda";
  const Bundle bundle_;
  const int index_;
  const cudaStream_t stream_;
  const Ort::MemoryInfo memory_;
  Ort::RunOptions run_options_;
  std::map<std::string, Ort::Session> sessions_;
};

}  // namespace hyperstyle

#endif
