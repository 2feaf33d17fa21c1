#include "manifest_checks.hpp"

#include <algorithm>
#include <set>

#include "layers.hpp"
#include "schema.hpp"

namespace hyperstyle {
namespace {

constexpr const char* graph_names[] = {"encoder", "hypernet", "offsets", "weights", "synthesis", "synthesis_one"};

std::string number(std::int64_t value) { return std::to_string(value); }

void check_image(const ImageSpec& image, const Json& range) {
  if (image.size != 256 && image.size != 512 && image.size != 1024) {
    throw wrong("image.size", number(image.size), "one of (256, 512, 1024)");
  }
  const std::pair<const char*, std::int64_t> sizes[] = {{"image.input_height", image.input_height},
                                                        {"image.input_width", image.input_width}};
  for (const auto& [name, size] : sizes) {
    if (size < 16 || size > 4096) throw wrong(name, number(size), "16 to 4096");
  }
  if (!(0 <= image.rows[0] && image.rows[0] < image.rows[1] && image.rows[1] <= image.size)) {
    throw wrong("image.rows", repr(std::vector<std::int64_t>{image.rows[0], image.rows[1]}),
                "rows inside 0 to " + number(image.size));
  }
  if (range[0].get<double>() != -1 || range[1].get<double>() != 1) {
    throw wrong("image.value_range", repr(range), "[-1.0, 1.0]");
  }
}

void check_loop(const Manifest& manifest) {
  if (manifest.default_steps < 1) throw wrong("default_steps", number(manifest.default_steps), "at least 1");
  std::set<std::int64_t> tuned;
  for (const Layer& layer : manifest.layers) {
    if (layer.tuned()) tuned.insert(layer.index);
  }
  const std::vector<Layer> table = layer_table(manifest.image.size, tuned, manifest.separable);
  if (manifest.layers.size() != table.size()) {
    throw wrong("layers", std::to_string(manifest.layers.size()) + " layers",
                std::to_string(table.size()) + " for size " + number(manifest.image.size));
  }
  for (std::size_t row = 0; row < table.size(); ++row) {
    if (!(manifest.layers[row] == table[row])) {
      throw wrong("layers[" + number(table[row].index) + "]", repr(manifest.layers[row]), repr(table[row]));
    }
  }
}

void check_files(const Manifest& manifest) {
  std::vector<std::string> missing;
  for (const char* name : graph_names) {
    const auto named = [&](const auto& graph) { return graph.first == name; };
    if (std::none_of(manifest.graphs.begin(), manifest.graphs.end(), named)) missing.emplace_back(name);
  }
  if (!missing.empty()) {
    const std::vector<std::string> all(std::begin(graph_names), std::end(graph_names));
    throw wrong("graphs", "no " + joined(missing), joined(all));
  }
  std::set<std::string> unlisted(manifest.constants.begin(), manifest.constants.end());
  for (const auto& graph : manifest.graphs) unlisted.insert(graph.second.file);
  for (const auto& file : manifest.files) unlisted.erase(file.first);
  if (!unlisted.empty()) {
    throw wrong("files", "no entry for " + joined({unlisted.begin(), unlisted.end()}), "every graph and constants file");
  }
  for (const auto& [name, file] : manifest.files) {
    const bool digits = file.sha256.find_first_not_of("0123456789abcdef") == std::string::npos;
    if (file.bytes < 0 || file.sha256.size() != 64 || !digits) {
      throw wrong("files[" + name + "]", "FileSpec(bytes=" + number(file.bytes) + ", sha256=" + repr(file.sha256) + ")",
                  "bytes and 64 hexadecimal digits");
    }
  }
}

std::string shown(const std::vector<Dimension>& shape) {
  std::vector<std::string> texts;
  for (const Dimension& dim : shape) texts.push_back(dim.free ? repr(dim.name) : number(dim.size));
  return "[" + joined(texts) + "]";
}

void check_tensor(const GraphSpec& graph, const TensorSpec& tensor, const std::string& precision) {
  const std::string where = graph.file + ": " + tensor.name;
  const bool narrow = tensor.dtype == "float16" || tensor.dtype == "bfloat16";
  if (!narrow && tensor.dtype != "float32" && tensor.dtype != "int64") {
    throw wrong(where + ".dtype", tensor.dtype, "one of ('float32', 'float16', 'bfloat16', 'int64')");
  }
  if (narrow && tensor.dtype != precision) throw wrong(where + ".dtype", tensor.dtype, "float32 or " + precision);
  for (const Dimension& dim : tensor.shape) {
    if (!dim.free && dim.size <= 0) throw wrong(where + ".shape", shown(tensor.shape), "positive sizes");
  }
}

constexpr std::int64_t any = -1;
using Sizes = std::vector<std::int64_t>;

// A tensor of a stage has these sizes: `any` is a free axis or any size, a free axis will also do for 1.
void check_sizes(const GraphSpec& graph, const std::vector<TensorSpec>& tensors, const std::string& name,
                 const Sizes& sizes, bool is_float32 = true) {
  const auto found =
      std::find_if(tensors.begin(), tensors.end(), [&](const TensorSpec& tensor) { return tensor.name == name; });
  if (found == tensors.end()) throw wrong(graph.file, "no " + name, "the stage's inputs and outputs");
  bool fits = found->shape.size() == sizes.size() && (!is_float32 || found->dtype == "float32");
  for (std::size_t axis = 0; fits && axis < sizes.size(); ++axis) {
    const Dimension& dim = found->shape[axis];
    fits = sizes[axis] == any || (dim.free ? sizes[axis] == 1 : dim.size == sizes[axis]);
  }
  if (!fits) throw wrong(graph.file + ": " + name, found->dtype + " " + shown(found->shape), repr(sizes));
}

void check_drawing(const Manifest& manifest, const char* stage, std::int64_t images) {
  const GraphSpec& graph = manifest.graph(stage);
  check_sizes(graph, graph.inputs, "codes", {images, manifest.styles(), 512});
  check_sizes(graph, graph.outputs, "image", {images, 3, manifest.image_height(), manifest.image_width()});
  check_sizes(graph, graph.outputs, "reconstruction",
              {images, 3, manifest.image.input_height, manifest.image.input_width});
}

}  // namespace

Sizes weight_sizes(const Layer& layer) {
  const Sizes channels = layer.up ? Sizes{layer.in_channels, layer.out_channels} : Sizes{layer.out_channels, layer.in_channels};
  return {channels[0], channels[1], layer.kernel, layer.kernel};
}

void check_stages(const Manifest& manifest) {
  const Sizes photo{any, 3, manifest.image.input_height, manifest.image.input_width};
  const GraphSpec &encoder = manifest.graph("encoder"), &hypernet = manifest.graph("hypernet");
  check_sizes(encoder, encoder.inputs, "image", photo);
  check_sizes(encoder, encoder.outputs, "codes", {any, manifest.styles(), 512});
  check_sizes(hypernet, hypernet.inputs, "image", photo);
  check_sizes(hypernet, hypernet.inputs, "reconstruction", photo);
  check_sizes(hypernet, hypernet.outputs, "offset_codes", {any, manifest.tuned(), 512});
  for (const char* stage : {"offsets", "weights"}) {
    check_sizes(manifest.graph(stage), manifest.graph(stage).inputs, "offset_codes", {any, manifest.tuned(), 512});
    check_sizes(manifest.graph(stage), manifest.graph(stage).inputs, "steps", {});
  }
  const GraphSpec& offsets = manifest.graph("offsets");
  for (const Layer& layer : manifest.layers) {
    if (!layer.tuned()) continue;
    Sizes sizes{layer.out_channels, layer.in_channels};
    if (layer.offset != "channel") sizes.insert(sizes.end(), {layer.kernel, layer.kernel});
    check_sizes(offsets, offsets.outputs, "offset." + layer.name, sizes, false);
  }
  check_drawing(manifest, "synthesis", any);
  check_drawing(manifest, "synthesis_one", 1);
}

void check_manifest(const Manifest& manifest, const Json& range) {
  const std::string& precision = manifest.precision;
  if (precision != "float32" && precision != "float16" && precision != "bfloat16") {
    throw wrong("precision", precision, "one of ('float32', 'float16', 'bfloat16')");
  }
  check_image(manifest.image, range);
  check_loop(manifest);
  check_files(manifest);
  for (const auto& entry : manifest.graphs) {
    for (const TensorSpec& tensor : entry.second.inputs) check_tensor(entry.second, tensor, precision);
    for (const TensorSpec& tensor : entry.second.outputs) check_tensor(entry.second, tensor, precision);
  }
}

}  // namespace hyperstyle
