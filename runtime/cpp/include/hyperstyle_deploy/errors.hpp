// The errors that the library throws: each says what failed, what was got and expected, and what to do next.
#ifndef HYPERSTYLE_DEPLOY_ERRORS_HPP
#define HYPERSTYLE_DEPLOY_ERRORS_HPP

#include <stdexcept>
#include <string>

#include "api.h"

namespace hyperstyle {

// What went wrong, as the C interface returns it; the numbers never change their meaning.
enum class Code : int {
  ok = 0,
  bundle = 1,
  image = 2,
  array = 3,
  inversion = 4,
  backend = 5,
  engine = 6,
  output = 7,
  kernel = 8,
  cancelled = 9,
  internal = 10,  // out of memory, or a bug: every exception that is none of these
  direction = 11,
  alignment = 12,
  optimisation = 13,
};

// Base of every error that the library throws on purpose. `what()` is UTF-8 and safe to print on a terminal.
class HYPERSTYLE_DEPLOY_API Error : public std::runtime_error {
 public:
  Error(Code code, const std::string& message) : std::runtime_error(message), code_(code) {}
  Code code() const noexcept { return code_; }

 private:
  Code code_;
};

// A bundle that is incomplete, damaged, unsafe or of another schema version.
class HYPERSTYLE_DEPLOY_API BundleError : public Error {
 public:
  explicit BundleError(const std::string& message) : Error(Code::bundle, message) {}
};

// A photo that cannot be read, is too large, or is of a kind that is not supported.
class HYPERSTYLE_DEPLOY_API ImageError : public Error {
 public:
  explicit ImageError(const std::string& message) : Error(Code::image, message) {}
};

// Landmarks that are no face's, or an alignment that belongs to another photo.
class HYPERSTYLE_DEPLOY_API AlignmentError : public Error {
 public:
  explicit AlignmentError(const std::string& message) : Error(Code::alignment, message) {}
};

// An argument of the wrong shape or range, or with NaN or Inf in it.
class HYPERSTYLE_DEPLOY_API ArrayError : public Error {
 public:
  explicit ArrayError(const std::string& message) : Error(Code::array, message) {}
};

// An inversion file that cannot be read, or that belongs to another model.
class HYPERSTYLE_DEPLOY_API InversionError : public Error {
 public:
  explicit InversionError(const std::string& message) : Error(Code::inversion, message) {}
};

// A direction that cannot be read or is unknown, that belongs to another model, or a strength out of range.
class HYPERSTYLE_DEPLOY_API DirectionError : public Error {
 public:
  explicit DirectionError(const std::string& message) : Error(Code::direction, message) {}
};

// A backend that is unknown, not built in, or failed to load or run; there is never a fallback to another.
class HYPERSTYLE_DEPLOY_API BackendError : public Error {
 public:
  explicit BackendError(const std::string& message) : BackendError(Code::backend, message) {}

 protected:
  BackendError(Code code, const std::string& message) : Error(code, message) {}
};

// An engine that is missing, foreign or damaged, or was built for another GPU, version, precision or shape.
class HYPERSTYLE_DEPLOY_API EngineError : public BackendError {
 public:
  explicit EngineError(const std::string& message) : BackendError(Code::engine, message) {}
};

// A file that could not be written: its folder is read-only, or the disk is full.
class HYPERSTYLE_DEPLOY_API OutputError : public Error {
 public:
  explicit OutputError(const std::string& message) : Error(Code::output, message) {}
};

// A CUDA kernel that refused its table or was not launched.
class HYPERSTYLE_DEPLOY_API KernelError : public Error {
 public:
  explicit KernelError(const std::string& message) : Error(Code::kernel, message) {}
};

// An optimisation whose loss is not finite at its very start: there is no result to keep.
class HYPERSTYLE_DEPLOY_API OptimisationError : public Error {
 public:
  explicit OptimisationError(const std::string& message) : Error(Code::optimisation, message) {}
};

// The caller cancelled the work.
class HYPERSTYLE_DEPLOY_API Cancelled : public Error {
 public:
  explicit Cancelled(const std::string& message) : Error(Code::cancelled, message) {}
};

}  // namespace hyperstyle

#endif
