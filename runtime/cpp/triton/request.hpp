// A request: what it asks for, and its answer.
#ifndef HYPERSTYLE_TRITON_REQUEST_HPP
#define HYPERSTYLE_TRITON_REQUEST_HPP

#include <optional>
#include <string>
#include <vector>

#include "calls.hpp"
#include "hyperstyle_deploy/image.hpp"
#include "hyperstyle_deploy/inversion.hpp"

namespace hyperstyle::triton {

// What photos have in common that go through the networks together.
struct Settings {
  int steps;
  std::optional<double> until_gain;

  bool operator<(const Settings& other) const {
    return steps != other.steps ? steps < other.steps : until_gain < other.until_gain;
  }
};

struct Asked {
  Settings settings;
  std::vector<Image> photos;
};

// Throws ArrayError and ImageError for what the client has wrong, CallError for what Triton does not give.
Asked read(TRITONBACKEND_Request* request);

bool is_cancelled(TRITONBACKEND_Request* request);

// A response with the outputs that the request names, of all its photos together, the batch first; not yet sent, and
// the caller's. Throws ArrayError where photos give different shapes, and CallError.
TRITONBACKEND_Response* response_of(TRITONBACKEND_Request* request, const std::vector<Inversion>& inversions);

}  // namespace hyperstyle::triton

#endif
