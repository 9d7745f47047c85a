# Finds LibTorch inside a Python wheel or a LibTorch archive and links its CPU libraries directly: the wheel's own CMake
# configuration insists on a CUDA toolkit even for programs that use only the CPU.
#
# Searches the variable or environment variable LIBTORCH, then the project's .venv. Defines LibTorch::LibTorch (libtorch_cpu,
# libc10), LibTorch_ROOT_DIR and LibTorch_VERSION.

if(NOT LIBTORCH AND DEFINED ENV{LIBTORCH})
  set(LIBTORCH $ENV{LIBTORCH})
endif()
if(NOT LIBTORCH)
  file(GLOB _libtorch_wheels ${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch)
  list(APPEND _libtorch_wheels ${LibTorch_HINT})
endif()

find_path(LibTorch_ROOT_DIR include/ATen/ATen.h
          PATHS ${LIBTORCH} ${_libtorch_wheels} NO_DEFAULT_PATH)

if(LibTorch_ROOT_DIR)
  set(_libtorch_api ${LibTorch_ROOT_DIR}/include/torch/csrc/api/include)
  # From about 2.10 on the first of these headers defines the version; earlier releases have only the second.
  set(_libtorch_version_file ${LibTorch_ROOT_DIR}/include/torch/headeronly/version.h)
  if(NOT EXISTS ${_libtorch_version_file})
    set(_libtorch_version_file ${_libtorch_api}/torch/version.h)
  endif()
  foreach(_part MAJOR MINOR PATCH)
    file(STRINGS ${_libtorch_version_file} _line REGEX "#define TORCH_VERSION_${_part} [0-9]+")
    string(REGEX MATCH "[0-9]+" _libtorch_${_part} "${_line}")
  endforeach()
  set(LibTorch_VERSION ${_libtorch_MAJOR}.${_libtorch_MINOR}.${_libtorch_PATCH})
  foreach(_library torch_cpu c10)
    find_library(LibTorch_${_library}_LIBRARY ${_library} PATHS ${LibTorch_ROOT_DIR}/lib NO_DEFAULT_PATH)
  endforeach()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  LibTorch
  REQUIRED_VARS LibTorch_ROOT_DIR LibTorch_torch_cpu_LIBRARY LibTorch_c10_LIBRARY
  VERSION_VAR LibTorch_VERSION
  REASON_FAILURE_MESSAGE "run `make setup`, or set LIBTORCH to the folder that holds LibTorch's include/ and lib/")

if(LibTorch_FOUND AND NOT TARGET LibTorch::LibTorch)
  add_library(LibTorch::c10 SHARED IMPORTED)
  set_target_properties(LibTorch::c10 PROPERTIES IMPORTED_LOCATION ${LibTorch_c10_LIBRARY})
  add_library(LibTorch::LibTorch SHARED IMPORTED)
  set_target_properties(
    LibTorch::LibTorch
    PROPERTIES IMPORTED_LOCATION ${LibTorch_torch_cpu_LIBRARY}
               INTERFACE_INCLUDE_DIRECTORIES "${LibTorch_ROOT_DIR}/include;${_libtorch_api}"
               INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${LibTorch_ROOT_DIR}/include;${_libtorch_api}"
               INTERFACE_LINK_LIBRARIES LibTorch::c10)
  # Archives and wheels before 2.7 may use the old C++ ABI, whose std::string is incompatible with the other libraries here.
  execute_process(COMMAND nm -D --defined-only ${LibTorch_c10_LIBRARY} OUTPUT_VARIABLE _libtorch_symbols)
  if(_libtorch_symbols AND NOT _libtorch_symbols MATCHES "__cxx11")
    message(FATAL_ERROR "${LibTorch_ROOT_DIR}: this LibTorch uses the old C++ ABI; take a build with the C++11 ABI "
                        "(archives named cxx11-abi, or wheels from 2.7 on)")
  endif()
endif()
mark_as_advanced(LibTorch_ROOT_DIR LibTorch_torch_cpu_LIBRARY LibTorch_c10_LIBRARY)
