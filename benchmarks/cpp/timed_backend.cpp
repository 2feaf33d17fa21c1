#include "timed_backend.hpp"

#include <chrono>

namespace hyperstyle {
namespace {

template <typename Stage>
auto timed(double& seconds, const Stage& stage) {
  const double start = now();
  auto result = stage();
  seconds += now() - start;
  return result;
}

}  // namespace

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Array TimedBackend::encode(const Array& image) {
  return timed(seconds_, [&] { return inner_.encode(image); });
}

Array TimedBackend::predict(const Array& image, const Array& reconstruction) {
  return timed(seconds_, [&] { return inner_.predict(image, reconstruction); });
}

Weights TimedBackend::tune(const Array& offset_codes, int steps) {
  return timed(seconds_, [&] { return inner_.tune(offset_codes, steps); });
}

std::pair<Array, Array> TimedBackend::synthesize(const Array& codes, const Weights& weights) {
  return timed(seconds_, [&] { return inner_.synthesize(codes, weights); });
}

}  // namespace hyperstyle
