#include "tensorrt.hpp"

#include <NvInferRuntime.h>
#include <sys/utsname.h>

#include <algorithm>
#include <mutex>

#include "../methods/method.hpp"
#include "../text.hpp"
#include "binding.hpp"
#include "engines.hpp"
#include "hyperstyle_deploy/errors.hpp"

namespace hyperstyle {
namespace {

constexpr std::size_t scratch_alignment = 256;

// Keeps the last errors that TensorRT logs, from any thread, so that they can be said where they matter. TensorRT takes
// one logger a process and ignores later ones, so all sessions share this one, and it is never destroyed.
class Log : public nvinfer1::ILogger {
 public:
  static Log& only() {
    static Log* const log = new Log;
    return *log;
  }
  void log(Severity severity, const char* message) noexcept override {
    if (severity > Severity::kERROR) return;
    const std::lock_guard<std::mutex> guard(lock_);
    try {
      if (messages_.size() > 4096) messages_.clear();  // nobody asked
      messages_ += (messages_.empty() ? "" : "; ") + std::string(message);
    } catch (const std::exception&) {
      return;  // no memory for a message
    }
  }
  std::string take() {
    const std::lock_guard<std::mutex> guard(lock_);
    return std::exchange(messages_, {});
  }

 private:
  Log() = default;

  std::mutex lock_;
  std::string messages_;
};

std::string this_platform() {
  utsname names{};
  uname(&names);
  return std::string(names.sysname) + "-" + names.machine;
}

// The library that is loaded, whatever headers this was compiled with: 110100 is 11.1.0.
std::string loaded_version() {
  const int version = getInferLibVersion();
  const std::string numbers =
      std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." + std::to_string(version % 100);
  return numbers + "." + std::to_string(getInferLibBuildVersion());
}

nvinfer1::Dims dims_of(const Shape& shape) {
  nvinfer1::Dims dims{};
  dims.nbDims = static_cast<std::int32_t>(shape.size());
  std::copy(shape.begin(), shape.end(), dims.d);
  return dims;
}

// All contexts share one piece of scratch memory, since one graph runs at a time; it never moves, so recordings of any
// graph stay valid. There is a context for every set of input shapes: changing those of one would spoil what was
// recorded.
class EngineRunner : public GraphRunner {
 public:
  EngineRunner(const Bundle& bundle, const Method& method, const Options& options, Device& device)
      : bundle_(bundle),
        name_(options.backend),
        stream_(device.stream()),
        runtime_(nvinfer1::createInferRuntime(Log::only())) {
    if (!runtime_) throw failure(name_ + " cannot start");
    const Machine machine{name_, loaded_version(), device.name(), device.compute_capability(), this_platform()};
    for (const std::string& stage : graphs_to_load(method, "weights")) load(machine, stage, options.trust_engines);
    for (const std::string& stage : {method.drawing(), method.styled()}) {  // the loop can do without
      if (has_engine(bundle, name_, stage)) load(machine, stage, options.trust_engines);
    }
    for (const auto& engine : engines_) {
      scratch_bytes_ = std::max(scratch_bytes_, engine.second->getDeviceMemorySizeV2());
    }
    scratch_ = device.allocate(Dtype::uint8, {scratch_bytes_ + static_cast<std::int64_t>(scratch_alignment)});
  }

  const std::string& name() const override { return name_; }
  bool recordable() const override { return true; }

  void run(const std::string& stage, const Arrays& arrays) override {
    nvinfer1::IExecutionContext& context = context_for(stage, arrays);
    for (const auto& [name, array] : arrays) {
      if (!context.setTensorAddress(name.c_str(), array.data)) {
        throw failure(name_ + " cannot bind " + name + " of " + stage);
      }
    }
    if (!context.enqueueV3(stream_)) throw failure(name_ + " failed in " + stage);
  }

 private:
  void load(const Machine& machine, const std::string& stage, bool trust) {
    const CheckedEngine engine = load_engine(bundle_, machine, stage, trust);
    // A version-compatible engine brings its own runtime, that is, host code; it was checked or is trusted.
    runtime_->setEngineHostCodeAllowed(engine.version_compatible);
    std::unique_ptr<nvinfer1::ICudaEngine> loaded(
        runtime_->deserializeCudaEngine(engine.content.data(), engine.content.size()));
    if (!loaded) throw failure(name_ + " cannot load the engine of " + stage);
    engines_[stage] = std::move(loaded);
  }

  nvinfer1::IExecutionContext& context_for(const std::string& stage, const Arrays& arrays) {
    const auto engine = engines_.find(stage);
    if (engine == engines_.end()) {
      throw BackendError(Message(bundle_.path() + " has no " + name_ + " engine of " + stage)
                             .hint("Build it: hyperstyle-deploy build " + bundle_.path() + " --target " + name_ +
                                   " --stages " + stage));
    }
    std::pair<std::string, std::vector<Shape>> key{stage, {}};
    for (const TensorSpec& tensor : bundle_.manifest().graph(stage).inputs) {
      key.second.push_back(arrays.at(tensor.name).shape);
    }
    auto found = contexts_.find(key);
    if (found == contexts_.end()) found = contexts_.emplace(key, make_context(stage, *engine->second, arrays)).first;
    return *found->second;
  }

  std::unique_ptr<nvinfer1::IExecutionContext> make_context(const std::string& stage, nvinfer1::ICudaEngine& engine,
                                                            const Arrays& arrays) {
    std::unique_ptr<nvinfer1::IExecutionContext> context(
        engine.createExecutionContext(nvinfer1::ExecutionContextAllocationStrategy::kUSER_MANAGED));
    if (!context) throw failure(name_ + " cannot make a context for " + stage);
    const auto start = (reinterpret_cast<std::uintptr_t>(scratch_.data) + scratch_alignment - 1) / scratch_alignment *
                       scratch_alignment;
    context->setDeviceMemoryV2(reinterpret_cast<void*>(start), scratch_bytes_);
    for (const TensorSpec& tensor : bundle_.manifest().graph(stage).inputs) {
      const Shape& shape = arrays.at(tensor.name).shape;
      if (!context->setInputShape(tensor.name.c_str(), dims_of(shape))) {
        throw failure(name_ + " cannot run " + stage + " with " + tensor.name + " of shape " + repr(shape));
      }
    }
    return context;
  }

  BackendError failure(const std::string& what) {
    const std::string said = clipped(Log::only().take(), 400);
    return BackendError(Message(what).got(said.empty() ? "no message" : said));
  }

  const Bundle bundle_;
  const std::string name_;
  const cudaStream_t stream_;
  std::unique_ptr<nvinfer1::IRuntime> runtime_;
  std::map<std::string, std::unique_ptr<nvinfer1::ICudaEngine>> engines_;
  std::int64_t scratch_bytes_ = 0;
  Array scratch_;
  std::map<std::pair<std::string, std::vector<Shape>>, std::unique_ptr<nvinfer1::IExecutionContext>> contexts_;
};

}  // namespace

std::unique_ptr<GraphRunner> open_engines(const Bundle& bundle, const Method& method, const Options& options,
                                          Device& device) {
  return std::make_unique<EngineRunner>(bundle, method, options, device);
}

}  // namespace hyperstyle
