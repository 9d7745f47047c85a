# Installs the package that find_package(hessian) finds. Everything it needs is recorded: where LibTorch was, and how to find it.
include(CMakePackageConfigHelpers)

set(_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/hessian)
install(EXPORT hessianTargets NAMESPACE hessian:: DESTINATION ${_package_dir})
configure_package_config_file(cmake/hessianConfig.cmake.in ${CMAKE_BINARY_DIR}/hessianConfig.cmake
                              INSTALL_DESTINATION ${_package_dir})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/hessianConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/hessianConfig.cmake ${CMAKE_BINARY_DIR}/hessianConfigVersion.cmake cmake/FindLibTorch.cmake
        DESTINATION ${_package_dir})
install(FILES ${CMAKE_SOURCE_DIR}/data/kjv.txt DESTINATION ${CMAKE_INSTALL_DATADIR}/hessian OPTIONAL)
