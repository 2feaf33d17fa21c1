// The C interface: checks the table, picks the kernel for the dtypes, launches it.
#include "modulate.h"

#include "modulate.cuh"

namespace {

using hyperstyle::Table;

static_assert(sizeof(HyperstyleLayer) == 56, "the interface's layout; a change needs a new HYPERSTYLE_MODULATE_ABI");

void (*kernel_for(int dtype, int offset_dtype))(Table) {
  const bool wide = offset_dtype == HYPERSTYLE_FLOAT32;
  switch (dtype) {
    case HYPERSTYLE_FLOAT16:
      return wide ? hyperstyle::modulate<__half, float> : hyperstyle::modulate<__half, __half>;
    case HYPERSTYLE_BFLOAT16:
      return wide ? hyperstyle::modulate<__nv_bfloat16, float> : hyperstyle::modulate<__nv_bfloat16, __nv_bfloat16>;
    default:
      return hyperstyle::modulate<float, float>;
  }
}

}  // namespace

int hyperstyle_modulate_abi(void) { return HYPERSTYLE_MODULATE_ABI; }

int hyperstyle_modulate_check(const HyperstyleLayer* layers, int count, int dtype, int offset_dtype, int* layer) {
  Table table;
  uint32_t blocks = 0;
  int fault = -1;
  const int error = hyperstyle::plan(layers, count, dtype, offset_dtype, table, blocks, fault);
  if (layer != nullptr) *layer = fault;
  return error;
}

int hyperstyle_modulate(const HyperstyleLayer* layers, int count, int dtype, int offset_dtype, void* stream) {
  Table table;
  uint32_t blocks = 0;
  int fault = -1;
  if (int error = hyperstyle::plan(layers, count, dtype, offset_dtype, table, blocks, fault)) return error;
  void* arguments[] = {&table};
  return cudaLaunchKernel(kernel_for(dtype, offset_dtype), dim3(blocks), dim3(hyperstyle::kThreads), arguments, 0,
                          static_cast<cudaStream_t>(stream));
}

const char* hyperstyle_modulate_error(int code) {
  switch (code) {
    case 0:
      return "no error";
    case HYPERSTYLE_BAD_TABLE:
      return "the table is missing, empty or too long";
    case HYPERSTYLE_BAD_DTYPE:
      return "the dtype is unknown, or the offsets are neither of the weights' dtype nor float32";
    case HYPERSTYLE_BAD_SHAPE:
      return "a size is not positive or too large";
    case HYPERSTYLE_BAD_OFFSET:
      return "the kind of offset is unknown, or does not go with its pointer";
    case HYPERSTYLE_BAD_POINTER:
      return "the pointer to the base or to the weight is null";
    case HYPERSTYLE_BAD_ALIGNMENT:
      return "a pointer is not a multiple of its element's size";
    case HYPERSTYLE_BAD_OVERLAP:
      return "the weight or the energy overlaps another array of the layer";
    case HYPERSTYLE_BAD_SCALE:
      return "the scale is Inf or NaN";
    case HYPERSTYLE_TOO_LARGE:
      return "the layers need more blocks than a launch may have";
    default:
      return code > 0 ? cudaGetErrorString(static_cast<cudaError_t>(code)) : "unknown code";
  }
}
