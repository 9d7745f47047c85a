#include "checkpoints/model_arguments.h"

#include "io/messages.h"

namespace hessian::models {

using NodeId = Pickle::NodeId;

NodeId root_entry(const TorchCheckpoint& checkpoint, const char* key, const std::string& path, const char* kind) {
  const Pickle& values = checkpoint.values();
  if (!values.is_dict(values.root())) {
    fail(path, "holds {}; {}", describe(values, values.root()), kind);
  }
  const auto found = values.find(values.root(), key);
  if (!found) {
    fail(path, "has no {}; {}", name_text(key), kind);
  }
  return *found;
}

std::int64_t read_training_step(const TorchCheckpoint& checkpoint, const std::string& path) {
  const Pickle& values = checkpoint.values();
  const auto id = values.find(values.root(), "iter_num");
  if (!id) {
    return 0;
  }
  const auto step = checkpoint.integer(*id);
  if (!step || *step < 0) {
    fail(path, "'iter_num' is {}, expected a non-negative integer", describe(values, *id));
  }
  return *step;
}

ModelArguments::ModelArguments(const TorchCheckpoint& checkpoint, NodeId dict, const std::string& path)
    : checkpoint_(checkpoint), dict_(dict), path_(path) {
  if (!checkpoint.values().is_dict(dict)) {
    fail(path, "'model_args' is {}, expected a dict", describe(checkpoint.values(), dict));
  }
}

std::optional<NodeId> ModelArguments::find(const char* key) const {
  const Pickle& values = checkpoint_.values();
  const auto id = values.find(dict_, key);
  return id && values[*id].kind == Pickle::Kind::none ? std::nullopt : id;
}

std::int64_t ModelArguments::size(const char* key) const {
  const auto id = find(key);
  if (!id) {
    fail(path_, "'model_args' has no {}", name_text(key));
  }
  const auto size = checkpoint_.integer(*id);
  if (!size || *size < 1 || *size > INT32_MAX) {
    fail(path_, "model_args {} is {}, expected a positive integer", name_text(key),
         size ? std::to_string(*size) : describe(checkpoint_.values(), *id));
  }
  return *size;
}

double ModelArguments::real(const char* key, double fallback) const {
  const auto id = find(key);
  const auto number = id ? checkpoint_.real(*id) : fallback;
  if (!number) {
    fail(path_, "model_args {} is {}, expected a number", name_text(key), describe(checkpoint_.values(), *id));
  }
  return *number;
}

bool ModelArguments::boolean(const char* key, bool fallback) const {
  const auto id = find(key);
  const auto value = id ? checkpoint_.boolean(*id) : fallback;
  if (!value) {
    fail(path_, "model_args {} is {}, expected True or False", name_text(key), describe(checkpoint_.values(), *id));
  }
  return *value;
}

}  // namespace hessian::models
