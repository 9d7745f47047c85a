#include "hessian/models/checkpoint.h"

#include <charconv>
#include <filesystem>

#include "checkpoints/huggingface.h"
#include "checkpoints/nanogpt_checkpoint.h"
#include "checkpoints/own_checkpoint.h"
#include "formats/safetensors.h"
#include "formats/zip_archive.h"
#include "hessian/models/training_checkpoint.h"
#include "io/byte_reader.h"
#include "io/mapped_file.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

constexpr const char* accepted_kinds =
    "accepted are a model.safetensors with __metadata__[\"config\"], a nanoGPT ckpt.pt, a Hugging Face folder, and "
    "new:NAME for a new model";

constexpr const char* config_key = "config";
constexpr const char* step_key = "step";

/// Returns whether the bytes look like a safetensors file: the length of the header, then its opening brace.
bool looks_like_safetensors(std::span<const std::byte> file) {
  return file.size() > 8 && file[8] == std::byte{'{'};
}

/// Returns whether the bytes look like a Python pickle of protocol 2 to 5, which torch.save wrote before PyTorch 1.6.
bool looks_like_pickle(std::span<const std::byte> file) {
  return file.size() > 2 && file[0] == std::byte{0x80} && file[1] >= std::byte{2} && file[1] <= std::byte{5};
}

LoadedCheckpoint load_folder(const std::string& path, WeightAccess access) {
  LoadedCheckpoint result;
  if (!std::filesystem::exists(std::filesystem::path(path) / "config.json")) {
    fail(path, "is a folder without config.json; {}", accepted_kinds);
  }
  auto [model, architecture] = load_huggingface_folder(path, access);
  result.model = std::move(model);
  result.description = fmt::format("Hugging Face {}", architecture);
  return result;
}

}  // namespace

std::map<std::string, std::string> own_metadata(const GptConfig& config, std::int64_t training_step) {
  return {{config_key, config_to_json(config)}, {step_key, std::to_string(training_step)}};
}

std::int64_t parse_count(const std::string& text, const char* key, const std::string& path) {
  std::int64_t count = 0;
  const auto* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, count);
  if (error != std::errc() || rest != end || count < 0) {
    fail(path, "__metadata__['{}'] is {}, expected a non-negative integer", key, name_text(text));
  }
  return count;
}

LoadedCheckpoint model_of(const SafetensorsFile& file, const std::string& path) {
  const auto json = file.metadata.find(config_key);
  if (json == file.metadata.end()) {
    fail(path, "has no __metadata__[\"config\"], so the architecture is unknown; {}", accepted_kinds);
  }
  const GptConfig config = with_source(path, [&] { return config_from_json(json->second); });
  Parameters parameters;
  for (const auto& [name, tensor] : file.tensors) {
    // freqs_cis is the official code's RoPE table, which follows from the configuration.
    if (name != "freqs_cis" && !is_training_state(name)) {
      parameters.add(name, tensor);
    }
  }
  LoadedCheckpoint result;
  result.model = assemble_model(config, parameters, path);
  if (const auto step = file.metadata.find(step_key); step != file.metadata.end()) {
    result.training_step = parse_count(step->second, step_key, path);
  }
  result.description = fmt::format("{} {} checkpoint", to_string(config.family), to_string(config.placement));
  return result;
}

LoadedCheckpoint load_checkpoint(const std::string& path, WeightAccess access) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    return load_folder(path, access);
  }
  const auto file = MappedFile::open(path);
  if (looks_like_safetensors(file->bytes())) {
    return model_of(tensors_of(file, parse_safetensors_header(file->bytes(), path)), path);
  }
  // This reader also refuses legacy pickles, and says how to convert them.
  if (looks_like_zip(file->bytes()) || looks_like_pickle(file->bytes())) {
    auto [model, step] = load_nanogpt_checkpoint(path, access);
    return {std::move(model), step, "nanoGPT checkpoint"};
  }
  fail(path, "is not a checkpoint in a known form; {}", accepted_kinds);
}

void save_checkpoint(const Model& model, const std::string& path, std::int64_t training_step) {
  save_safetensors(path, model.parameters, own_metadata(model.config, training_step));
}

}  // namespace hessian::models
