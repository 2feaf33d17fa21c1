// Triton's calls as functions that throw, and our errors as Triton's.
#ifndef HYPERSTYLE_TRITON_CALLS_HPP
#define HYPERSTYLE_TRITON_CALLS_HPP

#include <exception>
#include <stdexcept>

#include "triton/core/tritonbackend.h"

namespace hyperstyle::triton {

// What Triton answered to a call of ours.
class CallError : public std::runtime_error {
 public:
  CallError(TRITONSERVER_Error_Code code, const char* message) : std::runtime_error(message), code_(code) {}
  TRITONSERVER_Error_Code code() const { return code_; }

 private:
  TRITONSERVER_Error_Code code_;
};

// Throws CallError where a call failed.
void done(TRITONSERVER_Error* error);

// The error to answer with, which the caller owns. What only the client can have caused is told; everything else goes
// to Triton's log.
TRITONSERVER_Error* answer_of(std::exception_ptr failure);

// The same for what has no client: all of it is told.
TRITONSERVER_Error* report_of(std::exception_ptr failure);

}  // namespace hyperstyle::triton

#endif
