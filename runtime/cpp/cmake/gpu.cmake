# The GPU backends: the project's CUDA kernels, ONNX Runtime's CUDA provider, and TensorRT where it is switched on.
find_package(CUDAToolkit REQUIRED)
set(kernels ${CMAKE_CURRENT_SOURCE_DIR}/../../kernels)
# The kernels' library, as `python -m hyperstyle_deploy.kernels.build` or kernels/CMakeLists.txt make it.
find_library(HYPERSTYLE_KERNELS hyperstyle_modulate HINTS ${kernels}/lib REQUIRED)
target_sources(
  hyperstyle_deploy PRIVATE src/backends/device.cpp src/backends/gpu.cpp src/backends/onnxruntime_cuda.cpp
                            src/backends/open_gpu.cpp)
target_compile_definitions(hyperstyle_deploy PRIVATE HYPERSTYLE_WITH_CUDA=1)
target_include_directories(hyperstyle_deploy PRIVATE ${kernels})
target_link_libraries(hyperstyle_deploy PRIVATE CUDA::cudart ${HYPERSTYLE_KERNELS})
install(FILES ${HYPERSTYLE_KERNELS} DESTINATION ${CMAKE_INSTALL_LIBDIR})  # it travels beside the library
if(HYPERSTYLE_WITH_TENSORRT)
  set(HYPERSTYLE_TENSORRT_TARGET tensorrt CACHE STRING "Whose library is linked: tensorrt or tensorrt-rtx")
  if(HYPERSTYLE_TENSORRT_TARGET STREQUAL tensorrt)
    set(names nvinfer nvinfer_lean)
  elseif(HYPERSTYLE_TENSORRT_TARGET STREQUAL tensorrt-rtx)
    set(names tensorrt_rtx)
  else()
    message(FATAL_ERROR "HYPERSTYLE_TENSORRT_TARGET is ${HYPERSTYLE_TENSORRT_TARGET}; it can be tensorrt or tensorrt-rtx")
  endif()
  find_path(TensorRT_INCLUDE_DIR NvInferRuntime.h REQUIRED)
  find_library(TensorRT_LIBRARY NAMES ${names} REQUIRED)
  target_sources(hyperstyle_deploy PRIVATE src/backends/engines.cpp src/backends/tensorrt.cpp)
  target_compile_definitions(hyperstyle_deploy PRIVATE HYPERSTYLE_WITH_TENSORRT=1
                                                       HYPERSTYLE_TENSORRT_TARGET="${HYPERSTYLE_TENSORRT_TARGET}")
  target_include_directories(hyperstyle_deploy SYSTEM PRIVATE ${TensorRT_INCLUDE_DIR})
  target_link_libraries(hyperstyle_deploy PRIVATE ${TensorRT_LIBRARY})
endif()
