// The generator's layer table: index, name, channels and how HyperStyle offsets each convolution.
#ifndef HYPERSTYLE_DEPLOY_LAYERS_HPP
#define HYPERSTYLE_DEPLOY_LAYERS_HPP

#include <set>
#include <string>
#include <vector>

#include "hyperstyle_deploy/manifest.hpp"

namespace hyperstyle {

// Rows of W+ for an image `size`, a power of two: 18, 16, 14 for 1024, 512, 256.
std::int64_t style_count(std::int64_t size);

// The convolutions of the generator of `size`, in HyperStyle's order; `tuned` holds the layers with offsets.
std::vector<Layer> layer_table(std::int64_t size, const std::set<std::int64_t>& tuned, bool separable);

bool operator==(const Layer& left, const Layer& right);

// As Python shows one.
std::string repr(const Layer& layer);

}  // namespace hyperstyle

#endif
