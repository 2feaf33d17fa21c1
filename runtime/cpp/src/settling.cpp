#include "settling.hpp"

#include "hyperstyle_deploy/errors.hpp"
#include "text.hpp"

namespace hyperstyle {

Settling::Settling(std::int64_t photos, std::optional<double> until_gain)
    : until_gain_(until_gain), outcomes_(static_cast<std::size_t>(photos)) {
  if (until_gain && !(*until_gain >= 0 && *until_gain < 1)) {
    throw ArrayError(
        Message("until_gain is out of range").got(std::to_string(*until_gain)).expected("0 or more, and less than 1"));
  }
}

bool Settling::take(const std::shared_ptr<const Step>& step, const double* errors) {
  for (std::size_t photo = 0; photo < outcomes_.size(); ++photo) {
    if (stopped_.count(photo) > 0) continue;
    Outcome& outcome = outcomes_[photo];
    const std::shared_ptr<const Step> before = std::exchange(outcome.step, step);
    if (errors == nullptr) continue;
    outcome.l2.push_back(errors[photo]);
    if (!until_gain_ || before == nullptr) continue;
    const double last = outcome.l2[outcome.l2.size() - 2], now = outcome.l2.back();
    if (!(last - now < *until_gain_ * last)) continue;
    stopped_.insert(photo);
    if (now > last) {
      outcome.l2.pop_back();
      outcome.step = before;
    }
  }
  return stopped_.size() < outcomes_.size();
}

}  // namespace hyperstyle
