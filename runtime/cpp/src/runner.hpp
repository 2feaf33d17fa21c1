// What a session holds: its bundle's manifest, a backend, and the default number of steps.
#ifndef HYPERSTYLE_DEPLOY_RUNNER_HPP
#define HYPERSTYLE_DEPLOY_RUNNER_HPP

#include <memory>

#include "backends/backend.hpp"

namespace hyperstyle {

class Runner {
 public:
  Runner(const Bundle& bundle, const Options& options);

  const Bundle bundle;
  const std::int64_t steps;
  const std::unique_ptr<Backend> backend;
};

}  // namespace hyperstyle

#endif
