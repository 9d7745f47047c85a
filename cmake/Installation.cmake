# Installs the package for find_package(hessian), which records where LibTorch is, and hessian.pc for pkg-config.
include(CMakePackageConfigHelpers)

set(_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/hessian)
install(EXPORT hessianTargets NAMESPACE hessian:: DESTINATION ${_package_dir})
configure_package_config_file(cmake/hessianConfig.cmake.in ${CMAKE_BINARY_DIR}/hessianConfig.cmake
                              INSTALL_DESTINATION ${_package_dir})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/hessianConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/hessianConfig.cmake ${CMAKE_BINARY_DIR}/hessianConfigVersion.cmake cmake/FindLibTorch.cmake
              cmake/FindPCRE2.cmake cmake/FindSentencePiece.cmake
        DESTINATION ${_package_dir})

# hessian.pc locates the installed tree relative to itself, so that the tree can be moved.
set(_pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
set(_pc_libdir ${CMAKE_INSTALL_LIBDIR})
set(_pc_includedir ${CMAKE_INSTALL_INCLUDEDIR})
foreach(_dir libdir includedir)
  if(NOT IS_ABSOLUTE ${_pc_${_dir}})
    set(_pc_${_dir} "\${prefix}/${_pc_${_dir}}")
  endif()
endforeach()
if(IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR})
  set(_pc_prefix ${CMAKE_INSTALL_PREFIX})
else()
  file(RELATIVE_PATH _pc_up /${_pc_dir} /)
  string(REGEX REPLACE "/$" "" _pc_up "${_pc_up}")
  set(_pc_prefix "\${pcfiledir}/${_pc_up}")
endif()
# Libraries that the static library links privately: its users have to link them too.
set(_pc_private_libs "")
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  string(APPEND _pc_private_libs " -lgomp")
endif()
if(HESSIAN_CUDA)
  string(APPEND _pc_private_libs " ${LibTorch_c10_cuda_LIBRARY} ${CUDA_cudart_LIBRARY}")
endif()
configure_file(cmake/hessian.pc.in ${CMAKE_BINARY_DIR}/hessian.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/hessian.pc DESTINATION ${_pc_dir})

install(FILES ${CMAKE_SOURCE_DIR}/data/kjv.txt DESTINATION ${CMAKE_INSTALL_DATADIR}/hessian OPTIONAL)
