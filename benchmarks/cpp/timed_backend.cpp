#include "timed_backend.hpp"

#include <chrono>

namespace hyperstyle {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

Arrays TimedBackend::run(const std::string& graph, const Arrays& inputs) {
  const double start = now();
  Arrays outputs = inner_.run(graph, inputs);
  seconds_ += now() - start;
  return outputs;
}

}  // namespace hyperstyle
