// ONNX Runtime on the CPU.
#ifndef HYPERSTYLE_DEPLOY_ONNXRUNTIME_HPP
#define HYPERSTYLE_DEPLOY_ONNXRUNTIME_HPP

#include <onnxruntime_cxx_api.h>

#include <map>
#include <mutex>

#include "host.hpp"

namespace hyperstyle {

// The process's one ONNX Runtime environment; it must outlive every session.
const Ort::Env& ort_environment();

// A session on a graph as it was checked; its constants are mapped from the bundle's files.
Ort::Session open_session(const Bundle& bundle, const std::string& graph, Ort::SessionOptions& options);

// An array as ONNX Runtime sees it, in the memory that `memory` describes; the array keeps the memory.
Ort::Value ort_view(const Array& array, const OrtMemoryInfo* memory);

// Runs every graph in ONNX Runtime; those that the loop does not run are loaded when they are first needed.
class OnnxRuntimeBackend : public HostBackend {
 public:
  OnnxRuntimeBackend(const Bundle& bundle, const Method& method, int threads);
  const std::string& name() const override { return name_; }
  Arrays run(const std::string& graph, const Arrays& inputs) override;

 private:
  Ort::Session& session(const std::string& graph);
  Ort::Session load(const std::string& graph) const;

  const std::string name_ = "onnxruntime";
  const int threads_;
  std::mutex lock_;
  std::map<std::string, Ort::Session> sessions_;
};

}  // namespace hyperstyle

#endif
