/* The little arithmetic between the stages of the loop on a CUDA device: the C interface.
 *
 * As in modulate.h: no state, no allocation, no copy, no waiting; callable from any thread; the stream's device must be
 * current. Each function launches on `stream` (a cudaStream_t; null is the default stream) and returns 0, a code of enum
 * HyperstyleTableError (HYPERSTYLE_BAD_SHAPE, HYPERSTYLE_BAD_POINTER), or a cudaError_t. Arrays are dense.
 */
#ifndef HYPERSTYLE_ARITHMETIC_H
#define HYPERSTYLE_ARITHMETIC_H

#include <stdint.h>

#include "modulate.h"

#ifdef __cplusplus
extern "C" {
#endif

/* total[i] = left[i] + right[i], `count` numbers in float32: the sum of offset codes. */
HYPERSTYLE_API int hyperstyle_add(const float* left, const float* right, float* total, int64_t count, void* stream);

/* errors[r] = mean over i of (left[r, i] - right[r, i])^2 for `rows` rows of `size` numbers; differences in float32,
 * their squares and sum in float64, always in the same order: the loop's L2, a row a photo. */
HYPERSTYLE_API int hyperstyle_squared_error(const float* left, const float* right, double* errors, int64_t rows,
                                            int64_t size, void* stream);

/* Planes of red, green and blue [images, 3, area], about [-1, 1], to pixels [images, area, 3]:
 * clip((y + 1) / 2, 0, 1) * 255, truncated. NaN becomes 0: look for it in the errors. */
HYPERSTYLE_API int hyperstyle_pixels(const float* planes, uint8_t* pixels, int64_t images, int64_t area, void* stream);

#ifdef __cplusplus
}
#endif

#endif
