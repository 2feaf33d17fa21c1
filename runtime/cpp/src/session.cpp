#include "hyperstyle_deploy/session.hpp"

#include <algorithm>
#include <cmath>

#include "directions.hpp"
#include "drawing.hpp"
#include "hyperstyle_deploy/errors.hpp"
#include "images.hpp"
#include "kept.hpp"
#include "settling.hpp"
#include "text.hpp"

namespace hyperstyle {
namespace {

int checked_steps(const Method& method, std::int64_t steps, std::int64_t otherwise) {
  const std::int64_t chosen = steps == default_steps ? otherwise : steps;
  if (chosen < 0 || chosen > max_steps) {
    throw ArrayError(
        Message("steps is out of range").got(std::to_string(chosen)).expected("0 to " + std::to_string(max_steps)));
  }
  if (chosen > 0 && !method.refines()) {
    throw ArrayError(Message("The method takes no refinement steps").got(std::to_string(chosen)).expected("0"));
  }
  return static_cast<int>(chosen);
}

const Options& checked(const Options& options) {
  if (options.threads < 0) {
    throw ArrayError(Message("threads is out of range").got(std::to_string(options.threads)).expected("1 or more"));
  }
  return options;
}

// A GPU's kernels make pixels of NaN. It shows in L2, or where there is none, in the difference of a drawing from
// itself.
void check_numbers(Backend& backend, const Settling::Outcome& outcome, std::size_t photo) {
  double error = outcome.l2.empty() ? 0 : outcome.l2.back();
  if (outcome.l2.empty()) {
    const Array drawn = outcome.step->reconstructions.row(static_cast<std::int64_t>(photo));
    error = *static_cast<const double*>(backend.download(backend.squared_error(drawn, drawn)).data);
  }
  if (std::isnan(error)) throw ArrayError(Message("The network's image has NaN in it").expected("numbers"));
}

Inversion inversion_of(const Runner& runner, const Settling::Outcome& outcome, std::size_t photo) {
  Backend& backend = *runner.backend;
  const Method& method = *runner.method;
  const Step& step = *outcome.step;
  check_numbers(backend, outcome, photo);
  Inversion inversion;
  inversion.method = method.name();
  inversion.model = runner.bundle.manifest().model;
  inversion.steps = step.index;
  inversion.arrays = kept_state(backend, method, step.states[photo], step.index);
  inversion.l2 = outcome.l2;
  inversion.image = image_of(backend.download(backend.pixels(image_of(backend, method, step, photo))));
  if (!outcome.failure.empty()) inversion.source["result.stopped"] = outcome.failure;
  return inversion;
}

// Whether the callback wants more; the reconstruction comes to the host when it asks for it.
bool shown(const StepCallback& on_step, Backend& backend, const Step& step, const Figures& figures) {
  Array seen;
  const auto reconstruction = [&] {
    if (seen.data == nullptr) seen = backend.download(step.reconstructions);
    return static_cast<const float*>(seen.data);
  };
  return on_step({step.index, step.reconstructions.shape[0], figures.l2(), reconstruction, figures.losses.data()});
}

}  // namespace

Runner::Runner(const Bundle& opened, const Options& options)
    : bundle(opened),
      method(make_method(bundle.manifest(), options)),
      state(method->state()),
      steps(checked_steps(*method, options.steps, method->default_steps())),
      backend(open_backend(bundle, *method, checked(options))) {}

Session::Session(const Bundle& bundle, const Options& options) : runner_(std::make_unique<Runner>(bundle, options)) {}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

const Manifest& Session::manifest() const { return runner_->bundle.manifest(); }

const std::string& Session::backend() const { return runner_->backend->name(); }

const std::string& Session::method() const { return runner_->method->name(); }

const std::vector<StateSpec>& Session::state() const { return runner_->state; }

std::int64_t Session::steps() const { return runner_->steps; }

std::int64_t Session::style_channels() const {
  const bool takes_them = found_graph(manifest(), runner_->method->styled()) != nullptr;
  return takes_them ? manifest().generator.channels() : 0;
}

Inversion Session::invert(const ImageView& photo, const InvertOptions& options) const {
  return std::move(invert(std::vector<ImageView>{photo}, options)[0]);
}

std::vector<Inversion> Session::invert(const std::vector<ImageView>& photos, const InvertOptions& options) const {
  if (photos.empty()) throw ArrayError(Message("No photos to invert").got("an empty list").expected("at least one"));
  const int steps = checked_steps(*runner_->method, options.steps, runner_->steps);
  Backend& backend = *runner_->backend;
  const Method& method = *runner_->method;
  Settling settling(method, static_cast<std::int64_t>(photos.size()), options.until_gain);
  const Array batch = backend.upload(network_input(photos, manifest().image));
  Loop loop(backend, method, manifest(), batch, steps, options.cancellation);
  auto step = std::make_shared<const Step>(loop.start());
  for (;;) {
    const Figures figures = figures_of(backend, method, *step);
    bool more = settling.take(step, figures) && step->index < steps;
    if (options.on_step) more = shown(options.on_step, backend, *step, figures) && more;
    if (!more) break;
    step = std::make_shared<const Step>(loop.advance(settling.stopped()));
  }
  std::vector<Inversion> inversions;
  for (const Settling::Outcome& outcome : settling.outcomes()) {
    inversions.push_back(inversion_of(*runner_, outcome, inversions.size()));
  }
  return inversions;
}

std::vector<Image> Session::synthesize(const Inversion& inversion) const {
  check_inversion(manifest(), *runner_->method, inversion);
  return synthesize(inversion, inversion.codes());
}

std::vector<Image> Session::synthesize(const Inversion& inversion, const Floats& codes, const Floats& styles) const {
  check_inversion(manifest(), *runner_->method, inversion);
  return drawn(*runner_, {inversion, static_cast<float>(inversion.steps)}, codes, styles);
}

std::vector<std::string> Session::directions() const { return direction_names(runner_->bundle); }

Direction Session::direction(const std::string& name) const { return read_direction(runner_->bundle, name); }

std::vector<Image> Session::edit(const Inversion& inversion, const std::vector<Edit>& edits) const {
  check_inversion(manifest(), *runner_->method, inversion);
  return drawn_edits(*runner_, {inversion, static_cast<float>(inversion.steps)}, resolved(runner_->bundle, edits));
}

Floats Session::edited_codes(const Inversion& inversion, const std::vector<Edit>& edits) const {
  check_inversion(manifest(), *runner_->method, inversion);
  return hyperstyle::edited_codes(inversion.codes(), resolved(runner_->bundle, edits));
}

Image Session::between(const Inversion& first, const Inversion& second, double time, const Edit& edit) const {
  check_inversion(manifest(), *runner_->method, first);
  check_inversion(manifest(), *runner_->method, second);
  if (!(time >= 0 && time <= 1)) throw ArrayError(Message("time is out of range").expected("0 to 1"));
  Inversion middle = first;
  for (auto& [name, array] : middle.arrays) {
    const Floats& other = second.array(name);
    if (array.shape != other.shape) {
      throw InversionError(
          Message("There is no way between inversions that keep the codes of different numbers of steps")
              .got(std::to_string(first.steps) + ", " + std::to_string(second.steps))
              .expected("one number of steps"));
    }
    const auto share = static_cast<float>(time);
    for (std::size_t at = 0; at < array.values.size(); ++at) {
      array.values[at] = (1.0f - share) * array.values[at] + share * other.values[at];
    }
  }
  const double steps = static_cast<double>(first.steps) + static_cast<double>(second.steps - first.steps) * time;
  return std::move(drawn_edits(*runner_, {middle, static_cast<float>(steps)}, resolved(runner_->bundle, {edit}))[0]);
}

const char* version() noexcept { return HYPERSTYLE_DEPLOY_VERSION; }

}  // namespace hyperstyle
