# Usage requirements of every target here: warnings, and the sanitizers that a preset asks for.
add_library(hessian_warnings INTERFACE)
target_compile_options(hessian_warnings INTERFACE $<$<COMPILE_LANGUAGE:C,CXX>:-Wall -Wextra -Wpedantic>
                                                  $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 reports overlaps in std::string's operator+ that do not exist (GCC bug 105651).
  target_compile_options(hessian_warnings INTERFACE $<$<COMPILE_LANGUAGE:C,CXX>:-Wno-restrict>)
endif()
if(HESSIAN_WERROR)
  target_compile_options(hessian_warnings INTERFACE $<$<COMPILE_LANGUAGE:C,CXX>:-Werror>
                                                    $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings>)
endif()

set(HESSIAN_SANITIZE "" CACHE STRING "Sanitizers to build with, as in -fsanitize=")
if(HESSIAN_SANITIZE)
  add_compile_options(-fsanitize=${HESSIAN_SANITIZE} -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${HESSIAN_SANITIZE})
  set(HESSIAN_SANITIZE_FLAGS -fsanitize=${HESSIAN_SANITIZE})
endif()
