// The functions that Triton looks for in a backend: https://github.com/triton-inference-server/backend
#include <exception>
#include <string>

#include "calls.hpp"
#include "instance.hpp"

#define HYPERSTYLE_TRITON_EXPORT __attribute__((visibility("default")))

using hyperstyle::triton::done;
using hyperstyle::triton::Instance;
using hyperstyle::triton::report_of;

extern "C" {

// See that this Triton has the calls that the backend was compiled with.
HYPERSTYLE_TRITON_EXPORT TRITONSERVER_Error* TRITONBACKEND_Initialize(TRITONBACKEND_Backend*) {
  try {
    std::uint32_t major = 0, minor = 0;
    done(TRITONBACKEND_ApiVersion(&major, &minor));
    if (major == TRITONBACKEND_API_VERSION_MAJOR && minor >= TRITONBACKEND_API_VERSION_MINOR) return nullptr;
    const std::string found = std::to_string(major) + "." + std::to_string(minor);
    const std::string wanted =
        std::to_string(TRITONBACKEND_API_VERSION_MAJOR) + "." + std::to_string(TRITONBACKEND_API_VERSION_MINOR);
    const std::string message = "The backend was compiled for another Triton. Got: backend API " + found +
                                ". Expected: " + wanted + ". Compile it with the headers of this Triton.";
    return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_UNSUPPORTED, message.c_str());
  } catch (...) {
    return report_of(std::current_exception());
  }
}

HYPERSTYLE_TRITON_EXPORT TRITONSERVER_Error* TRITONBACKEND_ModelInstanceInitialize(
    TRITONBACKEND_ModelInstance* handle) {
  try {
    auto instance = std::make_unique<Instance>(handle);
    done(TRITONBACKEND_ModelInstanceSetState(handle, instance.get()));
    instance.release();  // now the handle's
    return nullptr;
  } catch (...) {
    return report_of(std::current_exception());
  }
}

HYPERSTYLE_TRITON_EXPORT TRITONSERVER_Error* TRITONBACKEND_ModelInstanceFinalize(TRITONBACKEND_ModelInstance* handle) {
  void* state = nullptr;
  TRITONSERVER_Error* error = TRITONBACKEND_ModelInstanceState(handle, &state);
  if (error == nullptr) delete static_cast<Instance*>(state);
  return error;
}

// Requests that are given back here are the backend's, so nothing may be returned as an error once they are taken.
HYPERSTYLE_TRITON_EXPORT TRITONSERVER_Error* TRITONBACKEND_ModelInstanceExecute(TRITONBACKEND_ModelInstance* handle,
                                                                                TRITONBACKEND_Request** requests,
                                                                                const uint32_t request_count) {
  void* state = nullptr;
  if (TRITONSERVER_Error* error = TRITONBACKEND_ModelInstanceState(handle, &state)) return error;
  static_cast<const Instance*>(state)->execute(requests, request_count);
  return nullptr;
}

}  // extern "C"
