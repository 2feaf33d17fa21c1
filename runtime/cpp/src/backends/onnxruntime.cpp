#include "onnxruntime.hpp"

#include <future>

#include "../bundle.hpp"
#include "../text.hpp"
#include "hyperstyle_deploy/errors.hpp"

namespace hyperstyle {
namespace {

ONNXTensorElementDataType element_type(Dtype dtype) {
  constexpr ONNXTensorElementDataType types[] = {
      ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,  ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16,
      ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,   ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64};
  return types[static_cast<int>(dtype)];
}

// Sizes of a graph's free axes, by name.
using FreeAxes = std::map<std::string, std::int64_t>;

FreeAxes free_axes(const GraphSpec& graph, const Arrays& inputs) {
  FreeAxes sizes;
  for (const TensorSpec& tensor : graph.inputs) {
    const auto found = inputs.find(tensor.name);
    if (found == inputs.end() || found->second.shape.size() != tensor.shape.size()) continue;  // Run will say so
    for (std::size_t axis = 0; axis < tensor.shape.size(); ++axis) {
      if (tensor.shape[axis].free) sizes.emplace(tensor.shape[axis].name, found->second.shape[axis]);
    }
  }
  return sizes;
}

// A graph's output as an array that keeps ONNX Runtime's value. `spec` is what the manifest says of it; its free axes
// are as long as the inputs' of that name.
Array taken(Ort::Value value, const TensorSpec& spec, const FreeAxes& sizes, const std::string& stage) {
  const auto info = value.GetTensorTypeAndShapeInfo();
  const Dtype dtype = dtype_of(spec.dtype);
  Array array{dtype, info.GetShape(), value.GetTensorMutableRawData(), nullptr};
  bool fits = info.GetElementType() == element_type(dtype) && array.shape.size() == spec.shape.size();
  for (std::size_t axis = 0; fits && axis < array.shape.size(); ++axis) {
    const Dimension& dim = spec.shape[axis];
    const auto free = sizes.find(dim.name);
    fits = array.shape[axis] == (!dim.free ? dim.size : free != sizes.end() ? free->second : -1);
  }
  if (!fits) {
    throw BackendError(Message(stage + " gives " + spec.name + " in another type or shape than the manifest says")
                           .got(repr(array.shape)));
  }
  array.owner = std::make_shared<Ort::Value>(std::move(value));
  return array;
}

}  // namespace

const Ort::Env& ort_environment() {
  static const Ort::Env environment(ORT_LOGGING_LEVEL_WARNING, "hyperstyle-deploy");
  return environment;
}

Ort::Value ort_view(const Array& array, const OrtMemoryInfo* memory) {
  return Ort::Value::CreateTensor(memory, array.data, array.bytes(), array.shape.data(), array.shape.size(),
                                  element_type(array.dtype));
}

OnnxRuntimeBackend::OnnxRuntimeBackend(const Bundle& bundle, int threads) : HostBackend(bundle), threads_(threads) {
  ort_environment();
  std::vector<std::pair<std::string, std::future<Ort::Session>>> loading;
  for (const char* stage : {"encoder", "hypernet", "weights", "synthesis_one"}) {
    const std::string name = stage;
    loading.emplace_back(name, std::async(std::launch::async, [this, name] { return load(name); }));
  }
  for (auto& [stage, session] : loading) session.wait();
  for (auto& [stage, session] : loading) sessions_.emplace(stage, session.get());
}

Arrays OnnxRuntimeBackend::run(const std::string& stage, const Arrays& inputs) {
  static const Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
  const GraphSpec& graph = bundle_.manifest().graph(stage);
  std::vector<const char*> names, results;
  std::vector<Ort::Value> values;
  for (const auto& [name, array] : inputs) {
    names.push_back(name.c_str());
    values.push_back(ort_view(array, memory));
  }
  for (const TensorSpec& output : graph.outputs) results.push_back(output.name.c_str());
  try {
    std::vector<Ort::Value> found = session(stage).Run(Ort::RunOptions{nullptr}, names.data(), values.data(),
                                                       values.size(), results.data(), results.size());
    const FreeAxes sizes = free_axes(graph, inputs);
    Arrays outputs;
    for (std::size_t row = 0; row < found.size(); ++row) {
      outputs[graph.outputs[row].name] = taken(std::move(found[row]), graph.outputs[row], sizes, stage);
    }
    return outputs;
  } catch (const Ort::Exception& error) {
    throw BackendError(Message("ONNX Runtime failed in " + stage).got(clipped(error.what(), 400)));
  }
}

Ort::Session& OnnxRuntimeBackend::session(const std::string& stage) {
  const std::lock_guard<std::mutex> guard(lock_);
  const auto found = sessions_.find(stage);
  return found != sessions_.end() ? found->second : sessions_.emplace(stage, load(stage)).first->second;
}

Ort::Session OnnxRuntimeBackend::load(const std::string& stage) const {
  const std::string path = graph_path(bundle_, stage);
  try {
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(threads_);
    // A planned memory pattern holds every activation of `synthesis_one` at once: 0.76 GB more at 1024.
    options.DisableMemPattern();
    // Stages run one after another: spinning threads of one would take the cores from the next.
    options.AddConfigEntry("session.force_spinning_stop", "1");
    return Ort::Session(ort_environment(), path.c_str(), options);
  } catch (const Ort::Exception& error) {
    throw BackendError(Message("ONNX Runtime cannot load " + stage).got(clipped(error.what(), 400)));
  }
}

}  // namespace hyperstyle
