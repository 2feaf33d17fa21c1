// The C interface to sessions: open, invert, draw.
#include <cstddef>

#include "c_handles.hpp"

using hyperstyle::ArrayError;
using hyperstyle::guarded;
using hyperstyle::known_part;
using hyperstyle::needed;

namespace {

hyperstyle::InvertOptions invert_options(const HyperstyleInvertOptions* given) {
  const HyperstyleInvertOptions defaults = HYPERSTYLE_INVERT_OPTIONS;
  const HyperstyleInvertOptions from = given == nullptr ? defaults : known_part(*given, defaults, sizeof defaults);
  hyperstyle::InvertOptions options;
  options.steps = from.steps;
  if (!(from.until_gain < 0)) options.until_gain = from.until_gain;
  if (from.on_step != nullptr) {
    options.on_step = [from](const hyperstyle::StepView& view) {
      const HyperstyleStep step{view};
      return from.on_step(from.context, view.index, view.photos, view.l2, &step) != 0;
    };
  }
  if (from.cancellation != nullptr) options.cancellation = &from.cancellation->cancellation;
  return options;
}

std::int64_t input_kind(const std::string& kind) {
  return kind == "photo" ? HYPERSTYLE_PHOTO : kind == "sketch" ? HYPERSTYLE_SKETCH : HYPERSTYLE_LABELS;
}

hyperstyle::Floats floats_of(const HyperstyleArray& array) {
  if (array.axes < 0 || array.axes > HYPERSTYLE_MAX_AXES) throw ArrayError("axes is out of range. Expected: 0 to 4.");
  hyperstyle::Floats floats;
  std::int64_t count = 1;
  for (std::int64_t axis = 0; axis < array.axes; ++axis) {
    const std::int64_t size = array.shape[axis];
    if (size < 0 || __builtin_mul_overflow(count, size, &count)) throw ArrayError("shape is out of range.");
    floats.shape.push_back(size);
  }
  floats.values.assign(&needed(array.values, "values"), array.values + count);
  return floats;
}

hyperstyle::Settings settings_of(const HyperstyleSettings& given, const hyperstyle::GeneratorSpec& generator) {
  const HyperstyleSettings defaults = HYPERSTYLE_SETTINGS;
  const HyperstyleSettings from = known_part(given, defaults, sizeof defaults);
  hyperstyle::Settings settings;
  settings.seed = from.seed;
  if (!(from.rate < 0)) settings.rate = from.rate;
  settings.space = &needed(from.space, "space");
  settings.locality = from.locality != 0;
  if (from.pivot != nullptr) {
    if (from.pivot_count != generator.styles * generator.width) throw ArrayError("pivot_count is not that of codes.");
    settings.pivot =
        hyperstyle::Floats{{generator.styles, generator.width}, {from.pivot, from.pivot + from.pivot_count}};
  }
  for (std::int64_t at = 0; at < from.loss_count; ++at) {
    const HyperstyleWeight& one = (&needed(from.loss, "loss"))[at];
    settings.loss[&needed(one.term, "term")] = one.weight;
  }
  if (!(from.until_lpips < 0)) settings.until_lpips = from.until_lpips;
  return settings;
}

}  // namespace

int hyperstyle_open(const char* path, const HyperstyleOptions* given, HyperstyleSession** session) {
  return guarded([&] {
    needed(session, "session") = nullptr;
    const HyperstyleOptions defaults = HYPERSTYLE_OPTIONS;
    const std::size_t first_version = offsetof(HyperstyleOptions, method);
    const HyperstyleOptions from = given == nullptr ? defaults : known_part(*given, defaults, first_version);
    hyperstyle::Options options;
    options.backend = &needed(from.backend, "backend");
    options.device = from.device;
    options.threads = from.threads;
    options.steps = from.steps;
    options.trust_engines = from.trust_engines != 0;
    if (from.method != nullptr) options.method = from.method;
    if (from.generator != nullptr) options.generator = from.generator;
    const hyperstyle::Bundle bundle = hyperstyle::Bundle::open(&needed(path, "path"));
    if (from.settings != nullptr) options.settings = settings_of(*from.settings, bundle.manifest().generator);
    *session = new HyperstyleSession{hyperstyle::Session(bundle, options)};
  });
}

void hyperstyle_close(HyperstyleSession* session) { delete session; }

const char* hyperstyle_method(const HyperstyleSession* session) {
  return session == nullptr ? nullptr : session->session.method().c_str();
}

int hyperstyle_sizes(const HyperstyleSession* session, HyperstyleSizes* sizes) {
  return guarded([&] {
    const hyperstyle::Session& opened = needed(session, "session").session;
    const hyperstyle::Manifest& manifest = opened.manifest();
    const HyperstyleSizes found = {sizeof found,
                                   manifest.image_height(),
                                   manifest.image_width(),
                                   input_kind(manifest.image.kind),
                                   manifest.image.channels,
                                   manifest.image.input_height,
                                   manifest.image.input_width,
                                   manifest.generator.styles,
                                   manifest.generator.width,
                                   static_cast<std::int64_t>(opened.state().size()),
                                   opened.steps(),
                                   opened.style_channels()};
    const std::size_t first_version = offsetof(HyperstyleSizes, style_channels);
    const HyperstyleSizes asked = known_part(needed(sizes, "sizes"), found, first_version);
    std::memcpy(sizes, &found, std::min(asked.struct_size, sizeof found));
    sizes->struct_size = asked.struct_size;
  });
}

int hyperstyle_state(const HyperstyleSession* session, int64_t index, HyperstyleArray* array) {
  return guarded([&] {
    const auto& state = needed(session, "session").session.state();
    if (index < 0 || index >= static_cast<std::int64_t>(state.size())) throw ArrayError("index is out of range.");
    const hyperstyle::StateSpec& spec = state[static_cast<std::size_t>(index)];
    needed(array, "array") = hyperstyle::array_of(spec.name, nullptr, spec.sized(-1));
  });
}

int hyperstyle_cancellation_new(HyperstyleCancellation** cancellation) {
  return guarded([&] { needed(cancellation, "cancellation") = new HyperstyleCancellation; });
}

void hyperstyle_cancel(HyperstyleCancellation* cancellation) {
  if (cancellation != nullptr) cancellation->cancellation.cancel();
}

void hyperstyle_cancellation_free(HyperstyleCancellation* cancellation) { delete cancellation; }

int hyperstyle_invert(const HyperstyleSession* session, const HyperstyleImage* photos, int64_t count,
                      const HyperstyleInvertOptions* options, HyperstyleInversion** inversions) {
  return guarded([&] {
    needed(inversions, "inversions");
    for (int64_t row = 0; row < count; ++row) inversions[row] = nullptr;
    std::vector<hyperstyle::ImageView> views;
    for (int64_t row = 0; row < count; ++row) views.push_back(hyperstyle::view_of((&needed(photos, "photos"))[row]));
    auto found = needed(session, "session").session.invert(views, invert_options(options));
    std::vector<std::unique_ptr<HyperstyleInversion>> owned;
    for (auto& one : found) owned.push_back(std::make_unique<HyperstyleInversion>(HyperstyleInversion{std::move(one)}));
    for (std::size_t row = 0; row < owned.size(); ++row) inversions[row] = owned[row].release();
  });
}

int hyperstyle_reconstruction(const HyperstyleStep* step, const float** values) {
  return guarded([&] { needed(values, "values") = needed(step, "step").view.reconstruction(); });
}

int hyperstyle_loss(const HyperstyleStep* step, int64_t photo, const char* term, double* loss) {
  return guarded([&] {
    const hyperstyle::StepView& view = needed(step, "step").view;
    if (photo < 0 || photo >= view.photos) throw ArrayError("photo is out of range.");
    const auto found = view.losses[photo].find(&needed(term, "term"));
    if (found == view.losses[photo].end()) throw ArrayError("The loss has no such term.");
    needed(loss, "loss") = found->second;
  });
}

int hyperstyle_synthesize(const HyperstyleSession* session, const HyperstyleInversion* inversion,
                          const HyperstyleArray* codes, uint8_t* pixels) {
  return hyperstyle_synthesize_styles(session, inversion, codes, nullptr, pixels);
}

int hyperstyle_synthesize_styles(const HyperstyleSession* session, const HyperstyleInversion* inversion,
                                 const HyperstyleArray* codes, const HyperstyleArray* styles, uint8_t* pixels) {
  return guarded([&] {
    const hyperstyle::Session& drawing = needed(session, "session").session;
    const hyperstyle::Inversion& person = needed(inversion, "inversion").inversion;
    const hyperstyle::Floats drawn = codes == nullptr ? person.codes() : floats_of(*codes);
    const hyperstyle::Floats added = styles == nullptr ? hyperstyle::Floats{} : floats_of(*styles);
    hyperstyle::copy_pixels(drawing.synthesize(person, drawn, added), &needed(pixels, "pixels"));
  });
}
