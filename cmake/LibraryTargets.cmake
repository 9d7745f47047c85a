# hessian_add_library(NAME [WITHOUT_TORCH] FOLDERS ... [ROOT DIR] [INCLUDES DIR] DEPENDS ... USES ... HEADERS ...)
#
# A static library of this project, exported as hessian::NAME: all sources in its FOLDERS (its rooms). Its headers include each
# other from ROOT (by default src); public headers are in INCLUDES (by default include), and only those are installed. DEPENDS
# are libraries that its headers show, USES those that it links privately, HEADERS those of headers alone, which an installed
# library does not need any more. LibTorch's headers are precompiled once, in the first library, and reused by the others but
# for those WITHOUT_TORCH.
function(hessian_add_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "WITHOUT_TORCH" "ROOT;INCLUDES" "FOLDERS;DEPENDS;USES;HEADERS")
  if(NOT arg_ROOT)
    set(arg_ROOT src)
  endif()
  if(NOT arg_INCLUDES)
    set(arg_INCLUDES include)
  endif()
  list(TRANSFORM arg_FOLDERS APPEND /*.cpp)
  file(GLOB sources CONFIGURE_DEPENDS ${arg_FOLDERS})
  list(TRANSFORM arg_HEADERS REPLACE "(.+)" "$<BUILD_INTERFACE:\\1>")
  add_library(${name} STATIC ${sources})
  add_library(hessian::${name} ALIAS ${name})
  target_compile_features(${name} PUBLIC cxx_std_20)
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  if(NOT name STREQUAL "hessian")
    set_target_properties(${name} PROPERTIES OUTPUT_NAME hessian_${name})
  endif()
  target_include_directories(${name} PUBLIC $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/${arg_ROOT}>)
  target_link_libraries(${name} PUBLIC ${arg_DEPENDS} PRIVATE ${arg_USES} ${arg_HEADERS}
                                                             $<BUILD_INTERFACE:hessian_warnings>)
  if(NOT arg_WITHOUT_TORCH)
    hessian_precompile(${name})
  endif()
  install(TARGETS ${name} EXPORT hessianTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${arg_INCLUDES})
    target_include_directories(${name} PUBLIC $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/${arg_INCLUDES}>
                                              $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    install(DIRECTORY ${arg_INCLUDES}/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  endif()
endfunction()

# hessian_add_program(NAME [WITHOUT_TORCH] SOURCE ... USES ...): a program, in build/.../bin and installed to bin, with the
# libraries that it USES.
function(hessian_add_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "WITHOUT_TORCH" "SOURCE" "USES")
  add_executable(${name} ${arg_SOURCE})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
  target_link_libraries(${name} PRIVATE ${arg_USES} CLI11::CLI11 hessian_warnings)
  if(NOT arg_WITHOUT_TORCH)
    hessian_precompile(${name})
  endif()
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()

# LibTorch's headers bring a fmt of their own, which the compiler meets before the system's: used without its compiled part, it
# does not matter which one that is. Libraries without LibTorch use the system's, fmt::fmt, which compiles faster.
set(HESSIAN_FMT fmt::fmt-header-only)

# Reuses the precompiled header, for which programs must be compiled as position-independent as libraries are.
function(hessian_precompile target)
  if(target STREQUAL "hessian")
    target_precompile_headers(${target} PRIVATE <ATen/ATen.h> <torch/csrc/autograd/autograd.h>)
    return()
  endif()
  target_precompile_headers(${target} REUSE_FROM hessian)
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "EXECUTABLE")
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${target} PRIVATE -fPIC)
  else()
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  endif()
endfunction()
