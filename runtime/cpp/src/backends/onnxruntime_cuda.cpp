#include "onnxruntime_cuda.hpp"

#include <algorithm>

#include "../bundle.hpp"
#include "../text.hpp"
#include "binding.hpp"
#include "hyperstyle_deploy/errors.hpp"
#include "onnxruntime.hpp"

namespace hyperstyle {
namespace {

constexpr const char* provider = "CUDAExecutionProvider";

using ProviderOptions = std::unique_ptr<OrtCUDAProviderOptionsV2, void (*)(OrtCUDAProviderOptionsV2*)>;

ProviderOptions provider_options(int index, cudaStream_t stream) {
  OrtCUDAProviderOptionsV2* made = nullptr;
  Ort::ThrowOnError(Ort::GetApi().CreateCUDAProviderOptions(&made));
  ProviderOptions options(made, [](OrtCUDAProviderOptionsV2* used) { Ort::GetApi().ReleaseCUDAProviderOptions(used); });
  const std::string device = std::to_string(index);
  // float32 means float32: TF32 would round the inputs of products to 10 bits.
  const char *keys[] = {"device_id", "use_tf32"}, *values[] = {device.c_str(), "0"};
  Ort::ThrowOnError(Ort::GetApi().UpdateCUDAProviderOptions(made, keys, values, 2));
  Ort::ThrowOnError(Ort::GetApi().UpdateCUDAProviderOptionsWithValue(made, "user_compute_stream", stream));
  return options;
}

}  // namespace

OnnxRuntimeRunner::OnnxRuntimeRunner(const Bundle& bundle, const Method& method, const Device& device)
    : bundle_(bundle),
      index_(device.index()),
      stream_(device.stream()),
      memory_("Cuda", OrtDeviceAllocator, device.index(), OrtMemTypeDefault) {
  const std::vector<std::string> there = Ort::GetAvailableProviders();
  if (std::find(there.begin(), there.end(), provider) == there.end()) {
    throw BackendError(Message("ONNX Runtime has no CUDA provider here")
                           .got(joined(there))
                           .expected(provider)
                           .hint("Deploy the libonnxruntime.so and provider libraries of a CUDA build."));
  }
  // The stream keeps the order; waiting after every graph would only cost time.
  run_options_.AddConfigEntry("disable_synchronize_execution_providers", "1");
  for (const std::string& graph : graphs_to_load(method, "weights")) sessions_.emplace(graph, load(graph));
}

void OnnxRuntimeRunner::run(const std::string& graph, const Arrays& arrays) {
  auto session = sessions_.find(graph);
  if (session == sessions_.end()) session = sessions_.emplace(graph, load(graph)).first;
  const GraphSpec& spec = bundle_.manifest().graph(graph);
  try {
    Ort::IoBinding binding(session->second);
    for (const TensorSpec& tensor : spec.inputs) {
      binding.BindInput(tensor.name.c_str(), ort_view(arrays.at(tensor.name), memory_));
    }
    for (const TensorSpec& tensor : spec.outputs) {
      binding.BindOutput(tensor.name.c_str(), ort_view(arrays.at(tensor.name), memory_));
    }
    session->second.Run(run_options_, binding);
  } catch (const Ort::Exception& error) {
    throw BackendError(Message("ONNX Runtime failed in " + graph).got(clipped(error.what(), 400)));
  }
}

Ort::Session OnnxRuntimeRunner::load(const std::string& graph) const {
  try {
    Ort::SessionOptions options;
    // A node that fell back to the CPU would copy its inputs there and back in every step.
    options.AddConfigEntry("session.disable_cpu_ep_fallback", "1");
    options.AppendExecutionProvider_CUDA_V2(*provider_options(index_, stream_));
    return open_session(bundle_, graph, options);
  } catch (const Ort::Exception& error) {
    throw BackendError(Message("ONNX Runtime cannot load " + graph + " on the GPU").got(clipped(error.what(), 400)));
  }
}

}  // namespace hyperstyle
