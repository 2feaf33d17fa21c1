// Which backend an option names; each is there only if it was built in.
#include "../text.hpp"
#include "hyperstyle_deploy/errors.hpp"
#include "onnxruntime.hpp"
#if HYPERSTYLE_WITH_CUDA
#include "gpu.hpp"
#endif

namespace hyperstyle {
namespace {

constexpr const char* backends = "onnxruntime, onnxruntime-cuda, tensorrt, tensorrt-rtx";

void check_cpu_options(const Bundle& bundle, const Options& options) {
  if (options.device != 0 || options.trust_engines) {
    throw BackendError(Message(options.backend + " runs on the CPU").got("an option for GPUs").hint("Leave it out."));
  }
  if (bundle.manifest().precision == "bfloat16") {
    throw BackendError(
        Message("The backend " + options.backend + " cannot run a bfloat16 bundle")
            .got(bundle.path())
            .expected("a bundle in float32 or float16")
            .hint("TensorRT runs it, on GPUs since Ampere. For a CPU, export with --precision fp32 or fp16."));
  }
}

}  // namespace

std::unique_ptr<Backend> open_backend(const Bundle& bundle, const Method& method, const Options& options) {
  const std::string& name = options.backend;
  if (name == "onnxruntime") {
    check_cpu_options(bundle, options);
    return std::make_unique<OnnxRuntimeBackend>(bundle, method, options.threads);
  }
  if (name != "onnxruntime-cuda" && name != "tensorrt" && name != "tensorrt-rtx") {
    throw BackendError(Message("Unknown backend").got(name).expected(std::string("one of ") + backends));
  }
#if HYPERSTYLE_WITH_CUDA
  if (std::unique_ptr<Backend> backend = open_gpu_backend(bundle, method, options)) return backend;
#endif
  const char* flag = name == "onnxruntime-cuda" ? "CUDA" : "TENSORRT";
  throw BackendError(Message("The backend " + name + " was not built into this library")
                         .hint(std::string("Configure it with -DHYPERSTYLE_WITH_") + flag + "=ON."));
}

}  // namespace hyperstyle
