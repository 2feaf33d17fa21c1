// Every state of an inversion, for tests that hold them against others'.
#pragma once

#include <string>
#include <vector>

// Words: "states", a bundle, a photo, a folder, steps, an optimisation, "w", "w+" or "held locally", a folder of draws or
// "-", weights "TERM=WEIGHT". Into the first folder goes a file "<array>.<step>" of raw numbers for every array that a
// step shows. A folder of draws has files "<what>.<step>" of normal numbers, zeros where there is none, which projection
// and PTI take in place of their own, and PTI's "pivot.0".
void write_states(const std::vector<std::string>& words);
