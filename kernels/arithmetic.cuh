// The kernels of arithmetic.h. None is worth more than plain code: together they move 20 MB an inversion at 1024.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace hyperstyle {

// Threads of a block; a power of two, for the tree that sums them up.
constexpr int kArithmeticThreads = 256;

struct Sum {
  const float *left, *right;
  float* total;
  int64_t count;
};

__global__ void __launch_bounds__(kArithmeticThreads) add(const __grid_constant__ Sum sum) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kArithmeticThreads + threadIdx.x;
  if (i < sum.count) sum.total[i] = sum.left[i] + sum.right[i];
}

struct Rows {
  const float *left, *right;
  double* errors;
  int64_t size;
};

// One block a row: a photo has at most a few hundred thousand numbers, and the order of the sum stays the same.
__global__ void __launch_bounds__(kArithmeticThreads) squared_error(const __grid_constant__ Rows rows) {
  __shared__ double sums[kArithmeticThreads];
  const int64_t start = static_cast<int64_t>(blockIdx.x) * rows.size;
  double sum = 0;
  for (int64_t i = threadIdx.x; i < rows.size; i += kArithmeticThreads) {
    const double difference = rows.left[start + i] - rows.right[start + i];
    sum += difference * difference;
  }
  sums[threadIdx.x] = sum;
  for (uint32_t half = kArithmeticThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
  }
  if (threadIdx.x == 0) rows.errors[blockIdx.x] = sums[0] / static_cast<double>(rows.size);
}

struct Planes {
  const float* planes;
  uint8_t* pixels;
  int64_t area, count;  // pixels of one image, of all images
};

__global__ void __launch_bounds__(kArithmeticThreads) pixels(const __grid_constant__ Planes image) {
  const int64_t pixel = static_cast<int64_t>(blockIdx.x) * kArithmeticThreads + threadIdx.x;
  if (pixel >= image.count) return;
  const int64_t number = pixel / image.area, place = pixel - number * image.area;
  for (int channel = 0; channel < 3; ++channel) {
    const float value = image.planes[(number * 3 + channel) * image.area + place];
    const float level = fminf(fmaxf((value + 1.0f) / 2.0f, 0.0f), 1.0f) * 255.0f;
    image.pixels[pixel * 3 + channel] = static_cast<uint8_t>(level);
  }
}

}  // namespace hyperstyle
