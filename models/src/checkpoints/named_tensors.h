#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace hessian::models {

/// The tensors of a foreign checkpoint, taken out one after another under the names that their format gives them.
class NamedTensors {
 public:
  /// \param source  the checkpoint, for messages about what is not in it
  explicit NamedTensors(std::string source) : source_(std::move(source)) {}

  /// \param key        the name to take it by: the format's name without prefixes
  /// \param full_name  the name in the file, for messages
  /// \param file       the file, for messages
  /// \throws std::runtime_error  if the key is there already
  void add(const std::string& key, const std::string& full_name, const std::string& file, const at::Tensor& tensor);

  bool contains(const std::string& key) const { return items_.contains(key); }

  /// \throws std::runtime_error  if it is absent, has another shape, or holds no floating-point numbers
  at::Tensor take(const std::string& key, const std::vector<std::int64_t>& shape);

  /// Takes a tensor that a tied head is allowed to come with, and compares it with what it is tied to.
  /// \throws std::runtime_error  if it is there and differs
  void drop_tied(const std::string& key, const at::Tensor& original);

  /// \throws std::runtime_error  naming a tensor that nobody took
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
