# hessian_add_library(NAME [WITHOUT_TORCH] FOLDERS ... [ROOT DIR] [INCLUDES DIR] DEPENDS ... USES ... HEADERS ...)
#
# A static library of this project, exported as hessian::NAME: all sources in its FOLDERS (its rooms). Its headers include each
# other from ROOT (by default src); public headers are in INCLUDES (by default include), and only those are installed. DEPENDS
# are libraries that its headers show, USES those that it links privately, HEADERS those of headers alone, which an installed
# library does not need any more. LibTorch's headers are precompiled once, in the first library, and reused by the others except
# those WITHOUT_TORCH. PLAIN sources include nothing of LibTorch's: without the precompiled header, which takes the compiler a
# second to load, they compile in a fraction of the time.
function(hessian_add_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "WITHOUT_TORCH" "ROOT;INCLUDES" "FOLDERS;DEPENDS;USES;HEADERS;PLAIN")
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
    set_source_files_properties(${arg_PLAIN} PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
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

# LibTorch's wheel has headers of another fmt, without its library. These put the system's before them, so that formatting is
# compiled once, in the system's library, instead of in every file.
get_target_property(_fmt_include fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/fmt)
file(CREATE_LINK ${_fmt_include}/fmt ${CMAKE_BINARY_DIR}/fmt/fmt SYMBOLIC)
add_library(hessian_fmt INTERFACE)
target_include_directories(hessian_fmt INTERFACE ${CMAKE_BINARY_DIR}/fmt)

# hessian_precompile(TARGET [FROM OWNER]): reuses the precompiled header of OWNER, by default that of the first library, for which
# programs must be compiled as position-independent as libraries are.
function(hessian_precompile target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "FROM" "")
  if(target STREQUAL "hessian")
    target_precompile_headers(${target} PRIVATE <ATen/ATen.h> <torch/csrc/autograd/autograd.h>)
    return()
  endif()
  if(NOT arg_FROM)
    set(arg_FROM hessian)
  endif()
  target_precompile_headers(${target} REUSE_FROM ${arg_FROM})
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "EXECUTABLE")
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${target} PRIVATE -fPIC)
  else()
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  endif()
endfunction()
