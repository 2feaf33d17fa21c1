#include "onnxruntime.hpp"

#include <future>

#include "../bundle.hpp"
#include "../methods/method.hpp"
#include "../text.hpp"
#include "binding.hpp"
#include "hyperstyle_deploy/errors.hpp"

namespace hyperstyle {
namespace {

ONNXTensorElementDataType element_type(Dtype dtype) {
  constexpr ONNXTensorElementDataType types[] = {
      ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,    ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
      ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16, ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE,
      ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,    ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64};
  return types[static_cast<int>(dtype)];
}

// A graph's output as an array that keeps ONNX Runtime's value, of the type and shape that the manifest says.
Array taken(Ort::Value value, const std::string& graph, const TensorSpec& spec, const Shape& shape) {
  const auto info = value.GetTensorTypeAndShapeInfo();
  const Dtype dtype = dtype_of(spec.dtype);
  Array array{dtype, info.GetShape(), value.GetTensorMutableRawData(), nullptr};
  if (info.GetElementType() != element_type(dtype) || array.shape != shape) {
    throw BackendError(Message(graph + " gives " + spec.name + " in another type or shape than the manifest says")
                           .got(repr(array.shape))
                           .expected(spec.dtype + " " + repr(shape)));
  }
  array.owner = std::make_shared<Ort::Value>(std::move(value));
  return array;
}

}  // namespace

const Ort::Env& ort_environment() {
  // ONNX Runtime sends telemetry to its makers unless this is set before its environment is made.
  static const int quiet = setenv("ORT_DISABLE_TELEMETRY", "1", 0);
  static_cast<void>(quiet);
  static const Ort::Env environment(ORT_LOGGING_LEVEL_WARNING, "hyperstyle-deploy");
  return environment;
}

Ort::Session open_session(const Bundle& bundle, const std::string& graph, Ort::SessionOptions& options) {
  const std::string& content = bundle.graph_content(graph);
  options.AddConfigEntry("session.model_external_initializers_file_folder_path", bundle.path().c_str());
  return Ort::Session(ort_environment(), content.data(), content.size(), options);
}

Ort::Value ort_view(const Array& array, const OrtMemoryInfo* memory) {
  return Ort::Value::CreateTensor(memory, array.data, array.bytes(), array.shape.data(), array.shape.size(),
                                  element_type(array.dtype));
}

OnnxRuntimeBackend::OnnxRuntimeBackend(const Bundle& bundle, const Method& method, int threads)
    : HostBackend(bundle, method), threads_(threads) {
  ort_environment();
  std::vector<std::pair<std::string, std::future<Ort::Session>>> loading;
  for (const std::string& graph : graphs_to_load(method, "offsets")) {
    if (graph.rfind("adam_", 0) == 0) continue;                           // done in place
    if (method.own_drawing() && graph == method.drawing_one()) continue;  // nobody may ask for an image
    loading.emplace_back(graph, std::async(std::launch::async, [this, graph] { return load(graph); }));
  }
  for (auto& [graph, session] : loading) session.wait();
  for (auto& [graph, session] : loading) sessions_.emplace(graph, session.get());
}

Arrays OnnxRuntimeBackend::run(const std::string& graph, const Arrays& inputs) {
  static const Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
  const GraphSpec& spec = bundle_.manifest().graph(graph);
  const Binding binding = bound(graph, spec, inputs, constants_);
  std::vector<const char*> names, results;
  std::vector<Ort::Value> values;
  for (const auto& [name, array] : binding.inputs) {
    names.push_back(name.c_str());
    values.push_back(ort_view(array, memory));
  }
  for (const TensorSpec& output : spec.outputs) results.push_back(output.name.c_str());
  try {
    std::vector<Ort::Value> found = session(graph).Run(Ort::RunOptions{nullptr}, names.data(), values.data(),
                                                       values.size(), results.data(), results.size());
    Arrays outputs;
    for (std::size_t row = 0; row < found.size(); ++row) {
      const TensorSpec& output = spec.outputs[row];
      outputs[output.name] = taken(std::move(found[row]), graph, output, binding.output_shape(output));
    }
    return outputs;
  } catch (const Ort::Exception& error) {
    throw BackendError(Message("ONNX Runtime failed in " + graph).got(clipped(error.what(), 400)));
  }
}

Ort::Session& OnnxRuntimeBackend::session(const std::string& graph) {
  const std::lock_guard<std::mutex> guard(lock_);
  const auto found = sessions_.find(graph);
  return found != sessions_.end() ? found->second : sessions_.emplace(graph, load(graph)).first->second;
}

Ort::Session OnnxRuntimeBackend::load(const std::string& graph) const {
  try {
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(threads_);
    // A planned memory pattern holds every activation of `synthesis_one` at once: 0.76 GB more at 1024.
    options.DisableMemPattern();
    // Graphs run one after another: spinning threads of one would take the cores from the next.
    options.AddConfigEntry("session.force_spinning_stop", "1");
    return open_session(bundle_, graph, options);
  } catch (const Ort::Exception& error) {
    throw BackendError(Message("ONNX Runtime cannot load " + graph).got(clipped(error.what(), 400)));
  }
}

}  // namespace hyperstyle
