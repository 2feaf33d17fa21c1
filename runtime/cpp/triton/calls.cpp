#include "calls.hpp"

#include <string>

#include "hyperstyle_deploy/errors.hpp"

namespace hyperstyle::triton {
namespace {

struct Told {
  TRITONSERVER_Error_Code code;
  std::string message;
};

Told told(std::exception_ptr failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const CallError& error) {
    return {error.code(), error.what()};
  } catch (const Cancelled&) {
    return {TRITONSERVER_ERROR_CANCELLED, "The request was cancelled."};
  } catch (const ImageError& error) {
    return {TRITONSERVER_ERROR_INVALID_ARG, error.what()};
  } catch (const ArrayError& error) {
    return {TRITONSERVER_ERROR_INVALID_ARG, error.what()};
  } catch (const std::exception& error) {
    return {TRITONSERVER_ERROR_INTERNAL, error.what()};
  } catch (...) {
    return {TRITONSERVER_ERROR_INTERNAL, "unknown"};
  }
}

}  // namespace

void done(TRITONSERVER_Error* error) {
  if (error == nullptr) return;
  const CallError failure(TRITONSERVER_ErrorCode(error), TRITONSERVER_ErrorMessage(error));
  TRITONSERVER_ErrorDelete(error);
  throw failure;
}

TRITONSERVER_Error* report_of(std::exception_ptr failure) {
  const Told error = told(failure);
  return TRITONSERVER_ErrorNew(error.code, error.message.c_str());
}

TRITONSERVER_Error* answer_of(std::exception_ptr failure) {
  Told error = told(failure);
  if (error.code == TRITONSERVER_ERROR_INTERNAL) {
    TRITONSERVER_ErrorDelete(
        TRITONSERVER_LogMessage(TRITONSERVER_LOG_ERROR, __FILE__, __LINE__, error.message.c_str()));
    error.message = "The model failed. Triton's log says why.";
  }
  return TRITONSERVER_ErrorNew(error.code, error.message.c_str());
}

}  // namespace hyperstyle::triton
