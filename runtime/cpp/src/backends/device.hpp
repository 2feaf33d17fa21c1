// A CUDA GPU: arrays in its memory, one stream of work, and recordings (CUDA graphs) that can be replayed.
#ifndef HYPERSTYLE_DEPLOY_DEVICE_HPP
#define HYPERSTYLE_DEPLOY_DEVICE_HPP

#include <cuda_runtime_api.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "../array.hpp"

namespace hyperstyle {

// Throws BackendError unless `status` is success; `what` completes "CUDA cannot ...".
void check_cuda(cudaError_t status, const char* what);

// Makes a GPU the calling thread's, and gives the thread back the one that it had.
class DeviceGuard {
 public:
  explicit DeviceGuard(int index);
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;
  ~DeviceGuard();

 private:
  int before_ = 0;
};

// Blocks of device memory that are kept and used again. Work on one stream is done in the order in which it was asked
// for, so a block may be reused as soon as nothing refers to it. Any thread may drop an array.
class DevicePool : public std::enable_shared_from_this<DevicePool> {
 public:
  ~DevicePool();
  std::shared_ptr<void> allocate(std::size_t bytes);

 private:
  void* taken(std::size_t size);
  void put_back(std::size_t size, void* block);

  std::mutex lock_;
  std::multimap<std::size_t, void*> free_;
};

// GPU `index` with one stream. Methods are called by one thread at a time; the GPU is the calling thread's
// (DeviceGuard).
class Device {
 public:
  explicit Device(int index);
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  ~Device();

  int index() const { return index_; }
  const std::string& name() const { return name_; }
  int compute_capability() const { return capability_; }  // 89 for 8.9
  cudaStream_t stream() const { return stream_; }

  Array allocate(Dtype dtype, const Shape& shape);
  // Copy a host array of the same size; it may be changed when the call returns.
  void upload(const Array& host, const Array& target);
  // Wait for the stream and bring an array to the host.
  Array download(const Array& array);
  // Copy an array to another place on the device.
  void copy(const Array& source, void* target);
  // Memory of its own with the same contents.
  Array copied(const Array& source);

  // Recorded work; `result` is what it returned, whose contents each replay writes anew.
  struct Recording {
    Arrays result;
    std::shared_ptr<CUgraphExec_st> graph;
  };
  // Do `work` once, then record it. What it allocates is shared by all recordings and by nothing else: its contents
  // last until another replay.
  Recording record(const std::function<Arrays()>& work);
  void replay(const Recording& recording);

 private:
  void synchronize();

  const int index_;
  std::string name_;
  int capability_ = 0;
  cudaStream_t stream_ = nullptr;
  std::shared_ptr<DevicePool> arrays_, recorded_, pool_;
};

}  // namespace hyperstyle

#endif
