// Directions in a model's codes and styles, and edits: changes of a person with their strengths.
#ifndef HYPERSTYLE_DEPLOY_DIRECTION_HPP
#define HYPERSTYLE_DEPLOY_DIRECTION_HPP

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "api.h"
#include "inversion.hpp"

namespace hyperstyle {

constexpr double max_strength = 100;

// A named direction, read from the file that the Python runtime's `directions import` writes. A plain value.
struct HYPERSTYLE_DEPLOY_API Direction {
  std::string name;
  std::string model;           // identifies the checkpoints whose codes it moves
  std::int64_t first_row = 0;  // the rows that it moves, to before end_row; in styles the layers
  std::int64_t end_row = 0;
  double least_strength = 0;  // what looks well: advice, what is beyond is drawn all the same
  double greatest_strength = 0;
  Floats vector;     // [1, width] for all rows alike, or one for each row; in styles [1, channels of all layers]
  Floats mean;       // of GANSpace's components the mean code [1, width], and the standard deviation [1]: the strength
  Floats deviation;  // is then the coordinate that the rows are moved to. Empty of others, whose strength is a factor
  std::map<std::string, std::string> source;  // free text about where it comes from
  bool in_styles = false;  // moves channels of the styles that the layers make of codes (StyleSpace), not codes

  bool is_component() const { return !mean.values.empty(); }

  // Throws DirectionError: there is none, it is damaged, of another version, or its parts do not fit each other.
  static Direction load(const std::string& path);
};

// Rows of another person's codes: strength * (theirs - own), all of them at 1.
struct Mix {
  Inversion other;
  std::int64_t first_row = 0;
  std::int64_t end_row = 0;  // not included
};

// A direction of the bundle by its name, any direction, or rows of another person; and how much of it.
struct Change {
  std::variant<std::string, Direction, Mix> what;
  double strength = 0;
};

// All at once: every change looks at the person's own codes, and the sum is added. None: the person.
using Edit = std::vector<Change>;

}  // namespace hyperstyle

#endif
