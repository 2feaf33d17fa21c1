// What the checks of sessions share.
#pragma once

#include <cstdio>
#include <cstdlib>

#include "hyperstyle_deploy/runtime.hpp"

inline void check(bool holds, const char* what) {
  std::printf("%s %s\n", holds ? "ok  " : "FAIL", what);
  if (!holds) std::exit(1);
}

inline bool same(const hyperstyle::Inversion& left, const hyperstyle::Inversion& right) {
  bool equal = left.l2 == right.l2 && left.steps == right.steps && left.image.pixels == right.image.pixels &&
               left.arrays.size() == right.arrays.size();
  for (const auto& [name, array] : left.arrays) {
    equal = equal && array.values == right.array(name).values && array.shape == right.array(name).shape;
  }
  return equal;
}

// Whether its steps follow a gradient: it is an optimisation, or IDInvert, which is a bundle's own method.
inline bool descends(const hyperstyle::Session& session) {
  return session.method() != session.manifest().method.name || session.method() == "idinvert";
}

inline hyperstyle::InvertOptions with_steps(std::int64_t steps) {
  hyperstyle::InvertOptions options;
  options.steps = static_cast<int>(steps);
  return options;
}
