# hessian_add_library(NAME [WITHOUT_TORCH] [INTERNAL] FOLDERS ... [ROOT DIR] [INCLUDES DIR] DEPENDS ... USES ... HEADERS ... PLAIN ...)
#
# Adds a static library of this project, installed and exported as hessian::NAME unless it is INTERNAL to the programs.
#   FOLDERS   folders of its sources (its rooms)
#   ROOT      folder from which its sources include each other's headers; by default src
#   INCLUDES  folder of its public headers, the only ones that are installed; by default include
#   DEPENDS   libraries whose headers its own headers include
#   USES      libraries that it links privately
#   HEADERS   header-only libraries that only building it requires, not using the installed library
#   PLAIN     sources that include no header of LibTorch. They are compiled in a fraction of the time without the precompiled
#             header, which the compiler needs a second to load
# LibTorch's headers are precompiled once, in the first library, and reused by all others but those WITHOUT_TORCH.
function(hessian_add_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "WITHOUT_TORCH;INTERNAL" "ROOT;INCLUDES" "FOLDERS;DEPENDS;USES;HEADERS;PLAIN")
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
  if(NOT arg_INTERNAL)
    install(TARGETS ${name} EXPORT hessianTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  endif()
  if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${arg_INCLUDES})
    target_include_directories(${name} PUBLIC $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/${arg_INCLUDES}>
                                              $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    install(DIRECTORY ${arg_INCLUDES}/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  endif()
endfunction()

# hessian_add_program(NAME [WITHOUT_TORCH] SOURCE ... USES ...): adds a program, built in build/.../bin and installed to bin, that
# links the libraries in USES.
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

# Puts the system's headers of fmt before those of another version in LibTorch's wheel, which lacks the library. Formatting is then
# compiled once, in the system's library, instead of in every file.
get_target_property(_fmt_include fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/fmt)
file(CREATE_LINK ${_fmt_include}/fmt ${CMAKE_BINARY_DIR}/fmt/fmt SYMBOLIC)
add_library(hessian_fmt INTERFACE)
target_include_directories(hessian_fmt INTERFACE ${CMAKE_BINARY_DIR}/fmt)

# hessian_precompile(TARGET [FROM OWNER]): reuses the precompiled header of OWNER, by default that of the first library. This
# requires programs to be compiled as position-independent code, as libraries are.
function(hessian_precompile target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "FROM" "")
  if(target STREQUAL "hessian")
    target_precompile_headers(${target} PRIVATE <ATen/ATen.h>)
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
