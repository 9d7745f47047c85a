#include "checkpoints/huggingface_config.h"

#include "io/byte_reader.h"
#include "io/json_reader.h"
#include "io/mapped_file.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

/// Returns the architecture that `architectures` names, or `model_type` in files without it.
const HuggingFaceArchitecture& find_architecture(const HuggingFaceSettings& settings) {
  const auto* names = settings.find("architectures");
  if (names != nullptr && (!names->is_array() || names->size() != 1 || !names->front().is_string())) {
    settings.expected("architectures", *names, "a list of one name");
  }
  const std::string word = names != nullptr ? names->front().get<std::string>() : settings.text("model_type", "");
  std::string accepted;
  for (const HuggingFaceArchitecture& architecture : huggingface_architectures()) {
    if (word == (names != nullptr ? architecture.name : architecture.model_type)) {
      return architecture;
    }
    accepted += accepted.empty() ? architecture.name : std::string(", ") + architecture.name;
  }
  fail(settings.path(), "architecture {} is not supported; supported are {}", name_text(word), accepted);
}

}  // namespace

HuggingFaceConfig read_huggingface_config(const std::string& path) {
  const auto file = MappedFile::open(path);
  const HuggingFaceSettings settings(parse_json_object(as_text(file->bytes()), path, "the file"), path);
  const HuggingFaceArchitecture& architecture = find_architecture(settings);
  HuggingFaceConfig result{&architecture, architecture.read(settings)};
  settings.refuse_unread();
  with_source(path, [&] { validate(result.config); });
  return result;
}

}  // namespace hessian::models
