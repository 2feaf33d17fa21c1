#include "device.hpp"

#include <cstdio>

#include "../text.hpp"
#include "hyperstyle_deploy/errors.hpp"

namespace hyperstyle {
namespace {

BackendError out_of_memory(std::size_t wanted) {
  std::size_t free = 0, total = 0;
  cudaMemGetInfo(&free, &total);
  char got[64], expected[64];
  std::snprintf(got, sizeof got, "%.1f of %.1f GB free", static_cast<double>(free) / 1e9,
                static_cast<double>(total) / 1e9);
  std::snprintf(expected, sizeof expected, "%.2f GB more", static_cast<double>(wanted) / 1e9);
  return BackendError(Message("The GPU is out of memory")
                          .got(got)
                          .expected(expected)
                          .hint("Use a smaller batch, or a bundle exported with --precision fp16."));
}

}  // namespace

void check_cuda(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw BackendError(Message(std::string("CUDA cannot ") + what)
                         .got(std::string(cudaGetErrorName(status)) + ": " + cudaGetErrorString(status)));
}

DeviceGuard::DeviceGuard(int index) {
  check_cuda(cudaGetDevice(&before_), "say which GPU is in use");
  check_cuda(cudaSetDevice(index), "use the GPU");
}

DeviceGuard::~DeviceGuard() { cudaSetDevice(before_); }

DevicePool::~DevicePool() {
  for (const auto& block : free_) cudaFree(block.second);
}

std::shared_ptr<void> DevicePool::allocate(std::size_t bytes) {
  constexpr std::size_t granularity = 512;
  const std::size_t size = (bytes + granularity - 1) / granularity * granularity;
  void* block = taken(size);
  if (block == nullptr) {
    const cudaError_t status = cudaMalloc(&block, size > 0 ? size : granularity);
    if (status == cudaErrorMemoryAllocation) throw out_of_memory(size);
    check_cuda(status, "allocate memory");
  }
  // The pool lives as long as its blocks are used.
  return {block, [pool = shared_from_this(), size](void* returned) { pool->put_back(size, returned); }};
}

// A block of that size that nobody uses, or null.
void* DevicePool::taken(std::size_t size) {
  const std::lock_guard<std::mutex> guard(lock_);
  const auto found = free_.find(size);
  if (found == free_.end()) return nullptr;
  void* const block = found->second;
  free_.erase(found);
  return block;
}

void DevicePool::put_back(std::size_t size, void* block) {
  const std::lock_guard<std::mutex> guard(lock_);
  free_.emplace(size, block);
}

Device::Device(int index) : index_(index) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) {
    throw BackendError(Message("CUDA cannot use the GPU")
                           .got(cudaGetErrorString(status))
                           .hint("nvidia-smi says whether there is a driver and a GPU."));
  }
  if (index < 0 || index >= count) {
    throw BackendError(Message("No such GPU").got(std::to_string(index)).expected("0 to " + std::to_string(count - 1)));
  }
  const DeviceGuard guard(index);
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, index), "describe the GPU");
  name_ = properties.name;
  capability_ = 10 * properties.major + properties.minor;
  arrays_ = pool_ = std::make_shared<DevicePool>();
  recorded_ = std::make_shared<DevicePool>();
  check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "make a stream");
}

Device::~Device() { cudaStreamDestroy(stream_); }

Array Device::allocate(Dtype dtype, const Shape& shape) {
  Array array{dtype, shape, nullptr, nullptr};
  array.owner = pool_->allocate(array.bytes());
  array.data = array.owner.get();
  return array;
}

void Device::upload(const Array& host, const Array& target) {
  // From pageable memory, the call returns once the bytes are staged.
  check_cuda(cudaMemcpyAsync(target.data, host.data, host.bytes(), cudaMemcpyHostToDevice, stream_), "upload");
}

Array Device::download(const Array& array) {
  const Array host = host_array(array.dtype, array.shape);
  check_cuda(cudaMemcpyAsync(host.data, array.data, array.bytes(), cudaMemcpyDeviceToHost, stream_), "download");
  synchronize();
  return host;
}

void Device::copy(const Array& source, void* target) {
  check_cuda(cudaMemcpyAsync(target, source.data, source.bytes(), cudaMemcpyDeviceToDevice, stream_), "copy");
}

Array Device::copied(const Array& source) {
  const Array target = allocate(source.dtype, source.shape);
  copy(source, target.data);
  return target;
}

Device::Recording Device::record(const std::function<Arrays()>& work) {
  const auto restore = [this](void*) { pool_ = arrays_; };
  const std::unique_ptr<void, decltype(restore)> guard(this, restore);
  pool_ = recorded_;
  work();  // what is done only once - memory, constants, the engines' own set-up - must not be recorded
  synchronize();
  check_cuda(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed), "record work");
  Recording recording;
  cudaGraph_t graph = nullptr;
  try {
    recording.result = work();
  } catch (...) {
    cudaStreamEndCapture(stream_, &graph);  // a stream left recording takes no other work
    if (graph != nullptr) cudaGraphDestroy(graph);
    throw;
  }
  check_cuda(cudaStreamEndCapture(stream_, &graph), "record work");
  cudaGraphExec_t executable = nullptr;
  const cudaError_t status = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  check_cuda(status, "make a CUDA graph");
  recording.graph = std::shared_ptr<CUgraphExec_st>(executable, cudaGraphExecDestroy);
  return recording;
}

void Device::replay(const Recording& recording) {
  check_cuda(cudaGraphLaunch(recording.graph.get(), stream_), "launch a CUDA graph");
}

void Device::synchronize() {
  const cudaError_t status = cudaStreamSynchronize(stream_);
  if (status != cudaSuccess) throw BackendError(Message("The GPU failed").got(cudaGetErrorString(status)));
}

}  // namespace hyperstyle
