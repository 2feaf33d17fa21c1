// The manifest of a bundle, `bundle.json`, as types: what a runtime needs to know of it.
#ifndef HYPERSTYLE_DEPLOY_MANIFEST_HPP
#define HYPERSTYLE_DEPLOY_MANIFEST_HPP

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "api.h"

namespace hyperstyle {

// One convolution of the StyleGAN2 generator.
struct Layer {
  std::int64_t index;  // as HyperStyle counts: a 3x3 convolution and toRGB, then up, 3x3 and toRGB per resolution
  std::string name;
  std::int64_t in_channels;
  std::int64_t out_channels;
  std::int64_t kernel;
  std::int64_t resolution;  // of its output
  std::int64_t style;       // the row of W+ that modulates it
  bool up;
  std::string offset;  // "none" (not tuned), "shared", "channel" or "separable"

  bool tuned() const { return offset != "none"; }
  bool demodulated() const { return kernel == 3; }  // every convolution but toRGB is
};

// A size, or a free axis with its name ("batch").
struct Dimension {
  bool free;
  std::int64_t size;
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

// The networks see input_height x input_width. The generator draws size x size, of which rows[0] to rows[1] are the
// image. Values run over [-1, 1].
struct ImageSpec {
  std::int64_t size;
  std::int64_t input_height;
  std::int64_t input_width;
  std::int64_t rows[2];
};

// Everything in `bundle.json` but its provenance. Entries of graphs and files are in the document's order.
struct HYPERSTYLE_DEPLOY_API Manifest {
  std::string method;
  std::string domain;
  std::string model;      // identifies the checkpoint pair that inversions belong to
  std::string precision;  // "float32", "float16" or "bfloat16"
  std::int64_t default_steps;
  bool separable;  // the offset codes of every step are kept, because the hypernetwork is bilinear in them
  ImageSpec image;
  std::vector<Layer> layers;
  std::vector<std::string> constants;
  std::vector<std::pair<std::string, GraphSpec>> graphs;
  std::vector<std::pair<std::string, FileSpec>> files;

  std::int64_t styles() const;        // rows of W+: 18, 16, 14 for 1024, 512, 256
  std::int64_t tuned() const;         // layers with offsets, rows of the offset codes
  std::int64_t image_height() const;  // of the result, in pixels
  std::int64_t image_width() const { return image.size; }
  // The entry of a stage or a file. Throws BundleError if there is none.
  const GraphSpec& graph(const std::string& stage) const;
  const FileSpec* file(const std::string& name) const;  // null if there is none
};

}  // namespace hyperstyle

#endif
