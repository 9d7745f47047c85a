#include "hessian/models/checkpoint.h"

#include <array>
#include <charconv>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <utility>

#include "checkpoints/distributed_model.h"
#include "checkpoints/gguf_checkpoint.h"
#include "checkpoints/huggingface.h"
#include "checkpoints/llama2c_checkpoint.h"
#include "checkpoints/meta_checkpoint.h"
#include "checkpoints/nanogpt_checkpoint.h"
#include "checkpoints/own_checkpoint.h"
#include "formats/safetensors.h"
#include "formats/torch_checkpoint.h"
#include "formats/zip_archive.h"
#include "gguf/gguf.h"
#include "hessian/models/training_checkpoint.h"
#include "io/mapped_file.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

constexpr const char* config_key = "config";
constexpr const char* step_key = "step";

/// What a path leads to: a folder, or a file that has been mapped.
struct Place {
  std::string path;
  std::shared_ptr<const MappedFile> file;  ///< null for a folder

  bool has(const char* name) const { return !file && std::filesystem::exists(std::filesystem::path(path) / name); }
};

// Each of these returns whether a place holds one kind of checkpoint.

/// A safetensors file begins with the length of its header, and the header with a brace.
bool is_safetensors(const Place& place) {
  return place.file && place.file->bytes().size() > 8 && place.file->bytes()[8] == std::byte{'{'};
}

/// A zip archive, or a Python pickle of protocol 2 to 5, which torch.save wrote before PyTorch 1.6. Its reader refuses
/// the latter, and says how to convert it.
bool is_torch_file(const Place& place) {
  if (!place.file) {
    return false;
  }
  const auto bytes = place.file->bytes();
  const bool pickle =
      bytes.size() > 2 && bytes[0] == std::byte{0x80} && bytes[1] >= std::byte{2} && bytes[1] <= std::byte{5};
  return looks_like_zip(bytes) || pickle;
}

bool is_llama2c(const Place& place) {
  return is_torch_file(place) && is_llama2c_checkpoint(TorchCheckpoint(place.file));
}

bool is_gguf(const Place& place) {
  return place.file && looks_like_gguf(place.file->bytes());
}

bool is_huggingface(const Place& place) {
  return place.has("config.json");
}

bool is_meta(const Place& place) {
  return !place.file && is_meta_folder(place.path);
}

bool is_distributed(const Place& place) {
  return !place.file && is_distributed_folder(place.path);
}

// Each of these loads one kind of checkpoint.

LoadedCheckpoint load_own(const Place& place, const LoadOptions& options) {
  return model_of(tensors_of(place.file, parse_safetensors_header(place.file->bytes(), place.path)), place.path,
                  options.access);
}

LoadedCheckpoint load_llama2c(const Place& place, const LoadOptions& options) {
  auto [model, step] = load_llama2c_checkpoint(place.path, options.access);
  return {std::move(model), step, "llama2.c checkpoint"};
}

LoadedCheckpoint load_nanogpt(const Place& place, const LoadOptions& options) {
  const Activation gelu = options.tanh_gelu ? Activation::gelu_tanh : Activation::gelu;
  auto [model, step] = load_nanogpt_checkpoint(place.path, options.access, gelu);
  return {std::move(model), step, "nanoGPT checkpoint"};
}

LoadedCheckpoint load_gguf(const Place& place, const LoadOptions& options) {
  LoadedCheckpoint result;
  result.model = load_gguf_model(place.path, options.access);
  result.description = fmt::format("GGUF {}", to_string(result.model.config.family));
  return result;
}

LoadedCheckpoint load_huggingface(const Place& place, const LoadOptions& options) {
  LoadedCheckpoint result;
  auto [model, architecture] = load_huggingface_folder(place.path, options.access);
  result.model = std::move(model);
  result.description = fmt::format("Hugging Face {}", architecture);
  return result;
}

LoadedCheckpoint load_meta(const Place& place, const LoadOptions& options) {
  return {load_meta_model(place.path, options.access), 0, "Meta Llama"};
}

LoadedCheckpoint load_distributed(const Place& place, const LoadOptions& options) {
  auto [model, step] = load_distributed_model(place.path, options.access, options.config_json);
  return {std::move(model), step, "torch.distributed checkpoint"};
}

/// A kind of checkpoint. A new one is a loader and a row of the table.
struct Kind {
  const char* name;  ///< as in "accepted are a nanoGPT ckpt.pt, ..."
  bool (*recognises)(const Place&);
  LoadedCheckpoint (*load)(const Place&, const LoadOptions&);
  // Options that the kind has; the others are refused.
  bool has_tanh_gelu = false;
  bool has_config = false;
};

/// The first kind that recognises a place loads it.
constexpr std::array<Kind, 7> kinds = {{
    {"a model.safetensors with __metadata__[\"config\"]", is_safetensors, load_own},
    {"a llama2.c ckpt.pt", is_llama2c, load_llama2c},
    {"a nanoGPT ckpt.pt", is_torch_file, load_nanogpt, /*has_tanh_gelu=*/true},
    {"a GGUF file", is_gguf, load_gguf},
    {"a Hugging Face folder", is_huggingface, load_huggingface},
    {"a folder with Meta's params.json", is_meta, load_meta},
    {"a folder of torch.distributed.checkpoint", is_distributed, load_distributed, false, /*has_config=*/true},
}};

/// Lists the kinds for a message.
std::string accepted_kinds() {
  std::string text = "accepted are ";
  for (const Kind& kind : kinds) {
    text += kind.name;
    text += ", ";
  }
  return text + "and new:NAME for a new model";
}

void check_options(const LoadOptions& options, const Kind& kind, const std::string& path) {
  if (options.tanh_gelu && !kind.has_tanh_gelu) {
    throw std::invalid_argument(path + ": the tanh approximation of GELU can be chosen for nanoGPT checkpoints only");
  }
  if (!options.config_json.empty() && !kind.has_config) {
    throw std::invalid_argument(
        path + ": has a configuration of its own; one can be given for torch.distributed.checkpoint only");
  }
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

LoadedCheckpoint model_of(const SafetensorsFile& file, const std::string& path, WeightAccess access) {
  const auto json = file.metadata.find(config_key);
  if (json == file.metadata.end()) {
    fail(path, "has no __metadata__[\"config\"], so the architecture is unknown; {}", accepted_kinds());
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
  result.model = assemble_model(config, parameters, path, access);
  if (const auto step = file.metadata.find(step_key); step != file.metadata.end()) {
    result.training_step = parse_count(step->second, step_key, path);
  }
  result.description = fmt::format("{} {} checkpoint", to_string(config.family), to_string(config.placement));
  return result;
}

LoadedCheckpoint load_checkpoint(const std::string& path, const LoadOptions& options) {
  std::error_code error;
  const bool folder = std::filesystem::is_directory(path, error);
  const Place place{path, folder ? nullptr : MappedFile::open(path)};
  for (const Kind& kind : kinds) {
    if (kind.recognises(place)) {
      check_options(options, kind, path);
      return kind.load(place, options);
    }
  }
  fail(path, "is {}; {}",
       folder ? "a folder without config.json, params.json or .metadata" : "not a checkpoint in a known form",
       accepted_kinds());
}

void save_checkpoint(const Model& model, const std::string& path, std::int64_t training_step) {
  save_safetensors(path, model.parameters, own_metadata(model.config, training_step));
}

}  // namespace hessian::models
