// The generator's layers: the shapes of what belongs to each.
#ifndef HYPERSTYLE_DEPLOY_LAYERS_HPP
#define HYPERSTYLE_DEPLOY_LAYERS_HPP

#include <vector>

#include "hyperstyle_deploy/manifest.hpp"

namespace hyperstyle {

// The layers with offsets, in the order of the offset codes' rows.
std::vector<Layer> tuned_layers(const Manifest& manifest);

// A layer's weight in the layout of the convolution that takes it: [out, in, k, k], [in, out, k, k] for up layers.
std::vector<Dimension> weight_shape(const Layer& layer);
// The first two axes of the weight.
std::vector<Dimension> energy_shape(const Layer& layer);
// [out, in], or [out, in, k, k] of a whole kernel.
std::vector<Dimension> offset_shape(const Layer& layer);
// [1, 1, height, width] of the layer's output.
std::vector<Dimension> noise_shape(const Layer& layer);

}  // namespace hyperstyle

#endif
