#include "method.hpp"

#include <algorithm>
#include <type_traits>

#include "../layers.hpp"
#include "../manifest_checks.hpp"
#include "../text.hpp"
#include "adaptation.hpp"
#include "hyperstyle.hpp"
#include "idinvert.hpp"
#include "projection.hpp"
#include "psp.hpp"
#include "restyle.hpp"
#include "tuning.hpp"

namespace hyperstyle {
namespace {

template <typename Kind>
constexpr bool descends = std::is_base_of_v<Optimisation, Kind>;

template <typename Kind>
std::unique_ptr<const Method> made(const Manifest& manifest, [[maybe_unused]] Settings settings) {
  if constexpr (descends<Kind>) {
    return std::make_unique<const Kind>(manifest, std::move(settings));
  } else {
    return std::make_unique<const Kind>(manifest);
  }
}

// A bundle's own method; only one that descends has settings.
struct Entry {
  const char* name;
  std::unique_ptr<const Method> (*make)(const Manifest&, Settings);
  bool has_settings;
};
template <typename Kind>
constexpr Entry entry(const char* name) {
  return {name, made<Kind>, descends<Kind>};
}
constexpr Entry methods[] = {entry<OnePass>("psp"),           entry<OnePass>("e4e"),
                             entry<ReStyle>("restyle-psp"),   entry<ReStyle>("restyle-e4e"),
                             entry<HyperStyle>("hyperstyle"), entry<IDInvert>("idinvert")};

template <typename Kind>
std::unique_ptr<const Method> made_on(const Manifest& manifest, std::unique_ptr<const Method> base, Settings settings) {
  return std::make_unique<const Kind>(manifest, std::move(base), std::move(settings));
}

// Any bundle whose graphs include its gradients may be run as one.
struct Optimiser {
  const char* name;
  std::unique_ptr<const Method> (*make)(const Manifest&, std::unique_ptr<const Method>, Settings);
};
constexpr Optimiser optimisers[] = {{"projection", made_on<Projection>}, {"pti", made_on<Tuning>}};

// Beginnings of the names of graph inputs that a method does not compute, or not always.
constexpr const char* constant_inputs[] = {"weight.", "energy.", "noise.", "encoder_noise.", "loss_weight."};

bool is_constant(const TensorSpec& tensor) {
  return std::any_of(std::begin(constant_inputs), std::end(constant_inputs),
                     [&](const char* prefix) { return tensor.name.rfind(prefix, 0) == 0; });
}

const Entry& own_entry(const Manifest& manifest) {
  std::vector<std::string> names;
  for (const Entry& one : methods) {
    if (manifest.method.name == one.name) return one;
    names.emplace_back(one.name);
  }
  throw BundleError(Message("bundle.json: method.name is unknown")
                        .got(clipped(manifest.method.name, 80))
                        .expected("one of " + joined(names))
                        .hint("Upgrade hyperstyle-deploy, if the bundle is from a newer version."));
}

// The bundle's own method with a user's settings.
std::unique_ptr<const Method> with_settings(const Entry& own, const Manifest& manifest, const Settings& settings) {
  if (!own.has_settings) {
    throw ArrayError(
        Message(std::string(own.name) + " has no settings").expected("none, or an optimisation as the method"));
  }
  std::unique_ptr<const Method> method = own.make(manifest, settings);
  method->check();
  return method;
}

// The optimisation on a bundle, in place of the bundle's own method.
std::unique_ptr<const Method> in_place(const Optimiser& optimiser, const Manifest& manifest, const Options& options) {
  std::unique_ptr<const Method> method =
      optimiser.make(manifest, make_method(manifest), options.settings.value_or(Settings{}));
  if (manifest.generator.family != method->family()) {
    throw ArrayError(Message(std::string(optimiser.name) + " is for another generator")
                         .got(manifest.generator.family)
                         .expected(method->family()));
  }
  if (!options.generator.empty()) {
    throw ArrayError(Message("An optimisation has the generator that the bundle's own method draws with")
                         .got(options.method + " with the generator " + clipped(options.generator, 40))
                         .hint("Leave one of them out."));
  }
  method->check();
  return method;
}

std::string shown(const std::vector<StateSpec>& state) {
  std::vector<std::string> texts;
  for (const StateSpec& array : state) texts.push_back(clipped(array.name, 80) + " " + shown(array.shape));
  return texts.empty() ? "none" : joined(texts);
}

}  // namespace

std::vector<Signature> Method::signatures() const {
  std::vector<Signature> all = graphs();
  all.push_back(synthesis_signature(manifest_, drawing(), "batch", drawing_inputs()));
  all.push_back(synthesis_signature(manifest_, drawing_one(), 1, drawing_inputs()));
  return all;
}

std::vector<TensorSpec> Method::drawing_inputs() const {
  std::vector<TensorSpec> inputs = weight_specs(manifest_), noises = noise_specs(manifest_, "noise.");
  inputs.insert(inputs.end(), noises.begin(), noises.end());
  return inputs;
}

std::vector<TensorSpec> Method::needed_constants() const {
  std::vector<TensorSpec> specs = constants();
  for (const Signature& signature : signatures()) {
    std::copy_if(signature.inputs.begin(), signature.inputs.end(), std::back_inserter(specs), is_constant);
  }
  return specs;
}

std::vector<StateSpec> Method::state() const {
  return {{"codes", {manifest_.generator.styles, manifest_.generator.width}}};
}

void Method::check() const {
  const ImageSpec& image = manifest_.image;
  if (!image.comparable() && !translates()) throw wrong("image.kind", image.kind, "photo for " + name());
  if (manifest_.generator.family != family()) {
    throw wrong("generator.family", manifest_.generator.family, std::string(family()) + " for " + name());
  }
  check_method();
  check_state();
  for (const Signature& signature : signatures()) check_signature(manifest_, signature);
  if (found_graph(manifest_, styled()) == nullptr) return;
  Signature with_styles = synthesis_signature(manifest_, styled(), "batch", drawing_inputs());
  with_styles.inputs.insert(with_styles.inputs.begin() + 1,
                            {"styles", "float32", {"batch", manifest_.generator.channels()}});
  check_signature(manifest_, with_styles);
}

void Method::check_method() const {
  const MethodSpec& method = manifest_.method;
  const std::size_t tuned = tuned_layers(manifest_).size();
  if (method.default_steps > 0 && !refines()) {
    throw wrong("method.default_steps", std::to_string(method.default_steps), "0 for " + name());
  }
  if (method.encoder_steps > 0 && !tunes()) {
    throw wrong("method.encoder_steps", std::to_string(method.encoder_steps), "0 for " + name());
  }
  if (tunes() != (tuned > 0)) {
    throw wrong("generator.layers", std::to_string(tuned) + " layers with offsets",
                (tunes() ? "some for " : "none for ") + name());
  }
}

void Method::check_state() const {
  const std::vector<StateSpec> expected = state();
  const auto same = [](const StateSpec& one, const StateSpec& other) {
    return one.name == other.name && same_shape(one.shape, other.shape);
  };
  if (!std::equal(manifest_.state.begin(), manifest_.state.end(), expected.begin(), expected.end(), same)) {
    throw wrong("state", shown(manifest_.state), shown(expected));
  }
}

Arrays Method::given(int, int) const { return {}; }

std::vector<State> Method::started(Backend& backend, const Array& photos, const std::vector<State>& given) const {
  std::vector<State> states = start(backend, photos);
  for (std::size_t photo = 0; photo < states.size(); ++photo) {
    states[photo].insert(given[photo].begin(), given[photo].end());
  }
  return states;
}

std::vector<State> Method::advance(Backend&, const Array&, const Array&, const std::vector<State>& states) const {
  return states;
}

Arrays Method::draw(Backend& backend, const Array&, const State& state, const Array& steps) const {
  Arrays inputs = steps.data == nullptr ? Arrays{} : weights(backend, state, steps);
  inputs["codes"] = state.at("codes");
  return backend.run(drawing_one(), inputs);
}

Arrays Method::weights(Backend&, const State&, const Array&) const { return {}; }

std::unique_ptr<const Method> make_method(const Manifest& manifest) { return own_entry(manifest).make(manifest, {}); }

void check_methods(const Manifest& manifest) {
  make_method(manifest)->check();
  for (const FineTunedSpec& spec : manifest.generators) Adaptation(manifest, make_method(manifest), spec).check();
}

std::unique_ptr<const Method> make_method(const Manifest& manifest, const Options& options) {
  const Entry& own = own_entry(manifest);
  if (options.method.empty() || options.method == own.name) {
    std::unique_ptr<const Method> method =
        options.settings ? with_settings(own, manifest, *options.settings) : make_method(manifest);
    return options.generator.empty() ? std::move(method)
                                     : make_adaptation(manifest, std::move(method), options.generator);
  }
  std::vector<std::string> names;
  for (const Optimiser& optimiser : optimisers) {
    if (options.method == optimiser.name) return in_place(optimiser, manifest, options);
    names.emplace_back(optimiser.name);
  }
  throw ArrayError(Message("The bundle does not run this method")
                       .got(clipped(options.method, 80))
                       .expected(std::string(own.name) + " or one of " + joined(names)));
}

}  // namespace hyperstyle
