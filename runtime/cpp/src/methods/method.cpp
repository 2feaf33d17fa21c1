#include "method.hpp"

#include <algorithm>

#include "../layers.hpp"
#include "../manifest_checks.hpp"
#include "../text.hpp"
#include "hyperstyle.hpp"
#include "psp.hpp"
#include "restyle.hpp"

namespace hyperstyle {
namespace {

template <typename Kind>
std::unique_ptr<const Method> made(const Manifest& manifest) {
  return std::make_unique<const Kind>(manifest);
}

struct Entry {
  const char* name;
  std::unique_ptr<const Method> (*make)(const Manifest&);
};
constexpr Entry methods[] = {{"psp", made<OnePass>},
                             {"e4e", made<OnePass>},
                             {"restyle-psp", made<ReStyle>},
                             {"restyle-e4e", made<ReStyle>},
                             {"hyperstyle", made<HyperStyle>}};

// What the loop gives to graphs; all else are the bundle's constants.
constexpr const char* given[] = {"image", "reconstruction", "codes", "offset_codes", "steps"};

bool is_constant(const TensorSpec& tensor) {
  return std::none_of(std::begin(given), std::end(given), [&](const char* name) { return tensor.name == name; });
}

std::string shown(const std::vector<StateSpec>& state) {
  std::vector<std::string> texts;
  for (const StateSpec& array : state) texts.push_back(clipped(array.name, 80) + " " + shown(array.shape));
  return texts.empty() ? "none" : joined(texts);
}

}  // namespace

std::vector<Signature> Method::signatures() const {
  std::vector<Signature> all = graphs();
  all.push_back(synthesis_signature(manifest_, "synthesis", "batch"));
  all.push_back(synthesis_signature(manifest_, "synthesis_one", 1));
  return all;
}

std::vector<TensorSpec> Method::needed_constants() const {
  std::vector<TensorSpec> specs = constants();
  for (const Signature& signature : signatures()) {
    if (signature.graph == "synthesis") continue;  // takes what `synthesis_one` takes
    std::copy_if(signature.inputs.begin(), signature.inputs.end(), std::back_inserter(specs), is_constant);
  }
  return specs;
}

std::vector<StateSpec> Method::state() const {
  return {{"codes", {manifest_.generator.styles, manifest_.generator.width}}};
}

void Method::check() const {
  const MethodSpec& method = manifest_.method;
  const std::string& name = method.name;
  const std::size_t tuned = tuned_layers(manifest_).size();
  const ImageSpec& image = manifest_.image;
  if (!image.comparable() && !translates()) throw wrong("image.kind", image.kind, "photo for " + name);
  if (manifest_.generator.family != "stylegan2") {
    throw wrong("generator.family", manifest_.generator.family, "stylegan2 for " + name);
  }
  if (method.default_steps > 0 && !refines()) {
    throw wrong("method.default_steps", std::to_string(method.default_steps), "0 for " + name);
  }
  if (method.encoder_steps > 0 && !tunes()) {
    throw wrong("method.encoder_steps", std::to_string(method.encoder_steps), "0 for " + name);
  }
  if (tunes() != (tuned > 0)) {
    throw wrong("generator.layers", std::to_string(tuned) + " layers with offsets",
                (tunes() ? "some for " : "none for ") + name);
  }
  const std::vector<StateSpec> expected = state();
  const auto same = [](const StateSpec& one, const StateSpec& other) {
    return one.name == other.name && same_shape(one.shape, other.shape);
  };
  if (!std::equal(manifest_.state.begin(), manifest_.state.end(), expected.begin(), expected.end(), same)) {
    throw wrong("state", shown(manifest_.state), shown(expected));
  }
  for (const Signature& signature : signatures()) check_signature(manifest_, signature);
}

std::vector<State> Method::advance(Backend&, const Array&, const Array&, const std::vector<State>& states) const {
  return states;
}

Arrays Method::weights(Backend&, const State&, const Array&) const { return {}; }

std::unique_ptr<const Method> make_method(const Manifest& manifest) {
  for (const Entry& entry : methods) {
    if (manifest.method.name == entry.name) return entry.make(manifest);
  }
  std::vector<std::string> names;
  for (const Entry& entry : methods) names.emplace_back(entry.name);
  throw BundleError(Message("bundle.json: method.name is unknown")
                        .got(clipped(manifest.method.name, 80))
                        .expected("one of " + joined(names))
                        .hint("Upgrade hyperstyle-deploy, if the bundle is from a newer version."));
}

}  // namespace hyperstyle
