// The directions that a bundle carries, and what edits make of codes.
#ifndef HYPERSTYLE_DEPLOY_DIRECTIONS_HPP
#define HYPERSTYLE_DEPLOY_DIRECTIONS_HPP

#include <string>
#include <vector>

#include "hyperstyle_deploy/bundle.hpp"
#include "hyperstyle_deploy/direction.hpp"

namespace hyperstyle {

class Method;

// All throw DirectionError. A name has letters, digits, "-" and "_"; the parts of a direction fit each other (`where`
// names it in errors), and it moves the codes of a bundle.
void check_direction_name(const std::string& name);
void check_parts(const Direction& direction, const std::string& where);
void check_direction(const Manifest& manifest, const Direction& direction);

// The names of a bundle's directions in order, and one of them, checked.
std::vector<std::string> direction_names(const Bundle& bundle);
Direction read_direction(const Bundle& bundle, const std::string& name);

// The codes of a person after each edit, [N, styles, width]; everything in the edits is checked. Throws DirectionError,
// InversionError of one that is mixed in, and ArrayError for no edits.
Floats edited_codes(const Bundle& bundle, const Method& method, const Floats& codes, const std::vector<Edit>& edits);

}  // namespace hyperstyle

#endif
