// StyleSpace: what can be moved of the styles that a generator's layers make of codes, and which graph draws it.
#ifndef HYPERSTYLE_DEPLOY_CHANNELS_HPP
#define HYPERSTYLE_DEPLOY_CHANNELS_HPP

#include "hyperstyle_deploy/direction.hpp"
#include "methods/method.hpp"

namespace hyperstyle {

// That a direction in styles fits a bundle, and that the bundle can draw it. Throws DirectionError.
void check_channels(const Manifest& manifest, const Direction& direction);

// The graph that draws with what is added to styles. Throws DirectionError: the bundle has none, or the method's
// generators are not drawn so.
std::string styled_graph(const Manifest& manifest, const Method& method);

}  // namespace hyperstyle

#endif
