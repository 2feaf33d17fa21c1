/* Tuned weights and energies of all layers of the generator in one launch on a CUDA device: the C interface.
 *
 *     W'[o,i,k] = scale * W[o,i,k] * (1 + offset[o,i,k])        energy[o,i] = sum_k W'[o,i,k]^2
 *
 * The functions keep no state, allocate nothing, copy nothing and do not wait, so a launch can be captured into a CUDA
 * graph; the table is copied into the launch and may be freed when the call returns. They may be called from any thread.
 * The device to which `stream` belongs must be current.
 */
#ifndef HYPERSTYLE_MODULATE_H
#define HYPERSTYLE_MODULATE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define HYPERSTYLE_API __attribute__((visibility("default")))
#elif defined(_WIN32)
#define HYPERSTYLE_API __declspec(dllexport)
#else
#define HYPERSTYLE_API
#endif

/* Changes whenever a struct, a code or the meaning of an argument does. */
#define HYPERSTYLE_MODULATE_ABI 1
/* Layers of one table. The generator for 1024x1024 has 26. */
#define HYPERSTYLE_MODULATE_MAX_LAYERS 32
/* Taps of a kernel (k * k). */
#define HYPERSTYLE_MODULATE_MAX_TAPS 2304

enum HyperstyleDtype { HYPERSTYLE_FLOAT32 = 0, HYPERSTYLE_FLOAT16 = 1, HYPERSTYLE_BFLOAT16 = 2 };

enum HyperstyleOffset {
  HYPERSTYLE_OFFSET_NONE = 0,    /* the layer is not tuned: W' = scale * W */
  HYPERSTYLE_OFFSET_CHANNEL = 1, /* [out, in], the same for all taps */
  HYPERSTYLE_OFFSET_FULL = 2     /* [out, in, taps] */
};

/* What a call returns besides 0, success, and the positive codes, which are CUDA's (cudaError_t). */
enum HyperstyleTableError {
  HYPERSTYLE_BAD_TABLE = -1,     /* no table, or not 1 to HYPERSTYLE_MODULATE_MAX_LAYERS layers */
  HYPERSTYLE_BAD_DTYPE = -2,     /* unknown, or offsets neither of the weights' dtype nor float32 */
  HYPERSTYLE_BAD_SHAPE = -3,     /* a size is not positive, pairs of channels are 2^31 or more, or taps too many */
  HYPERSTYLE_BAD_OFFSET = -4,    /* unknown kind of offset, or an offset pointer that does not go with it */
  HYPERSTYLE_BAD_POINTER = -5,   /* base or weight is null */
  HYPERSTYLE_BAD_ALIGNMENT = -6, /* a pointer is not a multiple of its element's size */
  HYPERSTYLE_BAD_OVERLAP = -7,   /* a layer's weight or energy overlaps another array of that layer */
  HYPERSTYLE_BAD_SCALE = -8,     /* Inf or NaN */
  HYPERSTYLE_TOO_LARGE = -9      /* more blocks than a launch may have */
};

/* One layer; device pointers to dense arrays. Pointers that are multiples of 16 bytes make 16-byte accesses possible. */
typedef struct HyperstyleLayer {
  const void* base;     /* W: [out, in, taps]; transposed: [in, out, taps] */
  const void* offset;   /* [out, in] or [out, in, taps], transposed or not; null if offset_kind is NONE */
  void* weight;         /* W', written: shape and dtype of base */
  float* energy;        /* written: [out, in]; transposed: [in, out]; null: not wanted */
  int32_t out_channels;
  int32_t in_channels;
  int32_t taps;         /* k * k */
  int32_t offset_kind;  /* enum HyperstyleOffset */
  int32_t transposed;   /* not 0: base, weight and energy have their first two axes exchanged (up-convolutions) */
  float scale;
} HyperstyleLayer;

/* HYPERSTYLE_MODULATE_ABI of the library. */
HYPERSTYLE_API int hyperstyle_modulate_abi(void);

/* Check a table without touching CUDA. `dtype` is that of base and weight; `offset_dtype` the same or float32.
 * Returns 0 or an enum HyperstyleTableError; *layer is then the index of the layer at fault, -1 if it is none of them. */
HYPERSTYLE_API int hyperstyle_modulate_check(const HyperstyleLayer* layers, int count, int dtype, int offset_dtype,
                                             int* layer);

/* Check the table, then launch on `stream` (a cudaStream_t; null is the default stream). Arithmetic is in float32; the
 * energies are those of the weights as written. Returns 0, an enum HyperstyleTableError, or a cudaError_t. */
HYPERSTYLE_API int hyperstyle_modulate(const HyperstyleLayer* layers, int count, int dtype, int offset_dtype,
                                       void* stream);

/* What a code means; a constant string. */
HYPERSTYLE_API const char* hyperstyle_modulate_error(int code);

#ifdef __cplusplus
}
#endif

#endif
