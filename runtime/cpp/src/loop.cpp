#include "loop.hpp"

#include <cstring>

#include "hyperstyle_deploy/errors.hpp"
#include "text.hpp"

namespace hyperstyle {
namespace {

void check(const Cancellation* cancellation) {
  if (cancellation != nullptr && cancellation->cancelled()) throw Cancelled(Message("The work was cancelled"));
}

// Offset codes of every kept step [B, tuned, 512], on the host, as one array with a row of all steps a photo.
Array joined_by_photo(const std::vector<Array>& kept, std::int64_t photos) {
  if (kept.empty()) return {};
  const Array whole =
      host_array(Dtype::float32, {photos, static_cast<std::int64_t>(kept.size()), kept[0].shape[1], kept[0].shape[2]});
  auto* target = static_cast<char*>(whole.data);
  for (std::int64_t photo = 0; photo < photos; ++photo) {
    for (const Array& step : kept) {
      const Array row = step.row(photo);
      std::memcpy(target, row.data, row.bytes());
      target += row.bytes();
    }
  }
  return whole;
}

std::vector<Array> downloaded(Backend& backend, const std::vector<Array>& arrays) {
  std::vector<Array> host;
  for (const Array& array : arrays) host.push_back(backend.download(array));
  return host;
}

Result invert_recorded(Backend& backend, const Manifest& manifest, const Array& photos, int steps) {
  const std::int64_t batch = photos.shape[0];
  const auto work = [&](const Array& uploaded) {
    std::vector<Array> results, errors;
    refine(backend, manifest, uploaded, steps, nullptr, [&](const State& state) {
      errors.push_back(backend.squared_error(uploaded, state.reconstructions));
      if (state.index < steps) return true;
      results.push_back(state.codes);
      results.insert(results.end(), errors.begin(), errors.end());
      for (const Array& image : state.images) results.push_back(backend.pixels(image));
      results.insert(results.end(), state.kept.begin(), state.kept.end());
      return true;
    });
    return results;
  };
  const std::vector<Array> found = backend.compute({batch, steps}, work, photos);
  const auto errors = found.begin() + 1, pixels = errors + steps + 1, kept = pixels + batch;
  return {steps, found[0], joined_by_photo({kept, found.end()}, batch), {errors, pixels}, {pixels, kept}};
}

Result invert_step_by_step(Backend& backend, const Manifest& manifest, const Array& photos, int steps,
                           const InvertOptions& options) {
  Result result{};
  const Array uploaded = backend.upload(photos);
  refine(backend, manifest, uploaded, steps, options.cancellation, [&](const State& state) {
    result.l2.push_back(backend.download(backend.squared_error(uploaded, state.reconstructions)));
    bool more = state.index < steps;
    if (options.on_step) {
      const Array seen = backend.download(state.reconstructions);
      const StepView view{state.index, photos.shape[0], static_cast<const float*>(seen.data),
                          static_cast<const double*>(result.l2.back().data)};
      more = options.on_step(view) && more;
    }
    if (more) return true;
    result.steps = state.index;
    result.codes = backend.download(state.codes);
    result.kept = joined_by_photo(downloaded(backend, state.kept), photos.shape[0]);
    for (const Array& image : state.images) result.pixels.push_back(backend.download(backend.pixels(image)));
    return false;
  });
  return result;
}

}  // namespace

void refine(Backend& backend, const Manifest& manifest, const Array& photos, int steps,
            const Cancellation* cancellation, const Visit& visit) {
  const std::int64_t batch = photos.shape[0];
  State state{0, {}, {}, {}, {}};
  std::vector<Array> drawn;
  const auto draw = [&](std::int64_t photo, const Weights& weights) {
    check(cancellation);
    const auto [image, reconstruction] = backend.synthesize(state.codes.row(photo), weights);
    state.images.push_back(image);
    drawn.push_back(reconstruction);
  };
  check(cancellation);
  state.codes = backend.encode(photos);
  for (std::int64_t photo = 0; photo < batch; ++photo) draw(photo, backend.untuned());
  for (;; ++state.index) {
    state.reconstructions = backend.concatenate(drawn);
    if (!visit(state) || state.index == steps) return;
    check(cancellation);
    const Array predicted = backend.predict(photos, state.reconstructions);
    if (manifest.separable || state.kept.empty()) {
      state.kept.push_back(predicted);
    } else {
      state.kept[0] = backend.add(state.kept[0], predicted);
    }
    drawn.clear();
    state.images.clear();
    for (std::int64_t photo = 0; photo < batch; ++photo) {
      check(cancellation);
      std::vector<Array> rows;
      for (const Array& part : state.kept) rows.push_back(part.row(photo));
      draw(photo, backend.tune(backend.concatenate(rows), state.index + 1));
    }
  }
}

Result invert(Backend& backend, const Manifest& manifest, const Array& photos, int steps,
              const InvertOptions& options) {
  if (!options.on_step && options.cancellation == nullptr) return invert_recorded(backend, manifest, photos, steps);
  return invert_step_by_step(backend, manifest, photos, steps, options);
}

}  // namespace hyperstyle
