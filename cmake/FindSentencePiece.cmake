# Finds the tokenizer library sentencepiece. Defines sentencepiece::sentencepiece.

find_path(SentencePiece_INCLUDE_DIR sentencepiece_processor.h)
find_library(SentencePiece_LIBRARY sentencepiece)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(SentencePiece REQUIRED_VARS SentencePiece_LIBRARY SentencePiece_INCLUDE_DIR
                                  REASON_FAILURE_MESSAGE "install libsentencepiece-dev")
mark_as_advanced(SentencePiece_INCLUDE_DIR SentencePiece_LIBRARY)

if(SentencePiece_FOUND AND NOT TARGET sentencepiece::sentencepiece)
  add_library(sentencepiece::sentencepiece INTERFACE IMPORTED)
  set_target_properties(
    sentencepiece::sentencepiece PROPERTIES INTERFACE_INCLUDE_DIRECTORIES ${SentencePiece_INCLUDE_DIR} INTERFACE_LINK_LIBRARIES
                                                                                                        ${SentencePiece_LIBRARY})
endif()
