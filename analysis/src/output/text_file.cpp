#include "output/text_file.h"

#include <fstream>
#include <stdexcept>

#include "run_file/output_file.h"

namespace hessian::analysis {

void write_text(const std::filesystem::path& path, const std::string& text) {
  experiments::TemporaryOutput output(path, /*overwrite=*/true);
  std::ofstream file(output.path(), std::ios::binary);
  file << text;
  file.close();
  if (!file) {
    throw std::runtime_error(path.string() + ": cannot be written; is the disk full?");
  }
  output.publish();
}

}  // namespace hessian::analysis
