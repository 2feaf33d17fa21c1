// What a user may set of an optimisation.
#ifndef HYPERSTYLE_DEPLOY_SETTINGS_HPP
#define HYPERSTYLE_DEPLOY_SETTINGS_HPP

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "inversion.hpp"

namespace hyperstyle {

// As Python's Settings; what is not set is the method's own.
struct Settings {
  std::uint64_t seed = 0;              // of everything that is drawn, below 2^63
  std::optional<double> rate;          // the learning rate before the schedule, 1e-7 to 10
  std::string space = "w+";            // of projection: "w" for one code that all rows share, "w+" for a code each
  bool locality = false;               // tune with PTI's regulariser; of bundles that have its graph
  std::optional<Floats> pivot;         // codes [styles, width] that tuning leaves as they are
  std::map<std::string, double> loss;  // weights of terms of the loss, 0 or more, in place of the bundle's
  std::optional<double> until_lpips;   // stop a photo whose LPIPS has come down to it; of bundles whose loss has it
};

}  // namespace hyperstyle

#endif
