// The manifest of a bundle, `bundle.json`, as types: what a runtime needs to know of it.
#ifndef HYPERSTYLE_DEPLOY_MANIFEST_HPP
#define HYPERSTYLE_DEPLOY_MANIFEST_HPP

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "api.h"

namespace hyperstyle {

// A size, or a free axis with its name ("batch").
struct Dimension {
  Dimension(std::int64_t fixed) : size(fixed) {}
  Dimension(const char* axis) : free(true), name(axis) {}
  Dimension(std::string axis) : free(true), name(std::move(axis)) {}

  bool free = false;
  std::int64_t size = 0;
  std::string name;
};

// A graph's input or output.
struct TensorSpec {
  std::string name;
  std::string dtype;  // "float32", "float16", "bfloat16" or "int64"
  std::vector<Dimension> shape;
};

// One ONNX graph: its file, and its named inputs and outputs in order.
struct GraphSpec {
  std::string file;
  std::int64_t opset;
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
};

// Size in bytes and SHA-256 (hexadecimal) of one file.
struct FileSpec {
  std::int64_t bytes;
  std::string sha256;
};

// Which method the bundle runs, and how many refinement steps it takes unless told otherwise. `encoder_steps` is 0, but
// for a HyperStyle whose codes come from a ReStyle encoder: that encoder's own steps.
struct MethodSpec {
  std::string name;  // "psp", "e4e", "restyle-psp", "restyle-e4e" or "hyperstyle"
  std::int64_t default_steps;
  std::int64_t encoder_steps;
};

// What goes in, and which rows of the drawing are the image: from rows[0] to before rows[1].
struct ImageSpec {
  std::string kind;       // "photo", "sketch" or "labels"
  std::int64_t channels;  // 3 for photos, 1 for sketches, one each label for labels
  std::int64_t input_height;
  std::int64_t input_width;
  std::int64_t rows[2];

  // Whether input and result are pictures of one kind, so that there is an error between them.
  bool comparable() const { return kind == "photo"; }
};

// One convolution of the generator.
struct Layer {
  std::int64_t index;  // as HyperStyle counts: a 3x3 convolution and toRGB, then up, 3x3 and toRGB per resolution
  std::string name;
  std::int64_t in_channels;
  std::int64_t out_channels;
  std::int64_t kernel;
  std::int64_t resolution;  // of its output
  std::int64_t style;       // the row of W+ that modulates it
  bool up;
  std::string offset;  // "none" (not tuned), "channel" (one number for all taps) or "full"

  bool tuned() const { return offset != "none"; }
  bool demodulated() const { return kernel == 3; }  // every convolution but toRGB is; StyleGAN1 normalises instead
};

// The generator: drawings of size x size from `styles` rows of `width` numbers, layer by layer.
struct GeneratorSpec {
  std::string family;  // "stylegan2"; of IDInvert "stylegan1"
  std::int64_t size;
  std::int64_t styles;
  std::int64_t width;
  std::vector<Layer> layers;

  // Channels of the styles of all layers, in their order: a point of StyleSpace.
  std::int64_t channels() const {
    std::int64_t count = 0;
    for (const Layer& layer : layers) count += layer.in_channels;
    return count;
  }
};

// A further generator of the bundle: the same network, fine-tuned to draw in another domain.
struct FineTunedSpec {
  std::string name;
  std::vector<std::int64_t> offsets;          // indices of the layers whose weight offsets it takes
  std::optional<std::int64_t> encoder_steps;  // of an encoder that gives its codes; none for the method's own codes
};

// An array that an inversion keeps of a photo, float32; the axis "steps" is as long as there were refinement steps.
struct HYPERSTYLE_DEPLOY_API StateSpec {
  std::string name;
  std::vector<Dimension> shape;

  // The shape after `steps` refinement steps.
  std::vector<std::int64_t> sized(std::int64_t steps) const;
};

// A file that the bundle was exported from: what it is to the method, its name and checksum.
struct CheckpointSpec {
  std::string role;
  std::string file;
  std::string sha256;
};

// Everything in `bundle.json` but its provenance. Entries of graphs and files are in the document's order.
struct HYPERSTYLE_DEPLOY_API Manifest {
  MethodSpec method;
  std::string domain;
  std::string model;                   // identifies the checkpoints that inversions belong to
  std::string precision;               // "float32", "float16" or "bfloat16"
  std::optional<std::string> licence;  // of the weights, where it is known
  ImageSpec image;
  GeneratorSpec generator;
  std::vector<StateSpec> state;
  std::vector<CheckpointSpec> checkpoints;
  std::vector<std::string> constants;
  std::vector<std::pair<std::string, GraphSpec>> graphs;
  std::vector<std::pair<std::string, FileSpec>> files;
  std::vector<FineTunedSpec> generators;  // besides `generator`; most bundles have none

  std::int64_t image_height() const { return image.rows[1] - image.rows[0]; }  // of the result, in pixels
  std::int64_t image_width() const { return generator.size; }
  // The entry of a graph. Throws BundleError if there is none.
  const GraphSpec& graph(const std::string& name) const;
  const FileSpec* file(const std::string& name) const;  // null if there is none
};

}  // namespace hyperstyle

#endif
