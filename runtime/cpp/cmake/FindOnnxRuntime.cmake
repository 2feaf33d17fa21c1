# ONNX Runtime: its C++ headers (OnnxRuntime_INCLUDE_DIR) and its library (OnnxRuntime_LIBRARY), for instance the
# distribution's headers and the Python wheel's libonnxruntime.so.1.x. Makes the target OnnxRuntime::OnnxRuntime.
find_path(OnnxRuntime_INCLUDE_DIR onnxruntime_cxx_api.h PATH_SUFFIXES onnxruntime onnxruntime/core/session)
find_library(OnnxRuntime_LIBRARY onnxruntime)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  OnnxRuntime
  REQUIRED_VARS OnnxRuntime_LIBRARY OnnxRuntime_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "Pass -DOnnxRuntime_INCLUDE_DIR=... and -DOnnxRuntime_LIBRARY=... (docs/cpp.md says how to get both)")
if(OnnxRuntime_FOUND AND NOT TARGET OnnxRuntime::OnnxRuntime)
  # A wheel's library has the name libonnxruntime.so.1.32.0 and the soname libonnxruntime.so.1.
  add_library(OnnxRuntime::OnnxRuntime UNKNOWN IMPORTED)
  set_target_properties(OnnxRuntime::OnnxRuntime PROPERTIES IMPORTED_LOCATION "${OnnxRuntime_LIBRARY}"
                                                            INTERFACE_INCLUDE_DIRECTORIES "${OnnxRuntime_INCLUDE_DIR}")
endif()
mark_as_advanced(OnnxRuntime_INCLUDE_DIR OnnxRuntime_LIBRARY)
