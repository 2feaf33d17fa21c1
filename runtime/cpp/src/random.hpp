// What optimisations draw: the twin of runtime/methods/randomness.py, which says how and why.
#ifndef HYPERSTYLE_DEPLOY_RANDOM_HPP
#define HYPERSTYLE_DEPLOY_RANDOM_HPP

#include <cstdint>
#include <string>

#include "array.hpp"

namespace hyperstyle {

// Standard normal numbers of this shape, float32, in host memory: of a seed, what is drawn, and at which step.
Array normal_numbers(std::uint64_t seed, const std::string& name, std::uint64_t index, const Shape& shape);

}  // namespace hyperstyle

#endif
