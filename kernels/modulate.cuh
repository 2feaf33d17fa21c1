// The kernel: every block takes one tile of one layer, and every byte moves once.
//
//   1. Base weights, and offsets that lie in the same order, are loaded into registers, all loads before the first use.
//   2. Offsets in another order go through shared memory, from where they are read in the order of the weights.
//   3. Tuned weights are written from registers, and their values go to shared memory.
//   4. One thread per pair of channels sums the squares of its taps and writes the energy.
#pragma once

#include "vectors.cuh"

namespace hyperstyle {

// Blocks that a multiprocessor must have registers for. The architectures with HBM need the most bytes under way, and
// have the shared memory for it.
#if defined(__CUDA_ARCH__) && (__CUDA_ARCH__ == 800 || __CUDA_ARCH__ == 900 || __CUDA_ARCH__ == 1000)
constexpr int kBlocks = 6;
#else
constexpr int kBlocks = 4;
#endif

// floor(n / d) for n and d up to 4608, with inverse = floor(2^31 / d): the half added to n outweighs what was cut off.
__device__ __forceinline__ uint32_t quotient(uint32_t n, uint32_t inverse) { return __umulhi(2 * n + 1, inverse); }

// What one block does: `rows` x `cols` pairs of channels, and where they start. Inside a tile 32 bits number everything.
struct Tile {
  uint32_t rows, cols;
  int64_t pair;    // in the order of the weights, [rows, cols] of the layer
  int64_t offset;  // the same pair in the order of the offsets, [cols, rows]
};

__device__ __forceinline__ Tile find_tile(const Layer& layer, uint32_t index) {
  const uint32_t down = layer.rows > 1 ? index / layer.tiles_across : 0;
  const uint32_t row = down * layer.tile_rows, col = (index - down * layer.tiles_across) * layer.tile_cols;
  return {min(layer.tile_rows, layer.rows - row), min(layer.tile_cols, layer.cols - col),
          static_cast<int64_t>(row) * layer.cols + col, static_cast<int64_t>(col) * layer.rows + row};
}

// Where `N` elements lie; the first is number `element` of a tile that is not cut, counted in the order of its array.
struct Place {
  bool inside;      // of this tile
  uint32_t memory;  // from the tile's start
  uint32_t stage;   // in shared memory, which is in the order of the weights
};

__device__ __forceinline__ Place place_of(const Layer& layer, const Tile& tile, uint32_t element) {
  const uint32_t row = quotient(element, layer.inverse_row), rest = element - row * layer.tile_cols * layer.taps;
  return {row < tile.rows && rest < tile.cols * layer.taps, row * layer.cols * layer.taps + rest,
          row * layer.pitch + rest};
}

__device__ __forceinline__ Place offset_place_of(const Layer& layer, const Tile& tile, uint32_t element, uint32_t& tap) {
  const uint32_t col = quotient(element, layer.inverse_offset_row);
  const uint32_t rest = element - col * layer.tile_rows * layer.taps, row = quotient(rest, layer.inverse_taps);
  tap = rest - row * layer.taps;
  return {col < tile.cols && row < tile.rows, col * layer.rows * layer.taps + rest,
          row * layer.pitch + col * layer.taps + tap};
}

// N offsets of [out, in, taps], the first for `tap` and with its place at `stage`, to their places in [in, out, taps].
template <class O, int N>
__device__ __forceinline__ void scatter(const Layer& layer, const Pack<O, N>& offsets, uint32_t tap, float* stage) {
  float values[N];
  expand(offsets, values);
#pragma unroll
  for (int i = 0; i < N; ++i) {
    *stage = values[i];
    const bool last = ++tap == layer.taps;
    stage += last ? layer.pitch - layer.taps + 1 : 1;
    tap = last ? 0 : tap;
  }
}

// Offsets of a tile, [out, in], one copy for every tap.
template <class O>
__device__ __forceinline__ void repeat_offsets(const Layer& layer, const Tile& tile, const O* offsets, float* stage) {
  const uint32_t pairs = layer.tile_rows * layer.tile_cols;
#pragma unroll 1
  for (uint32_t first = threadIdx.x; first < pairs; first += kVectorsPerThread * kThreads) {
    O loaded[kVectorsPerThread];
#pragma unroll
    for (int k = 0; k < kVectorsPerThread; ++k) {
      const uint32_t i = first + k * kThreads, col = quotient(i, layer.inverse_offset_row);
      const uint32_t row = i - col * layer.tile_rows;
      if (col < tile.cols && row < tile.rows) loaded[k] = __ldcs(offsets + col * layer.rows + row);
    }
#pragma unroll
    for (int k = 0; k < kVectorsPerThread; ++k) {
      const uint32_t i = first + k * kThreads, col = quotient(i, layer.inverse_offset_row);
      const uint32_t row = i - col * layer.tile_rows;
      if (col < tile.cols && row < tile.rows) {
        float* at = stage + row * layer.pitch + col * layer.taps;
        const float offset = to_float(loaded[k]);
#pragma unroll 3
        for (uint32_t tap = 0; tap < layer.taps; ++tap) at[tap] = offset;
      }
    }
  }
}

// energy = sum of the squares of a pair's taps, which lie in shared memory.
__device__ __forceinline__ void write_energies(const Layer& layer, const Tile& tile, const float* stage) {
  float* energies = layer.energy + tile.pair;
#pragma unroll 1
  for (uint32_t i = threadIdx.x; i < layer.tile_rows * layer.tile_cols; i += kThreads) {
    const uint32_t row = quotient(i * layer.taps, layer.inverse_row), col = i - row * layer.tile_cols;
    if (row < tile.rows && col < tile.cols) {
      const float* weights = stage + row * layer.pitch + col * layer.taps;
      float energy = 0;
      if (layer.taps == 9) {
#pragma unroll
        for (int tap = 0; tap < 9; ++tap) energy = fmaf(weights[tap], weights[tap], energy);
      } else {
#pragma unroll 1
        for (uint32_t tap = 0; tap < layer.taps; ++tap) energy = fmaf(weights[tap], weights[tap], energy);
      }
      energies[row * layer.cols + col] = energy;
    }
  }
}

// W' = scale * W * (1 + offset), rounded to T. `values` comes as the offsets and leaves as W'.
template <class T, int N>
__device__ __forceinline__ Pack<T, N> tuned(const Pack<T, N>& base, float (&values)[N], float scale) {
  float weights[N];
  expand(base, weights);
#pragma unroll
  for (int i = 0; i < N; ++i) weights[i] *= fmaf(scale, values[i], scale);
  const Pack<T, N> rounded = compress<T, N>(weights);
  expand(rounded, values);
  return rounded;
}

// A tile of one row without offsets, or with offsets in the order of the weights.
template <class T, class O, int N>
__device__ __forceinline__ void tune_row(const Layer& layer, const Tile& tile, float* stage) {
  const T* base = static_cast<const T*>(layer.base) + tile.pair * layer.taps;
  const O* offset = static_cast<const O*>(layer.offset) + tile.pair * layer.taps;
  T* weight = static_cast<T*>(layer.weight) + tile.pair * layer.taps;
  const uint32_t count = tile.cols * layer.taps;
  Pack<T, N> weights[kVectorsPerThread];
  Pack<O, N> offsets[kVectorsPerThread] = {};
#pragma unroll
  for (int k = 0; k < kVectorsPerThread; ++k) {
    const uint32_t at = (threadIdx.x + k * kThreads) * N;
    if (at < count) weights[k] = load<T, N>(base + at);
    if (at < count && layer.source == Source::kDirect) offsets[k] = load<O, N>(offset + at);
  }
#pragma unroll
  for (int k = 0; k < kVectorsPerThread; ++k) {
    const uint32_t at = (threadIdx.x + k * kThreads) * N;
    if (at < count) {
      float values[N];
      expand(offsets[k], values);
      store<T, N>(weight + at, tuned<T, N>(weights[k], values, layer.scale));
      if (layer.energy != nullptr) store_stage<N>(stage + at, values);
    }
  }
}

// A tile whose offsets go through shared memory.
template <class T, class O, int N>
__device__ __forceinline__ void tune_matrix(const Layer& layer, const Tile& tile, float* stage) {
  const T* base = static_cast<const T*>(layer.base) + tile.pair * layer.taps;
  T* weight = static_cast<T*>(layer.weight) + tile.pair * layer.taps;
  Pack<T, N> weights[kVectorsPerThread];
#pragma unroll
  for (int k = 0; k < kVectorsPerThread; ++k) {
    const Place place = place_of(layer, tile, (threadIdx.x + k * kThreads) * N);
    if (place.inside) weights[k] = load<T, N>(base + place.memory);
  }
  if (layer.source == Source::kFull) {
    const O* offset = static_cast<const O*>(layer.offset) + tile.offset * layer.taps;
    Pack<O, N> offsets[kVectorsPerThread];
    uint32_t tap;
#pragma unroll
    for (int k = 0; k < kVectorsPerThread; ++k) {
      const Place place = offset_place_of(layer, tile, (threadIdx.x + k * kThreads) * N, tap);
      if (place.inside) offsets[k] = load<O, N>(offset + place.memory);
    }
#pragma unroll
    for (int k = 0; k < kVectorsPerThread; ++k) {
      const Place place = offset_place_of(layer, tile, (threadIdx.x + k * kThreads) * N, tap);
      if (place.inside) scatter<O, N>(layer, offsets[k], tap, stage + place.stage);
    }
  } else {
    repeat_offsets<O>(layer, tile, static_cast<const O*>(layer.offset) + tile.offset, stage);
  }
  __syncthreads();
#pragma unroll
  for (int k = 0; k < kVectorsPerThread; ++k) {
    const Place place = place_of(layer, tile, (threadIdx.x + k * kThreads) * N);
    if (place.inside) {
      float values[N];
      load_stage<N>(stage + place.stage, values);
      store<T, N>(weight + place.memory, tuned<T, N>(weights[k], values, layer.scale));
      // Over the elements' own offsets, which no other thread reads.
      if (layer.energy != nullptr) store_stage<N>(stage + place.stage, values);
    }
  }
}

// Any tile, element by element: unaligned arrays, and the edges of odd sizes.
template <class T, class O>
__device__ __forceinline__ void tune_elements(const Layer& layer, const Tile& tile, float* stage) {
  const T* base = static_cast<const T*>(layer.base) + tile.pair * layer.taps;
  const O* offset = static_cast<const O*>(layer.offset);
  T* weight = static_cast<T*>(layer.weight) + tile.pair * layer.taps;
  if (layer.source == Source::kChannel) {
    repeat_offsets<O>(layer, tile, offset + tile.offset, stage);
  } else if (layer.source != Source::kNone) {
    uint32_t tap;
#pragma unroll 1
    for (uint32_t i = threadIdx.x; i < kTileElements<T>; i += kThreads) {
      const Place place = offset_place_of(layer, tile, i, tap);
      if (place.inside) stage[place.stage] = to_float(__ldcs(offset + tile.offset * layer.taps + place.memory));
    }
  }
  __syncthreads();
#pragma unroll 1
  for (uint32_t i = threadIdx.x; i < kTileElements<T>; i += kThreads) {
    const Place place = place_of(layer, tile, i);
    if (place.inside) {
      const float gain = layer.source == Source::kNone ? layer.scale : fmaf(layer.scale, stage[place.stage], layer.scale);
      const T value = round_to<T>(gain * to_float(__ldcs(base + place.memory)));
      weight[place.memory] = value;
      stage[place.stage] = to_float(value);
    }
  }
}

template <class T, class O>
__global__ void __launch_bounds__(kThreads, kBlocks) modulate(const __grid_constant__ Table table) {
  alignas(kVectorBytes) __shared__ float stage[kTileElements<T> + kMaxPadding];
  uint32_t index = 0;  // the last layer whose first tile is not after this block's
#pragma unroll
  for (uint32_t step = kMaxLayers / 2; step > 0; step /= 2) {
    if (table.first_tile[index + step] <= blockIdx.x) index += step;
  }
  const Layer& layer = table.layers[index];
  const Tile tile = find_tile(layer, blockIdx.x - table.first_tile[index]);
  constexpr int kVector = kVectorBytes / static_cast<int>(sizeof(T));
  if (!layer.aligned || tile.cols * layer.taps % kVector != 0) {
    tune_elements<T, O>(layer, tile, stage);
  } else if (layer.source >= Source::kFull) {
    tune_matrix<T, O, kVector>(layer, tile, stage);
  } else {
    tune_row<T, O, kVector>(layer, tile, stage);
  }
  if (layer.energy != nullptr) {
    __syncthreads();
    write_energies(layer, tile, stage);
  }
}

}  // namespace hyperstyle
