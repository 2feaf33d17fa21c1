// The command line of `invert`.
#pragma once

#include <hyperstyle_deploy/session.hpp>
#include <optional>
#include <string>
#include <vector>

struct Arguments {
  std::string bundle;
  std::vector<std::string> photos;
  std::string folder = ".";
  std::optional<double> until_gain;
  std::string stored = "float16";  // what pti's weights are written as
  hyperstyle::Options options;
};

// Throws std::invalid_argument with a text for the user.
Arguments parse(int argc, char** argv);
