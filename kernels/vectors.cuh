// Numbers in three dtypes, one by one and in 16-byte vectors, to and from float32 registers.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>

#include "table.h"

namespace hyperstyle {

// A 16-byte vector is four words, of one float or two 16-bit numbers each, the first in the lower half. Vectors stay in
// this form until they are used: taken apart at once they would make the thread wait for a load before the next one.
template <class T>
__device__ __forceinline__ void expand(uint32_t word, float* values);
template <>
__device__ __forceinline__ void expand<float>(uint32_t word, float* values) {
  values[0] = __uint_as_float(word);
}
template <>
__device__ __forceinline__ void expand<__half>(uint32_t word, float* values) {
  __half2 pair;
  memcpy(&pair, &word, sizeof(word));
  const float2 both = __half22float2(pair);
  values[0] = both.x, values[1] = both.y;
}
template <>
__device__ __forceinline__ void expand<__nv_bfloat16>(uint32_t word, float* values) {
  values[0] = __uint_as_float(word << 16), values[1] = __uint_as_float(word & 0xffff0000u);
}

// To nearest, ties to even.
template <class T>
__device__ __forceinline__ uint32_t compress(const float* values);
template <>
__device__ __forceinline__ uint32_t compress<float>(const float* values) {
  return __float_as_uint(values[0]);
}
template <>
__device__ __forceinline__ uint32_t compress<__half>(const float* values) {
  const __half2 pair = __floats2half2_rn(values[0], values[1]);
  uint32_t word;
  memcpy(&word, &pair, sizeof(word));
  return word;
}
template <>
__device__ __forceinline__ uint32_t compress<__nv_bfloat16>(const float* values) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(values[0], values[1]);
  uint32_t word;
  memcpy(&word, &pair, sizeof(word));
  return word;
}

__device__ __forceinline__ float to_float(float value) { return value; }
__device__ __forceinline__ float to_float(__half value) { return __half2float(value); }
__device__ __forceinline__ float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }

template <class T>
__device__ __forceinline__ T round_to(float value);
template <>
__device__ __forceinline__ float round_to<float>(float value) {
  return value;
}
template <>
__device__ __forceinline__ __half round_to<__half>(float value) {
  return __float2half_rn(value);
}
template <>
__device__ __forceinline__ __nv_bfloat16 round_to<__nv_bfloat16>(float value) {
  return __float2bfloat16_rn(value);
}

// N elements: one 16-byte vector, or two where offsets are wider than the weights.
template <class T, int N>
struct Pack {
  static constexpr int kWords = N * static_cast<int>(sizeof(T)) / 4;
  uint32_t words[kWords];
};

// Every input byte is read once, so it is marked as the first to leave the cache: the weights, which the convolutions
// read next, then stay there.
template <class T, int N>
__device__ __forceinline__ Pack<T, N> load(const T* from) {
  Pack<T, N> pack;
#pragma unroll
  for (int i = 0; i < Pack<T, N>::kWords; i += 4) {
    const uint4 four = __ldcs(reinterpret_cast<const uint4*>(from) + i / 4);
    pack.words[i] = four.x, pack.words[i + 1] = four.y, pack.words[i + 2] = four.z, pack.words[i + 3] = four.w;
  }
  return pack;
}

template <class T, int N>
__device__ __forceinline__ void store(T* to, const Pack<T, N>& pack) {
  static_assert(Pack<T, N>::kWords == 4, "one vector");
  *reinterpret_cast<uint4*>(to) = make_uint4(pack.words[0], pack.words[1], pack.words[2], pack.words[3]);
}

template <class T, int N>
__device__ __forceinline__ void expand(const Pack<T, N>& pack, float (&values)[N]) {
#pragma unroll
  for (int i = 0; i < Pack<T, N>::kWords; ++i) expand<T>(pack.words[i], values + i * 4 / sizeof(T));
}

template <class T, int N>
__device__ __forceinline__ Pack<T, N> compress(const float (&values)[N]) {
  Pack<T, N> pack;
#pragma unroll
  for (int i = 0; i < Pack<T, N>::kWords; ++i) pack.words[i] = compress<T>(values + i * 4 / sizeof(T));
  return pack;
}

// N floats in shared memory, four at a time.
template <int N>
__device__ __forceinline__ void load_stage(const float* from, float (&to)[N]) {
#pragma unroll
  for (int i = 0; i < N; i += 4) {
    const float4 four = *reinterpret_cast<const float4*>(from + i);
    to[i] = four.x, to[i + 1] = four.y, to[i + 2] = four.z, to[i + 3] = four.w;
  }
}

template <int N>
__device__ __forceinline__ void store_stage(float* to, const float (&from)[N]) {
#pragma unroll
  for (int i = 0; i < N; i += 4)
    *reinterpret_cast<float4*>(to + i) = make_float4(from[i], from[i + 1], from[i + 2], from[i + 3]);
}

}  // namespace hyperstyle
