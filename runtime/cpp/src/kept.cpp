#include "kept.hpp"

#include <algorithm>

#include "hyperstyle_deploy/errors.hpp"
#include "text.hpp"

namespace hyperstyle {
namespace {

void check_same(const char* what, const std::string& found, const std::string& expected, const std::string& hint) {
  if (found == expected) return;
  throw InversionError(Message(std::string("The inversion belongs to another ") + what)
                           .got(clipped(found, 12))
                           .expected(clipped(expected, 12))
                           .hint("Use the bundle that it was made with" + hint + "."));
}

void check_array(const std::string& name, const Floats& array, const Shape& shape) {
  if (array.shape == shape && array.values.size() == static_cast<std::size_t>(count(shape))) return;
  throw InversionError(Message("The inversion's " + name + " do not fit")
                           .got(std::to_string(array.values.size()) + " values for " + repr(array.shape))
                           .expected(repr(shape)));
}

// What a further generator of the bundle draws.
void check_drawn_here(const Inversion& inversion) {
  const std::size_t plus = inversion.method.find('+');
  if (plus == std::string::npos) return;
  throw InversionError(
      Message("The inversion is drawn by the further generator " + clipped(inversion.method.substr(plus + 1), 40))
          .got(clipped(inversion.method, 80))
          .hint("The Python runtime draws with it: hyperstyle-deploy edit --generator."));
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

void check_inversion(const Manifest& manifest, const Method& method, const Inversion& inversion) {
  check_drawn_here(inversion);
  check_same("model", inversion.model, manifest.model, "");
  check_same("method", inversion.method, method.name(), ", loaded with the method " + clipped(inversion.method, 20));
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
