#include "layers.hpp"

#include <set>

#include "manifest_checks.hpp"
#include "text.hpp"

namespace hyperstyle {
namespace {

constexpr std::int64_t first_resolution = 4;
// Channels, styles and their width: what a checkpoint could hold.
constexpr std::int64_t most = 1 << 14;

std::string number(std::int64_t value) { return std::to_string(value); }

// What is wrong with the sizes of a layer that reads what the convolution `before` writes; null before the first.
void check_sizes(const std::string& where, const Layer& layer, const Layer* before) {
  const std::int64_t resolution = before == nullptr ? first_resolution : before->resolution * (layer.up ? 2 : 1);
  if (layer.resolution != resolution || (before == nullptr && layer.up)) {
    throw wrong(where, "resolution " + number(layer.resolution), number(resolution));
  }
  const std::int64_t in = before == nullptr ? layer.in_channels : before->out_channels;
  const std::int64_t out = layer.demodulated() ? layer.out_channels : 3;
  if (layer.in_channels != in || layer.out_channels != out || in < 1 || in > most || out < 1 || out > most) {
    throw wrong(where, number(layer.in_channels) + " to " + number(layer.out_channels) + " channels",
                number(in) + " to " + number(out) + ", 1 to " + number(most));
  }
}

void check_layer(const std::string& where, const Layer& layer, std::int64_t index, const Layer* before,
                 std::int64_t styles) {
  if (layer.index != index) throw wrong(where, "index " + number(layer.index), number(index));
  if (!is_plain(layer.name)) throw wrong(where, "name " + repr(clipped(layer.name, 80)), "letters, digits, _ and .");
  if (layer.offset != "none" && layer.offset != "channel" && layer.offset != "full") {
    throw wrong(where, "offset " + repr(clipped(layer.offset, 80)), "none, channel or full");
  }
  if (layer.style < 0 || layer.style >= styles) {
    throw wrong(where, "style " + number(layer.style), "0 to " + number(styles - 1));
  }
  if (layer.kernel != 3 && (layer.kernel != 1 || layer.up || before == nullptr)) {
    throw wrong(where, "kernel " + number(layer.kernel), "3, or 1 of a toRGB layer behind a convolution");
  }
  check_sizes(where, layer, before);
}

}  // namespace

void check_generator(const Manifest& manifest) {
  const GeneratorSpec& generator = manifest.generator;
  if (generator.family != "stylegan2" && generator.family != "stylegan1") {
    throw wrong("generator.family", clipped(generator.family, 80), "stylegan2 or stylegan1");
  }
  const std::pair<const char*, std::int64_t> sizes[] = {{"generator.styles", generator.styles},
                                                        {"generator.width", generator.width}};
  for (const auto& [name, size] : sizes) {
    if (size < 1 || size > most) throw wrong(name, number(size), "1 to " + number(most));
  }
  std::set<std::string> names;
  const Layer* before = nullptr;
  for (const Layer& layer : generator.layers) {
    const auto row = static_cast<std::int64_t>(names.size());
    const std::string where = "generator.layers[" + number(row) + "]";
    check_layer(where, layer, row, before, generator.styles);
    if (layer.resolution > generator.size) {
      throw wrong(where, "resolution " + number(layer.resolution), "up to " + number(generator.size));
    }
    if (!names.insert(layer.name).second) throw wrong(where, "the name " + layer.name + " again", "a name of its own");
    if (layer.demodulated()) before = &layer;
  }
  if (names.empty() || generator.layers.back().resolution != generator.size) {
    throw wrong("generator.layers",
                names.empty() ? "none" : "a last resolution of " + number(generator.layers.back().resolution),
                "layers up to " + number(generator.size));
  }
}

std::vector<Layer> tuned_layers(const Manifest& manifest) {
  std::vector<Layer> tuned;
  for (const Layer& layer : manifest.generator.layers) {
    if (layer.tuned()) tuned.push_back(layer);
  }
  return tuned;
}

std::vector<Dimension> weight_shape(const Layer& layer) {
  std::vector<Dimension> shape = energy_shape(layer);
  shape.insert(shape.end(), {layer.kernel, layer.kernel});
  return shape;
}

std::vector<Dimension> energy_shape(const Layer& layer) {
  if (layer.up) return {layer.in_channels, layer.out_channels};
  return {layer.out_channels, layer.in_channels};
}

std::vector<Dimension> offset_shape(const Layer& layer) {
  std::vector<Dimension> shape{layer.out_channels, layer.in_channels};
  if (layer.offset == "full") shape.insert(shape.end(), {layer.kernel, layer.kernel});
  return shape;
}

std::vector<Dimension> noise_shape(const Layer& layer) { return {1, 1, layer.resolution, layer.resolution}; }

}  // namespace hyperstyle
