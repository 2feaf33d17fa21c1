#include "hyperstyle_deploy/session.hpp"

#include <algorithm>
#include <cmath>

#include "hyperstyle_deploy/errors.hpp"
#include "images.hpp"
#include "loop.hpp"
#include "manifest_checks.hpp"
#include "runner.hpp"
#include "text.hpp"

namespace hyperstyle {
namespace {

constexpr std::int64_t width_of_code = 512;

int checked_steps(std::int64_t steps, std::int64_t otherwise) {
  const std::int64_t chosen = steps == default_steps ? otherwise : steps;
  if (chosen < 0 || chosen > max_steps) {
    throw ArrayError(
        Message("steps is out of range").got(std::to_string(chosen)).expected("0 to " + std::to_string(max_steps)));
  }
  return static_cast<int>(chosen);
}

const Options& checked(const Options& options) {
  if (options.threads < 0) {
    throw ArrayError(Message("threads is out of range").got(std::to_string(options.threads)).expected("1 or more"));
  }
  return options;
}

const Bundle& checked(const Bundle& bundle) {
  check_stages(bundle.manifest());
  return bundle;
}

Floats copied(const Array& array, const Shape& shape) {
  const auto* values = static_cast<const float*>(array.data);
  return {shape, values == nullptr ? std::vector<float>() : std::vector<float>(values, values + count(shape))};
}

// Offset codes as an inversion has them: [tuned, 512], or [steps, tuned, 512] if separable.
Shape kept_shape(const Manifest& manifest, std::int64_t steps) {
  if (manifest.separable) return {steps, manifest.tuned(), width_of_code};
  return {manifest.tuned(), width_of_code};
}

Image image_of(const Array& pixels, std::int64_t index) {
  const std::int64_t height = pixels.shape[1], width = pixels.shape[2];
  const auto* first = static_cast<const std::uint8_t*>(pixels.data) + index * height * width * 3;
  return {height, width, {first, first + height * width * 3}};
}

std::vector<Inversion> inversions(const Manifest& manifest, const Result& result, std::int64_t photos) {
  std::vector<Inversion> all(static_cast<std::size_t>(photos));
  for (std::int64_t photo = 0; photo < photos; ++photo) {
    Inversion& one = all[static_cast<std::size_t>(photo)];
    one.codes = copied(result.codes.row(photo), {manifest.styles(), width_of_code});
    one.offset_codes = {kept_shape(manifest, result.steps), {}};
    if (result.kept.data != nullptr) one.offset_codes = copied(result.kept.row(photo), one.offset_codes.shape);
    one.offset_codes.values.resize(static_cast<std::size_t>(count(one.offset_codes.shape)));
    one.steps = result.steps;
    one.model = manifest.model;
    for (const Array& errors : result.l2) one.l2.push_back(static_cast<const double*>(errors.data)[photo]);
    // A GPU's kernels make pixels of NaN: it shows in the error of the reconstruction.
    if (std::isnan(one.l2.back())) throw ArrayError(Message("The network's image has NaN in it").expected("numbers"));
    one.image = image_of(result.pixels[static_cast<std::size_t>(photo)], 0);
  }
  return all;
}

void check_inversion(const Manifest& manifest, const Inversion& inversion) {
  if (inversion.model != manifest.model) {
    throw InversionError(Message("The inversion belongs to another model")
                             .got(clipped(inversion.model, 12))
                             .expected(clipped(manifest.model, 12))
                             .hint("Use the bundle that it was made with."));
  }
  const auto check = [](const char* name, const Floats& array, const Shape& shape) {
    if (array.shape != shape || array.values.size() != static_cast<std::size_t>(count(shape))) {
      throw InversionError(Message(std::string("The inversion's ") + name + " do not fit")
                               .got(repr(array.shape))
                               .expected(repr(shape)));
    }
  };
  if (inversion.steps < 0 || inversion.steps >= 1'000'000'000) {  // as files can say it
    throw InversionError(Message("The inversion's steps do not fit").got(std::to_string(inversion.steps)));
  }
  check("codes", inversion.codes, {manifest.styles(), width_of_code});
  check("offset_codes", inversion.offset_codes, kept_shape(manifest, inversion.steps));
}

Array checked_codes(const Manifest& manifest, const std::vector<float>& codes) {
  const std::int64_t row = manifest.styles() * width_of_code, size = static_cast<std::int64_t>(codes.size());
  const std::string expected = "float32 [N, " + std::to_string(manifest.styles()) + ", 512]";
  if (size == 0 || size % row != 0) {
    throw ArrayError(
        Message("codes has the wrong shape").got(std::to_string(size) + " values").expected(expected));
  }
  if (!std::all_of(codes.begin(), codes.end(), [](float code) { return std::isfinite(code); })) {
    throw ArrayError(Message("codes has NaN or Inf in it").expected("finite numbers"));
  }
  const Array batch = host_array(Dtype::float32, {size / row, manifest.styles(), width_of_code});
  std::copy(codes.begin(), codes.end(), static_cast<float*>(batch.data));
  return batch;
}

}  // namespace

Runner::Runner(const Bundle& opened, const Options& options)
    : bundle(opened),
      steps(options.steps == default_steps ? opened.manifest().default_steps : checked_steps(options.steps, 0)),
      backend(open_backend(checked(opened), checked(options))) {}

Session::Session(const Bundle& bundle, const Options& options) : runner_(std::make_unique<Runner>(bundle, options)) {}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

const Manifest& Session::manifest() const { return runner_->bundle.manifest(); }

const std::string& Session::backend() const { return runner_->backend->name(); }

Inversion Session::invert(const ImageView& photo, const InvertOptions& options) const {
  return std::move(invert(std::vector<ImageView>{photo}, options)[0]);
}

std::vector<Inversion> Session::invert(const std::vector<ImageView>& photos, const InvertOptions& options) const {
  if (photos.empty()) throw ArrayError(Message("No photos to invert").got("an empty list").expected("at least one"));
  const ImageSpec& image = manifest().image;
  const Array batch = network_input(photos, image.input_height, image.input_width);
  const int steps = checked_steps(options.steps, runner_->steps);
  const Result result = hyperstyle::invert(*runner_->backend, manifest(), batch, steps, options);
  return inversions(manifest(), result, batch.shape[0]);
}

std::vector<Image> Session::synthesize(const Inversion& inversion, const std::vector<float>& codes) const {
  check_inversion(manifest(), inversion);
  Backend& backend = *runner_->backend;
  const Array batch = checked_codes(manifest(), codes.empty() ? inversion.codes.values : codes);
  Weights weights = backend.untuned();
  if (inversion.steps > 0) {
    const std::int64_t rows = manifest().separable ? inversion.steps : 1;
    const Array kept = host_array(Dtype::float32, {rows, manifest().tuned(), width_of_code});
    std::copy(inversion.offset_codes.values.begin(), inversion.offset_codes.values.end(), static_cast<float*>(kept.data));
    weights = backend.tune(backend.upload(kept), static_cast<int>(inversion.steps));
  }
  const Array drawn = backend.synthesize(backend.upload(batch), weights).first;
  const Array pixels = backend.download(backend.pixels(drawn));
  std::vector<Image> images;
  for (std::int64_t index = 0; index < pixels.shape[0]; ++index) images.push_back(image_of(pixels, index));
  return images;
}

const char* version() noexcept { return HYPERSTYLE_DEPLOY_VERSION; }

}  // namespace hyperstyle
