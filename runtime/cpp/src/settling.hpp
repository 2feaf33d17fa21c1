// Photos that stop early: which of a batch go on refining, and which step is the result of each.
#ifndef HYPERSTYLE_DEPLOY_SETTLING_HPP
#define HYPERSTYLE_DEPLOY_SETTLING_HPP

#include <memory>
#include <optional>
#include <vector>

#include "loop.hpp"

namespace hyperstyle {

// Follows a batch through the loop; without `until_gain` every photo takes every step. A photo stops after a step that
// brought its L2 down by less than `until_gain`, relative to what it was before. Its result is the last step, or the
// one before if L2 rose. Where there is no L2, nothing stops early.
class Settling {
 public:
  // What a photo ends with; `l2` is empty where there is none.
  struct Outcome {
    std::shared_ptr<const Step> step;
    std::vector<double> l2;
  };

  // Throws ArrayError: `until_gain` is not from 0 to below 1.
  Settling(std::int64_t photos, std::optional<double> until_gain);

  // Note a step and its L2 of every photo (null: there is none); returns whether any photo goes on.
  bool take(const std::shared_ptr<const Step>& step, const double* errors);
  const Stopped& stopped() const { return stopped_; }
  const std::vector<Outcome>& outcomes() const { return outcomes_; }

 private:
  const std::optional<double> until_gain_;
  Stopped stopped_;
  std::vector<Outcome> outcomes_;
};

}  // namespace hyperstyle

#endif
