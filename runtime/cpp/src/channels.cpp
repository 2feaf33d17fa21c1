#include "channels.hpp"

#include "hyperstyle_deploy/errors.hpp"
#include "text.hpp"

namespace hyperstyle {
namespace {

constexpr const char* own_graph = "synthesis_styles";

DirectionError no_graph(const std::string& what) {
  return DirectionError(Message(what + " the bundle has no graph that takes them")
                            .expected(std::string("a graph ") + own_graph)
                            .hint("Export the checkpoint again with --styles."));
}

}  // namespace

void check_channels(const Manifest& manifest, const Direction& direction) {
  const std::int64_t channels = direction.vector.shape.back(), expected = manifest.generator.channels();
  const auto layers = static_cast<std::int64_t>(manifest.generator.layers.size());
  if (channels != expected || direction.end_row > layers) {
    throw DirectionError(
        Message("The direction " + direction.name + " does not fit the styles")
            .got(std::to_string(channels) + " channels, up to layer " + std::to_string(direction.end_row - 1))
            .expected(std::to_string(expected) + " channels of " + std::to_string(layers) + " layers"));
  }
  if (found_graph(manifest, own_graph) == nullptr) {
    throw no_graph("The direction " + direction.name + " moves channels of styles, and");
  }
}

std::string styled_graph(const Manifest& manifest, const Method& method) {
  const std::string graph = method.styled();
  if (graph.empty()) {
    throw DirectionError(
        Message(method.name() + " cannot move channels of styles").hint("Directions in codes can be used."));
  }
  if (found_graph(manifest, graph) == nullptr) throw no_graph("Channels of styles are to be moved, and");
  return graph;
}

}  // namespace hyperstyle
