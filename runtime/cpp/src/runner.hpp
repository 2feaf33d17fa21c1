// What a session holds: its bundle, the method that runs on it, a backend, and the default number of steps.
#ifndef HYPERSTYLE_DEPLOY_RUNNER_HPP
#define HYPERSTYLE_DEPLOY_RUNNER_HPP

#include <memory>

#include "methods/method.hpp"

namespace hyperstyle {

class Runner {
 public:
  Runner(const Bundle& bundle, const Options& options);

  const Bundle bundle;
  const std::unique_ptr<const Method> method;
  const std::vector<StateSpec> state;  // what inversions keep
  const int steps;
  const std::unique_ptr<Backend> backend;
};

}  // namespace hyperstyle

#endif
