# How every target of the project is compiled.
function(hyperstyle_settings target)
  target_compile_features(${target} PUBLIC cxx_std_17)
  set_target_properties(
    ${target} PROPERTIES CXX_EXTENSIONS OFF CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
                         POSITION_INDEPENDENT_CODE ON)
  # No fused multiply-add: the arithmetic between stages is the Python runtime's, bit for bit.
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wconversion -Wshadow -ffp-contract=off)
  # In place of CMake's -O3, which makes the library more than twice as large; the time goes to graphs.
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-Os>)
  if(HYPERSTYLE_WARNINGS_AS_ERRORS)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(HYPERSTYLE_SANITIZE)
    set(sanitizers -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_compile_options(${target} PRIVATE ${sanitizers})
    target_link_options(${target} PUBLIC ${sanitizers})
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND NOT HYPERSTYLE_SANITIZE)
    target_link_options(${target} PRIVATE LINKER:-z,defs)
  endif()
endfunction()
