// The C interface of arithmetic.h: checks its arguments and launches.
#include "arithmetic.h"

#include "arithmetic.cuh"

namespace {

template <class Work>
int launch(void (*kernel)(Work), int64_t blocks, Work work, void* stream) {
  if (blocks > INT32_MAX) return HYPERSTYLE_BAD_SHAPE;
  void* arguments[] = {&work};
  return cudaLaunchKernel(kernel, dim3(static_cast<unsigned>(blocks)), dim3(hyperstyle::kArithmeticThreads), arguments,
                          0, static_cast<cudaStream_t>(stream));
}

int64_t blocks_of(int64_t count) { return (count - 1) / hyperstyle::kArithmeticThreads + 1; }

}  // namespace

int hyperstyle_add(const float* left, const float* right, float* total, int64_t count, void* stream) {
  if (left == nullptr || right == nullptr || total == nullptr) return HYPERSTYLE_BAD_POINTER;
  if (count < 1) return HYPERSTYLE_BAD_SHAPE;
  return launch(hyperstyle::add, blocks_of(count), hyperstyle::Sum{left, right, total, count}, stream);
}

int hyperstyle_squared_error(const float* left, const float* right, double* errors, int64_t rows, int64_t size,
                             void* stream) {
  if (left == nullptr || right == nullptr || errors == nullptr) return HYPERSTYLE_BAD_POINTER;
  if (rows < 1 || size < 1) return HYPERSTYLE_BAD_SHAPE;
  return launch(hyperstyle::squared_error, rows, hyperstyle::Rows{left, right, errors, size}, stream);
}

int hyperstyle_pixels(const float* planes, uint8_t* pixels, int64_t images, int64_t area, void* stream) {
  if (planes == nullptr || pixels == nullptr) return HYPERSTYLE_BAD_POINTER;
  if (images < 1 || area < 1 || images > INT64_MAX / area / 3) return HYPERSTYLE_BAD_SHAPE;
  const int64_t count = images * area;
  return launch(hyperstyle::pixels, blocks_of(count), hyperstyle::Planes{planes, pixels, area, count}, stream);
}
