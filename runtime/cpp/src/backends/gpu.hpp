// The loop on a GPU: a backend that keeps every array in device memory, whatever runs the graphs.
#ifndef HYPERSTYLE_DEPLOY_GPU_HPP
#define HYPERSTYLE_DEPLOY_GPU_HPP

#include <list>
#include <map>
#include <mutex>

#include "backend.hpp"
#include "device.hpp"

namespace hyperstyle {

// Runs a bundle's graphs on device memory.
class StageRunner {
 public:
  virtual ~StageRunner() = default;
  virtual const std::string& name() const = 0;
  // Whether the work of `run` can be recorded.
  virtual bool recordable() const = 0;
  // Queue a stage: `arrays` holds every input and output of its graph, outputs to be written. Throws BackendError.
  virtual void run(const std::string& stage, const Arrays& arrays) = 0;
};

// Runs stages on a GPU, with the project's kernels between them; nothing leaves it until it is downloaded. `weights` is
// the stage `offsets` followed by the modulation kernel. All work goes to one stream, one thread at a time.
class GpuBackend : public Backend {
 public:
  GpuBackend(const Bundle& bundle, std::unique_ptr<Device> device, std::unique_ptr<StageRunner> runner);
  ~GpuBackend() override;

  const std::string& name() const override { return runner_->name(); }
  const Weights& untuned() const override { return untuned_; }
  Array encode(const Array& image) override;
  Array predict(const Array& image, const Array& reconstruction) override;
  Weights tune(const Array& offset_codes, int steps) override;
  std::pair<Array, Array> synthesize(const Array& codes, const Weights& weights) override;
  Array squared_error(const Array& left, const Array& right) override;
  Array pixels(const Array& image) override;
  Array add(const Array& left, const Array& right) override;
  Array concatenate(const std::vector<Array>& rows) override;
  Array upload(const Array& host) override;
  Array download(const Array& array) override;
  std::vector<Array> compute(const WorkKey& key, const Work& work, const Array& host) override;

 private:
  struct Kept {
    WorkKey key;
    Array photos;
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

  void check_weights() const;
  void check_constant(const std::string& name, const Shape& shape) const;
  Arrays run(const std::string& stage, const Arrays& inputs);
  Array placed(const Array& host);
  Array scalar(int value);
  Kept& recorded(const WorkKey& key, const Work& work, const Array& host);

  const Bundle bundle_;
  const std::unique_ptr<Device> device_;  // destroyed last: the other members hold its memory
  std::unique_ptr<StageRunner> runner_;
  mutable std::recursive_mutex lock_;
  Weights untuned_;
  Arrays noises_;
  std::map<int, Array> scalars_;
  std::list<Kept> recordings_;
};

// The GPU backend that `options` name, or null if it was not built in.
std::unique_ptr<Backend> open_gpu_backend(const Bundle& bundle, const Options& options);

}  // namespace hyperstyle

#endif
