# HESSIAN_CUDA builds the CUDA side: on by default where nvcc, the runtime library, and a LibTorch made for the same major
# version of CUDA are found. Without it the programs still run on a GPU through a CUDA-enabled LibTorch; see
# libhessian/src/device.cpp.
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
