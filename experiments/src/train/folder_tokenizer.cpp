#include "train/folder_tokenizer.h"

#include <stdexcept>

#include "config/model_option.h"
#include "hessian/run_file.h"
#include "io/atomic_file.h"
#include "io/byte_reader.h"
#include "io/mapped_file.h"
#include "tokenizers/tokenizer_files.h"
#include "train/train.h"

namespace hessian::experiments {

namespace fs = std::filesystem;

models::DataRecord recorded_data(const fs::path& folder) {
  try {
    const fs::path run_file = run_file_in(folder);
    if (fs::exists(run_file)) {
      const std::string data = RunFileReader(run_file).info().data;
      return data.empty() ? models::DataRecord{} : models::parse_data_record(data, run_file.string());
    }
    const auto checkpoints = list_checkpoints(folder);
    return checkpoints.empty() ? models::DataRecord{}
                               : models::read_data_record(checkpoints.back().string()).value_or(models::DataRecord{});
  } catch (const std::runtime_error&) {
    return {};  // a damaged file records nothing
  }
}

FolderTokenizer plan_folder_tokenizer(const fs::path& folder, const std::optional<models::Tokenizer>& tokenizer,
                                      const models::DataRecord& earlier) {
  FolderTokenizer plan;
  if (tokenizer) {
    plan.copies = tokenizer->files_by_name();
  }
  for (const auto& [name, source] : plan.copies) {
    plan.files[name] = models::digest_of_file(source);
  }
  for (const std::string& name : models::tokenizer_file_names()) {
    const fs::path path = folder / name;
    if (!fs::exists(path)) {
      continue;
    }
    const std::string digest = models::digest_of_file(path.string());
    const auto recorded = earlier.files.find(name);
    const bool is_of_earlier_run = recorded != earlier.files.end() && recorded->second == digest;
    const auto wanted = plan.files.find(name);
    if (wanted != plan.files.end() && wanted->second == digest) {
      plan.copies.erase(name);
      if (!is_of_earlier_run) {
        plan.files.erase(wanted);  // it stays the user's own
      }
    } else if (is_of_earlier_run) {
      plan.removed.push_back(path);
    } else if (tokenizer) {
      throw std::runtime_error(
          path.string() +
          ": belongs to another tokenizer, and no run put it there; move it away, or choose another "
          "'out'");
    }
  }
  return plan;
}

void remove_old_files(const FolderTokenizer& plan) {
  for (const fs::path& path : plan.removed) {
    fs::remove(path);
  }
}

void copy_new_files(const FolderTokenizer& plan, const fs::path& folder) {
  for (const auto& [name, source] : plan.copies) {
    models::write_file(folder / name, models::as_text(models::MappedFile::open(source)->bytes()));
  }
}

}  // namespace hessian::experiments
