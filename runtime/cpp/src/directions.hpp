// The directions that a bundle carries, and what edits make of codes and styles.
#ifndef HYPERSTYLE_DEPLOY_DIRECTIONS_HPP
#define HYPERSTYLE_DEPLOY_DIRECTIONS_HPP

#include <string>
#include <vector>

#include "hyperstyle_deploy/bundle.hpp"
#include "hyperstyle_deploy/direction.hpp"

namespace hyperstyle {

// All throw DirectionError. A name has letters, digits, "-" and "_"; the parts of a direction fit each other (`where`
// names it in errors), and it moves the codes or styles of a bundle, which can draw that.
void check_direction_name(const std::string& name);
void check_parts(const Direction& direction, const std::string& where);
void check_direction(const Manifest& manifest, const Direction& direction);

// The names of a bundle's directions in order, and one of them, checked.
std::vector<std::string> direction_names(const Bundle& bundle);
Direction read_direction(const Bundle& bundle, const std::string& name);

// Edits with the bundle's directions in the place of names, everything in them checked. Throws DirectionError,
// InversionError of one that is mixed in, and ArrayError for no edits.
std::vector<Edit> resolved(const Bundle& bundle, const std::vector<Edit>& edits);

// Of edits without names: the codes of a person after each, [N, styles, width]; and what each adds to the styles of all
// layers, [N, channels], nothing if none adds anything.
Floats edited_codes(const Floats& codes, const std::vector<Edit>& edits);
Floats edited_styles(const std::vector<Edit>& edits);

}  // namespace hyperstyle

#endif
