// From a graph's entry in the manifest to the arrays of one run.
#ifndef HYPERSTYLE_DEPLOY_BINDING_HPP
#define HYPERSTYLE_DEPLOY_BINDING_HPP

#include <map>
#include <string>
#include <vector>

#include "../array.hpp"
#include "hyperstyle_deploy/bundle.hpp"

namespace hyperstyle {

class Method;

// A graph's inputs by name, constants where nothing is given, and the sizes of its free axes.
struct Binding {
  Arrays inputs;
  std::map<std::string, std::int64_t> free_axes;

  // The shape of an output: a free axis is as long as the inputs' of that name.
  Shape output_shape(const TensorSpec& output) const;
};

// Throws BackendError: an input is neither given nor a constant, or an array is of another type or shape.
Binding bound(const std::string& graph, const GraphSpec& spec, const Arrays& given, const Arrays& constants);

// A constant by its name. Throws BackendError.
const Array& constant_of(const Arrays& constants, const std::string& name);

// The graphs that a backend loads when a bundle is opened: those that the method runs but `synthesis` and its kind,
// which are for several codes of one photo, and `unused`, which this backend does otherwise.
std::vector<std::string> graphs_to_load(const Method& method, const char* unused);

}  // namespace hyperstyle

#endif
