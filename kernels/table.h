// From the interface's layer table to the one that the kernel reads: checks, tiles, and which block does what.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "modulate.h"

namespace hyperstyle {

constexpr int kMaxLayers = HYPERSTYLE_MODULATE_MAX_LAYERS;

// A block's threads, and the 16-byte vectors that each takes of the weights: 576 vectors, which is a whole number of pairs
// of channels with 9 taps in every dtype. Each thread has the loads of all its vectors under way at once.
constexpr int kThreads = 192;
constexpr int kVectorsPerThread = 3;
constexpr int kVectorBytes = 16;

// Elements of a tile: 2304 in float32 (256 pairs of channels with 9 taps), 4608 in 16 bits (512 pairs).
constexpr int tile_elements(size_t element_bytes) {
  return kThreads * kVectorsPerThread * kVectorBytes / static_cast<int>(element_bytes);
}
template <class T>
constexpr int kTileElements = tile_elements(sizeof(T));

// Floats between the rows of a tile in shared memory: of all multiples of 4, the one at which offsets of 9 taps are
// scattered with the fewest bank conflicts (2.1 wavefronts an access in 16 bits, 2.7 in float32).
constexpr int kRowPadding = 20;
constexpr int kMaxPadding = 16 * kRowPadding;

static_assert(HYPERSTYLE_MODULATE_MAX_TAPS == tile_elements(sizeof(float)), "one kernel must fit into a tile");

enum class Source : uint8_t {
  kNone,     // not tuned
  kDirect,   // one offset per element, in the order of the weights
  kFull,     // one per element, in another order: through shared memory
  kChannel,  // one per pair of channels: through shared memory
};

// A layer as a matrix of pairs of channels in the weights' own order, cut into tiles. Only an offset in another order
// needs two dimensions; everything else is one row.
struct Layer {
  const void* base;
  const void* offset;
  void* weight;
  float* energy;
  uint32_t rows, cols;            // pairs: 1 x (out * in), or in x out
  uint32_t tile_rows, tile_cols;  // pairs of a tile; those at the edges are cut
  uint32_t tiles_across;
  uint32_t taps;
  uint32_t pitch;                 // floats from one row of a tile to the next in shared memory
  uint32_t inverse_taps, inverse_row, inverse_offset_row;  // see quotient() in modulate.cuh
  float scale;
  Source source;
  bool aligned;                   // every tile starts at, and every row continues at, a multiple of 16 bytes
};

// Goes by value into the launch: nothing has to be uploaded, and a CUDA graph carries it.
struct Table {
  Layer layers[kMaxLayers];
  uint32_t first_tile[kMaxLayers];  // of each layer; UINT32_MAX after the last
};
static_assert(sizeof(Table) <= 4096, "kernel parameters before CUDA 12.1 and sm_70");

inline size_t element_bytes(int dtype) { return dtype == HYPERSTYLE_FLOAT32 ? 4 : 2; }

inline uint32_t at_most(uint64_t value, uint64_t limit) { return static_cast<uint32_t>(value < limit ? value : limit); }

// Largest multiple of 8 up to `value`, so that tiles begin at multiples of 16 bytes; `value` itself below 8, at least 1.
inline uint32_t whole(uint32_t value) { return value >= 8 ? value / 8 * 8 : (value > 0 ? value : 1); }

inline uint32_t inverse(uint32_t divisor) { return (1u << 31) / divisor; }

inline uint64_t tiles_of(const Layer& layer) {
  uint64_t down = (static_cast<uint64_t>(layer.rows) + layer.tile_rows - 1) / layer.tile_rows;
  return down * layer.tiles_across;
}

inline bool misaligned(const void* pointer, size_t bytes) { return reinterpret_cast<uintptr_t>(pointer) % bytes != 0; }

inline bool overlap(const void* a, uint64_t a_bytes, const void* b, uint64_t b_bytes) {
  auto first = reinterpret_cast<uintptr_t>(a), second = reinterpret_cast<uintptr_t>(b);
  return a != nullptr && b != nullptr && first < second + b_bytes && second < first + a_bytes;
}

inline int check_layer(const HyperstyleLayer& in, int dtype, int offset_dtype) {
  if (in.out_channels < 1 || in.in_channels < 1 || in.taps < 1 || in.taps > HYPERSTYLE_MODULATE_MAX_TAPS)
    return HYPERSTYLE_BAD_SHAPE;
  const uint64_t pairs = static_cast<uint64_t>(in.out_channels) * in.in_channels, elements = pairs * in.taps;
  if (pairs > INT32_MAX) return HYPERSTYLE_BAD_SHAPE;
  if (in.offset_kind < HYPERSTYLE_OFFSET_NONE || in.offset_kind > HYPERSTYLE_OFFSET_FULL) return HYPERSTYLE_BAD_OFFSET;
  if ((in.offset_kind == HYPERSTYLE_OFFSET_NONE) != (in.offset == nullptr)) return HYPERSTYLE_BAD_OFFSET;
  if (in.base == nullptr || in.weight == nullptr) return HYPERSTYLE_BAD_POINTER;
  const size_t bytes = element_bytes(dtype), offset_bytes = element_bytes(offset_dtype);
  if (misaligned(in.base, bytes) || misaligned(in.weight, bytes) || misaligned(in.offset, offset_bytes) ||
      misaligned(in.energy, sizeof(float)))
    return HYPERSTYLE_BAD_ALIGNMENT;
  const uint64_t offsets = in.offset_kind == HYPERSTYLE_OFFSET_FULL ? elements : pairs;
  const uint64_t weight_size = elements * bytes, offset_size = offsets * offset_bytes, energy_size = pairs * sizeof(float);
  if (overlap(in.weight, weight_size, in.base, weight_size) ||
      overlap(in.weight, weight_size, in.offset, offset_size) ||
      overlap(in.weight, weight_size, in.energy, energy_size) ||
      overlap(in.energy, energy_size, in.base, weight_size) || overlap(in.energy, energy_size, in.offset, offset_size))
    return HYPERSTYLE_BAD_OVERLAP;
  return std::isfinite(in.scale) ? 0 : HYPERSTYLE_BAD_SCALE;
}

// Rows and columns of a tile. In two dimensions a row of the weights and a row of the offsets are both contiguous runs,
// of 16 or 32 and of 16 kernels if these have 9 taps: 288 bytes at least, whole 32-byte sectors.
inline void cut(Layer& layer, int capacity, size_t bytes) {
  const uint32_t pairs = static_cast<uint32_t>(capacity) / layer.taps;
  if (layer.rows == 1) {
    layer.tile_rows = 1;
    layer.tile_cols = whole(pairs);
  } else {
    layer.tile_cols = whole(at_most(pairs, 64 / bytes));
    layer.tile_rows = whole(pairs / layer.tile_cols);
  }
  layer.tiles_across = (layer.cols + layer.tile_cols - 1) / layer.tile_cols;
}

inline Layer plan_layer(const HyperstyleLayer& in, int dtype) {
  const bool tuned = in.offset_kind != HYPERSTYLE_OFFSET_NONE;
  const bool channel = in.offset_kind == HYPERSTYLE_OFFSET_CHANNEL && in.taps > 1;
  const bool turned = tuned && in.transposed != 0 && in.in_channels > 1 && in.out_channels > 1;
  const uint32_t out = in.out_channels, fan_in = in.in_channels;
  const uint32_t vector = kVectorBytes / static_cast<uint32_t>(element_bytes(dtype));
  Layer layer{};
  layer.base = in.base, layer.offset = in.offset, layer.weight = in.weight, layer.energy = in.energy;
  layer.rows = turned ? fan_in : 1;
  layer.cols = turned ? out : out * fan_in;
  layer.taps = in.taps;
  layer.scale = in.scale;
  layer.source = !tuned ? Source::kNone : channel ? Source::kChannel : turned ? Source::kFull : Source::kDirect;
  cut(layer, tile_elements(element_bytes(dtype)), element_bytes(dtype));
  const uint32_t row = layer.tile_cols * layer.taps, offset_row = layer.tile_rows * (channel ? 1 : layer.taps);
  layer.pitch = row + (layer.tile_rows * kRowPadding <= kMaxPadding ? kRowPadding : 0);
  layer.inverse_taps = inverse(layer.taps), layer.inverse_row = inverse(row);
  layer.inverse_offset_row = inverse(offset_row);
  const bool full = tuned && !channel;
  layer.aligned = !misaligned(in.base, kVectorBytes) && !misaligned(in.weight, kVectorBytes) && row % vector == 0 &&
                  (!full || !misaligned(in.offset, kVectorBytes)) &&
                  (!turned || static_cast<uint64_t>(layer.cols) * layer.taps % vector == 0) &&
                  (layer.source != Source::kFull ||
                   (offset_row % vector == 0 && static_cast<uint64_t>(layer.rows) * layer.taps % vector == 0));
  return layer;
}

// Whether 32 bits number what a tile of this layer reads and writes, from the tile's start.
inline bool fits(const Layer& layer) {
  const uint64_t weights = static_cast<uint64_t>(layer.tile_rows) * layer.cols * layer.taps;
  const uint64_t offsets = static_cast<uint64_t>(layer.tile_cols) * layer.rows * layer.taps;
  return layer.rows == 1 || (weights <= UINT32_MAX && offsets <= UINT32_MAX);
}

// Checks `layers` and fills `table` and `blocks`. Returns 0 or an enum HyperstyleTableError and the layer at fault.
inline int plan(const HyperstyleLayer* layers, int count, int dtype, int offset_dtype, Table& table, uint32_t& blocks,
                int& fault) {
  fault = -1;
  if (layers == nullptr || count < 1 || count > kMaxLayers) return HYPERSTYLE_BAD_TABLE;
  if (dtype < HYPERSTYLE_FLOAT32 || dtype > HYPERSTYLE_BFLOAT16) return HYPERSTYLE_BAD_DTYPE;
  if (offset_dtype != dtype && offset_dtype != HYPERSTYLE_FLOAT32) return HYPERSTYLE_BAD_DTYPE;
  uint64_t tiles = 0;
  for (int i = 0; i < kMaxLayers; ++i) table.first_tile[i] = UINT32_MAX;
  for (fault = 0; fault < count; ++fault) {
    if (int error = check_layer(layers[fault], dtype, offset_dtype)) return error;
    table.layers[fault] = plan_layer(layers[fault], dtype);
    if (!fits(table.layers[fault])) return HYPERSTYLE_BAD_SHAPE;
    table.first_tile[fault] = static_cast<uint32_t>(tiles);
    tiles += tiles_of(table.layers[fault]);
    if (tiles > INT32_MAX) return HYPERSTYLE_TOO_LARGE;
  }
  fault = -1;
  blocks = static_cast<uint32_t>(tiles);
  return 0;
}

}  // namespace hyperstyle
