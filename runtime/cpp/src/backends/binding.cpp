#include "binding.hpp"

#include <algorithm>

#include "../methods/method.hpp"
#include "../text.hpp"
#include "hyperstyle_deploy/errors.hpp"

namespace hyperstyle {

Shape Binding::output_shape(const TensorSpec& output) const {
  Shape shape;
  for (const Dimension& dim : output.shape) {
    const auto found = free_axes.find(dim.name);
    if (dim.free && found == free_axes.end()) {
      throw BackendError(Message(output.name + " has an axis that no input has").got(clipped(dim.name, 80)));
    }
    shape.push_back(dim.free ? found->second : dim.size);
  }
  return shape;
}

Binding bound(const std::string& graph, const GraphSpec& spec, const Arrays& given, const Arrays& constants) {
  Binding binding;
  for (const auto& entry : given) {
    const auto named = [&](const TensorSpec& tensor) { return tensor.name == entry.first; };
    if (std::none_of(spec.inputs.begin(), spec.inputs.end(), named)) {
      throw BackendError(Message(graph + " takes other inputs").got(clipped(entry.first, 80)));
    }
  }
  for (const TensorSpec& tensor : spec.inputs) {
    const auto own = given.find(tensor.name);
    const Array& array = own == given.end() ? constant_of(constants, tensor.name) : own->second;
    bool fits = array.shape.size() == tensor.shape.size() && array.dtype == dtype_of(tensor.dtype);
    for (std::size_t axis = 0; fits && axis < array.shape.size(); ++axis) {
      const Dimension& dim = tensor.shape[axis];
      const std::int64_t size = array.shape[axis];
      fits = size == (dim.free ? binding.free_axes.emplace(dim.name, size).first->second : dim.size);
    }
    if (!fits) {
      throw BackendError(
          Message(graph + " cannot take " + tensor.name).got(repr(array.shape)).expected(shown(tensor.shape)));
    }
    binding.inputs[tensor.name] = array;
  }
  return binding;
}

const Array& constant_of(const Arrays& constants, const std::string& name) {
  const auto found = constants.find(name);
  if (found == constants.end()) throw BackendError(Message("The bundle has no constant " + name));
  return found->second;
}

std::vector<std::string> graphs_to_load(const Method& method, const char* unused) {
  std::vector<std::string> names;
  for (const Signature& signature : method.signatures()) {
    const std::string& graph = signature.graph;
    const bool late = graph == "synthesis" || graph == method.drawing();
    if (!late && graph != unused) names.push_back(graph);
  }
  return names;
}

}  // namespace hyperstyle
