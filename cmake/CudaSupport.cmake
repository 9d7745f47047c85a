# The option HESSIAN_CUDA builds the CUDA kernels. It is on by default if nvcc, the runtime library, and a LibTorch for the same
# major version of CUDA are found. Without it the programs still run on a GPU through a CUDA-enabled LibTorch; see
# libhessian/src/device/device.cpp.
find_package(CUDAToolkit QUIET)
find_program(HESSIAN_NVCC nvcc HINTS ${CUDAToolkit_BIN_DIR})
find_library(LibTorch_c10_cuda_LIBRARY c10_cuda PATHS ${LibTorch_ROOT_DIR}/lib NO_DEFAULT_PATH)
mark_as_advanced(HESSIAN_NVCC LibTorch_c10_cuda_LIBRARY)

set(_cuda_default OFF)
if(CUDAToolkit_FOUND AND HESSIAN_NVCC AND LibTorch_c10_cuda_LIBRARY)
  file(STRINGS ${LibTorch_c10_cuda_LIBRARY} _needed REGEX "^libcudart\\.so\\.[0-9]+" LIMIT_COUNT 1)
  if(_needed MATCHES "libcudart\\.so\\.${CUDAToolkit_VERSION_MAJOR}")
    set(_cuda_default ON)
  endif()
endif()
option(HESSIAN_CUDA "Build the CUDA side" ${_cuda_default})
if(HESSIAN_CUDA AND NOT (CUDAToolkit_FOUND AND LibTorch_c10_cuda_LIBRARY))
  message(FATAL_ERROR "HESSIAN_CUDA=ON needs a CUDA toolkit and a LibTorch with CUDA; "
                      "toolkit: ${CUDAToolkit_VERSION}, libc10_cuda: ${LibTorch_c10_cuda_LIBRARY}")
endif()
message(STATUS "CUDA side: ${HESSIAN_CUDA}")
if(HESSIAN_CUDA)
  # Compiles machine code for Ampere and Hopper, and the PTX of Hopper for later devices.
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90)
  endif()
  set(CMAKE_CUDA_COMPILER ${HESSIAN_NVCC} CACHE FILEPATH "nvcc")
  enable_language(CUDA)
  # CMake before 3.26 does not know that nvcc supports C++20 (from release 12 on).
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  endif()
  add_compile_options($<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr>)
endif()
