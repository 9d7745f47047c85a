#include <array>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "hessian/models/token_data.h"
#include "io/messages.h"

namespace hessian::models {

std::string find_builtin_text(const std::string& source_option) {
  const std::filesystem::path name = "kjv.txt";
  std::error_code error;
  const char* chosen = std::getenv("HESSIAN_DATA_DIR");  // NOLINT(concurrency-mt-unsafe): nothing here sets variables
  if (chosen != nullptr && *chosen != '\0') {
    const auto path = chosen / name;
    if (!std::filesystem::is_regular_file(path, error)) {
      fail("builtin",
           "HESSIAN_DATA_DIR is {}, but there is no kjv.txt in it; set it to the folder that holds it, or give a "
           "file with {}",
           name_text(chosen), source_option);
    }
    return path.string();
  }
  std::vector<std::filesystem::path> folders;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) {
    folders.push_back(program.parent_path().parent_path() / "share" / "hessian");
  }
#ifdef HESSIAN_SOURCE_DATA_DIR
  folders.emplace_back(HESSIAN_SOURCE_DATA_DIR);
#endif
  for (const auto& folder : folders) {
    if (std::filesystem::is_regular_file(folder / name, error)) {
      return (folder / name).string();
    }
  }
  fail("builtin",
       "the King James Bible (kjv.txt) is not there; install the package bible-kjv and run `make setup`, set "
       "HESSIAN_DATA_DIR to the folder that holds it, or give a file with {}",
       source_option);
}

}  // namespace hessian::models
