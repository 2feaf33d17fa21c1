// The loop on a GPU: a backend that keeps every array in device memory, whatever runs the graphs.
#ifndef HYPERSTYLE_DEPLOY_GPU_HPP
#define HYPERSTYLE_DEPLOY_GPU_HPP

#include <list>
#include <mutex>

#include "backend.hpp"
#include "device.hpp"

namespace hyperstyle {

// Runs a bundle's graphs on device memory.
class GraphRunner {
 public:
  virtual ~GraphRunner() = default;
  virtual const std::string& name() const = 0;
  // Whether the work of `run` can be recorded.
  virtual bool recordable() const = 0;
  // Queue a graph: `arrays` holds all its inputs and outputs, outputs to be written. Throws BackendError.
  virtual void run(const std::string& graph, const Arrays& arrays) = 0;
};

// Runs graphs on a GPU, with the project's kernels between them; nothing leaves it until it is downloaded. `weights` is
// the graph `offsets` followed by the modulation kernel. All work goes to one stream, one thread at a time.
class GpuBackend : public Backend {
 public:
  GpuBackend(const Bundle& bundle, const Method& method, std::unique_ptr<Device> device,
             std::unique_ptr<GraphRunner> runner);
  ~GpuBackend() override;

  const std::string& name() const override { return runner_->name(); }
  Arrays run(const std::string& graph, const Arrays& inputs) override;
  const Array& constant(const std::string& name) const override;
  Array squared_error(const Array& left, const Array& right) override;
  Array pixels(const Array& image) override;
  Array add(const Array& left, const Array& right) override;
  Array concatenate(const std::vector<Array>& rows) override;
  Variable adam(const Variable& variable, const Array& rates) override;
  Array upload(const Array& host) override;
  Array download(const Array& array) override;
  Arrays replay(const std::string& name, const Work& work, const Arrays& inputs) override;
  bool replays() const override { return runner_->recordable(); }

 private:
  struct Kept {
    std::string key;
    Arrays inputs;
    Device::Recording recording;
  };
  // Every use of the device holds one of these: this thread's turn, and the GPU as the thread's current one.
  class Use {
   public:
    explicit Use(const GpuBackend& backend);

   private:
    const std::unique_lock<std::recursive_mutex> lock_;
    const DeviceGuard guard_;
  };

  Arrays run_graph(const std::string& graph, const Arrays& inputs);
  Arrays modulated(const Arrays& offsets);
  Array placed(const Array& host);
  Kept& recorded(const std::string& name, const Work& work, const Arrays& inputs);

  const Bundle bundle_;
  const std::unique_ptr<Device> device_;  // destroyed last: the other members hold its memory
  std::unique_ptr<GraphRunner> runner_;
  mutable std::recursive_mutex lock_;
  Arrays constants_;
  std::list<Kept> recordings_;
};

// The GPU backend that `options` name, or null if it was not built in.
std::unique_ptr<Backend> open_gpu_backend(const Bundle& bundle, const Method& method, const Options& options);

}  // namespace hyperstyle

#endif
