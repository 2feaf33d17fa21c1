#include "kept.hpp"

#include <algorithm>

#include "hyperstyle_deploy/errors.hpp"
#include "text.hpp"

namespace hyperstyle {
namespace {

const std::string made_with = "Use the bundle that it was made with";

// What to load a bundle with for the inversions of a method, or of one that a further generator draws.
std::string loaded_as(const std::string& method) {
  const std::size_t plus = method.find('+');
  return plus == std::string::npos ? "method " + clipped(method, 40)
                                   : "generator " + clipped(method.substr(plus + 1), 40);
}

void check_array(const std::string& name, const Floats& array, const Shape& shape) {
  if (array.shape == shape && array.values.size() == static_cast<std::size_t>(count(shape))) return;
  throw InversionError(Message("The inversion's " + name + " do not fit")
                           .got(std::to_string(array.values.size()) + " values for " + repr(array.shape))
                           .expected(repr(shape)));
}

}  // namespace

std::map<std::string, Floats> kept_state(Backend& backend, const Method& method, const State& state, int steps) {
  std::map<std::string, Floats> kept;
  for (const StateSpec& spec : method.state()) {
    Floats& array = kept[spec.name];
    array.shape = spec.sized(steps);
    array.values.resize(static_cast<std::size_t>(count(array.shape)));
    const auto found = state.find(spec.name);
    if (found == state.end()) continue;
    const Array host = backend.download(found->second);
    std::copy_n(static_cast<const float*>(host.data), array.values.size(), array.values.begin());
  }
  return kept;
}

Shape batched(const StateSpec& spec, std::int64_t steps) {
  Shape shape = spec.sized(steps);
  if (!spec.shape[0].free) shape.insert(shape.begin(), 1);
  return shape;
}

State uploaded_state(Backend& backend, const Method& method, const Inversion& inversion) {
  State state;
  for (const StateSpec& spec : method.state()) {
    const std::vector<float>& values = inversion.array(spec.name).values;
    const Array host = host_array(Dtype::float32, batched(spec, inversion.steps));
    std::copy(values.begin(), values.end(), static_cast<float*>(host.data));
    state[spec.name] = backend.upload(host);
  }
  return state;
}

void check_model(const Manifest& manifest, const Inversion& inversion) {
  if (inversion.model != manifest.model) {
    throw InversionError(Message("The inversion belongs to another model")
                             .got(clipped(inversion.model, 12))
                             .expected(clipped(manifest.model, 12))
                             .hint(made_with + "."));
  }
  check_array("codes", inversion.codes(), {manifest.generator.styles, manifest.generator.width});
}

void check_inversion(const Manifest& manifest, const Method& method, const Inversion& inversion) {
  check_model(manifest, inversion);
  if (inversion.method != method.name()) {
    throw InversionError(Message("The inversion belongs to another method")
                             .got(clipped(inversion.method, 44))
                             .expected(method.name())
                             .hint(made_with + ", loaded with the " + loaded_as(inversion.method) + "."));
  }
  if (inversion.steps < 0 || inversion.steps > max_steps) {
    throw InversionError(Message("The inversion's steps do not fit")
                             .got(std::to_string(inversion.steps))
                             .expected("0 to " + std::to_string(max_steps)));
  }
  std::vector<std::string> names, expected;
  for (const auto& entry : inversion.arrays) names.push_back(entry.first);
  for (const StateSpec& spec : method.state()) expected.push_back(spec.name);
  std::sort(expected.begin(), expected.end());
  if (names != expected) {
    throw InversionError(Message("The inversion holds other arrays").got(joined(names)).expected(joined(expected)));
  }
  for (const StateSpec& spec : method.state()) {
    check_array(spec.name, inversion.array(spec.name), spec.sized(inversion.steps));
  }
}

}  // namespace hyperstyle
