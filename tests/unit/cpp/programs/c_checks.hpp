// The C interface, checked against what C++ found.
#pragma once

#include "hyperstyle_deploy/runtime.hpp"

// `last` is what a session on `bundle` made of the photo; `method` is an optimisation, or null; `descends` says whether
// steps follow a gradient.
void check_c_interface(const char* bundle, const char* method, bool descends, const hyperstyle::Image& photo,
                       const hyperstyle::Inversion& last);
