#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace hessian::models {

/// The tensors of a foreign checkpoint, to be taken one by one under the names of its format.
class NamedTensors {
 public:
  /// \param source  the checkpoint, for messages about missing tensors
  explicit NamedTensors(std::string source) : source_(std::move(source)) {}

  /// Adds a tensor of the checkpoint.
  /// \param key        name for take(): that of the format without prefixes
  /// \param full_name  the name in the file, for messages
  /// \param file       the file, for messages
  /// \throws std::runtime_error  if the key was added before
  void add(const std::string& key, const std::string& full_name, const std::string& file, const at::Tensor& tensor);

  bool contains(const std::string& key) const { return items_.contains(key); }

  /// Returns a tensor and removes it from this collection.
  /// \throws std::runtime_error  if it is missing, has another shape, or holds no floating-point numbers
  at::Tensor take(const std::string& key, const std::vector<std::int64_t>& shape);

  /// Drops the redundant weight of a tied head if it is there, after comparing it with the tensor that it is tied to.
  /// \throws std::runtime_error  if it differs
  void drop_tied(const std::string& key, const at::Tensor& original);

  /// Checks that every tensor was taken.
  /// \throws std::runtime_error  naming a tensor that was not
  void refuse_rest() const;

 private:
  struct Item {
    std::string full_name;
    std::string file;
    at::Tensor tensor;
  };

  std::string source_;
  std::map<std::string, Item> items_;
};

}  // namespace hessian::models
