# Runs at every build: writes the commit of the sources and the given versions (VERSION, LIBTORCH, CUDA) into build_info.h. Leaves
# the file untouched if nothing has changed, so that nothing is recompiled.
execute_process(
  COMMAND git describe --always --dirty --abbrev=40 --exclude=*
  WORKING_DIRECTORY ${SOURCE_DIR}
  OUTPUT_VARIABLE COMMIT
  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT COMMIT)
  set(COMMIT unknown)
endif()
configure_file(${SOURCE_DIR}/cmake/build_info.h.in ${OUTPUT} @ONLY)
