// The whole C++ interface.
#ifndef HYPERSTYLE_DEPLOY_RUNTIME_HPP
#define HYPERSTYLE_DEPLOY_RUNTIME_HPP

#include "alignment.hpp"
#include "bundle.hpp"
#include "direction.hpp"
#include "errors.hpp"
#include "image.hpp"
#include "inversion.hpp"
#include "manifest.hpp"
#include "session.hpp"
#include "settings.hpp"

#endif
