#include "layers.hpp"

#include <algorithm>
#include <tuple>

#include "text.hpp"

namespace hyperstyle {
namespace {

// Layers that go through HyperStyle's shared hypernetwork: every 3x3 convolution with 512 channels on both sides.
const std::set<std::int64_t>& shared_layers() {
  static const std::set<std::int64_t> indices{0, 2, 3, 5, 6, 8, 9, 11, 12};
  return indices;
}

std::int64_t levels_of(std::int64_t size) {
  std::int64_t bits = 0;
  for (; size > 0; size >>= 1) ++bits;
  return bits - 3;
}

std::int64_t channels_at(std::int64_t resolution) { return std::min<std::int64_t>(512, 32768 / resolution); }

auto fields(const Layer& layer) {
  return std::tie(layer.index, layer.name, layer.in_channels, layer.out_channels, layer.kernel, layer.resolution,
                  layer.style, layer.up, layer.offset);
}

}  // namespace

std::int64_t style_count(std::int64_t size) { return 2 * levels_of(size) + 2; }

std::vector<Layer> layer_table(std::int64_t size, const std::set<std::int64_t>& tuned, bool separable) {
  const auto offset = [&](std::int64_t index, std::int64_t kernel) -> std::string {
    if (tuned.count(index) == 0) return "none";
    if (shared_layers().count(index) > 0) return "shared";
    return separable && kernel == 3 ? "separable" : "channel";
  };
  std::vector<Layer> table{{0, "conv1", 512, 512, 3, 4, 0, false, offset(0, 3)},
                           {1, "to_rgb1", 512, 3, 1, 4, 1, false, offset(1, 1)}};
  for (std::int64_t level = 0; level < levels_of(size); ++level) {
    const std::int64_t resolution = 8LL << level, index = 3 * level + 2, style = 2 * level + 1;
    const std::int64_t below = channels_at(resolution / 2), here = channels_at(resolution);
    const auto name = [](const char* kind, std::int64_t row) { return kind + std::to_string(row); };
    table.push_back({index, name("convs.", 2 * level), below, here, 3, resolution, style, true, offset(index, 3)});
    table.push_back({index + 1, name("convs.", 2 * level + 1), here, here, 3, resolution, style + 1, false,
                     offset(index + 1, 3)});
    table.push_back({index + 2, name("to_rgbs.", level), here, 3, 1, resolution, style + 2, false,
                     offset(index + 2, 1)});
  }
  return table;
}

bool operator==(const Layer& left, const Layer& right) { return fields(left) == fields(right); }

std::string repr(const Layer& layer) {
  const auto number = [](std::int64_t value) { return std::to_string(value); };
  return "Layer(index=" + number(layer.index) + ", name=" + repr(layer.name) +
         ", in_channels=" + number(layer.in_channels) + ", out_channels=" + number(layer.out_channels) +
         ", kernel=" + number(layer.kernel) + ", resolution=" + number(layer.resolution) +
         ", style=" + number(layer.style) + ", up=" + (layer.up ? "True" : "False") + ", offset=" + repr(layer.offset) +
         ")";
}

}  // namespace hyperstyle
