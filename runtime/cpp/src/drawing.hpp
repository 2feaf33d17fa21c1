// Drawing any codes with the weights of one person.
#ifndef HYPERSTYLE_DEPLOY_DRAWING_HPP
#define HYPERSTYLE_DEPLOY_DRAWING_HPP

#include <vector>

#include "hyperstyle_deploy/image.hpp"
#include "runner.hpp"

namespace hyperstyle {

// A person's arrays, and how many steps they took; between two people that may be a fraction.
struct Person {
  const Inversion& inversion;
  float steps;
};

// Pictures of W+ codes, [N, styles, width] or [styles, width]. `styles` [N, channels of all layers] are added to what the
// layers' affine maps make of the codes; empty: nothing is. Throws ArrayError: codes or styles of another shape, or not
// finite; DirectionError: styles, and the bundle has no graph that takes them; BackendError and KernelError.
std::vector<Image> drawn(const Runner& runner, const Person& person, const Floats& codes, const Floats& styles);

// Edits without names of a person with these codes, all in one batch. Throws as `drawn`.
std::vector<Image> drawn_edits(const Runner& runner, const Person& person, const std::vector<Edit>& edits);

// Pixels [1, height, width, 3] on the host as an image.
Image image_of(const Array& pixels);

}  // namespace hyperstyle

#endif
