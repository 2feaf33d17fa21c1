// A bundle in a backend: invert photos, watch every refinement step, draw edits.
#ifndef HYPERSTYLE_DEPLOY_SESSION_HPP
#define HYPERSTYLE_DEPLOY_SESSION_HPP

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api.h"
#include "bundle.hpp"
#include "direction.hpp"
#include "image.hpp"
#include "inversion.hpp"
#include "settings.hpp"

namespace hyperstyle {

constexpr int max_steps = 1000;
constexpr int default_steps = -1;  // those of the session's options, or of the bundle

// How a session is to run.
struct Options {
  std::string backend = "onnxruntime";  // or "onnxruntime-cuda", "tensorrt", "tensorrt-rtx", where they were built in
  int device = 0;                       // the GPU's number; the CPU backend takes only 0
  int threads = 0;                      // CPU threads that a run may use; 0: ONNX Runtime's own choice
  int steps = default_steps;            // refinement steps, 0 to 1000; pSp and e4e take none
  bool trust_engines = false;           // load engines that this user did not build; they are programs
  std::string method;                // "projection" or "pti", where the bundle has its graphs; empty: the bundle's own
  std::optional<Settings> settings;  // of that optimisation, or of "idinvert", which is a bundle's own
  std::string generator;             // a further generator of the bundle ("toonify") that draws what the method finds
};

// What a callback sees of a step. Everything is on the host and valid only during the call.
struct StepView {
  std::int64_t index;   // 0: before refinement
  std::int64_t photos;  // B
  const double* l2;     // [B]; null where input and result are not pictures of one kind
  // [B, 3, input_height, input_width], about [-1, 1]; it comes to the host when it is asked for.
  std::function<const float*()> reconstruction;
  const std::map<std::string, double>* losses;  // [B]: the terms of an optimisation's loss by name, unweighted
};

// Called on the thread that inverts, after every step. Returning false stops the loop: the step becomes the result.
// What it throws passes through `invert`, and the session goes on working.
using StepCallback = std::function<bool(const StepView&)>;

// Asks running work to end; one object may serve several calls, and may be used from any thread, signal handlers
// included.
class Cancellation {
 public:
  void cancel() noexcept { cancelled_.store(true, std::memory_order_relaxed); }
  bool cancelled() const noexcept { return cancelled_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> cancelled_{false};
};

// What one call of `invert` is to do.
struct InvertOptions {
  int steps = default_steps;
  // Stop a photo after a step that lowers its L2 by less than this share of it, 0.01 for 1 %; its result is the better
  // of its last two steps. 0 or more, and less than 1; nothing: every photo takes all steps.
  std::optional<double> until_gain;
  StepCallback on_step;
  // Looked at before the start, before every step and every drawing; what runs, runs to its end.
  const Cancellation* cancellation = nullptr;
};

class Runner;

// A bundle in a backend. Methods may be called from several threads at once and give the serial answers; on a GPU they
// take turns on the session's one stream, and every call returns when its results are on the host. A session can be
// moved, not copied; it must not be destroyed or moved while another thread is in one of its methods.
class HYPERSTYLE_DEPLOY_API Session {
 public:
  // Load the bundle's graphs. Throws BundleError (a constant that is damaged or missing, no gradient graphs or generator),
  // BackendError (unknown, not built in, cannot load a graph or run the bundle's precision; another is never taken
  // instead), EngineError, and ArrayError for options out of range.
  explicit Session(const Bundle& bundle, const Options& options = {});
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  ~Session();

  // All are valid as long as the session.
  const Manifest& manifest() const;
  const std::string& backend() const;
  // The method that runs ("hyperstyle+toonify" where a further generator draws), the arrays that its inversions keep, and the steps that it takes unless told otherwise.
  const std::string& method() const;
  const std::vector<StateSpec>& state() const;
  std::int64_t steps() const;
  // Channels of the styles of all layers, which `synthesize` and directions in styles move; 0 where the bundle or the
  // method has no graph that takes them.
  std::int64_t style_channels() const;

  // Invert a photo of any size, or a batch that goes through the networks together; results in the same order, each
  // with its image. Throws ArrayError (no photos, no pixels, steps or until_gain out of range, NaN from a network),
  // OptimisationError, BackendError, KernelError (a GPU's), and Cancelled, after which the session goes on working.
  Inversion invert(const ImageView& photo, const InvertOptions& options = {}) const;
  std::vector<Inversion> invert(const std::vector<ImageView>& photos, const InvertOptions& options = {}) const;

  // Draw one person with the inversion's own codes, or with any: [styles, width] or [N, styles, width], one image each.
  // `styles` [N, channels of all layers] are added to what the layers' affine maps make of the codes; empty: nothing is.
  // Throws InversionError if the inversion belongs to another model, method or generator or its arrays do not fit,
  // ArrayError for codes or styles of another shape or not finite, DirectionError for styles where the bundle has no
  // graph that takes them, BackendError and KernelError.
  std::vector<Image> synthesize(const Inversion& inversion) const;
  std::vector<Image> synthesize(const Inversion& inversion, const Floats& codes, const Floats& styles = {}) const;

  // The names of the directions that the bundle carries, in order, and one of them. They are read from its folder when
  // they are asked for. Throws DirectionError: none of that name, damaged, or of another model.
  std::vector<std::string> directions() const;
  Direction direction(const std::string& name) const;

  // Draw edits of one person, an image each, all in one batch with the person's weights; and the codes that are drawn,
  // [N, styles, width]. Throws DirectionError (an unknown direction, one of another model, a strength out of range),
  // InversionError (a person of another model, also one that is mixed in), ArrayError (no edits), BackendError and
  // KernelError.
  std::vector<Image> edit(const Inversion& inversion, const std::vector<Edit>& edits) const;
  Floats edited_codes(const Inversion& inversion, const std::vector<Edit>& edits) const;

  // Draw whoever is between two people, at a time from 0, the first, to 1: everything that is theirs is interpolated,
  // so that HyperStyle's weights are, too. Throws as `edit` does, ArrayError for another time, and InversionError where
  // the codes of every step are kept and the people took different numbers of steps.
  Image between(const Inversion& first, const Inversion& second, double time, const Edit& edit = {}) const;

 private:
  std::unique_ptr<Runner> runner_;
};

// Version of the library, as "1.2.3".
HYPERSTYLE_DEPLOY_API const char* version() noexcept;

}  // namespace hyperstyle

#endif
