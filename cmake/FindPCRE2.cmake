# Finds the library of regular expressions PCRE2 for 8-bit characters. Defines PCRE2::PCRE2.

find_path(PCRE2_INCLUDE_DIR pcre2.h)
find_library(PCRE2_LIBRARY pcre2-8)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(PCRE2 REQUIRED_VARS PCRE2_LIBRARY PCRE2_INCLUDE_DIR
                                  REASON_FAILURE_MESSAGE "install libpcre2-dev")
mark_as_advanced(PCRE2_INCLUDE_DIR PCRE2_LIBRARY)

if(PCRE2_FOUND AND NOT TARGET PCRE2::PCRE2)
  add_library(PCRE2::PCRE2 INTERFACE IMPORTED)
  set_target_properties(PCRE2::PCRE2 PROPERTIES INTERFACE_INCLUDE_DIRECTORIES ${PCRE2_INCLUDE_DIR} INTERFACE_LINK_LIBRARIES
                                                                                                    ${PCRE2_LIBRARY})
endif()
