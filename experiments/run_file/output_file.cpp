#include "run_file/output_file.h"

#include <stdexcept>
#include <string>
#include <system_error>

namespace hessian::experiments {

namespace fs = std::filesystem;

void make_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error || !fs::is_directory(path, error)) {
    throw std::runtime_error(path.string() +
                             ": cannot be made a folder: " + (error ? error.message() : "it is a file"));
  }
}

void ensure_writable_output(const fs::path& path, bool overwrite) {
  const AtomicFile trial(path, overwrite);
}

}  // namespace hessian::experiments
