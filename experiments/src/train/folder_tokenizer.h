#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "hessian/models/data_record.h"
#include "hessian/models/tokenizer.h"

namespace hessian::experiments {

/// What a new run does with the files of tokenizers in its folder, so that hessian-probe finds its own tokenizer there, next
/// to the checkpoints, and no other.
struct FolderTokenizer {
  std::map<std::string, std::string> copies;   ///< files to copy, by the names that they get
  std::vector<std::filesystem::path> removed;  ///< files to remove: those of the run that is replaced
  std::map<std::string, std::string> files;    ///< digests of the files that the run has put there afterwards, by name
};

/// Returns the record of the run that a folder holds, as its run file or its last checkpoint has it; an empty record if there
/// is none.
models::DataRecord recorded_data(const std::filesystem::path& folder);

/// Plans the changes for a new run. Changes nothing.
/// \param tokenizer  of the run; absent: bytes, or tokens whose tokenizer is unknown
/// \param earlier    record of the run that is replaced
/// \throws std::runtime_error  one line, for a file that would be taken for one of the run's tokenizer but was put there by no
///                             run
FolderTokenizer plan_folder_tokenizer(const std::filesystem::path& folder,
                                      const std::optional<models::Tokenizer>& tokenizer,
                                      const models::DataRecord& earlier);

/// Removes the files of the run that is replaced.
void remove_old_files(const FolderTokenizer& plan);

/// Copies the files of the new run.
void copy_new_files(const FolderTokenizer& plan, const std::filesystem::path& folder);

}  // namespace hessian::experiments
