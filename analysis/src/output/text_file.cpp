#include "output/text_file.h"

#include "run_file/output_file.h"

namespace hessian::analysis {

void write_text(const std::filesystem::path& path, const std::string& text) {
  experiments::write_file(path, text);
}

}  // namespace hessian::analysis
