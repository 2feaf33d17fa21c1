// Which GPU backend an option names.
#include "../text.hpp"
#include "gpu.hpp"
#include "hyperstyle_deploy/errors.hpp"
#include "onnxruntime_cuda.hpp"
#if HYPERSTYLE_WITH_TENSORRT
#include "tensorrt.hpp"
#endif

namespace hyperstyle {

std::unique_ptr<Backend> open_gpu_backend(const Bundle& bundle, const Method& method, const Options& options) {
  const bool engines = options.backend != "onnxruntime-cuda";
#if HYPERSTYLE_WITH_TENSORRT
  // One of the two libraries is linked, see HYPERSTYLE_TENSORRT_TARGET.
  if (engines && options.backend != HYPERSTYLE_TENSORRT_TARGET) return nullptr;
#else
  if (engines) return nullptr;
#endif
  if (options.threads != 0) {
    throw BackendError(Message(options.backend + " runs on the GPU").got("an option for CPUs").hint("Leave it out."));
  }
  if (!engines && options.trust_engines) {
    throw BackendError(Message("ONNX Runtime loads no engines").got("trust_engines").hint("Leave it out."));
  }
  auto device = std::make_unique<Device>(options.device);
  const DeviceGuard guard(device->index());
  std::unique_ptr<GraphRunner> runner;
  if (!engines) runner = std::make_unique<OnnxRuntimeRunner>(bundle, method, *device);
#if HYPERSTYLE_WITH_TENSORRT
  if (engines) runner = open_engines(bundle, method, options, *device);
#endif
  return std::make_unique<GpuBackend>(bundle, method, std::move(device), std::move(runner));
}

}  // namespace hyperstyle
