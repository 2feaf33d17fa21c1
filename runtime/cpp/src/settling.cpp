#include "settling.hpp"

#include <algorithm>
#include <cmath>

#include "hyperstyle_deploy/errors.hpp"
#include "text.hpp"

namespace hyperstyle {
namespace {

const std::string loss_prefix = "loss.";

// What of a photo's losses and of the lengths of its gradients is not finite, by name.
std::string unusable(Backend& backend, const Method& method, const State& state, const Losses& losses) {
  for (const std::string& term : method.losses()) {
    const auto loss = losses.find(term);
    if (loss != losses.end() && !std::isfinite(loss->second)) return term;
  }
  const auto norms = state.find("norms");
  if (norms == state.end()) return "";
  const Array lengths = backend.download(norms->second);
  const auto* const numbers = static_cast<const float*>(lengths.data);
  const std::vector<std::string> names = method.gradient_tensors();
  for (std::size_t at = 0; at < names.size(); ++at) {
    if (!std::isfinite(numbers[at])) return "the gradient of " + names[at];
  }
  return "";
}

}  // namespace

Figures figures_of(Backend& backend, const Method& method, const Step& step) {
  Figures figures;
  if (step.errors.data != nullptr) figures.errors = backend.download(step.errors);
  for (const State& state : step.states) {
    Losses losses;
    for (const auto& [name, array] : state) {
      if (name.rfind(loss_prefix, 0) != 0) continue;
      losses[name.substr(loss_prefix.size())] = *static_cast<const float*>(backend.download(array).data);
    }
    figures.unusable.push_back(unusable(backend, method, state, losses));
    figures.losses.push_back(std::move(losses));
  }
  return figures;
}

Settling::Settling(const Method& method, std::int64_t photos, std::optional<double> until_gain)
    : method_(method), until_gain_(until_gain), outcomes_(static_cast<std::size_t>(photos)), best_(outcomes_.size()) {
  if (until_gain && !(*until_gain >= 0 && *until_gain < 1)) {
    throw ArrayError(
        Message("until_gain is out of range").got(std::to_string(*until_gain)).expected("0 or more, and less than 1"));
  }
}

bool Settling::take(const std::shared_ptr<const Step>& step, const Figures& figures) {
  for (std::size_t photo = 0; photo < outcomes_.size(); ++photo) {
    if (stopped_.count(photo) > 0) continue;
    if (usable(*step, figures, photo)) note(step, figures, photo);
    if (!outcomes_[photo].failure.empty()) go_back(photo);
  }
  return stopped_.size() < outcomes_.size();
}

void Settling::note(const std::shared_ptr<const Step>& step, const Figures& figures, std::size_t photo) {
  const std::shared_ptr<const Step> before = std::exchange(outcomes_[photo].step, step);
  const Losses& losses = figures.losses[photo];
  if (figures.l2() != nullptr) {
    std::vector<double>& l2 = outcomes_[photo].l2;
    l2.push_back(figures.l2()[photo]);
    if (!losses.empty() && l2.back() <= *std::min_element(l2.begin(), l2.end())) best_[photo] = step;
    stop_if_settled(photo, before);
  }
  if (!losses.empty() && method_.enough(losses)) stopped_.insert(photo);
}

// Make the best state the result: those before a failure may have run away.
void Settling::go_back(std::size_t photo) {
  if (best_[photo] == nullptr) return;
  outcomes_[photo].step = best_[photo];
  outcomes_[photo].l2.resize(static_cast<std::size_t>(best_[photo]->index) + 1);
}

// Whether a state may be a photo's result; without a finite gradient it is its last one.
bool Settling::usable(const Step& step, const Figures& figures, std::size_t photo) {
  const std::string& wrong = figures.unusable[photo];
  if (wrong.empty()) return true;
  stopped_.insert(photo);
  const std::string failure = outcomes_[photo].failure =
      "step " + std::to_string(step.index) + ": " + wrong + " is not finite";
  const Losses& losses = figures.losses[photo];
  const bool finite =
      std::all_of(losses.begin(), losses.end(), [](const auto& loss) { return std::isfinite(loss.second); });
  if (step.index == 0 && !finite) {
    throw OptimisationError(Message("The optimisation cannot start")
                                .got(failure)
                                .expected("finite numbers")
                                .hint("Look at the bundle with: hyperstyle-deploy verify"));
  }
  return finite;
}

void Settling::stop_if_settled(std::size_t photo, const std::shared_ptr<const Step>& before) {
  Outcome& outcome = outcomes_[photo];
  if (!until_gain_ || before == nullptr) return;
  const double last = outcome.l2[outcome.l2.size() - 2], now = outcome.l2.back();
  if (!(last - now < *until_gain_ * last)) return;
  stopped_.insert(photo);
  if (now > last) {
    outcome.l2.pop_back();
    outcome.step = before;
  }
}

}  // namespace hyperstyle
