// The CUDA names that the kernel uses, for a C++ compiler: the same source then runs on the CPU.
//
// The threads of a block are fibers of one thread of the system. Each runs to its next barrier, then the next one runs,
// in an order that is shuffled anew at every barrier: a missing barrier gives wrong numbers, and one that only some
// threads of a block reach ends the program.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)
#define __shared__ static

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  explicit dim3(unsigned x, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }

inline uint32_t min(uint32_t a, uint32_t b) { return std::min(a, b); }
inline uint32_t __umulhi(uint32_t a, uint32_t b) { return static_cast<uint32_t>(static_cast<uint64_t>(a) * b >> 32); }

inline uint32_t __float_as_uint(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}
inline float __uint_as_float(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof(bits));
  return value;
}

struct __half {
  _Float16 value;
};
struct __half2 {
  __half x, y;
};
inline float __half2float(__half half) { return half.value; }
inline __half __float2half_rn(float value) { return {static_cast<_Float16>(value)}; }
inline float2 __half22float2(__half2 pair) { return {pair.x.value, pair.y.value}; }
inline __half2 __floats2half2_rn(float x, float y) { return {__float2half_rn(x), __float2half_rn(y)}; }

struct __nv_bfloat16 {
  uint16_t bits;
};
struct __nv_bfloat162 {
  __nv_bfloat16 x, y;
};
inline float __bfloat162float(__nv_bfloat16 value) { return __uint_as_float(static_cast<uint32_t>(value.bits) << 16); }
inline __nv_bfloat16 __float2bfloat16_rn(float value) {
  const uint32_t bits = __float_as_uint(value);
  if (std::isnan(value)) return {0x7fff};
  return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
  return {__float2bfloat16_rn(x), __float2bfloat16_rn(y)};
}

[[noreturn]] inline void cpu_cuda_fail(const char* what) {
  fprintf(stderr, "cpu_cuda: %s\n", what);
  abort();
}

// Loads from device memory by their size in bytes.
inline long cpu_cuda_loads_of[17];
extern "C" inline __attribute__((visibility("default"), used)) long cpu_cuda_loads(int bytes) {
  return cpu_cuda_loads_of[bytes];
}

template <class T>
inline T __ldcs(const T* from) {
  if (reinterpret_cast<uintptr_t>(from) % sizeof(T) != 0) cpu_cuda_fail("misaligned load");
  ++cpu_cuda_loads_of[sizeof(T)];
  T value;
  memcpy(&value, from, sizeof(value));
  return value;
}

inline uint3 threadIdx, blockIdx;

class Block {
 public:
  explicit Block(unsigned threads) : stacks_(threads * kStack), fibers_(threads), state_(threads) {}

  void run(const std::function<void()>& body) {
    body_ = &body;
    current_ = this;
    for (unsigned i = 0; i < fibers_.size(); ++i) start(i);
    while (std::count(state_.begin(), state_.end(), kDone) == 0) to_next_barrier();
  }

  static void barrier() {
    Block& block = *current_;
    const unsigned thread = threadIdx.x;
    block.state_[thread] = kWaiting;
    swapcontext(&block.fibers_[thread], &block.scheduler_);
  }

 private:
  enum State { kRunning, kWaiting, kDone };
  static constexpr size_t kStack = 256 << 10;

  void start(unsigned thread) {
    ucontext_t& fiber = fibers_[thread];
    getcontext(&fiber);
    fiber.uc_stack = {&stacks_[thread * kStack], 0, kStack};
    fiber.uc_link = &scheduler_;
    makecontext(&fiber, [] { current_->thread(); }, 0);
    state_[thread] = kRunning;
  }

  void thread() {
    (*body_)();
    state_[threadIdx.x] = kDone;
  }

  void to_next_barrier() {
    std::vector<unsigned> order(fibers_.size());
    for (unsigned i = 0; i < order.size(); ++i) order[i] = i;
    std::shuffle(order.begin(), order.end(), random_);
    for (unsigned i : order) {
      threadIdx = {i, 0, 0};
      swapcontext(&scheduler_, &fibers_[i]);
    }
    if (std::count(state_.begin(), state_.end(), state_[0]) != static_cast<long>(state_.size()))
      cpu_cuda_fail("some threads of a block wait at a barrier while others have ended");
  }

  inline static Block* current_;
  std::vector<char> stacks_;
  std::vector<ucontext_t> fibers_;
  std::vector<State> state_;
  ucontext_t scheduler_;
  std::minstd_rand random_;
  const std::function<void()>* body_ = nullptr;
};

inline void __syncthreads() { Block::barrier(); }

// How many of a launch's blocks run, counted from the last: for arrays too large to go through. All unless told.
inline unsigned cpu_cuda_blocks = UINT32_MAX;
extern "C" inline __attribute__((visibility("default"), used)) void cpu_cuda_last_blocks(unsigned count) {
  cpu_cuda_blocks = count;
}

enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidResourceHandle = 400 };
using cudaStream_t = struct CpuStream*;

inline const char* cudaGetErrorString(cudaError_t) { return "invalid resource handle"; }

// There is no stream here but the default one.
template <class Parameter>
cudaError_t cudaLaunchKernel(void (*kernel)(Parameter), dim3 grid, dim3 threads, void** arguments, size_t,
                             cudaStream_t stream) {
  if (stream != nullptr) return cudaErrorInvalidResourceHandle;
  Block block(threads.x);
  const std::function<void()> body = [&] { kernel(*static_cast<const Parameter*>(arguments[0])); };
  for (unsigned i = grid.x - std::min(grid.x, cpu_cuda_blocks); i < grid.x; ++i) {
    blockIdx = {i, 0, 0};
    block.run(body);
  }
  return cudaSuccess;
}
