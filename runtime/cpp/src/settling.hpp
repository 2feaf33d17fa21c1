// Photos that stop early: which of a batch go on refining, and which step is the result of each.
#ifndef HYPERSTYLE_DEPLOY_SETTLING_HPP
#define HYPERSTYLE_DEPLOY_SETTLING_HPP

#include <memory>
#include <optional>
#include <vector>

#include "loop.hpp"

namespace hyperstyle {

// What a step says of itself, on the host.
struct Figures {
  Array errors;                       // the loop's L2 [B] float64; no data where there is none
  std::vector<Losses> losses;         // of every photo; empty but of an optimisation
  std::vector<std::string> unusable;  // what of a photo's losses and gradients is not finite; empty if all are

  const double* l2() const { return static_cast<const double*>(errors.data); }
};

Figures figures_of(Backend& backend, const Method& method, const Step& step);

// Follows a batch through the loop; without `until_gain` every photo takes every step. A photo stops after a step that
// brought its L2 down by less than `until_gain`, relative to what it was before. Its result is the last step, or the
// one before if L2 rose. Where there is no L2, nothing stops early. A photo also stops where the method says that its
// losses are low enough, and where a loss or a gradient is not finite: its result is the state so far with the least L2.
class Settling {
 public:
  // What a photo ends with; `l2` is empty where there is none, `failure` says what was not finite.
  struct Outcome {
    std::shared_ptr<const Step> step;
    std::vector<double> l2;
    std::string failure;
  };

  // Throws ArrayError: `until_gain` is not from 0 to below 1.
  Settling(const Method& method, std::int64_t photos, std::optional<double> until_gain);

  // Note a step; returns whether any photo goes on. Throws OptimisationError: a loss is not finite before any step.
  bool take(const std::shared_ptr<const Step>& step, const Figures& figures);
  const Stopped& stopped() const { return stopped_; }
  const std::vector<Outcome>& outcomes() const { return outcomes_; }

 private:
  bool usable(const Step& step, const Figures& figures, std::size_t photo);
  void note(const std::shared_ptr<const Step>& step, const Figures& figures, std::size_t photo);
  void go_back(std::size_t photo);
  void stop_if_settled(std::size_t photo, const std::shared_ptr<const Step>& before);

  const Method& method_;
  const std::optional<double> until_gain_;
  Stopped stopped_;
  std::vector<Outcome> outcomes_;
  std::vector<std::shared_ptr<const Step>> best_;  // of every photo; none but of an optimisation
};

}  // namespace hyperstyle

#endif
